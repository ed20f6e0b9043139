#include "../test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

static void init(struct cli *x)
{
    *x = (struct cli){.program = "etcdctl"};
    pflag_init(&x->flags);
    pflag_add(&x->flags, cli_global_flags);
}

static int clear(void **state)
{
    unsetenv("ETCDCTL_ENDPOINTS");
    unsetenv("COFRECTL_ENDPOINTS");
    unsetenv("ETCDCTL_COMMAND_TIMEOUT");
    unsetenv("ETCDCTL_WATCH_KEY");
    return 0;
}

static void test_both_names(void **state)
{
    struct cli x;
    init(&x);
    setenv("ETCDCTL_ENDPOINTS", "a:1,b:2", 1);
    cli_env_apply(&x);
    assert_string_equal(pflag_text(&x.flags, "endpoints"), "a:1,b:2");
    assert_false(pflag_given(&x.flags, "endpoints"));
    pflag_release(&x.flags);

    init(&x);
    setenv("COFRECTL_ENDPOINTS", "c:3", 1);
    cli_env_apply(&x);
    assert_string_equal(pflag_text(&x.flags, "endpoints"), "c:3");
    size_t count = 0;
    char **all = cli_endpoints(&x, &count);
    assert_int_equal(count, 1);
    assert_string_equal(all[0], "c:3");
    pflag_release(&x.flags);
}

static void test_empty_and_bad_keep_the_default(void **state)
{
    struct cli x;
    init(&x);
    setenv("ETCDCTL_ENDPOINTS", "", 1);
    setenv("ETCDCTL_COMMAND_TIMEOUT", "x", 1);
    cli_env_apply(&x);
    assert_string_equal(pflag_text(&x.flags, "endpoints"), "127.0.0.1:2379");
    assert_true(pflag_int(&x.flags, "command-timeout") == 5000000000);
    pflag_release(&x.flags);
}

static void test_watch_key(void **state)
{
    assert_null(cli_env_get("watch-key"));
    setenv("ETCDCTL_WATCH_KEY", "k", 1);
    assert_string_equal(cli_env_get("watch-key"), "k");
}

/* In a child, because it ends the process. */
static void test_flag_and_variable_conflict(void **state)
{
    int status = 0;
    setenv("ETCDCTL_ENDPOINTS", "", 1);
    pid_t pid = fork();
    if (pid == 0) {
        struct cli x;
        init(&x);
        pflag_set(&x.flags, pflag_find(&x.flags, "endpoints"), "d:4");
        cli_env_apply(&x);
        _exit(42);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_names, clear, clear),
        cmocka_unit_test_setup_teardown(test_empty_and_bad_keep_the_default,
                                        clear, clear),
        cmocka_unit_test_setup_teardown(test_watch_key, clear, clear),
        cmocka_unit_test_setup_teardown(test_flag_and_variable_conflict, clear,
                                        clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
