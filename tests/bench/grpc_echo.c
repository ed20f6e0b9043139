/*
 * What a request costs before any service is behind it: a gRPC server that
 * answers each unary call with its own message, and streams likewise.
 *   grpc_echo PORT
 * Load: h2load -t1 -c16 -m32 -H 'content-type: application/grpc'
 *       -H 'te: trailers' -d MESSAGE http://127.0.0.1:PORT/bench.Echo/Unary
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "grpc/grpc.h"

static struct grpc_server *server;

static void on_unary(struct grpc_call *c, struct slice message)
{
    grpc_send_bytes(c, message, NULL);
    grpc_finish(c, GRPC_OK, NULL);
}

static void on_stream(struct grpc_call *c, struct slice message)
{
    grpc_send_bytes(c, message, NULL);
}

static void on_half_close(struct grpc_call *c)
{
    grpc_finish(c, GRPC_OK, NULL);
}

static const struct grpc_method methods[] = {
    {.path = "/bench.Echo/Unary", .kind = GRPC_UNARY, .on_message = on_unary},
    {.path = "/bench.Echo/Stream",
     .kind = GRPC_BIDI_STREAM,
     .on_message = on_stream,
     .on_half_close = on_half_close},
};

static void on_accepted(void *ctx, struct conn *c)
{
    grpc_server_accept(server, c);
}

static void on_signal(uv_signal_t *h, int number)
{
    loop_stop(h->data);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    struct loop *l = NULL;
    struct listener *li = NULL;
    struct net_address a = {.host = "127.0.0.1",
                            .port = (uint16_t)atoi(argv[1])};
    if (loop_new(&l) != 0 || listener_open(l, &a, on_accepted, NULL, &li)) {
        perror("listen");
        return 1;
    }
    struct grpc_server_config config = {
        .message_bytes_max = 2 << 20,
        .concurrent_streams_max = UINT32_MAX,
        .keepalive_min_time_ms = 5000,
        .keepalive_interval_ms = 7200000,
        .keepalive_timeout_ms = 20000,
        .methods = methods,
        .method_count = sizeof methods / sizeof *methods,
    };
    server = grpc_server_new(l, &config);
    uv_signal_t stop;
    uv_signal_init(loop_uv(l), &stop);
    stop.data = l;
    uv_signal_start(&stop, on_signal, SIGTERM);
    loop_run(l);
    uv_close((uv_handle_t *)&stop, NULL);
    listener_close(li);
    grpc_server_free(server);
    loop_free(l);
    return 0;
}
