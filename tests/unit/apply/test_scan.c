/* A range in slices gives what the range in one go gives, whatever is
 * written between the slices. */
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

struct by {
    uint32_t keys;
    size_t bytes;
    bool writes; /* between the slices */
};

static const char *sliced(struct fixture *f, const struct proto_range *range,
                          struct by by)
{
    struct buf body = BUF_INIT(1 << 20), text = BUF_INIT(1 << 20);
    struct apply_scan s;
    int err = apply_scan_begin(f->apply, range, &s);
    assert_int_equal(err, 0);
    int rounds = 0;
    while ((err = apply_scan_step(f->apply, &s, by.keys, by.bytes, &body)) ==
           ERR_AGAIN) {
        assert_false(s.paused);
        assert_true(rounds++ < 10 * KEYS);
        if (by.writes) {
            fx_put(f, key_of(rounds % KEYS), "later", 0);
            fx_delete(f, key_of((rounds * 7) % KEYS), "");
        }
    }
    assert_int_equal(err, 0);
    assert_int_equal(apply_scan_finish(&s, &body), 0);
    apply_scan_end(&s);
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

static void each(struct fixture *f, struct by by)
{
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        char want[4096];
        assert_true(apply_scan_can(&ranges[i]));
        snprintf(want, sizeof want, "%s", fx_range(f, &ranges[i]));
        const char *got = sliced(f, &ranges[i], by);
        if (strcmp(got, want) != 0) {
            fail_msg("range %zu: got '%s', want '%s'", i, got, want);
        }
    }
}

static void slices_of_all_sizes(void **state)
{
    struct fixture f;
    fill(&f);
    for (int round = 0; round < 2; round++) {
        each(&f, (struct by){1, SIZE_MAX / 2, false});
        each(&f, (struct by){3, SIZE_MAX / 2, false});
        each(&f, (struct by){1000, 1, false});
        each(&f, (struct by){1000, 100, false});
        each(&f, (struct by){1000, SIZE_MAX / 2, false});
        store_flush(&f.store);
    }
    fx_stop(&f);
}

static void writes_in_between_are_not_seen(void **state)
{
    struct fixture f;
    fill(&f);
    each(&f, (struct by){2, SIZE_MAX / 2, true});
    store_flush(&f.store);
    each(&f, (struct by){1, SIZE_MAX / 2, true});
    fx_stop(&f);
}

static void a_sorted_range_is_none(void **state)
{
    assert_false(apply_scan_can(&(struct proto_range){ALL, .sort_order = 2}));
    assert_false(apply_scan_can(&(struct proto_range){ALL, .sort_target = 4}));
    assert_false(apply_scan_can(&(struct proto_range){KEY("a")}));
}

static void refused_and_cut_off(void **state)
{
    struct fixture f;
    fill(&f);
    struct apply_scan s;
    struct proto_range all = {ALL, .revision = 1000};
    assert_int_equal(apply_scan_begin(f.apply, &all, &s), ERR_FUTURE);
    all.revision = 10;
    struct buf body = BUF_INIT(1 << 20);
    assert_int_equal(apply_scan_begin(f.apply, &all, &s), 0);
    assert_int_equal(apply_scan_step(f.apply, &s, 2, 1000, &body), ERR_AGAIN);
    int64_t revision = mvcc_revision(f.store.mvcc);
    mvcc_begin(f.store.mvcc);
    assert_int_equal(mvcc_compact(f.store.mvcc, revision, NULL, NULL), 0);
    mvcc_end(f.store.mvcc, ++f.index, 1);
    assert_int_equal(apply_scan_step(f.apply, &s, 2, 1000, &body),
                     ERR_COMPACTED);
    apply_scan_end(&s);
    assert_int_equal(apply_scan_begin(f.apply, &all, &s), ERR_COMPACTED);
    buf_release(&body);
    fx_stop(&f);
}

/* Pieces, as RangeStream makes them. */
static void pauses(void **state)
{
    struct fixture f;
    fill(&f);
    struct apply_scan s;
    struct proto_range all = {ALL, .limit = 9};
    struct buf body = BUF_INIT(1 << 20);
    assert_int_equal(apply_scan_begin(f.apply, &all, &s), 0);
    s.pause_sent = 4;
    assert_int_equal(apply_scan_step(f.apply, &s, 1000, 100000, &body),
                     ERR_AGAIN);
    assert_true(s.paused);
    assert_int_equal(s.sent, 4);
    s.pause_sent = 0;
    s.pause_bytes = body.size + 1;
    assert_int_equal(apply_scan_step(f.apply, &s, 1000, 100000, &body),
                     ERR_AGAIN);
    assert_true(s.paused);
    assert_int_equal(s.sent, 5);
    s.pause_bytes = 0;
    s.pause_sent = 9; /* the limit: nothing more to send, only to count */
    assert_int_equal(apply_scan_step(f.apply, &s, 1000, 100000, &body), 0);
    assert_false(s.paused);
    assert_true(s.more);
    assert_int_equal(s.sent, 9);
    assert_int_equal(s.count, 32);
    apply_scan_end(&s);
    buf_release(&body);
    fx_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_of_all_sizes),
        cmocka_unit_test(writes_in_between_are_not_seen),
        cmocka_unit_test(a_sorted_range_is_none),
        cmocka_unit_test(refused_and_cut_off),
        cmocka_unit_test(pauses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
