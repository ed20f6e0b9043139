/* What the HTTP side asks of the member. */
#include <stdlib.h>

#include "base/err.h"
#include "node.h"

static void wake(void *ctx)
{
    struct node *n = ctx;
    waker_wake(n->admin_waker);
}

static bool has_leader(void *ctx)
{
    struct node *n = ctx;
    return replica_has_leader(n->replica);
}

static bool is_learner(void *ctx)
{
    struct node *n = ctx;
    const struct member *m = members_find(&n->members, n->id);
    return m && m->is_learner;
}

static bool alarm_no_space(void *ctx)
{
    struct node *n = ctx;
    return apply_alarm_active(n->apply, PB__ALARM_TYPE__NOSPACE);
}

static bool alarm_corrupt(void *ctx)
{
    struct node *n = ctx;
    return apply_alarm_active(n->apply, PB__ALARM_TYPE__CORRUPT);
}

struct probe {
    struct replica_read base;
    struct node *node;
    void (*done)(void *ctx, const char *error);
    void *ctx;
};

/* One key is read, whether it is there or not: a store that cannot be read
 * is not healthy. */
static const char *read_store(struct node *n)
{
    struct mvcc_kv kv;
    int err = mvcc_get(n->mvcc, slice_str("health"), &kv);
    return err == 0 || err == ERR_KEY_NOT_FOUND ? NULL : err_text(err);
}

static void probe_done(struct replica_read *rd, int err)
{
    struct probe *p = container_of(rd, struct probe, base);
    const char *error = err == 0 ? read_store(p->node)
                        : err == ERR_LEADER_CHANGED
                            ? "etcdserver: leader changed"
                        : err == ERR_CLOSED ? "etcdserver: server stopped"
                                            : "etcdserver: request timed out";
    p->done(p->ctx, error);
    free(p);
}

static void probe_store(void *ctx, bool linearizable,
                        void (*done)(void *done_ctx, const char *error),
                        void *done_ctx)
{
    struct node *n = ctx;
    if (!linearizable) {
        done(done_ctx, read_store(n));
        return;
    }
    struct probe *p = mem_zalloc(sizeof *p);
    p->base.done = probe_done;
    p->node = n;
    p->done = done;
    p->ctx = done_ctx;
    replica_read(n->replica, &p->base);
}

static void on_admin(void *ctx)
{
    struct node *n = ctx;
    if (n->admin) {
        admin_poll(n->admin);
    }
}

int node_admin_start(struct node *n)
{
    const struct config *c = n->config;
    struct gateway_config gc = {
        .loop = n->loop,
        .server = n->grpc,
        .message_bytes_max = (uint32_t)c->max_request_bytes + 524288,
    };
    if (c->enable_grpc_gateway) {
        n->gateway = gateway_new(&gc);
    }
    struct admin_config ac = {
        .loop = n->loop,
        .rim =
            {
                .wake = wake,
                .has_leader = has_leader,
                .is_learner = is_learner,
                .alarm_no_space = alarm_no_space,
                .alarm_corrupt = alarm_corrupt,
                .read = probe_store,
                .version_json = node_version_json,
                .metrics = node_metrics,
                .vars_json = node_vars_json,
                .ctx = n,
            },
        .gateway = n->gateway,
        .cors = c->cors,
        .host_whitelist = c->host_whitelist,
        .has_metrics_port = c->listen_metrics_urls.count > 0,
    };
    n->admin_waker = waker_new(n->loop, on_admin, n);
    return admin_new(&ac, &n->admin);
}
