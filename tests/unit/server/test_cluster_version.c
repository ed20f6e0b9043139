#include "../test.h"
#include "base/err.h"
#include "server/node.h"

static struct version_number v(uint32_t major, uint32_t minor)
{
    return (struct version_number){major, minor};
}

static void check(struct version_number least, bool all_known,
                  const char *current, const char *want)
{
    struct version_number to;
    char text[32] = "";
    if (version_decide(least, all_known, current, &to)) {
        snprintf(text, sizeof text, "%u.%u", to.major, to.minor);
    }
    assert_string_equal(text, want);
}

static void three_numbers(void **state)
{
    struct version_number n;
    assert_int_equal(version_parse("3.7.1", &n), 0);
    assert_int_equal(n.major, 3);
    assert_int_equal(n.minor, 7);
    assert_int_equal(version_parse("3.10.0-rc.1", &n), 0);
    assert_int_equal(n.minor, 10);
    assert_int_equal(version_parse("3.7", &n), ERR_INVALID);
    assert_int_equal(version_parse("not_decided", &n), ERR_INVALID);
    assert_int_equal(version_parse("", &n), ERR_INVALID);
    assert_int_equal(version_parse(NULL, &n), ERR_INVALID);
}

static void the_least_that_all_speak(void **state)
{
    check(v(3, 7), true, NULL, "3.7");
    check(v(3, 6), true, NULL, "3.6");
    /* Somebody did not say: the least there is, until everybody has. */
    check(v(3, 7), false, NULL, "3.0");
    check(v(3, 7), false, "3.0.0", "");
    check(v(3, 7), true, "3.0.0", "3.7");
    /* It rises only. */
    check(v(3, 7), true, "3.7.0", "");
    check(v(3, 6), true, "3.7.0", "");
    check(v(3, 10), true, "3.9.0", "3.10");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_numbers),
        cmocka_unit_test(the_least_that_all_speak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
