/* Durability: what a flush leaves behind when something goes wrong. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "fixture.h"

#include "mvcc/private.h"

static void put_many(struct fixture *f, int count, size_t value_size)
{
    char *value = mem_alloc(value_size);
    memset(value, 'v', value_size);
    for (int i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "key-%06d", i);
        mvcc_begin(f->m);
        fixture_put_one(f, slice_str(key), slice_of(value, value_size), 0);
        mvcc_end(f->m, ++f->index, 1);
    }
    free(value);
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int64_t count_all(struct fixture *f)
{
    int64_t count;
    struct mvcc_range all = {
        .key = slice_of("\0", 1), .end = slice_of("\0", 1), .count_only = true};
    assert_int_equal(mvcc_range(f->m, &all, NULL, NULL, &count), 0);
    return count;
}

static void test_disk_full(void **state)
{
    struct fixture f;
    struct stat st;
    fixture_new(&f);
    fixture_put(&f, "before", "1");
    assert_int_equal(fixture_flush(&f), 0);
    uint64_t durable = mvcc_durable_index(f.m);
    put_many(&f, 2000, 1000);
    assert_int_equal(stat(FIXTURE_PATH, &st), 0);
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size((rlim_t)st.st_size + (256 << 10));
    assert_int_equal(fixture_flush(&f), ERR_NO_SPACE);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(f.fatal_err, ERR_NO_SPACE);
    /* Still readable, but nothing is written any more. */
    assert_int_equal(count_all(&f), 2001);
    assert_true(fixture_flush(&f) < 0);
    assert_int_equal(mvcc_durable_index(f.m), durable);
    fixture_reopen(&f);
    assert_int_equal(f.index, durable);
    assert_int_equal(count_all(&f), 1);
    fixture_expect(&f, "before", "1");
    put_many(&f, 10, 10);
    f.fatal_err = 0;
    assert_int_equal(fixture_flush(&f), 0);
    fixture_close(&f);
}

/* Overwrites the value of a record in the file, behind the store's back. */
static void spoil(const char *value)
{
    int fd = open(FIXTURE_PATH, O_RDWR);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    char *file = mem_alloc((size_t)st.st_size);
    assert_int_equal(pread(fd, file, (size_t)st.st_size, 0), st.st_size);
    char *at = file;
    int hits = 0;
    while ((at = memmem(at, (size_t)(file + st.st_size - at), value,
                        strlen(value))) != NULL) {
        assert_int_equal(pwrite(fd, "?", 1, at - file), 1);
        at++;
        hits++;
    }
    assert_true(hits > 0);
    free(file);
    close(fd);
}

static bool visit_kv(void *ctx, const struct mvcc_kv *kv)
{
    return true;
}

static bool visit_event(void *ctx, const struct mvcc_event *e)
{
    return true;
}

static void on_hash(void *ctx, int err, const struct mvcc_hash *hash)
{
    *(int *)ctx = err;
}

static void test_corrupt_record(void **state)
{
    struct fixture f;
    fixture_new(&f);
    fixture_put(&f, "good", "fine-value");
    fixture_put(&f, "bad", "this-will-rot");
    assert_int_equal(fixture_flush(&f), 0);
    fixture_close(&f);
    spoil("this-will-rot");
    fixture_open(&f);
    struct mvcc_kv kv;
    fixture_expect(&f, "good", "fine-value");
    assert_int_equal(mvcc_get(f.m, slice_str("bad"), &kv), ERR_CORRUPT);
    struct mvcc_range all = {.key = slice_of("\0", 1),
                             .end = slice_of("\0", 1)};
    assert_int_equal(mvcc_range(f.m, &all, visit_kv, NULL, NULL), ERR_CORRUPT);
    assert_int_equal(mvcc_history(f.m, 1, visit_event, NULL), ERR_CORRUPT);
    int err = 0;
    assert_int_equal(mvcc_hash_kv(f.m, 0, on_hash, &err), 0);
    kvdb_drain(f.db);
    assert_int_equal(err, ERR_CORRUPT);
    /* A compaction that cannot read what it deletes ends the store. */
    assert_int_equal(fixture_compact(&f, 3), ERR_CORRUPT);
    assert_int_equal(f.fatal_err, ERR_CORRUPT);
    fixture_close(&f);
}

/* Staged rows come with the applied index or not at all. */
static void test_staged(void **state)
{
    struct fixture f;
    struct slice value;
    fixture_new(&f);
    mvcc_flush_limits.pages_max = 4;
    kvdb_stage_put(f.db, KVDB_LEASE, slice_str("one"), slice_str("1"));
    put_many(&f, 500, 100);
    mvcc_flush_limits.steps_max = 3;
    assert_int_equal(fixture_flush(&f), ERR_CANCELED);
    mvcc_flush_limits.steps_max = UINT64_MAX;
    fixture_reopen(&f);
    assert_int_equal(f.index, 0);
    assert_int_equal(mvcc_revision(f.m), 1);
    assert_int_equal(count_all(&f), 0);
    assert_int_equal(kvdb_get(f.db, KVDB_LEASE, slice_str("one"), &value),
                     ERR_NOT_FOUND);
    kvdb_stage_put(f.db, KVDB_LEASE, slice_str("one"), slice_str("1"));
    put_many(&f, 500, 100);
    assert_int_equal(fixture_flush(&f), 0);
    mvcc_flush_limits.pages_max = 2048;
    fixture_reopen(&f);
    assert_int_equal(f.index, 500);
    assert_int_equal(count_all(&f), 500);
    assert_int_equal(kvdb_get(f.db, KVDB_LEASE, slice_str("one"), &value), 0);
    fixture_close(&f);
}

/* Puts of keys `stride` apart, around a ring of 20,000, until a flush is
 * wanted; then it is done. Returns how many. */
static int puts_until_flush(struct fixture *f, int stride)
{
    int count = 0;
    while (!mvcc_wants_flush(f->m)) {
        char key[16];
        snprintf(key, sizeof key, "key-%06d", count++ * stride % 20000);
        fixture_put(f, key, "v");
    }
    assert_int_equal(fixture_flush(f), 0);
    return count;
}

/* A delta grows larger where its keys are spread over many pages. */
static void test_size_learned(void **state)
{
    struct fixture f;
    fixture_new(&f);
    put_many(&f, 20000, 10);
    assert_int_equal(fixture_flush(&f), 0);
    mvcc_close(f.m);
    struct mvcc_config config = {.db = f.db, .flush_bytes_max = 200 << 10};
    assert_int_equal(mvcc_open(&config, &f.m), 0);
    puts_until_flush(&f, 1); /* neighbours */
    puts_until_flush(&f, 1);
    int dense = puts_until_flush(&f, 1);
    int spread = puts_until_flush(&f, 61);
    assert_true(spread < dense + dense / 4); /* learned from the one before */
    spread = puts_until_flush(&f, 61);
    assert_true(spread > dense + dense / 2);
    puts_until_flush(&f, 1);
    int again = puts_until_flush(&f, 1);
    assert_true(again < spread - spread / 4);
    fixture_close(&f);
}

struct order {
    int calls[8];
    int count;
};

struct order_call {
    struct order *order;
    int number;
};

static void note_call(void *ctx, int err)
{
    struct order_call *c = ctx;
    assert_int_equal(err, 0);
    c->order->calls[c->order->count++] = c->number;
}

/* A call during a flush is queued behind it, and further ones join it. */
static void test_queue(void **state)
{
    struct fixture f;
    struct order order = {0};
    struct order_call calls[3] = {{&order, 0}, {&order, 1}, {&order, 2}};
    fixture_new(&f);
    fixture_put(&f, "a", "1");
    mvcc_flush(f.m, note_call, &calls[0]);
    fixture_put(&f, "b", "2");
    mvcc_flush(f.m, note_call, &calls[1]);
    mvcc_begin(f.m);
    fixture_put_one(&f, slice_str("c"), slice_str("3"), 0);
    mvcc_flush(f.m, note_call, &calls[2]);
    kvdb_drain(f.db);
    assert_int_equal(order.count, 1);
    assert_int_equal(mvcc_durable_index(f.m), 1);
    mvcc_end(f.m, ++f.index, 1);
    kvdb_drain(f.db);
    assert_int_equal(order.count, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(order.calls[i], i);
    }
    assert_int_equal(mvcc_durable_index(f.m), 3);
    assert_int_equal(mvcc_delta_bytes(f.m) < 4096, 1);
    fixture_close(&f);
}

/* An entry that changes nothing moves the applied index all the same. */
static void test_empty_entry(void **state)
{
    struct fixture f;
    fixture_new(&f);
    mvcc_begin(f.m);
    mvcc_end(f.m, f.index = 9, 5);
    assert_int_equal(mvcc_revision(f.m), 1);
    assert_int_equal(fixture_flush(&f), 0);
    fixture_reopen(&f);
    assert_int_equal(mvcc_applied_index(f.m), 9);
    assert_int_equal(mvcc_applied_term(f.m), 5);
    assert_int_equal(mvcc_durable_term(f.m), 5);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk_full), cmocka_unit_test(test_corrupt_record),
        cmocka_unit_test(test_staged),    cmocka_unit_test(test_size_learned),
        cmocka_unit_test(test_queue),     cmocka_unit_test(test_empty_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
