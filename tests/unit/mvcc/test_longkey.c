/* Keys that LMDB cannot hold: any length, in order. */
#include "fixture.h"

#include "mvcc/private.h"

enum {
    SIZE_MAX_KEY = 3 << 19, /* 1.5 MiB */
};

static const size_t sizes[] = {1,   499, 500,  501,  507,    508,
                               509, 511, 1000, 4096, 100000, SIZE_MAX_KEY};

enum {
    SIZE_COUNT = sizeof sizes / sizeof sizes[0],
};

static uint8_t *filled(void)
{
    uint8_t *data = mem_alloc(SIZE_MAX_KEY);
    memset(data, 'k', SIZE_MAX_KEY);
    return data;
}

struct expected {
    const struct slice *keys;
    int count;
    int next;
};

static bool visit(void *ctx, const struct mvcc_kv *kv)
{
    struct expected *e = ctx;
    assert_true(e->next < e->count);
    assert_true(slice_eq(kv->key, e->keys[e->next]));
    e->next++;
    return true;
}

static void expect_order(struct fixture *f, const struct slice *keys, int count)
{
    for (int first = 0; first < count; first++) {
        struct expected e = {keys, count, first};
        struct mvcc_range range = {.key = keys[first],
                                   .end = slice_of("\0", 1)};
        int64_t total;
        assert_int_equal(mvcc_range(f->m, &range, visit, &e, &total), 0);
        assert_int_equal(e.next, count);
        assert_int_equal(total, count - first);
        range.end = keys[count - 1];
        assert_int_equal(mvcc_range(f->m, &range, NULL, NULL, &total), 0);
        assert_int_equal(total, count - 1 - first);
    }
}

static void put_key(struct fixture *f, struct slice key)
{
    mvcc_begin(f->m);
    fixture_put_one(f, key, slice_str("value"), 0);
    mvcc_end(f->m, ++f->index, 1);
}

static void test_every_length(void **state)
{
    struct fixture f;
    fixture_new(&f);
    uint8_t *data = filled();
    struct slice keys[SIZE_COUNT];
    for (int i = SIZE_COUNT - 1; i >= 0; i--) {
        keys[i] = slice_of(data, sizes[i]);
        put_key(&f, keys[i]);
    }
    expect_order(&f, keys, SIZE_COUNT);
    assert_int_equal(fixture_flush(&f), 0);
    expect_order(&f, keys, SIZE_COUNT);
    fixture_reopen(&f);
    expect_order(&f, keys, SIZE_COUNT);
    for (int i = 0; i < SIZE_COUNT; i++) {
        struct mvcc_kv kv;
        put_key(&f, keys[i]);
        assert_int_equal(mvcc_get(f.m, keys[i], &kv), 0);
        assert_int_equal(kv.version, 2);
        assert_true(slice_eq_str(kv.value, "value"));
    }
    expect_order(&f, keys, SIZE_COUNT);
    assert_int_equal(fixture_flush(&f), 0);
    expect_order(&f, keys, SIZE_COUNT);
    fixture_close(&f);
    free(data);
}

static uint64_t row_count(struct fixture *f, enum kvdb_table table)
{
    MDB_stat stat;
    assert_int_equal(
        mdb_stat(kvdb_reader(f->db), kvdb_dbi(f->db, table), &stat), 0);
    return stat.ms_entries;
}

/* Four keys with one hash: each is found, and when all have gone and been
 * compacted no row is left but those that a search had to pass. */
static void test_collisions(void **state)
{
    struct fixture f;
    uint8_t *data = filled();
    struct slice keys[4];
    mvcc_longkey_hash_mask = 0;
    fixture_new(&f);
    for (int i = 0; i < 4; i++) {
        uint8_t *copy = mem_dup(data, 600);
        copy[599] = (uint8_t)('a' + i);
        keys[i] = slice_of(copy, 600);
    }
    for (int i = 3; i >= 0; i--) {
        put_key(&f, keys[i]);
    }
    assert_int_equal(fixture_flush(&f), 0);
    expect_order(&f, keys, 4);
    assert_int_equal(row_count(&f, KVDB_LONG_KEY), 4);
    int64_t count;
    mvcc_begin(f.m);
    assert_int_equal(mvcc_delete_range(f.m, keys[1], (struct slice){0}, false,
                                       NULL, NULL, &count),
                     0);
    assert_int_equal(count, 1);
    mvcc_end(f.m, ++f.index, 1);
    put_key(&f, keys[0]);
    assert_int_equal(fixture_compact(&f, mvcc_revision(f.m)), 0);
    struct mvcc_stat stat;
    assert_int_equal(mvcc_stat(f.m, keys[1], &stat), ERR_KEY_NOT_FOUND);
    struct slice left[3] = {keys[0], keys[2], keys[3]};
    expect_order(&f, left, 3);
    put_key(&f, keys[1]);
    assert_int_equal(fixture_flush(&f), 0);
    expect_order(&f, keys, 4);
    mvcc_begin(f.m);
    assert_int_equal(mvcc_delete_range(f.m, keys[0], slice_of("\0", 1), false,
                                       NULL, NULL, &count),
                     0);
    assert_int_equal(count, 4);
    mvcc_end(f.m, ++f.index, 1);
    put_key(&f, slice_str("short"));
    assert_int_equal(fixture_compact(&f, mvcc_revision(f.m)), 0);
    assert_int_equal(row_count(&f, KVDB_INDEX), 1);
    assert_int_equal(row_count(&f, KVDB_REV), 1);
    assert_true(row_count(&f, KVDB_LONG_KEY) <= 4);
    mvcc_longkey_hash_mask = UINT64_MAX;
    fixture_close(&f);
    for (int i = 0; i < 4; i++) {
        free((void *)(uintptr_t)keys[i].data);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_collisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
