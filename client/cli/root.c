/* The tree of commands, and one run of one of them. */
#include "base/text.h"
#include "cli.h"

#define KEY_VALUE "Key-value commands"
#define CLUSTER "Cluster maintenance commands"
#define AUTHENTICATION "Authentication commands"
#define UTILITY "Utility commands"

static const struct pflag compaction_flags[] = {
    {"physical", PFLAG_BOOL, "false",
     "wait until old revisions are gone from the store"},
    {NULL}};
static const struct pflag txn_flags[] = {
    {"interactive", PFLAG_BOOL, "false", "prompt for the input", 'i'}, {NULL}};

static const struct cli_command get = {
    .name = "get",
    .arguments = "[options] <key> [range_end]",
    .summary = "Gets a key or a range of keys",
    .group = KEY_VALUE,
    .flags = cli_get_flags,
    .parent = &cli_root,
    .run = cli_run_get,
};
static const struct cli_command put = {
    .name = "put",
    .arguments =
        "[options] <key> <value> (<value> can also be given from stdin)",
    .summary = "Puts a key with its value",
    .details = "Puts a key with its value.\n\n"
               "A value that begins with '-' needs '--' in front of it:\n"
               "  put -- <key> <value>\n"
               "Without a value it is read from standard input, whole:\n"
               "  put <key> < file",
    .group = KEY_VALUE,
    .flags = cli_put_flags,
    .parent = &cli_root,
    .run = cli_run_put,
};
static const struct cli_command del = {
    .name = "del",
    .arguments = "[options] <key> [range_end]",
    .summary = "Deletes a key or the keys of [key, range_end)",
    .group = KEY_VALUE,
    .flags = cli_del_flags,
    .parent = &cli_root,
    .run = cli_run_del,
};
static const struct cli_command txn = {
    .name = "txn",
    .arguments = "[options]",
    .summary = "Runs a transaction read from standard input",
    .details =
        "Runs a transaction read from standard input: compares, requests "
        "for\nsuccess, requests for failure, each block ended by an empty "
        "line.\n\n"
        "  mod(\"key1\") > \"0\"\n\n"
        "  put key1 \"overwrote-key1\"\n\n"
        "  put key1 \"created-key1\"\n",
    .group = KEY_VALUE,
    .flags = txn_flags,
    .parent = &cli_root,
    .run = cli_run_txn,
};
static const struct cli_command compaction = {
    .name = "compaction",
    .arguments = "[options] <revision>",
    .summary = "Drops the history below a revision",
    .group = KEY_VALUE,
    .flags = compaction_flags,
    .parent = &cli_root,
    .run = cli_run_compaction,
};
static const struct cli_command watch = {
    .name = "watch",
    .arguments =
        "[options] [key or prefix] [range_end] [--] [exec-command arg1 ...]",
    .summary = "Watches a key, a range or a prefix",
    .group = KEY_VALUE,
    .flags = cli_watch_flags,
    .parent = &cli_root,
    .run = cli_run_watch,
};
static const struct cli_command defrag = {
    .name = "defrag",
    .summary = "Gives free space of the endpoints' stores back",
    .group = CLUSTER,
    .flags = cli_cluster_flag,
    .parent = &cli_root,
    .run = cli_run_defrag,
};
static const struct cli_command move_leader = {
    .name = "move-leader",
    .arguments = "<transferee-member-id>",
    .summary = "Makes another member the leader",
    .group = CLUSTER,
    .parent = &cli_root,
    .run = cli_run_move_leader,
};
static const struct cli_command version = {
    .name = "version",
    .summary = "Prints the version",
    .group = UTILITY,
    .parent = &cli_root,
    .run = cli_run_version,
};
static const struct cli_command options = {
    .name = "options",
    .summary = "Shows the global flags",
    .group = UTILITY,
    .parent = &cli_root,
    .run = cli_run_options,
};
static const struct cli_command help = {
    .name = "help",
    .arguments = "[command]",
    .summary = "Help about a command",
    .group = UTILITY,
    .parent = &cli_root,
    .run = cli_run_help,
};

const struct cli_command cli_root = {
    .name = "",
    .summary = "Command line of a cofre (or etcd) cluster.",
    .children = (const struct cli_command *const[]){&get,
                                                    &put,
                                                    &del,
                                                    &txn,
                                                    &compaction,
                                                    &cli_alarm,
                                                    &defrag,
                                                    &cli_endpoint,
                                                    &move_leader,
                                                    &watch,
                                                    &version,
                                                    &cli_lease,
                                                    &cli_member,
                                                    &cli_snapshot,
                                                    &cli_auth,
                                                    &cli_user,
                                                    &cli_role,
                                                    &cli_downgrade,
                                                    &options,
                                                    &help,
                                                    &cli_lock,
                                                    &cli_elect,
                                                    &cli_make_mirror,
                                                    &cli_check,
                                                    &cli_completion,
                                                    NULL},
};

/* The version of the command line that this one stands in for; scripts
 * compare it. */
#define MANNER_VERSION "3.7.1"

void cli_run_version(struct cli *x, int argc, char **argv)
{
    bool stands_in = strncmp(x->program, "etcd", 4) == 0;
    printf("%s version: %s\nAPI version: 3.7\n", x->program,
           stands_in ? MANNER_VERSION : COFRE_VERSION);
}

void cli_run_options(struct cli *x, int argc, char **argv)
{
    struct buf out = BUF_INIT(1 << 20);
    buf_append_str(&out, "The following options can be passed to any "
                         "command:\n\n");
    pflag_help(x->global, false, "", &out);
    cli_print_buf(&out);
}

static void print_help(struct cli *x, const struct cli_command *c)
{
    struct buf out = BUF_INIT(1 << 20);
    cli_help_full(x->program, c, &out);
    cli_print_buf(&out);
}

static void print_usage(struct cli *x, const struct cli_command *c)
{
    struct buf out = BUF_INIT(1 << 20);
    cli_help_usage(x->program, c, &out);
    fprintf(stderr, "%.*s\n", (int)out.size, (char *)out.data);
    buf_release(&out);
}

void cli_run_help(struct cli *x, int argc, char **argv)
{
    char *topic = argc > 0 ? argv[0] : NULL;
    const struct cli_command *c =
        cli_tree_find(x->root, x->global, &argc, argv);
    if (argc > 0 && !c->parent) {
        fprintf(stderr, "Unknown help topic [`%s`]\n", topic);
        print_usage(x, x->root);
        return;
    }
    print_help(x, c);
}

_Noreturn static void unknown_command(struct cli *x, const char *word)
{
    struct buf out = BUF_INIT(1 << 20);
    buf_append_str(&out, "Error: unknown command ");
    text_quote(&out, slice_str(word));
    buf_printf(&out, " for \"%s\"\n", x->program);
    cli_tree_suggest(x->root, word, &out);
    buf_printf(&out, "Run '%s --help' for usage.\n", x->program);
    fprintf(stderr, "%.*s", (int)out.size, (char *)out.data);
    buf_release(&out);
    cli_quit(CLI_EXIT_ERROR);
}

void cli_root_run(struct cli *x, int argc, char **argv)
{
    static const struct pflag help_flag[] = {
        {"help", PFLAG_BOOL, "false", "", 'h'}, {NULL}};
    const struct cli_command *c =
        cli_tree_find(x->root, x->global, &argc, argv);
    if (!c->parent) {
        int at = cli_tree_word(x->global, argc, argv);
        if (at >= 0) {
            unknown_command(x, argv[at]);
        }
    }
    x->command = c;
    pflag_add(&x->flags, c->flags);
    pflag_add(&x->flags, x->global);
    pflag_add(&x->flags, help_flag);
    const char *error = pflag_parse(&x->flags, &argc, argv);
    if (error) {
        fprintf(stderr, "Error: %s\n", error);
        print_usage(x, c);
        cli_quit(CLI_EXIT_ERROR);
    }
    if (!c->run || pflag_bool(&x->flags, "help")) {
        print_help(x, c);
        return;
    }
    c->run(x, argc, argv);
}
