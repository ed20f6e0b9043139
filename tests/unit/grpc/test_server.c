#include "harness.h"

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
        ":method", "POST",      ":path", "/t.T/Hold", TYPE,  "token",
        "abc",     "hasleader", "true",  "token",     "def", NULL};
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

/* Clients measure the line with a PING for what they receive, one at a
 * time. */
static void pings_for_data_are_welcome(void **state)
{
    struct fixture *f = *state;
    struct exchange x;
    f->pings_on_data = true;
    begin(f, &x, "/t.T/Flood");
    message(&x, 0, "m", 1);
    WAIT_FOR(f, x.body.size == 8 * ((1 << 20) + 10));
    spin(f);
    assert_true(f->pings > 4);
    assert_int_equal(f->goaways, 0);
    assert_non_null(f->held);
    grpc_finish(f->held, GRPC_OK, NULL);
    run(f);
    expect(&x, 200, 0, "");
}

static void client_trailers_are_ignored(void **state)
{
    static const nghttp2_nv nv[] = {
        {(uint8_t *)(uintptr_t) "x", (uint8_t *)(uintptr_t) "y", 1, 1, 0}};
    struct fixture *f = *state;
    struct exchange x;
    begin(f, &x, "/t.T/Chat");
    message(&x, 0, "hello", 5);
    h2_stream_end(&x.h2, nv, 1);
    run(f);
    expect_echo(&x, "hello", 5);
    assert_int_equal(f->goaways, 0);
}

/* A silent client is pinged; one that does not answer is dropped. */
static void silent_clients_are_dropped(void **state)
{
    struct fixture *f = *state;
    struct grpc_server_config config = {
        .message_bytes_max = MESSAGE_MAX,
        .concurrent_streams_max = UINT32_MAX,
        .keepalive_interval_ms = 20,
        .keepalive_timeout_ms = 60,
        .methods = methods,
        .method_count = sizeof methods / sizeof *methods,
    };
    grpc_server_free(f->server);
    WAIT_FOR(f, f->lost);
    f->server = grpc_server_new(f->loop, &config);
    connect_bare(f);
    uint64_t start = loop_now_ms(f->loop);
    WAIT_FOR(f, loop_now_ms(f->loop) > start + 300);
    assert_false(f->lost); /* its session answers */
    conn_pause(f->conn, true);
    struct grpc_server_stats s;
    do {
        uv_run(loop_uv(f->loop), UV_RUN_ONCE);
        grpc_server_get_stats(f->server, &s);
    } while (s.connection_count && loop_now_ms(f->loop) < start + 10000);
    assert_int_equal(s.connection_count, 0);
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

static void told_closed(void *ctx, int err)
{
    *(bool *)ctx = true;
}

static void ignore_data(void *ctx, struct slice data)
{
}

/* A client that connects in the last moment is hung up on, and who looked at
 * its first bytes hears no more of it. */
static void hangs_up_on_late_ones(void **state)
{
    static const struct conn_handler handler = {.on_data = ignore_data,
                                                .on_closed = told_closed};
    struct fixture *f = *state;
    struct conn *a, *b;
    bool looker_told = false, client_told = false;
    assert_int_equal(conn_pair(f->loop, &a, &b), 0);
    conn_set_handler(a, &handler, &looker_told);
    conn_set_handler(b, &handler, &client_told);
    grpc_server_stop(f->server, GRPC_UNAVAILABLE, "stopped", on_drained, f);
    grpc_server_accept(f->server, a);
    WAIT_FOR(f, client_told);
    assert_false(looker_told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unary),
        TEST(messages_in_pieces),
        TEST(sizes_at_the_limit),
        TEST(requests_cut_short),
        TEST(streams),
        TEST(deadlines),
        TEST(kept_messages_stay),
        TEST(metadata),
        TEST(interceptors_answer),
        TEST(pings_too_often),
        TEST(pings_for_data_are_welcome),
        TEST(client_trailers_are_ignored),
        TEST(silent_clients_are_dropped),
        TEST(stops_gracefully),
        TEST(hangs_up_on_late_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
