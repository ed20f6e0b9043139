#include "../test.h"

#include <stdio.h>

#include "proxy/cache.h"

static struct cache *cache;
static struct slice nobody;

static int setup(void **state)
{
    cache = cache_new();
    return 0;
}

static int teardown(void **state)
{
    cache_free(cache);
    return 0;
}

static struct proto_range range(const char *key, const char *end)
{
    return (struct proto_range){.key = slice_str(key), .end = slice_str(end)};
}

static void fill(struct slice token, struct proto_range r, const char *answer)
{
    struct cache_fill f;
    cache_fill_begin(cache, &f, token, &r);
    cache_fill_end(cache, &f, slice_str(answer), 1000);
}

static bool has(struct slice token, struct proto_range r)
{
    return cache_get(cache, token, &r) != NULL;
}

static void test_get(void **state)
{
    struct proto_range r = range("a", ""), other = r;
    struct cache_stats stats;
    assert_false(has(nobody, r));
    fill(nobody, r, "one");
    struct bytes *b = cache_get(cache, nobody, &r);
    assert_non_null(b);
    assert_true(slice_eq_str(bytes_slice(b), "one"));
    fill(nobody, r, "two");
    assert_true(slice_eq_str(bytes_slice(cache_get(cache, nobody, &r)), "two"));
    other.limit = 1;
    assert_false(has(nobody, other));
    other = r;
    other.sort_order = 2;
    assert_false(has(nobody, other));
    assert_false(has(nobody, range("a", "b")));
    cache_get_stats(cache, &stats);
    assert_int_equal(stats.hits, 2);
    assert_int_equal(stats.misses, 4);
    assert_int_equal(stats.count, 1);
}

/* Whoever asks linearizably fills for those who ask serializably. */
static void test_linearizable_fills(void **state)
{
    struct proto_range r = range("a", "");
    fill(nobody, r, "one");
    r.serializable = true;
    assert_true(has(nobody, r));
}

static void test_token_is_part_of_the_key(void **state)
{
    struct proto_range r = range("a", "");
    fill(slice_str("root"), r, "secret");
    assert_false(has(nobody, r));
    assert_false(has(slice_str("roo"), r));
    assert_true(has(slice_str("root"), r));
    cache_clear(cache);
    assert_false(has(slice_str("root"), r));
}

/* Key and range_end of a write against those of an entry. */
static void test_overlap(void **state)
{
    static const struct {
        const char *key, *end;
        size_t end_size;
        const char *written, *written_end;
        size_t written_end_size;
        bool is_gone;
    } cases[] = {
        {"b", "", 0, "b", "", 0, true},    {"b", "", 0, "c", "", 0, false},
        {"b", "d", 1, "a", "", 0, false},  {"b", "d", 1, "b", "", 0, true},
        {"b", "d", 1, "c", "", 0, true},   {"b", "d", 1, "d", "", 0, false},
        {"b", "\0", 1, "z", "", 0, true},  {"b", "\0", 1, "a", "", 0, false},
        {"b", "", 0, "a", "b", 1, false},  {"b", "", 0, "a", "c", 1, true},
        {"b", "", 0, "a", "\0", 1, true},  {"b", "", 0, "c", "\0", 1, false},
        {"b", "d", 1, "d", "e", 1, false}, {"b", "d", 1, "a", "b", 1, false},
        {"b", "d", 1, "c", "e", 1, true},  {"b", "\0", 1, "x", "\0", 1, true},
        {"", "\0", 1, "x", "", 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct proto_range r = {.key = slice_str(cases[i].key),
                                .end =
                                    slice_of(cases[i].end, cases[i].end_size)};
        fill(nobody, r, "x");
        cache_invalidate(
            cache, slice_str(cases[i].written),
            slice_of(cases[i].written_end, cases[i].written_end_size));
        if (has(nobody, r) == cases[i].is_gone) {
            fail_msg("case %zu", i);
        }
    }
}

static void test_history_stays(void **state)
{
    struct proto_range r = range("a", "");
    r.revision = 5;
    fill(nobody, r, "old");
    cache_invalidate(cache, slice_str("a"), nobody);
    assert_true(has(nobody, r));
    cache_compact(cache, 5);
    assert_true(has(nobody, r)); /* the revision itself can still be read */
    cache_compact(cache, 6);
    assert_false(has(nobody, r));
    fill(nobody, range("a", ""), "now");
    cache_compact(cache, 100);
    assert_true(has(nobody, range("a", "")));
}

/* An answer that was under way while its key was written is not kept. */
static void test_overtaken(void **state)
{
    struct proto_range r = range("a", ""), other = range("b", "");
    struct cache_fill f, g;
    cache_fill_begin(cache, &f, nobody, &r);
    cache_fill_begin(cache, &g, nobody, &other);
    cache_invalidate(cache, slice_str("a"), nobody);
    cache_fill_end(cache, &f, slice_str("old"), 1000);
    cache_fill_end(cache, &g, slice_str("good"), 1000);
    assert_false(has(nobody, r));
    assert_true(has(nobody, other));
}

/* A member that has not seen what was written through us. */
static void test_member_behind(void **state)
{
    struct proto_range r = range("a", "");
    struct cache_fill f;
    cache_written(cache, 10);
    cache_fill_begin(cache, &f, nobody, &r);
    cache_fill_end(cache, &f, slice_str("old"), 9);
    assert_false(has(nobody, r));
    cache_fill_begin(cache, &f, nobody, &r);
    cache_fill_end(cache, &f, slice_str("new"), 10);
    assert_true(has(nobody, r));
}

static void test_no_answer(void **state)
{
    struct proto_range r = range("a", "");
    struct cache_fill f;
    cache_fill_begin(cache, &f, nobody, &r);
    cache_fill_end(cache, &f, nobody, 0);
    assert_false(has(nobody, r));
}

static void test_limits(void **state)
{
    char key[16];
    struct cache_stats stats;
    for (int i = 0; i <= CACHE_COUNT_MAX; i++) {
        snprintf(key, sizeof key, "k%d", i);
        fill(nobody, range(key, ""), "v");
        assert_true(has(nobody, range("k0", "")) || i == CACHE_COUNT_MAX);
    }
    cache_get_stats(cache, &stats);
    assert_int_equal(stats.count, CACHE_COUNT_MAX);
    assert_true(has(nobody, range("k0", ""))); /* was used */
    assert_false(has(nobody, range("k1", "")));

    static char large[CACHE_ANSWER_BYTES_MAX + 2];
    memset(large, 'x', CACHE_ANSWER_BYTES_MAX + 1);
    fill(nobody, range("large", ""), large);
    assert_false(has(nobody, range("large", "")));
    large[CACHE_ANSWER_BYTES_MAX] = '\0';
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "l%d", i);
        fill(nobody, range(key, ""), large);
    }
    cache_get_stats(cache, &stats);
    assert_in_range(stats.bytes, 1, CACHE_BYTES_MAX);
    assert_true(has(nobody, range("l99", "")));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_get),
        TEST(test_linearizable_fills),
        TEST(test_token_is_part_of_the_key),
        TEST(test_overlap),
        TEST(test_history_stays),
        TEST(test_overtaken),
        TEST(test_member_behind),
        TEST(test_no_answer),
        TEST(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
