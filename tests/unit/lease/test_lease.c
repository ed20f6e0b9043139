#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/rng.h"
#include "lease/lease.h"

static struct lessor *fresh(void)
{
    struct lessor_config config = {.ttl_min_s = 2, .retry_ms = 7000};
    return lease_new(&config);
}

static int64_t grant(struct lessor *l, int64_t id, int64_t ttl, uint64_t now)
{
    int64_t effective = 0;
    assert_int_equal(lease_grant(l, id, ttl, now, &effective), 0);
    return effective;
}

static void ttl_limits(void **state)
{
    struct lessor *l = fresh();
    int64_t ttl = 99;
    assert_int_equal(lease_grant(l, 0, 5, 0, &ttl), ERR_LEASE_NOT_FOUND);
    assert_int_equal(lease_grant(l, 1, LEASE_TTL_MAX + 1, 0, &ttl),
                     ERR_TOO_LARGE);
    assert_int_equal(ttl, 99);
    assert_int_equal(grant(l, 1, LEASE_TTL_MAX, 0), LEASE_TTL_MAX);
    assert_int_equal(lease_grant(l, 1, 5, 0, &ttl), ERR_EXISTS);
    /* the limit stands before the id */
    assert_int_equal(lease_grant(l, 1, LEASE_TTL_MAX + 1, 0, &ttl),
                     ERR_TOO_LARGE);
    assert_int_equal(grant(l, 2, 0, 0), 2);
    assert_int_equal(grant(l, 3, -7, 0), 2);
    assert_int_equal(grant(l, 4, 1, 0), 2);
    assert_int_equal(grant(l, 5, 2, 0), 2);
    assert_int_equal(grant(l, -6, 3, 0), 3);
    assert_int_equal(lease_count(l), 6);
    lease_free(l);
}

static void follower_never_expires(void **state)
{
    struct lessor *l = fresh();
    int64_t id, ttl;
    bool checkpoint;
    grant(l, 1, 5, 1000);
    assert_int_equal(lease_expired(l, UINT64_MAX / 2, &id, 1), 0);
    assert_int_equal(lease_renew(l, 1, 1000, &ttl, &checkpoint),
                     ERR_NOT_LEADER);
    struct lease_info info;
    assert_int_equal(lease_get(l, 1, 999999, &info), 0);
    assert_int_equal(info.remaining_s, 5);
    lease_free(l);
}

static void expiry_renewal_retry(void **state)
{
    struct lessor *l = fresh();
    int64_t id = 0, ttl;
    bool checkpoint;
    grant(l, 1, 5, 0);
    lease_promote(l, 1000, 2000); /* due at 8000 */
    assert_int_equal(lease_expired(l, 7999, &id, 1), 0);
    assert_int_equal(lease_renew(l, 1, 7999, &ttl, &checkpoint), 0);
    assert_int_equal(ttl, 5);
    assert_false(checkpoint);
    assert_int_equal(lease_expired(l, 12998, &id, 1), 0);
    assert_int_equal(lease_expired(l, 12999, &id, 1), 1);
    assert_int_equal(id, 1);
    /* handed out: not again before the retry */
    assert_int_equal(lease_expired(l, 19998, &id, 1), 0);
    assert_int_equal(lease_expired(l, 19999, &id, 1), 1);
    assert_int_equal(lease_renew(l, 1, 13000, &ttl, &checkpoint), ERR_AGAIN);
    assert_int_equal(lease_revoke(l, 1), 0);
    assert_int_equal(lease_renew(l, 1, 13000, &ttl, &checkpoint),
                     ERR_LEASE_NOT_FOUND);
    assert_int_equal(lease_revoke(l, 1), ERR_LEASE_NOT_FOUND);
    lease_free(l);
}

static void remaining_is_truncated(void **state)
{
    struct lessor *l = fresh();
    struct lease_info info;
    lease_promote(l, 0, 0);
    grant(l, 1, 10, 0);
    assert_int_equal(lease_get(l, 1, 1, &info), 0);
    assert_int_equal(info.remaining_s, 9);
    assert_int_equal(info.ttl_s, 10);
    assert_int_equal(lease_get(l, 1, 9001, &info), 0);
    assert_int_equal(info.remaining_s, 0);
    assert_int_equal(lease_get(l, 1, 50000, &info), 0);
    assert_int_equal(info.remaining_s, 0);
    assert_int_equal(lease_get(l, 2, 0, &info), ERR_LEASE_NOT_FOUND);
    lease_free(l);
}

static void checkpoints(void **state)
{
    struct lessor *l = fresh();
    int64_t id, ttl;
    bool checkpoint;
    grant(l, 1, 1000, 0);
    lease_checkpoint(l, 1, 100, 0);
    lease_checkpoint(l, 9, 100, 0); /* unknown: nothing */
    lease_promote(l, 0, 500);
    assert_int_equal(lease_expired(l, 100499, &id, 1), 0);
    assert_int_equal(lease_renew(l, 1, 100000, &ttl, &checkpoint), 0);
    assert_true(checkpoint);
    assert_int_equal(ttl, 1000);
    assert_int_equal(lease_renew(l, 1, 100001, &ttl, &checkpoint), 0);
    assert_false(checkpoint);
    assert_int_equal(lease_expired(l, 1100000, &id, 1), 0);
    assert_int_equal(lease_expired(l, 1100001, &id, 1), 1);
    lease_demote(l);
    assert_false(lease_is_primary(l));
    assert_int_equal(lease_expired(l, UINT64_MAX / 2, &id, 1), 0);
    lease_free(l);
}

static void what_is_left_is_told_now_and_then(void **state)
{
    struct lessor *l = fresh();
    struct lease_remainder due[4];
    int64_t ttl;
    bool checkpoint;
    grant(l, 1, 1000, 0);
    grant(l, 2, 600, 0);
    grant(l, 3, 400, 0); /* has less than a step left when it is due */
    assert_int_equal(lease_checkpoints_due(l, 0, due, 4), 0); /* no primary */
    lease_promote(l, 0, 0);
    assert_int_equal(lease_checkpoints_due(l, 299999, due, 4), 0);
    assert_int_equal(lease_checkpoints_due(l, 300000, due, 4), 1);
    assert_int_equal(due[0].id, 1);
    assert_int_equal(due[0].remaining_s, 700);
    /* Until the log has it, it is due; then after another step. */
    assert_int_equal(lease_checkpoints_due(l, 310000, due, 4), 1);
    assert_int_equal(due[0].remaining_s, 690);
    lease_checkpoint(l, 1, 690, 310000);
    assert_int_equal(lease_checkpoints_due(l, 609999, due, 4), 0);
    assert_int_equal(lease_checkpoints_due(l, 610000, due, 4), 1);
    assert_int_equal(due[0].remaining_s, 390);
    /* A renewal begins anew. */
    assert_int_equal(lease_renew(l, 1, 610000, &ttl, &checkpoint), 0);
    assert_true(checkpoint);
    lease_checkpoint(l, 1, 0, 610000);
    assert_int_equal(lease_checkpoints_due(l, 909999, due, 4), 0);
    assert_int_equal(lease_checkpoints_due(l, 910000, due, 4), 1);
    lease_free(l);
}

static void all_are_looked_at_in_turn(void **state)
{
    struct lessor *l = fresh();
    enum { COUNT = 50000 };
    bool *seen = calloc(COUNT + 1, sizeof *seen);
    struct lease_remainder due[100];
    lease_promote(l, 0, 0);
    for (int64_t id = 1; id <= COUNT; id++) {
        grant(l, id, 1000, 0);
    }
    /* None is missed, however few are taken at a time. */
    size_t found = 0, rounds = 0;
    while (found < COUNT && rounds++ < 3 * COUNT / 100) {
        size_t count = lease_checkpoints_due(l, 400000, due, 100);
        for (size_t i = 0; i < count; i++) {
            found += !seen[due[i].id];
            seen[due[i].id] = true;
            lease_checkpoint(l, due[i].id, due[i].remaining_s, 400000);
        }
    }
    assert_int_equal(found, COUNT);
    assert_int_equal(lease_checkpoints_due(l, 400000, due, 100), 0);
    free(seen);
    lease_free(l);
}

static void keys_move_and_go(void **state)
{
    struct lessor *l = fresh();
    struct slice *keys;
    size_t count;
    grant(l, 1, 5, 0);
    grant(l, 2, 5, 0);
    assert_int_equal(lease_attach(l, 3, slice_str("a")), ERR_LEASE_NOT_FOUND);
    lease_attach_row(l, 3, slice_str("a"));
    assert_int_equal(lease_attach(l, 1, slice_str("b")), 0);
    assert_int_equal(lease_attach(l, 1, slice_str("a")), 0);
    assert_int_equal(lease_attach(l, 1, slice_str("a")), 0);
    assert_int_equal(lease_attach(l, 1, slice_str("c")), 0);
    assert_int_equal(lease_attach(l, 2, slice_str("b")), 0);
    lease_detach(l, 1, slice_str("b")); /* no longer there */
    lease_detach(l, 1, slice_str("zzz"));
    assert_int_equal(lease_keys(l, 1, &keys, &count), 0);
    assert_int_equal(count, 2);
    assert_true(slice_eq_str(keys[0], "a"));
    assert_true(slice_eq_str(keys[1], "c"));
    free(keys);
    assert_int_equal(lease_keys(l, 2, &keys, &count), 0);
    assert_int_equal(count, 1);
    assert_true(slice_eq_str(keys[0], "b"));
    free(keys);
    assert_int_equal(lease_revoke(l, 2), 0);
    assert_int_equal(lease_keys(l, 2, &keys, &count), ERR_LEASE_NOT_FOUND);
    lease_free(l);
}

/* Many leases of one age: not more than the limit fall due in any second. */
static void promotion_spreads(void **state)
{
    enum { COUNT = 3000 };
    struct lessor *l = fresh();
    static int64_t ids[COUNT];
    for (int64_t i = 1; i <= COUNT; i++) {
        grant(l, i, 10, 0);
    }
    lease_promote(l, 0, 1000);
    assert_int_equal(lease_expired(l, 10999, ids, COUNT), 0);
    size_t left = COUNT;
    for (uint64_t now = 11000; left > 0; now += 1000) {
        size_t n = lease_expired(l, now, ids, COUNT);
        assert_int_equal(
            n, left < LEASE_SPREAD_PER_SECOND ? left : LEASE_SPREAD_PER_SECOND);
        left -= n;
    }
    lease_free(l);
    l = fresh();
    for (int64_t i = 1; i < LEASE_SPREAD_FROM; i++) {
        grant(l, i, 10, 0);
    }
    lease_promote(l, 0, 1000);
    assert_int_equal(lease_expired(l, 11000, ids, COUNT),
                     LEASE_SPREAD_FROM - 1);
    lease_free(l);
}

/* The heap against a plain array. */
static void heap_model(void **state)
{
    enum { IDS = 200, STEPS = 20000 };
    struct rng rng = {42};
    struct lessor_config config = {.ttl_min_s = 1, .retry_ms = 1 << 30};
    struct lessor *l = lease_new(&config);
    uint64_t expiry[IDS + 1] = {0}; /* 0: none */
    uint64_t now = 0;
    lease_promote(l, 0, 0);
    for (int i = 0; i < STEPS; i++) {
        int64_t id = 1 + (int64_t)rng_below(&rng, IDS), ttl;
        bool checkpoint;
        now += rng_below(&rng, 50);
        switch (rng_below(&rng, 4)) {
        case 0:
            if (!expiry[id]) {
                ttl = grant(l, id, 1 + (int64_t)rng_below(&rng, 20), now);
                expiry[id] = now + (uint64_t)ttl * 1000;
            }
            break;
        case 1:
            assert_int_equal(lease_revoke(l, id),
                             expiry[id] ? 0 : ERR_LEASE_NOT_FOUND);
            expiry[id] = 0;
            break;
        case 2: {
            int want = !expiry[id]         ? ERR_LEASE_NOT_FOUND
                       : expiry[id] <= now ? ERR_AGAIN
                                           : 0;
            assert_int_equal(lease_renew(l, id, now, &ttl, &checkpoint), want);
            if (want == 0) {
                expiry[id] = now + (uint64_t)ttl * 1000;
            }
            break;
        }
        default: {
            int64_t out[IDS];
            size_t n = lease_expired(l, now, out, IDS), due = 0;
            for (int64_t k = 1; k <= IDS; k++) {
                due += expiry[k] && expiry[k] <= now;
            }
            assert_int_equal(n, due);
            for (size_t k = 0; k < n; k++) {
                assert_true(expiry[out[k]] && expiry[out[k]] <= now);
                assert_int_equal(lease_revoke(l, out[k]), 0);
                expiry[out[k]] = 0;
            }
        }
        }
    }
    int64_t *ids;
    size_t count = lease_list(l, &ids);
    for (size_t i = 1; i < count; i++) {
        assert_true(expiry[ids[i - 1]] <= expiry[ids[i]]);
    }
    free(ids);
    lease_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ttl_limits),
        cmocka_unit_test(follower_never_expires),
        cmocka_unit_test(expiry_renewal_retry),
        cmocka_unit_test(remaining_is_truncated),
        cmocka_unit_test(checkpoints),
        cmocka_unit_test(what_is_left_is_told_now_and_then),
        cmocka_unit_test(all_are_looked_at_in_turn),
        cmocka_unit_test(keys_move_and_go),
        cmocka_unit_test(promotion_spreads),
        cmocka_unit_test(heap_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
