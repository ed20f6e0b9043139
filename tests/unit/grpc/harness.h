/*
 * A server with a few methods on loopback, and a bare HTTP/2 client that
 * may send what no gRPC client would.
 */
#ifndef TESTS_GRPC_HARNESS_H
#define TESTS_GRPC_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/endian.h"
#include "base/err.h"
#include "grpc/grpc.h"
#include "h2/h2.h"

enum { MESSAGE_MAX = 2 << 20 };

struct exchange {
    struct h2_stream h2; /* first */
    struct fixture *f;
    struct buf body;
    int heads, http_status, grpc_status, closed;
    bool was_trailers_only;
    uint32_t code;
    char message[512];
    char type[64];
    char encoding[16];
};

struct fixture {
    struct loop *loop;
    struct listener *listener;
    struct grpc_server *server;
    struct timer *guard;
    struct conn *conn;     /* the bare client's */
    struct conn *accepted; /* the server's last one */
    struct h2_session *h2;
    int open; /* exchanges not closed */
    int ended, messages, drains, handled;
    enum grpc_code handled_code;
    struct grpc_call *held; /* by /t.T/Hold and the streams */
    struct slice kept;
    bool refuse;
    bool timed_out;
    bool lost; /* the bare client's connection is gone */
    bool drained;
    bool pings_on_data, is_pinging;
    int pings; /* sent for that */
    int goaways;
    char goaway_debug[64];
};

static struct fixture *fixture;

/* ---- the methods ---- */

static void m_echo(struct grpc_call *c, struct slice m)
{
    fixture->messages++;
    grpc_send_bytes(c, m, NULL);
    grpc_finish(c, GRPC_OK, NULL);
}

static void m_fail(struct grpc_call *c, struct slice m)
{
    fixture->messages++;
    grpc_finish(c, GRPC_NOT_FOUND, "etcdserver: \"100%\" gr\xc3\xbc\xc3\x9f");
}

static void m_hold(struct grpc_call *c, struct slice m)
{
    fixture->messages++;
    fixture->held = c;
    fixture->kept = grpc_call_keep_message(c);
}

static void m_chat(struct grpc_call *c, struct slice m)
{
    fixture->messages++;
    fixture->held = c;
    grpc_send_bytes(c, m, NULL);
}

static void m_chat_end(struct grpc_call *c)
{
    grpc_finish(c, GRPC_OK, NULL);
}

static void m_flood(struct grpc_call *c, struct slice m)
{
    struct bytes *b = bytes_new(1 << 20);
    memset(b->data, 'f', b->size);
    fixture->held = c;
    for (int i = 0; i < 8; i++) {
        grpc_send_bytes(c, slice_of("12345", 5), b);
    }
    assert_int_equal(atomic_load(&b->refs), 9);
    bytes_unref(b);
}

/* What a test wants to do with a message. */
static void (*custom)(struct grpc_call *c, struct slice m);

static void m_custom(struct grpc_call *c, struct slice m)
{
    custom(c, m);
}

static void m_end(struct grpc_call *c)
{
    fixture->ended++;
    if (fixture->held == c) {
        fixture->held = NULL;
    }
}

static const struct grpc_method methods[] = {
    {"/t.T/Echo", GRPC_UNARY, m_echo, NULL, m_end, NULL},
    {"/t.T/Fail", GRPC_UNARY, m_fail, NULL, m_end, NULL},
    {"/t.T/Hold", GRPC_UNARY, m_hold, NULL, m_end, NULL},
    {"/t.T/Chat", GRPC_BIDI_STREAM, m_chat, m_chat_end, m_end, NULL},
    {"/t.T/Watch", GRPC_BIDI_STREAM, m_chat, NULL, m_end, NULL},
    {"/t.T/Custom", GRPC_UNARY, m_custom, NULL, m_end, NULL},
    {"/t.T/CustomStream", GRPC_BIDI_STREAM, m_custom, m_chat_end, m_end, NULL},
    {"/t.T/Flood", GRPC_SERVER_STREAM, m_flood, NULL, m_end, NULL},
};

static bool intercept(void *ctx, struct grpc_call *c)
{
    if (fixture->refuse) {
        grpc_finish(c, GRPC_FAILED_PRECONDITION, "refused");
    }
    return !fixture->refuse;
}

static void on_handled(void *ctx, const struct grpc_method *m,
                       enum grpc_code code, uint64_t took_ns)
{
    fixture->handled++;
    fixture->handled_code = code;
}

/* ---- the bare client ---- */

static void copy_text(char *to, size_t room, struct slice s)
{
    snprintf(to, room, "%.*s", (int)s.size, s.data);
}

static void x_header(struct h2_stream *st, struct slice n, struct slice v)
{
    struct exchange *x = container_of(st, struct exchange, h2);
    char text[32];
    copy_text(text, sizeof text, v);
    if (slice_eq_str(n, ":status")) {
        x->http_status = atoi(text);
    } else if (slice_eq_str(n, "grpc-status")) {
        x->grpc_status = atoi(text);
        x->was_trailers_only = x->heads == 0;
    } else if (slice_eq_str(n, "grpc-message")) {
        copy_text(x->message, sizeof x->message, v);
    } else if (slice_eq_str(n, "content-type")) {
        copy_text(x->type, sizeof x->type, v);
    } else if (slice_eq_str(n, "grpc-encoding")) {
        copy_text(x->encoding, sizeof x->encoding, v);
    }
}

static void x_head(struct h2_stream *st, bool is_trailers)
{
    container_of(st, struct exchange, h2)->heads++;
}

static void x_data(struct h2_stream *st, struct slice data)
{
    struct exchange *x = container_of(st, struct exchange, h2);
    buf_append_slice(&x->body, data);
    if (x->f->pings_on_data && !x->f->is_pinging) {
        h2_session_ping(st->session);
        x->f->is_pinging = true;
        x->f->pings++;
    }
}

static void x_end(struct h2_stream *st)
{
}

static void x_close(struct h2_stream *st, uint32_t code)
{
    struct exchange *x = container_of(st, struct exchange, h2);
    x->closed++;
    x->code = code;
    x->f->open--;
}

static void x_output(void *ctx)
{
    conn_want_flush(((struct fixture *)ctx)->conn);
}

static void x_ping(void *ctx, bool is_ack)
{
    ((struct fixture *)ctx)->is_pinging &= !is_ack;
}

static void x_goaway(void *ctx, uint32_t code, struct slice debug)
{
    struct fixture *f = ctx;
    f->goaways++;
    copy_text(f->goaway_debug, sizeof f->goaway_debug, debug);
}

static const struct h2_events x_events = {
    .on_header = x_header,
    .on_head = x_head,
    .on_data = x_data,
    .on_end = x_end,
    .on_close = x_close,
    .on_output = x_output,
    .on_ping = x_ping,
    .on_goaway = x_goaway,
};

static void c_data(void *ctx, struct slice data)
{
    struct fixture *f = ctx;
    h2_session_recv(f->h2, data);
}

static bool c_flush(void *ctx, struct buf *out)
{
    return h2_session_send(((struct fixture *)ctx)->h2, out, 1 << 20);
}

static void c_closed(void *ctx, int err)
{
    struct fixture *f = ctx;
    f->conn = NULL;
    f->lost = true;
    h2_session_free(f->h2);
    f->h2 = NULL;
}

static const struct conn_handler c_handler = {
    .on_data = c_data, .on_flush = c_flush, .on_closed = c_closed};

static void on_accepted(void *ctx, struct conn *c)
{
    struct fixture *f = ctx;
    f->accepted = c;
    grpc_server_accept(f->server, c);
}

static void on_dialed(void *ctx, struct conn *c, int err)
{
    struct fixture *f = ctx;
    assert_int_equal(err, 0);
    struct h2_config config = {.is_client = true,
                               .concurrent_streams_max = UINT32_MAX,
                               .events = &x_events,
                               .ctx = f};
    f->conn = c;
    f->h2 = h2_session_new(&config);
    conn_set_handler(c, &c_handler, f);
}

static void on_guard(void *ctx)
{
    struct fixture *f = ctx;
    f->timed_out = true;
}

/* Runs the loop until then. */
#define WAIT_FOR(f, condition)                       \
    do {                                             \
        timer_start((f)->guard, 20000, 0);           \
        while (!(condition) && !(f)->timed_out) {    \
            uv_run(loop_uv((f)->loop), UV_RUN_ONCE); \
        }                                            \
        timer_stop((f)->guard);                      \
        assert_false((f)->timed_out);                \
    } while (0)

/* Until every exchange is closed. */
static inline void run(struct fixture *f)
{
    WAIT_FOR(f, f->open == 0);
}

/* A few passes, without waiting for anything. */
static inline void spin(struct fixture *f)
{
    for (int i = 0; i < 20; i++) {
        uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    }
}

static void connect_bare(struct fixture *f)
{
    struct net_address a = {.host = "127.0.0.1",
                            .port = listener_port(f->listener)};
    f->lost = false;
    net_dial(f->loop, &a, 5000, on_dialed, f);
    WAIT_FOR(f, f->conn);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct net_address a = {.host = "127.0.0.1"};
    struct grpc_server_config config = {
        .message_bytes_max = MESSAGE_MAX,
        .concurrent_streams_max = UINT32_MAX,
        .keepalive_min_time_ms = 5000,
        .keepalive_interval_ms = 7200000,
        .keepalive_timeout_ms = 20000,
        .methods = methods,
        .method_count = sizeof methods / sizeof *methods,
        .intercept = intercept,
        .on_handled = on_handled,
    };
    fixture = f;
    assert_int_equal(loop_new(&f->loop), 0);
    f->server = grpc_server_new(f->loop, &config);
    assert_int_equal(listener_open(f->loop, &a, on_accepted, f, &f->listener),
                     0);
    f->guard = timer_new(f->loop, on_guard, f);
    connect_bare(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    listener_close(f->listener);
    timer_free(f->guard);
    grpc_server_free(f->server);
    loop_free(f->loop);
    free(f);
    return 0;
}

/* ---- requests ---- */

#define BASE ":method", "POST", ":scheme", "http", ":path", "/t.T/Echo"
#define TYPE "content-type", "application/grpc"

/* `headers`: name, value, ..., NULL. */
static void begin_with(struct fixture *f, struct exchange *x,
                       const char *const *headers)
{
    nghttp2_nv nv[24];
    size_t n = 0;
    *x = (struct exchange){
        .f = f, .grpc_status = -1, .body = BUF_INIT(64 << 20)};
    h2_stream_init(&x->h2);
    for (; headers[2 * n]; n++) {
        /* NO_COPY: else nghttp2 makes names lower case. */
        nv[n] = (nghttp2_nv){(uint8_t *)(uintptr_t)headers[2 * n],
                             (uint8_t *)(uintptr_t)headers[2 * n + 1],
                             strlen(headers[2 * n]), strlen(headers[2 * n + 1]),
                             NGHTTP2_NV_FLAG_NO_COPY_NAME};
    }
    assert_int_equal(h2_stream_request(&x->h2, f->h2, nv, n), 0);
    f->open++;
}

static inline void begin(struct fixture *f, struct exchange *x,
                         const char *path)
{
    const char *const headers[] = {
        ":method", "POST",         ":scheme",          "http", ":path",
        path,      "content-type", "application/grpc", "te",   "trailers",
        NULL};
    begin_with(f, x, headers);
}

static inline void body(struct exchange *x, const void *data, size_t size)
{
    struct h2_chunk *k = h2_chunk_new(NULL, size);
    memcpy(k->data, data, size);
    h2_stream_write(&x->h2, k);
}

static inline void message(struct exchange *x, uint8_t flag, const void *data,
                           size_t size)
{
    struct h2_chunk *k = h2_chunk_new(NULL, 5 + size);
    k->data[0] = flag;
    put_be32(k->data + 1, (uint32_t)size);
    memcpy(k->data + 5, data, size);
    h2_stream_write(&x->h2, k);
}

static inline void done(struct exchange *x)
{
    h2_stream_end(&x->h2, NULL, 0);
}

static inline void expect(struct exchange *x, int http, int status,
                          const char *text)
{
    assert_int_equal(x->closed, 1);
    assert_string_equal(x->message, text);
    assert_int_equal(x->grpc_status, status);
    assert_int_equal(x->http_status, http);
    buf_release(&x->body);
}

static inline void expect_echo(struct exchange *x, const void *data,
                               size_t size)
{
    assert_int_equal(x->body.size, 5 + size);
    assert_int_equal(x->body.data[0], 0);
    assert_int_equal(get_be32(x->body.data + 1), size);
    assert_memory_equal(x->body.data + 5, data, size);
    assert_false(x->was_trailers_only);
    assert_int_equal(x->heads, 2);
    assert_int_equal(x->code, NGHTTP2_NO_ERROR);
    expect(x, 200, 0, "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
