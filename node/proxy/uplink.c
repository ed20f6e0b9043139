#include "uplink.h"

#include <stdlib.h>

#include "upstream.h"

enum { PAUSE_MS_MIN = 20, PAUSE_MS_MAX = 500, METADATA_MAX = 16 };

struct uplink {
    struct upstream *upstream;
    struct arena arena;
    const char *path;
    const char *metadata[METADATA_MAX + 1];
    struct uplink_handler handler;
    void *ctx;
    struct upstream_endpoint *endpoint; /* NULL: not open */
    struct grpc_client_call *rpc;       /* likewise */
    struct timer *timer;
    uint64_t pause_ms; /* before the next attempt */
};

static void uplink_close(void *uplink)
{
    struct uplink *u = uplink;
    if (u->rpc) {
        grpc_client_cancel(u->rpc);
    }
    upstream_unref(u->endpoint);
    timer_free(u->timer);
    arena_release(&u->arena);
    free(u);
}

static void on_message(void *ctx, struct slice message)
{
    struct uplink *u = ctx;
    u->pause_ms = 0;
    u->handler.message(u->ctx, message);
}

static void on_status(void *ctx, enum grpc_code code, const char *text)
{
    struct uplink *u = ctx;
    u->rpc = NULL;
    upstream_note(u->endpoint, code, text);
    upstream_unref(u->endpoint);
    u->endpoint = NULL;
    if (!u->handler.down(u->ctx, code, text)) {
        uplink_close(u);
        return;
    }
    timer_start(u->timer, u->pause_ms, 0);
    u->pause_ms = u->pause_ms ? 2 * u->pause_ms : PAUSE_MS_MIN;
    u->pause_ms = u->pause_ms < PAUSE_MS_MAX ? u->pause_ms : PAUSE_MS_MAX;
}

static void attempt(void *ctx)
{
    static const struct grpc_client_handler handler = {on_message, on_status};
    struct uplink *u = ctx;
    u->endpoint = upstream_pick(u->upstream);
    u->rpc = grpc_client_start(upstream_channel(u->endpoint), u->path,
                               u->metadata, 0, &handler, u);
    u->handler.up(u->ctx);
}

static void *uplink_open(void *ctx, const char *path,
                         const char *const *metadata,
                         const struct uplink_handler *h, void *h_ctx)
{
    struct uplink *u = mem_zalloc(sizeof *u);
    u->upstream = ctx;
    u->path = path;
    u->handler = *h;
    u->ctx = h_ctx;
    for (size_t i = 0; i < METADATA_MAX && metadata[i]; i++) {
        u->metadata[i] = arena_strdup(&u->arena, metadata[i]);
    }
    u->timer = timer_new(upstream_loop(u->upstream), attempt, u);
    timer_start(u->timer, 0, 0);
    return u;
}

static void uplink_send(void *uplink, struct slice message)
{
    struct uplink *u = uplink;
    grpc_client_send_bytes(u->rpc, message);
}

struct uplink_door uplink_door_of(struct upstream *u)
{
    return (struct uplink_door){
        .open = uplink_open,
        .send = uplink_send,
        .close = uplink_close,
        .ctx = u,
    };
}

bool uplink_may_resume(enum grpc_code code, const char *text, bool has_leader)
{
    if (has_leader && strcmp(text, "etcdserver: no leader") == 0) {
        return false;
    }
    return code == GRPC_UNAVAILABLE || code == GRPC_INTERNAL;
}
