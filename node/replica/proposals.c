#include "base/err.h"
#include "internal.h"

static struct replica_proposal *proposal_of(struct list *link)
{
    return container_of(link, struct replica_proposal, link);
}

static void forget(struct replica *r, struct replica_proposal *p)
{
    list_remove(&p->link);
    idmap_take(&r->by_id, p->id);
    bytes_unref(p->data);
    p->data = NULL;
}

static void finish(struct replica *r, struct replica_proposal *p, int err)
{
    forget(r, p);
    p->done(p, err);
}

/* Hands the entry to Raft; without a leader it stays where it is. */
static void try_propose(struct replica *r, struct replica_proposal *p)
{
    int err = raft_propose(r->raft, p->type, p->data, p->id);
    p->proposed = err == 0;
    if (p->proposed) {
        p->term = r->status.term;
        bytes_unref(p->data);
        p->data = NULL;
    }
}

void replica_propose(struct replica *r, struct replica_proposal *p)
{
    p->started_ms = r->now_ms;
    p->deadline_ms = r->now_ms + r->config.request_timeout_ms;
    p->proposed = false;
    list_append(&r->proposals, &p->link);
    idmap_put(&r->by_id, p->id, p);
    if (r->stopping) {
        finish(r, p, ERR_CLOSED);
        return;
    }
    try_propose(r, p);
}

void replica_propose_cancel(struct replica *r, struct replica_proposal *p)
{
    if (idmap_get(&r->by_id, p->id) == p) {
        forget(r, p);
    }
}

void replica_proposals_retry(struct replica *r)
{
    list_each(link, next, &r->proposals)
    {
        struct replica_proposal *p = proposal_of(link);
        if (!p->proposed) {
            try_propose(r, p);
        }
    }
}

void replica_proposals_expire(struct replica *r)
{
    while (!list_empty(&r->proposals)) {
        struct replica_proposal *p = proposal_of(r->proposals.next);
        if (p->deadline_ms > r->now_ms) {
            return;
        }
        r->stats.proposals_failed++;
        finish(r, p, p->proposed ? ERR_TIMEOUT : ERR_NO_LEADER);
    }
}

/* The waiter of a committed entry leaves the lists; rim.apply and then
 * done() are the caller's. */
struct replica_proposal *replica_proposals_take(struct replica *r,
                                                const struct raft_entry *e)
{
    if (r->by_id.count == 0) {
        return NULL;
    }
    uint64_t id = e->cookie ? e->cookie : r->rim.request_id(r->rim.ctx, e);
    struct replica_proposal *p = idmap_get(&r->by_id, id);
    if (p) {
        forget(r, p);
    }
    return p;
}

void replica_proposals_close(struct replica *r)
{
    while (!list_empty(&r->proposals)) {
        finish(r, proposal_of(r->proposals.next), ERR_CLOSED);
    }
}

void replica_get_stats(const struct replica *r, struct replica_stats *ret)
{
    *ret = r->stats;
}

uint32_t replica_pending(const struct replica *r)
{
    return (uint32_t)r->by_id.count;
}
