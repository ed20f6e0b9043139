/* The list of endpoints changes under calls and streams. */
#include "server.h"

#include "proxy/uplink.h"

static const struct grpc_method methods[] = {
    {.path = "/t.T/Echo", .kind = GRPC_UNARY},
    {.path = "/t.T/Hold", .kind = GRPC_UNARY},
    {.path = "/t.T/Flow", .kind = GRPC_SERVER_STREAM},
    {.path = "/t.T/Chat", .kind = GRPC_BIDI_STREAM},
};

static struct upstream *upstream;
static struct grpc_call *held;

static void answer(struct server *s, struct grpc_call *call,
                   struct slice message)
{
    const struct grpc_method *m = grpc_call_method(call);
    if (strcmp(m->path, "/t.T/Hold") == 0) {
        held = call;
        return;
    }
    grpc_send_bytes(call, slice_str(s == &servers[0] ? "0" : "1"), NULL);
    if (m->kind == GRPC_UNARY) {
        grpc_finish(call, GRPC_OK, NULL);
    } else {
        held = call;
    }
}

static int setup(void **state)
{
    serve = answer;
    servers_open(methods, sizeof methods / sizeof *methods);
    upstream = upstream_to_first();
    return 0;
}

static int teardown(void **state)
{
    upstream_free(upstream);
    servers_close();
    return 0;
}

/* ---- calls ---- */

struct caller {
    struct upstream_call *call;
    char from[8]; /* servers that answered */
    int messages;
    int statuses;
    enum grpc_code code;
    const struct net_address *set_on_status;
};

static void on_message(void *ctx, struct slice message)
{
    struct caller *c = ctx;
    c->from[c->messages++] = (char)message.data[0];
}

static void on_status(void *ctx, enum grpc_code code, const char *text)
{
    struct caller *c = ctx;
    c->statuses++;
    c->code = code;
    if (c->set_on_status) {
        upstream_set(upstream, c->set_on_status, 1);
    }
}

static void start(struct caller *c, const char *path, bool is_stream)
{
    static const struct grpc_client_handler handler = {on_message, on_status};
    static const char *const no_metadata[] = {NULL};
    struct upstream_ask ask = {.path = path,
                               .metadata = no_metadata,
                               .message = slice_of("", 0),
                               .is_stream = is_stream};
    *c = (struct caller){0};
    c->call = upstream_start(upstream, &ask, &handler, c);
}

/* Which server answers. */
static char echo(void)
{
    struct caller c;
    start(&c, "/t.T/Echo", false);
    WAIT_FOR(c.statuses);
    assert_int_equal(c.code, GRPC_OK);
    return c.from[0];
}

static void set_only(int server)
{
    assert_true(upstream_set(upstream, &servers[server].address, 1));
}

static void test_call_under_way_stays(void **state)
{
    struct caller c;
    assert_int_equal(echo(), '0');
    start(&c, "/t.T/Hold", false);
    WAIT_FOR(held);
    set_only(1);
    assert_int_equal(echo(), '1');
    assert_int_equal(echo(), '1');
    assert_int_equal(c.statuses, 0);
    grpc_send_bytes(held, slice_str("0"), NULL);
    grpc_finish(held, GRPC_OK, NULL);
    held = NULL;
    WAIT_FOR(c.statuses);
    assert_int_equal(c.code, GRPC_OK);
    assert_int_equal(c.from[0], '0');
    WAIT_FOR(connections_of(&servers[0]) == 0); /* nothing is left on it */
    assert_int_equal(echo(), '1');
}

static void test_same_endpoint_keeps_its_connection(void **state)
{
    struct net_address both[] = {servers[1].address, servers[0].address,
                                 servers[1].address};
    assert_int_equal(echo(), '0');
    assert_true(upstream_set(upstream, both, 3));
    assert_false(upstream_set(upstream, both, 2)); /* the same two */
    char first = echo(), second = echo();
    assert_int_equal(first + second, '0' + '1'); /* in turn */
    assert_int_equal(echo(), first);
    assert_false(upstream_set(upstream, both, 3));
    echo();
    echo();
    assert_int_equal(servers[0].accepted, 1);
    assert_int_equal(servers[1].accepted, 1);
    assert_string_equal(upstream_first(upstream)->host, "127.0.0.1");
    assert_int_equal(upstream_first(upstream)->port, servers[1].address.port);
}

/* From inside the callback of a call at the one that goes, and back. */
static void test_changed_by_an_answer(void **state)
{
    struct caller c;
    for (int i = 0; i < 4; i++) {
        start(&c, "/t.T/Echo", false);
        c.set_on_status = &servers[(i + 1) % 2].address;
        WAIT_FOR(c.statuses);
        assert_int_equal(c.from[0], '0' + i % 2);
    }
    WAIT_FOR(connections_of(&servers[1]) == 0);
}

static void test_stream_of_answers_stays(void **state)
{
    struct caller c;
    start(&c, "/t.T/Flow", true);
    WAIT_FOR(c.messages == 1);
    set_only(1);
    assert_int_equal(echo(), '1');
    grpc_send_bytes(held, slice_str("0"), NULL);
    WAIT_FOR(c.messages == 2);
    grpc_finish(held, GRPC_OK, NULL);
    held = NULL;
    WAIT_FOR(c.statuses);
    assert_int_equal(c.code, GRPC_OK);
    assert_string_equal(c.from, "00");
}

static void test_cancelled_on_the_way(void **state)
{
    struct caller c;
    start(&c, "/t.T/Hold", false);
    WAIT_FOR(held);
    held = NULL;
    set_only(1);
    upstream_cancel(c.call);
    WAIT_FOR(connections_of(&servers[0]) == 0);
    assert_int_equal(echo(), '1');
}

/* ---- streams both ways ---- */

static struct {
    void *uplink;
    struct uplink_door door;
    int ups, downs;
    char from[16];
    int messages;
} chat;

static void chat_up(void *ctx)
{
    chat.ups++;
    chat.door.send(chat.uplink, slice_of("", 0));
}

static void chat_message(void *ctx, struct slice message)
{
    chat.from[chat.messages++] = (char)message.data[0];
}

static bool chat_down(void *ctx, enum grpc_code code, const char *text)
{
    chat.downs++;
    return uplink_may_resume(code, text, false);
}

static void test_stream_moves_when_its_connection_ends(void **state)
{
    static const struct uplink_handler handler = {chat_up, chat_message,
                                                  chat_down};
    static const char *const no_metadata[] = {NULL};
    memset(&chat, 0, sizeof chat);
    chat.door = uplink_door_of(upstream);
    chat.uplink =
        chat.door.open(chat.door.ctx, "/t.T/Chat", no_metadata, &handler, NULL);
    WAIT_FOR(chat.messages == 1);
    set_only(1);
    assert_int_equal(echo(), '1');
    chat.door.send(chat.uplink, slice_of("", 0));
    WAIT_FOR(chat.messages == 2);
    assert_string_equal(chat.from, "00");
    assert_int_equal(chat.downs, 0);
    server_stop(&servers[0]);
    WAIT_FOR(chat.messages == 3);
    assert_string_equal(chat.from, "001");
    assert_int_equal(chat.ups, 2);
    assert_int_equal(chat.downs, 1);
    chat.door.close(chat.uplink);
}

static void test_parse(void **state)
{
    struct net_address a;
    assert_int_equal(upstream_parse(slice_str("h:1"), &a), 0);
    assert_string_equal(a.host, "h");
    assert_int_equal(upstream_parse(slice_str("http://:2"), &a), 0);
    assert_string_equal(a.host, "localhost");
    assert_int_equal(upstream_parse(slice_str("https://h:1"), &a),
                     ERR_UNSUPPORTED);
    assert_int_equal(upstream_parse(slice_str("h"), &a), ERR_INVALID);
    assert_int_equal(a.port, 2); /* not touched */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_call_under_way_stays),
        TEST(test_same_endpoint_keeps_its_connection),
        TEST(test_changed_by_an_answer),
        TEST(test_stream_of_answers_stays),
        TEST(test_cancelled_on_the_way),
        TEST(test_stream_moves_when_its_connection_ends),
        TEST(test_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
