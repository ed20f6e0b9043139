/*
 * What is to be done, handed out once, and the reports that it was done.
 *
 * Writes become durable in the order in which they were handed out, so a
 * ring of what each one carried says what a report means. When the log is
 * cut below the end of a write under way, that write sinks to the cut: its
 * tail will be overwritten by a later one, and must not be counted even if
 * an equal entry comes back (an equal term and index is not enough).
 */
#include <assert.h>
#include <stdlib.h>

#include "internal.h"

static struct raft_write *write_at(const struct raft *r, uint32_t i)
{
    return &r->writes[(r->write_head + i) % r->write_capacity];
}

static void push_write(struct raft *r, uint64_t index)
{
    if (r->write_count == r->write_capacity) {
        uint32_t capacity = r->write_capacity ? r->write_capacity * 2 : 8;
        struct raft_write *grown = mem_alloc(capacity * sizeof *grown);
        for (uint32_t i = 0; i < r->write_count; i++) {
            grown[i] = *write_at(r, i);
        }
        free(r->writes);
        r->writes = grown;
        r->write_head = 0;
        r->write_capacity = capacity;
    }
    r->write_count++;
    *write_at(r, r->write_count - 1) =
        (struct raft_write){.index = index, .term = r->term};
}

void raft_ready_cut(struct raft *r, uint64_t index)
{
    for (uint32_t i = 0; i < r->write_count; i++) {
        struct raft_write *w = write_at(r, i);
        if (w->index >= index) {
            w->index = index ? index - 1 : 0;
        }
    }
}

static uint64_t appliable(const struct raft *r)
{
    const struct raft_log *l = &r->log;
    return l->commit < l->stable ? l->commit : l->stable;
}

static bool differs(const struct raft *r, const struct raft_hard_state *h)
{
    return h->term != r->term || h->vote != r->vote ||
           h->commit != r->log.commit;
}

static bool vote_differs(const struct raft *r)
{
    return r->handed_hard.term != r->term || r->handed_hard.vote != r->vote;
}

bool raft_has_ready(const struct raft *r)
{
    const struct raft_log *l = &r->log;
    return r->flush || r->incoming_new || r->state_count > 0 ||
           r->out[r->filling].count > 0 ||
           r->out_persist[r->filling].count > 0 ||
           l->written < raft_log_last(l) || appliable(r) > l->handed ||
           differs(r, &r->handed_hard) || raft_read_flushable(r);
}

static void hand_out_messages(struct raft *r, struct raft_ready *ready)
{
    uint32_t lent = r->filling;
    ready->messages = r->out[lent].items;
    ready->message_count = r->out[lent].count;
    ready->after_persist = r->out_persist[lent].items;
    ready->after_persist_count = r->out_persist[lent].count;
    ready->reads = r->states[lent];
    ready->read_count = r->state_count;
    r->filling = 1 - lent;
    r->out[r->filling].count = 0;
    r->out_persist[r->filling].count = 0;
    r->state_count = 0;
}

static void hand_out_entries(struct raft *r, struct raft_ready *ready)
{
    struct raft_log *l = &r->log;
    ready->entry_count = raft_log_last(l) - l->written;
    if (ready->entry_count) {
        ready->entries = raft_log_at(l, l->written + 1);
        l->written = raft_log_last(l);
    }
    ready->committed_count = appliable(r) - l->handed;
    if (ready->committed_count) {
        ready->committed = raft_log_at(l, l->handed + 1);
        l->handed += ready->committed_count;
    }
}

/* A caller may leave out a write of the commit index alone. Then the next
 * real write carries it: whoever holds a conf change must, after a crash,
 * still know that the one before it was committed (membership.c). */
static void hand_out_hard_state(struct raft *r, struct raft_ready *ready)
{
    ready->must_sync =
        ready->entry_count > 0 || ready->snapshot || vote_differs(r);
    ready->hard_state = (struct raft_hard_state){
        .term = r->term, .vote = r->vote, .commit = r->log.commit};
    ready->hard_state_changed =
        differs(r, ready->must_sync ? &r->synced_hard : &r->handed_hard);
    r->handed_hard = ready->hard_state;
    if (ready->must_sync) {
        r->synced_hard = ready->hard_state;
    }
}

void raft_ready(struct raft *r, struct raft_ready *ret_ready)
{
    struct raft_ready ready = {0};
    raft_read_flush(r);
    if (r->flush) {
        raft_replication_flush(r);
    }
    if (r->incoming_new) {
        r->incoming_new = false;
        r->handed_snapshot = r->incoming;
        ready.snapshot = &r->handed_snapshot;
    }
    hand_out_entries(r, &ready);
    hand_out_hard_state(r, &ready);
    hand_out_messages(r, &ready);
    if (ready.hard_state_changed || ready.entry_count || ready.snapshot ||
        ready.after_persist_count) {
        push_write(r, ready.entry_count ? r->log.written
                      : ready.snapshot  ? ready.snapshot->index
                                        : 0);
    }
    *ret_ready = ready;
}

void raft_persisted(struct raft *r, uint64_t index, uint64_t term)
{
    struct raft_log *l = &r->log;
    assert(r->write_count > 0);
    struct raft_write w = *write_at(r, 0);
    assert(index >= w.index && (index != 0 || w.index == 0));
    (void)term;
    (void)index;
    r->write_head = (r->write_head + 1) % r->write_capacity;
    r->write_count--;
    assert(w.index <= raft_log_last(l));
    if (w.index > l->stable) {
        l->stable = w.index;
    }
    if (w.term == r->term) {
        raft_election_vote_persisted(r);
    }
    struct raft_peer *self = raft_progress_find(r, r->config.id);
    if (r->role == RAFT_LEADER && self && self->match < l->stable) {
        self->match = l->stable;
        raft_replication_commit(r);
    }
}

/* Whoever answers will ask for what comes next, also after an image. */
uint64_t raft_waited_for(const struct raft *r, bool also_silent)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; r->role == RAFT_LEADER && i < r->peer_count; i++) {
        const struct raft_peer *p = &r->peers[i];
        bool answers = p->recent_active || p->was_active;
        if (p->id == r->config.id || !(answers || also_silent)) {
            continue;
        }
        uint64_t has = p->state == RAFT_SNAPSHOT ? p->pending_snapshot
                       : p->state == RAFT_PROBE  ? p->next - 1
                                                 : p->match;
        least = has < least ? has : least;
    }
    return least;
}

/* Oldest first, but not beyond `end`, until no more than `bytes_max` stay. */
static void shrink_log(struct raft_log *l, uint64_t bytes_max, uint64_t end)
{
    uint64_t bytes = l->bytes;
    uint64_t drop = l->base_index;
    while (bytes > bytes_max && drop < end) {
        const struct bytes *data = raft_log_at(l, ++drop)->data;
        bytes -= data ? data->size : 0;
    }
    if (drop > l->base_index) {
        raft_log_compact(l, drop);
    }
}

void raft_applied(struct raft *r, uint64_t index)
{
    struct raft_log *l = &r->log;
    assert(index <= l->handed);
    if (index <= l->applied) {
        return;
    }
    l->applied = index;
    raft_election_applied(r);
    if (r->incoming.index && index >= r->incoming.index) {
        r->incoming.index = 0;
    }
    if (r->config.log_bytes_max == 0 || l->bytes <= r->config.log_bytes_max ||
        r->incoming.index) {
        return;
    }
    uint64_t waited_for = raft_waited_for(r, false);
    shrink_log(l, r->config.log_bytes_max,
               waited_for < index ? waited_for : index);
    shrink_log(l, r->config.log_bytes_waited_max, index);
}

void raft_compact(struct raft *r, uint64_t index)
{
    uint64_t applied = r->log.applied;
    if (r->incoming.index == 0) {
        raft_log_compact(&r->log, index < applied ? index : applied);
    }
}
