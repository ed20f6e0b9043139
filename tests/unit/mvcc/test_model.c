/*
 * The store against a naive one that keeps every change in one list: random
 * transactions, reads at old revisions, compactions, flushes, restarts and
 * flushes cut off. Everything that the door tells is compared.
 */
#include "model.h"

#include "base/crc32c.h"
#include "mvcc/private.h"

static void check_kv(const struct model *w, const struct mvcc_kv *kv,
                     const struct change *c, bool keys_only)
{
    char text[600];
    assert_non_null(c);
    assert_true(slice_eq(kv->key, w->keys[c->key]));
    assert_int_equal(kv->create_revision, c->create);
    assert_int_equal(kv->mod_revision, c->main);
    assert_int_equal(kv->version, c->version);
    assert_int_equal(kv->lease, c->lease);
    if (keys_only) {
        assert_int_equal(kv->value.size, 0);
    } else {
        assert_true(slice_eq(kv->value, value_of(c->value, text)));
        struct bytes *again = mvcc_record_new(kv);
        assert_true(slice_eq(bytes_slice(again), kv->encoded));
        bytes_unref(again);
    }
}

struct visit {
    struct model *w;
    int next_key;
    int end_key;
    int64_t revision;
    bool keys_only;
    int64_t seen;
    int64_t stop_at;
};

static bool visit(void *ctx, const struct mvcc_kv *kv)
{
    struct visit *v = ctx;
    while (v->next_key < v->end_key &&
           !model_live(v->w, v->next_key, v->revision)) {
        v->next_key++;
    }
    assert_true(v->next_key < v->end_key);
    check_kv(v->w, kv, model_live(v->w, v->next_key, v->revision),
             v->keys_only);
    v->next_key++;
    v->seen++;
    return v->seen != v->stop_at;
}

/* A range by the numbers of keys, as the API writes it. */
static void make_range(struct model *w, int *ret_first, int *ret_end,
                       struct mvcc_range *ret_range)
{
    int first = (int)below(w, KEY_COUNT);
    int end = (int)below(w, KEY_COUNT + 2);
    ret_range->key = w->keys[first];
    if (end >= KEY_COUNT) {
        ret_range->end = slice_of("\0", 1);
        end = KEY_COUNT;
    } else if (below(w, 3) == 0) {
        ret_range->end = (struct slice){0};
        end = first + 1;
    } else {
        ret_range->end = w->keys[end];
    }
    *ret_first = first;
    *ret_end = end;
}

static void check_range(struct model *w)
{
    struct mvcc_range range = {0};
    int first;
    int end;
    make_range(w, &first, &end, &range);
    int64_t least = w->compact < 1 ? 1 : w->compact;
    int64_t revision =
        least + (int64_t)below(w, (unsigned)(w->revision - least + 1));
    bool newest = below(w, 2);
    range.revision = newest ? 0 : revision;
    revision = newest ? w->revision : revision;
    range.limit = below(w, 3) ? 0 : 1 + below(w, 5);
    range.keys_only = below(w, 2);
    struct visit v = {.w = w,
                      .next_key = first,
                      .end_key = end,
                      .revision = revision,
                      .keys_only = range.keys_only,
                      .stop_at = below(w, 4) ? -1 : 2};
    int64_t live = model_count(w, first, end, revision);
    int64_t expected = live;
    if (range.limit && range.limit < expected) {
        expected = range.limit;
    }
    if (v.stop_at == 2 && expected > 2) {
        expected = 2;
    }
    int64_t count = -1;
    bool counted = below(w, 2);
    assert_int_equal(
        mvcc_range(w->f.m, &range, visit, &v, counted ? &count : NULL), 0);
    assert_int_equal(v.seen, expected);
    if (counted) {
        assert_int_equal(count, live);
    }
    range.count_only = true;
    assert_int_equal(mvcc_range(w->f.m, &range, NULL, NULL, &count), 0);
    assert_int_equal(count, live);
}

static void check_edges(struct model *w)
{
    struct mvcc_range range = {.key = w->keys[0], .revision = w->revision + 1};
    assert_int_equal(mvcc_range(w->f.m, &range, NULL, NULL, NULL), ERR_FUTURE);
    if (w->compact > 1) {
        range.revision = w->compact - 1;
        assert_int_equal(mvcc_range(w->f.m, &range, NULL, NULL, NULL),
                         ERR_COMPACTED);
        assert_int_equal(mvcc_history(w->f.m, w->compact - 1, NULL, NULL),
                         ERR_COMPACTED);
    }
}

static void check_all(struct model *w)
{
    assert_int_equal(mvcc_revision(w->f.m), w->revision);
    assert_int_equal(mvcc_compact_revision(w->f.m), w->compact);
    for (int i = 0; i < KEY_COUNT; i++) {
        const struct change *c = model_live(w, i, w->revision);
        struct mvcc_kv kv;
        struct mvcc_stat stat;
        int err = mvcc_get(w->f.m, w->keys[i], &kv);
        assert_int_equal(err, c ? 0 : ERR_KEY_NOT_FOUND);
        assert_int_equal(mvcc_stat(w->f.m, w->keys[i], &stat), err);
        if (c) {
            check_kv(w, &kv, c, false);
            assert_int_equal(stat.mod_revision, c->main);
            assert_int_equal(stat.sub, c->sub);
            assert_int_equal(stat.lease, c->lease);
            assert_int_equal(stat.version, c->version);
            assert_int_equal(stat.create_revision, c->create);
        }
    }
}

struct history {
    struct model *w;
    size_t next;
    bool exact; /* no compaction runs: superseded ones have gone */
};

static bool visit_event(void *ctx, const struct mvcc_event *e)
{
    struct history *h = ctx;
    struct model *w = h->w;
    const struct change *c;
    for (;; h->next++) {
        assert_true(h->next < w->change_count);
        c = &w->changes[h->next];
        if (c->main == e->mod_revision && slice_eq(e->key, w->keys[c->key])) {
            break;
        }
        assert_false(model_kept(w, c));
    }
    h->next++;
    assert_int_equal(e->tombstone, c->tombstone);
    assert_int_equal(e->create_revision, c->create);
    struct mvcc_kv kv;
    assert_int_equal(mvcc_record_decode(bytes_slice(e->record), &kv), 0);
    if (c->tombstone) {
        assert_int_equal(kv.mod_revision, c->main);
        assert_true(slice_eq(kv.key, e->key));
    } else {
        check_kv(w, &kv, c, false);
    }
    return true;
}

static void check_history(struct model *w)
{
    int64_t from = w->compact < 0 ? 0 : w->compact;
    from += (int64_t)below(w, (unsigned)(w->revision - from + 2));
    struct history h = {.w = w};
    while (h.next < w->change_count && w->changes[h.next].main < from) {
        h.next++;
    }
    assert_int_equal(mvcc_history(w->f.m, from, visit_event, &h), 0);
    for (; h.next < w->change_count; h.next++) {
        assert_false(model_kept(w, &w->changes[h.next]));
    }
}

static void put(struct model *w, int key, uint32_t *sub)
{
    const struct change *old = model_live(w, key, INT64_MAX);
    struct change c = {
        .main = w->revision + 1,
        .sub = (*sub)++,
        .key = key,
        .create = old ? old->create : w->revision + 1,
        .version = old ? old->version + 1 : 1,
        .lease = below(w, 3),
        .value = w->next_value++,
    };
    char text[600];
    fixture_put_one(&w->f, w->keys[key], value_of(c.value, text), c.lease);
    model_add(w, c);
}

struct deleted {
    struct model *w;
    int next_key;
    int end_key;
    bool values;
};

static void on_deleted(void *ctx, const struct mvcc_kv *kv)
{
    struct deleted *d = ctx;
    while (!model_live(d->w, d->next_key, INT64_MAX)) {
        d->next_key++;
        assert_true(d->next_key < d->end_key);
    }
    check_kv(d->w, kv, model_live(d->w, d->next_key, INT64_MAX), !d->values);
    d->next_key++;
}

static void delete_range(struct model *w, uint32_t *sub)
{
    struct mvcc_range range = {0};
    int first;
    int end;
    make_range(w, &first, &end, &range);
    int64_t live = model_count(w, first, end, INT64_MAX);
    int64_t count = -1;
    struct deleted d = {w, first, end, below(w, 2)};
    assert_int_equal(mvcc_delete_range(w->f.m, range.key, range.end, d.values,
                                       on_deleted, &d, &count),
                     0);
    assert_int_equal(count, live);
    for (int i = first; i < end; i++) {
        if (model_live(w, i, INT64_MAX)) {
            model_add(w, (struct change){.main = w->revision + 1,
                                         .sub = (*sub)++,
                                         .key = i,
                                         .tombstone = true});
        }
    }
}

static void check_events(struct model *w, size_t first)
{
    uint32_t count;
    const struct mvcc_event *e = mvcc_events(w->f.m, &count);
    assert_int_equal(count, w->change_count - first);
    struct history h = {.w = w, .next = first};
    for (uint32_t i = 0; i < count; i++) {
        visit_event(&h, &e[i]);
        assert_int_equal(h.next, first + i + 1);
    }
}

static bool hashed(const struct model *w, const struct change *c,
                   int64_t revision, bool keep_empty)
{
    if (c->main > revision || !model_kept(w, c) ||
        (c->tombstone && c->main == w->compact)) {
        return false;
    }
    return c->main > w->compact || keep_empty ||
           model_live(w, c->key, revision) == c;
}

static bool dies_at(const struct model *w, int64_t revision)
{
    for (size_t i = 0; i < w->change_count; i++) {
        if (w->changes[i].tombstone && w->changes[i].main == revision) {
            return true;
        }
    }
    return false;
}

/* `compacts`: as a compaction to that revision keeps it. */
static uint32_t model_hash(struct model *w, int64_t revision, bool compacts)
{
    bool keep_empty = model_count(w, 0, KEY_COUNT, revision) == 0 &&
                      !(compacts && dies_at(w, revision));
    uint32_t crc = crc32c(0, "key", 3);
    for (size_t i = 0; i < w->change_count; i++) {
        const struct change *c = &w->changes[i];
        if (!hashed(w, c, revision, keep_empty)) {
            continue;
        }
        char text[600];
        uint8_t rev[18];
        struct mvcc_kv kv = {.key = w->keys[c->key]};
        if (!c->tombstone) {
            kv.create_revision = c->create;
            kv.mod_revision = c->main;
            kv.version = c->version;
            kv.lease = c->lease;
            kv.value = value_of(c->value, text);
        }
        struct bytes *record = mvcc_record_new(&kv);
        crc = crc32c(crc, rev,
                     mvcc_image_rev_encode(c->main, c->sub, c->tombstone, rev));
        crc = crc32c(crc, record->data, record->size);
        bytes_unref(record);
    }
    return crc;
}

static void compacted(void *ctx, int err)
{
    assert_true(err == 0 || err == ERR_CANCELED);
}

static void transaction(struct model *w)
{
    uint32_t sub = 0;
    size_t first = w->change_count;
    mvcc_begin(w->f.m);
    if (below(w, 25) == 0) {
        int64_t revision = (int64_t)below(w, (unsigned)w->revision + 2);
        int expected = revision <= w->compact   ? ERR_COMPACTED
                       : revision > w->revision ? ERR_FUTURE
                                                : 0;
        if (expected == 0) {
            w->kept = (struct mvcc_hash){model_hash(w, revision, true),
                                         w->compact, revision};
        }
        int err = mvcc_compact(w->f.m, revision, compacted, NULL);
        assert_int_equal(err, expected);
        w->compact = err ? w->compact : revision;
    } else if (below(w, 6) == 0) {
        delete_range(w, &sub);
    } else {
        int key = (int)below(w, KEY_COUNT);
        for (unsigned n = below(w, 4); n > 0 && key < KEY_COUNT; n--) {
            put(w, key, &sub);
            key += 1 + (int)below(w, 10);
        }
    }
    bool changed = w->change_count > first;
    assert_int_equal(mvcc_txn_changed(w->f.m), changed);
    assert_int_equal(mvcc_txn_revision(w->f.m), w->revision + changed);
    mvcc_end(w->f.m, ++w->f.index, 3);
    w->revision += changed;
    assert_true(w->f.index < ENTRY_MAX);
    w->entries[w->f.index] =
        (struct entry){w->revision, w->compact, w->change_count};
    check_events(w, first);
}

static void attach(void *ctx, int64_t lease, struct slice key)
{
    struct model *w = ctx;
    for (int i = 0; i < KEY_COUNT; i++) {
        if (slice_eq(key, w->keys[i])) {
            const struct change *c = model_live(w, i, w->revision);
            assert_non_null(c);
            assert_int_equal(c->lease, lease);
            w->next_value++; /* counts; see check_leased() */
            return;
        }
    }
    fail();
}

static void check_leased(struct model *w)
{
    int before = w->next_value;
    int expected = 0;
    for (int i = 0; i < KEY_COUNT; i++) {
        const struct change *c = model_live(w, i, w->revision);
        expected += c && c->lease;
    }
    assert_int_equal(mvcc_each_leased(w->f.m, attach, w), 0);
    assert_int_equal(w->next_value - before, expected);
}

/* The state must be that of the applied index on disk, whichever it is. */
static void reopen(struct model *w)
{
    uint64_t durable = mvcc_durable_index(w->f.m);
    fixture_reopen(&w->f);
    assert_true(w->f.index >= durable);
    const struct entry *e = &w->entries[w->f.index];
    w->revision = e->revision;
    w->compact = e->compact;
    w->change_count = e->changes;
    check_all(w);
    check_leased(w);
}

static void cut_flush(struct model *w)
{
    kvdb_drain(w->f.db); /* nobody reads the limits now */
    mvcc_flush_limits.steps_max = below(w, 6);
    int err = fixture_flush(&w->f);
    assert_true(err == 0 || err == ERR_CANCELED);
    check_all(w);
    uint64_t durable = mvcc_durable_index(w->f.m);
    mvcc_flush_limits.steps_max = UINT64_MAX;
    reopen(w);
    assert_int_equal(w->f.index, durable);
}

static void on_hash(void *ctx, int err, const struct mvcc_hash *hash)
{
    assert_int_equal(err, 0);
    *(struct mvcc_hash *)ctx = *hash;
}

static void check_hash(struct model *w)
{
    int64_t revision = w->compact < 1 ? 1 : w->compact;
    revision += (int64_t)below(w, (unsigned)(w->revision - revision + 1));
    struct mvcc_hash hash = {0};
    assert_int_equal(mvcc_hash_kv(w->f.m, revision, on_hash, &hash), 0);
    kvdb_drain(w->f.db);
    assert_int_equal(hash.hash_revision, revision);
    if (revision == w->compact && hash.compact_revision != w->compact) {
        /* kept by the compaction; a restart has forgotten it */
        assert_int_equal(w->kept.hash_revision, revision);
        assert_int_equal(hash.compact_revision, w->kept.compact_revision);
        assert_int_equal(hash.hash, w->kept.hash);
        return;
    }
    assert_int_equal(hash.compact_revision, w->compact);
    assert_int_equal(hash.hash, model_hash(w, revision, false));
}

static void step(struct model *w)
{
    switch (below(w, 40)) {
    case 0:
    case 1:
        mvcc_flush(w->f.m, NULL, NULL);
        break;
    case 2:
        assert_int_equal(fixture_flush(&w->f), 0);
        break;
    case 3:
        check_all(w);
        check_edges(w);
        break;
    case 4:
        if (below(w, 4) == 0) {
            reopen(w);
        }
        break;
    case 5:
        if (below(w, 4) == 0) {
            cut_flush(w);
        }
        break;
    case 6:
        check_history(w);
        break;
    case 7:
        check_hash(w);
        break;
    case 8:
    case 9:
    case 10:
        kvdb_poll(w->f.db);
        break;
    case 11:
    case 12:
    case 13:
    case 14:
    case 15:
    case 16:
        check_range(w);
        break;
    default:
        transaction(w);
    }
}

static void run_seed(uint64_t seed, int steps)
{
    struct model *w = mem_zalloc(sizeof *w);
    w->rng.state = seed;
    w->revision = 1;
    w->compact = -1;
    w->entries[0] = (struct entry){1, -1, 0};
    mvcc_flush_limits.pages_max = 1 + below(w, 12);
    mvcc_longkey_hash_mask = below(w, 2) ? 1 : UINT64_MAX;
    make_keys(w);
    fixture_new(&w->f);
    for (int i = 0; i < steps; i++) {
        step(w);
    }
    kvdb_drain(w->f.db);
    check_all(w);
    assert_int_equal(w->f.fatal_err, 0);
    fixture_close(&w->f);
    for (int i = 0; i < KEY_COUNT; i++) {
        free((void *)(uintptr_t)w->keys[i].data);
    }
    free(w);
}

static void test_random(void **state)
{
    const char *text = getenv("SEED");
    uint64_t first = text ? strtoull(text, NULL, 10) : 1;
    const char *many = getenv("SEEDS");
    uint64_t count = text ? 1 : many ? strtoull(many, NULL, 10) : 12;
    for (uint64_t seed = first; seed < first + count; seed++) {
        fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        run_seed(seed, 3000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
