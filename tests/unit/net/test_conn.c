#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/net.h"

enum { PEERS_MAX = 32 };

struct peer {
    struct fixture *f;
    struct conn *conn;
    struct buf in;
    size_t to_send; /* bytes on_flush still has to make */
    int closed;     /* on_closed calls */
    int err;
};

struct fixture {
    struct loop *loop;
    struct listener *listener;
    struct timer *guard;
    struct dial *dial;
    struct peer served[PEERS_MAX];
    int served_count;
    struct peer client;
    int dial_err, dialed;
    bool close_all_on_data;
    bool timed_out;
    bool (*is_done)(struct fixture *f);
    const struct conn_handler *server_handler;
    int detached_fd;
};

static void check(struct fixture *f)
{
    if (f->is_done && f->is_done(f)) {
        loop_stop(f->loop);
    }
}

static void on_data(void *ctx, struct slice data)
{
    struct peer *p = ctx;
    buf_append_slice(&p->in, data);
    if (p->f->close_all_on_data) {
        for (int i = 0; i < p->f->served_count; i++) {
            if (p->f->served[i].closed == 0) {
                conn_close(p->f->served[i].conn, false);
            }
        }
    }
    check(p->f);
}

static bool on_flush(void *ctx, struct buf *out)
{
    struct peer *p = ctx;
    size_t n = p->to_send < NET_FLUSH_BYTES ? p->to_send : NET_FLUSH_BYTES;
    buf_reserve(out, n);
    memset(out->data + out->size, 'x', n);
    out->size += n;
    p->to_send -= n;
    return p->to_send > 0;
}

static void on_closed(void *ctx, int err)
{
    struct peer *p = ctx;
    p->closed++;
    p->err = err;
    check(p->f);
}

static const struct conn_handler handler = {
    .on_data = on_data, .on_flush = on_flush, .on_closed = on_closed};

static void on_accepted(void *ctx, struct conn *c)
{
    struct fixture *f = ctx;
    struct peer *p = &f->served[f->served_count++];
    *p = (struct peer){.f = f, .conn = c, .in = BUF_INIT(64 << 20)};
    conn_set_handler(c, f->server_handler, p);
    check(f);
}

static void on_dialed(void *ctx, struct conn *c, int err)
{
    struct fixture *f = ctx;
    f->dialed++;
    f->dial_err = err;
    f->client = (struct peer){.f = f, .conn = c, .in = BUF_INIT(64 << 20)};
    if (c) {
        conn_set_handler(c, &handler, &f->client);
    }
    check(f);
}

static void on_guard(void *ctx)
{
    struct fixture *f = ctx;
    f->timed_out = true;
    loop_stop(f->loop);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct net_address a = {.host = "127.0.0.1"};
    assert_int_equal(loop_new(&f->loop), 0);
    assert_int_equal(listener_open(f->loop, &a, on_accepted, f, &f->listener),
                     0);
    f->server_handler = &handler;
    f->guard = timer_new(f->loop, on_guard, f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    listener_close(f->listener);
    timer_free(f->guard);
    loop_free(f->loop);
    for (int i = 0; i < f->served_count; i++) {
        buf_release(&f->served[i].in);
    }
    buf_release(&f->client.in);
    free(f);
    return 0;
}

static void run_until(struct fixture *f, bool (*is_done)(struct fixture *f))
{
    f->is_done = is_done;
    timer_start(f->guard, 10000, 0);
    loop_run(f->loop);
    timer_stop(f->guard);
    assert_false(f->timed_out);
}

static bool is_connected(struct fixture *f)
{
    return f->dialed && (f->dial_err || f->served_count);
}

static void dial(struct fixture *f, const char *host, uint16_t port)
{
    struct net_address a = {.port = port};
    strcpy(a.host, host);
    f->dialed = 0;
    f->dial = net_dial(f->loop, &a, 5000, on_dialed, f);
    assert_int_equal(f->dialed, 0);
    run_until(f, is_connected);
}

static bool client_has_8m(struct fixture *f)
{
    return f->client.in.size == 8 << 20;
}

/* More than any socket buffer holds, to a reader that sleeps at first. */
static void sends_more_than_fits(void **state)
{
    struct fixture *f = *state;
    dial(f, "localhost", listener_port(f->listener));
    assert_int_equal(f->dial_err, 0);
    assert_memory_equal(conn_remote(f->client.conn), "127.0.0.1:", 10);
    assert_string_equal(conn_local(f->client.conn),
                        conn_remote(f->served[0].conn));
    conn_pause(f->client.conn, true);
    f->served[0].to_send = 8 << 20;
    conn_want_flush(f->served[0].conn);
    f->is_done = NULL;
    uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    conn_pause(f->client.conn, false);
    run_until(f, client_has_8m);
    assert_int_equal(conn_backlog(f->served[0].conn), 0);
}

static bool client_is_closed(struct fixture *f)
{
    return f->client.closed;
}

static void drains_before_it_closes(void **state)
{
    struct fixture *f = *state;
    dial(f, "127.0.0.1", listener_port(f->listener));
    f->served[0].to_send = 3 << 20;
    conn_close(f->served[0].conn, true);
    assert_int_equal(f->served[0].closed, 0);
    run_until(f, client_is_closed);
    assert_int_equal(f->client.in.size, 3 << 20);
    assert_int_equal(f->client.err, 0);
    assert_int_equal(f->served[0].closed, 1);
    assert_int_equal(f->served[0].err, ERR_CLOSED);
}

static bool all_served_closed(struct fixture *f)
{
    for (int i = 0; i < f->served_count; i++) {
        if (!f->served[i].closed) {
            return false;
        }
    }
    return true;
}

static int connect_raw(struct fixture *f)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(listener_port(f->listener)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
    return fd;
}

static bool sixteen_served(struct fixture *f)
{
    return f->served_count == 16;
}

/* All are readable in the same pass; the first to read closes them all. */
static void closes_others_in_the_same_pass(void **state)
{
    struct fixture *f = *state;
    int fds[16];
    for (int i = 0; i < 16; i++) {
        fds[i] = connect_raw(f);
    }
    run_until(f, sixteen_served);
    f->close_all_on_data = true;
    for (int i = 0; i < 16; i++) {
        assert_int_equal(write(fds[i], "hello", 5), 5);
        conn_want_flush(f->served[i].conn);
        f->served[i].to_send = 100;
    }
    run_until(f, all_served_closed);
    size_t got = 0;
    for (int i = 0; i < 16; i++) {
        assert_int_equal(f->served[i].closed, 1);
        got += f->served[i].in.size;
        close(fds[i]);
    }
    assert_int_equal(got, 5); /* only the first was told */
}

static void on_sniff(void *ctx)
{
    struct peer *p = ctx;
    char head[16] = "";
    int n = conn_peek(p->conn, head, sizeof head);
    assert_true(n > 0);
    p->to_send++; /* counts the looks */
    if (n >= 5 && memcmp(head, "OTHER", 5) == 0) {
        p->f->detached_fd = conn_detach_fd(p->conn);
        check(p->f);
    } else if (n >= 5) {
        conn_set_handler(p->conn, &handler, p);
        p->to_send = 0;
    }
}

static const struct conn_handler sniffer = {.on_readable = on_sniff,
                                            .on_closed = on_closed};

static bool first_has_8(struct fixture *f)
{
    return f->served_count && f->served[0].in.size == 8;
}

static bool second_is_detached(struct fixture *f)
{
    return f->detached_fd > 0;
}

static bool two_served(struct fixture *f)
{
    return f->served_count == 2;
}

static void sniffs_without_taking(void **state)
{
    struct fixture *f = *state;
    f->server_handler = &sniffer;
    int a = connect_raw(f), b = connect_raw(f);
    run_until(f, two_served);
    assert_int_equal(write(a, "HEL", 3), 3);
    f->is_done = NULL;
    for (int i = 0; i < 20; i++) {
        uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    }
    assert_int_equal(f->served[0].to_send, 1); /* looked once, not always */
    assert_int_equal(write(a, "LOyou", 5), 5);
    run_until(f, first_has_8);
    assert_memory_equal(f->served[0].in.data, "HELLOyou", 8);
    assert_int_equal(write(b, "OTHER", 5), 5);
    run_until(f, second_is_detached);
    f->is_done = NULL;
    uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
    char text[8] = "";
    assert_int_equal(read(f->detached_fd, text, sizeof text), 5);
    assert_string_equal(text, "OTHER");
    assert_int_equal(f->served[1].closed, 0);
    close(f->detached_fd);
    close(a);
    close(b);
}

static void tells_why_a_dial_failed(void **state)
{
    struct fixture *f = *state;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof in;
    assert_int_equal(bind(fd, (struct sockaddr *)&in, size), 0);
    getsockname(fd, (struct sockaddr *)&in, &size);
    dial(f, "127.0.0.1", ntohs(in.sin_port)); /* bound, nobody listens */
    assert_int_equal(f->dial_err, ERR_REFUSED);
    close(fd);
    dial(f, "no-such-host.invalid", 1);
    assert_int_equal(f->dial_err, ERR_NOT_FOUND);
}

static void cancels_a_dial(void **state)
{
    struct fixture *f = *state;
    struct net_address a = {.host = "localhost", .port = 1};
    f->dialed = 0;
    net_dial_cancel(net_dial(f->loop, &a, 1000, on_dialed, f));
    strcpy(a.host, "127.0.0.1");
    net_dial_cancel(net_dial(f->loop, &a, 1000, on_dialed, f));
    f->is_done = NULL;
    for (int i = 0; i < 10; i++) {
        uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
        usleep(1000);
    }
    assert_int_equal(f->dialed, 0);
}

static void refuses_a_taken_port(void **state)
{
    struct fixture *f = *state;
    struct listener *li = NULL;
    struct net_address a = {.host = "127.0.0.1",
                            .port = listener_port(f->listener)};
    assert_int_equal(listener_open(f->loop, &a, on_accepted, f, &li), ERR_BUSY);
    strcpy(a.host, "192.0.2.1");
    assert_int_equal(listener_open(f->loop, &a, on_accepted, f, &li),
                     ERR_INVALID);
    strcpy(a.host, "no-such-host.invalid");
    assert_int_equal(listener_open(f->loop, &a, on_accepted, f, &li),
                     ERR_INVALID);
}

static void listens_on_unix_paths(void **state)
{
    struct fixture *f = *state;
    struct listener *li = NULL, *other = NULL;
    struct net_address a = {.path = "cofre.sock"};
    /* The file of a listener that died. */
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr dead = {.sa_family = AF_UNIX, .sa_data = "cofre.sock"};
    assert_int_equal(bind(fd, &dead, sizeof dead), 0);
    close(fd);
    assert_int_equal(listener_open(f->loop, &a, on_accepted, f, &li), 0);
    assert_int_equal(listener_open(f->loop, &a, on_accepted, f, &other),
                     ERR_BUSY);
    f->dial = net_dial(f->loop, &a, 5000, on_dialed, f);
    run_until(f, is_connected);
    assert_int_equal(f->dial_err, 0);
    assert_string_equal(conn_remote(f->served[0].conn), "@");
    listener_close(li);
    assert_int_equal(access("cofre.sock", F_OK), -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sends_more_than_fits),           TEST(drains_before_it_closes),
        TEST(closes_others_in_the_same_pass), TEST(sniffs_without_taking),
        TEST(tells_why_a_dial_failed),        TEST(cancels_a_dial),
        TEST(refuses_a_taken_port),           TEST(listens_on_unix_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
