#include "fixture.h"

#include "mvcc/private.h"

static uint64_t row_count(struct fixture *f, enum kvdb_table table)
{
    MDB_stat stat;
    assert_int_equal(
        mdb_stat(kvdb_reader(f->db), kvdb_dbi(f->db, table), &stat), 0);
    return stat.ms_entries;
}

static int64_t revision_row(struct fixture *f, const char *row)
{
    int64_t revision;
    assert_int_equal(mvcc_compact_read(kvdb_reader(f->db),
                                       kvdb_dbi(f->db, KVDB_META), row,
                                       &revision),
                     0);
    return revision;
}

/* Revisions 2..: a=1, a=2, b=1, delete b, c=1, delete c. */
static void fill(struct fixture *f)
{
    fixture_put(f, "a", "1");
    fixture_put(f, "a", "2");
    fixture_put(f, "b", "1");
    fixture_delete(f, "b");
    fixture_put(f, "c", "1");
    fixture_delete(f, "c");
}

static void test_keeps(void **state)
{
    struct fixture f;
    fixture_new(&f);
    fill(&f);
    assert_int_equal(mvcc_revision(f.m), 7);
    assert_int_equal(fixture_compact(&f, 7), 0);
    /* a=2 and the tombstone at the compaction's own revision */
    assert_int_equal(row_count(&f, KVDB_REV), 2);
    assert_int_equal(revision_row(&f, MVCC_ROW_SCHEDULED), 7);
    assert_int_equal(revision_row(&f, MVCC_ROW_FINISHED), 7);
    struct mvcc_stats stats;
    mvcc_get_stats(f.m, &stats);
    assert_int_equal(stats.compacted_total, 4);
    fixture_put(&f, "d", "1");
    assert_int_equal(fixture_compact(&f, 8), 0);
    assert_int_equal(row_count(&f, KVDB_REV), 2); /* a=2, d=1 */
    assert_int_equal(row_count(&f, KVDB_INDEX), 2);
    fixture_expect(&f, "a", "2");
    fixture_expect(&f, "c", NULL);
    fixture_close(&f);
}

static void test_refused(void **state)
{
    struct fixture f;
    fixture_new(&f);
    assert_int_equal(mvcc_compact_revision(f.m), -1);
    assert_int_equal(fixture_compact(&f, 2), ERR_FUTURE);
    assert_int_equal(fixture_compact(&f, -1), ERR_COMPACTED);
    assert_int_equal(fixture_compact(&f, 0), 0);
    assert_int_equal(fixture_compact(&f, 0), ERR_COMPACTED);
    assert_int_equal(mvcc_compact_revision(f.m), 0);
    fill(&f);
    assert_int_equal(fixture_compact(&f, 5), 0);
    assert_int_equal(mvcc_check_revision(f.m, 4), ERR_COMPACTED);
    assert_int_equal(mvcc_check_revision(f.m, 5), 0);
    assert_int_equal(mvcc_check_revision(f.m, 8), ERR_FUTURE);
    fixture_close(&f);
}

/* The request is durable, the deletions are not done: the next start goes
 * on with them. */
static void test_resumed(void **state)
{
    struct fixture f;
    fixture_new(&f);
    fill(&f);
    mvcc_begin(f.m);
    assert_int_equal(mvcc_compact(f.m, 6, NULL, NULL), 0);
    mvcc_end(f.m, ++f.index, 1);
    /* the flush is done, then closing cancels the rest */
    mvcc_close(f.m);
    kvdb_close(f.db);
    f = (struct fixture){0};
    fixture_open(&f);
    assert_int_equal(mvcc_compact_revision(f.m), 6);
    kvdb_drain(f.db);
    assert_int_equal(revision_row(&f, MVCC_ROW_FINISHED), 6);
    assert_int_equal(row_count(&f, KVDB_REV), 3);
    fixture_expect(&f, "a", "2");
    fixture_close(&f);
}

/* A crash between index and records: what no entry leads to goes too. */
static void test_orphans(void **state)
{
    struct fixture f;
    MDB_txn *txn;
    uint8_t row[MVCC_VERSION_SIZE];
    fixture_new(&f);
    fill(&f);
    assert_int_equal(fixture_flush(&f), 0);
    struct mvcc_version v = {.main = 2, .create_revision = 2, .version = 1};
    mvcc_version_encode(&v, row);
    MDB_env *env = mdb_txn_env(kvdb_reader(f.db));
    MDB_val k = {1, (void *)(uintptr_t) "a"};
    MDB_val d = {sizeof row, row};
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_del(txn, kvdb_dbi(f.db, KVDB_INDEX), &k, &d), 0);
    k.mv_data = (void *)(uintptr_t) "b";
    assert_int_equal(mdb_del(txn, kvdb_dbi(f.db, KVDB_INDEX), &k, NULL), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    assert_int_equal(fixture_compact(&f, 7), 0);
    assert_int_equal(row_count(&f, KVDB_REV), 2);
    fixture_expect(&f, "a", "2");
    fixture_close(&f);
}

/* More than a batch, in many steps, with writes between them. */
static void test_many(void **state)
{
    struct fixture f;
    fixture_new(&f);
    for (int i = 0; i < 40000; i++) {
        char key[32];
        snprintf(key, sizeof key, "key-%d", (i * 7919) % 500);
        fixture_put(&f, key, "v");
    }
    mvcc_begin(f.m);
    assert_int_equal(mvcc_compact(f.m, mvcc_revision(f.m) - 1, NULL, NULL), 0);
    mvcc_end(f.m, ++f.index, 1);
    for (int i = 0; i < 500; i++) {
        char key[32];
        snprintf(key, sizeof key, "key-%d", i);
        fixture_put(&f, key, "w");
        if (i % 100 == 0) {
            mvcc_flush(f.m, NULL, NULL);
        }
        kvdb_poll(f.db);
    }
    assert_int_equal(fixture_flush(&f), 0);
    assert_int_equal(row_count(&f, KVDB_REV), 1001);
    assert_int_equal(row_count(&f, KVDB_INDEX), 1001);
    fixture_expect(&f, "key-0", "w");
    assert_int_equal(fixture_compact(&f, mvcc_revision(f.m)), 0);
    assert_int_equal(row_count(&f, KVDB_REV), 500);
    assert_int_equal(row_count(&f, KVDB_INDEX), 500);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_resumed), cmocka_unit_test(test_orphans),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
