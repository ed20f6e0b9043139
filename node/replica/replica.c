#include "replica.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "internal.h"

int replica_new(const struct replica_config *config,
                const struct raft_restore *restore,
                const struct replica_rim *rim, struct replica **ret_replica)
{
    struct replica *r = mem_zalloc(sizeof *r);
    int err = raft_new(&config->raft, restore, &r->raft);
    if (err) {
        free(r);
        return err;
    }
    r->config = *config;
    r->rim = *rim;
    list_init(&r->proposals);
    list_init(&r->batches);
    list_init(&r->new_reads);
    list_init(&r->persists);
    /* A restarted member must not take answers to its former life's
     * questions for its own. */
    r->next_request = config->raft.seed << 20;
    raft_get_status(r->raft, &r->status);
    *ret_replica = r;
    return 0;
}

/* Raft's views hold only until it is called again, and apply, done and
 * persist call it: so copies that own their data. */
static struct raft_entry *entries_copy(const struct raft_entry *entries,
                                       uint64_t count)
{
    struct raft_entry *copy = mem_alloc(count * sizeof *copy);
    for (uint64_t i = 0; i < count; i++) {
        copy[i] = entries[i];
        bytes_ref(copy[i].data);
    }
    return copy;
}

static void entries_free(struct raft_entry *entries, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        bytes_unref(entries[i].data);
    }
    free(entries);
}

void replica_free(struct replica *r)
{
    if (r == NULL) {
        return;
    }
    replica_stop(r);
    while (!list_empty(&r->persists)) {
        struct persist *p =
            container_of(r->persists.next, struct persist, link);
        list_remove(&p->link);
        for (uint32_t i = 0; i < p->message_count; i++) {
            raft_message_release(&p->messages[i]);
        }
        free(p);
    }
    if (r->installing) {
        for (uint32_t i = 0; i < r->held.after_persist_count; i++) {
            raft_message_release(&r->held.after_persist[i]);
        }
        entries_free((struct raft_entry *)(uintptr_t)r->held.entries,
                     r->held.entry_count);
        free(r->held.after_persist);
    }
    idmap_release(&r->by_id);
    raft_free(r->raft);
    free(r);
}

void replica_stop(struct replica *r)
{
    r->stopping = true;
    replica_proposals_close(r);
    replica_reads_fail(r, ERR_CLOSED);
}

static void note_changes(struct replica *r)
{
    struct raft_status before = r->status;
    for (char *text; (text = raft_take_note(r->raft)); free(text)) {
        r->rim.note(r->rim.ctx, text);
    }
    raft_get_status(r->raft, &r->status);
    const struct raft_status *now = &r->status;
    if (before.leader == now->leader && before.role == now->role &&
        before.term == now->term && before.is_learner == now->is_learner) {
        return;
    }
    if (now->leader == 0 && before.leader != 0) {
        r->leaderless_since_ms = r->now_ms ? r->now_ms : 1;
    } else if (now->leader != 0) {
        r->leaderless_since_ms = 0;
    }
    if (now->leader != 0 && now->leader != before.leader) {
        replica_reads_fail(r, ERR_LEADER_CHANGED);
        replica_proposals_retry(r);
    }
    r->rim.changed(r->rim.ctx, &before, now);
}

void replica_tick(struct replica *r, uint64_t now_ms)
{
    r->now_ms = now_ms;
    if (r->leaderless_since_ms == 0 && r->status.leader == 0) {
        r->leaderless_since_ms = now_ms ? now_ms : 1;
    }
    raft_tick(r->raft);
    replica_proposals_retry(r);
    replica_proposals_expire(r);
    replica_reads_expire(r);
}

void replica_step(struct replica *r, struct raft_message *m)
{
    raft_step(r->raft, m);
}

/* Durable, or nothing to be made durable: the messages may leave. */
static void release_persist(struct replica *r, struct persist *p)
{
    list_remove(&p->link);
    if (p->message_count) {
        r->rim.send(r->rim.ctx, p->messages, p->message_count);
    }
    raft_persisted(r->raft, p->index, p->term);
    free(p);
}

void replica_persisted(struct replica *r, uint64_t sequence)
{
    while (!list_empty(&r->persists)) {
        struct persist *p =
            container_of(r->persists.next, struct persist, link);
        if (p->sequence > sequence) {
            return;
        }
        release_persist(r, p);
    }
}

/* Writes one ready and queues what waits for it. A ready that changed only
 * the commit index needs no write of its own: it is known again from the
 * others, or by a majority of one. */
static void persist_ready(struct replica *r, const struct raft_ready *ready)
{
    bool writes = ready->must_sync || ready->entry_count;
    bool counts = writes || ready->hard_state_changed || ready->snapshot;
    if (writes) {
        r->last_sequence = r->rim.persist(r->rim.ctx, ready);
    }
    if (!counts && ready->after_persist_count == 0) {
        return;
    }
    uint32_t n = ready->after_persist_count;
    struct persist *p = mem_alloc(sizeof *p + n * sizeof p->messages[0]);
    p->sequence = r->last_sequence;
    p->index = 0;
    p->term = ready->hard_state.term;
    if (ready->entry_count) {
        const struct raft_entry *last = &ready->entries[ready->entry_count - 1];
        p->index = last->index;
        p->term = last->term;
    } else if (ready->snapshot) {
        p->index = ready->snapshot->index;
        p->term = ready->snapshot->term;
    }
    p->message_count = n;
    if (n) {
        memcpy(p->messages, ready->after_persist, n * sizeof p->messages[0]);
    }
    list_append(&r->persists, &p->link);
    if (!writes && r->persists.next == &p->link) {
        release_persist(r, p); /* nothing is under way before it */
    }
}

static void apply_committed(struct replica *r, const struct raft_entry *entries,
                            uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct replica_proposal *p = replica_proposals_take(r, &entries[i]);
        r->rim.apply(r->rim.ctx, &entries[i], p);
        raft_applied(r->raft, entries[i].index);
        r->applied_term = entries[i].term;
        if (p) {
            p->done(p, 0);
        }
    }
    r->rim.applied(r->rim.ctx);
}

/* A ready with a store image is written and answered only when the image
 * is in place. */
static void hold_ready(struct replica *r, const struct raft_ready *ready,
                       const struct raft_snapshot_meta *meta)
{
    r->held = *ready;
    r->held_meta = *meta;
    r->held.snapshot = &r->held_meta;
    r->held.entries = entries_copy(ready->entries, ready->entry_count);
    r->held.after_persist =
        mem_dup(ready->after_persist,
                ready->after_persist_count * sizeof *ready->after_persist);
    r->installing = true;
    r->rim.install(r->rim.ctx, &r->held_meta);
}

void replica_installed(struct replica *r, const struct raft_snapshot_meta *meta)
{
    struct raft_ready held = r->held;
    assert(r->installing);
    r->installing = false;
    r->held = (struct raft_ready){0};
    raft_applied(r->raft, meta->index);
    persist_ready(r, &held);
    entries_free((struct raft_entry *)(uintptr_t)held.entries,
                 held.entry_count);
    free(held.after_persist);
}

static void handle_ready(struct replica *r)
{
    struct raft_ready ready;
    raft_ready(r->raft, &ready);
    struct raft_entry *committed =
        entries_copy(ready.committed, ready.committed_count);
    uint64_t count = ready.committed_count;
    replica_reads_answered(r, ready.reads, ready.read_count);
    if (ready.message_count) {
        r->rim.send(r->rim.ctx, ready.messages, ready.message_count);
    }
    if (ready.snapshot) {
        struct raft_snapshot_meta meta = *ready.snapshot;
        hold_ready(r, &ready, &meta);
    } else {
        persist_ready(r, &ready);
    }
    if (count) {
        apply_committed(r, committed, count);
    }
    entries_free(committed, count);
}

void replica_pass(struct replica *r, uint64_t now_ms)
{
    r->now_ms = now_ms;
    replica_reads_ask(r);
    while (!r->installing && raft_has_ready(r->raft)) {
        handle_ready(r);
        replica_reads_ask(r);
    }
    note_changes(r);
    replica_reads_serve(r);
}

void replica_transfer(struct replica *r, uint64_t to)
{
    raft_transfer_leader(r->raft, to);
}

uint32_t replica_progress(struct replica *r, struct raft_progress *ret,
                          uint32_t capacity)
{
    return raft_get_progress(r->raft, ret, capacity);
}

void replica_conf_applied(struct replica *r, enum raft_conf_change_type type,
                          uint64_t node_id, struct raft_conf_state *ret_conf)
{
    raft_apply_conf_change(r->raft, type, node_id, ret_conf);
}

struct raft *replica_raft(struct replica *r)
{
    return r->raft;
}

const struct raft_status *replica_status(struct replica *r)
{
    raft_get_status(r->raft, &r->asked);
    return &r->asked;
}

bool replica_has_leader(struct replica *r)
{
    struct raft_status now;
    raft_get_status(r->raft, &now);
    return now.leader != 0;
}

uint64_t replica_leaderless_ms(struct replica *r)
{
    return r->leaderless_since_ms && r->now_ms > r->leaderless_since_ms
               ? r->now_ms - r->leaderless_since_ms
               : 0;
}
