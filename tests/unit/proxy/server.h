/*
 * Stands in for members, with sockets: servers on loopback whose calls are
 * answered by the test.
 */
#ifndef TESTS_PROXY_SERVER_H
#define TESTS_PROXY_SERVER_H

#include "../test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "proto/proto.h"
#include "proxy/upstream.h"

enum { SERVERS = 2, METHODS_MAX = 8 };

struct server {
    struct listener *listener;
    struct grpc_server *grpc; /* NULL: gone */
    struct grpc_method methods[METHODS_MAX];
    struct net_address address;
    int calls;    /* messages that came, */
    int accepted; /* connections, ever */
};

static struct loop *loop;
static struct timer *guard;
static bool timed_out;
static struct server servers[SERVERS];

/* What a message is answered. */
static void (*serve)(struct server *s, struct grpc_call *call,
                     struct slice message);

static void server_message(struct grpc_call *call, struct slice message)
{
    struct server *s = grpc_call_user(call);
    s->calls++;
    serve(s, call, message);
}

static void server_half_close(struct grpc_call *call)
{
    grpc_finish(call, GRPC_OK, NULL);
}

static void server_accepted(void *ctx, struct conn *c)
{
    struct server *s = ctx;
    s->accepted++;
    grpc_server_accept(s->grpc, c);
}

static void on_guard(void *ctx)
{
    timed_out = true;
}

/* Runs the loop until then. */
#define WAIT_FOR(condition)                     \
    do {                                        \
        timer_start(guard, 20000, 0);           \
        while (!(condition) && !timed_out) {    \
            uv_run(loop_uv(loop), UV_RUN_ONCE); \
        }                                       \
        timer_stop(guard);                      \
        assert_false(timed_out);                \
    } while (0)

static void server_open(struct server *s, const struct grpc_method *methods,
                        uint32_t count)
{
    struct net_address any = {.host = "127.0.0.1"};
    *s = (struct server){.address = any};
    for (uint32_t i = 0; i < count; i++) {
        s->methods[i] = methods[i];
        s->methods[i].on_message = server_message;
        if (methods[i].kind == GRPC_BIDI_STREAM) {
            s->methods[i].on_half_close = server_half_close;
        }
        s->methods[i].user = s;
    }
    struct grpc_server_config config = {
        .message_bytes_max = 1 << 20,
        .concurrent_streams_max = UINT32_MAX,
        .keepalive_min_time_ms = 5000,
        .keepalive_interval_ms = 7200000,
        .keepalive_timeout_ms = 20000,
        .methods = s->methods,
        .method_count = count,
    };
    s->grpc = grpc_server_new(loop, &config);
    assert_int_equal(
        listener_open(loop, &any, server_accepted, s, &s->listener), 0);
    s->address.port = listener_port(s->listener);
}

static void server_stopped(void *ctx)
{
    *(bool *)ctx = true;
}

/* As a member that ends. */
static inline void server_stop(struct server *s)
{
    bool is_stopped = false;
    listener_close(s->listener);
    s->listener = NULL;
    grpc_server_stop(s->grpc, GRPC_UNAVAILABLE, "etcdserver: server stopped",
                     server_stopped, &is_stopped);
    WAIT_FOR(is_stopped);
    grpc_server_free(s->grpc);
    s->grpc = NULL;
}

static inline uint32_t connections_of(const struct server *s)
{
    struct grpc_server_stats stats;
    grpc_server_get_stats(s->grpc, &stats);
    return stats.connection_count;
}

static void servers_open(const struct grpc_method *methods, uint32_t count)
{
    assert_int_equal(loop_new(&loop), 0);
    timed_out = false;
    guard = timer_new(loop, on_guard, NULL);
    for (int i = 0; i < SERVERS; i++) {
        server_open(&servers[i], methods, count);
    }
}

static void servers_close(void)
{
    for (int i = 0; i < SERVERS; i++) {
        listener_close(servers[i].listener);
        if (servers[i].grpc) {
            grpc_server_free(servers[i].grpc);
        }
    }
    timer_free(guard);
    loop_free(loop);
}

/* In front of the first server alone. */
static struct upstream *upstream_to_first(void)
{
    struct upstream_config config = {.loop = loop, .dial_timeout_ms = 2000};
    struct upstream *u = NULL;
    struct buf why = BUF_INIT(4096);
    char text[64];
    snprintf(text, sizeof text, "127.0.0.1:%u", servers[0].address.port);
    assert_int_equal(upstream_new(&config, text, &u, &why), 0);
    buf_release(&why);
    return u;
}

#endif
