#include "../test.h"
#include "base/err.h"
#include "server/corruption.h"

enum { SELF = 1 };

static struct peer_hashes others;
static uint64_t ids[MEMBERS_MAX + 1];

static struct mvcc_hash hash(uint32_t value, int64_t compact, int64_t revision)
{
    return (struct mvcc_hash){value, compact, revision};
}

static void peer(uint64_t id, int err, int64_t at, struct mvcc_hash h)
{
    others.list[others.count++] = (struct peer_hash_answer){id, err, at, h};
}

static int fresh(void **state)
{
    others.count = 0;
    return 0;
}

static void equal_members_are_left_alone(void **state)
{
    struct mvcc_hash own = hash(11, 5, 10), now = hash(12, 7, 14);
    peer(2, 0, 14, hash(11, 5, 10));
    peer(3, 0, 12, hash(99, 7, 10)); /* has compacted since: no verdict */
    peer(4, ERR_FUTURE, 0, hash(0, 0, 0));
    peer(5, ERR_UNAVAILABLE, 0, hash(99, 5, 10));
    assert_int_equal(corruption_compare(SELF, &own, &now, &others, ids), 0);
}

static void who_differs_is_named(void **state)
{
    struct mvcc_hash own = hash(11, 5, 10), now = hash(12, 7, 14);
    peer(2, 0, 10, hash(12, 5, 10)); /* other contents */
    peer(3, 0, 15, hash(11, 5, 10)); /* ahead of what is committed */
    peer(4, 0, 14, hash(11, 8, 10)); /* compacted what nobody asked for */
    peer(5, 0, 14, hash(11, 5, 10));
    assert_int_equal(corruption_compare(SELF, &own, &now, &others, ids), 3);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 3);
    assert_int_equal(ids[2], 4);
    /* The leader reads something else the second time. */
    others.count = 0;
    now = hash(13, 5, 10);
    assert_int_equal(corruption_compare(SELF, &own, &now, &others, ids), 1);
    assert_int_equal(ids[0], SELF);
}

static uint32_t compaction(uint32_t own_value, bool *ret_all)
{
    struct mvcc_hash own = hash(own_value, 5, 10);
    return corruption_compare_compaction(SELF, &own, &others, ids, ret_all);
}

static void the_majority_of_a_compaction_is_right(void **state)
{
    bool all;
    peer(2, 0, 10, hash(11, 5, 10));
    peer(3, 0, 10, hash(11, 5, 10));
    assert_int_equal(compaction(11, &all), 0);
    assert_true(all);
    /* The leader is the odd one. */
    assert_int_equal(compaction(12, &all), 1);
    assert_int_equal(ids[0], SELF);
    others.list[1].hash.hash = 13;
    assert_int_equal(compaction(11, &all), 1);
    assert_int_equal(ids[0], 3);
    /* Three different ones: nobody is right. */
    assert_int_equal(compaction(12, &all), 1);
    assert_int_equal(ids[0], 0);
}

static void who_cannot_be_compared_leaves_it_open(void **state)
{
    bool all;
    peer(2, 0, 10, hash(99, 4, 10)); /* compacted from elsewhere */
    peer(3, ERR_UNAVAILABLE, 0, hash(99, 5, 10));
    peer(4, 0, 10, hash(11, 5, 10));
    assert_int_equal(compaction(11, &all), 0);
    assert_false(all);
    /* Two of four that could be compared, and they differ. */
    assert_int_equal(compaction(12, &all), 1);
    assert_int_equal(ids[0], 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, fresh)
    const struct CMUnitTest tests[] = {
        TEST(equal_members_are_left_alone),
        TEST(who_differs_is_named),
        TEST(the_majority_of_a_compaction_is_right),
        TEST(who_cannot_be_compared_leaves_it_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
