#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "h2/internal.h"

enum {
    /* Limits against floods. Resets are not limited: common clients send
     * one after every call. */
    RESETS_MAX = 1 << 30,
    OUTBOUND_ACKS_MAX = 10000,
    SETTINGS_MAX = 64, /* entries of a frame */
    CONTINUATIONS_MAX = 64,
    SEND_HEAD_BYTES_MAX = 2 << 20,
};

static struct h2_stream *find(struct h2_session *s, int32_t id)
{
    if (!s->current || s->current->id != id) {
        s->current = nghttp2_session_get_stream_user_data(s->ng, id);
    }
    return s->current;
}

/* ---- events from nghttp2 ---- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f,
                            void *ctx)
{
    struct h2_session *s = ctx;
    int32_t id = f->hd.stream_id;
    s->head_bytes = 0;
    if (f->hd.type != NGHTTP2_HEADERS ||
        f->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    struct h2_stream *st = s->events->on_begin(s->ctx, id);
    if (!st) {
        nghttp2_submit_rst_stream(ng, 0, id, NGHTTP2_REFUSED_STREAM);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    st->session = s;
    st->id = id;
    list_append(&s->streams, &st->link);
    s->stream_count++;
    s->current = st;
    nghttp2_session_set_stream_user_data(ng, id, st);
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *f,
                     const uint8_t *name, size_t name_size,
                     const uint8_t *value, size_t value_size, uint8_t flags,
                     void *ctx)
{
    struct h2_session *s = ctx;
    struct h2_stream *st = find(s, f->hd.stream_id);
    if (!st || st->is_reset) {
        return 0;
    }
    s->head_bytes += (uint32_t)(name_size + value_size + 32);
    if (s->head_bytes > H2_HEAD_BYTES_MAX) {
        h2_stream_reset(st, NGHTTP2_FRAME_SIZE_ERROR);
        return 0;
    }
    s->events->on_header(st, slice_of(name, name_size),
                         slice_of(value, value_size));
    return 0;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id,
                         const uint8_t *data, size_t size, void *ctx)
{
    struct h2_session *s = ctx;
    struct h2_stream *st = find(s, id);
    if (st && !st->is_reset) {
        s->events->on_data(st, slice_of(data, size));
    }
    return 0;
}

static void on_stream_frame(struct h2_session *s, const nghttp2_frame *f)
{
    struct h2_stream *st = find(s, f->hd.stream_id);
    if (!st || st->is_reset) {
        return;
    }
    if (f->hd.type == NGHTTP2_HEADERS) {
        s->events->on_head(st, f->headers.cat == NGHTTP2_HCAT_HEADERS);
    }
    if ((f->hd.flags & NGHTTP2_FLAG_END_STREAM) && !st->is_reset) {
        st->is_remote_done = true;
        s->events->on_end(st);
    }
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *f, void *ctx)
{
    struct h2_session *s = ctx;
    switch (f->hd.type) {
    case NGHTTP2_HEADERS:
        on_stream_frame(s, f);
        break;
    case NGHTTP2_DATA:
        if (f->hd.flags & NGHTTP2_FLAG_END_STREAM) {
            on_stream_frame(s, f);
        }
        break;
    case NGHTTP2_PING:
        s->events->on_ping(s->ctx, f->hd.flags & NGHTTP2_FLAG_ACK);
        break;
    case NGHTTP2_GOAWAY:
        s->is_going = true;
        s->events->on_goaway(
            s->ctx, f->goaway.error_code,
            slice_of(f->goaway.opaque_data, f->goaway.opaque_data_len));
        break;
    default:
        break;
    }
    return 0;
}

/* The trailers are out: a peer that has not ended learns that nobody reads
 * it any more. */
static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *f, void *ctx)
{
    struct h2_session *s = ctx;
    s->sent_count += f->hd.type <= NGHTTP2_HEADERS;
    if (s->early_count && f->hd.type == NGHTTP2_HEADERS &&
        (f->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        struct h2_stream *st = find(s, f->hd.stream_id);
        if (st && st->is_early && !st->is_remote_done) {
            nghttp2_submit_rst_stream(ng, 0, st->id, NGHTTP2_NO_ERROR);
        }
    }
    return 0;
}

static void close_stream(struct h2_session *s, struct h2_stream *st,
                         uint32_t code)
{
    if (s->current == st) {
        s->current = NULL;
    }
    s->early_count -= st->is_early;
    s->stream_count--;
    list_remove(&st->link);
    list_remove(&st->drain_link);
    h2_stream_drop_output(st);
    st->session = NULL;
    s->events->on_close(st, code);
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code,
                           void *ctx)
{
    struct h2_session *s = ctx;
    struct h2_stream *st = find(s, id);
    if (st) {
        close_stream(s, st, code);
    }
    return 0;
}

/* ---- birth and death ---- */

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *cb = NULL;
    if (nghttp2_session_callbacks_new(&cb) != 0) {
        abort(); /* out of memory */
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb,
                                                            on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb,
                                                              on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(cb, h2_stream_send_data);
    return cb;
}

static nghttp2_option *make_options(void)
{
    nghttp2_option *o = NULL;
    if (nghttp2_option_new(&o) != 0) {
        abort(); /* out of memory */
    }
    nghttp2_option_set_no_http_messaging(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_stream_reset_rate_limit(o, RESETS_MAX, RESETS_MAX);
    nghttp2_option_set_max_outbound_ack(o, OUTBOUND_ACKS_MAX);
    nghttp2_option_set_max_settings(o, SETTINGS_MAX);
    nghttp2_option_set_max_continuations(o, CONTINUATIONS_MAX);
    nghttp2_option_set_max_send_header_block_length(o, SEND_HEAD_BYTES_MAX);
    return o;
}

static void submit_settings(struct h2_session *s,
                            const struct h2_config *config)
{
    nghttp2_settings_entry entries[4];
    size_t n = 0;
    entries[n++] = (nghttp2_settings_entry){
        NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW_BYTES};
    if (config->is_client) {
        entries[n++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
    } else {
        entries[n++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1};
    }
    if (config->concurrent_streams_max != UINT32_MAX) {
        entries[n++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                                     config->concurrent_streams_max};
    }
    nghttp2_submit_settings(s->ng, 0, entries, n);
    nghttp2_session_set_local_window_size(s->ng, 0, 0, H2_CONN_WINDOW_BYTES);
}

struct h2_session *h2_session_new(const struct h2_config *config)
{
    struct h2_session *s = mem_zalloc(sizeof *s);
    s->events = config->events;
    s->ctx = config->ctx;
    s->is_client = config->is_client;
    list_init(&s->streams);
    list_init(&s->drained);
    nghttp2_session_callbacks *cb = make_callbacks();
    nghttp2_option *o = make_options();
    int err = config->is_client ? nghttp2_session_client_new2(&s->ng, cb, s, o)
                                : nghttp2_session_server_new2(&s->ng, cb, s, o);
    if (err != 0) {
        abort(); /* out of memory */
    }
    nghttp2_option_del(o);
    nghttp2_session_callbacks_del(cb);
    submit_settings(s, config);
    h2_session_notify(s);
    return s;
}

void h2_session_free(struct h2_session *s)
{
    if (!s) {
        return;
    }
    while (!list_empty(&s->streams)) {
        close_stream(s, container_of(s->streams.next, struct h2_stream, link),
                     H2_LOST);
    }
    nghttp2_session_del(s->ng);
    free(s);
}

/* ---- bytes ---- */

int h2_session_recv(struct h2_session *s, struct slice data)
{
    ssize_t n = nghttp2_session_mem_recv(s->ng, data.data, data.size);
    h2_session_notify(s);
    return n < 0 ? ERR_PROTOCOL : 0;
}

static bool tell_drained(struct h2_session *s)
{
    bool told = false;
    while (!list_empty(&s->drained)) {
        struct h2_stream *st =
            container_of(s->drained.next, struct h2_stream, drain_link);
        list_remove(&st->drain_link);
        st->is_watched = false;
        s->events->on_drain(st);
        told = true;
    }
    return told;
}

bool h2_session_send(struct h2_session *s, struct buf *out, size_t room)
{
    const uint8_t *frame = NULL;
    ssize_t n = 1;
    s->out = out;
    s->limit = out->size + room;
    /* DATA frames are appended by h2_stream_send_data(), which looks at the
     * limit as well. A negative count says that memory ran out. */
    while (out->size < s->limit &&
           (n = nghttp2_session_mem_send(s->ng, &frame)) > 0) {
        buf_append(out, frame, (size_t)n);
    }
    s->out = NULL;
    return tell_drained(s) || out->size >= s->limit;
}

bool h2_session_is_over(struct h2_session *s)
{
    return !nghttp2_session_want_read(s->ng) &&
           !nghttp2_session_want_write(s->ng);
}

void h2_session_ping(struct h2_session *s)
{
    nghttp2_submit_ping(s->ng, 0, NULL);
    h2_session_notify(s);
}

void h2_session_goaway(struct h2_session *s, uint32_t code, const char *debug)
{
    s->is_going = true;
    nghttp2_submit_goaway(s->ng, 0,
                          nghttp2_session_get_last_proc_stream_id(s->ng), code,
                          (const uint8_t *)debug, strlen(debug));
    h2_session_notify(s);
}

size_t h2_session_frame_count(const struct h2_session *s)
{
    return nghttp2_session_get_outbound_queue_size(s->ng);
}

uint32_t h2_session_sent_count(const struct h2_session *s)
{
    return s->sent_count;
}

uint32_t h2_session_stream_count(const struct h2_session *s)
{
    return s->stream_count;
}

void h2_session_each(struct h2_session *s,
                     void (*visit)(struct h2_stream *st, void *ctx), void *ctx)
{
    list_each(it, safe, &s->streams)
    {
        visit(container_of(it, struct h2_stream, link), ctx);
    }
}
