#include "../test.h"

#include "cli/cli.h"

static char *words[16];
static int word_count;

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
        cmocka_unit_test(test_commands_by_beginning),
        cmocka_unit_test(test_suggestions),
        cmocka_unit_test(test_usage_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
