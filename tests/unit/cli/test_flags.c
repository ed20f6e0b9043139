#include "../test.h"

#include "cli/cli.h"

static const struct cli_flag table[] = {
    {"prefix", CLI_FLAG_BOOL, "false", "", 'p'},
    {"sure", CLI_FLAG_BOOL, "true", ""},
    {"limit", CLI_FLAG_INT, "0", ""},
    {"write-out", CLI_FLAG_STRING, "simple", "", 'w'},
    {"wait", CLI_FLAG_DURATION, "5s", ""},
    {"endpoints", CLI_FLAG_LIST, "127.0.0.1:2379", ""},
    {NULL}};

static struct cli_flags flags;
static char *words[16];
static int word_count;

static int setup(void **state)
{
    cli_flags_init(&flags);
    cli_flags_add(&flags, table);
    return 0;
}

static int teardown(void **state)
{
    cli_flags_release(&flags);
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
    return cli_flags_parse(&flags, &word_count, words);
}

static void test_initial(void **state)
{
    assert_null(parse(""));
    assert_false(cli_flags_bool(&flags, "prefix"));
    assert_true(cli_flags_bool(&flags, "sure"));
    assert_string_equal(cli_flags_text(&flags, "write-out"), "simple");
    assert_true(cli_flags_int(&flags, "wait") == 5000000000);
    assert_false(cli_flags_given(&flags, "wait"));
}

static void test_forms(void **state)
{
    assert_null(parse("key --limit=3 -w json end -p --sure=false"));
    assert_int_equal(word_count, 2);
    assert_string_equal(words[0], "key");
    assert_string_equal(words[1], "end");
    assert_int_equal(cli_flags_int(&flags, "limit"), 3);
    assert_string_equal(cli_flags_text(&flags, "write-out"), "json");
    assert_true(cli_flags_bool(&flags, "prefix"));
    assert_false(cli_flags_bool(&flags, "sure"));
    assert_null(parse("-wfields"));
    assert_string_equal(cli_flags_text(&flags, "write-out"), "fields");
    assert_null(parse("-w=table"));
    assert_string_equal(cli_flags_text(&flags, "write-out"), "table");
    assert_null(parse("-pw x"));
    assert_string_equal(cli_flags_text(&flags, "write-out"), "x");
    assert_null(parse("--limit 0x10"));
    assert_int_equal(cli_flags_int(&flags, "limit"), 16);
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
    assert_string_equal(cli_flags_text(&flags, "endpoints"), "a:1,b:2");
    assert_null(parse("--endpoints c:3"));
    assert_string_equal(cli_flags_text(&flags, "endpoints"), "a:1,b:2,c:3");
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

static const struct cli_command *find(const char *line)
{
    static char copy[256];
    snprintf(copy, sizeof copy, "%s", line);
    word_count = 0;
    for (char *w = strtok(copy, " "); w; w = strtok(NULL, " ")) {
        words[word_count++] = w;
    }
    return cli_tree_find(&cli_root, cli_global_flags, &word_count, words);
}

static void test_commands_by_beginning(void **state)
{
    assert_string_equal(find("get a")->name, "get");
    assert_int_equal(word_count, 1);
    assert_string_equal(find("me l")->name, "list");
    assert_string_equal(find("compact 3")->name, "compaction");
    assert_string_equal(find("--endpoints x -w json get a")->name, "get");
    assert_int_equal(word_count, 5);
    assert_string_equal(find("--hex get a")->name, "get");
    assert_ptr_equal(find("m"), &cli_root);
    assert_ptr_equal(find("nosuch"), &cli_root);
    assert_string_equal(find("member nosuch")->name, "member");
    assert_ptr_equal(find("-- get a"), &cli_root);
}

static void test_suggestions(void **state)
{
    struct buf out = BUF_INIT(4096);
    cli_tree_suggest(&cli_root, "gett", &out);
    assert_true(
        slice_eq_str(buf_slice(&out), "\nDid you mean this?\n\tget\n\n"));
    buf_reset(&out, 0);
    cli_tree_suggest(&cli_root, "m", &out);
    assert_true(slice_eq_str(buf_slice(&out),
                             "\nDid you mean this?\n\tmove-leader\n\tmember\n"
                             "\tmake-mirror\n\n"));
    buf_reset(&out, 0);
    cli_tree_suggest(&cli_root, "xyzxyzxyz", &out);
    assert_int_equal(out.size, 0);
    buf_release(&out);
}

static void test_usage_layout(void **state)
{
    struct buf out = BUF_INIT(65536);
    int argc = 2;
    char *argv[] = {(char[]){"lease"}, (char[]){"timetolive"}};
    cli_help_usage("etcdctl",
                   cli_tree_find(&cli_root, cli_global_flags, &argc, argv),
                   &out);
    assert_true(slice_eq_str(
        buf_slice(&out),
        "Usage:\n"
        "  etcdctl lease timetolive <leaseID> [options] [flags]\n\n"
        "Flags:\n"
        "  -h, --help   help for timetolive\n"
        "      --keys   get the keys attached to the lease\n"));
    buf_release(&out);
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
        cmocka_unit_test(test_commands_by_beginning),
        cmocka_unit_test(test_suggestions),
        cmocka_unit_test(test_usage_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
