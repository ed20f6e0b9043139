/*
 * Watches in numbers and under slow readers and compaction:
 *   watch URL [PID]       PID: the server's, to tell its memory
 * Each case counts what every watcher got: each event once, in order, none
 * lost, all of a revision in one response. Closes with "N passed, M failed".
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "grpc/grpc.h"
#include "proto/rpc.pb-c.h"

enum {
    WATCHERS = 10000,
    ROUNDS = 5,       /* puts that all watchers see */
    SLOW_PUTS = 3000, /* while nobody reads */
    SLOW_SIZE = 2000,
    WAIT_MS = 60000,
};

static struct {
    struct loop *loop;
    struct grpc_channel *writer, *reader;
    struct timer *guard;
    bool timed_out;
    int created, canceled, compacted;
    uint64_t events, bad; /* bad: out of order, split, of no watcher */
    int64_t *last;        /* revision, by watch id */
    int *got;
    int puts_open;
    int64_t revision, compact_revision;
    int failed, passed;
} t;

static void on_guard(void *ctx)
{
    t.timed_out = true;
}

#define WAIT_FOR(condition)                       \
    do {                                          \
        timer_start(t.guard, WAIT_MS, 0);         \
        while (!(condition) && !t.timed_out) {    \
            uv_run(loop_uv(t.loop), UV_RUN_ONCE); \
        }                                         \
        timer_stop(t.guard);                      \
    } while (0)

static void check(const char *what, bool holds)
{
    printf("%s %s\n", holds ? "ok    " : "not ok", what);
    fflush(stdout);
    t.passed += holds;
    t.failed += !holds;
}

/* ---- the watch stream ---- */

static void take(const Pb__WatchResponse *r)
{
    for (size_t i = 0; i < r->n_events; i++) {
        int64_t revision = r->events[i]->kv->mod_revision;
        if (r->watch_id < 0 || r->watch_id >= WATCHERS ||
            revision <= t.last[r->watch_id]) {
            t.bad++;
            continue;
        }
        t.last[r->watch_id] = revision;
        t.got[r->watch_id]++;
        t.events++;
    }
}

static void on_watch(void *ctx, struct slice message)
{
    Pb__WatchResponse *r =
        pb__watch_response__unpack(NULL, message.size, message.data);
    t.created += r->created;
    t.canceled += r->canceled;
    t.compacted += r->canceled && r->compact_revision;
    t.compact_revision =
        r->compact_revision ? r->compact_revision : t.compact_revision;
    take(r);
    pb__watch_response__free_unpacked(r, NULL);
}

static void on_watch_status(void *ctx, enum grpc_code code, const char *text)
{
    printf("the stream ended: %s %s\n", grpc_code_name(code), text);
    t.timed_out = true;
}

static struct grpc_client_call *open_stream(void)
{
    static const struct grpc_client_handler handler = {on_watch,
                                                       on_watch_status};
    t.created = t.canceled = t.compacted = 0;
    t.events = t.bad = 0;
    memset(t.last, 0, WATCHERS * sizeof *t.last);
    memset(t.got, 0, WATCHERS * sizeof *t.got);
    return grpc_client_start(t.reader, "/etcdserverpb.Watch/Watch", NULL, 0,
                             &handler, NULL);
}

static void add(struct grpc_client_call *c, const char *key, int64_t start)
{
    Pb__WatchCreateRequest create = PB__WATCH_CREATE_REQUEST__INIT;
    Pb__WatchRequest request = PB__WATCH_REQUEST__INIT;
    create.key = (ProtobufCBinaryData){strlen(key), (uint8_t *)(uintptr_t)key};
    create.start_revision = start;
    request.request_union_case =
        PB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    grpc_client_send(c, &request.base);
}

/* ---- puts, one after the other ---- */

static void on_put(void *ctx, struct slice message)
{
    Pb__PutResponse *r =
        pb__put_response__unpack(NULL, message.size, message.data);
    t.revision = r->header->revision;
    pb__put_response__free_unpacked(r, NULL);
}

static void on_put_status(void *ctx, enum grpc_code code, const char *text)
{
    t.puts_open--;
    t.failed += code != GRPC_OK;
}

static void put(const char *key, size_t size)
{
    static const struct grpc_client_handler handler = {on_put, on_put_status};
    static uint8_t value[SLOW_SIZE];
    Pb__PutRequest p = PB__PUT_REQUEST__INIT;
    p.key = (ProtobufCBinaryData){strlen(key), (uint8_t *)(uintptr_t)key};
    p.value = (ProtobufCBinaryData){size, value};
    struct grpc_client_call *c = grpc_client_start(
        t.writer, "/etcdserverpb.KV/Put", NULL, 0, &handler, NULL);
    t.puts_open++;
    grpc_client_send(c, &p.base);
    grpc_client_half_close(c);
    WAIT_FOR(t.puts_open == 0);
}

static void on_compacted(void *ctx, struct slice message)
{
}

static void compact(int64_t revision)
{
    static const struct grpc_client_handler handler = {on_compacted,
                                                       on_put_status};
    Pb__CompactionRequest r = PB__COMPACTION_REQUEST__INIT;
    r.revision = revision;
    r.physical = true;
    struct grpc_client_call *c = grpc_client_start(
        t.writer, "/etcdserverpb.KV/Compact", NULL, 0, &handler, NULL);
    t.puts_open++;
    grpc_client_send(c, &r.base);
    grpc_client_half_close(c);
    WAIT_FOR(t.puts_open == 0);
}

/* ---- the cases ---- */

static long resident_kib(const char *pid)
{
    char path[64], line[128];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%s/status", pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        sscanf(line, "RssAnon: %ld", &kib);
    }
    if (f) {
        fclose(f);
    }
    return kib;
}

static void many_watchers(const char *pid)
{
    long before = resident_kib(pid);
    struct grpc_client_call *c = open_stream();
    for (int i = 0; i < WATCHERS; i++) {
        add(c, "many", 0);
    }
    WAIT_FOR(t.created == WATCHERS);
    check("10,000 watchers on one stream are created", t.created == WATCHERS);
    printf("       %ld bytes a watcher\n",
           (resident_kib(pid) - before) * 1024 / WATCHERS);
    for (int i = 0; i < ROUNDS; i++) {
        put("many", 1);
    }
    WAIT_FOR(t.events >= (uint64_t)WATCHERS * ROUNDS);
    bool all = true;
    for (int i = 0; i < WATCHERS; i++) {
        all &= t.got[i] == ROUNDS;
    }
    check("each of them gets each event once, in order", all && !t.bad);
    grpc_client_cancel(c);
}

static void slow_reader(void)
{
    struct grpc_client_call *c = open_stream();
    add(c, "slow", 0);
    WAIT_FOR(t.created == 1);
    grpc_channel_pause(t.reader, true);
    for (int i = 0; i < SLOW_PUTS; i++) {
        put("slow", SLOW_SIZE);
    }
    grpc_channel_pause(t.reader, false);
    WAIT_FOR(t.events >= SLOW_PUTS);
    check("a reader that slept gets every event once, in order",
          t.events == SLOW_PUTS && !t.bad);
    grpc_client_cancel(c);
}

static void compacted(void)
{
    struct grpc_client_call *c = open_stream();
    int64_t first = t.revision;
    compact(first);
    add(c, "slow", first);     /* the compact revision itself: allowed */
    add(c, "slow", first - 1); /* gone */
    WAIT_FOR(t.compacted == 1 && t.events >= 1);
    check("a watcher from before the compaction is created, then cancelled",
          t.created == 2 && t.compacted == 1 && t.compact_revision == first);
    check("one from the compacted revision on gets its events",
          t.got[0] == 1 && t.last[0] == first && !t.bad);
    put("slow", 1);
    WAIT_FOR(t.events >= 2);
    check("and the following", t.got[0] == 2 && t.got[1] == 0 && !t.bad);
    grpc_client_cancel(c);
}

/* Resumed at the next revision after any break, nothing is missed. */
static void resumed(void)
{
    int64_t next = t.revision + 1;
    int total = 0;
    bool ordered = true;
    for (int i = 0; i < 20; i++) {
        put("resume", 1);
        put("resume", 1);
        struct grpc_client_call *c = open_stream();
        add(c, "resume", next);
        WAIT_FOR(t.events >= 2);
        ordered &= t.last[0] == next + 1 && t.got[0] == 2 && !t.bad;
        next = t.last[0] + 1;
        total += t.got[0];
        grpc_client_cancel(c);
    }
    check("resumed 20 times from the revision after the last", ordered);
    check("without a gap", total == 40);
}

int main(int argc, char **argv)
{
    struct url url;
    if (argc < 2 || url_parse(argv[1], &url) != 0) {
        fputs("usage: watch URL [PID]\n", stderr);
        return 2;
    }
    loop_new(&t.loop);
    t.guard = timer_new(t.loop, on_guard, NULL);
    t.writer = grpc_channel_new(t.loop, &url.address, 5000);
    t.reader = grpc_channel_new(t.loop, &url.address, 5000);
    t.last = mem_zalloc(WATCHERS * sizeof *t.last);
    t.got = mem_zalloc(WATCHERS * sizeof *t.got);
    many_watchers(argc > 2 ? argv[2] : "self");
    slow_reader();
    compacted();
    resumed();
    check("nothing was waited for in vain", !t.timed_out);
    printf("%d passed, %d failed\n", t.passed, t.failed);
    return t.failed != 0;
}
