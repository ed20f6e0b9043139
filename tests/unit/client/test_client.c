/*
 * The library against a server of our own in another thread: failover,
 * what is sent again and what is not, logging in, a watch that outlives its
 * stream, a snapshot's checksum.
 */
#include "../test.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "cofre.h"
#include "grpc/grpc.h"
#include "proto/rpc.pb-c.h"

static struct loop *server_loop;
static struct grpc_server *server;
static struct listener *listener;
static struct waker *stopper;
static pthread_t server_thread;
static char endpoint[32];
static atomic_int puts_seen, ranges_seen, watches_seen, logins_seen;
static atomic_int token_serial; /* tokens of older logins are refused */
static atomic_bool spoil_snapshot;
static atomic_llong resumed_at;

static const char *token_of(struct grpc_call *c)
{
    static char text[32];
    struct slice s = grpc_call_metadata(c, "token");
    snprintf(text, sizeof text, "%.*s", (int)s.size, (const char *)s.data);
    return text;
}

static void on_put(struct grpc_call *c, struct slice message)
{
    Pb__PutRequest *m = grpc_unpack(c, &pb__put_request__descriptor, message);
    Pb__PutResponse answer;
    Pb__ResponseHeader header;
    struct slice key = slice_of(m->key.data, m->key.len);
    char wanted[32];
    atomic_fetch_add(&puts_seen, 1);
    if (slice_eq_str(key, "lease")) {
        grpc_finish(c, GRPC_NOT_FOUND, "etcdserver: requested lease not found");
        return;
    }
    if (slice_eq_str(key, "busy")) {
        grpc_finish(c, GRPC_UNAVAILABLE, "etcdserver: leader changed");
        return;
    }
    if (slice_eq_str(key, "hang")) {
        return;
    }
    snprintf(wanted, sizeof wanted, "t%d", atomic_load(&token_serial));
    if (slice_eq_str(key, "auth") && strcmp(token_of(c), wanted) != 0) {
        grpc_finish(c, GRPC_UNAUTHENTICATED, "etcdserver: invalid auth token");
        return;
    }
    pb__put_response__init(&answer);
    pb__response_header__init(&header);
    header.revision = 7;
    answer.header = &header;
    grpc_reply(c, &answer.base);
}

static void on_range(struct grpc_call *c, struct slice message)
{
    Pb__RangeRequest *m =
        grpc_unpack(c, &pb__range_request__descriptor, message);
    Pb__RangeResponse answer;
    Pb__KeyValue kv;
    Pb__KeyValue *kvs[] = {&kv};
    if (atomic_fetch_add(&ranges_seen, 1) % 3 != 2) {
        grpc_finish(c, GRPC_UNAVAILABLE, "etcdserver: request timed out");
        return;
    }
    pb__range_response__init(&answer);
    pb__key_value__init(&kv);
    kv.key = m->key;
    kv.value = m->range_end;
    kv.mod_revision = 5;
    answer.kvs = kvs;
    answer.n_kvs = 1;
    grpc_reply(c, &answer.base);
}

static void on_login(struct grpc_call *c, struct slice message)
{
    Pb__AuthenticateRequest *m =
        grpc_unpack(c, &pb__authenticate_request__descriptor, message);
    Pb__AuthenticateResponse answer;
    char token[32];
    atomic_fetch_add(&logins_seen, 1);
    if (strcmp(m->name, "off") == 0) {
        grpc_finish(c, GRPC_FAILED_PRECONDITION,
                    "etcdserver: authentication is not enabled");
        return;
    }
    if (strcmp(m->password, "secret") != 0) {
        grpc_finish(c, GRPC_INVALID_ARGUMENT,
                    "etcdserver: authentication failed, invalid user ID or "
                    "password");
        return;
    }
    pb__authenticate_response__init(&answer);
    snprintf(token, sizeof token, "t%d", atomic_load(&token_serial));
    answer.token = token;
    grpc_reply(c, &answer.base);
}

static void send_event(struct grpc_call *c, int64_t revision)
{
    Pb__WatchResponse answer;
    Pb__ResponseHeader header;
    Pb__Event event;
    Pb__KeyValue kv;
    Pb__Event *events[] = {&event};
    char key[] = "k";
    pb__watch_response__init(&answer);
    pb__response_header__init(&header);
    pb__event__init(&event);
    pb__key_value__init(&kv);
    header.revision = revision;
    kv.key = (ProtobufCBinaryData){1, (uint8_t *)key};
    kv.mod_revision = revision;
    event.kv = &kv;
    answer.header = &header;
    answer.watch_id = 4;
    answer.events = events;
    answer.n_events = 1;
    grpc_send(c, &answer.base);
}

/* The first stream breaks after one event, the second goes on. */
static void on_watch(struct grpc_call *c, struct slice message)
{
    Pb__WatchRequest *m =
        grpc_unpack(c, &pb__watch_request__descriptor, message);
    Pb__WatchResponse answer;
    Pb__ResponseHeader header;
    int number = atomic_fetch_add(&watches_seen, 1);
    pb__watch_response__init(&answer);
    pb__response_header__init(&header);
    header.revision = 9;
    answer.header = &header;
    answer.watch_id = 4;
    answer.created = true;
    grpc_send(c, &answer.base);
    if (number == 0) {
        send_event(c, 10);
        grpc_finish(c, GRPC_UNAVAILABLE, "etcdserver: no leader");
        return;
    }
    atomic_store(&resumed_at, (long long)m->create_request->start_revision);
    send_event(c, 11);
    answer.created = false;
    answer.canceled = true;
    answer.compact_revision = 3;
    grpc_send(c, &answer.base);
}

static void on_snapshot(struct grpc_call *c, struct slice message)
{
    uint8_t image[1000 + SHA256_DIGEST_LENGTH];
    static const size_t cuts[] = {0, 1, 990, 995, 1001, 1031, 1032};
    char version[] = "3.7.0";
    for (size_t i = 0; i < 1000; i++) {
        image[i] = (uint8_t)i;
    }
    SHA256(image, 1000, image + 1000);
    image[500] ^= (uint8_t)(atomic_load(&spoil_snapshot) ? 1 : 0);
    for (size_t i = 0; i + 1 < sizeof cuts / sizeof *cuts; i++) {
        Pb__SnapshotResponse answer;
        pb__snapshot_response__init(&answer);
        answer.version = version;
        answer.blob =
            (ProtobufCBinaryData){cuts[i + 1] - cuts[i], image + cuts[i]};
        grpc_send(c, &answer.base);
    }
    grpc_finish(c, GRPC_OK, NULL);
}

static const struct grpc_method methods[] = {
    {.path = "/etcdserverpb.KV/Put", .on_message = on_put},
    {.path = "/etcdserverpb.KV/Range", .on_message = on_range},
    {.path = "/etcdserverpb.Auth/Authenticate", .on_message = on_login},
    {.path = "/etcdserverpb.Watch/Watch",
     .kind = GRPC_BIDI_STREAM,
     .on_message = on_watch},
    {.path = "/etcdserverpb.Maintenance/Snapshot",
     .kind = GRPC_SERVER_STREAM,
     .on_message = on_snapshot},
};

static void on_accept(void *ctx, struct conn *c)
{
    grpc_server_accept(server, c);
}

static void on_drained(void *ctx)
{
    loop_stop(server_loop);
}

static void on_stop(void *ctx)
{
    listener_close(listener);
    grpc_server_stop(server, GRPC_UNAVAILABLE, "stopping", on_drained, NULL);
}

static void *serve(void *ctx)
{
    loop_run(server_loop);
    return NULL;
}

static int start_server(void **state)
{
    struct net_address any = {.host = "127.0.0.1"};
    struct grpc_server_config config = {
        .message_bytes_max = 2 << 20,
        .concurrent_streams_max = UINT32_MAX,
        .keepalive_min_time_ms = 5000,
        .keepalive_interval_ms = 7200000,
        .keepalive_timeout_ms = 20000,
        .methods = methods,
        .method_count = sizeof methods / sizeof *methods,
    };
    assert_int_equal(loop_new(&server_loop), 0);
    server = grpc_server_new(server_loop, &config);
    assert_int_equal(
        listener_open(server_loop, &any, on_accept, NULL, &listener), 0);
    snprintf(endpoint, sizeof endpoint, "127.0.0.1:%u",
             listener_port(listener));
    stopper = waker_new(server_loop, on_stop, NULL);
    return pthread_create(&server_thread, NULL, serve, NULL);
}

static int stop_server(void **state)
{
    waker_wake(stopper);
    pthread_join(server_thread, NULL);
    grpc_server_free(server);
    waker_free(stopper);
    loop_free(server_loop);
    return 0;
}

struct failures {
    int count;
    struct cofre_failure last;
    char text[256];
};

static void on_failed(void *ctx, const struct cofre_failure *f)
{
    struct failures *all = ctx;
    all->count++;
    all->last = *f;
    snprintf(all->text, sizeof all->text, "%s", f->text);
}

static struct cofre *open_client(const char *endpoints, const char *user,
                                 struct failures *failures)
{
    struct cofre *c = NULL;
    struct cofre_config config = {
        .endpoints = endpoints,
        .dial_timeout_ms = 1000,
        .call_timeout_ms = 5000,
        .user = user,
        .password = "secret",
        .on_failed = on_failed,
        .ctx = failures,
    };
    assert_int_equal(cofre_open(&config, &c), COFRE_OK);
    return c;
}

static void test_put_and_errors(void **state)
{
    struct failures failures = {0};
    struct cofre *c = open_client(endpoint, NULL, &failures);
    struct cofre_reply *reply = NULL;
    assert_int_equal(cofre_put(c, COFRE_STR("a"), COFRE_STR("1"), NULL, &reply),
                     0);
    assert_int_equal(cofre_reply_header(reply).revision, 7);
    assert_int_equal(cofre_reply_kv_count(reply), 0);
    cofre_reply_free(reply);
    assert_int_equal(
        cofre_put(c, COFRE_STR("lease"), COFRE_STR("1"), NULL, NULL),
        COFRE_NOT_FOUND);
    assert_string_equal(cofre_error_text(c),
                        "etcdserver: requested lease not found");
    assert_int_equal(cofre_error_code(c), COFRE_NOT_FOUND);
    assert_int_equal(failures.count, 1);
    assert_string_equal(failures.last.method, "/etcdserverpb.KV/Put");
    assert_true(failures.last.connected);
    assert_int_equal(cofre_put(c, COFRE_STR("a"), COFRE_STR("1"), NULL, NULL),
                     0);
    assert_string_equal(cofre_error_text(c), "");
    cofre_close(c);
}

static void test_writes_are_not_sent_twice(void **state)
{
    struct failures failures = {0};
    struct cofre *c = open_client(endpoint, NULL, &failures);
    int before = atomic_load(&puts_seen);
    assert_int_equal(
        cofre_put(c, COFRE_STR("busy"), COFRE_STR("1"), NULL, NULL),
        COFRE_UNAVAILABLE);
    assert_int_equal(atomic_load(&puts_seen), before + 1);
    cofre_close(c);
}

static void test_reads_are_sent_again(void **state)
{
    struct failures failures = {0};
    struct cofre *c = open_client(endpoint, NULL, &failures);
    struct cofre_reply *reply = NULL;
    struct cofre_get_options options = {.prefix = true};
    atomic_store(&ranges_seen, 0);
    assert_int_equal(cofre_get(c, COFRE_STR("ab"), &options, &reply), 0);
    assert_int_equal(atomic_load(&ranges_seen), 3);
    assert_int_equal(failures.count, 2);
    assert_int_equal(failures.last.attempt, 1);
    assert_int_equal(cofre_reply_kv_count(reply), 1);
    assert_memory_equal(cofre_reply_kv(reply, 0).value.data, "ac", 2);
    cofre_reply_free(reply);
    cofre_close(c);
}

static void test_failover(void **state)
{
    struct failures failures = {0};
    char list[80];
    snprintf(list, sizeof list, "127.0.0.1:1,http://%s", endpoint);
    struct cofre *c = open_client(list, NULL, &failures);
    assert_int_equal(cofre_endpoint_count(c), 2);
    assert_int_equal(cofre_put(c, COFRE_STR("a"), COFRE_STR("1"), NULL, NULL),
                     0);
    assert_int_equal(failures.count, 0);
    cofre_close(c);
}

static void test_nobody_there(void **state)
{
    struct failures failures = {0};
    struct cofre *c = open_client("127.0.0.1:1", NULL, &failures);
    cofre_set_call_timeout(c, 200);
    assert_int_equal(cofre_put(c, COFRE_STR("a"), COFRE_STR("1"), NULL, NULL),
                     COFRE_DEADLINE_EXCEEDED);
    assert_string_equal(cofre_error_text(c), "context deadline exceeded");
    assert_int_equal(failures.count, 1);
    assert_false(failures.last.connected);
    assert_string_equal(
        failures.text,
        "latest balancer error: connection error: desc = \"transport: Error "
        "while dialing: dial tcp 127.0.0.1:1: connect: connection "
        "refused\"");
    cofre_close(c);
}

static void test_deadline(void **state)
{
    struct failures failures = {0};
    struct cofre *c = open_client(endpoint, NULL, &failures);
    cofre_set_call_timeout(c, 100);
    assert_int_equal(
        cofre_put(c, COFRE_STR("hang"), COFRE_STR("1"), NULL, NULL),
        COFRE_DEADLINE_EXCEEDED);
    assert_string_equal(cofre_error_text(c), "context deadline exceeded");
    cofre_close(c);
}

static void test_login_and_again(void **state)
{
    struct failures failures = {0};
    struct cofre *c = open_client(endpoint, "u", &failures);
    atomic_store(&logins_seen, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            cofre_put(c, COFRE_STR("auth"), COFRE_STR("1"), NULL, NULL), 0);
    }
    assert_int_equal(atomic_load(&logins_seen), 1);
    atomic_fetch_add(&token_serial, 1); /* the server forgets its tokens */
    assert_int_equal(
        cofre_put(c, COFRE_STR("auth"), COFRE_STR("1"), NULL, NULL), 0);
    assert_int_equal(atomic_load(&logins_seen), 2);
    cofre_close(c);

    c = open_client(endpoint, "off", &failures);
    assert_int_equal(cofre_login(c), 0);
    cofre_close(c);
}

struct seen {
    struct cofre *client;
    int64_t revisions[8];
    size_t count;
    bool canceled;
    int64_t compact_revision;
};

static void on_news(void *ctx, const struct cofre_watch_news *n)
{
    struct seen *s = ctx;
    for (size_t i = 0; i < n->event_count && s->count < 8; i++) {
        s->revisions[s->count++] = cofre_watch_event(n, i).kv.mod_revision;
    }
    if (n->canceled) {
        s->canceled = true;
        s->compact_revision = n->compact_revision;
        cofre_stop(s->client);
    }
}

static void test_watch_resumes(void **state)
{
    struct failures failures = {0};
    struct cofre *c = open_client(endpoint, NULL, &failures);
    struct seen seen = {.client = c};
    struct cofre_watcher *w = cofre_watcher_new(c, on_news, &seen);
    atomic_store(&watches_seen, 0);
    assert_int_equal(cofre_watch_add(w, COFRE_STR("k"), NULL), 0);
    assert_int_equal(cofre_run(c), 0);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.revisions[0], 10);
    assert_int_equal(seen.revisions[1], 11);
    assert_int_equal(atomic_load(&resumed_at), 11);
    assert_true(seen.canceled);
    assert_int_equal(seen.compact_revision, 3);
    cofre_watcher_free(w);
    cofre_close(c);
}

static void test_snapshot(void **state)
{
    struct failures failures = {0};
    struct cofre_snapshot snapshot;
    FILE *file = tmpfile();
    struct cofre *c = open_client(endpoint, NULL, &failures);
    atomic_store(&spoil_snapshot, false);
    assert_int_equal(cofre_snapshot(c, fileno(file), NULL, NULL, &snapshot), 0);
    assert_int_equal(snapshot.size, 1032);
    assert_string_equal(snapshot.version, "3.7.0");
    assert_int_equal(lseek(fileno(file), 0, SEEK_END), 1032);
    atomic_store(&spoil_snapshot, true);
    assert_int_equal(cofre_snapshot(c, fileno(file), NULL, NULL, &snapshot),
                     COFRE_DATA_LOSS);
    fclose(file);
    cofre_close(c);
}

static void test_unknown_method(void **state)
{
    struct failures failures = {0};
    struct cofre *c = open_client(endpoint, NULL, &failures);
    struct cofre_status status;
    assert_int_equal(cofre_status(c, &status), COFRE_UNIMPLEMENTED);
    cofre_close(c);
}

static void test_request_limit(void **state)
{
    struct cofre *c = NULL;
    struct cofre_config config = {.endpoints = endpoint,
                                  .request_bytes_max = 100};
    char value[128];
    memset(value, 'x', sizeof value);
    assert_int_equal(cofre_open(&config, &c), 0);
    /* 2 + 1 for the key "a", 2 for the value's tag and length. */
    struct cofre_bytes fits = {value, 95};
    struct cofre_bytes too_large = {value, 96};
    assert_int_equal(cofre_put(c, COFRE_STR("a"), fits, NULL, NULL), 0);
    assert_int_equal(cofre_put(c, COFRE_STR("a"), too_large, NULL, NULL),
                     COFRE_RESOURCE_EXHAUSTED);
    assert_string_equal(cofre_error_text(c),
                        "trying to send message larger than max (101 vs. 100)");
    cofre_close(c);
}

static void test_endpoints(void **state)
{
    static const char *const bad[] = {
        "",     "foo",       "foo:", "foo:0",    "foo:x",
        ":::1", "foo:65536", "[::1", "a:1,,b:2", "http://a:1/x"};
    static const char *const good[] = {"a:1",           "[::1]:2379",
                                       "http://a:1/",   "unix:/run/x",
                                       "unix:///run/x", "a:1, b:2"};
    struct cofre *c = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cofre_config config = {.endpoints = bad[i]};
        assert_int_equal(cofre_open(&config, &c), COFRE_INVALID_ARGUMENT);
        assert_null(c);
        assert_true(strlen(cofre_open_error()) > 0);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct cofre_config config = {.endpoints = good[i]};
        assert_int_equal(cofre_open(&config, &c), COFRE_OK);
        cofre_close(c);
    }
    struct cofre_config tls = {.endpoints = "https://a:1"};
    assert_int_equal(cofre_open(&tls, &c), COFRE_UNIMPLEMENTED);
}

static void test_prefix_end(void **state)
{
    char end[8];
    struct cofre_bytes all = {"\xff\xff", 2};
    assert_int_equal(cofre_prefix_end(COFRE_STR("ab"), end), 2);
    assert_memory_equal(end, "ac", 2);
    assert_int_equal(cofre_prefix_end(COFRE_STR("a\xff"), end), 1);
    assert_memory_equal(end, "b", 1);
    assert_int_equal(cofre_prefix_end(all, end), 1);
    assert_memory_equal(end, "\0", 1);
    assert_int_equal(cofre_prefix_end(COFRE_STR(""), end), 1);
    assert_memory_equal(end, "\0", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_and_errors),
        cmocka_unit_test(test_writes_are_not_sent_twice),
        cmocka_unit_test(test_reads_are_sent_again),
        cmocka_unit_test(test_failover),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_login_and_again),
        cmocka_unit_test(test_watch_resumes),
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_unknown_method),
        cmocka_unit_test(test_request_limit),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_prefix_end),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
