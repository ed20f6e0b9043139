#include "base/err.h"
#include "net/net.h"
#include "srv/internal.h"

enum { DIAL_MS = 5000 };

struct sweep {
    struct loop *loop;
    uint32_t pending;
};

struct probe {
    struct sweep *sweep;
    int err;
};

static void on_dialed(void *ctx, struct conn *c, int err)
{
    struct probe *p = ctx;
    p->err = err;
    if (c) {
        conn_close(c, false);
    }
    if (--p->sweep->pending == 0) {
        loop_stop(p->sweep->loop);
    }
}

static void dial(struct probe *p, const struct srv_record *r)
{
    struct net_address a = {.port = r->port};
    memcpy(a.host, r->target, sizeof a.host);
    p->sweep->pending++;
    net_dial(p->sweep->loop, &a, DIAL_MS, on_dialed, p);
}

static void complain(const struct srv_record *r, int err, struct buf *why)
{
    buf_append_str(why, why->size ? ",\"" : "\"");
    srv_endpoint_text(r, why);
    if (r->tls) {
        buf_printf(why, "\" failed to dial (%s)", err_text(err));
    } else {
        buf_append_str(why, "\" is insecure");
    }
}

int srv_keep_reachable(struct srv_list *l, struct buf *why)
{
    struct sweep sweep = {.loop = NULL};
    struct probe probes[SRV_RECORDS_MAX] = {{0}};
    uint32_t kept = 0;
    int err = loop_new(&sweep.loop);
    if (err) {
        return err;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        probes[i].sweep = &sweep;
        if (l->list[i].tls) {
            dial(&probes[i], &l->list[i]);
        }
    }
    if (sweep.pending) {
        loop_run(sweep.loop);
    }
    loop_free(sweep.loop);
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->list[i].tls && probes[i].err == 0) {
            l->list[kept++] = l->list[i];
        } else {
            complain(&l->list[i], probes[i].err, why);
        }
    }
    l->count = kept;
    return 0;
}
