/*
 * What the store must be: every entry is applied here once, by whoever
 * reaches its index first, on plain arrays; each member is held against it.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/table.h"
#include "sim.h"

void sim_model_init(struct sim_model *o)
{
    o->capacity = 1024;
    o->at = mem_zalloc(o->capacity * sizeof *o->at);
    o->logs = mem_zalloc(o->capacity * sizeof *o->logs);
    o->revision = 1;
    o->compacted = -1;
    o->at[0].revision = 1;
    o->at[0].compacted = -1;
    for (int k = 0; k < SIM_KEYS; k++) {
        o->newest[k] = -1;
    }
}

static void make_room(struct sim_model *o, uint64_t index)
{
    while (index >= o->capacity) {
        uint64_t wider = o->capacity * 2;
        o->at = mem_realloc(o->at, wider * sizeof *o->at);
        o->logs = mem_realloc(o->logs, wider * sizeof *o->logs);
        memset(o->at + o->capacity, 0, o->capacity * sizeof *o->at);
        memset(o->logs + o->capacity, 0, o->capacity * sizeof *o->logs);
        o->capacity = wider;
    }
}

static uint64_t entry_hash(const struct raft_entry *e)
{
    return table_hash_u64(table_hash(bytes_slice(e->data)),
                          (uint64_t)e->type + 1);
}

/* Log matching (dissertation 3.5): index and term name one entry. */
void sim_model_see_log(struct sim *s, const struct sim_member *m,
                       const struct raft_entry *entries, uint64_t count)
{
    struct sim_model *o = &s->model;
    for (uint64_t i = 0; i < count; i++) {
        const struct raft_entry *e = &entries[i];
        make_room(o, e->index);
        struct sim_log *log = &o->logs[e->index];
        uint32_t at = 0;
        while (at < log->count && log->seen[at].term != e->term) {
            at++;
        }
        if (at == log->count) {
            log->seen = mem_realloc(log->seen, (at + 1) * sizeof *log->seen);
            log->seen[log->count++] =
                (struct sim_seen_entry){e->term, entry_hash(e)};
        } else if (log->seen[at].hash != entry_hash(e)) {
            sim_fail(s,
                     "m%" PRIu32 ": two entries %" PRIu64 " of term %" PRIu64,
                     m->place, e->index, e->term);
        }
    }
}

/* ---- history ---- */

const struct sim_event *sim_model_get(const struct sim_model *o, uint8_t key,
                                      int64_t revision)
{
    int32_t i = o->newest[key];
    while (i >= 0 && o->events[i].revision > revision) {
        i = o->events[i].before;
    }
    return i >= 0 ? &o->events[i] : NULL;
}

static const struct sim_event *get_live(const struct sim_model *o, uint8_t key,
                                        int64_t revision)
{
    const struct sim_event *e = sim_model_get(o, key, revision);
    return e && e->create_revision ? e : NULL;
}

static bool in_range(uint8_t k, uint8_t key, uint8_t end)
{
    return end ? k >= key && k < end : k == key;
}

int32_t sim_model_next_event(const struct sim_model *o, int32_t from,
                             uint8_t key, uint8_t end, int64_t revision)
{
    for (int32_t i = from; i < o->event_count; i++) {
        const struct sim_event *e = &o->events[i];
        if (e->revision >= revision && in_range(e->key, key, end)) {
            return i;
        }
    }
    return -1;
}

static void add_event(struct sim_model *o, const struct sim_event *e)
{
    if (o->event_count == o->event_capacity) {
        o->event_capacity = o->event_capacity ? o->event_capacity * 2 : 1024;
        o->events = mem_realloc(o->events,
                                (size_t)o->event_capacity * sizeof *o->events);
    }
    o->events[o->event_count] = *e;
    o->events[o->event_count].before = o->newest[e->key];
    o->newest[e->key] = o->event_count++;
}

static struct sim_lease *find_lease(struct sim_model *o, int64_t id)
{
    for (uint32_t i = 0; i < o->lease_count; i++) {
        if (o->leases[i].id == id && o->leases[i].to == 0) {
            return &o->leases[i];
        }
    }
    return NULL;
}

/* ---- effects ---- */

static void put(struct sim_model *o, uint8_t key, uint32_t value, int64_t lease)
{
    const struct sim_event *old = get_live(o, key, INT64_MAX);
    int64_t revision = o->revision + 1;
    add_event(o, &(struct sim_event){
                     .revision = revision,
                     .create_revision = old ? old->create_revision : revision,
                     .version = old ? old->version + 1 : 1,
                     .lease = lease,
                     .value = value,
                     .key = key,
                 });
}

static int64_t delete_range(struct sim_model *o, uint8_t key, uint8_t end)
{
    int64_t count = 0;
    uint8_t last = end ? end : (uint8_t)(key + 1);
    for (uint8_t k = key; k < last; k++) {
        if (get_live(o, k, INT64_MAX)) {
            add_event(
                o, &(struct sim_event){.revision = o->revision + 1, .key = k});
            count++;
        }
    }
    return count;
}

static int revoke_lease(struct sim_model *o, struct sim_op *op, uint64_t index)
{
    struct sim_lease *l = find_lease(o, op->lease);
    if (l == NULL) {
        return ERR_LEASE_NOT_FOUND;
    }
    l->to = index;
    for (uint8_t k = 0; k < SIM_KEYS; k++) {
        const struct sim_event *e = get_live(o, k, INT64_MAX);
        if (e && e->lease == op->lease) {
            delete_range(o, k, 0);
        }
    }
    return 0;
}

static int grant_lease(struct sim_model *o, struct sim_op *op, uint64_t index)
{
    if (find_lease(o, op->lease)) {
        return ERR_EXISTS;
    }
    o->leases =
        mem_realloc(o->leases, (o->lease_count + 1) * sizeof *o->leases);
    o->leases[o->lease_count++] = (struct sim_lease){op->lease, index, 0};
    return 0;
}

static int compact(struct sim_model *o, const struct sim_op *op)
{
    if (op->number <= o->compacted) {
        return ERR_COMPACTED;
    }
    if (op->number > o->revision) {
        return ERR_FUTURE;
    }
    o->compacted = op->number;
    return 0;
}

/* If its first key has the version: puts; else a deletion. */
static void txn(struct sim_model *o, struct sim_op *op)
{
    const struct sim_event *e = get_live(o, op->key, INT64_MAX);
    op->succeeded = (e ? e->version : 0) == op->number;
    if (!op->succeeded) {
        op->deleted = delete_range(o, op->key, op->end);
        return;
    }
    for (uint32_t i = 0; i < op->put_count; i++) {
        put(o, op->put_keys[i], op->value + i, 0);
    }
}

static int effect(struct sim_model *o, struct sim_op *op, uint64_t index)
{
    switch (op->kind) {
    case SIM_PUT:
        if (op->lease && !find_lease(o, op->lease)) {
            return ERR_LEASE_NOT_FOUND;
        }
        put(o, op->key, op->value, op->lease);
        return 0;
    case SIM_DELETE:
        op->deleted = delete_range(o, op->key, op->end);
        return 0;
    case SIM_TXN:
        txn(o, op);
        return 0;
    case SIM_COMPACT:
        return compact(o, op);
    case SIM_GRANT:
        return grant_lease(o, op, index);
    case SIM_REVOKE:
        return revoke_lease(o, op, index);
    case SIM_CONF:
        break; /* the members themselves; they must agree */
    }
    return 0;
}

/* ---- entries ---- */

static struct sim_op *op_of_entry(struct sim *s, const struct sim_member *m,
                                  const struct raft_entry *e)
{
    if (e->data == NULL) {
        return NULL;
    }
    return sim_op_of(s, m->rim.request_id(m->rim.ctx, e));
}

static void advance(struct sim *s, struct sim_member *m,
                    const struct raft_entry *e)
{
    struct sim_model *o = &s->model;
    struct sim_op *op = op_of_entry(s, m, e);
    int32_t events = o->event_count;
    if (op && op->index && op->kind != SIM_CONF) {
        sim_fail(s,
                 "an entry stands in the log twice: %" PRIu64 " and %" PRIu64,
                 op->index, e->index);
    }
    if (op) {
        op->err = effect(o, op, e->index);
        op->index = e->index;
    }
    o->revision += o->event_count > events;
    if (op) {
        op->revision = o->revision;
    }
    o->applied = e->index;
    o->at[e->index] = (struct sim_at){
        .term = e->term,
        .hash = entry_hash(e),
        .commit_term = replica_status(m->node.replica)->term,
        .revision = o->revision,
        .compacted = o->compacted,
    };
    sim_trace(s, "m%" PRIu32 " first at %" PRIu64 " revision %" PRIi64,
              m->place, e->index, o->revision);
}

void sim_model_apply(struct sim *s, struct sim_member *m,
                     const struct raft_entry *e)
{
    struct sim_model *o = &s->model;
    make_room(o, e->index);
    if (e->index == o->applied + 1) {
        advance(s, m, e);
    } else if (e->index > o->applied) {
        sim_fail(s, "m%" PRIu32 " applies %" PRIu64 " before %" PRIu64,
                 m->place, e->index, o->applied + 1);
    } else if (o->at[e->index].term != e->term ||
               o->at[e->index].hash != entry_hash(e)) {
        sim_fail(s,
                 "m%" PRIu32 " applies another entry %" PRIu64 " (term %" PRIu64
                 ", before it was term %" PRIu64 ")",
                 m->place, e->index, e->term, o->at[e->index].term);
    }
}

static uint64_t members_hash(const struct sim_member *m)
{
    uint64_t hash = 1;
    for (uint32_t i = 0; i < m->node.members.count; i++) {
        const struct member *it = &m->node.members.list[i];
        hash = table_hash_u64(hash ^ it->id, it->is_learner + 1);
    }
    return hash;
}

/* Raft counts by the members that the store lists. */
static void compare_conf(struct sim *s, const struct sim_member *m)
{
    struct raft_conf_state want;
    node_conf_of_members(&m->node, &want);
    const struct raft_conf_state *have =
        raft_conf(replica_raft(m->node.replica));
    if (want.voter_count != have->voter_count ||
        want.learner_count != have->learner_count ||
        memcmp(want.voters, have->voters,
               want.voter_count * sizeof *want.voters) != 0 ||
        memcmp(want.learners, have->learners,
               want.learner_count * sizeof *want.learners) != 0) {
        sim_fail(s, "m%" PRIu32 ": Raft counts by other members than listed",
                 m->place);
    }
}

static void compare_members(struct sim *s, struct sim_member *m, uint64_t index)
{
    struct sim_at *at = &s->model.at[index];
    uint64_t hash = members_hash(m);
    if (at->members == 0) {
        at->members = hash;
    } else if (at->members != hash) {
        sim_fail(s, "m%" PRIu32 " has other members at %" PRIu64, m->place,
                 index);
    }
}

static void compare_numbers(struct sim *s, struct sim_member *m, uint64_t index)
{
    const struct sim_at *at = &s->model.at[index];
    const struct mvcc *v = m->node.mvcc;
    if (mvcc_revision(v) != at->revision ||
        mvcc_compact_revision(v) != at->compacted) {
        sim_fail(s,
                 "m%" PRIu32 " at %" PRIu64 ": revision %" PRIi64
                 ", compacted %" PRIi64 "; must be %" PRIi64 ", %" PRIi64,
                 m->place, index, mvcc_revision(v), mvcc_compact_revision(v),
                 at->revision, at->compacted);
    }
}

static void compare_kv(struct sim *s, const struct sim_member *m,
                       const struct sim_event *e, const struct mvcc_kv *kv)
{
    struct bytes *value = sim_value(e->value);
    if (kv->create_revision != e->create_revision ||
        kv->mod_revision != e->revision || kv->version != e->version ||
        kv->lease != e->lease || !slice_eq(kv->value, bytes_slice(value))) {
        sim_fail(s,
                 "m%" PRIu32 " has k%02d: create %" PRIi64 " mod %" PRIi64
                 " version %" PRIi64 " lease %" PRIi64 "; must be %" PRIi64
                 " %" PRIi64 " %" PRIi64 " %" PRIi64,
                 m->place, e->key, kv->create_revision, kv->mod_revision,
                 kv->version, kv->lease, e->create_revision, e->revision,
                 e->version, e->lease);
    }
    bytes_unref(value);
}

/* The keys that the entry changed. */
static void compare_changed(struct sim *s, struct sim_member *m, uint64_t index)
{
    const struct sim_model *o = &s->model;
    int64_t revision = o->at[index].revision;
    if (index == 0 || revision == o->at[index - 1].revision) {
        return;
    }
    for (uint8_t k = 0; k < SIM_KEYS && !s->failure[0]; k++) {
        const struct sim_event *e = sim_model_get(o, k, revision);
        char text[8];
        struct mvcc_kv kv;
        if (e == NULL || e->revision != revision) {
            continue;
        }
        int err = mvcc_get(m->node.mvcc, sim_key(k, text), &kv);
        if (err != (e->create_revision ? 0 : ERR_KEY_NOT_FOUND)) {
            sim_fail(s, "m%" PRIu32 " at %" PRIu64 ": k%02d is %s", m->place,
                     index, k, err ? "not there" : "there");
        } else if (err == 0) {
            compare_kv(s, m, e, &kv);
        }
    }
}

void sim_model_applied(struct sim *s, struct sim_member *m,
                       const struct raft_entry *e)
{
    if (s->failure[0]) {
        return;
    }
    uint64_t index = mvcc_applied_index(m->node.mvcc);
    if (index < e->index) {
        sim_fail(s, "m%" PRIu32 " has applied %" PRIu64 " and says %" PRIu64,
                 m->place, e->index, index);
        return;
    }
    if (index > s->model.applied) {
        sim_fail(s, "m%" PRIu32 " is at %" PRIu64 ", ahead of all", m->place,
                 index);
        return;
    }
    compare_numbers(s, m, index);
    compare_changed(s, m, index);
    compare_members(s, m, index);
    if (e->type == RAFT_ENTRY_CONF_CHANGE || sim_chance(&s->disk, 50)) {
        compare_conf(s, m);
    }
}

/* ---- the whole ---- */

struct walk {
    struct sim *s;
    const struct sim_member *m;
    int64_t revision;
    uint8_t next, last;
};

static const struct sim_event *walk_to(struct walk *w, uint8_t key)
{
    for (; w->next < w->last && w->next < key; w->next++) {
        if (get_live(&w->s->model, w->next, w->revision)) {
            sim_fail(w->s, "m%" PRIu32 " lacks k%02d at revision %" PRIi64,
                     w->m->place, w->next, w->revision);
        }
    }
    w->next = (uint8_t)(key + 1);
    return key < w->last ? get_live(&w->s->model, key, w->revision) : NULL;
}

static bool visit(void *ctx, const struct mvcc_kv *kv)
{
    struct walk *w = ctx;
    uint8_t key = sim_key_number(kv->key);
    const struct sim_event *e =
        key < SIM_KEYS && key >= w->next ? walk_to(w, key) : NULL;
    if (e == NULL) {
        sim_fail(w->s,
                 "m%" PRIu32 " has a key too many at revision %" PRIi64
                 ": k%02d",
                 w->m->place, w->revision, key);
    } else {
        compare_kv(w->s, w->m, e, kv);
    }
    return !w->s->failure[0];
}

void sim_model_compare_range(struct sim *s, struct sim_member *m, uint8_t key,
                             uint8_t end, int64_t revision)
{
    char from[8], to[8];
    int64_t newest = mvcc_revision(m->node.mvcc);
    int64_t compacted = mvcc_compact_revision(m->node.mvcc);
    struct mvcc_range range = {.key = sim_key(key, from), .revision = revision};
    if (end) {
        range.end = sim_key(end, to);
    }
    struct walk w = {.s = s, .m = m, .next = key};
    w.revision = revision > 0 ? revision : newest;
    w.last = end ? end : (uint8_t)(key + 1);
    int want = revision > newest                      ? ERR_FUTURE
               : revision > 0 && revision < compacted ? ERR_COMPACTED
                                                      : 0;
    int err = mvcc_range(m->node.mvcc, &range, visit, &w, NULL);
    if (err != want) {
        sim_fail(s, "m%" PRIu32 ": range at %" PRIi64 ": %s, must be %s",
                 m->place, revision, err_name(err), err_name(want));
    } else if (err == 0 && !s->failure[0]) {
        walk_to(&w, w.last);
    }
}

static void compare_leases(struct sim *s, struct sim_member *m, uint64_t index)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->model.lease_count; i++) {
        const struct sim_lease *l = &s->model.leases[i];
        if (l->from > index || (l->to && l->to <= index)) {
            continue;
        }
        count++;
        struct slice *keys = NULL;
        size_t key_count = 0, must = 0;
        if (lease_keys(m->node.lessor, l->id, &keys, &key_count) != 0) {
            sim_fail(s, "m%" PRIu32 " lacks lease %" PRIi64 " at %" PRIu64,
                     m->place, l->id, index);
        }
        free(keys);
        for (uint8_t k = 0; k < SIM_KEYS; k++) {
            const struct sim_event *e =
                get_live(&s->model, k, s->model.at[index].revision);
            must += e && e->lease == l->id;
        }
        if (must != key_count) {
            sim_fail(s,
                     "m%" PRIu32 ": lease %" PRIi64 " has %zu keys at %" PRIu64
                     ", must have %zu",
                     m->place, l->id, key_count, index, must);
        }
    }
    if (lease_count(m->node.lessor) != count) {
        sim_fail(
            s, "m%" PRIu32 " has %zu leases at %" PRIu64 ", must have %" PRIu32,
            m->place, lease_count(m->node.lessor), index, count);
    }
}

void sim_model_compare(struct sim *s, struct sim_member *m)
{
    uint64_t index = mvcc_applied_index(m->node.mvcc);
    if (s->failure[0]) {
        return;
    }
    if (index > s->model.applied) {
        sim_fail(s, "m%" PRIu32 " is at %" PRIu64 ", ahead of all", m->place,
                 index);
        return;
    }
    compare_numbers(s, m, index);
    sim_model_compare_range(s, m, 0, SIM_KEYS, 0);
    compare_leases(s, m, index);
    compare_members(s, m, index);
}

/* ---- leaders ---- */

/* Leader completeness (3.6.3): what was committed in an earlier term stands
 * in the log of each later leader. */
static void compare_leader_log(struct sim *s, struct sim_member *m,
                               const struct raft_status *now)
{
    const struct sim_model *o = &s->model;
    const struct raft *raft = replica_raft(m->node.replica);
    for (uint64_t i = o->applied; i > 0 && i >= now->first_index; i--) {
        if (o->at[i].commit_term < now->term && i <= now->last_index &&
            raft_term_at(raft, i) != o->at[i].term) {
            sim_fail(s,
                     "m%" PRIu32 " leads term %" PRIu64
                     " with another entry %" PRIu64,
                     m->place, now->term, i);
        }
        if (o->at[i].commit_term < now->term && i > now->last_index) {
            sim_fail(
                s, "m%" PRIu32 " leads term %" PRIu64 " without entry %" PRIu64,
                m->place, now->term, i);
        }
    }
}

void sim_model_see_status(struct sim *s, struct sim_member *m)
{
    struct sim_model *o = &s->model;
    struct raft_status now = *replica_status(m->node.replica);
    if (now.term < m->seen.term || now.commit < m->seen.commit) {
        sim_fail(s, "m%" PRIu32 ": term or commit index goes back", m->place);
    }
    bool leads = now.role == RAFT_LEADER;
    if (leads && m->seen.role == RAFT_LEADER && m->seen.term == now.term &&
        now.commit > m->seen.commit &&
        raft_term_at(replica_raft(m->node.replica), now.commit) != now.term) {
        sim_fail(s,
                 "m%" PRIu32 " leads term %" PRIu64
                 " and commits an older one's entry %" PRIu64,
                 m->place, now.term, now.commit);
    }
    bool is_new =
        leads && (m->seen.role != RAFT_LEADER || m->seen.term != now.term);
    m->seen = now;
    if (!is_new || now.term >= 4096 || s->failure[0]) {
        return;
    }
    s->elections++;
    sim_trace(s, "m%" PRIu32 " leads term %" PRIu64, m->place, now.term);
    if (o->leaders[now.term] && o->leaders[now.term] != m->id) {
        sim_fail(s, "m%" PRIu32 ": a second leader of term %" PRIu64, m->place,
                 now.term);
    }
    o->leaders[now.term] = m->id;
    compare_leader_log(s, m, &now);
}
