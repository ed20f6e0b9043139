/*
 * watch: prints events as they come; with a command behind "--", runs it
 * for each; with -i, takes more watches from standard input. Lines are read
 * by a thread of their own, which hands each to the loop and waits until it
 * has been dealt with.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli.h"
#include "net/net.h"

struct watching {
    struct cli *x;
    struct cofre_watcher *watcher;
    const char *error; /* why it ends */

    /* -i: the reader's line, and whose turn it is. */
    pthread_mutex_t mutex;
    pthread_cond_t taken;
    struct waker *waker;
    char *line;
    bool is_full;
};

static void add_variable(const char *name, struct cofre_bytes value)
{
    struct buf quoted = BUF_INIT(SIZE_MAX);
    text_quote(&quoted, slice_of(value.data, value.size));
    buf_append_byte(&quoted, 0);
    setenv(name, (char *)quoted.data, 1);
    buf_release(&quoted);
}

_Noreturn static void run_child(char **command, int64_t revision,
                                const struct cofre_event *e, int report_fd)
{
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)revision);
    setenv("ETCD_WATCH_REVISION", number, 1);
    add_variable("ETCD_WATCH_EVENT_TYPE",
                 COFRE_STR(e->is_delete ? "DELETE" : "PUT"));
    add_variable("ETCD_WATCH_KEY", e->kv.key);
    add_variable("ETCD_WATCH_VALUE", e->kv.value);
    execvp(command[0], command);
    int error = errno;
    if (write(report_fd, &error, sizeof error) < 0) {
        _exit(126);
    }
    _exit(127);
}

_Noreturn static void command_failed(char **command, const char *why)
{
    struct buf text = BUF_INIT(SIZE_MAX);
    fflush(stdout);
    for (size_t i = 0; command[i]; i++) {
        buf_append_str(&text, i > 0 ? " " : "");
        text_quote(&text, slice_str(command[i]));
    }
    fprintf(stderr, "command [%.*s] error (%s)\n", (int)text.size,
            (char *)text.data, why);
    buf_release(&text);
    cli_quit(CLI_EXIT_ERROR);
}

static void check_status(char **command, int status, int exec_error)
{
    char why[256];
    if (exec_error != 0) {
        snprintf(why, sizeof why, "exec: \"%s\": %s", command[0],
                 exec_error == ENOENT ? "executable file not found in $PATH"
                                      : strerror(exec_error));
    } else if (WIFSIGNALED(status)) {
        snprintf(why, sizeof why, "signal: %s", strsignal(WTERMSIG(status)));
    } else if (WEXITSTATUS(status) != 0) {
        snprintf(why, sizeof why, "exit status %d", WEXITSTATUS(status));
    } else {
        return;
    }
    command_failed(command, why);
}

/* Runs it and waits; a pipe that closes on exec tells whether it began. */
static void run_command(char **command, int64_t revision,
                        const struct cofre_event *e)
{
    int report[2];
    int status = 0;
    int exec_error = 0;
    fflush(stdout);
    if (pipe2(report, O_CLOEXEC) < 0) {
        command_failed(command, strerror(errno));
    }
    pid_t pid = fork();
    if (pid < 0) {
        command_failed(command, strerror(errno));
    }
    if (pid == 0) {
        run_child(command, revision, e, report[1]);
    }
    close(report[1]);
    if (read(report[0], &exec_error, sizeof exec_error) < 0) {
        exec_error = errno;
    }
    close(report[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    check_status(command, status, exec_error);
}

static void print_json(const struct cofre_watch_news *n,
                       const Pb__WatchResponse *m)
{
    struct buf out = BUF_INIT(SIZE_MAX);
    buf_append_str(&out, "{\"Header\":");
    if (m->header) {
        cli_json_message(&out, &m->header->base, false);
    } else {
        buf_append_str(&out, "{}");
    }
    buf_append_str(&out, ",\"Events\":");
    buf_append_str(&out, m->n_events ? "[" : "null");
    for (size_t i = 0; i < m->n_events; i++) {
        buf_append_str(&out, i > 0 ? "," : "");
        cli_json_message(&out, &m->events[i]->base, false);
    }
    buf_append_str(&out, m->n_events ? "]" : "");
    buf_printf(&out,
               ",\"CompactRevision\":%lld,\"Canceled\":%s,\"Created\":%s,"
               "\"CancelReason\":",
               (long long)m->compact_revision, m->canceled ? "true" : "false",
               m->created ? "true" : "false");
    cli_json_string(&out, slice_str(m->cancel_reason));
    buf_append_str(&out, "}\n");
    cli_print_buf(&out);
}

static void print_event(struct cli *x, const Pb__Event *e)
{
    const char *type =
        e->type == PB__EVENT__EVENT_TYPE__DELETE ? "DELETE" : "PUT";
    if (x->format == CLI_FIELDS) {
        printf("\"Type\" : %s\n", type);
        if (e->prev_kv) {
            cli_field_kv(x, "Prev", e->prev_kv);
        }
        cli_field_kv(x, "", e->kv);
        return;
    }
    puts(type);
    if (e->prev_kv) {
        cli_print_simple_kv(x, e->prev_kv, true, true);
    }
    cli_print_simple_kv(x, e->kv, true, true);
}

static void print_news(struct cli *x, const struct cofre_watch_news *n)
{
    const Pb__WatchResponse *m =
        (const Pb__WatchResponse *)(const void *)n->message;
    if (x->format == CLI_JSON) {
        print_json(n, m);
        return;
    }
    if (x->format == CLI_PROTOBUF) {
        cli_print_raw(x, &m->base);
        return;
    }
    if (x->format == CLI_FIELDS) {
        cli_fields_header(x, m->header);
    }
    for (size_t i = 0; i < m->n_events; i++) {
        print_event(x, m->events[i]);
    }
}

static const char *cancel_text(const struct cofre_watch_news *n)
{
    if (n->compact_revision != 0) {
        return "etcdserver: mvcc: required revision has been compacted";
    }
    return *n->cancel_reason
               ? n->cancel_reason
               : "etcdserver: mvcc: required revision is a future revision";
}

static void on_news(void *ctx, const struct cofre_watch_news *n)
{
    struct watching *w = ctx;
    if (n->canceled) {
        fflush(stdout);
        fprintf(stderr, "watch was canceled (%s)\n", cancel_text(n));
    }
    if (n->progress) {
        printf("progress notify: %lld\n", (long long)n->header.revision);
    }
    print_news(w->x, n);
    fflush(stdout);
    if (n->canceled) {
        w->error = "watch is canceled by the server";
        cofre_stop(w->x->client);
        return;
    }
    char **command = n->watch_ctx;
    for (size_t i = 0; command && i < n->event_count; i++) {
        struct cofre_event e = cofre_watch_event(n, i);
        run_command(command, n->header.revision, &e);
    }
}

static void start(struct watching *w, const struct cli_watch *what)
{
    struct cofre_watch_options options = {
        .range_end = what->range_end ? COFRE_STR(what->range_end)
                                     : (struct cofre_bytes){0},
        .prefix = what->prefix,
        .start_revision = what->revision,
        .previous = what->previous,
        .progress_notify = what->progress_notify,
        .ctx = what->command,
    };
    if (cofre_watch_add(w->watcher, COFRE_STR(what->key), &options) !=
        COFRE_OK) {
        cli_exit(CLI_EXIT_BAD_CONNECTION, "%s", cofre_error_text(w->x->client));
    }
}

/* ---- -i ---- */

static void *read_lines(void *ctx)
{
    struct watching *w = ctx;
    for (;;) {
        char *line = cli_read_line(stdin);
        /* A last line without its end is no line. */
        if (line && feof(stdin)) {
            free(line);
            line = NULL;
        }
        pthread_mutex_lock(&w->mutex);
        w->line = line;
        w->is_full = true;
        waker_wake(w->waker);
        while (w->is_full) {
            pthread_cond_wait(&w->taken, &w->mutex);
        }
        pthread_mutex_unlock(&w->mutex);
        if (!line) {
            return NULL;
        }
    }
}

static void add_from_line(struct watching *w, const char *line, int argc,
                          char **argv)
{
    struct cli_watch what;
    /* Kept until the end: the watch points into it. */
    struct pflag_set *f = mem_zalloc(sizeof *f);
    pflag_init(f);
    pflag_add(f, cli_watch_flags);
    const char *error = pflag_parse(f, &argc, argv);
    if (error) {
        cli_exit(CLI_EXIT_BAD_ARGS, "%s", error);
    }
    error = cli_watch_parse(f, argc, argv, cli_env_get("watch-key"),
                            cli_env_get("watch-range-end"), &what);
    if (error) {
        fprintf(stderr, "Invalid command %s (%s)\n", line, error);
        pflag_release(f);
        free(f);
        return;
    }
    start(w, &what);
}

static void take_line(struct watching *w, const char *line)
{
    int argc = 0;
    struct arena *a = &w->x->flags.arena;
    char **argv = cli_split(a, line, &argc);
    if (argc > 0 && strcmp(argv[0], "progress") == 0) {
        if (cofre_watch_progress(w->watcher) != COFRE_OK) {
            fprintf(stderr, "Invalid command %s (no watch is open)\n", line);
        }
    } else if (argc == 0 || strcmp(argv[0], "watch") != 0) {
        fprintf(stderr, "Invalid command %s (only support watch)\n", line);
    } else if (argc < 2 && !cli_env_get("watch-key")) {
        fprintf(stderr,
                "Invalid command %s (command type or key is not provided)\n",
                line);
    } else {
        add_from_line(w, line, argc - 1, argv + 1);
    }
}

static void on_line(void *ctx)
{
    struct watching *w = ctx;
    pthread_mutex_lock(&w->mutex);
    bool is_full = w->is_full;
    char *line = w->line;
    pthread_mutex_unlock(&w->mutex);
    if (!is_full) {
        return;
    }
    if (!line) {
        cli_exit(CLI_EXIT_INVALID_INPUT,
                 "error reading watch request line: EOF");
    }
    take_line(w, line);
    free(line);
    pthread_mutex_lock(&w->mutex);
    w->is_full = false;
    pthread_cond_signal(&w->taken);
    pthread_mutex_unlock(&w->mutex);
}

static void start_reading(struct watching *w)
{
    pthread_t thread;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->taken, NULL);
    w->waker = waker_new(cofre_loop(w->x->client), on_line, w);
    if (pthread_create(&thread, NULL, read_lines, w) != 0) {
        cli_exit(CLI_EXIT_ERROR, "no thread for standard input");
    }
    pthread_detach(thread);
}

void cli_run_watch(struct cli *x, int argc, char **argv)
{
    struct watching w = {.x = x};
    struct cli_watch what;
    bool interactive = pflag_bool(&x->flags, "interactive");
    if (!interactive) {
        const char *error =
            cli_watch_parse(&x->flags, argc, argv, cli_env_get("watch-key"),
                            cli_env_get("watch-range-end"), &what);
        if (error) {
            cli_exit(CLI_EXIT_BAD_ARGS, "%s", error);
        }
    }
    cli_begin(x, CLI_SIMPLE | CLI_FIELDS | CLI_JSON | CLI_PROTOBUF);
    cli_connect(x, false);
    w.watcher = cofre_watcher_new(x->client, on_news, &w);
    if (interactive) {
        start_reading(&w);
    } else {
        start(&w, &what);
    }
    int code = cofre_run(x->client);
    if (w.error) {
        cli_exit(CLI_EXIT_INTERRUPTED, "%s", w.error);
    }
    fflush(stdout);
    fprintf(stderr, "watch was canceled (%s)\n", cofre_error_text(x->client));
    cli_exit(CLI_EXIT_INTERRUPTED, "watch is canceled by the server%s",
             code ? "" : " without a reason");
}
