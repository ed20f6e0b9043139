#include "../test.h"

#include <stdio.h>

#include "pflag/pflag.h"

static const struct pflag table[] = {
    {"prefix", PFLAG_BOOL, "false", "", 'p'},
    {"sure", PFLAG_BOOL, "true", ""},
    {"limit", PFLAG_INT, "0", ""},
    {"write-out", PFLAG_STRING, "simple", "", 'w'},
    {"wait", PFLAG_DURATION, "5s", ""},
    {"endpoints", PFLAG_LIST, "127.0.0.1:2379", ""},
    {NULL}};

static struct pflag_set flags;
static char *words[16];
static int word_count;

static int setup(void **state)
{
    pflag_init(&flags);
    pflag_add(&flags, table);
    return 0;
}

static int teardown(void **state)
{
    pflag_release(&flags);
    return 0;
}

static const char *parse(const char *line)
{
    static char copy[256];
    snprintf(copy, sizeof copy, "%s", line);
    word_count = 0;
    for (char *w = strtok(copy, " "); w; w = strtok(NULL, " ")) {
        words[word_count++] = w;
    }
    return pflag_parse(&flags, &word_count, words);
}

static void test_initial(void **state)
{
    assert_null(parse(""));
    assert_false(pflag_bool(&flags, "prefix"));
    assert_true(pflag_bool(&flags, "sure"));
    assert_string_equal(pflag_text(&flags, "write-out"), "simple");
    assert_true(pflag_int(&flags, "wait") == 5000000000);
    assert_false(pflag_given(&flags, "wait"));
}

static void test_forms(void **state)
{
    assert_null(parse("key --limit=3 -w json end -p --sure=false"));
    assert_int_equal(word_count, 2);
    assert_string_equal(words[0], "key");
    assert_string_equal(words[1], "end");
    assert_int_equal(pflag_int(&flags, "limit"), 3);
    assert_string_equal(pflag_text(&flags, "write-out"), "json");
    assert_true(pflag_bool(&flags, "prefix"));
    assert_false(pflag_bool(&flags, "sure"));
    assert_null(parse("-wfields"));
    assert_string_equal(pflag_text(&flags, "write-out"), "fields");
    assert_null(parse("-w=table"));
    assert_string_equal(pflag_text(&flags, "write-out"), "table");
    assert_null(parse("-pw x"));
    assert_string_equal(pflag_text(&flags, "write-out"), "x");
    assert_null(parse("--limit 0x10"));
    assert_int_equal(pflag_int(&flags, "limit"), 16);
}

static void test_dashes(void **state)
{
    assert_null(parse("a -- --limit -w"));
    assert_int_equal(word_count, 3);
    assert_int_equal(flags.dash, 1);
    assert_string_equal(words[1], "--limit");
    assert_null(parse("-"));
    assert_int_equal(word_count, 1);
    assert_int_equal(flags.dash, -1);
}

static void test_list_replaces_then_grows(void **state)
{
    assert_null(parse("--endpoints a:1,b:2"));
    assert_string_equal(pflag_text(&flags, "endpoints"), "a:1,b:2");
    assert_null(parse("--endpoints c:3"));
    assert_string_equal(pflag_text(&flags, "endpoints"), "a:1,b:2,c:3");
}

static void test_errors(void **state)
{
    static const char *const cases[][2] = {
        {"--x", "unknown flag: --x"},
        {"--x=1", "unknown flag: --x"},
        {"-1", "unknown shorthand flag: '1' in -1"},
        {"--write-out", "flag needs an argument: --write-out"},
        {"-w", "flag needs an argument: 'w' in -w"},
        {"--=x", "bad flag syntax: --=x"},
        {"---x", "bad flag syntax: ---x"},
        {"--wait x",
         "invalid argument \"x\" for \"--wait\" flag: time: invalid duration "
         "\"x\""},
        {"--wait 5",
         "invalid argument \"5\" for \"--wait\" flag: time: missing unit in "
         "duration \"5\""},
        {"--wait 5x", "invalid argument \"5x\" for \"--wait\" flag: time: "
                      "unknown unit \"x\" in duration \"5x\""},
        {"--limit x", "invalid argument \"x\" for \"--limit\" flag: "
                      "strconv.ParseInt: parsing \"x\": invalid syntax"},
        {"--prefix=x", "invalid argument \"x\" for \"-p, --prefix\" flag: "
                       "strconv.ParseBool: parsing \"x\": invalid syntax"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *error = parse(cases[i][0]);
        assert_non_null(error);
        assert_string_equal(error, cases[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_initial, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dashes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list_replaces_then_grows, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
