#include "member.h"

#include "base/err.h"
#include "proto/proto.h"
#include "proxy/keeper.h"

static struct keeper *keeper;
static const char *const no_metadata[] = {NULL};

/* A client's stream. */
struct client {
    struct keeper_stream *stream;
    int64_t answered[16]; /* lease ids */
    int answer_count;
    int ended; /* times */
    enum grpc_code code;
};
static struct client a, b, c;

static void emit(void *ctx, struct slice message)
{
    struct client *x = ctx;
    struct proto_field f;
    while (proto_next(&message, &f) > 0) {
        if (f.number == 2) {
            x->answered[x->answer_count++] = (int64_t)f.value;
        }
    }
}

static void end(void *ctx, enum grpc_code code, const char *text)
{
    struct client *x = ctx;
    x->ended++;
    x->code = code;
}

static void open_client(struct client *x, const char *token, bool has_leader)
{
    struct credentials creds = {no_metadata, slice_str(token), has_leader};
    *x = (struct client){0};
    x->stream = keeper_stream_new(keeper, &creds, x);
}

static int setup(void **state)
{
    struct keeper_config config = {member_door, emit, end};
    keeper = keeper_new(&config);
    open_client(&a, "", false);
    open_client(&b, "", false);
    return 0;
}

static int teardown(void **state)
{
    keeper_stream_free(a.stream);
    keeper_stream_free(b.stream);
    keeper_free(keeper);
    member_reset();
    return 0;
}

static int ask(struct client *x, int64_t id)
{
    struct buf m = BUF_INIT(64);
    proto_add_u64(&m, 1, (uint64_t)id);
    int err = keeper_stream_message(x->stream, buf_slice(&m));
    buf_release(&m);
    return err;
}

static void answer(int link, int64_t id)
{
    struct buf m = BUF_INIT(64);
    proto_add_u64(&m, 2, (uint64_t)id);
    proto_add_u64(&m, 3, 10);
    links[link].handler.message(links[link].ctx, buf_slice(&m));
    buf_release(&m);
}

static void test_waiting_share_an_answer(void **state)
{
    assert_int_equal(link_count, 1);
    member_up(0);
    ask(&a, 1);
    ask(&b, 1);
    ask(&a, 1);
    ask(&b, 2);
    assert_int_equal(links[0].sent_count, 2);
    answer(0, 1);
    assert_int_equal(a.answer_count, 2); /* one for each that was asked */
    assert_int_equal(b.answer_count, 1);
    answer(0, 2);
    assert_int_equal(b.answered[1], 2);
    ask(&a, 1); /* after the answer: a renewal of its own */
    assert_int_equal(links[0].sent_count, 3);
    answer(0, 1);
    assert_int_equal(a.answer_count, 3);
    assert_int_equal(b.answer_count, 2);
    struct keeper_stats stats;
    keeper_get_stats(keeper, &stats);
    assert_int_equal(stats.asked, 5);
    assert_int_equal(stats.sent, 3);
}

/* Nothing is renewed by itself, and an answer to nobody is nobody's. */
static void test_nobody_asks(void **state)
{
    member_up(0);
    answer(0, 1);
    assert_int_equal(links[0].sent_count, 0);
    assert_int_equal(a.answer_count + b.answer_count, 0);
}

static void test_asked_before_it_is_up(void **state)
{
    ask(&a, 1);
    assert_int_equal(links[0].sent_count, 0);
    member_up(0);
    assert_int_equal(links[0].sent_count, 1);
}

static void test_lost_link_asks_again(void **state)
{
    member_up(0);
    ask(&a, 1);
    ask(&a, 2);
    answer(0, 1);
    assert_true(member_down(0, GRPC_UNAVAILABLE, "lost"));
    member_up(0);
    assert_int_equal(links[0].sent_count, 1); /* 2, which has no answer */
    answer(0, 2);
    assert_int_equal(a.answer_count, 2);
    assert_int_equal(a.ended, 0);
}

static void test_credentials_apart(void **state)
{
    open_client(&c, "token", false);
    assert_int_equal(link_count, 2);
    member_up(0);
    member_up(1);
    ask(&a, 1);
    ask(&c, 1);
    assert_int_equal(links[0].sent_count, 1);
    assert_int_equal(links[1].sent_count, 1);
    answer(1, 1);
    assert_int_equal(a.answer_count, 0);
    assert_int_equal(c.answer_count, 1);
    keeper_stream_free(c.stream);
    assert_false(links[1].is_open);
}

static void test_status_goes_to_the_clients(void **state)
{
    open_client(&c, "", true);
    member_up(1);
    ask(&c, 1);
    assert_false(member_down(1, GRPC_UNAVAILABLE, "etcdserver: no leader"));
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.code, GRPC_UNAVAILABLE);
    assert_int_equal(ask(&c, 1), 0); /* too late, and nothing happens */
    keeper_stream_free(c.stream);
    assert_true(member_down(0, GRPC_UNAVAILABLE, "etcdserver: no leader"));
}

static void test_half_close(void **state)
{
    member_up(0);
    ask(&a, 1);
    keeper_stream_half_close(a.stream);
    assert_int_equal(a.ended, 0);
    answer(0, 1);
    assert_int_equal(a.answer_count, 1);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.code, GRPC_OK);
    keeper_stream_half_close(b.stream);
    assert_int_equal(b.ended, 1);
}

static void test_client_gone(void **state)
{
    open_client(&c, "", false);
    member_up(0);
    ask(&c, 1);
    ask(&a, 1);
    keeper_stream_free(c.stream);
    answer(0, 1);
    assert_int_equal(a.answer_count, 1);
}

static void test_limits(void **state)
{
    for (int i = 0; i < KEEPER_WAITING_MAX; i++) {
        assert_int_equal(ask(&a, 1), 0);
    }
    assert_int_equal(ask(&a, 1), ERR_TOO_LARGE);
    assert_int_equal(ask(&b, 1), 0);
    assert_int_equal(keeper_stream_message(b.stream, slice_str("\xff")),
                     ERR_INVALID);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_waiting_share_an_answer),
        TEST(test_nobody_asks),
        TEST(test_asked_before_it_is_up),
        TEST(test_lost_link_asks_again),
        TEST(test_credentials_apart),
        TEST(test_status_goes_to_the_clients),
        TEST(test_half_close),
        TEST(test_client_gone),
        TEST(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
