#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "kvdb/kvdb.h"

#define PATH "test.db"

struct fatal {
    int err;
    char text[256];
};

static void on_fatal(void *ctx, int err, const char *text)
{
    struct fatal *f = ctx;
    f->err = err;
    snprintf(f->text, sizeof f->text, "%s", text);
}

static struct kvdb *open_with(struct fatal *f)
{
    struct kvdb *db;
    struct kvdb_config config = {
        .path = PATH, .no_fsync = true, .fatal = on_fatal, .ctx = f};
    assert_int_equal(kvdb_open(&config, &db), 0);
    return db;
}

static struct kvdb *open_new(struct fatal *f)
{
    unlink(PATH);
    unlink(PATH "-lock");
    return open_with(f);
}

struct test_job {
    struct kvdb_job job;
    int steps;
    int runs;
    int err;      /* what run returns in the end */
    int done_err; /* 1: not done yet */
    int *order;   /* counts the jobs done */
    int place;
};

static int job_run(struct kvdb_job *job, MDB_txn *txn)
{
    struct test_job *j = container_of(job, struct test_job, job);
    return ++j->runs < j->steps ? ERR_AGAIN : j->err;
}

static void job_done(struct kvdb_job *job, int err)
{
    struct test_job *j = container_of(job, struct test_job, job);
    j->done_err = err;
    if (j->order) {
        j->place = ++*j->order;
    }
}

static struct test_job make_job(int steps, int err, bool staged)
{
    return (struct test_job){
        .job = {.run = job_run, .done = job_done, .staged = staged},
        .steps = steps,
        .err = err,
        .done_err = 1,
    };
}

static void commit_staged(struct kvdb *db)
{
    struct test_job j = make_job(1, 0, true);
    kvdb_submit(db, &j.job);
    kvdb_drain(db);
    assert_int_equal(j.done_err, 0);
}

static bool has(struct kvdb *db, enum kvdb_table table, const char *key,
                const char *value)
{
    struct slice found;
    int err = kvdb_get(db, table, slice_str(key), &found);
    if (err == ERR_NOT_FOUND) {
        return false;
    }
    assert_int_equal(err, 0);
    assert_true(slice_eq_str(found, value));
    return true;
}

static void test_staged_rows(void **state)
{
    struct fatal f = {0};
    struct kvdb *db = open_new(&f);
    struct kvdb_stats stats;
    kvdb_stage_put(db, KVDB_LEASE, slice_str("old"), slice_str("1"));
    kvdb_stage_clear(db, KVDB_LEASE);
    kvdb_stage_put(db, KVDB_LEASE, slice_str("a"), slice_str("1"));
    kvdb_stage_put(db, KVDB_LEASE, slice_str("b"), slice_str("2"));
    kvdb_stage_del(db, KVDB_LEASE, slice_str("b"));
    kvdb_stage_del(db, KVDB_LEASE, slice_str("never"));
    kvdb_stage_put(db, KVDB_ALARM, slice_str("a"), (struct slice){0});
    assert_false(has(db, KVDB_LEASE, "a", "1"));
    kvdb_get_stats(db, &stats);
    assert_true(stats.staged_bytes > 0);
    commit_staged(db);
    assert_true(has(db, KVDB_LEASE, "a", "1"));
    assert_true(has(db, KVDB_ALARM, "a", ""));
    assert_false(has(db, KVDB_LEASE, "b", "2"));
    assert_false(has(db, KVDB_LEASE, "old", "1"));
    kvdb_get_stats(db, &stats);
    assert_int_equal(stats.staged_bytes, 0);
    assert_true(stats.commit_count >= 1);
    assert_true(stats.file_bytes >= stats.used_bytes);
    assert_true(stats.used_bytes > 0);
    kvdb_close(db);
    db = open_with(&f);
    assert_true(has(db, KVDB_LEASE, "a", "1"));
    kvdb_close(db);
}

static int count_row(void *ctx, struct slice key, struct slice value)
{
    int *left = ctx;
    return --*left == 0 ? 17 : 0;
}

static void test_each(void **state)
{
    struct fatal f = {0};
    struct kvdb *db = open_new(&f);
    for (int i = 0; i < 9; i++) {
        char key[2] = {(char)('a' + i), 0};
        kvdb_stage_put(db, KVDB_META, slice_str(key), slice_str("x"));
    }
    commit_staged(db);
    int left = 100;
    assert_int_equal(kvdb_each(db, KVDB_META, count_row, &left), 0);
    assert_int_equal(left, 91);
    left = 3;
    assert_int_equal(kvdb_each(db, KVDB_META, count_row, &left), 17);
    kvdb_close(db);
}

/* A long job lets others through between its steps; staged rows come with
 * its last one. */
static void test_steps(void **state)
{
    struct fatal f = {0};
    struct kvdb *db = open_new(&f);
    int order = 0;
    struct test_job slow = make_job(5, 0, true);
    struct test_job quick = make_job(1, 0, false);
    slow.order = quick.order = &order;
    kvdb_stage_put(db, KVDB_META, slice_str("a"), slice_str("1"));
    kvdb_submit(db, &slow.job);
    kvdb_submit(db, &quick.job);
    kvdb_drain(db);
    assert_int_equal(slow.done_err, 0);
    assert_int_equal(slow.runs, 5);
    assert_int_equal(quick.done_err, 0);
    assert_true(has(db, KVDB_META, "a", "1"));
    kvdb_close(db);
}

static void test_failed_job(void **state)
{
    struct fatal f = {0};
    struct kvdb *db = open_new(&f);
    struct test_job canceled = make_job(2, ERR_CANCELED, true);
    kvdb_stage_put(db, KVDB_META, slice_str("a"), slice_str("1"));
    kvdb_submit(db, &canceled.job);
    kvdb_drain(db);
    assert_int_equal(canceled.done_err, ERR_CANCELED);
    assert_int_equal(f.err, 0);
    assert_false(has(db, KVDB_META, "a", "1"));
    struct test_job bad = make_job(1, ERR_CORRUPT, false);
    struct test_job after = make_job(1, 0, false);
    kvdb_submit(db, &bad.job);
    kvdb_submit(db, &after.job);
    kvdb_drain(db);
    assert_int_equal(bad.done_err, ERR_CORRUPT);
    assert_int_equal(f.err, ERR_CORRUPT);
    assert_non_null(strstr(f.text, PATH));
    assert_int_equal(after.done_err, ERR_IO);
    assert_int_equal(after.runs, 0);
    kvdb_close(db);
}

static void test_close_cancels(void **state)
{
    struct fatal f = {0};
    struct kvdb *db = open_new(&f);
    struct test_job endless = make_job(1 << 30, 0, true);
    kvdb_stage_put(db, KVDB_META, slice_str("a"), slice_str("1"));
    kvdb_submit(db, &endless.job);
    kvdb_close(db);
    assert_int_equal(endless.done_err, ERR_CANCELED);
    db = open_with(&f);
    assert_false(has(db, KVDB_META, "a", "1"));
    kvdb_close(db);
}

static void test_busy(void **state)
{
    struct fatal f = {0};
    struct kvdb *db = open_new(&f);
    struct kvdb *other;
    assert_int_equal(kvdb_open(&(struct kvdb_config){.path = PATH}, &other),
                     ERR_BUSY);
    assert_non_null(strstr(kvdb_error_text(), PATH));
    kvdb_close(db);
}

static void write_file(const void *data, size_t size)
{
    unlink(PATH);
    int fd = open(PATH, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

static void test_not_ours(void **state)
{
    struct kvdb *db;
    struct kvdb_config config = {.path = PATH};
    char garbage[16384];
    memset(garbage, 'x', sizeof garbage);
    write_file(garbage, sizeof garbage);
    assert_int_equal(kvdb_open(&config, &db), ERR_CORRUPT);
    /* an LMDB file, but of someone else */
    unlink(PATH);
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
    assert_int_equal(mdb_env_open(env, PATH, MDB_NOSUBDIR, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "theirs", MDB_CREATE, &dbi), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    assert_int_equal(kvdb_open(&config, &db), ERR_CORRUPT);
    config.path = "no-such-folder/test.db";
    assert_int_equal(kvdb_open(&config, &db), ERR_IO);
}

/* What is behind the end of a cut file is an error, not a signal. */
static void test_cut_file(void **state)
{
    struct fatal f = {0};
    struct kvdb *db = open_new(&f);
    char big[9000];
    memset(big, 'b', sizeof big);
    for (int i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "%03d", i);
        kvdb_stage_put(db, KVDB_META, slice_str(key),
                       slice_of(big, sizeof big));
    }
    commit_staged(db);
    kvdb_close(db);
    assert_int_equal(truncate(PATH, 5 * 4096), 0);
    struct kvdb_config config = {.path = PATH};
    int err = kvdb_open(&config, &db);
    if (err == 0) {
        int left = 1000;
        err = kvdb_each(db, KVDB_META, count_row, &left);
        kvdb_close(db);
    }
    assert_int_equal(err, ERR_CORRUPT);
}

static void expect_row(MDB_txn *txn, MDB_dbi dbi, const char *key,
                       const char *value)
{
    MDB_val k = {strlen(key), (void *)(uintptr_t)key};
    MDB_val v;
    assert_int_equal(mdb_get(txn, dbi, &k, &v), 0);
    assert_true(slice_eq_str(slice_of(v.mv_data, v.mv_size), value));
}

static void put_committed(struct kvdb *db, const char *key, const char *value)
{
    kvdb_stage_put(db, KVDB_META, slice_str(key), slice_str(value));
    commit_staged(db);
}

/* Who still reads in a store that was closed and replaced reads what was. */
static void test_read_beyond_the_end(void **state)
{
    struct fatal f = {0};
    struct kvdb *db = open_new(&f);
    put_committed(db, "a", "old");
    MDB_txn *old[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mdb_txn_begin(mdb_txn_env(kvdb_reader(db)), NULL,
                                       MDB_RDONLY, &old[i]),
                         0);
    }
    MDB_dbi dbi = kvdb_dbi(db, KVDB_META);
    kvdb_close(db);
    assert_int_equal(kvdb_sweep(), 1);
    unlink(PATH); /* another file takes the name */
    db = open_with(&f);
    for (int i = 0; i < 20; i++) { /* pages are used again */
        put_committed(db, "a", i % 2 ? "one" : "two");
        expect_row(old[1], dbi, "a", "old");
    }
    assert_true(has(db, KVDB_META, "a", "one"));
    mdb_txn_abort(old[0]);
    assert_int_equal(kvdb_sweep(), 1);
    expect_row(old[1], dbi, "a", "old");
    mdb_txn_abort(old[1]);
    assert_int_equal(kvdb_sweep(), 0);
    put_committed(db, "a", "still");
    kvdb_close(db);
    assert_int_equal(kvdb_sweep(), 0);
    db = open_with(&f);
    assert_true(has(db, KVDB_META, "a", "still"));
    kvdb_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_staged_rows),
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_failed_job),
        cmocka_unit_test(test_close_cancels),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_not_ours),
        cmocka_unit_test(test_cut_file),
        cmocka_unit_test(test_read_beyond_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
