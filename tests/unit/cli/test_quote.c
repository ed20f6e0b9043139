#include "../test.h"
#include "base/text.h"

#include "base/err.h"
#include "cli/cli.h"

static void assert_quoted(const char *in, size_t size, const char *expected)
{
    struct buf out = BUF_INIT(4096);
    struct buf back = BUF_INIT(4096);
    text_quote(&out, slice_of(in, size));
    assert_int_equal(out.size, strlen(expected));
    assert_memory_equal(out.data, expected, out.size);
    assert_int_equal(cli_unquote(buf_slice(&out), &back), 0);
    assert_int_equal(back.size, size);
    assert_memory_equal(back.data ? (char *)back.data : "", in, size);
    buf_release(&out);
    buf_release(&back);
}

static void test_quote(void **state)
{
    assert_quoted("", 0, "\"\"");
    assert_quoted("v\"2", 3, "\"v\\\"2\"");
    assert_quoted("\0\1\x7f\xff", 4, "\"\\x00\\x01\\x7f\\xff\"");
    assert_quoted("a\tb\n\\", 5, "\"a\\tb\\n\\\\\"");
    assert_quoted("\xc3\xa9\xe4\xb8\x96", 5, "\"\xc3\xa9\xe4\xb8\x96\"");
    assert_quoted("\xe2\x80\xa8", 3, "\"\\u2028\"");
    assert_quoted("\xc0\x80", 2, "\"\\xc0\\x80\"");
    assert_quoted("\xed\xa0\x80", 3, "\"\\xed\\xa0\\x80\"");
    assert_quoted("\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\"");
}

static void test_unquote_refuses(void **state)
{
    static const char *const bad[] = {"",
                                      "\"",
                                      "a",
                                      "\"a",
                                      "\"\\q\"",
                                      "\"\\x1\"",
                                      "\"\\400\"",
                                      "\"a\"b\"",
                                      "\"\\\"",
                                      "\"\\ud800\"",
                                      "\"\\U00110000\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf out = BUF_INIT(4096);
        assert_int_equal(cli_unquote(slice_str(bad[i]), &out), ERR_INVALID);
        buf_release(&out);
    }
}

static void test_unquote_escapes(void **state)
{
    struct buf out = BUF_INIT(4096);
    assert_int_equal(
        cli_unquote(slice_str("\"\\101\\x42\\u00e9\\U0001F600\""), &out), 0);
    assert_true(slice_eq_str(buf_slice(&out), "AB\xc3\xa9\xf0\x9f\x98\x80"));
    buf_release(&out);
}

static void assert_split(const char *line, int count,
                         const char *const *expected)
{
    struct arena a;
    int argc = -1;
    arena_init(&a);
    char **argv = cli_split(&a, line, &argc);
    assert_int_equal(argc, count);
    for (int i = 0; i < count; i++) {
        assert_string_equal(argv[i], expected[i]);
    }
    assert_null(argv[argc]);
    arena_release(&a);
}

static void test_split(void **state)
{
    assert_split("", 0, NULL);
    assert_split("  \t ", 0, NULL);
    assert_split("put a b", 3, (const char *[]){"put", "a", "b"});
    assert_split(" put \"a b\"  'c d' ", 3,
                 (const char *[]){"put", "a b", "c d"});
    assert_split("put k \"x\\\"y\\n\"", 3,
                 (const char *[]){"put", "k", "x\"y\n"});
    assert_split("put it's \\ 'a\"b'", 4,
                 (const char *[]){"put", "it's", "\\", "a\"b"});
    assert_split("''", 1, (const char *[]){""});
}

static void assert_json(const char *in, size_t size, const char *expected)
{
    struct buf out = BUF_INIT(4096);
    cli_json_string(&out, slice_of(in, size));
    assert_true(slice_eq_str(buf_slice(&out), expected));
    buf_release(&out);
}

static void test_json_string(void **state)
{
    assert_json("a<b>&\"\\", 7, "\"a\\u003cb\\u003e\\u0026\\\"\\\\\"");
    assert_json("\n\t\x01\xff", 4, "\"\\n\\t\\u0001\\ufffd\"");
    assert_json("\xe2\x80\xa8", 3, "\"\\u2028\"");
}

static void assert_human(uint64_t size, const char *expected)
{
    struct buf out = BUF_INIT(64);
    cli_human_bytes(&out, size);
    assert_true(slice_eq_str(buf_slice(&out), expected));
    buf_release(&out);
}

static void test_human_bytes(void **state)
{
    assert_human(0, "0 B");
    assert_human(9, "9 B");
    assert_human(999, "999 B");
    assert_human(1000, "1.0 kB");
    assert_human(20480, "20 kB");
    assert_human(16384, "16 kB");
    assert_human(2147483648u, "2.1 GB");
    assert_human(UINT64_MAX, "18 EB");
}

static void test_parse_number(void **state)
{
    struct arena a;
    int64_t v = 0;
    arena_init(&a);
    assert_null(pflag_parse_number(&a, "-5", 10, true, &v));
    assert_int_equal(v, -5);
    assert_null(pflag_parse_number(&a, "8e9e05c52164694d", 16, false, &v));
    assert_true((uint64_t)v == 0x8e9e05c52164694du);
    assert_string_equal(pflag_parse_number(&a, "zz", 16, true, &v),
                        "strconv.ParseInt: parsing \"zz\": invalid syntax");
    assert_string_equal(
        pflag_parse_number(&a, "9223372036854775808", 10, true, &v),
        "strconv.ParseInt: parsing \"9223372036854775808\": value out of "
        "range");
    assert_string_equal(pflag_parse_number(&a, "", 16, false, &v),
                        "strconv.ParseUint: parsing \"\": invalid syntax");
    arena_release(&a);
}

static void test_hex(void **state)
{
    struct buf out = BUF_INIT(64);
    cli_hex(&out, slice_str("fo"));
    assert_true(slice_eq_str(buf_slice(&out), "\\x66\\x6f"));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quote),
        cmocka_unit_test(test_unquote_refuses),
        cmocka_unit_test(test_unquote_escapes),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_json_string),
        cmocka_unit_test(test_human_bytes),
        cmocka_unit_test(test_parse_number),
        cmocka_unit_test(test_hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
