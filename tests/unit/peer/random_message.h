/* Messages made from a seed, and their comparison. */
#ifndef TEST_RANDOM_MESSAGE_H
#define TEST_RANDOM_MESSAGE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants those before it */
#include <setjmp.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "raft/raft.h"

static inline uint64_t random_number(struct rng *r)
{
    return rng_next(r) >> rng_below(r, 64) >> rng_below(r, 2);
}

static inline struct bytes *random_bytes(struct rng *r, uint64_t max)
{
    uint64_t size = rng_below(r, max + 1);
    struct bytes *b = size ? bytes_new(size) : NULL;
    for (uint64_t i = 0; i < size; i++) {
        b->data[i] = (uint8_t)rng_next(r);
    }
    return b;
}

static inline void random_entries(struct rng *r, struct raft_message *m,
                                  uint32_t count, uint64_t data_max)
{
    m->entry_count = count;
    m->entries = count ? mem_zalloc(count * sizeof *m->entries) : NULL;
    for (uint32_t i = 0; i < count; i++) {
        m->entries[i] = (struct raft_entry){
            .term = random_number(r),
            .index = m->index + 1 + i,
            .type = (enum raft_entry_type)rng_below(r, 3),
            .data = random_bytes(r, data_max),
        };
    }
}

/* Ascending, all even or all odd. */
static inline void random_ids(struct rng *r, uint64_t first, uint32_t count,
                              uint64_t *ids)
{
    for (uint32_t i = 0; i < count; i++) {
        first += 2 * (1 + rng_below(r, UINT64_C(1) << rng_below(r, 56)));
        ids[i] = first;
    }
}

static inline void random_snapshot(struct rng *r, struct raft_message *m)
{
    struct raft_snapshot_meta *s = m->snapshot = mem_zalloc(sizeof *s);
    s->index = random_number(r);
    s->term = random_number(r);
    s->conf.voter_count = (uint32_t)rng_below(r, RAFT_MEMBERS_MAX + 1);
    s->conf.learner_count = (uint32_t)rng_below(r, 4);
    random_ids(r, 0, s->conf.voter_count, s->conf.voters);
    random_ids(r, 1, s->conf.learner_count, s->conf.learners);
}

/* Any field may be set with any type: the codec does not judge. */
static inline struct raft_message random_message(struct rng *r)
{
    struct raft_message m = {
        .type = (enum raft_message_type)rng_below(r, 19),
        .to = random_number(r),
        .from = random_number(r),
        .term = random_number(r),
        .log_term = random_number(r),
        .index = random_number(r),
        .commit = random_number(r),
        .reject = rng_below(r, 2),
        .reject_hint = random_number(r),
        .context = random_bytes(r, 20),
    };
    random_entries(r, &m, (uint32_t)rng_below(r, 5), 300);
    if (m.type == RAFT_MSG_SNAP) {
        random_snapshot(r, &m);
    }
    return m;
}

static inline void assert_same_bytes(const struct bytes *a,
                                     const struct bytes *b)
{
    assert_true(slice_eq(bytes_slice(a), bytes_slice(b)));
}

static inline void assert_same_message(const struct raft_message *a,
                                       const struct raft_message *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->to, b->to);
    assert_int_equal(a->from, b->from);
    assert_int_equal(a->term, b->term);
    assert_int_equal(a->log_term, b->log_term);
    assert_int_equal(a->index, b->index);
    assert_int_equal(a->commit, b->commit);
    assert_int_equal(a->reject, b->reject);
    assert_int_equal(a->reject_hint, b->reject_hint);
    assert_same_bytes(a->context, b->context);
    assert_int_equal(a->entry_count, b->entry_count);
    for (uint32_t i = 0; i < a->entry_count; i++) {
        assert_int_equal(a->entries[i].term, b->entries[i].term);
        assert_int_equal(a->entries[i].index, b->entries[i].index);
        assert_int_equal(a->entries[i].type, b->entries[i].type);
        assert_same_bytes(a->entries[i].data, b->entries[i].data);
    }
    assert_int_equal(!a->snapshot, !b->snapshot);
    if (a->snapshot) {
        assert_memory_equal(a->snapshot, b->snapshot, sizeof *a->snapshot);
    }
}

/* Another holder of the same contents. */
static inline struct raft_message copy_message(const struct raft_message *m)
{
    struct raft_message c = *m;
    bytes_ref(c.context);
    if (m->entry_count) {
        c.entries = mem_dup(m->entries, m->entry_count * sizeof *m->entries);
        for (uint32_t i = 0; i < m->entry_count; i++) {
            bytes_ref(c.entries[i].data);
        }
    }
    if (m->snapshot) {
        c.snapshot = mem_dup(m->snapshot, sizeof *m->snapshot);
    }
    return c;
}

#endif
