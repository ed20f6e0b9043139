/* Reads, writes and what runs in the background while the file below is
 * replaced. */
#include "../store.h"

enum { KEYS = 800 };

static uint64_t raft_index;

static void put_all(struct store *s, const char *value, int step)
{
    for (int i = 0; i < KEYS; i += step) {
        char key[600];
        /* some are longer than a key of LMDB may be */
        snprintf(key, sizeof key, "%0*d", i % 10 ? 8 : 590, i);
        struct mvcc_stat stat;
        bool there = mvcc_stat(s->mvcc, slice_str(key), &stat) == 0;
        mvcc_begin(s->mvcc);
        assert_int_equal(mvcc_put(s->mvcc, slice_str(key), slice_str(value), 0,
                                  there ? &stat : NULL),
                         0);
        mvcc_end(s->mvcc, ++raft_index, 1);
    }
}

static int64_t count_of(struct store *s)
{
    struct mvcc_range all = {
        .key = slice_of("\0", 1), .end = slice_of("\0", 1), .count_only = true};
    int64_t count;
    assert_int_equal(mvcc_range(s->mvcc, &all, NULL, NULL, &count), 0);
    return count;
}

static const char *value_of(struct store *s, const char *key, int64_t revision)
{
    static char text[32];
    struct mvcc_kv kv;
    assert_int_equal(mvcc_get_at(s->mvcc, slice_str(key), revision, &kv), 0);
    snprintf(text, sizeof text, "%.*s", (int)kv.value.size,
             (const char *)kv.value.data);
    return text;
}

static void set_err(void *ctx, int err)
{
    *(int *)ctx = err;
}

struct hashed {
    int err;
    struct mvcc_hash hash;
};

static void set_hash(void *ctx, int err, const struct mvcc_hash *hash)
{
    struct hashed *h = ctx;
    h->err = err;
    if (hash) {
        h->hash = *hash;
    }
}

static uint32_t hash_at(struct store *s, int64_t revision)
{
    struct hashed h = {.err = 1};
    assert_int_equal(mvcc_hash_kv(s->mvcc, revision, set_hash, &h), 0);
    kvdb_drain(s->db);
    assert_int_equal(h.err, 0);
    return h.hash.hash;
}

static void everything_goes_on(void **state)
{
    struct store s;
    raft_index = 0;
    store_new(&s);
    put_all(&s, "one", 1);
    store_flush(&s);
    put_all(&s, "two", 2);
    store_flush(&s);
    int64_t revision = mvcc_revision(s.mvcc);
    uint32_t hash = hash_at(&s, revision);
    assert_string_equal(value_of(&s, "00000002", revision), "two");
    int err = 1;
    kvdb_defragment(s.db, set_err, &err);
    /* changes and reads before it is done, and a flush behind it */
    put_all(&s, "three", 4);
    mvcc_flush(s.mvcc, NULL, NULL);
    assert_string_equal(value_of(&s, "00000004", revision), "two");
    assert_int_equal(count_of(&s), KEYS);
    put_all(&s, "four", 8);
    kvdb_drain(s.db);
    assert_int_equal(err, 0);
    int64_t now = mvcc_revision(s.mvcc);
    assert_string_equal(value_of(&s, "00000002", now), "two");
    assert_string_equal(value_of(&s, "00000001", now), "one");
    assert_string_equal(value_of(&s, "00000004", now), "three");
    assert_string_equal(value_of(&s, "00000008", now), "four");
    assert_string_equal(value_of(&s, "00000008", revision), "two");
    assert_int_equal(count_of(&s), KEYS);
    assert_int_equal(hash_at(&s, revision), hash);
    hash = hash_at(&s, now);
    /* a compaction that a defragmentation falls into */
    int compacted = 1;
    mvcc_begin(s.mvcc);
    assert_int_equal(mvcc_compact(s.mvcc, revision, set_err, &compacted), 0);
    mvcc_end(s.mvcc, ++raft_index, 1);
    err = 1;
    kvdb_defragment(s.db, set_err, &err);
    kvdb_drain(s.db);
    assert_int_equal(err, 0);
    assert_int_equal(compacted, 0);
    assert_string_equal(value_of(&s, "00000008", now), "four");
    hash = hash_at(&s, now);
    uint64_t index = mvcc_applied_index(s.mvcc);
    store_flush(&s);
    store_close(&s);
    store_open(&s);
    assert_int_equal(mvcc_durable_index(s.mvcc), index);
    assert_int_equal(mvcc_revision(s.mvcc), now);
    assert_int_equal(hash_at(&s, now), hash);
    assert_int_equal(count_of(&s), KEYS);
    store_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
