/* The order of the delta's tree, with keys enough to split its nodes. */
#include "fixture.h"

#include "base/rng.h"
#include "mvcc/delta.h"

enum {
    COUNT = 20000,
};

static struct slice keys[COUNT];
static int key_count;

static int compare_slices(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static struct mvcc_rec *append(struct mvcc_delta *d, struct slice key,
                               int64_t main)
{
    struct mvcc_kv kv = {
        .key = key, .create_revision = 1, .mod_revision = main, .version = 1};
    struct mvcc_rec rec = {.record = mvcc_record_new(&kv),
                           .main = main,
                           .key_size = (uint32_t)key.size};
    return mvcc_delta_append(d, &rec);
}

/* `keys` sorted and without doubles, against what the tree has. */
static void expect_order(struct mvcc_delta *d)
{
    struct mvcc_tree_cursor c;
    mvcc_tree_seek(&d->tree, (struct slice){0}, &c);
    for (int i = 0; i < key_count; i++) {
        struct mvcc_rec *rec = mvcc_tree_at(&c);
        assert_non_null(rec);
        assert_true(slice_eq(mvcc_rec_key(rec), keys[i]));
        mvcc_tree_next(&c);
    }
    assert_null(mvcc_tree_at(&c));
}

static void expect_seeks(struct mvcc_delta *d)
{
    for (int i = 0; i < key_count; i += 7) {
        struct mvcc_tree_cursor c;
        mvcc_tree_seek(&d->tree, keys[i], &c);
        assert_true(slice_eq(mvcc_rec_key(mvcc_tree_at(&c)), keys[i]));
        uint8_t after[256];
        memcpy(after, keys[i].data, keys[i].size);
        after[keys[i].size] = 0;
        struct slice next = slice_of(after, keys[i].size + 1);
        mvcc_tree_seek(&d->tree, next, &c);
        int expected = i + 1;
        struct mvcc_rec *rec = mvcc_tree_at(&c);
        if (expected == key_count) {
            assert_null(rec);
        } else {
            assert_true(slice_eq(mvcc_rec_key(rec), keys[expected]));
        }
        if (expected == key_count || !slice_eq(next, keys[expected])) {
            assert_null(mvcc_delta_find(d, next, INT64_MAX));
        }
    }
}

static void drop_doubles(void)
{
    int kept = 1;
    qsort(keys, (size_t)key_count, sizeof keys[0], compare_slices);
    for (int i = 1; i < key_count; i++) {
        if (!slice_eq(keys[i], keys[kept - 1])) {
            keys[kept++] = keys[i];
        } else {
            free((void *)(uintptr_t)keys[i].data);
        }
    }
    key_count = kept;
}

static void free_keys(void)
{
    for (int i = 0; i < key_count; i++) {
        free((void *)(uintptr_t)keys[i].data);
    }
    key_count = 0;
}

static void check(struct mvcc_delta *d)
{
    drop_doubles();
    expect_order(d);
    expect_seeks(d);
    mvcc_delta_free(d);
    free_keys();
}

/* Keys that begin alike for up to 100 bytes, then differ in a few. */
static struct slice random_key(struct rng *r)
{
    uint8_t data[128];
    size_t common = rng_below(r, 3) * 50;
    size_t size = common + 1 + rng_below(r, 12);
    memset(data, 'p', common);
    for (size_t i = common; i < size; i++) {
        data[i] = (uint8_t)(rng_below(r, 4) * 85);
    }
    return slice_of(mem_dup(data, size), size);
}

static void test_random(void **state)
{
    struct rng r = {3};
    struct mvcc_delta *d = mvcc_delta_new();
    for (int i = 0; i < COUNT; i++) {
        struct slice key = random_key(&r);
        keys[key_count++] = key;
        struct mvcc_rec *before = mvcc_delta_find(d, key, INT64_MAX);
        struct mvcc_rec *rec = append(d, key, i + 2);
        assert_ptr_equal(rec->prev, before);
        assert_ptr_equal(mvcc_delta_find(d, key, INT64_MAX), rec);
        assert_ptr_equal(mvcc_delta_find(d, key, i + 1), before);
    }
    assert_int_equal(mvcc_delta_lower(d, 0), 0);
    assert_int_equal(mvcc_delta_lower(d, 1000), 998);
    assert_int_equal(mvcc_delta_lower(d, COUNT + 5), COUNT);
    check(d);
}

static void in_turn(bool down)
{
    struct mvcc_delta *d = mvcc_delta_new();
    for (int i = 0; i < COUNT; i++) {
        char text[64];
        int n = snprintf(text, sizeof text, "/registry/pods/%08d",
                         down ? COUNT - i : i);
        struct slice key = slice_of(mem_dup(text, (size_t)n), (size_t)n);
        keys[key_count++] = key;
        append(d, key, i + 2);
    }
    check(d);
}

static void test_ascending(void **state)
{
    in_turn(false);
}

static void test_descending(void **state)
{
    in_turn(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_ascending),
        cmocka_unit_test(test_descending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
