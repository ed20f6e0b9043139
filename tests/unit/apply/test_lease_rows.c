/* Lease rows and attachments through a restart, with the store below. */
#include "../store.h"
#include "lease/lease.h"

static void rows_survive(void **state)
{
    struct store s;
    int64_t ttl;
    store_new(&s);
    struct lessor_config config = {.db = s.db, .ttl_min_s = 2};
    struct lessor *l = lease_new(&config);
    mvcc_begin(s.mvcc);
    assert_int_equal(lease_grant(l, 7, 60, 0, &ttl), 0);
    assert_int_equal(lease_grant(l, -8, 70, 0, &ttl), 0);
    assert_int_equal(lease_grant(l, 9, 80, 0, &ttl), 0);
    lease_checkpoint(l, 7, 11, 0);
    assert_int_equal(lease_revoke(l, 9), 0);
    assert_int_equal(mvcc_put(s.mvcc, slice_str("k"), slice_str("v"), 7, NULL),
                     0);
    mvcc_end(s.mvcc, 1, 1);
    store_flush(&s);
    lease_free(l);
    store_close(&s);
    store_open(&s);
    config.db = s.db;
    l = lease_new(&config);
    assert_int_equal(lease_load(l, s.db), 0);
    assert_int_equal(mvcc_each_leased(s.mvcc, lease_attach_row, l), 0);
    assert_int_equal(lease_count(l), 2);
    struct lease_info info;
    lease_promote(l, 0, 0);
    assert_int_equal(lease_get(l, 7, 0, &info), 0);
    assert_int_equal(info.ttl_s, 60);
    assert_int_equal(info.remaining_s, 11);
    assert_int_equal(lease_get(l, -8, 0, &info), 0);
    assert_int_equal(info.remaining_s, 70);
    struct slice *keys;
    size_t count;
    assert_int_equal(lease_keys(l, 7, &keys, &count), 0);
    assert_int_equal(count, 1);
    assert_true(slice_eq_str(keys[0], "k"));
    free(keys);
    /* loading again forgets what was there */
    assert_int_equal(lease_load(l, s.db), 0);
    assert_false(lease_is_primary(l));
    assert_int_equal(lease_keys(l, 7, &keys, &count), 0);
    assert_int_equal(count, 0);
    free(keys);
    lease_free(l);
    store_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
