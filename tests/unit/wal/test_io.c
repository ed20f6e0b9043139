/* The disk fails, is full, or belongs to somebody else. */
#include "helper.h"

#include <errno.h>

#include "wal/io.h"

static struct buf want = BUF_INIT(1 << 20);
static struct buf got = BUF_INIT(1 << 20);

/* The system's calls, until a countdown ends; then `failure` for good, or
 * half a write for the write that is to be short. */
static atomic_int writes_left, syncs_left, reserves_left;
static atomic_int failure;
static atomic_int calls_after_failure;
static atomic_bool failed;
static atomic_bool short_writes;

static ssize_t test_pwritev(int fd, const struct iovec *iov, int count,
                            off_t offset)
{
    calls_after_failure += failed;
    if (atomic_fetch_sub(&writes_left, 1) <= 0) {
        failed = true;
        errno = failure;
        return -1;
    }
    if (short_writes && iov->iov_len > 1) {
        struct iovec half = {iov->iov_base, iov->iov_len / 2};
        return pwritev(fd, &half, 1, offset);
    }
    return pwritev(fd, iov, count, offset);
}

static int test_fdatasync(int fd)
{
    calls_after_failure += failed;
    if (atomic_fetch_sub(&syncs_left, 1) <= 0) {
        failed = true;
        errno = failure;
        return -1;
    }
    return fdatasync(fd);
}

static int test_fallocate(int fd, off_t offset, off_t size)
{
    if (atomic_fetch_sub(&reserves_left, 1) <= 0) {
        return failure;
    }
    return posix_fallocate(fd, offset, size);
}

static const struct wal_io test_io = {test_pwritev, test_fdatasync,
                                      test_fallocate};

static int setup(void **state)
{
    (void)state;
    wal_io = &test_io;
    writes_left = syncs_left = reserves_left = 1000000;
    failure = EIO;
    failed = false;
    short_writes = false;
    calls_after_failure = 0;
    buf_reset(&want, 0);
    buf_reset(&got, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wal_io = &wal_io_system;
    return 0;
}

static int release_all(void **state)
{
    (void)state;
    buf_release(&want);
    buf_release(&got);
    return 0;
}

static struct wal *create(struct fixture *f)
{
    struct wal *w;
    f->config.no_fsync = false;
    assert_int_equal(wal_create(&f->config, &identity, &w), 0);
    put_entry(w, &want, 1, 1, slice_str("kept"));
    submit_wait(f, w);
    return w;
}

/* Several more batches; the log must say so once, and do nothing more. */
static void expect_fatal(struct fixture *f, struct wal *w, int err,
                         const char *words)
{
    char data[900];
    memset(data, 'f', sizeof data);
    for (uint64_t i = 2; i < 12; i++) {
        wal_entry(w, 1, i, 0, slice_of(data, sizeof data));
        wal_submit(w, true);
    }
    for (int ms = 0; atomic_load(&f->fatal_err) == 0; ms++) {
        assert_true(ms < 10000);
        usleep(1000);
    }
    assert_int_equal(atomic_load(&f->fatal_err), err);
    assert_true(wal_durable(w) < 11);
    wal_release(w, 5);
    wal_close(w);
    assert_non_null(strstr(f->fatal_text, words));
    assert_non_null(strstr(f->fatal_text, f->dir));
    assert_int_equal(calls_after_failure, 0);
    teardown(NULL);
    assert_int_equal(open_noting(f, &got, &w), 0);
    assert_non_null(strstr(text_of(&got), text_of(&want)));
    wal_close(w);
    fixture_free(f);
}

static void test_write_fails(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(65536);
    struct wal *w = create(f);
    writes_left = 0;
    expect_fatal(f, w, ERR_IO, "write");
}

static void test_sync_fails(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(65536);
    struct wal *w = create(f);
    syncs_left = 0;
    expect_fatal(f, w, ERR_IO, "fdatasync");
}

static void test_write_no_space(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(65536);
    struct wal *w = create(f);
    failure = ENOSPC;
    writes_left = 0;
    expect_fatal(f, w, ERR_NO_SPACE, "disk full");
}

/* No room for the next segment: first nothing happens, as there is room in
 * this one; then it is said. */
static void test_segment_no_space(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(4096);
    struct wal *w = create(f);
    failure = ENOSPC;
    reserves_left = 0;
    char data[700];
    memset(data, 'n', sizeof data);
    for (uint64_t i = 2; i <= 4; i++) {
        put_entry(w, &want, 1, i, slice_of(data, sizeof data));
        submit_wait(f, w);
        assert_int_equal(atomic_load(&f->fatal_err), 0);
    }
    expect_fatal(f, w, ERR_NO_SPACE, "disk full");
}

/* Room is back before it was needed. */
static void test_space_comes_back(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(4096);
    struct wal *w = create(f);
    failure = ENOSPC;
    reserves_left = 0;
    char data[700];
    memset(data, 'b', sizeof data);
    for (uint64_t i = 2; i <= 20; i++) {
        put_entry(w, &want, 1, i, slice_of(data, sizeof data));
        submit_wait(f, w);
        reserves_left = i >= 4 ? 1000 : 0;
    }
    assert_int_equal(atomic_load(&f->fatal_err), 0);
    wal_close(w);
    assert_int_equal(open_noting(f, &got, &w), 0);
    assert_text(&got, &want);
    wal_close(w);
    fixture_free(f);
}

static void test_create_no_space(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(65536);
    struct wal *w = NULL;
    failure = ENOSPC;
    reserves_left = 0;
    assert_int_equal(wal_create(&f->config, &identity, &w), ERR_NO_SPACE);
    assert_non_null(strstr(wal_error_text(), f->dir));
    assert_false(wal_exists(f->dir));
    writes_left = 0;
    reserves_left = 10;
    assert_int_equal(wal_create(&f->config, &identity, &w), ERR_NO_SPACE);
    assert_false(wal_exists(f->dir));
    writes_left = 10;
    assert_int_equal(wal_create(&f->config, &identity, &w), 0);
    wal_close(w);
    fixture_free(f);
}

static void test_short_writes(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(65536);
    short_writes = true;
    struct wal *w = create(f);
    for (uint64_t i = 2; i <= 30; i++) {
        put_entry(w, &want, 1, i, slice_str("in pieces"));
        wal_submit(w, true);
    }
    wal_close(w);
    assert_int_equal(open_noting(f, &got, &w), 0);
    assert_text(&got, &want);
    wal_close(w);
    fixture_free(f);
}

static void test_busy(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(65536);
    struct wal *w = create(f);
    struct wal *second = NULL;
    assert_int_equal(open_noting(f, &got, &second), ERR_BUSY);
    assert_non_null(strstr(wal_error_text(), "another process"));
    assert_int_equal(wal_create(&f->config, &identity, &second), ERR_BUSY);
    assert_null(second);
    wal_close(w);
    assert_int_equal(open_noting(f, &got, &second), 0);
    wal_close(second);
    fixture_free(f);
}

/* Another program's files, or a version to come. */
static void test_foreign(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(65536);
    assert_int_equal(mkdir(f->dir, 0700), 0);
    char *path = mem_printf("%s/0000000000000000-0000000000000000.wal", f->dir);
    char junk[4096];
    memset(junk, 4, sizeof junk);
    struct wal *w;
    for (size_t size = 0; size <= sizeof junk; size += 1024) {
        file_write(path, junk, size);
        assert_true(wal_exists(f->dir));
        assert_int_equal(open_noting(f, &got, &w), ERR_CORRUPT);
        assert_non_null(strstr(wal_error_text(), path));
    }
    free(path);
    fixture_free(f);
}

/* What a crash between two steps of a new segment leaves behind. */
static void test_leftovers(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(65536);
    struct wal *w = create(f);
    wal_close(w);
    char *path = mem_printf("%s/next.tmp", f->dir);
    file_write(path, "cofrewal and more", 17);
    assert_int_equal(open_noting(f, &got, &w), 0);
    assert_text(&got, &want);
    assert_int_equal(access(path, F_OK), -1);
    wal_close(w);
    free(path);
    fixture_free(f);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_write_fails),      CASE(test_sync_fails),
        CASE(test_write_no_space),   CASE(test_segment_no_space),
        CASE(test_space_comes_back), CASE(test_create_no_space),
        CASE(test_short_writes),     CASE(test_busy),
        CASE(test_foreign),          CASE(test_leftovers),
    };
    return cmocka_run_group_tests(tests, NULL, release_all);
}
