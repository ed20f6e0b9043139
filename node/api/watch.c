/* Watch: requests in, the hub's responses out. */
#include "proto/proto.h"
#include "state.h"

enum { CREATE = 1, CANCEL = 2, PROGRESS = 3 };

/* ---- out ---- */
static void drained(struct grpc_call *call)
{
    struct api_stream *s = grpc_call_ctx(call);
    s->unread = 0;
    if (s->state) {
        watch_stream_resume(s->state);
        api_later(s->api);
    }
}

/* Longest cancel_reason and all the numbers fit. */
enum { HEAD_BYTES_MAX = 256 };

static bool emit(void *ctx, const struct watch_response *r)
{
    struct api_stream *s = ctx;
    uint8_t head[HEAD_BYTES_MAX];
    uint8_t *to = head + api_header(s->api, r->revision, head);
    to = proto_u64(to, 2, (uint64_t)r->watch_id);
    to = proto_u64(to, 3, r->created);
    to = proto_u64(to, 4, r->canceled);
    to = proto_u64(to, 5, (uint64_t)r->compact_revision);
    if (r->cancel_reason) {
        struct slice reason = slice_str(r->cancel_reason);
        to = proto_copy(proto_head(to, 6, reason.size), reason);
    }
    to = proto_u64(to, 7, r->fragment);
    grpc_send_bytes(s->call, slice_of(head, (size_t)(to - head)), r->events);
    if (grpc_call_queued(s->call) <= API_WATCH_QUEUE_BYTES) {
        return true;
    }
    s->unread++;
    grpc_call_on_drain(s->call, API_WATCH_DRAINED_BYTES, drained);
    return false;
}

/* ---- in ---- */
static int create(struct api_stream *s, struct slice message)
{
    struct proto_watch_create asked;
    int err = proto_decode_watch_create(message, &asked);
    if (err == 0) {
        struct watch_create c = {
            .key = asked.key,
            .end = asked.end,
            .start_revision = asked.start_revision,
            .watch_id = asked.watch_id,
            .progress_notify = asked.progress_notify,
            .prev_kv = asked.prev_kv,
            .fragment = asked.fragment,
            .no_put = asked.no_put,
            .no_delete = asked.no_delete,
        };
        watch_create(s->state, &c);
        if (watch_wants_catch_up(s->api->config.watch)) {
            api_later(s->api);
        }
    }
    return err;
}

static int cancel(struct api_stream *s, struct slice message)
{
    struct proto_field f;
    int64_t id = 0;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.number == 1 && f.wire == PROTO_VARINT) {
            id = (int64_t)f.value;
        }
    }
    if (more == 0) {
        watch_cancel(s->state, id);
    }
    return more;
}

void api_watch_message(struct grpc_call *call, struct slice message)
{
    struct api_stream *s = grpc_call_ctx(call);
    if (s->unread > API_WATCH_UNREAD_MAX) {
        api_fail(call, API_TOO_MANY_REQUESTS);
        return;
    }
    if (!s->state) {
        s->state =
            watch_stream_new(s->api->config.watch, api_now_ms(s->api), emit, s);
    }
    /* One of a oneof; of several the last counts. */
    struct proto_field f, request = {0};
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.wire == PROTO_BYTES && f.number <= PROGRESS) {
            request = f;
        }
    }
    int err = more;
    if (err == 0 && request.number == CREATE) {
        err = create(s, request.bytes);
    } else if (err == 0 && request.number == CANCEL) {
        err = cancel(s, request.bytes);
    } else if (err == 0 && request.number == PROGRESS) {
        watch_progress(s->state);
    }
    if (err) {
        api_fail_unmarshal(call);
    }
}

void api_watch_end(struct grpc_call *call)
{
    struct api_stream *s = grpc_call_ctx(call);
    if (s->state) {
        watch_stream_free(s->state);
        s->state = NULL;
    }
    api_stream_end(call);
}
