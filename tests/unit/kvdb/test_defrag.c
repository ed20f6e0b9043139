/* A new file in place of the old one, under everybody's feet. */
#include <sys/stat.h>
#include <sys/wait.h>

#include "../store.h"
#include "base/crc32c.h"

#define PATH "defrag.db"

static struct kvdb *open_db(bool no_fsync)
{
    struct kvdb *db;
    struct kvdb_config config = {
        .path = PATH, .no_fsync = no_fsync, .fatal = store_fatal};
    assert_int_equal(kvdb_open(&config, &db), 0);
    return db;
}

static struct kvdb *open_new(void)
{
    unlink(PATH);
    unlink(PATH "-lock");
    return open_db(false);
}

/* ---- a job around a function ---- */
struct task {
    struct kvdb_job job;
    void (*work)(struct kvdb *db, MDB_txn *txn);
    struct kvdb *db;
    int err;
};

static int task_run(struct kvdb_job *job, MDB_txn *txn)
{
    struct task *t = container_of(job, struct task, job);
    t->work(t->db, txn);
    return 0;
}

static void task_done(struct kvdb_job *job, int err)
{
    container_of(job, struct task, job)->err = err;
}

static void run(struct kvdb *db, bool reads,
                void (*work)(struct kvdb *db, MDB_txn *txn))
{
    struct task t = {
        .job = {.run = task_run, .done = task_done, .reads = reads},
        .work = work,
        .db = db,
        .err = 1};
    kvdb_submit(db, &t.job);
    kvdb_drain(db);
    assert_int_equal(t.err, 0);
}

static void put(struct kvdb *db, MDB_txn *txn, enum kvdb_table table,
                const char *key, const void *value, size_t size)
{
    MDB_val k = {strlen(key), (void *)(uintptr_t)key};
    MDB_val v = {size, (void *)(uintptr_t)value};
    if (mdb_put(txn, kvdb_dbi(db, table), &k, &v, 0) != 0) {
        abort();
    }
}

enum { ROWS = 5000, VALUE_BYTES = 500, VERSIONS = 300 };

static void fill(struct kvdb *db, MDB_txn *txn)
{
    static char value[VALUE_BYTES];
    for (int i = 0; i < ROWS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%06d", (i * 7919) % ROWS);
        put(db, txn, KVDB_REV, key, value, sizeof value);
        put(db, txn, KVDB_INDEX, key, "version 1", 9);
    }
    for (int i = 0; i < VERSIONS; i++) {
        char version[16];
        snprintf(version, sizeof version, "ver%06d", i);
        put(db, txn, KVDB_INDEX, "k000017", version, 9);
    }
    put(db, txn, KVDB_MEMBERS, "a", "1", 1);
    put(db, txn, KVDB_STATE, "identity", "me", 2);
    put(db, txn, KVDB_LONG_KEY, "long", value, sizeof value);
    put(db, txn, KVDB_LEASE_KEY, "lease", "", 0);
}

static void thin_out(struct kvdb *db, MDB_txn *txn)
{
    for (int i = 0; i < ROWS; i++) {
        if (i % 50) {
            char key[16];
            snprintf(key, sizeof key, "k%06d", i);
            MDB_val k = {strlen(key), key};
            if (mdb_del(txn, kvdb_dbi(db, KVDB_REV), &k, NULL) != 0) {
                abort();
            }
        }
    }
}

static void put_more(struct kvdb *db, MDB_txn *txn)
{
    put(db, txn, KVDB_REV, "later", "x", 1);
}

/* ---- what is there ---- */
struct sum {
    uint32_t crc;
    int rows;
};

static int add_row(void *ctx, struct slice key, struct slice value)
{
    struct sum *s = ctx;
    s->rows++;
    s->crc = crc32c(s->crc, key.data, key.size);
    s->crc = crc32c(s->crc, value.data, value.size);
    return 0;
}

static struct sum sum_of(struct kvdb *db)
{
    struct sum s = {0};
    for (int t = 0; t < KVDB_TABLE_COUNT; t++) {
        assert_int_equal(kvdb_each(db, (enum kvdb_table)t, add_row, &s), 0);
    }
    return s;
}

static void check_sum(struct kvdb *db, struct sum want)
{
    struct sum got = sum_of(db);
    assert_int_equal(got.rows, want.rows);
    assert_int_equal(got.crc, want.crc);
}

static off_t file_size(void)
{
    struct stat st;
    assert_int_equal(stat(PATH, &st), 0);
    return st.st_size;
}

static void done(void *ctx, int err)
{
    *(int *)ctx = err;
}

static void defragment(struct kvdb *db, int want)
{
    int err = 1;
    kvdb_defragment(db, done, &err);
    kvdb_drain(db);
    assert_int_equal(err, want);
    assert_int_equal(access(PATH ".defrag", F_OK), -1);
    assert_int_equal(access(PATH ".defrag-lock", F_OK), -1);
}

/* Descriptors of this process that lead to a file without a name. */
static int unlinked_count(void)
{
    int count = 0;
    for (int fd = 3; fd < 200; fd++) {
        char link[64], to[512];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, to, sizeof to - 1);
        if (n > 0) {
            to[n] = '\0';
            count += strstr(to, PATH " (deleted)") != NULL;
        }
    }
    return count;
}

/* ---- tests ---- */
static void smaller_and_the_same(void **state)
{
    struct kvdb *db = open_new();
    run(db, false, fill);
    run(db, false, thin_out);
    struct sum before = sum_of(db);
    struct kvdb_stats stats;
    kvdb_get_stats(db, &stats);
    uint64_t bytes = stats.file_bytes;
    off_t size = file_size();
    defragment(db, 0);
    check_sum(db, before);
    kvdb_get_stats(db, &stats);
    assert_true(stats.file_bytes < bytes / 4);
    assert_true(file_size() < size / 4);
    assert_int_equal(unlinked_count(), 0);
    /* what is written now is in the file that the name leads to */
    run(db, false, put_more);
    struct sum after = sum_of(db);
    assert_int_equal(after.rows, before.rows + 1);
    /* and again, twice */
    defragment(db, 0);
    defragment(db, 0);
    check_sum(db, after);
    kvdb_close(db);
    db = open_db(false);
    check_sum(db, after);
    kvdb_close(db);
}

static void empty_store(void **state)
{
    struct kvdb *db = open_new();
    struct sum before = sum_of(db);
    defragment(db, 0);
    check_sum(db, before);
    kvdb_close(db);
    db = open_db(true);
    check_sum(db, before);
    defragment(db, 0);
    kvdb_close(db);
}

static MDB_txn *held;

static void hold(struct kvdb *db, MDB_txn *txn)
{
    if (mdb_txn_begin(mdb_txn_env(txn), NULL, MDB_RDONLY, &held) != 0) {
        abort();
    }
}

static void nothing(struct kvdb *db, MDB_txn *txn)
{
}

/* An image that is being sent goes on over the old file; that is closed
 * afterwards. */
static void readers_of_the_old_file(void **state)
{
    struct kvdb *db = open_new();
    run(db, false, fill);
    run(db, true, hold);
    defragment(db, 0);
    run(db, false, put_more);
    assert_true(unlinked_count() > 0);
    MDB_val k = {7, (void *)(uintptr_t) "k000001"}, v;
    assert_int_equal(mdb_get(held, kvdb_dbi(db, KVDB_REV), &k, &v), 0);
    assert_int_equal(v.mv_size, VALUE_BYTES);
    k = (MDB_val){5, (void *)(uintptr_t) "later"};
    assert_int_equal(mdb_get(held, kvdb_dbi(db, KVDB_REV), &k, &v),
                     MDB_NOTFOUND);
    mdb_txn_abort(held);
    for (int i = 0; i < 3 && unlinked_count(); i++) {
        run(db, true, nothing);
    }
    assert_int_equal(unlinked_count(), 0);
    kvdb_close(db);
}

static void too_many_old_files(void **state)
{
    struct kvdb *db = open_new();
    MDB_txn *all[5];
    for (int i = 0; i < 4; i++) {
        run(db, true, hold);
        all[i] = held;
        defragment(db, 0);
    }
    defragment(db, ERR_BUSY);
    for (int i = 0; i < 4; i++) {
        mdb_txn_abort(all[i]);
    }
    run(db, true, nothing);
    defragment(db, 0);
    kvdb_close(db);
}

/* Queued behind it: written after it, into the new file. Staged rows come
 * along, two at once are done one after the other. */
static void work_in_the_queue(void **state)
{
    struct kvdb *db = open_new();
    run(db, false, fill);
    int err[2] = {1, 1};
    struct task t = {
        .job = {.run = task_run, .done = task_done, .staged = true},
        .work = put_more,
        .db = db,
        .err = 1};
    kvdb_defragment(db, done, &err[0]);
    kvdb_stage_put(db, KVDB_MEMBERS, slice_str("b"), slice_str("2"));
    kvdb_submit(db, &t.job);
    kvdb_defragment(db, done, &err[1]);
    kvdb_drain(db);
    assert_int_equal(err[0], 0);
    assert_int_equal(err[1], 0);
    assert_int_equal(t.err, 0);
    struct slice value;
    assert_int_equal(kvdb_get(db, KVDB_MEMBERS, slice_str("b"), &value), 0);
    assert_int_equal(kvdb_get(db, KVDB_REV, slice_str("later"), &value), 0);
    struct sum all = sum_of(db);
    kvdb_close(db);
    db = open_db(false);
    check_sum(db, all);
    kvdb_close(db);
}

/* Ended by the close: the old file is as it was. */
static void closed_meanwhile(void **state)
{
    struct kvdb *db = open_new();
    run(db, false, fill);
    struct sum before = sum_of(db);
    int err = 1;
    kvdb_defragment(db, done, &err);
    kvdb_close(db);
    assert_true(err == 0 || err == ERR_CANCELED);
    db = open_db(false);
    check_sum(db, before);
    assert_int_equal(access(PATH ".defrag", F_OK), -1);
    kvdb_close(db);
}

static void stopped(void **state)
{
    struct kvdb *db = open_new();
    run(db, false, fill);
    struct sum before = sum_of(db);
    kvdb_defragment_stop(db);
    defragment(db, ERR_CANCELED);
    check_sum(db, before);
    kvdb_close(db);
    kvdb_defragment_stop(NULL);
}

/* Killed at any moment: one of the two files, whole. */
static void killed_meanwhile(void **state)
{
    struct kvdb *db = open_new();
    run(db, false, fill);
    run(db, false, thin_out);
    struct sum before = sum_of(db);
    kvdb_close(db);
    for (useconds_t wait_us = 0; wait_us < 40000; wait_us += 2500) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct kvdb *child = open_db(false);
            int err = 1;
            kvdb_defragment(child, done, &err);
            usleep(wait_us);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        db = open_db(false);
        check_sum(db, before);
        assert_int_equal(access(PATH ".defrag", F_OK), -1);
        kvdb_close(db);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smaller_and_the_same),
        cmocka_unit_test(empty_store),
        cmocka_unit_test(readers_of_the_old_file),
        cmocka_unit_test(too_many_old_files),
        cmocka_unit_test(work_in_the_queue),
        cmocka_unit_test(closed_meanwhile),
        cmocka_unit_test(stopped),
        cmocka_unit_test(killed_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
