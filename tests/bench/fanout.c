/*
 * One writer, many watchers of its key:
 *   fanout HOST:PORT PID WATCHERS PUTS WINDOW LABEL [CONNECTIONS]
 * Every connection has one Watch stream, as a client library has, and its
 * share of the watchers. WINDOW puts are under way at a time; one is over
 * when it is answered and every watcher has its event. The time of an event
 * is from the start of its put to its arrival. Every watcher must get every
 * revision, once and in order, with the whole value.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "meter.h"
#include "proto/proto.h"
#include "proto/rpc.pb-c.h"

enum { VALUE_BYTES = 256, WINDOW_MAX = 1024 };

static const char key[] = "fanout";

struct watching {
    struct grpc_client_call *call;
    int64_t first_id; /* of its watchers: a row */
    uint32_t count, created;
};

static struct {
    struct loop *loop;
    struct meter *meter;
    struct grpc_channel *writer;
    struct watching *streams;
    size_t stream_count;
    uint32_t watchers, created;
    uint64_t *seen;         /* events of each watcher */
    int64_t first_revision; /* of the first put */
    uint64_t puts, started, answered, events;
    uint32_t window;
    uint64_t *start_ns; /* of each put */
    uint8_t value[VALUE_BYTES];
} fan;

/* ---- the writer ---- */
static void start_put(void);

/* A place in the window is free when a put and its events are through. */
static void go_on(void)
{
    uint64_t told = fan.events / fan.watchers;
    uint64_t over = told < fan.answered ? told : fan.answered;
    while (fan.started < fan.puts && fan.started < over + fan.window) {
        start_put();
    }
    if (over == fan.puts) {
        loop_stop(fan.loop);
    }
}

static void put_message(void *ctx, struct slice message)
{
}

static void put_status(void *ctx, enum grpc_code code, const char *why)
{
    if (code != GRPC_OK) {
        bench_fail("put: %s: %s", grpc_code_name(code), why);
    }
    fan.answered++;
    go_on();
}

static void start_put(void)
{
    static const struct grpc_client_handler handler = {put_message, put_status};
    Pb__PutRequest put = PB__PUT_REQUEST__INIT;
    put.key = (ProtobufCBinaryData){sizeof key - 1, (uint8_t *)(uintptr_t)key};
    put.value = (ProtobufCBinaryData){VALUE_BYTES, fan.value};
    fan.start_ns[fan.started++] = loop_now_ns(fan.loop);
    struct grpc_client_call *c = grpc_client_start(
        fan.writer, "/etcdserverpb.KV/Put", NULL, 0, &handler, NULL);
    grpc_client_send(c, &put.base);
    grpc_client_half_close(c);
}

/* ---- the watchers ---- */
static void take_event(uint32_t watcher, struct slice event, uint64_t now_ns)
{
    int64_t revision = 0;
    size_t value_bytes = 0;
    struct proto_field f, g;
    while (proto_next(&event, &f) > 0) {
        while (f.number == 2 && proto_next(&f.bytes, &g) > 0) {
            if (g.number == 3) {
                revision = (int64_t)g.value;
            } else if (g.number == 5) {
                value_bytes = g.bytes.size;
            }
        }
    }
    uint64_t put = fan.seen[watcher]++;
    if (revision != fan.first_revision + (int64_t)put ||
        value_bytes != VALUE_BYTES) {
        bench_fail("watcher %u: revision %ld instead of %ld, %zu bytes",
                   watcher, (long)revision,
                   (long)(fan.first_revision + (int64_t)put), value_bytes);
    }
    meter_add(fan.meter, now_ns - fan.start_ns[put]);
    fan.events++;
}

static void created(int64_t revision)
{
    fan.first_revision = revision + 1;
    if (++fan.created == fan.watchers) {
        loop_stop(fan.loop);
    }
}

static int64_t revision_in(struct slice header)
{
    struct proto_field f;
    while (proto_next(&header, &f) > 0) {
        if (f.number == 3) {
            return (int64_t)f.value;
        }
    }
    return 0;
}

static void watch_message(void *ctx, struct slice message)
{
    const struct watching *s = ctx;
    struct proto_field f;
    int64_t id = 0, revision = 0;
    bool is_created = false;
    uint64_t now_ns = loop_now_ns(fan.loop);
    while (proto_next(&message, &f) > 0) {
        if (f.number == 1) {
            revision = revision_in(f.bytes);
        } else if (f.number == 2) {
            id = (int64_t)f.value;
        } else if (f.number == 3) {
            is_created = f.value;
        } else if (f.number == 11) {
            if (id < 0 || id >= s->count) {
                bench_fail("an event for watch %ld", (long)id);
            }
            take_event((uint32_t)(s->first_id + id), f.bytes, now_ns);
        } else {
            bench_fail("watch: field %u", f.number);
        }
    }
    if (is_created) {
        created(revision);
    } else {
        go_on();
    }
}

static void watch_status(void *ctx, enum grpc_code code, const char *why)
{
    bench_fail("watch: %s: %s", grpc_code_name(code), why);
}

static void open_stream(struct grpc_channel *channel, struct watching *s)
{
    static const struct grpc_client_handler handler = {watch_message,
                                                       watch_status};
    s->call = grpc_client_start(channel, "/etcdserverpb.Watch/Watch", NULL, 0,
                                &handler, s);
    Pb__WatchCreateRequest create = PB__WATCH_CREATE_REQUEST__INIT;
    create.key =
        (ProtobufCBinaryData){sizeof key - 1, (uint8_t *)(uintptr_t)key};
    Pb__WatchRequest request = PB__WATCH_REQUEST__INIT;
    request.request_union_case =
        PB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    for (uint32_t i = 0; i < s->count; i++) {
        grpc_client_send(s->call, &request.base);
    }
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fputs("usage: fanout HOST:PORT PID WATCHERS PUTS WINDOW LABEL "
              "[CONNECTIONS]\n",
              stderr);
        return 2;
    }
    struct net_address address = bench_address(argv[1]);
    fan.watchers = (uint32_t)bench_number(argv[3], 1);
    fan.puts = bench_number(argv[4], 1);
    fan.window = (uint32_t)bench_number(argv[5], 1);
    fan.stream_count = argc > 7 ? bench_number(argv[7], 1) : 100;
    loop_new(&fan.loop);
    memset(fan.value, 'v', sizeof fan.value);
    fan.seen = mem_zalloc(fan.watchers * sizeof *fan.seen);
    fan.start_ns = mem_zalloc(fan.puts * sizeof *fan.start_ns);
    fan.streams = mem_zalloc(fan.stream_count * sizeof *fan.streams);
    fan.meter = meter_new(fan.loop, (int)bench_number(argv[2], 1));
    fan.writer = grpc_channel_new(fan.loop, &address, 5000);
    int64_t next = 0;
    for (size_t i = 0; i < fan.stream_count; i++) {
        struct watching *s = &fan.streams[i];
        s->first_id = next;
        s->count = (uint32_t)((i + 1) * fan.watchers / fan.stream_count) -
                   (uint32_t)next;
        next += s->count;
        open_stream(grpc_channel_new(fan.loop, &address, 5000), s);
    }
    loop_run(fan.loop);
    meter_begin(fan.meter);
    go_on();
    loop_run(fan.loop);
    meter_end(fan.meter, argv[6], 1);
    return 0; /* the process's end closes what is open */
}
