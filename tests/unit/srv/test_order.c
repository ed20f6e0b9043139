#include "../test.h"

#include <stdio.h>

#include "srv/internal.h"

static struct srv_record list[SRV_RECORDS_MAX];
static uint32_t count;

static void add(uint16_t priority, uint16_t weight)
{
    list[count] = (struct srv_record){.priority = priority, .weight = weight};
    snprintf(list[count].target, sizeof list[count].target, "n%u.", count);
    count++;
}

static void priorities_come_first(void **state)
{
    struct rng rng = {7};
    for (int n = 0; n < 1000; n++) {
        count = 0;
        for (uint32_t i = 0; i < 20; i++) {
            add((uint16_t)rng_below(&rng, 4), (uint16_t)rng_below(&rng, 3));
        }
        bool seen[20] = {false};
        srv_order(list, count, &rng);
        for (uint32_t i = 0; i < count; i++) {
            unsigned number = 0;
            assert_int_equal(sscanf(list[i].target, "n%u.", &number), 1);
            assert_false(seen[number]);
            seen[number] = true;
            assert_true(i == 0 || list[i - 1].priority <= list[i].priority);
        }
    }
    srv_order(list, 0, &rng);
}

static void without_weights_the_order_stays(void **state)
{
    struct rng rng = {7};
    count = 0;
    for (int i = 0; i < 8; i++) {
        add((uint16_t)(i % 2), 0);
    }
    srv_order(list, count, &rng);
    static const char *const want[] = {"n0.", "n2.", "n4.", "n6.",
                                       "n1.", "n3.", "n5.", "n7."};
    for (int i = 0; i < 8; i++) {
        assert_string_equal(list[i].target, want[i]);
    }
}

/* 1 : 2 : 7 and one that comes last. */
static void weights_are_shares(void **state)
{
    struct rng rng = {7};
    unsigned first[4] = {0};
    for (int n = 0; n < 10000; n++) {
        count = 0;
        add(0, 1);
        add(0, 0);
        add(0, 2);
        add(0, 7);
        srv_order(list, count, &rng);
        first[list[0].target[1] - '0']++;
        assert_string_equal(list[3].target, "n1.");
    }
    assert_int_equal(first[1], 0);
    assert_in_range(first[0], 850, 1150);
    assert_in_range(first[2], 1850, 2150);
    assert_in_range(first[3], 6800, 7200);
}

static void the_largest_weights_fit(void **state)
{
    struct rng rng = {7};
    count = 0;
    for (int i = 0; i < SRV_RECORDS_MAX; i++) {
        add(65535, 65535);
    }
    srv_order(list, count, &rng);
    assert_int_equal(list[0].weight, 65535);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(priorities_come_first),
        cmocka_unit_test(without_weights_the_order_stays),
        cmocka_unit_test(weights_are_shares),
        cmocka_unit_test(the_largest_weights_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
