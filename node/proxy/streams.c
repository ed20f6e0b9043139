/* Watch and LeaseKeepAlive: the clients' streams at the hub and the keeper. */
#include "internal.h"

enum {
    WATCH_FRAGMENT_BYTES = 2 << 20, /* 1.5 MiB and 512 KiB, as a member's */
    WATCH_QUEUE_BYTES = 1 << 20,    /* unread; more makes a reader slow */
    WATCH_DRAINED_BYTES = 256 << 10,
    KEEPALIVE_UNREAD_BYTES = 1 << 20,
};

static struct credentials credentials_of(struct grpc_call *call,
                                         struct proxy_metadata *m)
{
    proxy_metadata_read(call, m);
    return (struct credentials){
        .metadata = m->list, .token = m->token, .has_leader = m->has_leader};
}

/* ---- watch ---- */

static void drained(struct grpc_call *call)
{
    struct hub_stream *s = grpc_call_ctx(call);
    if (s) {
        hub_stream_resume(s);
    }
}

static bool watch_emit(void *ctx, struct slice head, struct bytes *events)
{
    struct grpc_call *call = ctx;
    grpc_send_bytes(call, head, events);
    if (grpc_call_queued(call) <= WATCH_QUEUE_BYTES) {
        return true;
    }
    grpc_call_on_drain(call, WATCH_DRAINED_BYTES, drained);
    return false;
}

static void stream_end(void *ctx, enum grpc_code code, const char *text)
{
    grpc_finish(ctx, code, text);
}

void proxy_watch_message(struct grpc_call *call, struct slice message)
{
    struct hub_stream *s = grpc_call_ctx(call);
    if (s == NULL) {
        struct proxy_metadata m;
        struct credentials c = credentials_of(call, &m);
        s = hub_stream_new(proxy_of(call)->hub, &c, call);
        grpc_call_set_ctx(call, s);
    }
    if (hub_stream_message(s, message) != 0) {
        proxy_fail_unmarshal(call);
    }
}

void proxy_watch_end(struct grpc_call *call)
{
    struct hub_stream *s = grpc_call_ctx(call);
    if (s) {
        grpc_call_set_ctx(call, NULL);
        hub_stream_free(s);
    }
}

/* ---- keep-alive ---- */

static void keepalive_emit(void *ctx, struct slice message)
{
    grpc_send_bytes(ctx, message, NULL);
}

void proxy_keepalive_message(struct grpc_call *call, struct slice message)
{
    struct keeper_stream *s = grpc_call_ctx(call);
    if (s == NULL) {
        struct proxy_metadata m;
        struct credentials c = credentials_of(call, &m);
        s = keeper_stream_new(proxy_of(call)->keeper, &c, call);
        grpc_call_set_ctx(call, s);
    }
    int err = grpc_call_queued(call) > KEEPALIVE_UNREAD_BYTES
                  ? ERR_TOO_LARGE
                  : keeper_stream_message(s, message);
    if (err == ERR_TOO_LARGE) {
        grpc_finish(call, GRPC_UNKNOWN, "etcdserver: too many requests");
    } else if (err) {
        proxy_fail_unmarshal(call);
    }
}

void proxy_keepalive_half_close(struct grpc_call *call)
{
    struct keeper_stream *s = grpc_call_ctx(call);
    if (s) {
        keeper_stream_half_close(s);
    } else {
        grpc_finish(call, GRPC_OK, NULL);
    }
}

void proxy_keepalive_end(struct grpc_call *call)
{
    struct keeper_stream *s = grpc_call_ctx(call);
    if (s) {
        grpc_call_set_ctx(call, NULL);
        keeper_stream_free(s);
    }
}

/* ---- both ---- */

void proxy_streams_open(struct proxy *p)
{
    struct hub_config hc = {
        .door = uplink_door_of(p->upstream),
        .name_space = &p->name_space,
        .fragment_bytes = WATCH_FRAGMENT_BYTES,
        .emit = watch_emit,
        .end = stream_end,
    };
    struct keeper_config kc = {
        .door = uplink_door_of(p->upstream),
        .emit = keepalive_emit,
        .end = stream_end,
    };
    p->hub = hub_new(&hc);
    p->keeper = keeper_new(&kc);
}

void proxy_streams_close(struct proxy *p)
{
    hub_free(p->hub);
    keeper_free(p->keeper);
}
