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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
