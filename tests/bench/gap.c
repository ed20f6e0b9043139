/*
 * The longest time in which nobody's write was acknowledged: one writer at
 * each member, one put after the other, asked again after RETRY_MS.
 *   gap HOST:PORT,HOST:PORT,... MILLISECONDS
 * Prints the gap in ms and the count of acknowledged puts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grpc/grpc.h"
#include "proto/rpc.pb-c.h"

enum { WRITERS_MAX = 16, RETRY_MS = 100, PAUSE_MS = 5, DIAL_MS = 200 };

struct writer {
    struct grpc_channel *channel;
    struct timer *pause; /* after a refusal, so as not to storm */
    int number;
    uint64_t count;
};

static struct {
    struct loop *loop;
    struct writer writers[WRITERS_MAX];
    int writer_count;
    uint64_t last_ns, gap_ns, acked;
} gap;

static void put(void *ctx);

static void on_message(void *ctx, struct slice message)
{
}

static void on_status(void *ctx, enum grpc_code code, const char *text)
{
    struct writer *w = ctx;
    uint64_t now = loop_now_ns(gap.loop);
    if (code != GRPC_OK) {
        timer_start(w->pause, PAUSE_MS, 0);
        return;
    }
    uint64_t since = now - gap.last_ns;
    if (gap.acked++ > 0 && since > gap.gap_ns) {
        gap.gap_ns = since;
    }
    gap.last_ns = now;
    timer_start(w->pause, 0, 0);
}

static void put(void *ctx)
{
    static const struct grpc_client_handler handler = {on_message, on_status};
    struct writer *w = ctx;
    char key[48];
    int n = snprintf(key, sizeof key, "gap/%d/%lu", w->number,
                     (unsigned long)(w->count++ % 1000));
    Pb__PutRequest rq = PB__PUT_REQUEST__INIT;
    rq.key = (ProtobufCBinaryData){(size_t)n, (uint8_t *)key};
    rq.value = rq.key;
    struct grpc_client_call *c = grpc_client_start(
        w->channel, "/etcdserverpb.KV/Put", NULL, RETRY_MS, &handler, w);
    grpc_client_send(c, &rq.base);
    grpc_client_half_close(c);
}

static void end(void *ctx)
{
    loop_stop(gap.loop);
}

static int add_writer(const char *address)
{
    struct url url;
    char text[512];
    snprintf(text, sizeof text, "http://%s", address);
    if (gap.writer_count == WRITERS_MAX || url_parse(text, &url) != 0) {
        fprintf(stderr, "gap: bad address %s\n", address);
        return 1;
    }
    struct writer *w = &gap.writers[gap.writer_count];
    w->number = gap.writer_count++;
    w->channel = grpc_channel_new(gap.loop, &url.address, DIAL_MS);
    w->pause = timer_new(gap.loop, put, w);
    timer_start(w->pause, 0, 0);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: gap HOST:PORT,HOST:PORT,... MILLISECONDS\n", stderr);
        return 2;
    }
    loop_new(&gap.loop);
    for (char *rest, *it = strtok_r(argv[1], ",", &rest); it;
         it = strtok_r(NULL, ",", &rest)) {
        if (add_writer(it)) {
            return 2;
        }
    }
    struct timer *t = timer_new(gap.loop, end, NULL);
    timer_start(t, strtoull(argv[2], NULL, 10), 0);
    loop_run(gap.loop);
    uint64_t tail = loop_now_ns(gap.loop) - gap.last_ns;
    if (gap.acked == 0 || tail > gap.gap_ns) {
        gap.gap_ns = tail; /* still nobody */
    }
    printf("%.1f %lu\n", (double)gap.gap_ns / 1e6, (unsigned long)gap.acked);
    return 0;
}
