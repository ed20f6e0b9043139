/*
 * Unary calls of KV, each answer checked:
 *   calls HOST:PORT PID KIND COUNT LABEL [CONNECTIONS [IN_FLIGHT]]
 * in what `load ... ordered` has put: KEYS keys k%09d of VALUE_BYTES. KIND:
 *   range     1,000 keys with their values
 *   keys      1,000 keys without
 *   count     how many of 10,000
 *   txn       of four: two that compare and then put, one that compares in
 *             vain and gets, one that only reads two keys
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "meter.h"
#include "proto/proto.h"
#include "proto/rpc.pb-c.h"

enum {
    KEYS = 100000,
    VALUE_BYTES = 1024,
    ROWS = 1000,
    COUNTED = 10000,
    KEY_BYTES_MAX = 32,
};

/* One request under way after the other. */
struct slot {
    struct grpc_channel *channel;
    const struct kind *kind;
    uint32_t number;
    uint32_t turn;        /* txn: which of the four */
    int64_t mod_revision; /* txn: of the slot's own key; 0: not there */
    bool checked;         /* the answer came and was right */
    uint64_t started_ns;
    uint64_t random;
};

struct kind {
    const char *name;
    const char *path;
    void (*send)(struct slot *s, struct grpc_client_call *c);
    void (*check)(struct slot *s, struct slice answer);
};

static struct {
    struct loop *loop;
    struct meter *meter;
    uint64_t to_start, to_end;
    uint8_t value[VALUE_BYTES];
} calls;

static void start(struct slot *s);

static uint32_t pick(struct slot *s, uint32_t below)
{
    s->random = s->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((s->random >> 33) % below);
}

static ProtobufCBinaryData key_of(char to[KEY_BYTES_MAX], const char *prefix,
                                  uint32_t number)
{
    int size = snprintf(to, KEY_BYTES_MAX, "%s%09u", prefix, number);
    return (ProtobufCBinaryData){(size_t)size, (uint8_t *)to};
}

/* ---- ranges ---- */
static void send_range(struct slot *s, struct grpc_client_call *c, uint32_t n)
{
    char key[KEY_BYTES_MAX], end[KEY_BYTES_MAX];
    uint32_t first = pick(s, KEYS - n);
    Pb__RangeRequest r = PB__RANGE_REQUEST__INIT;
    r.key = key_of(key, "k", first);
    r.range_end = key_of(end, "k", first + n);
    r.keys_only = strcmp(s->kind->name, "keys") == 0;
    r.count_only = strcmp(s->kind->name, "count") == 0;
    grpc_client_send(c, &r.base);
}

static void send_rows(struct slot *s, struct grpc_client_call *c)
{
    send_range(s, c, ROWS);
}

static void send_count(struct slot *s, struct grpc_client_call *c)
{
    send_range(s, c, COUNTED);
}

struct tally {
    uint64_t rows, values, value_bytes, count, more;
    int64_t revision;
};

static struct slice inside(struct slice message, uint32_t number)
{
    struct proto_field f;
    while (proto_next(&message, &f) > 0) {
        if (f.number == number && f.wire == PROTO_BYTES) {
            return f.bytes;
        }
    }
    return slice_of(NULL, 0);
}

/* Of a RangeResponse. */
static struct tally tally(struct slice answer)
{
    struct tally t = {0};
    struct proto_field f;
    int more;
    while ((more = proto_next(&answer, &f)) > 0) {
        if (f.number == 2) {
            struct slice value = inside(f.bytes, 5);
            t.rows++;
            t.values += value.size != 0;
            t.value_bytes += value.size;
        } else if (f.number == 3) {
            t.more = f.value;
        } else if (f.number == 4) {
            t.count = f.value;
        }
    }
    if (more < 0) {
        bench_fail("an answer is not protobuf");
    }
    return t;
}

static void expect(struct slot *s, struct slice answer, uint64_t rows,
                   uint64_t value_bytes, uint64_t count)
{
    struct tally t = tally(answer);
    if (t.rows != rows || t.value_bytes != value_bytes || t.count != count ||
        t.more) {
        bench_fail("%s: %lu rows, %lu bytes, count %lu, more %lu",
                   s->kind->name, (unsigned long)t.rows,
                   (unsigned long)t.value_bytes, (unsigned long)t.count,
                   (unsigned long)t.more);
    }
}

static void check_range(struct slot *s, struct slice answer)
{
    expect(s, answer, ROWS, (uint64_t)ROWS * VALUE_BYTES, ROWS);
}

static void check_keys(struct slot *s, struct slice answer)
{
    expect(s, answer, ROWS, 0, ROWS);
}

static void check_count(struct slot *s, struct slice answer)
{
    expect(s, answer, 0, 0, COUNTED);
}

/* ---- transactions ---- */
enum { UPDATE, MISS, UPDATE_AGAIN, READ, TURNS };

static void send_txn(struct slot *s, struct grpc_client_call *c)
{
    char own[KEY_BYTES_MAX], one[KEY_BYTES_MAX], other[KEY_BYTES_MAX];
    Pb__PutRequest put = PB__PUT_REQUEST__INIT;
    put.key = key_of(own, "txn/", s->number);
    put.value = (ProtobufCBinaryData){256, calls.value};
    Pb__RangeRequest get = PB__RANGE_REQUEST__INIT, second = get;
    get.key = key_of(one, "k", pick(s, KEYS));
    second.key = key_of(other, "k", pick(s, KEYS));
    Pb__Compare compare = PB__COMPARE__INIT, *compares[] = {&compare};
    compare.key = put.key;
    compare.target = PB__COMPARE__COMPARE_TARGET__MOD;
    compare.target_union_case = PB__COMPARE__TARGET_UNION_MOD_REVISION;
    compare.mod_revision = s->turn == MISS ? 1 : s->mod_revision;
    Pb__RequestOp ops[3] = {PB__REQUEST_OP__INIT, PB__REQUEST_OP__INIT,
                            PB__REQUEST_OP__INIT};
    Pb__RequestOp *success[] = {&ops[0], &ops[1]}, *failure[] = {&ops[1]};
    ops[0].request_case = PB__REQUEST_OP__REQUEST_REQUEST_PUT;
    ops[0].request_put = &put;
    ops[1].request_case = PB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    ops[1].request_range = &get;
    Pb__TxnRequest txn = PB__TXN_REQUEST__INIT;
    txn.n_compare = 1;
    txn.compare = compares;
    txn.n_success = s->turn == READ ? 2 : 1;
    txn.success = success;
    txn.n_failure = 1;
    txn.failure = failure;
    if (s->turn == READ) {
        ops[0].request_case = PB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        ops[0].request_range = &second;
    }
    grpc_client_send(c, &txn.base);
}

/* Of a ResponseOp: its range's tally, or none for a put. */
static bool is_row(struct slice op)
{
    struct tally t = tally(inside(op, 1));
    return t.rows == 1 && t.value_bytes == VALUE_BYTES && t.count == 1;
}

static int64_t revision_of(struct slice answer)
{
    struct slice header = inside(answer, 1);
    struct proto_field f;
    while (proto_next(&header, &f) > 0) {
        if (f.number == 3) {
            return (int64_t)f.value;
        }
    }
    return 0;
}

static void check_txn(struct slot *s, struct slice answer)
{
    bool succeeded = false;
    int rows = 0, puts = 0;
    struct slice rest = answer;
    struct proto_field f;
    while (proto_next(&rest, &f) > 0) {
        if (f.number == 2) {
            succeeded = f.value;
        } else if (f.number == 3) {
            puts += inside(f.bytes, 2).size > 0;
            rows += is_row(f.bytes);
        }
    }
    bool is_put = s->turn == UPDATE || s->turn == UPDATE_AGAIN;
    int rows_wanted = is_put ? 0 : s->turn == READ ? 2 : 1;
    if (succeeded != (s->turn != MISS) || rows != rows_wanted ||
        puts != is_put) {
        bench_fail("txn %u: succeeded %d, %d rows, %d puts", s->turn, succeeded,
                   rows, puts);
    }
    if (is_put) {
        s->mod_revision = revision_of(answer);
    }
    s->turn = (s->turn + 1) % TURNS;
}

static const struct kind kinds[] = {
    {"range", "/etcdserverpb.KV/Range", send_rows, check_range},
    {"keys", "/etcdserverpb.KV/Range", send_rows, check_keys},
    {"count", "/etcdserverpb.KV/Range", send_count, check_count},
    {"txn", "/etcdserverpb.KV/Txn", send_txn, check_txn},
};

/* ---- the run ---- */
static void on_message(void *ctx, struct slice message)
{
    struct slot *s = ctx;
    meter_add(calls.meter, loop_now_ns(calls.loop) - s->started_ns);
    s->kind->check(s, message);
    s->checked = true;
}

static void on_status(void *ctx, enum grpc_code code, const char *why)
{
    struct slot *s = ctx;
    if (code != GRPC_OK || !s->checked) {
        bench_fail("%s: %s: %s", s->kind->name, grpc_code_name(code), why);
    }
    if (--calls.to_end == 0) {
        loop_stop(calls.loop);
    } else if (calls.to_start) {
        start(s);
    }
}

static void start(struct slot *s)
{
    static const struct grpc_client_handler handler = {on_message, on_status};
    calls.to_start--;
    s->checked = false;
    s->started_ns = loop_now_ns(calls.loop);
    struct grpc_client_call *c =
        grpc_client_start(s->channel, s->kind->path, NULL, 0, &handler, s);
    s->kind->send(s, c);
    grpc_client_half_close(c);
}

static const struct kind *find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    bench_fail("unknown kind %s", name);
}

static void run(struct slot *slots, size_t count, uint64_t requests)
{
    calls.to_start = calls.to_end = requests;
    for (size_t i = 0; i < count && calls.to_start; i++) {
        start(&slots[i]);
    }
    loop_run(calls.loop);
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fputs("usage: calls HOST:PORT PID KIND COUNT LABEL [CONNECTIONS "
              "[IN_FLIGHT]]\n",
              stderr);
        return 2;
    }
    struct net_address address = bench_address(argv[1]);
    const struct kind *kind = find(argv[3]);
    uint64_t count = bench_number(argv[4], 1);
    size_t connections = argc > 6 ? bench_number(argv[6], 1) : 16;
    size_t in_flight = argc > 7 ? bench_number(argv[7], 1) : 1;
    loop_new(&calls.loop);
    memset(calls.value, 'v', sizeof calls.value);
    size_t slot_count = connections * in_flight;
    struct slot *slots = mem_zalloc(slot_count * sizeof *slots);
    struct grpc_channel **channels =
        mem_zalloc(connections * sizeof(struct grpc_channel *));
    for (size_t i = 0; i < connections; i++) {
        channels[i] = grpc_channel_new(calls.loop, &address, 5000);
    }
    for (size_t i = 0; i < slot_count; i++) {
        slots[i] = (struct slot){.channel = channels[i % connections],
                                 .kind = kind,
                                 .number = (uint32_t)i,
                                 .random = i};
    }
    /* Once around before it counts: connections, buffers. */
    calls.meter = meter_new(calls.loop, (int)bench_number(argv[2], 1));
    run(slots, slot_count, slot_count);
    meter_free(calls.meter);
    calls.meter = meter_new(calls.loop, (int)bench_number(argv[2], 1));
    meter_begin(calls.meter);
    run(slots, slot_count, count);
    meter_end(calls.meter, argv[5], 1);
    meter_free(calls.meter);
    for (size_t i = 0; i < connections; i++) {
        grpc_channel_free(channels[i]);
    }
    free(channels);
    free(slots);
    return 0;
}
