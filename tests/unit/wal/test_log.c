/* What is appended comes back: over reopening, overwriting, segments. */
#include "helper.h"

#include "base/rng.h"

static struct buf want = BUF_INIT(1 << 26);
static struct buf got = BUF_INIT(1 << 26);

static int reset(void **state)
{
    (void)state;
    buf_reset(&want, 0);
    buf_reset(&got, 0);
    return 0;
}

static int release_all(void **state)
{
    (void)state;
    buf_release(&want);
    buf_release(&got);
    return 0;
}

static void reopen(struct fixture *f, struct wal **w)
{
    wal_close(*w);
    assert_int_equal(open_noting(f, &got, w), 0);
    assert_text(&got, &want);
}

static void test_empty(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(0);
    struct wal *w = NULL;
    assert_false(wal_exists(f->dir));
    assert_int_equal(open_noting(f, &got, &w), ERR_NOT_FOUND);
    assert_non_null(strstr(wal_error_text(), f->dir));
    assert_int_equal(wal_create(&f->config, &identity, &w), 0);
    assert_true(wal_exists(f->dir));
    assert_int_equal(wal_submit(w, true), 0);
    reopen(f, &w);
    wal_close(w);
    w = NULL;
    assert_int_equal(wal_create(&f->config, &identity, &w), ERR_EXISTS);
    assert_null(w);
    struct stat st;
    assert_int_equal(stat(f->dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    fixture_free(f);
}

static void test_append_reopen(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(1 << 20);
    f->config.no_fsync = false;
    struct wal *w;
    assert_int_equal(wal_create(&f->config, &identity, &w), 0);
    for (uint64_t i = 1; i <= 20; i++) {
        char text[40];
        snprintf(text, sizeof text, "%.*s", (int)i, "abcdefghijklmnopqrst");
        put_entry(w, &want, 1, i, slice_str(text));
        put_hard_state(w, &want, 1, 7, i - 1);
        uint64_t number = wal_submit(w, true);
        assert_int_equal(number, i <= 10 ? i : i - 10);
        wait_durable(f, w, number);
        if (i == 10) {
            struct wal_stats stats;
            wal_get_stats(w, &stats);
            assert_int_equal(stats.fsync_count, 10);
            assert_true(stats.fsync_ns_total >= stats.fsync_ns_last);
            assert_int_equal(stats.segment_count, 1);
            assert_int_equal(stats.torn_bytes_cut, 0);
            reopen(f, &w);
        }
    }
    wal_snapshot(w, 15, 1, slice_str("conf"));
    note_snapshot(&want, 15, 1, slice_str("conf"));
    wal_entry(w, 2, 21, 3, slice_of(NULL, 0));
    note_entry(&want, 2, 21, 3, slice_of(NULL, 0));
    wal_submit(w, true);
    reopen(f, &w);
    wal_close(w);
    assert_true(atomic_load(&f->notified) >= 20);
    assert_int_equal(atomic_load(&f->fatal_err), 0);
    fixture_free(f);
}

/* A batch without sync goes along with the next that has it, or at close. */
static void test_lazy_submit(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(0);
    struct wal *w;
    assert_int_equal(wal_create(&f->config, &identity, &w), 0);
    put_hard_state(w, &want, 1, 1, 1);
    assert_int_equal(wal_submit(w, false), 1);
    put_hard_state(w, &want, 1, 1, 2);
    assert_int_equal(wal_submit(w, false), 2);
    assert_int_equal(wal_durable(w), 0);
    put_entry(w, &want, 1, 1, slice_str("x"));
    assert_int_equal(wal_submit(w, true), 3);
    wait_durable(f, w, 3);
    put_hard_state(w, &want, 1, 1, 3);
    assert_int_equal(wal_submit(w, false), 4);
    /* Nothing new, but what waits must go now. */
    assert_true(wal_submit(w, true) >= 4);
    wait_durable(f, w, 4);
    put_hard_state(w, &want, 1, 1, 4);
    wal_submit(w, false);
    reopen(f, &w);
    wal_close(w);
    fixture_free(f);
}

static void test_overwrite(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(4096);
    struct wal *w;
    assert_int_equal(wal_create(&f->config, &identity, &w), 0);
    char data[300];
    memset(data, 'o', sizeof data);
    for (uint64_t term = 1; term <= 6; term++) {
        for (uint64_t i = term * 10 - 9; i <= term * 10 + 5; i++) {
            put_entry(w, &want, term, i, slice_of(data, sizeof data));
        }
        wal_submit(w, true);
    }
    reopen(f, &w);
    assert_true(count_segments(f->dir) > 3);
    wal_close(w);
    fixture_free(f);
}

/* Batches of every size, over many segments, larger ones than a segment. */
static void test_many_segments(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(16384);
    struct wal *w;
    struct rng rng = {1};
    uint8_t *data = mem_zalloc(60000);
    for (size_t i = 0; i < 30000; i++) {
        data[i] = (uint8_t)rng_next(&rng); /* the rest stays zero */
    }
    assert_int_equal(wal_create(&f->config, &identity, &w), 0);
    uint64_t index = 1;
    for (int batch = 0; batch < 300; batch++) {
        uint64_t entries = rng_below(&rng, 5) + 1;
        for (uint64_t i = 0; i < entries; i++) {
            size_t from = rng_below(&rng, 30000);
            size_t size = rng_below(&rng, 50) ? rng_below(&rng, 3000)
                                              : rng_below(&rng, 30000);
            put_entry(w, &want, 1, index++, slice_of(data + from, size));
        }
        uint64_t number = wal_submit(w, true);
        if (rng_below(&rng, 4) == 0) {
            wait_durable(f, w, number);
        }
        if (batch % 60 == 59) {
            reopen(f, &w);
        }
    }
    assert_true(count_segments(f->dir) > 40);
    struct wal_stats stats;
    wal_get_stats(w, &stats);
    assert_int_equal(stats.segment_count, count_segments(f->dir));
    wal_close(w);
    free(data);
    fixture_free(f);
}

static void wait_segments(struct wal *w, uint64_t most)
{
    struct wal_stats stats;
    for (int ms = 0; wal_get_stats(w, &stats), stats.segment_count > most;
         ms++) {
        assert_true(ms < 10000);
        usleep(1000);
    }
}

/* What old segments said that still matters is in the next one's header. */
static void test_release(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(4096);
    struct wal *w;
    char data[500];
    memset(data, 'r', sizeof data);
    assert_int_equal(wal_create(&f->config, &identity, &w), 0);
    wal_hard_state(w, 3, 9, 11);
    for (uint64_t i = 1; i <= 100; i++) {
        wal_entry(w, 3, i, 0, slice_of(data, sizeof data));
        submit_wait(f, w);
    }
    int all = count_segments(f->dir);
    assert_true(all > 10);

    /* Without a snapshot nothing goes. */
    wal_release(w, 90);
    wal_entry(w, 3, 101, 0, slice_of(data, sizeof data));
    submit_wait(f, w);
    wal_close(w);
    assert_true(count_segments(f->dir) >= all);

    assert_int_equal(open_noting(f, &got, &w), 0);
    wal_snapshot(w, 50, 3, slice_str("c50"));
    wal_submit(w, true);
    wal_release(w, 90);
    wait_segments(w, (uint64_t)all / 2 + 2);
    wal_close(w);
    assert_int_equal(open_noting(f, &got, &w), 0);
    const char *text = text_of(&got);
    assert_non_null(strstr(text, "h 3 9 11\n"));
    assert_non_null(strstr(text, "\ns 50 3 c50\n"));
    assert_non_null(strstr(text, "e 3 50 0"));
    assert_null(strstr(text, "e 3 20 0"));

    /* All but one: the snapshot is then in the header. */
    for (uint64_t i = 102; i <= 140; i++) {
        wal_entry(w, 3, i, 0, slice_of(data, sizeof data));
        submit_wait(f, w);
    }
    wal_snapshot(w, 140, 3, slice_str("c140"));
    submit_wait(f, w);
    for (uint64_t i = 141; i <= 160; i++) {
        wal_entry(w, 4, i, 0, slice_of(data, sizeof data));
        submit_wait(f, w);
    }
    wal_release(w, UINT64_MAX);
    wait_segments(w, 6);
    wal_close(w);
    assert_int_equal(open_noting(f, &got, &w), 0);
    text = text_of(&got);
    assert_non_null(strstr(text, "h 3 9 11\n"));
    assert_non_null(strstr(text, "s 140 3 c140\n"));
    assert_null(strstr(text, "c50"));
    assert_non_null(strstr(text, "e 4 160 0"));
    wal_close(w);
    fixture_free(f);
}

/* A snapshot that came from the leader, beyond all entries: what stands
 * before its own segment may go. */
static void test_installed_snapshot(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(4096);
    struct wal *w;
    char data[1000];
    memset(data, 'i', sizeof data);
    assert_int_equal(wal_create(&f->config, &identity, &w), 0);
    for (uint64_t i = 1; i <= 20; i++) {
        wal_entry(w, 1, i, 0, slice_of(data, sizeof data));
    }
    wal_hard_state(w, 5, 0, 1000);
    wal_snapshot(w, 1000, 5, slice_str("far"));
    submit_wait(f, w);
    for (uint64_t i = 1001; i <= 1010; i++) {
        wal_entry(w, 5, i, 0, slice_of(data, sizeof data));
        submit_wait(f, w);
    }
    wal_release(w, 1000);
    wait_segments(w, 5);
    wal_close(w);
    assert_int_equal(open_noting(f, &got, &w), 0);
    const char *text = text_of(&got);
    assert_non_null(strstr(text, "h 5 0 1000\n"));
    assert_non_null(strstr(text, "s 1000 5 far\n"));
    assert_non_null(strstr(text, "e 5 1010 0"));
    wal_close(w);
    fixture_free(f);
}

/* A snapshot noted long after its entry, as members keep entries for slow
 * followers, is told also when all below it is gone. */
static void test_snapshot_below_all(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(4096);
    struct wal *w;
    char data[500];
    memset(data, 'l', sizeof data);
    assert_int_equal(wal_create(&f->config, &identity, &w), 0);
    for (uint64_t i = 1; i <= 100; i++) {
        wal_entry(w, 1, i, 0, slice_of(data, sizeof data));
        if (i == 70) {
            wal_snapshot(w, 20, 1, slice_str("old"));
        } else if (i == 95) {
            wal_snapshot(w, 80, 1, slice_str("new"));
        }
        submit_wait(f, w);
    }
    wal_release(w, 65);
    wait_segments(w, 8);
    wal_close(w);
    assert_int_equal(open_noting(f, &got, &w), 0);
    const char *text = text_of(&got);
    assert_null(strstr(text, "e 1 20 0"));
    assert_non_null(strstr(text, "e 1 65 0"));
    assert_non_null(strstr(text, "e 1 70 0"));
    assert_non_null(strstr(text, "s 20 1 old\n"));
    assert_non_null(strstr(text, "s 80 1 new\n"));
    wal_close(w);
    fixture_free(f);
}

/* Segments are named after what the log had come to. An image that replaces
 * a longer log leaves its record below that name: without it, what follows
 * would not fit to what is before. */
static void test_image_over_a_longer_log(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(4096);
    struct wal *w;
    char data[500];
    memset(data, 'l', sizeof data);
    assert_int_equal(wal_create(&f->config, &identity, &w), 0);
    for (uint64_t i = 1; i <= 40; i++) {
        wal_entry(w, 1, i, 0, slice_of(data, sizeof data));
        submit_wait(f, w);
    }
    wal_entry(w, 2, 20, 0, slice_of(data, 10));
    submit_wait(f, w);
    wal_snapshot(w, 30, 2, slice_str("I"));
    submit_wait(f, w);
    wal_entry(w, 2, 31, 0, slice_of(data, 10));
    wal_snapshot(w, 60, 2, slice_str("F"));
    submit_wait(f, w);
    wal_release(w, 60);
    wait_segments(w, 1);
    wal_close(w);
    assert_int_equal(open_noting(f, &got, &w), 0);
    const char *text = text_of(&got);
    const char *image = strstr(text, "s 30 2 I\n");
    const char *entry = strstr(text, "e 2 31 0");
    assert_non_null(image);
    assert_non_null(entry);
    assert_true(image < entry);
    wal_close(w);
    fixture_free(f);
}

static int refuse_third(void *ctx, uint64_t term, uint64_t index, uint32_t type,
                        struct slice data)
{
    (void)ctx, (void)term, (void)type, (void)data;
    return index == 3 ? ERR_MISMATCH : 0;
}

static void test_callback_error(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(0);
    struct wal *w;
    assert_int_equal(wal_create(&f->config, &identity, &w), 0);
    for (uint64_t i = 1; i <= 5; i++) {
        put_entry(w, &want, 1, i, slice_str("c"));
    }
    wal_submit(w, true);
    wal_close(w);
    const struct wal_replay replay = {.entry = refuse_third,
                                      .hard_state = note_hard_state,
                                      .snapshot = note_snapshot,
                                      .ctx = &got};
    struct wal_identity found;
    assert_int_equal(wal_open(&f->config, &replay, &found, &w), ERR_MISMATCH);
    assert_non_null(strstr(wal_error_text(), "refused"));
    assert_int_equal(open_noting(f, &got, &w), 0);
    assert_text(&got, &want);
    wal_close(w);
    fixture_free(f);
}

/* The loop runs ahead of the disk: order and numbers hold. */
static void test_run_ahead(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(1 << 20);
    f->config.no_fsync = false;
    struct wal *w;
    assert_int_equal(wal_create(&f->config, &identity, &w), 0);
    uint64_t number = 0, seen = 0;
    for (uint64_t i = 1; i <= 5000; i++) {
        put_entry(w, &want, 1, i, slice_str("run ahead of the disk"));
        number = wal_submit(w, i % 3 != 0);
        assert_int_equal(number, i);
        uint64_t durable = wal_durable(w);
        assert_true(durable >= seen && durable <= number);
        seen = durable;
    }
    submit_wait(f, w);
    struct wal_stats stats;
    wal_get_stats(w, &stats);
    assert_true(stats.fsync_count < 5000);
    reopen(f, &w);
    wal_close(w);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_empty, reset),
        cmocka_unit_test_setup(test_append_reopen, reset),
        cmocka_unit_test_setup(test_lazy_submit, reset),
        cmocka_unit_test_setup(test_overwrite, reset),
        cmocka_unit_test_setup(test_many_segments, reset),
        cmocka_unit_test_setup(test_release, reset),
        cmocka_unit_test_setup(test_installed_snapshot, reset),
        cmocka_unit_test_setup(test_snapshot_below_all, reset),
        cmocka_unit_test_setup(test_image_over_a_longer_log, reset),
        cmocka_unit_test_setup(test_callback_error, reset),
        cmocka_unit_test_setup(test_run_ahead, reset),
    };
    return cmocka_run_group_tests(tests, NULL, release_all);
}
