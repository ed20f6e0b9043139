/* What the checks ask a server by itself: its memory, and to defragment. */
#include <stdlib.h>

#include "base/mem.h"
#include "check.h"
#include "net/net.h"

enum { ANSWER_BYTES_MAX = 8 << 20 };
#define MEMORY_METRIC "\nprocess_resident_memory_bytes "

struct fetch {
    struct loop *loop;
    struct conn *conn;
    struct buf answer;
    bool is_sent;
    bool is_over;
};

static void fetch_data(void *ctx, struct slice data)
{
    struct fetch *f = ctx;
    if (buf_append_slice(&f->answer, data) < 0) {
        conn_close(f->conn, false);
    }
}

static bool fetch_flush(void *ctx, struct buf *out)
{
    struct fetch *f = ctx;
    if (!f->is_sent) {
        /* 1.0: the body comes in one piece, ended by the connection's. */
        buf_append_str(out, "GET /metrics HTTP/1.0\r\n\r\n");
        f->is_sent = true;
    }
    return false;
}

static void fetch_over(struct fetch *f)
{
    f->is_over = true;
    loop_stop(f->loop);
}

static void fetch_closed(void *ctx, int err)
{
    fetch_over(ctx);
}

static void dialed(void *ctx, struct conn *c, int err)
{
    static const struct conn_handler handler = {
        .on_data = fetch_data,
        .on_flush = fetch_flush,
        .on_closed = fetch_closed,
    };
    struct fetch *f = ctx;
    if (!c) {
        fetch_over(f);
        return;
    }
    f->conn = c;
    conn_set_handler(c, &handler, f);
    conn_want_flush(c);
}

double cli_check_memory(struct cli *x, const char *endpoint)
{
    struct fetch f = {.loop = cofre_loop(x->client),
                      .answer = BUF_INIT(ANSWER_BYTES_MAX)};
    struct url url;
    const char *text =
        strstr(endpoint, "://")
            ? endpoint
            : arena_printf(&x->flags.arena, "http://%s", endpoint);
    if (url_parse(text, &url) != 0) {
        cli_exit(CLI_EXIT_BAD_ARGS, "%s is not an endpoint", endpoint);
    }
    uv_update_time(loop_uv(f.loop)); /* the load has taken its time */
    net_dial(f.loop, &url.address,
             (uint64_t)pflag_int(&x->flags, "dial-timeout") / 1000000, dialed,
             &f);
    while (!f.is_over) {
        loop_run(f.loop);
    }
    buf_append_byte(&f.answer, 0);
    const char *line = strstr((const char *)f.answer.data, MEMORY_METRIC);
    double bytes = line ? strtod(line + sizeof MEMORY_METRIC - 1, NULL) : -1;
    if (bytes < 0) {
        cli_exit(CLI_EXIT_ERROR,
                 "failed to read the memory of %s from its /metrics", endpoint);
    }
    buf_release(&f.answer);
    return bytes;
}

void cli_check_defrag(struct cli *x, const char *endpoint)
{
    struct cofre_reply *reply = NULL;
    Pb__DefragmentRequest request;
    pb__defragment_request__init(&request);
    printf("Defragmenting \"%s\"\n", endpoint);
    struct cofre *c = cli_open_one(x, endpoint);
    cofre_set_call_timeout(c, 0);
    if (cofre_call(c, "/etcdserverpb.Maintenance/Defragment", &request.base,
                   &pb__defragment_response__descriptor, &reply) != COFRE_OK) {
        cli_exit(CLI_EXIT_ERROR, "%s", cli_error_text(c, &x->flags.arena));
    }
    printf("Defragmented \"%s\"\n", endpoint);
    cofre_reply_free(reply);
    cofre_close(c);
}

static const struct pflag perf_flags[] = {
    {"auto-compact", PFLAG_BOOL, "false",
     "compact away what the check has written"},
    {"auto-defrag", PFLAG_BOOL, "false", "defragment afterwards"},
    {"load", PFLAG_STRING, "s", "how much: s, m, l, xl"},
    {"prefix", PFLAG_STRING, "/etcdctl-check-perf/",
     "prefix of the keys that are written and deleted again"},
    {NULL}};
static const struct pflag datascale_flags[] = {
    {"auto-compact", PFLAG_BOOL, "false",
     "compact away what the check has written"},
    {"auto-defrag", PFLAG_BOOL, "false", "defragment afterwards"},
    {"load", PFLAG_STRING, "s", "how much: s, m, l, xl"},
    {"prefix", PFLAG_STRING, "/etcdctl-check-datascale/",
     "prefix of the keys that are written and deleted again"},
    {NULL}};

static const struct cli_command perf = {
    .name = "perf",
    .arguments = "[options]",
    .summary = "Tells whether the cluster is fast enough for a load",
    .flags = perf_flags,
    .parent = &cli_check,
    .run = cli_run_check_perf,
};
static const struct cli_command datascale = {
    .name = "datascale",
    .arguments = "[options]",
    .summary = "Tells how much memory a server needs for a number of keys",
    .flags = datascale_flags,
    .parent = &cli_check,
    .run = cli_run_check_datascale,
};
const struct cli_command cli_check = {
    .name = "check",
    .summary = "Commands for checking a cluster",
    .group = "Cluster maintenance commands",
    .parent = &cli_root,
    .children = (const struct cli_command *const[]){&perf, &datascale, NULL}};
