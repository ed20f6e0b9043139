#include "roster.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "proto/proto.h"
#include "uplink.h"

enum { LOAD_MS = 5000, PAUSE_MS_MIN = 1000, PAUSE_MS_MAX = 10000 };

static const char *const no_metadata[] = {NULL};

struct roster {
    struct upstream *upstream;
    struct uplink_door door;
    struct registry *registry;
    struct buf key; /* range, as the members know it */
    struct buf end;
    struct timer *again; /* begin anew */
    uint64_t pause_ms;
    struct upstream_call *load; /* NULL: none under way */
    struct buf request;
    int err; /* of what the load was answered; ERR_NOT_FOUND: nothing yet */
    void *uplink;
    bool is_over; /* the watch; what still comes says nothing */
};

static void restart_later(struct roster *r)
{
    r->is_over = true;
    timer_start(r->again, r->pause_ms, 0);
    r->pause_ms *= 2;
    r->pause_ms = r->pause_ms < PAUSE_MS_MAX ? r->pause_ms : PAUSE_MS_MAX;
}

/* ---- the watch ---- */

static void on_up(void *ctx)
{
    struct roster *r = ctx;
    struct buf create = BUF_INIT(UINT32_MAX), message = BUF_INIT(UINT32_MAX);
    if (r->is_over) {
        return;
    }
    proto_add_bytes(&create, 1, buf_slice(&r->key));
    proto_add_bytes(&create, 2, buf_slice(&r->end));
    proto_add_u64(&create, 3, (uint64_t)registry_next(r->registry));
    proto_add_message(&message, 1, buf_slice(&create));
    r->door.send(r->uplink, buf_slice(&message));
    buf_release(&create);
    buf_release(&message);
}

static void on_watch(void *ctx, struct slice message)
{
    struct roster *r = ctx;
    if (r->is_over) {
        return;
    }
    int err = registry_watch(r->registry, message);
    if (err) {
        log_warn("the watch of the registered proxies is over", LOG_ERR(err));
        restart_later(r);
        return;
    }
    r->pause_ms = PAUSE_MS_MIN;
}

static bool on_down(void *ctx, enum grpc_code code, const char *text)
{
    struct roster *r = ctx;
    if (uplink_may_resume(code, text, false)) {
        return true;
    }
    r->uplink = NULL;
    if (!r->is_over) {
        log_warn("the watch of the registered proxies is over",
                 LOG_STR("error", text));
        restart_later(r);
    }
    return false;
}

static void watch(struct roster *r)
{
    static const struct uplink_handler handler = {on_up, on_watch, on_down};
    r->is_over = false;
    r->uplink = r->door.open(r->door.ctx, "/etcdserverpb.Watch/Watch",
                             no_metadata, &handler, r);
}

/* ---- the load ---- */

static void on_range(void *ctx, struct slice message)
{
    struct roster *r = ctx;
    r->err = registry_load(r->registry, message);
}

static void on_range_status(void *ctx, enum grpc_code code, const char *text)
{
    struct roster *r = ctx;
    r->load = NULL;
    if (code == GRPC_OK && r->err == 0) {
        watch(r);
        return;
    }
    log_warn("failed to read the registered proxies",
             LOG_STR("error", code != GRPC_OK ? text : err_text(r->err)));
    restart_later(r);
}

static void load(void *ctx)
{
    static const struct grpc_client_handler handler = {on_range,
                                                       on_range_status};
    struct roster *r = ctx;
    if (r->uplink) {
        r->door.close(r->uplink);
        r->uplink = NULL;
    }
    struct upstream_ask a = {
        .path = "/etcdserverpb.KV/Range",
        .metadata = no_metadata,
        .message = buf_slice(&r->request),
        .deadline_ns = loop_now_ns(upstream_loop(r->upstream)) +
                       LOAD_MS * UINT64_C(1000000),
        .waits = true,
        .repeats = true,
    };
    r->err = ERR_NOT_FOUND;
    r->load = upstream_start(r->upstream, &a, &handler, r);
}

/* ---- the door ---- */

/* The keys that begin with "PREFIX/" end where those with "PREFIX0" begin,
 * which is the next byte. */
static void make_range(struct roster *r, const struct name_space *ns,
                       const char *prefix)
{
    buf_init(&r->key, UINT32_MAX);
    buf_init(&r->end, UINT32_MAX);
    buf_init(&r->request, UINT32_MAX);
    name_space_key(ns, slice_str(prefix), &r->key);
    buf_append_slice(&r->end, buf_slice(&r->key));
    buf_append_byte(&r->key, '/');
    buf_append_byte(&r->end, '/' + 1);
    proto_add_bytes(&r->request, 1, buf_slice(&r->key));
    proto_add_bytes(&r->request, 2, buf_slice(&r->end));
    proto_add_u64(&r->request, 3, REGISTRY_COUNT_MAX);
    proto_add_u64(&r->request, 7, true); /* serializable: the watch goes on */
}

struct roster *roster_new(struct upstream *u, const struct name_space *ns,
                          const char *prefix)
{
    struct roster *r = mem_zalloc(sizeof *r);
    r->upstream = u;
    r->door = uplink_door_of(u);
    r->registry = registry_new();
    r->pause_ms = PAUSE_MS_MIN;
    make_range(r, ns, prefix);
    r->again = timer_new(upstream_loop(u), load, r);
    timer_start(r->again, 0, 0);
    return r;
}

const struct registry *roster_registry(const struct roster *r)
{
    return r->registry;
}

void roster_free(struct roster *r)
{
    if (r == NULL) {
        return;
    }
    if (r->load) {
        upstream_cancel(r->load);
    }
    if (r->uplink) {
        r->door.close(r->uplink);
    }
    timer_free(r->again);
    registry_free(r->registry);
    buf_release(&r->key);
    buf_release(&r->end);
    buf_release(&r->request);
    free(r);
}
