/*
 * RangeStream over everything, one after the other:
 *   stream HOST:PORT PID KEYS VALUE_BYTES TIMES LABEL
 * Prints keys a second, and as times those of whole streams. All keys must
 * come, each with its value, in order, and their count with the last message.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "meter.h"
#include "proto/proto.h"
#include "proto/rpc.pb-c.h"

static struct {
    struct loop *loop;
    struct meter *meter;
    struct grpc_channel *channel;
    uint64_t keys, value_bytes, times;
    uint64_t seen, count;
    uint64_t started_ns;
    uint8_t last[64]; /* the key before */
    size_t last_size;
} stream;

static void start(void);

static void take_row(struct slice kv)
{
    struct proto_field f;
    struct slice key = {NULL, 0};
    size_t value_bytes = 0;
    while (proto_next(&kv, &f) > 0) {
        if (f.number == 1) {
            key = f.bytes;
        } else if (f.number == 5) {
            value_bytes = f.bytes.size;
        }
    }
    if (value_bytes != stream.value_bytes || key.size > sizeof stream.last ||
        slice_cmp(slice_of(stream.last, stream.last_size), key) >= 0) {
        bench_fail("key %.*s after %.*s, a value of %zu bytes", (int)key.size,
                   key.data, (int)stream.last_size, stream.last, value_bytes);
    }
    memcpy(stream.last, key.data, key.size);
    stream.last_size = key.size;
    stream.seen++;
}

/* RangeStreamResponse{RangeResponse} */
static void on_message(void *ctx, struct slice message)
{
    struct proto_field outer, f;
    while (proto_next(&message, &outer) > 0) {
        while (outer.number == 1 && proto_next(&outer.bytes, &f) > 0) {
            if (f.number == 2) {
                take_row(f.bytes);
            } else if (f.number == 4) {
                stream.count = f.value;
            }
        }
    }
}

static void on_status(void *ctx, enum grpc_code code, const char *why)
{
    if (code != GRPC_OK) {
        bench_fail("stream: %s: %s", grpc_code_name(code), why);
    }
    if (stream.seen != stream.keys || stream.count != stream.keys) {
        bench_fail("%lu keys, count %lu, instead of %lu",
                   (unsigned long)stream.seen, (unsigned long)stream.count,
                   (unsigned long)stream.keys);
    }
    meter_add(stream.meter, loop_now_ns(stream.loop) - stream.started_ns);
    if (--stream.times) {
        start();
    } else {
        loop_stop(stream.loop);
    }
}

static void start(void)
{
    static const struct grpc_client_handler handler = {on_message, on_status};
    static uint8_t first = 'k', end = 'l';
    Pb__RangeRequest range = PB__RANGE_REQUEST__INIT;
    range.key = (ProtobufCBinaryData){1, &first};
    range.range_end = (ProtobufCBinaryData){1, &end};
    stream.seen = stream.count = stream.last_size = 0;
    stream.started_ns = loop_now_ns(stream.loop);
    struct grpc_client_call *c =
        grpc_client_start(stream.channel, "/etcdserverpb.KV/RangeStream", NULL,
                          0, &handler, NULL);
    grpc_client_send(c, &range.base);
    grpc_client_half_close(c);
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fputs("usage: stream HOST:PORT PID KEYS VALUE_BYTES TIMES LABEL\n",
              stderr);
        return 2;
    }
    struct net_address address = bench_address(argv[1]);
    stream.keys = bench_number(argv[3], 1);
    stream.value_bytes = bench_number(argv[4], 0);
    stream.times = bench_number(argv[5], 1);
    loop_new(&stream.loop);
    stream.meter = meter_new(stream.loop, (int)bench_number(argv[2], 1));
    stream.channel = grpc_channel_new(stream.loop, &address, 5000);
    meter_begin(stream.meter);
    start();
    loop_run(stream.loop);
    meter_end(stream.meter, argv[6], stream.keys);
    grpc_channel_free(stream.channel);
    return 0;
}
