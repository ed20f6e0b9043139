/* Many, large, slow and faithless clients. */
#include "harness.h"

#include <sys/resource.h>

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

/* A client that asks and never reads is not read any more; when it reads
 * again, it gets everything. */
static void unread_answers_are_bounded(void **state)
{
    enum { N = 60000 };
    struct fixture *f = *state;
    struct exchange *x = calloc(N, sizeof *x);
    static const uint8_t word[200];
    spin(f);
    conn_pause(f->conn, true);
    for (int i = 0; i < N; i++) {
        begin(f, &x[i], "/t.T/Echo");
        message(&x[i], 0, word, sizeof word);
        done(&x[i]);
    }
    int before = -1;
    for (int quiet = 0; quiet < 50; quiet++) {
        before = f->messages;
        spin(f);
        quiet = before == f->messages ? quiet : 0;
    }
    assert_in_range(f->messages, 1000, N - 10000);
    conn_pause(f->conn, false);
    run(f);
    assert_int_equal(f->messages, N);
    for (int i = 0; i < N; i++) {
        expect_echo(&x[i], word, sizeof word);
    }
    free(x);
}

/* Many messages, none complete. */
static void partial_messages_are_bounded(void **state)
{
    enum { N = 80 };
    struct fixture *f = *state;
    struct exchange x[N];
    uint8_t *big = calloc(1, MESSAGE_MAX);
    put_be32(big + 1, MESSAGE_MAX);
    for (int i = 0; i < N; i++) {
        begin(f, &x[i], "/t.T/Echo");
        body(&x[i], big, MESSAGE_MAX);
    }
    int refused = 0;
    timer_start(f->guard, 20000, 0);
    while (refused == 0 && !f->timed_out) {
        uv_run(loop_uv(f->loop), UV_RUN_ONCE);
        for (int i = 0; i < N; i++) {
            refused += x[i].grpc_status == GRPC_RESOURCE_EXHAUSTED;
        }
    }
    spin(f);
    assert_false(f->timed_out);
    assert_true(refused >= 1);
    assert_string_equal(x[0].message, ""); /* who came first goes on */
    for (int i = 0; i < N; i++) {
        h2_stream_reset(&x[i].h2, NGHTTP2_CANCEL);
    }
    run(f);
    begin(f, &x[0], "/t.T/Echo"); /* and all is given back */
    message(&x[0], 0, big, MESSAGE_MAX);
    done(&x[0]);
    run(f);
    expect_echo(&x[0], big, MESSAGE_MAX);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stalled_stream),
        TEST(many_streams),
        TEST(reset_storm),
        TEST(lost_while_flushing),
        TEST(unread_answers_are_bounded),
        TEST(partial_messages_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
