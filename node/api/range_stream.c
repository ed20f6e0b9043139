/*
 * RangeStream: a range as a row of messages, the first one small, the next
 * ones larger or smaller by how large the last was; header, more and count
 * stand in the last. Read in slices, and only as fast as the client takes
 * them: what is held is one message and what the connection has queued.
 */
#include <stdlib.h>

#include "proto/proto.h"
#include "state.h"

struct range_stream {
    struct api_stream *stream;
    struct proto_range range;
    struct replica_read read;
    bool reading;
    struct api_wait wait;
    bool has_job;
    int64_t revision; /* the header's */
    struct apply_range_job job;
    struct api_parts parts; /* of the message being made */
    struct buf body;        /* and its end */
    int64_t piece;          /* keys in a message */
};

static struct api *api_of_stream(const struct range_stream *s)
{
    return s->stream->api;
}

/* ---- pieces ---- */
static bool is_one_piece(const struct range_stream *s)
{
    return s->range.limit < 0;
}

static size_t piece_bytes(const struct range_stream *s)
{
    return s->parts.size + s->body.size - API_BODY_ROOM;
}

/* A piece ends when it has all of its keys, or is twice as large as aimed. */
static void begin_piece(struct range_stream *s)
{
    api_body_begin(&s->body);
    if (!is_one_piece(s)) {
        s->job.pause_sent = s->job.sent + s->piece;
        s->job.pause_bytes =
            2 * (size_t)api_of_stream(s)->config.request_bytes_max;
    }
}

static void next_size(struct range_stream *s, size_t size)
{
    size_t aim = api_of_stream(s)->config.request_bytes_max;
    if (size < aim / 2 && s->piece < INT32_MAX) {
        s->piece *= 2;
    } else if (size > 2 * aim && s->piece > 1) {
        s->piece /= 2;
    }
}

/* RangeStreamResponse{RangeResponse{header, kvs ...}} */
static int send_piece(struct range_stream *s, bool last)
{
    uint8_t header[API_HEADER_BYTES_MAX];
    uint8_t head[API_HEADER_BYTES_MAX + 2 * PROTO_VARINT_MAX];
    size_t size = last ? api_header(api_of_stream(s), s->revision, header) : 0;
    uint8_t *to = proto_head(head, 1, size + piece_bytes(s));
    to = proto_copy(to, slice_of(header, size));
    int err = api_parts_add(&s->parts, &s->body);
    if (err == 0) {
        api_parts_send(&s->parts, s->stream->call,
                       slice_of(head, (size_t)(to - head)));
    }
    return err;
}

/* ---- the run ---- */
static bool run(struct api_wait *w);

static void drained(struct grpc_call *call)
{
    struct api_stream *stream = grpc_call_ctx(call);
    struct range_stream *s = stream->state;
    if (s && grpc_call_alive(call)) {
        api_slice(stream->api, &s->wait, run);
    }
}

/* True: it waits until the client has read. */
static bool wait_for_reader(struct range_stream *s)
{
    struct grpc_call *call = s->stream->call;
    if (grpc_call_queued(call) <= API_STREAM_QUEUE_BYTES) {
        return false;
    }
    grpc_call_on_drain(call, API_STREAM_QUEUE_BYTES / 4, drained);
    return true;
}

static bool run(struct api_wait *w)
{
    struct range_stream *s = container_of(w, struct range_stream, wait);
    struct grpc_call *call = s->stream->call;
    int err = api_parts_step(api_of_stream(s), &s->parts, &s->job, &s->body);
    if (err == 0 && !s->job.done && !s->job.paused) {
        return false;
    }
    size_t size = piece_bytes(s);
    err = err ? err : send_piece(s, s->job.done);
    if (err) {
        api_fail(call, err);
        return true;
    }
    if (s->job.done) {
        grpc_finish(call, GRPC_OK, NULL);
        return true;
    }
    next_size(s, size);
    begin_piece(s);
    return wait_for_reader(s);
}

static void start(struct range_stream *s)
{
    struct api *a = api_of_stream(s);
    int err = apply_range_begin(a->config.apply, &s->range, &s->job);
    if (err) {
        api_fail(s->stream->call, err);
        return;
    }
    s->has_job = true;
    s->revision = mvcc_revision(a->mvcc);
    s->piece = API_STREAM_FIRST_KEYS;
    begin_piece(s);
    if (!run(&s->wait)) {
        api_slice(a, &s->wait, run);
    }
}

static void read_done(struct replica_read *rd, int err)
{
    struct range_stream *s = container_of(rd, struct range_stream, read);
    s->reading = false;
    if (err) {
        api_fail(s->stream->call, err);
    } else {
        start(s);
    }
}

/* ---- the method ---- */
static int check(const struct proto_range *r)
{
    int err = api_check_range(r);
    if (err) {
        return err;
    }
    bool by_key = r->sort_target == PB__RANGE_REQUEST__SORT_TARGET__KEY;
    if (r->sort_order != PB__RANGE_REQUEST__SORT_ORDER__NONE &&
        !(by_key && r->sort_order == PB__RANGE_REQUEST__SORT_ORDER__ASCEND)) {
        return API_STREAM_SORT;
    }
    bool filters = r->min_mod_revision || r->max_mod_revision ||
                   r->min_create_revision || r->max_create_revision;
    return filters ? API_STREAM_FILTER : 0;
}

void api_kv_range_stream(struct grpc_call *call, struct slice message)
{
    struct api_stream *stream = grpc_call_ctx(call);
    if (stream->state) {
        return; /* a second request message is ignored */
    }
    struct proto_range range;
    if (proto_decode_range(message, &range)) {
        api_fail_unmarshal(call);
        return;
    }
    int err = check(&range);
    if (err) {
        api_fail(call, err);
        return;
    }
    range.key = arena_slice(grpc_call_arena(call), range.key);
    range.end = arena_slice(grpc_call_arena(call), range.end);
    struct range_stream *s = mem_zalloc(sizeof *s);
    s->stream = stream;
    s->range = range;
    /* Without an order the target has no say. */
    s->range.sort_target = PB__RANGE_REQUEST__SORT_TARGET__KEY;
    list_init(&s->wait.link);
    buf_init(&s->body, APPLY_BODY_BYTES_MAX);
    stream->state = s;
    if (range.serializable) {
        start(s);
        return;
    }
    s->reading = true;
    s->read.done = read_done;
    replica_read(stream->api->config.replica, &s->read);
}

void api_kv_range_stream_end(struct grpc_call *call)
{
    struct api_stream *stream = grpc_call_ctx(call);
    struct range_stream *s = stream->state;
    if (s) {
        if (s->reading) {
            replica_read_cancel(stream->api->config.replica, &s->read);
        }
        list_remove(&s->wait.link);
        if (s->has_job) {
            apply_range_end(&s->job);
        }
        api_parts_release(&s->parts);
        buf_release(&s->body);
        stream->state = NULL;
        free(s);
    }
    api_stream_end(call);
}
