/* lock and elect. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli.h"
#include "net/net.h"
#include "session.h"

enum {
    ALL_BUT_TABLE = CLI_SIMPLE | CLI_FIELDS | CLI_JSON | CLI_PROTOBUF,
    ELECT_TTL_S = 60,
    KILLED_STATUS = 255,
};

static void print_range(struct cli *x, const struct cofre_reply *reply,
                        bool with_count)
{
    Pb__RangeResponse m = *CLI_MESSAGE(Pb__RangeResponse, reply);
    if (!with_count) {
        m.count = 0;
    }
    if (!cli_print_raw(x, &m.base)) {
        cli_print_range(x, &m, false);
    }
    fflush(stdout);
}

/* ---- lock ---- */

struct command {
    struct cli_session *session;
    char **words;
    pid_t pid;
    struct waker *ended;
    int status;
    bool is_over;
};

/* A thread of its own waits, so that the lease is kept alive meanwhile. */
static void wait_child(void *ctx)
{
    struct command *c = ctx;
    while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR) {
    }
}

static void child_ended(void *ctx)
{
    struct command *c = ctx;
    c->is_over = true;
    cofre_stop(c->session->x->client);
}

_Noreturn static void become(struct command *c, int report_fd)
{
    char revision[24];
    snprintf(revision, sizeof revision, "%" PRId64,
             c->session->header_revision);
    setenv("ETCD_LOCK_KEY", c->session->key, 1);
    setenv("ETCD_LOCK_REV", revision, 1);
    execvp(c->words[0], c->words);
    int error = errno;
    _exit(write(report_fd, &error, sizeof error) < 0 ? 126 : 127);
}

/* 0, or why it could not begin. */
static int begin_command(struct command *c)
{
    int report[2];
    int error = 0;
    fflush(stdout);
    if (pipe2(report, O_CLOEXEC) < 0) {
        return errno;
    }
    c->pid = fork();
    if (c->pid == 0) {
        become(c, report[1]);
    }
    if (c->pid < 0) {
        error = errno;
    }
    close(report[1]);
    if (error == 0 && read(report[0], &error, sizeof error) < 0) {
        error = errno;
    }
    close(report[0]);
    return error;
}

static void run_command(struct cli_session *s, char **words)
{
    struct command c = {.session = s, .words = words};
    int error = begin_command(&c);
    if (error != 0) {
        cli_session_end(s);
        cli_exit(CLI_EXIT_ERROR, "exec: \"%s\": %s", words[0],
                 error == ENOENT ? "executable file not found in $PATH"
                                 : strerror(error));
    }
    loop_offload(cofre_loop(s->x->client), wait_child, child_ended, &c);
    while (!c.is_over) {
        cofre_run(s->x->client);
    }
    cli_session_end(s);
    if (WIFSIGNALED(c.status)) {
        char *name =
            arena_strdup(&s->x->flags.arena, strsignal(WTERMSIG(c.status)));
        name[0] |= 0x20; /* "killed", as everyone's log has it */
        cli_exit(KILLED_STATUS, "signal: %s", name);
    }
    if (WEXITSTATUS(c.status) != 0) {
        cli_exit(WEXITSTATUS(c.status), "exit status %d",
                 WEXITSTATUS(c.status));
    }
}

static void run_lock(struct cli *x, int argc, char **argv)
{
    static struct cli_session s;
    struct cofre_reply *reply = NULL;
    if (argc < 1) {
        cli_exit(CLI_EXIT_BAD_ARGS, "lock takes a lock name argument and an "
                                    "optional command to execute");
    }
    cli_begin(x, ALL_BUT_TABLE);
    cli_connect(x, false);
    cli_session_begin(&s, x, argv[0], pflag_int(&x->flags, "ttl"));
    cli_session_take(&s, "", &reply);
    if (argc > 1) {
        char **words =
            arena_alloc(&x->flags.arena, (size_t)argc * sizeof *words);
        memcpy(words, argv + 1, (size_t)(argc - 1) * sizeof *words);
        words[argc - 1] = NULL;
        run_command(&s, words);
        cli_quit(0);
    }
    print_range(x, reply, true);
    bool held = cli_session_hold(&s);
    cli_session_end(&s);
    if (!held) {
        cli_exit(CLI_EXIT_ERROR, "session expired");
    }
    cli_quit(0); /* with the loop's signal handles still open */
}

/* ---- elect ---- */

static void campaign(struct cli *x, const char *name, const char *proposal)
{
    static struct cli_session s;
    struct cofre_reply *reply = NULL;
    cli_session_begin(&s, x, name, ELECT_TTL_S);
    cli_session_take(&s, proposal, &reply);
    print_range(x, reply, true);
    bool held = cli_session_hold(&s);
    cli_session_end(&s);
    if (!held) {
        cli_exit(CLI_EXIT_ERROR, "elect: session expired");
    }
    cli_quit(0);
}

/* A leader that is shown, and what becomes of it. */
struct listening {
    struct cli *x;
    const char *prefix;
    bool is_changed; /* look again who leads */
    const char *key; /* of the leader shown; NULL: none */
};

static void on_news(void *ctx, const struct cofre_watch_news *n)
{
    struct listening *l = ctx;
    l->is_changed |= n->event_count > 0 || n->canceled;
    if (l->is_changed) {
        cofre_stop(l->x->client);
    }
}

/* Of the leader's key any change counts; without a leader any new key. */
static void wait_change(struct listening *l, struct cofre_bytes key, bool all,
                        int64_t from)
{
    struct cofre_watch_options options = {.start_revision = from,
                                          .prefix = all};
    struct cofre_watcher *w = cofre_watcher_new(l->x->client, on_news, l);
    l->is_changed = false;
    int code = cofre_watch_add(w, key, &options);
    while (code == COFRE_OK && !l->is_changed) {
        code = cofre_run(l->x->client);
    }
    cofre_watcher_free(w);
    if (code != COFRE_OK) {
        cli_exit(CLI_EXIT_ERROR, "%s",
                 cli_error_text(l->x->client, &l->x->flags.arena));
    }
}

_Noreturn static void observe(struct cli *x, const char *name)
{
    struct listening l = {.x = x};
    l.prefix = arena_printf(&x->flags.arena, "%s/", name);
    int64_t shown = 0; /* revision of the leader's key that was printed */
    for (;;) {
        struct cofre_reply *reply = cli_session_edge(x, l.prefix, 0, false);
        if (!reply) {
            cli_exit(CLI_EXIT_ERROR, "%s",
                     cli_error_text(x->client, &x->flags.arena));
        }
        int64_t next = cofre_reply_header(reply).revision + 1;
        if (cofre_reply_kv_count(reply) == 0) {
            wait_change(&l, COFRE_STR(l.prefix), true, next);
        } else {
            struct cofre_kv leader = cofre_reply_kv(reply, 0);
            if (leader.mod_revision != shown) {
                print_range(x, reply, false);
            }
            shown = leader.mod_revision;
            wait_change(&l, leader.key, false, next);
        }
        cofre_reply_free(reply);
    }
}

static void run_elect(struct cli *x, int argc, char **argv)
{
    bool listen = pflag_bool(&x->flags, "listen");
    if (argc != 1 && argc != 2) {
        cli_exit(CLI_EXIT_BAD_ARGS, "elect takes one election name argument "
                                    "and an optional proposal argument");
    }
    if (argc == 1 && !listen) {
        cli_exit(CLI_EXIT_BAD_ARGS, "no proposal argument but -l not set");
    }
    if (argc == 2 && listen) {
        cli_exit(CLI_EXIT_BAD_ARGS, "proposal given but -l is set");
    }
    cli_begin(x, ALL_BUT_TABLE);
    cli_connect(x, false);
    if (listen) {
        observe(x, argv[0]);
    }
    campaign(x, argv[0], argv[1]);
}

static const struct pflag lock_flags[] = {
    {"ttl", PFLAG_INT, "10",
     "time in seconds after which a lock whose "
     "holder is gone is free again"},
    {NULL}};
static const struct pflag elect_flags[] = {
    {"listen", PFLAG_BOOL, "false", "only print who leads", 'l'}, {NULL}};

const struct cli_command cli_lock = {
    .name = "lock",
    .arguments = "<lockname> [exec-command arg1 arg2 ...]",
    .summary = "Holds a lock, or runs a command while holding it",
    .group = "Concurrency commands",
    .flags = lock_flags,
    .parent = &cli_root,
    .run = run_lock,
};
const struct cli_command cli_elect = {
    .name = "elect",
    .arguments = "<election-name> [proposal]",
    .summary = "Takes part in an election, or watches one",
    .group = "Concurrency commands",
    .flags = elect_flags,
    .parent = &cli_root,
    .run = run_elect,
};
