#include "harness.h"

#include <sys/resource.h>
#include <zlib.h>

static void expect_echo(struct exchange *x, const void *data, size_t size)
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

static void unary(void **state)
{
    struct fixture *f = *state;
    struct exchange x, y;
    begin(f, &x, "/t.T/Echo");
    message(&x, 0, "hello", 5);
    done(&x);
    begin(f, &y, "/t.T/Echo");
    message(&y, 0, "", 0); /* an empty message still has its prefix */
    done(&y);
    run(f);
    expect_echo(&x, "hello", 5);
    expect_echo(&y, "", 0);
    assert_string_equal(x.type, "application/grpc");
    begin(f, &x, "/t.T/Fail");
    message(&x, 0, "hello", 5);
    done(&x);
    run(f);
    assert_true(x.was_trailers_only);
    assert_int_equal(x.heads, 1);
    expect(&x, 200, 5, "etcdserver: \"100%25\" gr%C3%BC%C3%9F");
    assert_int_equal(f->ended, 3);
    assert_int_equal(f->handled, 3);
    assert_int_equal(f->handled_code, GRPC_NOT_FOUND);
    struct grpc_server_stats s;
    grpc_server_get_stats(f->server, &s);
    assert_int_equal(s.messages_received, 3);
    assert_int_equal(s.messages_sent, 2);
    assert_int_equal(s.bytes_sent, 5);
    assert_int_equal(s.connection_count, 1);
}

/* One byte a DATA frame, and one that is answered before its end. */
static void messages_in_pieces(void **state)
{
    struct fixture *f = *state;
    struct exchange x;
    const uint8_t wire[] = {0, 0, 0, 0, 3, 'a', 'b', 'c'};
    begin(f, &x, "/t.T/Echo");
    for (size_t i = 0; i < sizeof wire; i++) {
        body(&x, wire + i, 1);
        spin(f);
    }
    run(f); /* never half-closed: answered, then RST(NO_ERROR) */
    expect_echo(&x, "abc", 3);
    /* A second message on a unary call is ignored. */
    begin(f, &x, "/t.T/Echo");
    message(&x, 0, "one", 3);
    message(&x, 0, "two", 3);
    done(&x);
    run(f);
    expect_echo(&x, "one", 3);
    assert_int_equal(f->messages, 2);
}

static void sizes_at_the_limit(void **state)
{
    struct fixture *f = *state;
    static uint8_t big[MESSAGE_MAX + 1];
    for (int more = -1; more <= 1; more++) {
        struct exchange x;
        size_t size = (size_t)(MESSAGE_MAX + more);
        begin(f, &x, "/t.T/Echo");
        message(&x, 0, big, size);
        done(&x);
        run(f);
        if (more <= 0) {
            expect_echo(&x, big, size);
        } else {
            expect(&x, 200, 8,
                   "grpc: received message larger than max (2097153 vs. "
                   "2097152)");
        }
    }
}

static void requests_cut_short(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *text;
    } cases[] = {
        {"", 0, "EOF"},
        {"\0\0\0", 3, "EOF"},
        {"\0\0\0\0\5", 5, "unexpected EOF"},
        {"\0\0\0\0\5abc", 8, "unexpected EOF"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct exchange x;
        begin(f, &x, "/t.T/Echo");
        body(&x, cases[i].bytes, cases[i].size);
        done(&x);
        run(f);
        expect(&x, 200, 2, cases[i].text);
    }
    assert_int_equal(f->messages, 0);
    assert_int_equal(f->ended, 0);
}

static void unknown_names(void **state)
{
    struct fixture *f = *state;
    static const char *const cases[][2] = {
        {"/foo.Bar/Baz", "unknown service foo.Bar"},
        {"/t.T/Nope", "unknown method Nope for service t.T"},
        {"/t.T/", "unknown method  for service t.T"},
        {"/t.T/Echo?x=1", "unknown method Echo?x=1 for service t.T"},
        {"/a/b/c", "unknown service a/b"},
        {"/t.T", "malformed method name: \"/t.T\""},
        {"t.T/Echo", "malformed method name: \"t.T/Echo\""},
        {"", "malformed method name: \"\""},
        {"/", "malformed method name: \"/\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct exchange x;
        begin(f, &x, cases[i][0]);
        message(&x, 0, "hello", 5);
        done(&x);
        run(f);
        assert_true(x.was_trailers_only);
        expect(&x, 200, 12, cases[i][1]);
    }
}

struct head_case {
    const char *headers[14];
    int http, status;
    const char *text;
};

#define BASE ":method", "POST", ":scheme", "http", ":path", "/t.T/Echo"
#define TYPE "content-type", "application/grpc"

static void header_checks(void **state)
{
    struct fixture *f = *state;
    static const struct head_case cases[] = {
        {{BASE}, 415, 3, "invalid gRPC request content-type \"\""},
        {{BASE, "content-type", "text/plain"},
         415,
         3,
         "invalid gRPC request content-type \"text/plain\""},
        {{BASE, "content-type", "application/grpcx"},
         415,
         3,
         "invalid gRPC request content-type \"application/grpcx\""},
        {{BASE, "content-type", "Application/grpc"},
         415,
         3,
         "invalid gRPC request content-type \"Application/grpc\""},
        {{":method", "GET", ":path", "/t.T/Echo", TYPE},
         405,
         13,
         "Received a HEADERS frame with :method \"GET\" which should be "
         "POST"},
        {{":path", "/t.T/Echo", TYPE},
         405,
         13,
         "Received a HEADERS frame with :method \"\" which should be POST"},
        {{":method", "POST", TYPE}, 200, 12, "malformed method name: \"\""},
        {{BASE, TYPE, ":authority", "a", ":authority", "b"},
         400,
         13,
         "num values of :authority: 2, num values of host: 0, both must "
         "only have 1 value as per HTTP/2 spec"},
        {{BASE, TYPE, "grpc-timeout", "5x"},
         400,
         13,
         "malformed grpc-timeout: transport: timeout unit is not "
         "recognized: \"5x\""},
        {{BASE, TYPE, "grpc-timeout", "5"},
         400,
         13,
         "malformed grpc-timeout: transport: timeout string is too short: "
         "\"5\""},
        {{BASE, TYPE, "grpc-timeout", "123456789S"},
         400,
         13,
         "malformed grpc-timeout: transport: timeout string is too long: "
         "\"123456789S\""},
        {{BASE, TYPE, "grpc-timeout", "-1S"},
         400,
         13,
         "malformed grpc-timeout: strconv.ParseUint: parsing \"-1\": invalid "
         "syntax"},
        {{BASE, TYPE, "grpc-timeout", "0S"},
         200,
         4,
         "context deadline exceeded"},
        {{BASE, TYPE, "grpc-timeout", "1n"},
         200,
         4,
         "context deadline exceeded"},
        {{BASE, TYPE, "x-bin", "!!!!"},
         400,
         13,
         "malformed binary metadata \"!!!!\" in header \"x-bin\": illegal "
         "base64 data at input byte 0"},
        {{BASE, TYPE, "grpc-encoding", "snappy"},
         200,
         12,
         "grpc: Decompressor is not installed for grpc-encoding \"snappy\""},
        /* and what must pass */
        {{BASE, TYPE, ":authority", "a/b@c", "host", "d"}, 200, 0, ""},
        {{BASE, TYPE, "te", "gzip", "keep-alive", "1"}, 200, 0, ""},
        {{BASE, TYPE, "grpc-timeout", "99999999H"}, 200, 0, ""},
        {{BASE, TYPE, "x-bin", "YQ=="}, 200, 0, ""},
        {{BASE, TYPE, "x-bin", "YQ"}, 200, 0, ""},
        {{BASE, TYPE, "grpc-encoding", "identity"}, 200, 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct exchange x;
        begin_with(f, &x, cases[i].headers);
        message(&x, 0, "hello", 5);
        done(&x);
        run(f);
        assert_string_equal(x.type, "application/grpc");
        expect(&x, cases[i].http, cases[i].status, cases[i].text);
    }
}

static void malformed_heads_are_reset(void **state)
{
    struct fixture *f = *state;
    static const char *const cases[][12] = {
        {BASE, TYPE, "connection", "close"},
        {BASE, TYPE, "Upper", "x"},
        {BASE, TYPE, ":what", "x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct exchange x;
        begin_with(f, &x, cases[i]);
        message(&x, 0, "hello", 5);
        done(&x);
        run(f);
        assert_int_equal(x.code, NGHTTP2_PROTOCOL_ERROR);
        assert_int_equal(x.heads, 0);
    }
    assert_int_equal(f->messages, 0);
}

static void subtypes_are_echoed(void **state)
{
    struct fixture *f = *state;
    static const char *const cases[][2] = {
        {"application/grpc+proto", "application/grpc+proto"},
        {"application/grpc;x", "application/grpc+x"},
        {"application/grpc+", "application/grpc"},
    };
    for (size_t i = 0; i < 3; i++) {
        struct exchange x;
        const char *const headers[] = {BASE, "content-type", cases[i][0], NULL};
        begin_with(f, &x, headers);
        message(&x, 0, "hello", 5);
        done(&x);
        run(f);
        assert_string_equal(x.type, cases[i][1]);
        expect(&x, 200, 0, "");
    }
}

static size_t gzip(uint8_t *to, size_t room, const void *from, size_t size)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)from,
                  .avail_in = (uInt)size,
                  .next_out = to,
                  .avail_out = (uInt)room};
    deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static size_t gunzip(uint8_t *to, size_t room, const void *from, size_t size)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)from,
                  .avail_in = (uInt)size,
                  .next_out = to,
                  .avail_out = (uInt)room};
    inflateInit2(&z, 31);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    inflateEnd(&z);
    return z.total_out;
}

static const char *const gzip_headers[] = {BASE, TYPE, "grpc-encoding", "gzip",
                                           NULL};

static void gzip_in_and_out(void **state)
{
    struct fixture *f = *state;
    uint8_t packed[256], plain[256];
    size_t size = gzip(packed, sizeof packed, "hello hello hello", 17);
    for (uint8_t flag = 0; flag <= 1; flag++) {
        struct exchange x;
        begin_with(f, &x, gzip_headers);
        if (flag) {
            message(&x, 1, packed, size);
        } else {
            message(&x, 0, "hello hello hello", 17);
        }
        done(&x);
        run(f);
        assert_string_equal(x.encoding, "gzip");
        assert_int_equal(x.body.data[0], 1);
        assert_int_equal(
            gunzip(plain, sizeof plain, x.body.data + 5, x.body.size - 5), 17);
        assert_memory_equal(plain, "hello hello hello", 17);
        expect(&x, 200, 0, "");
    }
}

static void bad_compression(void **state)
{
    struct fixture *f = *state;
    static uint8_t zeros[MESSAGE_MAX + 1], packed[1 << 16];
    struct exchange x;
    begin(f, &x, "/t.T/Echo");
    message(&x, 1, "x", 1);
    done(&x);
    run(f);
    expect(&x, 200, 13,
           "grpc: compressed flag set with identity or empty encoding");
    begin(f, &x, "/t.T/Echo");
    message(&x, 2, "x", 1);
    done(&x);
    run(f);
    expect(&x, 200, 13, "grpc: received unexpected payload format 2");
    size_t size = gzip(packed, sizeof packed, "hello", 5);
    begin_with(f, &x, gzip_headers);
    message(&x, 1, packed, size - 1);
    done(&x);
    run(f);
    expect(&x, 200, 13,
           "grpc: failed to decompress the message: unexpected EOF");
    size = gzip(packed, sizeof packed, zeros, sizeof zeros);
    begin_with(f, &x, gzip_headers);
    message(&x, 1, packed, size);
    done(&x);
    run(f);
    expect(&x, 200, 8,
           "grpc: received message after decompression larger than max "
           "2097152");
    size = gzip(packed, sizeof packed, zeros, sizeof zeros - 1);
    begin_with(f, &x, gzip_headers);
    message(&x, 1, packed, size);
    done(&x);
    run(f);
    expect(&x, 200, 0, "");
}

static void streams(void **state)
{
    struct fixture *f = *state;
    struct exchange x;
    begin(f, &x, "/t.T/Chat");
    spin(f);
    assert_int_equal(x.heads, 0); /* headers only with the first message */
    message(&x, 0, "one", 3);
    spin(f);
    assert_int_equal(x.body.size, 8);
    message(&x, 0, "two", 3);
    message(&x, 0, "three", 5);
    done(&x);
    run(f);
    assert_int_equal(x.body.size, 8 + 8 + 10);
    assert_int_equal(f->ended, 1);
    expect(&x, 200, 0, "");
    begin(f, &x, "/t.T/Chat"); /* ended without a message: that is OK, too */
    done(&x);
    run(f);
    assert_true(x.was_trailers_only);
    expect(&x, 200, 0, "");
    /* Watch: a client's END_STREAM does not end it; its reset does. */
    begin(f, &x, "/t.T/Watch");
    message(&x, 0, "one", 3);
    done(&x);
    spin(f);
    assert_non_null(f->held);
    grpc_send_bytes(f->held, slice_of("event", 5), NULL);
    spin(f);
    assert_int_equal(x.body.size, 8 + 10);
    h2_stream_reset(&x.h2, NGHTTP2_CANCEL);
    run(f);
    spin(f);
    assert_null(f->held);
    assert_int_equal(f->ended, 3);
    assert_int_equal(f->handled_code, GRPC_CANCELED);
    buf_release(&x.body);
}

static void deadlines(void **state)
{
    struct fixture *f = *state;
    struct exchange x;
    static const char *const headers[] = {":method",   "POST", ":path",
                                          "/t.T/Hold", TYPE,   "grpc-timeout",
                                          "50m",       NULL};
    begin_with(f, &x, headers);
    message(&x, 0, "keep me", 7);
    done(&x);
    uint64_t start = loop_now_ns(f->loop);
    run(f);
    uint64_t took = loop_now_ns(f->loop) - start;
    assert_true(took >= 50000000);
    assert_int_equal(x.heads, 0);
    assert_int_equal(x.code, NGHTTP2_CANCEL);
    assert_int_equal(f->handled_code, GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(f->ended, 1);
}

static void kept_messages_stay(void **state)
{
    struct fixture *f = *state;
    struct exchange x, y;
    begin(f, &x, "/t.T/Hold");
    message(&x, 0, "keep me", 7);
    done(&x);
    spin(f);
    struct grpc_call *c = grpc_call_ref(f->held);
    struct slice kept = f->kept;
    begin(f, &y, "/t.T/Fail");
    message(&y, 0, "xxxxxxxxxxxxxxxxxxxxx", 20);
    done(&y);
    spin(f);
    assert_memory_equal(kept.data, "keep me", 7);
    assert_true(grpc_call_alive(c));
    assert_memory_equal(grpc_call_remote(c), "127.0.0.1:", 10);
    conn_close(f->conn, false);
    WAIT_FOR(f, f->ended == 2);
    assert_false(grpc_call_alive(c));
    assert_int_equal(f->ended, 2);
    assert_memory_equal(kept.data, "keep me", 7); /* as long as held */
    grpc_send_bytes(c, slice_of("late", 4), NULL);
    grpc_finish(c, GRPC_OK, NULL);
    grpc_call_unref(c);
}

static void metadata(void **state)
{
    struct fixture *f = *state;
    struct exchange x;
    static const char *const headers[] = {
        ":method", "POST", ":path",     "/t.T/Hold", TYPE,
        "token",   "abc",  "hasleader", "true",      NULL};
    begin_with(f, &x, headers);
    message(&x, 0, "m", 1);
    done(&x);
    spin(f);
    assert_true(slice_eq_str(grpc_call_metadata(f->held, "token"), "abc"));
    assert_true(slice_eq_str(grpc_call_metadata(f->held, "hasleader"), "true"));
    assert_null(grpc_call_metadata(f->held, "authorization").data);
    grpc_finish(f->held, GRPC_UNAVAILABLE, NULL);
    run(f);
    expect(&x, 200, 14, "");
}

static void interceptors_answer(void **state)
{
    struct fixture *f = *state;
    struct exchange x;
    f->refuse = true;
    begin(f, &x, "/t.T/Echo");
    message(&x, 0, "m", 1);
    done(&x);
    run(f);
    expect(&x, 200, 9, "refused");
    begin(f, &x, "/t.T/Chat");
    run(f);
    expect(&x, 200, 9, "refused");
    assert_int_equal(f->ended, 0);
    assert_int_equal(f->handled, 2);
}

static void on_resume(struct grpc_call *c)
{
    fixture->drains++;
    grpc_finish(c, GRPC_OK, NULL);
}

/* The client takes 1 MiB of one stream's 8 and no more; others go on, and
 * the shared tail is not copied while it waits. */
static void stalled_stream(void **state)
{
    struct fixture *f = *state;
    struct exchange slow, x;
    begin(f, &slow, "/t.T/Flood");
    message(&slow, 0, "m", 1);
    /* Stop reading: what the kernel takes is far less than 8 MiB. */
    uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    conn_pause(f->conn, true);
    spin(f);
    assert_non_null(f->held);
    assert_true(grpc_call_queued(f->held) > 4 << 20);
    grpc_call_on_drain(f->held, 1 << 20, on_resume);
    begin(f, &x, "/t.T/Echo");
    message(&x, 0, "hello", 5);
    done(&x);
    spin(f);
    assert_int_equal(f->drains, 0);
    conn_pause(f->conn, false);
    run(f);
    expect_echo(&x, "hello", 5);
    assert_int_equal(f->drains, 1);
    assert_int_equal(slow.body.size, 8 * (5 + 5 + (1 << 20)));
    expect(&slow, 200, 0, "");
}

static void many_streams(void **state)
{
    enum { N = 2000 };
    struct fixture *f = *state;
    struct exchange *x = calloc(N, sizeof *x);
    for (int i = 0; i < N; i++) {
        begin(f, &x[i], "/t.T/Chat");
        message(&x[i], 0, &i, sizeof i);
    }
    WAIT_FOR(f, f->messages == N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(x[i].closed, 0);
        done(&x[i]);
    }
    run(f);
    for (int i = 0; i < N; i++) {
        expect_echo(&x[i], &i, sizeof i);
    }
    free(x);
}

static long resident_kb(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

/* Clients that cancel everything, at every moment of a call's life. */
static void reset_storm(void **state)
{
    struct fixture *f = *state;
    static const char *const paths[] = {"/t.T/Echo", "/t.T/Hold", "/t.T/Chat",
                                        "/t.T/Nope", "/t.T/Flood"};
    long before = 0;
    for (int round = 0; round < 1500; round++) {
        struct exchange x[5];
        for (int i = 0; i < 5; i++) {
            begin(f, &x[i], paths[i]);
            message(&x[i], 0, "hello", 5);
        }
        for (int i = 0; i < round % 5; i++) {
            uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
        }
        for (int i = 0; i < 5; i++) {
            h2_stream_reset(&x[i].h2, NGHTTP2_CANCEL);
        }
        run(f);
        for (int i = 0; i < 5; i++) {
            buf_release(&x[i].body);
        }
        before = round == 500 ? resident_kb() : before;
    }
    spin(f);
    assert_false(f->lost);
    /* The sanitizer's quarantine holds freed memory back: 256 MiB. */
    assert_true(resident_kb() - before < 400 << 10);
}

/* Connections that die while megabytes wait for them. */
static void lost_while_flushing(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 30; i++) {
        struct exchange x[3];
        for (int j = 0; j < 3; j++) {
            begin(f, &x[j], j ? "/t.T/Flood" : "/t.T/Hold");
            message(&x[j], 0, "m", 1);
        }
        for (int j = 0; j < i % 6; j++) {
            uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
        }
        conn_close(f->conn, false);
        WAIT_FOR(f, f->lost);
        assert_int_equal(f->open, 0);
        for (int j = 0; j < 3; j++) {
            buf_release(&x[j].body);
        }
        connect_bare(f);
    }
    struct grpc_server_stats s;
    spin(f);
    grpc_server_get_stats(f->server, &s);
    assert_int_equal(s.connection_count, 1);
}

static void pings_too_often(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++) { /* with answers between: no strikes */
        struct exchange x;
        begin(f, &x, "/t.T/Echo");
        message(&x, 0, "m", 1);
        done(&x);
        run(f);
        buf_release(&x.body);
        h2_session_ping(f->h2);
    }
    spin(f);
    assert_int_equal(f->goaways, 0);
    for (int i = 0; i < 4 && !f->goaways; i++) {
        h2_session_ping(f->h2);
        spin(f);
    }
    WAIT_FOR(f, f->lost);
    assert_string_equal(f->goaway_debug, "too_many_pings");
}

static void on_drained(void *ctx)
{
    ((struct fixture *)ctx)->drained = true;
}

static void stops_gracefully(void **state)
{
    struct fixture *f = *state;
    struct exchange x, y;
    begin(f, &x, "/t.T/Hold");
    message(&x, 0, "m", 1);
    done(&x);
    begin(f, &y, "/t.T/Watch");
    message(&y, 0, "m", 1);
    spin(f);
    grpc_server_stop(f->server, GRPC_UNAVAILABLE, "etcdserver: stopped",
                     on_drained, f);
    assert_false(f->drained);
    run(f);
    expect(&x, 200, 14, "etcdserver: stopped");
    expect(&y, 200, 14, "etcdserver: stopped");
    assert_string_equal(f->goaway_debug, "graceful_stop");
    WAIT_FOR(f, f->drained);
    assert_int_equal(f->ended, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unary),
        TEST(messages_in_pieces),
        TEST(sizes_at_the_limit),
        TEST(requests_cut_short),
        TEST(unknown_names),
        TEST(header_checks),
        TEST(malformed_heads_are_reset),
        TEST(subtypes_are_echoed),
        TEST(gzip_in_and_out),
        TEST(bad_compression),
        TEST(streams),
        TEST(deadlines),
        TEST(kept_messages_stay),
        TEST(metadata),
        TEST(interceptors_answer),
        TEST(stalled_stream),
        TEST(many_streams),
        TEST(reset_storm),
        TEST(lost_while_flushing),
        TEST(pings_too_often),
        TEST(stops_gracefully),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
