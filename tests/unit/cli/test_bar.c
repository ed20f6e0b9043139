#include <stdlib.h>

#include "../test.h"

#include "base/slice.h"
#include "cli/bar.h"

static void is_text(uint64_t done, uint64_t total, double s, size_t width,
                    const char *expected)
{
    struct buf out = BUF_INIT(4096);
    cli_bar_text(&out, done, total, s, width);
    buf_append_byte(&out, 0);
    assert_string_equal((char *)out.data, expected);
    buf_release(&out);
}

static void test_shape(void **state)
{
    is_text(0, 60, 0, 31, "0 / 60 [__________] 0.00% ? p/s");
    is_text(1, 60, 1, 31, "1 / 60 [>_________] 1.67% 1 p/s");
    is_text(30, 60, 30, 33, "30 / 60 [---->_____] 50.00% 1 p/s");
    is_text(60, 60, 30, 34, "60 / 60 [----------] 100.00% 2 p/s");
    /* Too narrow: a bar all the same. */
    is_text(30, 60, 30, 5, "30 / 60 [->_] 50.00% 1 p/s");
}

static void test_width(void **state)
{
    for (uint64_t i = 0; i <= 60; i++) {
        struct buf out = BUF_INIT(4096);
        cli_bar_text(&out, i, 60, (double)i, 100);
        assert_int_equal(out.size, 100);
        buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
