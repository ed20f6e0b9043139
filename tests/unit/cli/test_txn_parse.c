#include "../test.h"

#include "cli/cli.h"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena);
    return 0;
}

static int teardown(void **state)
{
    arena_release(&arena);
    return 0;
}

static void test_compare(void **state)
{
    Pb__Compare c;
    assert_null(cli_txn_compare(&arena, "mod(\"a b\") > \"7\" rest", &c));
    assert_int_equal(c.target, PB__COMPARE__COMPARE_TARGET__MOD);
    assert_int_equal(c.target_union_case,
                     PB__COMPARE__TARGET_UNION_MOD_REVISION);
    assert_int_equal(c.result, PB__COMPARE__COMPARE_RESULT__GREATER);
    assert_int_equal(c.mod_revision, 7);
    assert_true(slice_eq_str(cli_bytes(c.key), "a b"));
    assert_null(cli_txn_compare(&arena, "val( \"k\")  !=   \"x\\ty\"", &c));
    assert_int_equal(c.result, PB__COMPARE__COMPARE_RESULT__NOT_EQUAL);
    assert_true(slice_eq_str(cli_bytes(c.value), "x\ty"));
    assert_null(cli_txn_compare(&arena, "lease(\"k\") < \"-1\"", &c));
    assert_int_equal(c.lease, -1);
    assert_int_equal(c.target, PB__COMPARE__COMPARE_TARGET__LEASE);
}

static void test_compare_errors(void **state)
{
    static const char *const cases[][2] = {
        {"foo", "malformed comparison: foo"},
        {"ver(\"k\") = 3",
         "malformed comparison: ver(\"k\") = 3; got ver(\"k\") = \"\""},
        {"mod(\"a\")>\"1\"",
         "malformed comparison: mod(\"a\")>\"1\"; got mod(\"a\")  \"\""},
        {"foo(\"a\") > \"1\"", "malformed comparison: foo(\"a\") > \"1\" "
                               "(unknown target foo)"},
        {"mod(\"a\") > \"x\"",
         "invalid txn compare request: mod(\"a\") > \"x\""},
        {"mod(\"a\") >= \"1\"", "invalid txn compare request: mod(\"a\") >= "
                                "\"1\" (unknown operator >=)"},
        {"mod(a) > \"1\"",
         "malformed comparison: mod(a) > \"1\"; got mod(\"\")  \"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Pb__Compare c;
        const char *error = cli_txn_compare(&arena, cases[i][0], &c);
        assert_non_null(error);
        assert_string_equal(error, cases[i][1]);
    }
}

static void test_requests(void **state)
{
    struct cli_txn_op op = {0};
    assert_null(cli_txn_op(&arena, "put \"a b\" 'c' --prev-kv", &op));
    assert_int_equal(op.op.request_case, PB__REQUEST_OP__REQUEST_REQUEST_PUT);
    assert_true(slice_eq_str(cli_bytes(op.op.request_put->key), "a b"));
    assert_true(slice_eq_str(cli_bytes(op.op.request_put->value), "c"));
    assert_true(op.op.request_put->prev_kv);
    pflag_release(op.flags);

    assert_null(
        cli_txn_op(&arena, "get --prefix a\xff --print-value-only", &op));
    assert_true(slice_eq_str(cli_bytes(op.op.request_range->range_end), "b"));
    assert_true(op.values_only);
    pflag_release(op.flags);

    assert_null(cli_txn_op(&arena, "del --prefix \"\"", &op));
    assert_int_equal(op.op.request_delete_range->key.len, 1);
    assert_int_equal(op.op.request_delete_range->range_end.len, 1);
    assert_int_equal(op.op.request_delete_range->range_end.data[0], 0);
    assert_false(op.values_only);
    pflag_release(op.flags);
}

static void test_request_errors(void **state)
{
    struct cli_txn_op op;
    assert_string_equal(cli_txn_op(&arena, "foo a", &op),
                        "invalid txn request: foo a");
    assert_string_equal(cli_txn_op(&arena, "get", &op),
                        "invalid txn compare request: get");
    assert_string_equal(cli_txn_op(&arena, "get a -w json", &op),
                        "invalid txn request: get a -w json");
}

static const char *watch(const char *line, const char *env,
                         struct cli_watch *ret)
{
    int argc = 0;
    char **argv = cli_split(&arena, line, &argc);
    static struct pflag_set flags;
    pflag_release(&flags);
    pflag_init(&flags);
    pflag_add(&flags, cli_watch_flags);
    assert_null(pflag_parse(&flags, &argc, argv));
    return cli_watch_parse(&flags, argc, argv, env, NULL, ret);
}

static void test_watch(void **state)
{
    struct cli_watch w;
    assert_null(watch("k --rev 3 --prefix -- echo \"a b\"", NULL, &w));
    assert_string_equal(w.key, "k");
    assert_null(w.range_end);
    assert_true(w.prefix);
    assert_int_equal(w.revision, 3);
    assert_string_equal(w.command[0], "echo");
    assert_string_equal(w.command[1], "a b");
    assert_null(w.command[2]);
    assert_null(watch("-- echo", "env", &w));
    assert_string_equal(w.key, "env");
    assert_null(watch("a b", NULL, &w));
    assert_string_equal(w.range_end, "b");
    assert_null(w.command);
    assert_string_equal(watch("", NULL, &w), "bad number of arguments");
    assert_string_equal(
        watch("a", "env", &w),
        "bad number of arguments (found conflicting environment key)");
    assert_string_equal(watch("a --", NULL, &w),
                        "bad number of arguments (found separator --, but no "
                        "commands)");
    assert_string_equal(watch("a b --prefix", NULL, &w),
                        "`range_end` and `--prefix` are mutually exclusive");
    watch("a", NULL, &w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_compare, setup, teardown),
        cmocka_unit_test_setup_teardown(test_compare_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_request_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
