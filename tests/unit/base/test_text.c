#include "../test.h"
#include "base/err.h"
#include "base/text.h"

static void check_text(struct buf *b, const char *want)
{
    buf_append_byte(b, '\0');
    assert_string_equal((const char *)b->data, want);
    b->size = 0;
}

static void durations_print_as_go_prints_them(void **state)
{
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {
        {0, "0s"},
        {1, "1ns"},
        {1500, "1.5\u00b5s"},
        {2000000, "2ms"},
        {1234567, "1.234567ms"},
        {1000000000, "1s"},
        {90000000000, "1m30s"},
        {3600000000000, "1h0m0s"},
        {3661500000000, "1h1m1.5s"},
        {-1500000, "-1.5ms"},
    };
    struct buf b = BUF_INIT(1000);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        text_duration(&b, rows[i].ns);
        check_text(&b, rows[i].text);
        int64_t back;
        assert_int_equal(text_parse_duration(rows[i].text, &back), 0);
        assert_int_equal(back, rows[i].ns);
    }
    buf_release(&b);
}

static void bad_durations_are_refused(void **state)
{
    static const char *const rows[] = {"",    "5", "1x",    ".s", "s",
                                       "1h2", "-", "1..5s", "abc"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t ns = 77;
        assert_int_equal(text_parse_duration(rows[i], &ns), ERR_INVALID);
        assert_int_equal(ns, 77);
    }
}

static void numbers_at_their_limits(void **state)
{
    uint64_t u = 0;
    int64_t i = 0;
    assert_int_equal(text_parse_u64("18446744073709551615", 10, &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(text_parse_u64("18446744073709551616", 10, &u),
                     ERR_TOO_LARGE);
    assert_int_equal(text_parse_u64("0x1F", 0, &u), 0);
    assert_int_equal(u, 31);
    assert_int_equal(text_parse_u64("0b101", 0, &u), 0);
    assert_int_equal(u, 5);
    assert_int_equal(text_parse_u64("1_000", 0, &u), 0);
    assert_int_equal(u, 1000);
    assert_int_equal(text_parse_u64("0", 0, &u), 0);
    assert_int_equal(u, 0);
    assert_int_equal(text_parse_u64("", 10, &u), ERR_INVALID);
    assert_int_equal(text_parse_u64("12a", 10, &u), ERR_INVALID);
    assert_int_equal(text_parse_u64("-1", 10, &u), ERR_INVALID);
    assert_int_equal(text_parse_i64("-9223372036854775808", 10, &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(text_parse_i64("9223372036854775808", 10, &i),
                     ERR_TOO_LARGE);
}

static void json_strings_are_escaped_and_utf8(void **state)
{
    struct buf b = BUF_INIT(1000);
    text_json_string(&b, slice_str("a\"b\\c\n\t\x01\u00e9"));
    check_text(&b, "\"a\\\"b\\\\c\\n\\t\\u0001\u00e9\"");
    text_json_string(&b, slice_of("\xff\xc0\x80z", 4));
    check_text(&b, "\"\\ufffd\\ufffd\\ufffdz\"");
    buf_release(&b);
}

static void base64_both_ways(void **state)
{
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}};
    struct buf b = BUF_INIT(1000);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        text_base64(&b, slice_str(rows[i][0]));
        check_text(&b, rows[i][1]);
        assert_int_equal(text_parse_base64(slice_str(rows[i][1]), &b), 0);
        check_text(&b, rows[i][0]);
    }
    assert_int_equal(text_parse_base64(slice_str("Zg"), &b), 0);
    check_text(&b, "f");
    assert_int_equal(text_parse_base64(slice_str("-_8="), &b), 0);
    b.size = 0;
    assert_int_equal(text_parse_base64(slice_str("Z"), &b), ERR_INVALID);
    assert_int_equal(text_parse_base64(slice_str("Z!=="), &b), ERR_INVALID);
    assert_int_equal(text_parse_base64(slice_str("Zg="), &b), ERR_INVALID);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_print_as_go_prints_them),
        cmocka_unit_test(bad_durations_are_refused),
        cmocka_unit_test(numbers_at_their_limits),
        cmocka_unit_test(json_strings_are_escaped_and_utf8),
        cmocka_unit_test(base64_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
