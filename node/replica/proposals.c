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
    }
    if (p->proposed && p->type == RAFT_ENTRY_NORMAL) {
        bytes_unref(p->data);
        p->data = NULL;
    } else if (p->proposed) {
        struct raft_status now;
        raft_get_status(r->raft, &now);
        p->passed_on = now.role != RAFT_LEADER;
    }
}

static void remember(struct replica *r, struct replica_proposal *p)
{
    p->started_ms = r->now_ms;
    p->deadline_ms = r->now_ms + r->config.request_timeout_ms;
    p->proposed = false;
    list_append(&r->proposals, &p->link);
    idmap_put(&r->by_id, p->id, p);
}

void replica_propose(struct replica *r, struct replica_proposal *p)
{
    remember(r, p);
    if (r->stopping) {
        finish(r, p, ERR_CLOSED);
        return;
    }
    try_propose(r, p);
}

int replica_propose_leading(struct replica *r, struct replica_proposal *p)
{
    struct raft_status now;
    raft_get_status(r->raft, &now);
    remember(r, p);
    if (now.role == RAFT_LEADER && !r->stopping) {
        try_propose(r, p);
    }
    if (!p->proposed) {
        forget(r, p);
        return ERR_NOT_LEADER;
    }
    return 0;
}

void replica_propose_cancel(struct replica *r, struct replica_proposal *p)
{
    if (idmap_get(&r->by_id, p->id) == p) {
        forget(r, p);
    }
}

void replica_returned(struct replica *r, struct raft_message *m)
{
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const struct raft_entry *e = &m->entries[i];
        struct replica_proposal *p =
            idmap_get(&r->by_id, r->rim.request_id(r->rim.ctx, e));
        if (p && p->proposed && p->data == NULL) {
            p->data = bytes_ref(e->data);
            p->proposed = false;
        }
    }
    raft_message_release(m);
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

/* A leader makes a conf change that comes too early an empty entry. Its own
 * bears the proposer's tag still. One that was passed on to it is nameless;
 * but whoever waits for such a one when it goes by, and has not found his
 * own before it, may be meant: he asks again with the next tick. */
static void emptied(struct replica *r, const struct raft_entry *e)
{
    bool is_first_of_term = e->term != r->applied_term;
    list_each(link, next, &r->proposals)
    {
        struct replica_proposal *p = proposal_of(link);
        bool mine = e->cookie ? e->cookie == p->id
                              : p->repeats && p->passed_on && !is_first_of_term;
        if (p->type == RAFT_ENTRY_CONF_CHANGE && p->proposed && mine) {
            p->proposed = false;
        }
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
    if (e->type == RAFT_ENTRY_NORMAL && e->data == NULL) {
        emptied(r, e);
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
