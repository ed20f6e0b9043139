/* Registering, and the list of those who did, against a member that answers
 * by the test's wish. */
#include "server.h"

#include "proxy/registration.h"
#include "proxy/roster.h"

static const struct grpc_method methods[] = {
    {.path = "/etcdserverpb.Lease/LeaseGrant", .kind = GRPC_UNARY},
    {.path = "/etcdserverpb.Lease/LeaseRevoke", .kind = GRPC_UNARY},
    {.path = "/etcdserverpb.Lease/LeaseKeepAlive", .kind = GRPC_BIDI_STREAM},
    {.path = "/etcdserverpb.KV/Put", .kind = GRPC_UNARY},
    {.path = "/etcdserverpb.KV/Range", .kind = GRPC_UNARY},
    {.path = "/etcdserverpb.Watch/Watch", .kind = GRPC_BIDI_STREAM},
};

static struct upstream *upstream;
static struct name_space name_space;

/* The member. */
static struct {
    int grants, puts, renewals, revokes, ranges, watches;
    int64_t lease; /* the last one granted */
    int64_t asked_ttl_s;
    int64_t revoked;
    int64_t put_lease;
    char key[64];
    char value[256];
    int64_t renewal_ttl_s;
    enum grpc_code put_code;
    bool holds_revoke;  /* does not answer it */
    struct slice range; /* the answer */
    int64_t watch_start;
    char watch_key[64];
    char watch_end[64];
    struct grpc_call *watch;
} member;

static int64_t number_of(struct slice message, uint32_t number)
{
    struct proto_field f;
    int64_t value = 0;
    while (proto_next(&message, &f) > 0) {
        if (f.number == number && f.wire == PROTO_VARINT) {
            value = (int64_t)f.value;
        }
    }
    return value;
}

static void text_of(struct slice message, uint32_t number, char *to,
                    size_t room)
{
    struct proto_field f;
    while (proto_next(&message, &f) > 0) {
        if (f.number == number && f.wire == PROTO_BYTES) {
            snprintf(to, room, "%.*s", (int)f.bytes.size,
                     (const char *)f.bytes.data);
        }
    }
}

static void answer_lease(struct grpc_call *call, int64_t id, int64_t ttl_s)
{
    struct buf b = BUF_INIT(64);
    proto_add_u64(&b, 2, (uint64_t)id);
    proto_add_u64(&b, 3, (uint64_t)ttl_s);
    grpc_send_bytes(call, buf_slice(&b), NULL);
    buf_release(&b);
}

static void answer_unary(struct grpc_call *call, struct slice message)
{
    grpc_send_bytes(call, message, NULL);
    grpc_finish(call, GRPC_OK, NULL);
}

static void put(struct grpc_call *call, struct slice message)
{
    member.puts++;
    text_of(message, 1, member.key, sizeof member.key);
    text_of(message, 2, member.value, sizeof member.value);
    member.put_lease = number_of(message, 3);
    if (member.put_code) {
        grpc_finish(call, member.put_code, "no");
    } else {
        answer_unary(call, slice_of("", 0));
    }
}

static void watch(struct grpc_call *call, struct slice message)
{
    struct proto_field f;
    assert_int_equal(proto_next(&message, &f), 1);
    assert_int_equal(f.number, 1);
    member.watches++;
    member.watch = call;
    member.watch_start = number_of(f.bytes, 3);
    text_of(f.bytes, 1, member.watch_key, sizeof member.watch_key);
    text_of(f.bytes, 2, member.watch_end, sizeof member.watch_end);
}

static void answer(struct server *s, struct grpc_call *call,
                   struct slice message)
{
    const char *name = strrchr(grpc_call_method(call)->path, '/') + 1;
    if (strcmp(name, "LeaseGrant") == 0) {
        member.grants++;
        member.asked_ttl_s = number_of(message, 1);
        answer_lease(call, ++member.lease, member.asked_ttl_s);
        grpc_finish(call, GRPC_OK, NULL);
    } else if (strcmp(name, "LeaseKeepAlive") == 0) {
        member.renewals++;
        answer_lease(call, number_of(message, 1), member.renewal_ttl_s);
    } else if (strcmp(name, "LeaseRevoke") == 0) {
        member.revokes++;
        member.revoked = number_of(message, 1);
        if (!member.holds_revoke) {
            answer_unary(call, slice_of("", 0));
        }
    } else if (strcmp(name, "Put") == 0) {
        put(call, message);
    } else if (strcmp(name, "Range") == 0) {
        member.ranges++;
        answer_unary(call, member.range);
    } else {
        watch(call, message);
    }
}

static int setup(void **state)
{
    memset(&member, 0, sizeof member);
    member.lease = 100;
    member.renewal_ttl_s = 60;
    serve = answer;
    servers_open(methods, sizeof methods / sizeof *methods);
    upstream = upstream_to_first();
    name_space_init(&name_space, slice_str("ns/"));
    return 0;
}

static int teardown(void **state)
{
    name_space_release(&name_space);
    upstream_free(upstream);
    servers_close();
    return 0;
}

/* ---- registering ---- */

static struct registration *start(int64_t ttl_s)
{
    struct registration_config config = {.upstream = upstream,
                                         .name_space = &name_space,
                                         .prefix = "proxies",
                                         .address = "h:1",
                                         .name = "host",
                                         .ttl_s = ttl_s};
    return registration_new(&config);
}

static void on_left(void *ctx)
{
    *(bool *)ctx = true;
}

static void test_registers_and_leaves(void **state)
{
    struct registration *r = start(60);
    bool has_left = false;
    WAIT_FOR(member.puts);
    assert_int_equal(member.grants, 1);
    assert_int_equal(member.asked_ttl_s, 60);
    assert_string_equal(member.key, "ns/proxies/h:1");
    assert_string_equal(member.value,
                        "{\"Op\":0,\"Addr\":\"h:1\","
                        "\"Metadata\":\"{\\\"name\\\":\\\"host\\\"}\"}");
    assert_int_equal(member.put_lease, 101);
    assert_true(registration_leave(r, on_left, &has_left));
    assert_false(has_left);
    WAIT_FOR(has_left);
    assert_int_equal(member.revoked, 101);
    registration_free(r);
}

/* The member has lost it, after a restore perhaps. */
static void test_lost_lease(void **state)
{
    struct registration *r = start(1);
    member.renewal_ttl_s = 1;
    WAIT_FOR(member.renewals >= 2);
    assert_int_equal(member.grants, 1);
    member.renewal_ttl_s = 0;
    WAIT_FOR(member.puts == 2);
    assert_int_equal(member.grants, 2);
    assert_int_equal(member.put_lease, 102);
    assert_int_equal(member.revokes, 0);
    registration_free(r);
}

static void test_put_refused(void **state)
{
    struct registration *r = start(60);
    member.put_code = GRPC_PERMISSION_DENIED;
    WAIT_FOR(member.puts == 1);
    member.put_code = GRPC_OK;
    WAIT_FOR(member.puts == 2);
    assert_int_equal(member.grants, 1); /* the lease is still good */
    assert_int_equal(member.put_lease, 101);
    registration_free(r);
    r = start(60);
    member.put_code = GRPC_NOT_FOUND;
    WAIT_FOR(member.puts == 3);
    member.put_code = GRPC_OK;
    WAIT_FOR(member.puts == 4);
    assert_int_equal(member.put_lease, 103);
    registration_free(r);
}

static void test_moves_to_another_member(void **state)
{
    struct registration *r = start(2);
    bool has_left = false;
    WAIT_FOR(member.puts == 1);
    upstream_set(upstream, &servers[1].address, 1);
    server_stop(&servers[0]);
    WAIT_FOR(member.renewals >= 1);
    assert_int_equal(member.grants, 1);
    assert_true(servers[1].calls > 0);
    assert_true(registration_leave(r, on_left, &has_left));
    WAIT_FOR(has_left);
    registration_free(r);
}

static void test_nothing_to_leave(void **state)
{
    bool has_left = false;
    assert_false(registration_leave(NULL, on_left, &has_left));
    struct registration *r = start(60);
    assert_false(registration_leave(r, on_left, &has_left));
    registration_free(r);
    assert_int_equal(member.grants, 0);
    assert_false(has_left);
    registration_free(NULL);
}

/* Nobody answers: it is told that it has left all the same. */
static void test_leaves_in_bounded_time(void **state)
{
    bool has_left = false;
    struct registration *r = start(60);
    WAIT_FOR(member.puts);
    member.holds_revoke = true;
    assert_true(registration_leave(r, on_left, &has_left));
    WAIT_FOR(has_left);
    assert_int_equal(member.revokes, 1);
    registration_free(r);
    r = start(60);
    WAIT_FOR(member.puts == 2);
    server_stop(&servers[0]);
    has_left = false;
    assert_true(registration_leave(r, on_left, &has_left));
    WAIT_FOR(has_left);
    registration_free(r);
}

/* ---- the list ---- */

static struct buf message = BUF_INIT(4096);

static void add_kv(uint32_t field, const char *address, int64_t revision)
{
    struct buf value = BUF_INIT(1024);
    size_t mark;
    registry_value(address, "h", &value);
    proto_begin(&message, field, &mark);
    proto_add_bytes(&message, 1, slice_str(address));
    proto_add_u64(&message, 3, (uint64_t)revision);
    proto_add_bytes(&message, 5, buf_slice(&value));
    proto_end(&message, mark);
    buf_release(&value);
}

static void range_is(const char *address, int64_t revision)
{
    size_t mark;
    buf_reset(&message, 4096);
    proto_begin(&message, 1, &mark);
    proto_add_u64(&message, 3, (uint64_t)revision);
    proto_end(&message, mark);
    add_kv(2, address, revision);
    member.range = buf_slice(&message);
}

static void send_event(const char *address, int64_t revision)
{
    size_t mark;
    buf_reset(&message, 4096);
    proto_begin(&message, 11, &mark);
    add_kv(2, address, revision);
    proto_end(&message, mark);
    grpc_send_bytes(member.watch, buf_slice(&message), NULL);
}

static void test_range_then_watch(void **state)
{
    range_is("a:1", 7);
    struct roster *r = roster_new(upstream, &name_space, "proxies");
    const struct registry *known = roster_registry(r);
    assert_int_equal(registry_count(known), 0);
    WAIT_FOR(member.watches == 1);
    assert_int_equal(registry_count(known), 1);
    assert_string_equal(member.watch_key, "ns/proxies/");
    assert_string_equal(member.watch_end, "ns/proxies0");
    assert_int_equal(member.watch_start, 8);
    send_event("b:1", 9);
    WAIT_FOR(registry_count(known) == 2);
    /* The member ends the stream: from there on at the next one. */
    grpc_finish(member.watch, GRPC_UNAVAILABLE, "etcdserver: server stopped");
    WAIT_FOR(member.watches == 2);
    assert_int_equal(member.watch_start, 10);
    assert_int_equal(member.ranges, 1);
    /* Compacted away: the range anew. What is known stays until then. */
    range_is("c:1", 50);
    struct buf over = BUF_INIT(64);
    proto_add_u64(&over, 4, true);
    proto_add_u64(&over, 5, 40);
    grpc_send_bytes(member.watch, buf_slice(&over), NULL);
    buf_release(&over);
    WAIT_FOR(member.watches == 3);
    assert_int_equal(member.ranges, 2);
    assert_int_equal(member.watch_start, 51);
    assert_int_equal(registry_count(known), 1);
    assert_string_equal(registry_get(known, 0).address, "c:1");
    roster_free(r);
}

static void test_stream_refused(void **state)
{
    range_is("a:1", 7);
    struct roster *r = roster_new(upstream, &name_space, "proxies");
    WAIT_FOR(member.watches == 1);
    grpc_finish(member.watch, GRPC_PERMISSION_DENIED, "no");
    WAIT_FOR(member.watches == 2);
    assert_int_equal(member.ranges, 2);
    roster_free(r);
    buf_release(&message);
}

/* It begins when there is somebody to ask. */
static void test_nobody_there(void **state)
{
    struct net_address nobody = servers[0].address;
    server_stop(&servers[0]);
    range_is("a:1", 7);
    struct roster *r = roster_new(upstream, &name_space, "proxies");
    struct registration *own = start(60);
    for (int i = 0; i < 20; i++) {
        uv_run(loop_uv(loop), UV_RUN_NOWAIT);
    }
    upstream_set(upstream, &servers[1].address, 1);
    WAIT_FOR(member.puts == 1 && member.watches == 1);
    upstream_set(upstream, &nobody, 1);
    roster_free(r);
    registration_free(own);
    roster_free(NULL);
    buf_release(&message);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_registers_and_leaves), TEST(test_lost_lease),
        TEST(test_put_refused),          TEST(test_moves_to_another_member),
        TEST(test_nothing_to_leave),     TEST(test_leaves_in_bounded_time),
        TEST(test_range_then_watch),     TEST(test_stream_refused),
        TEST(test_nobody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
