/*
 * Puts keys as fast as a server takes them: load HOST:PORT COUNT SIZE
 * [FIRST [IN_FLIGHT [ordered]]]. Keys are k%09d, spread over all numbers, or
 * these in order. Fails when a put fails.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "grpc/grpc.h"
#include "proto/rpc.pb-c.h"

static struct {
    struct loop *loop;
    struct grpc_channel *channel;
    uint64_t next, last, done;
    size_t value_size;
    uint8_t *value;
    bool ordered;
    int status;
} load;

static void start_one(void);

static void on_message(void *ctx, struct slice message)
{
}

static void on_status(void *ctx, enum grpc_code code, const char *text)
{
    if (load.status) {
        return; /* said already */
    }
    if (code != GRPC_OK) {
        fprintf(stderr, "load: %s: %s\n", grpc_code_name(code), text);
        load.status = 1;
        loop_stop(load.loop);
        return;
    }
    if (++load.done == load.last) {
        loop_stop(load.loop);
    } else {
        start_one();
    }
}

static void start_one(void)
{
    static const struct grpc_client_handler handler = {on_message, on_status};
    if (load.next >= load.last) {
        return;
    }
    char key[32];
    uint64_t number = load.next++;
    if (!load.ordered) {
        number = number * 2654435761u % 1000000007u;
    }
    int n = snprintf(key, sizeof key, "k%09lu", (unsigned long)number);
    Pb__PutRequest put = PB__PUT_REQUEST__INIT;
    put.key = (ProtobufCBinaryData){(size_t)n, (uint8_t *)key};
    put.value = (ProtobufCBinaryData){load.value_size, load.value};
    struct grpc_client_call *c = grpc_client_start(
        load.channel, "/etcdserverpb.KV/Put", NULL, 0, &handler, NULL);
    grpc_client_send(c, &put.base);
    grpc_client_half_close(c);
}

int main(int argc, char **argv)
{
    struct url url;
    char text[512];
    if (argc < 4) {
        fputs("usage: load HOST:PORT COUNT SIZE [FIRST [IN_FLIGHT "
              "[ordered]]]\n",
              stderr);
        return 2;
    }
    snprintf(text, sizeof text, "http://%s", argv[1]);
    if (url_parse(text, &url) != 0) {
        fprintf(stderr, "load: bad address %s\n", argv[1]);
        return 2;
    }
    loop_new(&load.loop);
    load.channel = grpc_channel_new(load.loop, &url.address, 5000);
    uint64_t first = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
    int in_flight = argc > 5 ? atoi(argv[5]) : 256;
    load.ordered = argc > 6 && strcmp(argv[6], "ordered") == 0;
    load.next = first;
    load.last = first + strtoull(argv[2], NULL, 10);
    load.done = first;
    load.value_size = strtoull(argv[3], NULL, 10);
    load.value = mem_zalloc(load.value_size);
    memset(load.value, 'v', load.value_size);
    for (int i = 0; i < in_flight; i++) {
        start_one();
    }
    loop_run(load.loop);
    grpc_channel_free(load.channel);
    return load.status;
}
