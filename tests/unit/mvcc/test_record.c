#include "fixture.h"

#include "mvcc/record.h"

static void test_bytes(void **state)
{
    /* key "a", created 2, modified 3, version 2, value "xy", lease 300 */
    static const uint8_t expected[] = {
        0x0a, 1,    'a', 0x10, 2,   0x18, 3,    0x20,
        2,    0x2a, 2,   'x',  'y', 0x30, 0xac, 0x02,
    };
    struct mvcc_kv kv = {.key = slice_str("a"),
                         .value = slice_str("xy"),
                         .create_revision = 2,
                         .mod_revision = 3,
                         .version = 2,
                         .lease = 300};
    struct bytes *b = mvcc_record_new(&kv);
    assert_true(slice_eq(bytes_slice(b), slice_of(expected, sizeof expected)));
    struct mvcc_kv back;
    assert_int_equal(mvcc_record_decode(bytes_slice(b), &back), 0);
    assert_true(slice_eq_str(back.key, "a"));
    assert_true(slice_eq_str(back.value, "xy"));
    assert_int_equal(back.create_revision, 2);
    assert_int_equal(back.mod_revision, 3);
    assert_int_equal(back.version, 2);
    assert_int_equal(back.lease, 300);
    assert_true(slice_eq_str(mvcc_record_key(b->data, 1), "a"));
    for (size_t cut = 1; cut < b->size; cut++) {
        struct slice part = slice_of(b->data, cut);
        int err = mvcc_record_decode(part, &back);
        /* cut between two fields it is a message, though a shorter one */
        assert_true(err == ERR_CORRUPT || cut == 3 || cut == 5 || cut == 7 ||
                    cut == 9 || cut == 13);
    }
    bytes_unref(b);
}

static void test_tombstone(void **state)
{
    static const uint8_t event[] = {0x0a, 3, 'k', 'e', 'y', 0x18, 0x90, 0x4e};
    struct bytes *b = mvcc_record_new_tombstone(slice_str("key"), 10000);
    assert_true(slice_eq(bytes_slice(b), slice_of(event, sizeof event)));
    assert_int_equal(mvcc_record_stored(bytes_slice(b), 3, true).size, 5);
    bytes_unref(b);
}

static void test_negative_lease(void **state)
{
    struct mvcc_kv kv = {.key = slice_str("a"), .lease = -5};
    struct mvcc_kv back;
    struct bytes *b = mvcc_record_new(&kv);
    assert_int_equal(b->size, 3 + 11);
    assert_int_equal(mvcc_record_decode(bytes_slice(b), &back), 0);
    assert_int_equal(back.lease, -5);
    bytes_unref(b);
}

static void test_row(void **state)
{
    uint8_t rev[MVCC_REV_SIZE];
    uint8_t row[MVCC_ROW_HEADER_SIZE + 4];
    bool tombstone;
    struct slice encoded;
    mvcc_rev_encode(7, 1, rev);
    mvcc_row_encode(rev, true, slice_str("abcd"), row);
    struct slice r = slice_of(rev, sizeof rev);
    struct slice v = slice_of(row, sizeof row);
    assert_int_equal(mvcc_row_decode(r, v, &tombstone, &encoded), 0);
    assert_true(tombstone);
    assert_true(slice_eq_str(encoded, "abcd"));
    for (size_t bit = 0; bit < 8 * sizeof row; bit++) {
        row[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(mvcc_row_decode(r, v, &tombstone, &encoded),
                         ERR_CORRUPT);
        row[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    rev[15] ^= 1; /* the right record in the wrong place */
    assert_int_equal(mvcc_row_decode(r, v, &tombstone, &encoded), ERR_CORRUPT);
}

static void test_version_order(void **state)
{
    struct mvcc_version a = {.main = 5, .sub = 1, .tombstone = true};
    struct mvcc_version b = {.main = 5, .sub = 2, .lease = -1};
    struct mvcc_version back;
    uint8_t x[MVCC_VERSION_SIZE];
    uint8_t y[MVCC_VERSION_SIZE];
    mvcc_version_encode(&a, x);
    mvcc_version_encode(&b, y);
    assert_true(memcmp(x, y, sizeof x) < 0);
    assert_int_equal(mvcc_version_decode(slice_of(y, sizeof y), &back), 0);
    assert_int_equal(back.sub, 2);
    assert_int_equal(back.lease, -1);
    assert_false(back.tombstone);
    assert_int_equal(mvcc_version_decode(slice_of(y, 35), &back), ERR_CORRUPT);
}

static void test_image_rev(void **state)
{
    uint8_t rev[MVCC_IMAGE_TOMBSTONE_SIZE];
    int64_t main;
    uint64_t sub;
    bool tombstone;
    size_t size = mvcc_image_rev_encode(258, 3, true, rev);
    assert_int_equal(size, 18);
    assert_memory_equal(rev, "\0\0\0\0\0\0\1\2_\0\0\0\0\0\0\0\3t", 18);
    assert_int_equal(
        mvcc_image_rev_decode(slice_of(rev, 18), &main, &sub, &tombstone), 0);
    assert_int_equal(main, 258);
    assert_int_equal(sub, 3);
    assert_true(tombstone);
    assert_int_equal(
        mvcc_image_rev_decode(slice_of(rev, 16), &main, &sub, &tombstone),
        ERR_CORRUPT);
    rev[8] = '-';
    assert_int_equal(
        mvcc_image_rev_decode(slice_of(rev, 17), &main, &sub, &tombstone),
        ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),          cmocka_unit_test(test_tombstone),
        cmocka_unit_test(test_negative_lease), cmocka_unit_test(test_row),
        cmocka_unit_test(test_version_order),  cmocka_unit_test(test_image_rev),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
