/* Watch: requests in, the hub's responses out. */
#include "proto/proto.h"
#include "state.h"

enum { CREATE = 1, CANCEL = 2, PROGRESS = 3 };
enum { FILTER_NO_PUT = 0, FILTER_NO_DELETE = 1 };

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
static void add_filter(struct watch_create *c, uint64_t filter)
{
    c->no_put = c->no_put || filter == FILTER_NO_PUT;
    c->no_delete = c->no_delete || filter == FILTER_NO_DELETE;
}

/* Packed, as most write them, or one by one. */
static int add_filters(struct watch_create *c, const struct proto_field *f)
{
    if (f->wire == PROTO_VARINT) {
        add_filter(c, f->value);
        return 0;
    }
    struct slice rest = f->bytes;
    while (rest.size) {
        uint64_t v = 0;
        unsigned shift = 0;
        bool more = true;
        while (more) {
            if (rest.size == 0 || shift > 63) {
                return ERR_INVALID;
            }
            v |= (uint64_t)(rest.data[0] & 0x7f) << shift;
            more = rest.data[0] & 0x80;
            shift += 7;
            rest = slice_from(rest, 1);
        }
        add_filter(c, v);
    }
    return 0;
}

static void create_number(struct watch_create *c, const struct proto_field *f)
{
    switch (f->number) {
    case 3:
        c->start_revision = (int64_t)f->value;
        break;
    case 4:
        c->progress_notify = f->value != 0;
        break;
    case 6:
        c->prev_kv = f->value != 0;
        break;
    case 7:
        c->watch_id = (int64_t)f->value;
        break;
    case 8:
        c->fragment = f->value != 0;
        break;
    default:
        break;
    }
}

static int decode_create(struct slice message, struct watch_create *ret)
{
    struct watch_create c = {0};
    struct proto_field f;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        int err = 0;
        if (f.number == 5 &&
            (f.wire == PROTO_VARINT || f.wire == PROTO_BYTES)) {
            err = add_filters(&c, &f);
        } else if (f.wire == PROTO_VARINT) {
            create_number(&c, &f);
        } else if (f.wire == PROTO_BYTES && f.number == 1) {
            c.key = f.bytes;
        } else if (f.wire == PROTO_BYTES && f.number == 2) {
            c.end = f.bytes;
        }
        if (err) {
            return err;
        }
    }
    if (more == 0) {
        *ret = c;
    }
    return more;
}

static int create(struct api_stream *s, struct slice message)
{
    struct watch_create c;
    int err = decode_create(message, &c);
    if (err == 0) {
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
