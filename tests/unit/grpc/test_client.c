/* The client side against our own server, through sockets. */
#include "harness.h"

struct answer {
    struct fixture *f;
    struct buf got;
    int messages, statuses;
    enum grpc_code code;
    char text[300];
    struct grpc_channel *free_on_status;
    struct grpc_client_call *cancel_on_message;
};

static void on_message(void *ctx, struct slice m)
{
    struct answer *a = ctx;
    a->messages++;
    buf_append_slice(&a->got, m);
    if (a->cancel_on_message) {
        grpc_client_cancel(a->cancel_on_message);
    }
}

static void on_status(void *ctx, enum grpc_code code, const char *text)
{
    struct answer *a = ctx;
    a->statuses++;
    a->code = code;
    snprintf(a->text, sizeof a->text, "%s", text);
    grpc_channel_free(a->free_on_status);
}

static const struct grpc_client_handler client_handler = {on_message,
                                                          on_status};

static struct grpc_channel *channel(struct fixture *f)
{
    struct net_address a = {.host = "localhost",
                            .port = listener_port(f->listener)};
    return grpc_channel_new(f->loop, &a, 5000);
}

static struct answer fresh(struct fixture *f)
{
    return (struct answer){.f = f, .got = BUF_INIT(64 << 20)};
}

static struct grpc_client_call *start(struct grpc_channel *ch, const char *path,
                                      struct answer *a, uint64_t deadline_ms)
{
    return grpc_client_start(ch, path, NULL, deadline_ms, &client_handler, a);
}

static void ask(struct grpc_channel *ch, const char *path, struct answer *a,
                const char *text)
{
    struct grpc_client_call *c = start(ch, path, a, 0);
    grpc_client_send_bytes(c, slice_str(text));
    grpc_client_half_close(c);
    assert_int_equal(a->statuses, 0);
}

static void asks_and_hears(void **state)
{
    struct fixture *f = *state;
    struct grpc_channel *ch = channel(f);
    for (int i = 0; i < 3; i++) { /* the first one connects */
        struct answer a = fresh(f), b = fresh(f);
        ask(ch, "/t.T/Echo", &a, "hello");
        ask(ch, "/t.T/Fail", &b, "hello");
        WAIT_FOR(f, a.statuses && b.statuses);
        assert_int_equal(a.code, GRPC_OK);
        assert_int_equal(a.messages, 1);
        assert_memory_equal(a.got.data, "hello", 5);
        assert_int_equal(b.code, GRPC_NOT_FOUND);
        assert_string_equal(b.text, "etcdserver: \"100%\" gr\xc3\xbc\xc3\x9f");
        buf_release(&a.got);
    }
    struct grpc_server_stats s;
    grpc_server_get_stats(f->server, &s);
    assert_int_equal(s.connection_count, 2); /* the bare one, and one */
    grpc_channel_free(ch);
}

static void metadata_arrives(void **state)
{
    struct fixture *f = *state;
    struct grpc_channel *ch = channel(f);
    struct answer a = fresh(f);
    const char *const metadata[] = {"token", "secret", NULL};
    struct grpc_client_call *c = grpc_client_start(ch, "/t.T/Hold", metadata,
                                                   60000, &client_handler, &a);
    grpc_client_send_bytes(c, slice_str("m"));
    grpc_client_half_close(c);
    WAIT_FOR(f, f->held);
    assert_true(slice_eq_str(grpc_call_metadata(f->held, "token"), "secret"));
    uint64_t now = loop_now_ns(f->loop);
    assert_true(grpc_call_deadline_ns(f->held) > now + 50000000000);
    assert_true(grpc_call_deadline_ns(f->held) < now + 61000000000);
    grpc_finish(f->held, GRPC_ABORTED, "enough");
    WAIT_FOR(f, a.statuses);
    assert_int_equal(a.code, GRPC_ABORTED);
    grpc_channel_free(ch);
}

static void streams_both_ways(void **state)
{
    struct fixture *f = *state;
    struct grpc_channel *ch = channel(f);
    struct answer a = fresh(f), b = fresh(f);
    struct grpc_client_call *c = start(ch, "/t.T/Chat", &a, 0);
    grpc_client_send_bytes(c, slice_str("one"));
    WAIT_FOR(f, a.messages == 1);
    grpc_client_send_bytes(c, slice_str("two"));
    WAIT_FOR(f, a.messages == 2);
    grpc_client_half_close(c);
    WAIT_FOR(f, a.statuses);
    assert_int_equal(a.code, GRPC_OK);
    assert_memory_equal(a.got.data, "onetwo", 6);
    buf_release(&a.got);
    c = start(ch, "/t.T/Watch", &b, 0);
    b.cancel_on_message = c;
    grpc_client_send_bytes(c, slice_str("x"));
    int ended = f->ended;
    WAIT_FOR(f, f->ended > ended);
    assert_int_equal(b.messages, 1);
    assert_int_equal(b.statuses, 0); /* cancelled: not told */
    buf_release(&b.got);
    grpc_channel_free(ch);
}

static void large_answers_flow(void **state)
{
    struct fixture *f = *state;
    struct grpc_channel *ch = channel(f);
    struct answer a = fresh(f);
    struct grpc_client_call *c = start(ch, "/t.T/Flood", &a, 0);
    grpc_client_send_bytes(c, slice_str("x"));
    WAIT_FOR(f, a.messages == 8);
    assert_int_equal(a.got.size, 8 * ((1 << 20) + 5));
    grpc_finish(f->held, GRPC_OK, NULL);
    WAIT_FOR(f, a.statuses);
    buf_release(&a.got);
    grpc_channel_free(ch);
}

static void own_deadline(void **state)
{
    struct fixture *f = *state;
    struct grpc_channel *ch = channel(f);
    struct answer a = fresh(f);
    struct grpc_client_call *c = start(ch, "/t.T/Hold", &a, 30);
    grpc_client_send_bytes(c, slice_str("x"));
    WAIT_FOR(f, a.statuses);
    assert_int_equal(a.code, GRPC_DEADLINE_EXCEEDED);
    WAIT_FOR(f, f->ended);
    grpc_channel_free(ch);
}

/* On the wire a deadline has eight digits at most. */
static void long_deadlines(void **state)
{
    static const uint64_t deadlines_ms[] = {99999999, 100000000, 99999999001,
                                            9223372036854};
    struct fixture *f = *state;
    struct grpc_channel *ch = channel(f);
    for (size_t i = 0; i < 4; i++) {
        struct answer a = fresh(f);
        f->held = NULL;
        struct grpc_client_call *c =
            start(ch, "/t.T/Hold", &a, deadlines_ms[i]);
        grpc_client_send_bytes(c, slice_str("x"));
        WAIT_FOR(f, f->held || a.statuses);
        assert_int_equal(a.statuses, 0);
        uint64_t left_ms =
            (grpc_call_deadline_ns(f->held) - loop_now_ns(f->loop)) / 1000000;
        assert_true(left_ms > deadlines_ms[i] - deadlines_ms[i] / 1000);
        grpc_finish(f->held, GRPC_ABORTED, "enough");
        WAIT_FOR(f, a.statuses);
        assert_int_equal(a.code, GRPC_ABORTED);
    }
    grpc_channel_free(ch);
}

static void nobody_there(void **state)
{
    struct fixture *f = *state;
    struct grpc_channel *ch = channel(f);
    struct answer a = fresh(f), b = fresh(f);
    listener_close(f->listener);
    f->listener = NULL;
    ask(ch, "/t.T/Echo", &a, "hello");
    ask(ch, "/t.T/Echo", &b, "hello");
    b.free_on_status = ch;
    WAIT_FOR(f, b.statuses);
    assert_int_equal(a.statuses, 1);
    assert_int_equal(a.code, GRPC_UNAVAILABLE);
    assert_non_null(strstr(a.text, "connection refused"));
}

/* The connection dies under two calls; the next one gets a new one. */
static void connects_again(void **state)
{
    struct fixture *f = *state;
    struct grpc_channel *ch = channel(f);
    struct answer a = fresh(f), b = fresh(f), c = fresh(f);
    ask(ch, "/t.T/Hold", &a, "x");
    ask(ch, "/t.T/Watch", &b, "x");
    WAIT_FOR(f, f->messages == 2);
    grpc_server_free(f->server); /* without a goodbye */
    WAIT_FOR(f, a.statuses && b.statuses);
    assert_int_equal(a.code, GRPC_UNAVAILABLE);
    assert_int_equal(b.code, GRPC_UNAVAILABLE);
    struct grpc_server_config config = {
        .message_bytes_max = MESSAGE_MAX,
        .concurrent_streams_max = UINT32_MAX,
        .methods = methods,
        .method_count = sizeof methods / sizeof *methods,
    };
    f->server = grpc_server_new(f->loop, &config);
    ask(ch, "/t.T/Echo", &c, "again");
    WAIT_FOR(f, c.statuses);
    assert_int_equal(c.code, GRPC_OK);
    buf_release(&b.got);
    buf_release(&c.got);
    grpc_channel_free(ch);
}

static void freeing_tells_what_is_open(void **state)
{
    struct fixture *f = *state;
    struct grpc_channel *ch = channel(f);
    struct answer a = fresh(f), b = fresh(f);
    ask(ch, "/t.T/Hold", &a, "x");
    WAIT_FOR(f, f->messages == 1);
    ask(ch, "/t.T/Hold", &b, "x");
    grpc_channel_free(ch);
    assert_int_equal(a.statuses, 1);
    assert_int_equal(b.statuses, 1);
    assert_int_equal(a.code, GRPC_CANCELED);
    ch = channel(f); /* and while it still connects */
    a = fresh(f);
    ask(ch, "/t.T/Hold", &a, "x");
    grpc_channel_free(ch);
    assert_int_equal(a.statuses, 1);
    WAIT_FOR(f, f->ended == 1);
}

/* The other side is there for the kernel only: it reads nothing more. */
static void silence_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct grpc_channel *ch = channel(f);
    struct answer a = fresh(f), b = fresh(f);
    grpc_channel_keepalive(ch, 100, 100);
    ask(ch, "/t.T/Hold", &a, "x");
    WAIT_FOR(f, f->messages == 1);
    /* An answer to the PING is enough: a silent call is no lost one. */
    uint64_t end_ms = loop_now_ms(f->loop) + 250;
    WAIT_FOR(f, loop_now_ms(f->loop) >= end_ms);
    assert_int_equal(a.statuses, 0);
    conn_pause(f->accepted, true);
    WAIT_FOR(f, a.statuses);
    assert_int_equal(a.code, GRPC_UNAVAILABLE);
    /* The next call has a connection of its own. */
    ask(ch, "/t.T/Echo", &b, "again");
    WAIT_FOR(f, b.statuses);
    assert_int_equal(b.code, GRPC_OK);
    buf_release(&b.got);
    grpc_channel_free(ch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(asks_and_hears),     TEST(metadata_arrives),
        TEST(streams_both_ways),  TEST(large_answers_flow),
        TEST(own_deadline),       TEST(nobody_there),
        TEST(connects_again),     TEST(freeing_tells_what_is_open),
        TEST(silence_is_noticed), TEST(long_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
