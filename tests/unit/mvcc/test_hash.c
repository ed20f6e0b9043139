/* HashKV, against sums over records written out here. */
#include "fixture.h"

#include "base/crc32c.h"

static void on_hash(void *ctx, int err, const struct mvcc_hash *hash)
{
    assert_int_equal(err, 0);
    *(struct mvcc_hash *)ctx = *hash;
}

static struct mvcc_hash hash_at(struct fixture *f, int64_t revision)
{
    struct mvcc_hash hash = {0};
    assert_int_equal(mvcc_hash_kv(f->m, revision, on_hash, &hash), 0);
    kvdb_drain(f->db);
    return hash;
}

static uint32_t add(uint32_t crc, const char *bytes, size_t size)
{
    return crc32c(crc, bytes, size);
}

/* revision 2: a=1; revision 3: a gone; revision 4: b=2 */
#define PUT_A                                                          \
    "\0\0\0\0\0\0\0\2_\0\0\0\0\0\0\0\0\x0a\1a\x10\2\x18\2\x20\1\x2a\1" \
    "1"
#define DEL_A "\0\0\0\0\0\0\0\3_\0\0\0\0\0\0\0\0t\x0a\1a"
#define PUT_B                                                          \
    "\0\0\0\0\0\0\0\4_\0\0\0\0\0\0\0\0\x0a\1b\x10\4\x18\4\x20\1\x2a\1" \
    "2"
#define ADD(crc, text) add(crc, text, sizeof text - 1)

static void test_history(void **state)
{
    struct fixture f;
    fixture_new(&f);
    uint32_t crc = ADD(0, "key");
    assert_int_equal(hash_at(&f, 0).hash, crc);
    fixture_put(&f, "a", "1");
    fixture_delete(&f, "a");
    fixture_put(&f, "b", "2");
    crc = ADD(crc, PUT_A);
    assert_int_equal(hash_at(&f, 2).hash, crc);
    crc = ADD(crc, DEL_A);
    assert_int_equal(hash_at(&f, 3).hash, crc);
    crc = ADD(crc, PUT_B);
    struct mvcc_hash hash = hash_at(&f, 0);
    assert_int_equal(hash.hash, crc);
    assert_int_equal(hash.hash_revision, 4);
    assert_int_equal(hash.compact_revision, -1);
    fixture_close(&f);
}

static void test_compacted(void **state)
{
    struct fixture f;
    struct mvcc_hash hash;
    fixture_new(&f);
    fixture_put(&f, "a", "1");
    fixture_delete(&f, "a");
    assert_int_equal(fixture_compact(&f, 3), 0);
    /* nothing lives, and the tombstone at the compaction does not count */
    assert_int_equal(hash_at(&f, 0).hash, ADD(0, "key"));
    fixture_put(&f, "b", "2");
    hash = hash_at(&f, 4);
    assert_int_equal(hash.hash, ADD(ADD(0, "key"), PUT_B));
    assert_int_equal(hash.compact_revision, 3);
    assert_int_equal(mvcc_hash_kv(f.m, 2, on_hash, &hash), ERR_COMPACTED);
    assert_int_equal(mvcc_hash_kv(f.m, 5, on_hash, &hash), ERR_FUTURE);
    fixture_close(&f);
}

/* What lived at the compaction counts no more once it was deleted, unless
 * then nothing lives at all. */
static void test_keep(void **state)
{
    struct fixture f;
    fixture_new(&f);
    fixture_put(&f, "a", "1");
    assert_int_equal(fixture_compact(&f, 2), 0);
    fixture_delete(&f, "a");
    uint32_t crc = ADD(ADD(0, "key"), PUT_A);
    assert_int_equal(hash_at(&f, 3).hash, ADD(crc, DEL_A));
    fixture_put(&f, "b", "2");
    crc = ADD(ADD(ADD(0, "key"), DEL_A), PUT_B);
    assert_int_equal(hash_at(&f, 4).hash, crc);
    fixture_close(&f);
}

static void check(struct mvcc_hash got, uint32_t hash, int64_t compacted,
                  int64_t revision)
{
    assert_int_equal(got.hash, hash);
    assert_int_equal(got.compact_revision, compacted);
    assert_int_equal(got.hash_revision, revision);
}

/* The hash of its revision as it was before each compaction. */
static void test_kept(void **state)
{
    struct fixture f;
    fixture_new(&f);
    fixture_put(&f, "a", "1");
    fixture_delete(&f, "a");
    uint32_t crc = ADD(ADD(ADD(0, "key"), PUT_A), DEL_A);
    assert_int_equal(fixture_compact(&f, 3), 0);
    check(hash_at(&f, 3), crc, -1, 3);
    check(hash_at(&f, 0), ADD(0, "key"), 3, 3);
    fixture_put(&f, "b", "2");
    crc = ADD(ADD(0, "key"), PUT_B);
    assert_int_equal(fixture_compact(&f, 4), 0);
    check(hash_at(&f, 4), crc, 3, 4);
    /* a revision that is compacted away still has it */
    check(hash_at(&f, 3), ADD(ADD(ADD(0, "key"), PUT_A), DEL_A), -1, 3);
    /* the ten newest */
    for (int64_t r = 5; r < 14; r++) {
        fixture_put(&f, "c", "3");
        assert_int_equal(fixture_compact(&f, r), 0);
    }
    check(hash_at(&f, 4), crc, 3, 4);
    struct mvcc_hash hash;
    assert_int_equal(mvcc_hash_kv(f.m, 3, on_hash, &hash), ERR_COMPACTED);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_compacted),
        cmocka_unit_test(test_keep),
        cmocka_unit_test(test_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
