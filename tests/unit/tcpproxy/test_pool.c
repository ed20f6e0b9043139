#include "../test.h"

#include "base/err.h"
#include "tcpproxy/pool.h"

static struct pool pool;
static char bad[300];

static int parse(const char *text)
{
    memset(&pool, 0, sizeof pool);
    return pool_parse(&pool, text, bad, sizeof bad);
}

static void test_parse(void **state)
{
    assert_int_equal(parse("127.0.0.1:1,http://b:2,https://c:3/x,[::1]:4"), 0);
    assert_int_equal(pool.count, 4);
    assert_string_equal(pool.list[1].address.host, "b");
    assert_int_equal(pool.list[2].address.port, 3);
    assert_string_equal(pool.list[2].text, "c:3");
    assert_string_equal(pool.list[3].address.host, "::1");
    assert_int_equal(parse(""), ERR_NOT_FOUND);
    assert_int_equal(parse("a:1,b"), ERR_INVALID);
    assert_string_equal(bad, "b");
    assert_int_equal(parse(":1"), ERR_INVALID);
    assert_int_equal(parse("a:65536"), ERR_INVALID);
}

static void test_limit(void **state)
{
    char text[POOL_COUNT_MAX * 4 + 8] = "";
    for (int i = 0; i < POOL_COUNT_MAX; i++) {
        strcat(text, i ? ",a:1" : "a:1");
    }
    assert_int_equal(parse(text), 0);
    strcat(text, ",a:1");
    assert_int_equal(parse(text), ERR_TOO_LARGE);
}

static void test_turns(void **state)
{
    assert_int_equal(parse("a:1,b:2,c:3"), 0);
    assert_string_equal(pool_next(&pool)->text, "a:1");
    assert_string_equal(pool_next(&pool)->text, "b:2");
    pool.list[2].is_inactive = true;
    assert_string_equal(pool_next(&pool)->text, "a:1");
    pool.list[2].is_inactive = false;
    assert_string_equal(pool_next(&pool)->text, "b:2");
    assert_string_equal(pool_next(&pool)->text, "c:3");
    for (int i = 0; i < 3; i++) {
        pool.list[i].is_inactive = true;
    }
    assert_null(pool_next(&pool));
}

/* Targets "n0.", "n1." and so on. */
static void take(const uint16_t (*rows)[2], uint32_t count)
{
    struct srv_list l = {.count = count};
    for (uint32_t i = 0; i < count; i++) {
        struct srv_record *r = &l.list[i];
        r->target[0] = 'n';
        r->target[1] = (char)('0' + i);
        r->target[2] = '.';
        r->port = 2379;
        r->priority = rows[i][0];
        r->weight = rows[i][1];
    }
    memset(&pool, 0, sizeof pool);
    pool.rng.state = 5;
    pool_take_records(&pool, &l);
}

static unsigned picks[8];

static void pick(int times)
{
    memset(picks, 0, sizeof picks);
    while (times-- > 0) {
        picks[pool_next(&pool) - pool.list]++;
    }
}

static void test_records(void **state)
{
    static const uint16_t rows[][2] = {{10, 1}, {5, 1}, {5, 3}, {5, 0}};
    take(rows, 4);
    assert_string_equal(pool.list[1].text, "n1.:2379");
    assert_string_equal(pool.list[1].address.host, "n1.");
    pick(10000);
    assert_int_equal(picks[0], 0);
    assert_in_range(picks[1], 2300, 2650);
    assert_in_range(picks[2], 7200, 7600);
    assert_in_range(picks[3], 50, 150);
    pool.list[2].is_inactive = true;
    pick(1000);
    assert_int_equal(picks[0] + picks[2], 0);
    assert_in_range(picks[3], 1, 30);
    pool.list[1].is_inactive = true;
    pool.list[3].is_inactive = true;
    pick(10);
    assert_int_equal(picks[0], 10);
    pool.list[0].is_inactive = true;
    assert_null(pool_next(&pool));
    pool.list[2].is_inactive = false;
    pick(10);
    assert_int_equal(picks[2], 10);
}

static void test_no_weights(void **state)
{
    static const uint16_t rows[][2] = {{7, 0}, {5, 0}, {9, 4}};
    take(rows, 3);
    for (int i = 0; i < 6; i++) {
        assert_ptr_equal(pool_next(&pool), &pool.list[i % 3]);
    }
    pool.list[1].is_inactive = true;
    assert_ptr_equal(pool_next(&pool), &pool.list[0]);
    assert_ptr_equal(pool_next(&pool), &pool.list[2]);
    pool.list[0].is_inactive = true;
    pick(10);
    assert_int_equal(picks[2], 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),      cmocka_unit_test(test_limit),
        cmocka_unit_test(test_turns),      cmocka_unit_test(test_records),
        cmocka_unit_test(test_no_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
