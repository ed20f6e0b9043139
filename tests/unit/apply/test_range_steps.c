/* A range in steps gives what the range in one go gives, wherever a step
 * ends and whatever is written between them. */
#include "fixture.h"

enum { KEYS = 40 };

static const char *key_of(int i)
{
    static char key[16];
    snprintf(key, sizeof key, "k%03d", i);
    return key;
}

/* Even keys twice, each fifth deleted again. */
static void fill(struct fixture *f)
{
    fx_open(f);
    for (int i = 0; i < KEYS; i++) {
        fx_put(f, key_of(i), "1", 0);
    }
    for (int i = 0; i < KEYS; i += 2) {
        fx_put(f, key_of(i), "22", 0);
    }
    for (int i = 0; i < KEYS; i += 5) {
        fx_delete(f, key_of(i), "");
    }
}

static const char *stepped(struct fixture *f, const struct proto_range *range,
                           int64_t keys, bool writes)
{
    struct buf body = BUF_INIT(1 << 20), text = BUF_INIT(1 << 20);
    struct apply_range_job job;
    assert_int_equal(apply_range_begin(f->apply, range, &job), 0);
    for (int round = 1; !job.done; round++) {
        assert_true(round < 10 * KEYS);
        job.pause_sent = job.sent + keys;
        assert_int_equal(apply_range_step(f->apply, &job, &body), 0);
        assert_int_equal(job.paused, !job.done);
        if (writes && !job.done) {
            fx_put(f, key_of(round % KEYS), "later", 0);
            fx_delete(f, key_of((round * 7) % KEYS), "");
        }
    }
    apply_range_end(&job);
    Pb__RangeResponse *r =
        pb__range_response__unpack(NULL, body.size, body.data);
    assert_non_null(r);
    fx_print_range(&text, r);
    pb__range_response__free_unpacked(r, NULL);
    buf_release(&body);
    return fx_text(&text);
}

#define KEY(k) .key = {(const uint8_t *)(k), sizeof(k) - 1}
#define END(k) .end = {(const uint8_t *)(k), sizeof(k) - 1}
#define ALL .key = {(const uint8_t *)"\0", 1}, .end = {(const uint8_t *)"\0", 1}

static const struct proto_range ranges[] = {
    {ALL},
    {ALL, .limit = 1},
    {ALL, .limit = 7},
    {ALL, .limit = 32}, /* as many as there are */
    {ALL, .limit = 31},
    {ALL, .limit = 33},
    {ALL, .limit = -4},
    {ALL, .count_only = true},
    {ALL, .count_only = true, .sort_order = 2},
    {ALL, .keys_only = true, .limit = 3},
    {ALL, .sort_order = 1},
    {ALL, .revision = 20},
    {ALL, .revision = 50, .limit = 20},
    {ALL, .min_mod_revision = 30, .limit = 3},
    {ALL, .max_create_revision = 11},
    {ALL, .max_create_revision = 4, .limit = 1},
    {KEY("k005"), END("k020")},
    {KEY("k020"), END("k005")},
    {KEY("x"), END("y")},
    {KEY("k039"), END("\0")},
};

static void each(struct fixture *f, int64_t keys, bool writes)
{
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        char want[4096];
        snprintf(want, sizeof want, "%s", fx_range(f, &ranges[i]));
        const char *got = stepped(f, &ranges[i], keys, writes);
        if (strcmp(got, want) != 0) {
            fail_msg("range %zu: got '%s', want '%s'", i, got, want);
        }
    }
}

static void steps_of_all_sizes(void **state)
{
    struct fixture f;
    fill(&f);
    for (int round = 0; round < 2; round++) {
        each(&f, 1, false);
        each(&f, 3, false);
        each(&f, 1000, false);
        store_flush(&f.store);
    }
    fx_stop(&f);
}

static void writes_in_between_are_not_seen(void **state)
{
    struct fixture f;
    fill(&f);
    each(&f, 2, true);
    store_flush(&f.store);
    each(&f, 1, true);
    fx_stop(&f);
}

static void refused_and_cut_off(void **state)
{
    struct fixture f;
    fill(&f);
    struct apply_range_job job;
    struct proto_range all = {ALL, .revision = 1000};
    assert_int_equal(apply_range_begin(f.apply, &all, &job), ERR_FUTURE);
    all.revision = 10;
    struct buf body = BUF_INIT(1 << 20);
    assert_int_equal(apply_range_begin(f.apply, &all, &job), 0);
    job.pause_sent = 2;
    assert_int_equal(apply_range_step(f.apply, &job, &body), 0);
    assert_true(job.paused);
    int64_t revision = mvcc_revision(f.store.mvcc);
    mvcc_begin(f.store.mvcc);
    assert_int_equal(mvcc_compact(f.store.mvcc, revision, NULL, NULL), 0);
    mvcc_end(f.store.mvcc, ++f.index, 1);
    assert_int_equal(apply_range_step(f.apply, &job, &body), ERR_COMPACTED);
    apply_range_end(&job);
    assert_int_equal(apply_range_begin(f.apply, &all, &job), ERR_COMPACTED);
    buf_release(&body);
    fx_stop(&f);
}

/* Pieces, as RangeStream makes them. */
static void pauses(void **state)
{
    struct fixture f;
    fill(&f);
    struct apply_range_job job;
    struct proto_range all = {ALL, .limit = 9};
    struct buf body = BUF_INIT(1 << 20);
    assert_int_equal(apply_range_begin(f.apply, &all, &job), 0);
    job.pause_sent = 4;
    assert_int_equal(apply_range_step(f.apply, &job, &body), 0);
    assert_true(job.paused);
    assert_int_equal(job.sent, 4);
    job.pause_sent = 0;
    job.pause_bytes = body.size + 1;
    assert_int_equal(apply_range_step(f.apply, &job, &body), 0);
    assert_true(job.paused);
    assert_int_equal(job.sent, 5);
    job.pause_bytes = 0;
    job.pause_sent = 9; /* the limit: nothing more to send, only to count */
    assert_int_equal(apply_range_step(f.apply, &job, &body), 0);
    assert_true(job.done);
    assert_false(job.paused);
    assert_true(job.more);
    assert_int_equal(job.sent, 9);
    assert_int_equal(job.count, 32);
    apply_range_end(&job);
    buf_release(&body);
    fx_stop(&f);
}

/* A step ends also where there is nothing any more. */
static void deleted_keys_take_steps(void **state)
{
    struct fixture f;
    fx_open(&f);
    for (int i = 0; i < 2 * APPLY_STEP_KEYS + 1; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%06d", i);
        fx_put(&f, key, "1", 0);
    }
    fx_delete(&f, "k", "l");
    fx_put(&f, "kz", "2", 0);
    struct apply_range_job job;
    struct proto_range all = {ALL};
    struct buf body = BUF_INIT(1 << 20);
    assert_int_equal(apply_range_begin(f.apply, &all, &job), 0);
    int steps = 0;
    for (; !job.done; steps++) {
        assert_int_equal(apply_range_step(f.apply, &job, &body), 0);
    }
    assert_int_equal(steps, 3);
    assert_int_equal(job.count, 1);
    assert_int_equal(job.sent, 1);
    apply_range_end(&job);
    buf_release(&body);
    fx_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_of_all_sizes),
        cmocka_unit_test(writes_in_between_are_not_seen),
        cmocka_unit_test(refused_and_cut_off),
        cmocka_unit_test(pauses),
        cmocka_unit_test(deleted_keys_take_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
