/* The naive store: every change in one list, searched from the end. */
#ifndef TESTS_MVCC_MODEL_H
#define TESTS_MVCC_MODEL_H

#include "fixture.h"

#include "base/rng.h"

enum {
    KEY_COUNT = 48,
    CHANGE_MAX = 20000,
    ENTRY_MAX = 8000,
};

struct change {
    int64_t main;
    uint32_t sub;
    int key; /* index into the sorted keys */
    bool tombstone;
    int64_t create;
    int64_t version;
    int64_t lease;
    int value; /* its text is the number, repeated */
};

struct entry {
    int64_t revision;
    int64_t compact;
    size_t changes;
};

struct model {
    struct fixture f;
    struct rng rng;
    struct slice keys[KEY_COUNT];
    struct change changes[CHANGE_MAX];
    size_t change_count;
    struct entry entries[ENTRY_MAX]; /* by raft index */
    int64_t revision;
    int64_t compact;
    struct mvcc_hash kept; /* of the last compaction */
    int next_value;
};

static inline unsigned below(struct model *w, unsigned n)
{
    return (unsigned)rng_below(&w->rng, n);
}

static inline int compare_slices(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* Short ones, some with a common beginning, some around the length where
 * keys become long ones, some long ones that differ late. */
static inline void make_keys(struct model *w)
{
    for (int i = 0; i < KEY_COUNT; i++) {
        size_t size;
        uint8_t *data = mem_alloc(1200);
        memset(data, 'a' + i % 2, 1200);
        if (i < 24) {
            size = 1 + (size_t)i / 2;
            data[size - 1] = (uint8_t)('a' + below(w, 26));
            data[0] = (uint8_t)(i + 1); /* "\0" as an end says more */
        } else if (i < 32) {
            size = 496 + (size_t)i - 24;
        } else {
            size = 501 + below(w, 600);
            data[size - 1] = (uint8_t)i;
        }
        w->keys[i] = slice_of(data, size);
    }
    qsort(w->keys, KEY_COUNT, sizeof w->keys[0], compare_slices);
    for (int i = 1; i < KEY_COUNT; i++) {
        assert_false(slice_eq(w->keys[i - 1], w->keys[i]));
    }
}

static inline struct slice value_of(int value, char text[600])
{
    size_t size = (size_t)(value % 7) * 90;
    for (size_t i = 0; i < size; i++) {
        text[i] = "0123456789"[((size_t)value / (1 + i % 5)) % 10];
    }
    return slice_of(text, size);
}

static inline const struct change *model_at(const struct model *w, int key,
                                            int64_t revision)
{
    for (size_t i = w->change_count; i-- > 0;) {
        const struct change *c = &w->changes[i];
        if (c->key == key && c->main <= revision) {
            return c;
        }
    }
    return NULL;
}

static inline const struct change *model_live(const struct model *w, int key,
                                              int64_t revision)
{
    const struct change *c = model_at(w, key, revision);
    return c && !c->tombstone ? c : NULL;
}

static inline void model_add(struct model *w, struct change c)
{
    assert_true(w->change_count < CHANGE_MAX);
    w->changes[w->change_count++] = c;
}

static inline int64_t model_count(const struct model *w, int first, int end,
                                  int64_t revision)
{
    int64_t count = 0;
    for (int i = first; i < end; i++) {
        count += model_live(w, i, revision) != NULL;
    }
    return count;
}

/* Is it still there once everything up to the compact revision has gone
 * that may go? */
static inline bool model_kept(const struct model *w, const struct change *c)
{
    if (c->main > w->compact) {
        return true;
    }
    return model_at(w, c->key, w->compact) == c &&
           (!c->tombstone || c->main == w->compact);
}

#endif
