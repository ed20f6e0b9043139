#include "peer/client.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

enum { OUT_BYTES_MAX = 192 << 20, OUT_BYTES_KEPT = 4 << 10 };

/* dialling: dial; connected: conn; gone when both are NULL. `events` is
 * NULL once the owner has let go. */
struct peer_client {
    struct loop *loop;
    struct dial *dial;
    struct conn *conn;
    struct peer_http http;
    struct buf out;
    struct timer *timer;
    uint64_t limit_ms;
    uint64_t moved_ms;
    size_t seen_backlog;
    struct url url;
    const struct peer_client_events *events;
    void *ctx;
};

static void free_client(struct peer_client *c)
{
    timer_free(c->timer);
    peer_http_release(&c->http);
    buf_release(&c->out);
    free(c);
}

/* The owner lets go, or is told; the conn ends on its own time. */
static void drop(struct peer_client *c)
{
    c->events = NULL;
    timer_stop(c->timer);
    if (c->conn) {
        conn_close(c->conn, false);
        return;
    }
    net_dial_cancel(c->dial);
    free_client(c);
}

static void tell_closed(struct peer_client *c, int err)
{
    const struct peer_client_events *events = c->events;
    void *ctx = c->ctx;
    drop(c);
    events->closed(ctx, err);
}

void peer_client_close(struct peer_client *c)
{
    if (c && c->events) {
        drop(c);
    }
}

/* ---- the parser's events, handed on while the owner listens ---- */

static int on_head(void *ctx)
{
    struct peer_client *c = ctx;
    return c->events ? c->events->head(c->ctx, &c->http) : ERR_CLOSED;
}

static int on_body(void *ctx, struct slice bytes)
{
    struct peer_client *c = ctx;
    return c->events ? c->events->body(c->ctx, bytes) : ERR_CLOSED;
}

static int on_complete(void *ctx)
{
    struct peer_client *c = ctx;
    bool keeps_alive = peer_http_keeps_alive(&c->http);
    return c->events ? c->events->complete(c->ctx, keeps_alive) : ERR_CLOSED;
}

static const struct peer_http_events http_events = {on_head, on_body,
                                                    on_complete};

/* ---- the connection's ---- */

static void on_data(void *ctx, struct slice data)
{
    struct peer_client *c = ctx;
    c->moved_ms = loop_now_ms(c->loop);
    while (data.size && c->events) {
        size_t used;
        int err = peer_http_read(&c->http, data, &used);
        if (!c->events) {
            return;
        }
        if (err != 0) {
            tell_closed(c, err);
            return;
        }
        peer_http_resume(&c->http);
        data = slice_from(data, used);
    }
}

static bool on_flush(void *ctx, struct buf *out)
{
    struct peer_client *c = ctx;
    if (!c->events) {
        return false;
    }
    c->moved_ms = loop_now_ms(c->loop);
    buf_append_slice(out, buf_slice(&c->out));
    buf_reset(&c->out, OUT_BYTES_KEPT);
    return c->events->flush ? c->events->flush(c->ctx, out) : false;
}

static void on_closed(void *ctx, int err)
{
    struct peer_client *c = ctx;
    if (c->events && err == 0) {
        peer_http_finish(&c->http); /* may complete an answer */
    }
    c->conn = NULL;
    if (c->events) {
        tell_closed(c, err);
    } else {
        free_client(c);
    }
}

static const struct conn_handler handler = {
    .on_data = on_data,
    .on_flush = on_flush,
    .on_closed = on_closed,
};

static void on_dialled(void *ctx, struct conn *conn, int err)
{
    struct peer_client *c = ctx;
    c->dial = NULL;
    if (!conn) {
        tell_closed(c, err);
        return;
    }
    c->conn = conn;
    conn_set_handler(conn, &handler, c);
    c->events->connected(c->ctx);
}

/* ---- the deadline ---- */

static void on_timer(void *ctx)
{
    struct peer_client *c = ctx;
    if (!c->conn) { /* a dial that could not even start */
        tell_closed(c, ERR_UNSUPPORTED);
        return;
    }
    size_t backlog = conn_backlog(c->conn);
    uint64_t now = loop_now_ms(c->loop);
    if (backlog < c->seen_backlog) {
        c->moved_ms = now;
    }
    c->seen_backlog = backlog;
    uint64_t still_ms = now - c->moved_ms;
    if (still_ms >= c->limit_ms) {
        tell_closed(c, ERR_TIMEOUT);
        return;
    }
    uint64_t left_ms = c->limit_ms - still_ms;
    timer_start(c->timer, left_ms < 1000 ? left_ms : 1000, 0);
}

void peer_client_limit(struct peer_client *c, uint64_t idle_ms)
{
    c->limit_ms = idle_ms;
    c->moved_ms = loop_now_ms(c->loop);
    if (idle_ms) {
        timer_start(c->timer, idle_ms < 1000 ? idle_ms : 1000, 0);
    } else {
        timer_stop(c->timer);
    }
}

/* ---- the door ---- */

struct peer_client *peer_client_new(struct loop *l, const struct url *url,
                                    uint64_t dial_timeout_ms,
                                    const struct peer_client_events *events,
                                    void *ctx)
{
    struct peer_client *c = mem_zalloc(sizeof *c);
    c->loop = l;
    c->url = *url;
    c->events = events;
    c->ctx = ctx;
    c->timer = timer_new(l, on_timer, c);
    buf_init(&c->out, OUT_BYTES_MAX);
    peer_http_init(&c->http, false, &http_events, c);
    if (url->tls) {
        timer_start(c->timer, 0, 0);
    } else {
        c->dial = net_dial(l, &c->url.address, dial_timeout_ms, on_dialled, c);
    }
    return c;
}

struct buf *peer_client_out(struct peer_client *c)
{
    return &c->out;
}

void peer_client_flush(struct peer_client *c)
{
    if (c->conn) {
        conn_want_flush(c->conn);
    }
}

void peer_client_start_request(struct peer_client *c, const char *method,
                               const char *path)
{
    const char *host = strstr(c->url.text, "://");
    host = host && !c->url.is_unix ? host + 3 : "localhost";
    buf_printf(&c->out, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, host);
}

bool peer_client_is_connected(const struct peer_client *c)
{
    return c->conn != NULL;
}
