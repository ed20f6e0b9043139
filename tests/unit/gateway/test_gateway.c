/* The gateway against a gRPC server of a few methods, in one process. */
#include "../test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "gateway/gateway.h"
#include "proto/rpc.pb-c.h"

enum { MESSAGE_MAX = 4096, GUARD_MS = 20000, FLOOD_MESSAGES = 2000 };

struct fixture {
    struct loop *loop;
    struct grpc_server *server;
    struct gateway *gateway;
    struct timer *guard;
    struct grpc_call *held;
    int ends;      /* of calls of the server */
    int half_ends; /* the client of a stream had no more to say */
    int flooded;   /* messages sent by the flood so far */
    char metadata[256];
    uint64_t deadline_ns;
};

static struct fixture *fixture;

struct answer {
    struct gateway_call *call;
    int status;
    bool is_stream;
    int heads, ends;
    char headers[512];
    struct buf body;
};

/* ---- the server ---- */

static void note_metadata(struct grpc_call *c)
{
    static const char *const keys[] = {"authorization",
                                       "grpcgateway-accept",
                                       "grpcgateway-authorization",
                                       "x-y",
                                       "te",
                                       "host"};
    fixture->metadata[0] = '\0';
    size_t n = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct slice v = grpc_call_metadata(c, keys[i]);
        if (v.data) {
            n += (size_t)snprintf(fixture->metadata + n,
                                  sizeof fixture->metadata - n, "%s=%.*s;",
                                  keys[i], (int)v.size, (const char *)v.data);
        }
    }
}

/* An echo of sorts: the key comes back in a pair, its length as count. */
static void m_range(struct grpc_call *c, struct slice m)
{
    note_metadata(c);
    fixture->deadline_ns = grpc_call_deadline_ns(c);
    Pb__RangeRequest *rq = grpc_unpack(c, &pb__range_request__descriptor, m);
    if (rq == NULL) {
        return;
    }
    Pb__KeyValue kv = PB__KEY_VALUE__INIT;
    Pb__KeyValue *kvs[] = {&kv};
    Pb__RangeResponse r = PB__RANGE_RESPONSE__INIT;
    kv.key = rq->key;
    r.n_kvs = 1;
    r.kvs = kvs;
    r.count = (int64_t)rq->key.len;
    grpc_reply(c, &r.base);
}

static void m_put(struct grpc_call *c, struct slice m)
{
    grpc_finish(c, (enum grpc_code)m.data[m.size - 1], "as \"you\" said");
}

/* Holds; the test answers or not. */
static void m_delete(struct grpc_call *c, struct slice m)
{
    fixture->held = c;
}

static void m_watch(struct grpc_call *c, struct slice m)
{
    fixture->held = c;
    Pb__WatchResponse r = PB__WATCH_RESPONSE__INIT;
    r.created = true;
    r.watch_id = (int64_t)m.size;
    grpc_send(c, &r.base);
}

static void m_watch_half(struct grpc_call *c)
{
    fixture->half_ends++;
}

static void m_keep_alive(struct grpc_call *c, struct slice m)
{
    Pb__LeaseKeepAliveResponse r = PB__LEASE_KEEP_ALIVE_RESPONSE__INIT;
    r.ttl = 5;
    grpc_send(c, &r.base);
}

static void m_keep_alive_half(struct grpc_call *c)
{
    grpc_finish(c, GRPC_OK, NULL);
}

static void flood(struct grpc_call *c)
{
    uint8_t blob[8192] = {0};
    Pb__SnapshotResponse r = PB__SNAPSHOT_RESPONSE__INIT;
    r.blob = (ProtobufCBinaryData){sizeof blob, blob};
    while (fixture->flooded < FLOOD_MESSAGES) {
        grpc_send(c, &r.base);
        fixture->flooded++;
        if (grpc_call_queued(c) > 65536) {
            grpc_call_on_drain(c, 32768, flood);
            return;
        }
    }
    grpc_finish(c, GRPC_OK, NULL);
}

static void m_snapshot(struct grpc_call *c, struct slice m)
{
    flood(c);
}

static void m_end(struct grpc_call *c)
{
    fixture->ends++;
    if (fixture->held == c) {
        fixture->held = NULL;
    }
}

static const struct grpc_method methods[] = {
    {"/etcdserverpb.KV/Range", GRPC_UNARY, m_range, NULL, m_end, NULL},
    {"/etcdserverpb.KV/Put", GRPC_UNARY, m_put, NULL, m_end, NULL},
    {"/etcdserverpb.KV/DeleteRange", GRPC_UNARY, m_delete, NULL, m_end, NULL},
    {"/etcdserverpb.Watch/Watch", GRPC_BIDI_STREAM, m_watch, m_watch_half,
     m_end, NULL},
    {"/etcdserverpb.Lease/LeaseKeepAlive", GRPC_BIDI_STREAM, m_keep_alive,
     m_keep_alive_half, m_end, NULL},
    {"/etcdserverpb.Maintenance/Snapshot", GRPC_SERVER_STREAM, m_snapshot, NULL,
     m_end, NULL},
};

/* ---- the answers ---- */

static void on_head(void *ctx, int status, const char *const *headers,
                    bool is_stream)
{
    struct answer *a = ctx;
    a->heads++;
    a->status = status;
    a->is_stream = is_stream;
    size_t n = 0;
    for (size_t i = 0; headers[i]; i += 2) {
        n += (size_t)snprintf(a->headers + n, sizeof a->headers - n, "%s: %s\n",
                              headers[i], headers[i + 1]);
    }
}

static void on_body(void *ctx, struct slice data)
{
    struct answer *a = ctx;
    assert_int_equal(a->heads, 1);
    buf_append_slice(&a->body, data);
}

static void on_end(void *ctx)
{
    struct answer *a = ctx;
    a->ends++;
    a->call = NULL;
    uv_stop(loop_uv(fixture->loop));
}

static const struct gateway_handler handler = {on_head, on_body, on_end};

/* ---- the tests' tools ---- */

static void on_guard(void *ctx)
{
    fail_msg("nothing happens");
}

static void turn(void)
{
    uv_run(loop_uv(fixture->loop), UV_RUN_ONCE);
}

static const char *const no_headers[] = {NULL};

static void begin(struct answer *a, const char *method, const char *path,
                  const char *const *headers)
{
    *a = (struct answer){.body = BUF_INIT(64 << 20)};
    a->call =
        gateway_start(fixture->gateway, method, path, headers, &handler, a);
}

/* All of a request that ends; its body and a 0 behind it. */
static const char *ask(struct answer *a, const char *path, const char *text,
                       const char *const *headers)
{
    begin(a, "POST", path, headers);
    gateway_body(a->call, slice_str(text));
    gateway_body_end(a->call);
    while (a->ends == 0) {
        turn();
    }
    assert_int_equal(a->heads, 1);
    assert_int_equal(a->ends, 1);
    buf_append_byte(&a->body, 0);
    return (const char *)a->body.data;
}

static void done(struct answer *a)
{
    buf_release(&a->body);
}

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof *f);
    fixture = f;
    assert_int_equal(loop_new(&f->loop), 0);
    f->guard = timer_new(f->loop, on_guard, NULL);
    timer_start(f->guard, GUARD_MS, 0);
    struct grpc_server_config sc = {
        .message_bytes_max = MESSAGE_MAX,
        .concurrent_streams_max = UINT32_MAX,
        .methods = methods,
        .method_count = sizeof methods / sizeof *methods,
    };
    f->server = grpc_server_new(f->loop, &sc);
    struct gateway_config gc = {
        .loop = f->loop, .server = f->server, .message_bytes_max = MESSAGE_MAX};
    f->gateway = gateway_new(&gc);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = fixture;
    gateway_free(f->gateway);
    grpc_server_free(f->server);
    timer_free(f->guard);
    loop_free(f->loop);
    free(f);
    return 0;
}

/* ---- unary ---- */

static void unary(void **state)
{
    struct answer a;
    assert_string_equal(
        ask(&a, "/v3/kv/range", "{\"key\":\"Zm9v\"} more", no_headers),
        "{\"kvs\":[{\"key\":\"Zm9v\"}],\"count\":\"3\"}");
    assert_int_equal(a.status, 200);
    assert_false(a.is_stream);
    assert_string_equal(a.headers,
                        "Content-Type: application/json\n"
                        "Grpc-Metadata-Content-Type: application/grpc\n");
    done(&a);
    assert_string_equal(ask(&a, "/v3/kv/range", "", no_headers),
                        "{\"kvs\":[{}]}");
    done(&a);
    assert_int_equal(fixture->ends, 2);
}

static void metadata(void **state)
{
    static const char *const headers[] = {"Authorization",
                                          "tok.1",
                                          "Accept",
                                          "*/*",
                                          "Grpc-Metadata-X-Y",
                                          "z",
                                          "Grpc-Metadata-TE",
                                          "no",
                                          "Grpc-Metadata-Host",
                                          "no",
                                          "Grpc-Metadata-a b",
                                          "no",
                                          "Connection",
                                          "close",
                                          "grpc-timeout",
                                          "5S",
                                          NULL};
    struct answer a;
    ask(&a, "/v3/kv/range", "{}", headers);
    assert_int_equal(a.status, 200);
    assert_string_equal(fixture->metadata,
                        "authorization=tok.1;grpcgateway-accept=*/*;"
                        "grpcgateway-authorization=tok.1;x-y=z;");
    assert_true(fixture->deadline_ns > 0);
    done(&a);
    ask(&a, "/v3/kv/range", "{}", no_headers);
    assert_string_equal(fixture->metadata, "");
    assert_true(fixture->deadline_ns == 0);
    done(&a);
}

/* More headers than a call may carry: the first ones go. */
static void many_headers(void **state)
{
    const char *headers[201];
    char names[100][32];
    for (int i = 0; i < 100; i++) {
        snprintf(names[i], sizeof names[i], "Grpc-Metadata-h%d", i);
        headers[2 * i] = names[i];
        headers[2 * i + 1] = "v";
    }
    headers[200] = NULL;
    struct answer a;
    ask(&a, "/v3/kv/range", "{}", headers);
    assert_int_equal(a.status, 200);
    done(&a);
}

static void statuses(void **state)
{
    static const int http[] = {0,   499, 500, 400, 504, 404, 409, 403, 429,
                               400, 409, 400, 501, 500, 503, 500, 401};
    for (int code = 1; code <= 16; code++) {
        char request[64], want[128];
        /* the last byte of the message is what m_put looks at */
        snprintf(request, sizeof request, "{\"lease\":%d}", code);
        snprintf(want, sizeof want,
                 "{\"code\":%d,\"message\":\"as \\\"you\\\" said\"}", code);
        struct answer a;
        assert_string_equal(ask(&a, "/v3/kv/put", request, no_headers), want);
        assert_int_equal(a.status, http[code]);
        assert_string_equal(a.headers,
                            code == 16 ? "Content-Type: application/json\n"
                                         "WWW-Authenticate: as \"you\" said\n"
                                       : "Content-Type: application/json\n");
        done(&a);
    }
}

static void refused_at_once(void **state)
{
    static const struct {
        const char *method, *path, *timeout, *body;
        int status;
        const char *answer;
    } rows[] = {
        {"GET", "/v3/kv/range", NULL, "", 501,
         "{\"code\":12,\"message\":\"Method Not Allowed\"}"},
        {"POST", "/v3/kv/nope", NULL, "{}", 404,
         "{\"code\":5,\"message\":\"Not Found\"}"},
        {"POST", "/v3/kv/range", "5", "{}", 400,
         "{\"code\":3,\"message\":\"invalid grpc-timeout: 5\"}"},
        {"POST", "/v3/kv/range", "-1S", "{}", 400,
         "{\"code\":3,\"message\":\"invalid grpc-timeout: -1S\"}"},
        {"POST", "/v3/kv/range", "999u", "{}", 504,
         "{\"code\":4,\"message\":\"context deadline exceeded\"}"},
        {"POST", "/v3/kv/range", NULL, "{", 400,
         "{\"code\":3,\"message\":\"unexpected EOF\"}"},
        {"POST", "/v3/watch", NULL, "[", 400,
         "{\"code\":3,\"message\":\"unexpected EOF\"}"},
        {"POST", "/v3/watch", NULL, "{\"create_request\":1}", 400,
         "{\"code\":3,\"message\":\"proto: syntax error (line 1:19): "
         "unexpected token 1\"}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *headers[] = {rows[i].timeout ? "Grpc-Timeout" : NULL,
                                 rows[i].timeout, NULL};
        struct answer a;
        begin(&a, rows[i].method, rows[i].path, headers);
        gateway_body(a.call, slice_str(rows[i].body));
        assert_int_equal(a.heads, 0); /* told when the body is in */
        gateway_body_end(a.call);
        assert_int_equal(a.ends, 1);
        assert_int_equal(a.status, rows[i].status);
        buf_append_byte(&a.body, 0);
        assert_string_equal((char *)a.body.data, rows[i].answer);
        done(&a);
    }
    assert_int_equal(fixture->ends, 0); /* nobody was asked */
}

static void unimplemented(void **state)
{
    struct answer a;
    assert_string_equal(
        ask(&a, "/v3/lock/lock", "{}", no_headers),
        "{\"code\":12,\"message\":\"unknown service v3lockpb.Lock\"}");
    assert_int_equal(a.status, 501);
    done(&a);
}

static void too_large(void **state)
{
    char *text = mem_alloc(8 * MESSAGE_MAX);
    for (int is_huge = 0; is_huge < 2; is_huge++) {
        size_t size = (is_huge ? 7 : 2) * MESSAGE_MAX;
        memset(text, 'A', size);
        memcpy(text, "{\"key\":\"", 8);
        memcpy(text + size, "\"}", 3);
        struct answer a;
        ask(&a, "/v3/kv/range", text, no_headers);
        assert_int_equal(a.status, 429);
        assert_non_null(strstr((char *)a.body.data,
                               "\"code\":8,\"message\":\"grpc: received "
                               "message larger than max ("));
        done(&a);
    }
    free(text);
}

static void deadline(void **state)
{
    static const char *const headers[] = {"Grpc-Timeout", "30m", NULL};
    struct answer a;
    assert_string_equal(
        ask(&a, "/v3/kv/deleterange", "{}", headers),
        "{\"code\":4,\"message\":\"context deadline exceeded\"}");
    assert_int_equal(a.status, 504);
    done(&a);
}

static void cancel_unary(void **state)
{
    struct answer a;
    begin(&a, "POST", "/v3/kv/deleterange", no_headers);
    gateway_body_end(a.call);
    while (!fixture->held) {
        turn();
    }
    gateway_cancel(a.call);
    while (fixture->ends == 0) {
        turn();
    }
    assert_int_equal(a.heads + a.ends, 0);
}

/* ---- streams ---- */

static void watch(void **state)
{
    static const char body[] = "{\"create_request\":{}} "
                               "{\"cancel_request\":{\"watch_id\":\"1\"}}[1";
    struct answer a;
    begin(&a, "POST", "/v3/watch", no_headers);
    for (size_t i = 0; i < sizeof body - 1; i++) { /* a byte at a time */
        gateway_body(a.call, slice_of(body + i, 1));
    }
    gateway_body_end(a.call);
    while (fixture->half_ends == 0 || a.body.size < 80) {
        turn();
    }
    assert_int_equal(a.status, 200);
    assert_true(a.is_stream);
    assert_int_equal(a.ends, 0); /* the body's end is not the watch's */
    buf_append_byte(&a.body, 0);
    assert_string_equal((char *)a.body.data,
                        "{\"result\":{\"watch_id\":\"2\",\"created\":true}}\n"
                        "{\"result\":{\"watch_id\":\"4\",\"created\":true}}\n");
    a.body.size = 0;
    grpc_finish(fixture->held, GRPC_UNAVAILABLE, "etcdserver: no leader");
    while (a.ends == 0) {
        turn();
    }
    buf_append_byte(&a.body, 0);
    assert_string_equal((char *)a.body.data,
                        "{\"error\":{\"code\":14,\"message\":\"etcdserver: no "
                        "leader\"}}\n");
    done(&a);
}

static void cancel_stream(void **state)
{
    struct answer a;
    begin(&a, "POST", "/v3/watch", no_headers);
    gateway_body(a.call, slice_str("{\"create_request\":{}}"));
    while (a.heads == 0) {
        turn();
    }
    gateway_cancel(a.call);
    while (fixture->ends == 0) {
        turn();
    }
    assert_int_equal(a.ends, 0);
    done(&a);
}

static void keep_alive(void **state)
{
    struct answer a;
    assert_string_equal(
        ask(&a, "/v3/lease/keepalive", "{\"ID\":1}{\"ID\":2}", no_headers),
        "{\"result\":{\"TTL\":\"5\"}}\n"
        "{\"result\":{\"TTL\":\"5\"}}\n");
    done(&a);
    static const char *const nothing[] = {"", "{\"ID\":[}", " \n"};
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(
            ask(&a, "/v3/lease/keepalive", nothing[i], no_headers), "");
        assert_int_equal(a.status, 200);
        done(&a);
    }
}

static void error_before_the_first_message(void **state)
{
    struct answer a;
    assert_string_equal(ask(&a, "/v3/election/observe", "{}", no_headers),
                        "{\"error\":{\"code\":12,\"message\":\"unknown service "
                        "v3electionpb.Election\"}}");
    assert_int_equal(a.status, 501);
    assert_false(a.is_stream);
    done(&a);
}

/* A reader that stops: what is in flight stays bounded, nothing is lost. */
static void slow_reader(void **state)
{
    struct answer a;
    begin(&a, "POST", "/v3/maintenance/snapshot", no_headers);
    gateway_body_end(a.call);
    while (a.heads == 0) {
        turn();
    }
    gateway_pause(a.call, true);
    size_t before;
    int flooded, still = 0;
    do { /* until nothing moves for a while */
        before = a.body.size;
        flooded = fixture->flooded;
        for (int i = 0; i < 50; i++) {
            uv_run(loop_uv(fixture->loop), UV_RUN_NOWAIT);
        }
        still = before == a.body.size && flooded == fixture->flooded ? still + 1
                                                                     : 0;
    } while (still < 3);
    assert_in_range(fixture->flooded, 1, FLOOD_MESSAGES / 2);
    assert_in_range(a.body.size, 0, 4 << 20);
    gateway_pause(a.call, false);
    while (a.ends == 0) {
        turn();
    }
    assert_int_equal(fixture->flooded, FLOOD_MESSAGES);
    size_t lines = 0;
    for (size_t i = 0; i < a.body.size; i++) {
        lines += a.body.data[i] == '\n';
    }
    assert_int_equal(lines, FLOOD_MESSAGES);
    done(&a);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(unary),
        T(metadata),
        T(many_headers),
        T(statuses),
        T(refused_at_once),
        T(unimplemented),
        T(too_large),
        T(deadline),
        T(cancel_unary),
        T(watch),
        T(cancel_stream),
        T(keep_alive),
        T(error_before_the_first_message),
        T(slow_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
