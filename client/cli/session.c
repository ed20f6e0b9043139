/*
 * What lock and elect have in common: a key under a lease of one's own, as
 * old as one's turn. Whose key is the oldest of the prefix has it; the
 * others wait for the one just before theirs to go, so that nobody is woken
 * in vain.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

#include "cli.h"
#include "net/net.h"
#include "session.h"

static void kept(void *ctx, const ProtobufCMessage *m, int64_t ttl_s)
{
}

static void lost(void *ctx, int code, const char *text)
{
    struct cli_session *s = ctx;
    s->is_lost = true;
    cofre_stop(s->x->client);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct cli_session *s = handle->data;
    s->is_told = true;
    cofre_stop(s->x->client);
}

void cli_session_signals(struct cli_session *s, struct cli *x)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    s->x = x;
    for (size_t i = 0; i < 2; i++) {
        uv_signal_init(loop_uv(cofre_loop(x->client)), &s->signals[i]);
        s->signals[i].data = s;
        uv_signal_start(&s->signals[i], on_signal, numbers[i]);
    }
}

/* The calls of a session have no time limit; a signal ends the process when
 * nothing is held yet. */
_Noreturn static void failed(struct cli_session *s)
{
    struct arena *a = &s->x->flags.arena;
    char *text = arena_strdup(a, cli_error_text(s->x->client, a));
    cli_session_end(s);
    cli_exit(CLI_EXIT_ERROR, "%s", text);
}

void cli_session_begin(struct cli_session *s, struct cli *x, const char *name,
                       int64_t ttl_s)
{
    struct arena *a = &x->flags.arena;
    int64_t granted_s = ttl_s;
    s->x = x;
    if (cofre_lease_grant(x->client, ttl_s, 0, &s->lease, &granted_s) !=
        COFRE_OK) {
        cli_exit(CLI_EXIT_ERROR, "%s", cli_error_text(x->client, a));
    }
    cli_session_signals(s, x);
    s->prefix = arena_printf(a, "%s/", name);
    s->key = arena_printf(a, "%s%" PRIx64, s->prefix, (uint64_t)s->lease);
    s->keeper = cofre_keeper_new(x->client, s->lease, granted_s, kept, lost, s);
}

/* Our key, made where it is not there. */
static void claim(struct cli_session *s, const char *value)
{
    struct cofre_reply *reply = NULL;
    struct cofre_txn *t = cofre_txn_new();
    struct cofre_bytes key = COFRE_STR(s->key);
    bool made;
    cofre_txn_if_number(t, key, COFRE_TARGET_CREATE_REVISION, COFRE_EQUAL, 0);
    cofre_txn_put(t, true, key, COFRE_STR(value), s->lease);
    cofre_txn_get(t, false, key, (struct cofre_bytes){0});
    int code = cofre_txn_commit(s->x->client, t, &made, &reply);
    cofre_txn_free(t);
    if (code != COFRE_OK) {
        failed(s);
    }
    s->header_revision = cofre_reply_header(reply).revision;
    s->revision = made || cofre_reply_kv_count(reply) == 0
                      ? s->header_revision
                      : cofre_reply_kv(reply, 0).create_revision;
    cofre_reply_free(reply);
}

struct cofre_reply *cli_session_edge(struct cli *x, const char *prefix,
                                     int64_t create_max, bool newest)
{
    static const char *const path = "/etcdserverpb.KV/Range";
    struct cofre_reply *reply = NULL;
    struct cofre_bytes from = COFRE_STR(prefix);
    uint8_t *end = arena_alloc(&x->flags.arena, from.size + 1);
    Pb__RangeRequest rq;
    pb__range_request__init(&rq);
    rq.key = (ProtobufCBinaryData){from.size, (uint8_t *)(uintptr_t)prefix};
    rq.range_end = (ProtobufCBinaryData){cofre_prefix_end(from, end), end};
    rq.limit = 1;
    rq.sort_target = PB__RANGE_REQUEST__SORT_TARGET__CREATE;
    rq.sort_order = newest ? PB__RANGE_REQUEST__SORT_ORDER__DESCEND
                           : PB__RANGE_REQUEST__SORT_ORDER__ASCEND;
    rq.max_create_revision = create_max;
    return cofre_call(x->client, path, &rq.base,
                      &pb__range_response__descriptor, &reply) == COFRE_OK
               ? reply
               : NULL;
}

struct waiting {
    struct cofre *client;
    bool is_gone;
};

static void on_news(void *ctx, const struct cofre_watch_news *n)
{
    struct waiting *w = ctx;
    for (size_t i = 0; i < n->event_count; i++) {
        w->is_gone |= cofre_watch_event(n, i).is_delete;
    }
    /* A compacted watch is asked for anew, from the present. */
    if (w->is_gone || n->canceled) {
        cofre_stop(w->client);
    }
}

static void wait_gone(struct cli_session *s, struct cofre_bytes key,
                      int64_t from)
{
    struct waiting w = {.client = s->x->client};
    struct cofre_watch_options options = {.start_revision = from,
                                          .no_put = true};
    struct cofre_watcher *watcher =
        cofre_watcher_new(s->x->client, on_news, &w);
    int code = cofre_watch_add(watcher, key, &options);
    if (code == COFRE_OK && !s->is_lost && !s->is_told) {
        code = cofre_run(s->x->client);
    }
    cofre_watcher_free(watcher);
    if (code != COFRE_OK) {
        failed(s);
    }
}

/* True while there was one before us, which is gone or not ours to wait for
 * any more. */
static bool wait_for_one(struct cli_session *s)
{
    struct cofre_reply *reply =
        cli_session_edge(s->x, s->prefix, s->revision - 1, true);
    if (!reply) {
        failed(s);
    }
    bool found = cofre_reply_kv_count(reply) > 0;
    if (found) {
        wait_gone(s, cofre_reply_kv(reply, 0).key,
                  cofre_reply_header(reply).revision + 1);
        s->header_revision = cofre_reply_header(reply).revision;
    }
    cofre_reply_free(reply);
    return found;
}

void cli_session_take(struct cli_session *s, const char *value,
                      struct cofre_reply **ret_reply)
{
    claim(s, value);
    while (!s->is_told && !s->is_lost && wait_for_one(s)) {
    }
    if (s->is_told) {
        cli_session_end(s);
        cli_exit(CLI_EXIT_ERROR, "context canceled");
    }
    struct cofre_reply *reply = NULL;
    if (cofre_get(s->x->client, COFRE_STR(s->key), NULL, &reply) != COFRE_OK) {
        failed(s);
    }
    if (s->is_lost || cofre_reply_kv_count(reply) == 0) {
        cofre_reply_free(reply);
        cli_session_end(s);
        cli_exit(CLI_EXIT_ERROR, "session expired");
    }
    s->header_revision = cofre_reply_header(reply).revision;
    *ret_reply = reply;
}

bool cli_session_hold(struct cli_session *s)
{
    while (!s->is_told && !s->is_lost) {
        if (cofre_run(s->x->client) != COFRE_OK) {
            break;
        }
    }
    return !s->is_lost;
}

void cli_session_end(struct cli_session *s)
{
    cofre_keeper_free(s->keeper);
    s->keeper = NULL;
    if (!s->is_lost) {
        /* The key goes with its lease. It is the last word: who waits for
         * a server that is gone is helped by the lease's end. */
        cofre_set_call_timeout(
            s->x->client,
            (uint64_t)pflag_int(&s->x->flags, "command-timeout") / 1000000);
        cofre_lease_revoke(s->x->client, s->lease);
    }
}
