#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "h2/internal.h"

enum {
    /* Streams that queue more than this at once take turns frame by frame;
     * shorter ones go out whole, in order, which is less work. */
    FAIR_BYTES = 16 << 10,
};

struct h2_chunk *h2_chunk_new(struct arena *a, size_t size)
{
    struct h2_chunk *c =
        a ? arena_alloc(a, sizeof *c + size) : mem_alloc(sizeof *c + size);
    *c = (struct h2_chunk){.size = (uint32_t)size, .is_heap = !a};
    return c;
}

void h2_chunk_free(struct h2_chunk *c)
{
    bytes_unref(c->tail);
    if (c->is_heap) {
        free(c);
    }
}

void h2_stream_init(struct h2_stream *st)
{
    *st = (struct h2_stream){.last = &st->first};
    list_init(&st->link);
    list_init(&st->drain_link);
}

static size_t chunk_bytes(const struct h2_chunk *c)
{
    return c->size + (c->tail ? c->tail->size : 0);
}

void h2_stream_drop_output(struct h2_stream *st)
{
    while (st->first) {
        struct h2_chunk *c = st->first;
        st->first = c->next;
        h2_chunk_free(c);
    }
    st->last = &st->first;
    st->taken = st->queued = 0;
}

/* ---- nghttp2 pulls ---- */

static void submit_trailers(struct h2_stream *st)
{
    nghttp2_submit_trailer(st->session->ng, st->id, st->trailers,
                           st->trailer_count);
}

ssize_t h2_stream_read(nghttp2_session *ng, int32_t id, uint8_t *data,
                       size_t room, uint32_t *flags, nghttp2_data_source *src,
                       void *ctx)
{
    struct h2_session *s = ctx;
    struct h2_stream *st = src->ptr;
    if (s->out->size >= s->limit) {
        return NGHTTP2_ERR_PAUSE; /* asks again from the next send */
    }
    size_t n = st->queued < room ? st->queued : room;
    if (n == 0 && !st->is_ended) {
        st->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == st->queued && st->is_ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (st->trailer_count) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(st);
        }
    }
    return (ssize_t)n;
}

/* Copies `size` bytes of the first chunk; what is used up goes. */
static size_t take(struct h2_stream *st, struct buf *out, size_t size)
{
    struct h2_chunk *c = st->first;
    struct slice part = slice_of(c->data, c->size);
    size_t skip = st->taken;
    if (skip >= c->size) {
        part = bytes_slice(c->tail);
        skip -= c->size;
    }
    part = slice_from(part, skip);
    if (part.size > size) {
        part.size = size;
    }
    buf_append_slice(out, part);
    st->taken += part.size;
    if (st->taken == chunk_bytes(c)) {
        st->first = c->next;
        st->last = st->first ? st->last : &st->first;
        st->taken = 0;
        h2_chunk_free(c);
    }
    return part.size;
}

int h2_stream_send_data(nghttp2_session *ng, nghttp2_frame *frame,
                        const uint8_t *head, size_t size,
                        nghttp2_data_source *src, void *ctx)
{
    struct h2_session *s = ctx;
    struct h2_stream *st = src->ptr;
    buf_append(s->out, head, 9);
    st->queued -= size;
    while (size) {
        size -= take(st, s->out, size);
    }
    if (st->is_above && st->queued <= st->low) {
        st->is_above = false;
        list_append(&s->drained, &st->drain_link);
    }
    return 0;
}

/* ---- the door ---- */

static nghttp2_data_provider provider(struct h2_stream *st)
{
    return (nghttp2_data_provider){.source.ptr = st,
                                   .read_callback = h2_stream_read};
}

int h2_stream_request(struct h2_stream *st, struct h2_session *s,
                      const nghttp2_nv *nv, size_t count)
{
    if (s->is_going) {
        return ERR_UNAVAILABLE;
    }
    nghttp2_data_provider body = provider(st);
    int32_t id = nghttp2_submit_request(s->ng, NULL, nv, count, &body, st);
    if (id < 0) {
        return ERR_UNAVAILABLE;
    }
    st->id = id;
    st->session = s;
    st->is_responded = true;
    list_append(&s->streams, &st->link);
    s->stream_count++;
    h2_session_notify(s);
    return 0;
}

/* An early end is remembered where the response is complete. */
static void note_early(struct h2_stream *st)
{
    if (!st->is_remote_done && !st->session->is_client && !st->is_early) {
        st->is_early = true;
        st->session->early_count++;
    }
}

void h2_stream_respond(struct h2_stream *st, const nghttp2_nv *nv, size_t count,
                       bool is_end)
{
    if (!st->session || st->is_reset) {
        return;
    }
    assert(!st->is_responded);
    st->is_responded = true;
    nghttp2_data_provider body = provider(st);
    if (is_end) {
        st->is_ended = true;
        note_early(st);
    }
    nghttp2_submit_response(st->session->ng, st->id, nv, count,
                            is_end ? NULL : &body);
    h2_session_notify(st->session);
}

static void resume(struct h2_stream *st)
{
    if (!st->session) {
        return;
    }
    if (st->is_deferred) {
        st->is_deferred = false;
        nghttp2_session_resume_data(st->session->ng, st->id);
    }
    h2_session_notify(st->session);
}

static void be_fair(struct h2_stream *st)
{
    st->is_fair = true;
    if (st->session && !st->session->is_client) {
        nghttp2_extpri pri = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY,
                              .inc = 1};
        nghttp2_session_change_extpri_stream_priority(st->session->ng, st->id,
                                                      &pri, 1);
    }
}

void h2_stream_write(struct h2_stream *st, struct h2_chunk *c)
{
    if (st->is_reset || st->is_ended) {
        h2_chunk_free(c);
        return;
    }
    *st->last = c;
    st->last = &c->next;
    st->queued += chunk_bytes(c);
    st->is_above = st->is_watched && st->queued > st->low;
    if (st->queued > FAIR_BYTES && !st->is_fair) {
        be_fair(st);
    }
    resume(st);
}

void h2_stream_end(struct h2_stream *st, const nghttp2_nv *trailers,
                   size_t count)
{
    if (st->is_reset || st->is_ended) {
        return;
    }
    st->is_ended = true;
    st->trailers = trailers;
    st->trailer_count = count;
    if (st->session) {
        note_early(st);
    }
    resume(st);
}

void h2_stream_reset(struct h2_stream *st, uint32_t code)
{
    if (!st->session || st->is_reset) {
        return;
    }
    st->is_reset = true;
    h2_stream_drop_output(st);
    nghttp2_submit_rst_stream(st->session->ng, 0, st->id, code);
    h2_session_notify(st->session);
}

void h2_stream_watch_drain(struct h2_stream *st, size_t low)
{
    st->low = low;
    st->is_watched = true;
    st->is_above = st->queued > low;
    list_remove(&st->drain_link);
}
