/* The accepted side by its bytes: texts, order of the checks, bad input. */
#include "raw.h"

/* A dialer that b knows as a peer, at an address where nobody answers. */
static void know_a(void)
{
    char nobody[] = "http://127.0.0.1:1";
    char *urls[] = {nobody};
    peer_hub_put(b.hub, 0xa, urls, 1);
}

#define HEADS                                                    \
    "Host: x\r\nX-Server-From: a\r\nX-Server-Version: 3.7.1\r\n" \
    "X-Min-Cluster-Version: 3.0.0\r\nX-Etcd-Cluster-ID: c1\r\n"
#define STREAM(kind) "GET /raft/stream/" kind "/a HTTP/1.1\r\n" HEADS

/* ---- who is talked to ---- */

static void test_methods(void **state)
{
    static const struct {
        const char *line, *allow;
    } cases[] = {
        {"POST /raft/stream/message/a", "Allow: GET\r\n"},
        {"GET /raft", "Allow: POST\r\n"},
        {"PUT /raft/snapshot", "Allow: POST\r\n"},
        {"DELETE /members", "Allow: GET\r\n"},
        {"POST /version", "Allow: GET\r\n"},
        {"GET /members/promote/5", "Allow: POST\r\n"},
        {"OPTIONS /members/hashkv", "Allow: GET\r\n"},
        {"GET /leases", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[200];
        snprintf(request, sizeof request,
                 "%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
                 cases[i].line);
        ask(request, "HTTP/1.1 405 Method Not Allowed\r\n",
            "\r\n\r\nMethod Not Allowed\n");
        refute_text("X-Etcd");
        if (cases[i].allow) {
            expect_text(cases[i].allow);
        } else {
            refute_text("Allow:");
        }
        raw_end();
    }
}

static void expect_version(const char *version, const char *least,
                           bool is_refused)
{
    char request[400];
    know_a();
    snprintf(request, sizeof request,
             "GET /raft/stream/message/a HTTP/1.1\r\nHost: x\r\n"
             "X-Etcd-Cluster-ID: c1\r\nX-Raft-To: b\r\n%s%s%s%s%s%s\r\n",
             version ? "X-Server-Version: " : "", version ? version : "",
             version ? "\r\n" : "", least ? "X-Min-Cluster-Version: " : "",
             least ? least : "", least ? "\r\n" : "");
    if (is_refused) {
        ask(request, "HTTP/1.1 412 ", "\r\n\r\nincompatible version\n");
        expect_text("X-Etcd-Cluster-Id: c1\r\n");
    } else {
        ask(request, "HTTP/1.1 200 ", "Transfer-Encoding: chunked\r\n");
    }
    raw_end();
}

static void test_versions(void **state)
{
    expect_version(NULL, NULL, true);
    expect_version("2.9.9", NULL, true);
    expect_version("3.0.0", NULL, false);
    expect_version("9.0.0", "3.7.0", false);
    expect_version("3.7.1", "3.8.0", true);
    expect_version("3.7.1", "4.0.0", true);
    expect_version("3.7.1-rc.0+x", "3.0.0", false);
    expect_version("3.7", NULL, true);
    expect_version("garbage", NULL, true);
    expect_version("3.7.1.2", NULL, true);
    expect_version("3.99999999999999999999.1", NULL, true);
    expect_version("3.7.1", "x", true);
    expect_version("", NULL, true);
}

static void test_cluster_ids(void **state)
{
    static const char *const ids[] = {"", "0c1", "C1", "c2", "c1 c1"};
    know_a();
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char request[400];
        snprintf(request, sizeof request,
                 "POST /raft HTTP/1.1\r\nHost: x\r\n"
                 "X-Server-Version: 3.7.1\r\nX-Etcd-Cluster-ID: %s\r\n"
                 "Content-Length: 0\r\n\r\n",
                 ids[i]);
        ask(request, "HTTP/1.1 412 ", "\r\n\r\ncluster ID mismatch\n");
        raw_end();
    }
}

static void test_stream_checks(void **state)
{
    ask(STREAM("message") "X-Raft-To: b\r\n\r\n", "HTTP/1.1 404 ",
        "\r\n\r\nerror sender not found\n");
    expect_text("X-Server-Version: 3.7.1\r\n");
    raw_end();
    know_a();
    ask(STREAM("other") "X-Raft-To: b\r\n\r\n", "HTTP/1.1 404 ",
        "invalid path\n");
    raw_end();
    ask("GET /raft/stream/message HTTP/1.1\r\n" HEADS "\r\n", "HTTP/1.1 404 ",
        "invalid path\n");
    raw_end();
    ask("GET /raft/stream/msgapp/xyz HTTP/1.1\r\n" HEADS "X-Raft-To: b\r\n\r\n",
        "HTTP/1.1 404 ", "invalid from\n");
    raw_end();
    ask(STREAM("message") "\r\n", "HTTP/1.1 412 ", "to field mismatch\n");
    raw_end();
    ask(STREAM("message") "X-Raft-To: c\r\n\r\n", "HTTP/1.1 412 ",
        "to field mismatch\n");
    raw_end();
    b.removed_id = 0xa;
    ask(STREAM("message") "X-Raft-To: b\r\n\r\n", "HTTP/1.1 410 ",
        "removed member\n");
    raw_end();
}

/* A dialer that is not known gets answers at the address that it told. */
static void test_unknown_dialer_becomes_an_address(void **state)
{
    ask(STREAM("message") "X-PeerURLs: http://127.0.0.1:1,x,"
                          "http://127.0.0.1:2\r\nX-Raft-To: b\r\n\r\n",
        "HTTP/1.1 404 ", NULL);
    const struct peer *p = peer_hub_find(b.hub, 0xa);
    assert_non_null(p);
    assert_true(p->is_remote);
    assert_int_equal(p->url_count, 2);
    raw_end();
    for (uint64_t id = 0x100; id < 0x100 + 2 * PEER_REMOTES_MAX; id++) {
        peer_hub_add_remote(b.hub, id, "http://127.0.0.1:1");
    }
    assert_non_null(peer_hub_find(b.hub, 0x100 + PEER_REMOTES_MAX - 2));
    assert_null(peer_hub_find(b.hub, 0x100 + PEER_REMOTES_MAX - 1));
}

/* ---- streams ---- */

static void test_stream_bytes(void **state)
{
    know_a();
    ask(STREAM("msgapp") "X-Raft-To: b\r\n\r\n", "HTTP/1.1 200 OK\r\n",
        "X-Etcd-Cluster-Id: c1\r\nX-Server-Version: 3.7.1\r\nDate: ");
    answer.size = 0;
    struct raft_message m = {
        .type = RAFT_MSG_APP, .to = 0xa, .from = 0xb, .term = 2, .commit = 1};
    peer_send(b.hub, &m, 1);
    came_within(never, 30);
    assert_int_equal(answer.size, 10 + 1 + 8 + 10 + 2);
    assert_memory_equal(answer.data,
                        "00000013\r\n\2\0\0\0\0\0\0\0\x0a"
                        "\x08\3\x10\x0a\x18\x0b\x20\2\x40\1\r\n",
                        answer.size);
    answer.size = 0;
    came_within(never, 1900); /* the link heartbeat, once */
    assert_int_equal(answer.size, 13);
    assert_memory_equal(answer.data, "00000001\r\n\0\r\n", 13);
    raw_end();
}

/* A second stream of the kind ends the first one orderly. */
static struct buf first_answer;
static bool first_is_closed;

static void first_data(void *ctx, struct slice data)
{
    buf_append_slice(&first_answer, data);
}

static void first_closed(void *ctx, int err)
{
    first_is_closed = true;
    assert_int_equal(err, 0);
}

static bool first_has_ended(void)
{
    return first_is_closed;
}

static void test_stream_is_replaced(void **state)
{
    static const char request[] = STREAM("msgapp") "X-Raft-To: b\r\n\r\n";
    static const struct conn_handler first = {.on_data = first_data,
                                              .on_closed = first_closed};
    know_a();
    ask(request, "HTTP/1.1 200 OK\r\n", NULL);
    buf_init(&first_answer, SIZE_MAX);
    first_is_closed = false;
    conn_set_handler(raw, &first, NULL);
    raw = NULL;
    raw_end();
    ask(request, "HTTP/1.1 200 OK\r\n", NULL);
    wait_for(first_has_ended);
    assert_int_equal(first_answer.size, 5);
    assert_memory_equal(first_answer.data, "0\r\n\r\n", 5);
    buf_release(&first_answer);
    raw_end();
}

/* ---- POST /raft ---- */

static void post(const char *path, const void *body, size_t size,
                 size_t announced)
{
    char head[400];
    int n = snprintf(head, sizeof head,
                     "POST %s HTTP/1.1\r\n" HEADS "Content-Length: %zu\r\n\r\n",
                     path, announced);
    raw_open();
    raw_send(head, (size_t)n);
    raw_send(body, size);
}

static void test_post_raft(void **state)
{
    post("/raft", "\x08\5\x10\x0b\x18\x0a", 6, 6);
    expect_text("HTTP/1.1 204 No Content\r\n");
    expect_text("X-Etcd-Cluster-Id: c1\r\n");
    refute_text("Content-Length");
    assert_int_equal(b.got_count, 1);
    assert_int_equal(b.got[0].type, RAFT_MSG_VOTE);
    raw_end();
    post("/raft", "\x08", 1, 1);
    expect_text("HTTP/1.1 400 ");
    expect_text("\r\n\r\nerror unmarshalling raft message\n");
    raw_end();
    post("/raft", "\x08\5\x10\x0c\x18\x0a", 6, 6); /* to another */
    expect_text("HTTP/1.1 500 ");
    expect_text("\r\n\r\nerror processing raft message\n");
    wait_for(is_closed);
    raw_end();
    post("/raft", "\x08\7\x10\x0b\x18\x0a", 6, 6); /* a snapshot */
    expect_text("error processing raft message\n");
    raw_end();
    b.removed_id = 0xa;
    post("/raft", "\x08\5\x10\x0b\x18\x0a", 6, 6);
    expect_text("error processing raft message\n");
    raw_end();
    assert_int_equal(b.got_count, 1);
}

static void test_post_too_large(void **state)
{
    post("/leases", "", 0, (4 << 20) + 1);
    static char block[1 << 16];
    for (int i = 0; i < 65; i++) {
        raw_send(block, sizeof block);
        came_within(never, 1);
    }
    expect_text("HTTP/1.1 413 ");
    wait_for(is_closed);
    raw_end();
    assert_int_equal(b.hub->body_bytes, 0);
}

static void test_keep_alive_and_pipelining(void **state)
{
    raw_open();
    static const char two[] = "GET /members HTTP/1.1\r\nHost: x\r\n\r\n"
                              "GET /version HTTP/1.1\r\nHost: x\r\n\r\n";
    raw_send(two, strlen(two));
    expect_text("[]\n");
    expect_text("{\"etcdserver\":\"3.7.1\"}");
    expect_text("Content-Type: application/json\r\n");
    /* One that waits, and one behind it in the same bytes. */
    b.holds_answers = true;
    answer.size = 0;
    static const char waits[] =
        "POST /leases HTTP/1.1\r\nHost: x\r\nAuthorization: tok\r\n"
        "Content-Length: 2\r\n\r\nhi"
        "GET /raft/probing HTTP/1.1\r\nHost: x\r\n\r\nGET /mem";
    raw_send(waits, strlen(waits));
    came_within(never, 50);
    assert_int_equal(answer.size, 0);
    assert_non_null(b.held);
    assert_string_equal(peer_request_authorization(b.held), "tok");
    peer_answer(b.held, 404, "text/plain", slice_str("lease not found\n"));
    expect_text("HTTP/1.1 404 Not Found\r\n");
    expect_text("lease not found\n");
    expect_text("{\"OK\":true,\"Now\":\"20");
    raw_send("bers HTTP/1.1\r\nConnection: close\r\n\r\n", 36);
    expect_text("Connection: close\r\n");
    wait_for(is_closed);
    raw_end();
}

static void test_asker_leaves(void **state)
{
    b.holds_answers = true;
    static const char two[] = "POST /leases HTTP/1.1\r\n"
                              "Content-Length: 0\r\n\r\n"
                              "GET /members HTTP/1.1\r\n\r\n";
    raw_open();
    raw_send(two, strlen(two));
    came_within(never, 50);
    assert_non_null(b.held);
    raw_end();
    came_within(never, 50);
    peer_answer(b.held, 200, NULL, slice_str("x"));
    came_within(never, 20);
}

static void test_hub_ends_before_the_answer(void **state)
{
    b.holds_answers = true;
    raw_open();
    raw_send("POST /leases HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 44);
    came_within(never, 50);
    assert_non_null(b.held);
    side_stop(&b);
    peer_answer(b.held, 200, NULL, slice_str("x"));
    wait_for(is_closed);
    raw_end();
    side_start(&b);
}

static void test_small_paths(void **state)
{
    ask("GET /raft/other HTTP/1.1\r\n\r\n", "HTTP/1.1 404 ",
        "404 page not found\n");
    raw_end();
    ask("GET /members/hashkv HTTP/1.1\r\nX-Etcd-Cluster-ID: 5\r\n\r\n",
        "HTTP/1.1 412 ", "cluster ID mismatch\n");
    raw_end();
    ask("GET /members/hashkv?x=1 HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 ", "GET /members/hashkv  {}");
    raw_end();
    ask("HEAD /raft/probing HTTP/1.1\r\n\r\n", "HTTP/1.1 200 ", "\r\n\r\n");
    refute_text("OK\":true");
    raw_end();
}

/* ---- garbage ---- */

static void expect_cut(const char *bytes, size_t size)
{
    raw_open();
    raw_send(bytes, size);
    wait_for(is_closed);
    raw_end();
}

static void test_garbage_is_cut(void **state)
{
    static const char *const texts[] = {
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello TLS",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header\r\n\r\n",
        "POST /leases HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "POST /leases HTTP/1.1\r\nContent-Length: 3\r\n"
        "Transfer-Encoding: chunked\r\n\r\n",
        "POST /leases HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "CONNECT x:1 HTTP/1.1\r\n\r\nabc",
        "\r\n\r\nnonsense\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        expect_cut(texts[i], strlen(texts[i]));
    }
    char *head = mem_alloc(PEER_HEAD_BYTES_MAX + 100);
    int n = sprintf(head, "GET /members HTTP/1.1\r\nX: ");
    memset(head + n, 'x', PEER_HEAD_BYTES_MAX);
    raw_open();
    raw_send(head, PEER_HEAD_BYTES_MAX + (size_t)n);
    expect_text("HTTP/1.1 431 ");
    wait_for(is_closed);
    raw_end();
    free(head);
    ask("GET /members HTTP/1.1\r\n\r\n", "HTTP/1.1 200 ", NULL);
    raw_end();
    assert_int_equal(b.got_count, 0);
}

static void test_random_bytes(void **state)
{
    static const char seedling[] =
        "POST /raft HTTP/1.1\r\n" HEADS
        "Transfer-Encoding: chunked\r\n\r\n6\r\n\x08\5\x10\x0b\x18\x0a\r\n"
        "0\r\n\r\nGET /raft/stream/message/a HTTP/1.1\r\n" HEADS
        "X-Raft-To: b\r\n\r\n";
    know_a();
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct rng r = {seed};
        char bytes[sizeof seedling];
        memcpy(bytes, seedling, sizeof bytes);
        for (uint64_t hits = rng_below(&r, 6); hits; hits--) {
            bytes[rng_below(&r, sizeof bytes)] = (char)rng_next(&r);
        }
        raw_open();
        raw_send(bytes, sizeof bytes - 1 - rng_below(&r, 20));
        came_within(never, 2);
        raw_end();
    }
    ask("GET /members HTTP/1.1\r\n\r\n", "HTTP/1.1 200 ", NULL);
    raw_end();
    came_within(never, 20);
    assert_int_equal(b.hub->server_count, 0);
    assert_int_equal(b.hub->body_bytes, 0);
}

/* ---- silence ---- */

static void test_silent_connections_are_closed(void **state)
{
    b.hub->config.read_timeout_ms = 200;
    raw_open();
    wait_for(is_closed);
    raw_end();
    raw_open();
    raw_send(
        "POST /raft HTTP/1.1\r\n" HEADS "Content-Length: 9\r\n\r\nx",
        strlen("POST /raft HTTP/1.1\r\n" HEADS "Content-Length: 9\r\n\r\nx"));
    wait_for(is_closed);
    raw_end();
    assert_int_equal(b.hub->body_bytes, 0);
    /* What waits for us is left alone. */
    b.holds_answers = true;
    raw_open();
    raw_send("POST /leases HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 44);
    assert_false(came_within(is_closed, 500));
    peer_answer(b.held, 200, NULL, slice_str("late\n"));
    expect_text("late\n");
    raw_end();
}

static bool stream_is_gone(void)
{
    return !peer_hub_find(b.hub, 0xa)->out[PEER_MESSAGE];
}

static void test_reader_that_does_not_read(void **state)
{
    b.hub->config.write_timeout_ms = 300;
    know_a();
    ask(STREAM("message") "X-Raft-To: b\r\n\r\n", "HTTP/1.1 200 ", NULL);
    conn_pause(raw, true);
    for (int i = 0; i < 20; i++) {
        struct raft_message m = {
            .type = RAFT_MSG_PROP, .to = 0xa, .from = 0xb, .entry_count = 1};
        m.entries = mem_zalloc(sizeof *m.entries);
        m.entries[0].data = bytes_new(1 << 20);
        memset(m.entries[0].data->data, 0, 1 << 20);
        peer_send(b.hub, &m, 1);
    }
    b.unreachable = 0;
    wait_for(stream_is_gone);
    came_within(never, 20);
    assert_int_equal(b.unreachable, 1);
    conn_pause(raw, false);
    raw_end();
}

static void drop_raw(void *ctx, int err)
{
}

/* One image more than may come in at once. */
static void test_snapshots_at_once(void **state)
{
    static const struct conn_handler silent = {.on_data = raw_data,
                                               .on_closed = drop_raw};
    struct conn *open[PEER_SNAPSHOTS_IN_MAX];
    for (uint32_t i = 0; i < PEER_SNAPSHOTS_IN_MAX; i++) {
        post("/raft/snapshot", "\0\0", 2, 100);
        came_within(never, 20);
        assert_int_equal(b.hub->snapshots_in, i + 1);
        open[i] = raw;
        conn_set_handler(raw, &silent, NULL);
        raw = NULL;
        raw_end();
    }
    post("/raft/snapshot", "\0\0", 2, 100);
    expect_text("HTTP/1.1 503 ");
    expect_text("too many snapshots at once\n");
    wait_for(is_closed);
    raw_end();
    for (uint32_t i = 0; i < PEER_SNAPSHOTS_IN_MAX; i++) {
        conn_close(open[i], false);
    }
    came_within(never, 50);
    assert_int_equal(b.hub->snapshots_in, 0);
}

#define pair_test(f) \
    cmocka_unit_test_setup_teardown(f, pair_setup, pair_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pair_test(test_methods),
        pair_test(test_versions),
        pair_test(test_cluster_ids),
        pair_test(test_stream_checks),
        pair_test(test_unknown_dialer_becomes_an_address),
        pair_test(test_stream_bytes),
        pair_test(test_stream_is_replaced),
        pair_test(test_post_raft),
        pair_test(test_post_too_large),
        pair_test(test_keep_alive_and_pipelining),
        pair_test(test_asker_leaves),
        pair_test(test_hub_ends_before_the_answer),
        pair_test(test_small_paths),
        pair_test(test_garbage_is_cut),
        pair_test(test_random_bytes),
        pair_test(test_silent_connections_are_closed),
        pair_test(test_reader_that_does_not_read),
        pair_test(test_snapshots_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
