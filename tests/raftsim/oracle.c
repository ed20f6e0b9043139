/*
 * What must hold at every step, whatever the weather:
 *   - at most one leader a term (dissertation 3.2)
 *   - two logs that share an entry share all before it (log matching)
 *   - a leader holds everything committed before it led (completeness)
 *   - a leader commits by counting only entries of its own term (3.6.2)
 *   - every member commits and applies the same entries in the same places
 *   - configurations are the same at the same index
 *   - a read index is not older than what was applied when it was asked
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "sim.h"

/* An entry anyone ever wrote; together they say what its log looked like. */
struct seen_entry {
    struct table_link link;
    uint64_t index;
    uint64_t term;
    uint64_t before; /* term of the entry before it; UNKNOWN: compacted */
    uint64_t content;
};

enum { UNKNOWN_TERM = UINT32_MAX };

struct committed_entry {
    uint64_t term;
    uint64_t content;
    bool content_known;
};

struct conf_at {
    uint64_t index;
    struct raft_conf_state conf;
};

struct oracle {
    struct table entries;
    uint64_t *leaders; /* by term; 0: none yet */
    uint64_t leader_capacity;
    struct committed_entry *committed; /* by index; [0] unused */
    uint64_t committed_max;
    uint64_t committed_capacity;
    uint64_t applied_max;
    uint64_t acked_max;
    struct conf_at *confs; /* ascending */
    uint64_t conf_count;
    uint64_t removed_at[SIM_IDS_MAX];
};

struct oracle *oracle_new(void)
{
    return mem_zalloc(sizeof(struct oracle));
}

void oracle_free(struct oracle *o)
{
    for (size_t i = 0; i < o->entries.slot_count; i++) {
        struct table_link *next;
        for (struct table_link *t = o->entries.slots[i]; t; t = next) {
            next = t->next;
            free(container_of(t, struct seen_entry, link));
        }
    }
    table_release(&o->entries);
    free(o->leaders);
    free(o->committed);
    free(o->confs);
    free(o);
}

static uint64_t content_of(const struct raft_entry *e)
{
    return table_hash(bytes_slice(e->data)) * 31 + (uint64_t)e->type;
}

static struct seen_entry *find_entry(struct oracle *o, uint64_t index,
                                     uint64_t term)
{
    uint64_t hash = table_hash_u64(index, term);
    for (struct table_link *t = table_find(&o->entries, hash); t;
         t = table_next(t)) {
        struct seen_entry *e = container_of(t, struct seen_entry, link);
        if (e->index == index && e->term == term) {
            return e;
        }
    }
    return NULL;
}

static void see_entry(struct sim *s, const struct sim_node *n,
                      const struct raft_entry *e, uint64_t before)
{
    struct seen_entry *known = find_entry(s->oracle, e->index, e->term);
    if (known == NULL) {
        known = mem_zalloc(sizeof *known);
        known->index = e->index;
        known->term = e->term;
        known->before = before;
        known->content = content_of(e);
        table_add(&s->oracle->entries, &known->link,
                  table_hash_u64(e->index, e->term));
    }
    if (known->before == UNKNOWN_TERM) {
        known->before = before;
    }
    if (known->content != content_of(e) ||
        (before != UNKNOWN_TERM && known->before != before)) {
        sim_fail(s,
                 "log matching: entry %" PRIu64 "/%" PRIu64 " of %" PRIu64
                 " differs from another's",
                 e->index, e->term, n->id);
    }
}

void oracle_see_entries(struct sim *s, const struct sim_node *n,
                        const struct raft_entry *entries, uint64_t count)
{
    uint64_t before = UNKNOWN_TERM;
    if (count && entries[0].index == 1) {
        before = 0;
    } else if (count && n->raft) {
        uint64_t term = raft_term_at(n->raft, entries[0].index - 1);
        before = term ? term : UNKNOWN_TERM;
    }
    for (uint64_t i = 0; i < count; i++) {
        see_entry(s, n, &entries[i], before);
        before = entries[i].term;
    }
}

/* ---- committed ---- */

static struct committed_entry *grow_committed(struct oracle *o, uint64_t index)
{
    if (index >= o->committed_capacity) {
        uint64_t capacity = (index + 1) * 2;
        o->committed =
            mem_realloc(o->committed, capacity * sizeof *o->committed);
        memset(o->committed + o->committed_capacity, 0,
               (capacity - o->committed_capacity) * sizeof *o->committed);
        o->committed_capacity = capacity;
    }
    if (index > o->committed_max) {
        o->committed_max = index;
    }
    return &o->committed[index];
}

static void see_committed(struct sim *s, const struct sim_node *n,
                          uint64_t index, uint64_t term)
{
    struct committed_entry *c = grow_committed(s->oracle, index);
    if (c->term == 0) {
        c->term = term;
    } else if (c->term != term) {
        sim_fail(s,
                 "state machine safety: %" PRIu64 " committed %" PRIu64
                 " with term %" PRIu64 ", another with %" PRIu64,
                 n->id, index, term, c->term);
    }
}

void oracle_see_applied(struct sim *s, const struct sim_node *n,
                        const struct raft_entry *e)
{
    if (e->index != n->applied + 1) {
        sim_fail(s, "%" PRIu64 " applies %" PRIu64 " after %" PRIu64, n->id,
                 e->index, n->applied);
    }
    see_committed(s, n, e->index, e->term);
    struct committed_entry *c = &s->oracle->committed[e->index];
    if (!c->content_known) {
        c->content_known = true;
        c->content = content_of(e);
    } else if (c->content != content_of(e)) {
        sim_fail(s,
                 "state machine safety: %" PRIu64
                 " applied another entry at %" PRIu64,
                 n->id, e->index);
    }
    if (e->index > s->oracle->applied_max) {
        s->oracle->applied_max = e->index;
    }
}

void oracle_see_acked(struct sim *s, uint64_t index)
{
    if (index > s->oracle->acked_max) {
        s->oracle->acked_max = index;
    }
}

uint64_t oracle_applied_max(const struct sim *s)
{
    return s->oracle->applied_max;
}

uint64_t oracle_committed_max(const struct sim *s)
{
    return s->oracle->committed_max;
}

uint64_t oracle_acked_max(const struct sim *s)
{
    return s->oracle->acked_max;
}

uint64_t oracle_term_of(const struct sim *s, uint64_t index)
{
    return index <= s->oracle->committed_max && index > 0
               ? s->oracle->committed[index].term
               : 0;
}

/* ---- leaders ---- */

static void see_leader(struct sim *s, const struct sim_node *n, uint64_t term)
{
    struct oracle *o = s->oracle;
    if (term >= o->leader_capacity) {
        uint64_t capacity = (term + 1) * 2;
        o->leaders = mem_realloc(o->leaders, capacity * sizeof *o->leaders);
        memset(o->leaders + o->leader_capacity, 0,
               (capacity - o->leader_capacity) * sizeof *o->leaders);
        o->leader_capacity = capacity;
    }
    if (o->leaders[term] == 0) {
        o->leaders[term] = n->id;
    } else if (o->leaders[term] != n->id) {
        sim_fail(s,
                 "election safety: %" PRIu64 " and %" PRIu64
                 " lead term %" PRIu64,
                 o->leaders[term], n->id, term);
    }
}

/* It began to lead: what was committed in earlier terms is in its log. */
static void check_complete(struct sim *s, const struct sim_node *n,
                           const struct raft_status *now)
{
    const struct oracle *o = s->oracle;
    for (uint64_t i = now->first_index; i <= o->committed_max; i++) {
        if (o->committed[i].term != 0 && o->committed[i].term < now->term &&
            raft_term_at(n->raft, i) != o->committed[i].term) {
            sim_fail(s,
                     "leader completeness: %" PRIu64 " leads term %" PRIu64
                     " without entry %" PRIu64 "/%" PRIu64,
                     n->id, now->term, i, o->committed[i].term);
            return;
        }
    }
}

static void see_commits(struct sim *s, const struct sim_node *n,
                        const struct raft_status *now)
{
    if (now->commit < n->seen.commit) {
        sim_fail(s, "%" PRIu64 " takes back its commit index", n->id);
    }
    if (now->role == RAFT_LEADER && n->seen.role == RAFT_LEADER &&
        now->term == n->seen.term && now->commit > n->seen.commit &&
        raft_term_at(n->raft, now->commit) != now->term) {
        sim_fail(s,
                 "%" PRIu64 " leads term %" PRIu64 " and commits entry %" PRIu64
                 " of an older one",
                 n->id, now->term, now->commit);
    }
    for (uint64_t i = n->seen.commit + 1; i <= now->commit; i++) {
        uint64_t term = raft_term_at(n->raft, i);
        if (term) {
            see_committed(s, n, i, term);
        }
    }
}

void oracle_see_status(struct sim *s, struct sim_node *n)
{
    struct raft_status now;
    if (s->failure[0]) {
        return;
    }
    raft_get_status(n->raft, &now);
    if (now.term < n->seen.term) {
        sim_fail(s, "%" PRIu64 " goes back in terms", n->id);
    }
    if (now.role == RAFT_LEADER) {
        see_leader(s, n, now.term);
        if (n->seen.role != RAFT_LEADER || n->seen.term != now.term) {
            s->elections++;
            check_complete(s, n, &now);
        }
    }
    see_commits(s, n, &now);
    n->seen = now;
}

/* ---- configurations ---- */

uint64_t oracle_conf_at(const struct sim *s, uint64_t index,
                        struct raft_conf_state *ret_conf)
{
    const struct oracle *o = s->oracle;
    *ret_conf = (struct raft_conf_state){0};
    for (uint64_t i = o->conf_count; i > 0; i--) {
        if (o->confs[i - 1].index <= index) {
            *ret_conf = o->confs[i - 1].conf;
            return o->confs[i - 1].index;
        }
    }
    return 0;
}

static bool same_conf(const struct raft_conf_state *a,
                      const struct raft_conf_state *b)
{
    return a->voter_count == b->voter_count &&
           a->learner_count == b->learner_count &&
           memcmp(a->voters, b->voters, a->voter_count * sizeof a->voters[0]) ==
               0 &&
           memcmp(a->learners, b->learners,
                  a->learner_count * sizeof a->learners[0]) == 0;
}

void oracle_see_conf(struct sim *s, const struct sim_node *n, uint64_t index,
                     const struct raft_conf_state *conf)
{
    struct oracle *o = s->oracle;
    struct raft_conf_state known;
    if (o->conf_count == 0 || o->confs[o->conf_count - 1].index < index) {
        o->confs =
            mem_realloc(o->confs, (o->conf_count + 1) * sizeof *o->confs);
        o->confs[o->conf_count++] =
            (struct conf_at){.index = index, .conf = *conf};
        return;
    }
    oracle_conf_at(s, index, &known);
    if (!same_conf(&known, conf)) {
        sim_fail(s,
                 "configuration after %" PRIu64 " of %" PRIu64
                 " differs from another's",
                 index, n->id);
    }
}

void oracle_see_removed(struct sim *s, uint64_t id, uint64_t index)
{
    uint64_t *at = &s->oracle->removed_at[id];
    if (*at == 0 || index < *at) {
        *at = index;
    }
}

bool oracle_was_removed(const struct sim *s, uint64_t id, uint64_t index)
{
    uint64_t at = id < SIM_IDS_MAX ? s->oracle->removed_at[id] : 0;
    return at != 0 && at < index;
}
