/*
 * The accepted side: one request after the other on a connection that stays
 * open; a request may wait for its answer, and a stream takes the
 * connection over.
 */
#include "peer/server.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

enum { DISCARD_BYTES_MAX = 256 << 10, KEPT_BYTES = 1 << 10 };

/* ---- answers ---- */

static void put_answer_head(struct peer_server *s, int status,
                            const char *content_type, size_t size)
{
    struct buf *out = &s->out;
    buf_printf(out, "HTTP/1.1 %d %s\r\n", status, peer_http_reason(status));
    if (s->allow) {
        buf_printf(out, "Allow: %s\r\n", s->allow);
    }
    if (content_type) {
        buf_printf(out, "Content-Type: %s\r\n", content_type);
    }
    if (!s->is_plain && s->hub) {
        buf_printf(out, "X-Etcd-Cluster-Id: %s\r\n", s->hub->cluster_text);
        if (s->route == ROUTE_STREAM) {
            buf_append_str(out,
                           "X-Server-Version: " PEER_SERVER_VERSION "\r\n");
        }
    }
    peer_http_date(out);
    if (status != 204) {
        buf_printf(out, "Content-Length: %zu\r\n", size);
    }
    if (!s->keeps_alive) {
        buf_append_str(out, "Connection: close\r\n");
    }
    buf_append_str(out, "\r\n");
}

static void close_drained(struct peer_server *s)
{
    s->is_closing = true;
    conn_close(s->conn, true);
}

static void go_on(struct peer_server *s);

void peer_server_answer(struct peer_server *s, int status,
                        const char *content_type, struct slice body)
{
    if (s->is_answered || s->is_closing) {
        return;
    }
    s->is_answered = true;
    put_answer_head(s, status, content_type, body.size);
    if (s->http.parser.method != HTTP_HEAD && status != 204) {
        buf_append_slice(&s->out, body);
    }
    s->moved_ms = loop_now_ms(conn_loop(s->conn));
    conn_want_flush(s->conn);
    if (!s->keeps_alive) {
        close_drained(s);
    } else if (!s->is_reading) {
        go_on(s);
    }
}

void peer_server_text(struct peer_server *s, int status, const char *text,
                      bool cut)
{
    struct buf line = BUF_INIT(4 << 10);
    buf_printf(&line, "%s\n", text);
    s->keeps_alive = s->keeps_alive && !cut;
    peer_server_answer(s, status, "text/plain; charset=utf-8",
                       buf_slice(&line));
    buf_release(&line);
}

void peer_server_stream(struct peer_server *s, struct peer_outstream *o)
{
    buf_printf(&s->out,
               "HTTP/1.1 200 OK\r\n"
               "X-Etcd-Cluster-Id: %s\r\n"
               "X-Server-Version: " PEER_SERVER_VERSION "\r\n",
               s->hub->cluster_text);
    peer_http_date(&s->out);
    buf_append_str(&s->out, "Transfer-Encoding: chunked\r\n\r\n");
    s->is_answered = true;
    s->stream = o;
    conn_want_flush(s->conn);
}

void peer_server_forget_snapshot(struct peer_server *s)
{
    s->snapshot = NULL;
}

/* ---- requests that wait ---- */

struct peer_request *peer_server_wait(struct peer_server *s)
{
    struct peer_request *rq = mem_zalloc(sizeof *rq);
    rq->server = s;
    rq->authorization = mem_strdup(peer_http_field(&s->http, "Authorization"));
    s->request = rq;
    return rq;
}

const char *peer_request_authorization(const struct peer_request *rq)
{
    return rq->authorization;
}

void peer_answer(struct peer_request *rq, int status, const char *content_type,
                 struct slice body)
{
    struct peer_server *s = rq->server;
    free(rq->authorization);
    free(rq);
    if (s) {
        s->request = NULL;
        peer_server_answer(s, status, content_type, body);
    }
}

/* ---- the parser's events ---- */

static void drop_body(struct peer_server *s)
{
    if (s->hub) {
        s->hub->body_bytes -= s->body.size;
    }
    buf_reset(&s->body, KEPT_BYTES);
    s->body.size = 0;
}

static int on_head(void *ctx)
{
    struct peer_server *s = ctx;
    s->is_answered = s->is_complete = false;
    s->is_plain = false;
    s->allow = NULL;
    s->discarded = 0;
    s->keeps_alive = peer_http_keeps_alive(&s->http);
    peer_route_head(s);
    return s->is_closing ? ERR_CLOSED : 0;
}

static int gather(struct peer_server *s, struct slice bytes)
{
    if (s->body.size + bytes.size > peer_route_body_max(s) ||
        s->hub->body_bytes + bytes.size > PEER_BODIES_BYTES_MAX) {
        peer_server_text(s, 413, "request body too large", true);
        return ERR_CLOSED;
    }
    s->hub->body_bytes += bytes.size;
    buf_append_slice(&s->body, bytes);
    return 0;
}

static int on_body(void *ctx, struct slice bytes)
{
    struct peer_server *s = ctx;
    if (s->is_closing || !s->hub) {
        return ERR_CLOSED;
    }
    if (s->is_answered) {
        s->discarded += bytes.size;
        if (s->discarded > DISCARD_BYTES_MAX) {
            close_drained(s);
            return ERR_CLOSED;
        }
        return 0;
    }
    if (s->snapshot) {
        peer_snapshot_in_body(s->snapshot, bytes);
        return s->is_closing ? ERR_CLOSED : 0;
    }
    return gather(s, bytes);
}

static int on_complete(void *ctx)
{
    struct peer_server *s = ctx;
    s->is_complete = true;
    if (!s->is_answered && !s->is_closing && s->hub) {
        peer_route_complete(s);
    }
    drop_body(s);
    return s->is_closing ? ERR_CLOSED : 0;
}

static const struct peer_http_events http_events = {on_head, on_body,
                                                    on_complete};

/* ---- bytes ---- */

/* Up to the end of `bytes`, or to a request that has to wait; what came
 * behind that is kept. */
static void read_requests(struct peer_server *s, struct slice bytes)
{
    int err = 0;
    s->is_reading = true;
    while (bytes.size && err == 0 && !s->is_closing) {
        size_t used = 0;
        err = peer_http_read(&s->http, bytes, &used);
        if (err != 0) {
            break;
        }
        bytes = slice_from(bytes, used);
        if (s->is_complete && !s->is_answered) {
            conn_pause(s->conn, true);
            buf_append_slice(&s->rest, bytes);
            break;
        }
        if (s->is_complete && s->stream) {
            break; /* a stream's other direction says nothing */
        }
        if (s->is_complete) {
            s->is_complete = false;
            peer_http_resume(&s->http);
        }
    }
    if (err != 0 && !s->is_closing) {
        s->is_answered = s->is_complete = false;
        s->is_plain = true;
        s->allow = NULL;
        peer_server_text(s, err == ERR_TOO_LARGE ? 431 : 400,
                         err == ERR_TOO_LARGE
                             ? "Request Header Fields Too Large"
                             : "Bad Request",
                         true);
    }
    s->is_reading = false;
}

/* The answer to a whole request is given: on with the next. */
static void go_on(struct peer_server *s)
{
    if (!s->is_complete || s->is_closing) {
        return;
    }
    s->is_complete = false;
    conn_pause(s->conn, false);
    peer_http_resume(&s->http);
    struct buf rest = s->rest;
    buf_init(&s->rest, SIZE_MAX);
    read_requests(s, buf_slice(&rest));
    buf_release(&rest);
}

static void on_data(void *ctx, struct slice data)
{
    struct peer_server *s = ctx;
    s->moved_ms = loop_now_ms(conn_loop(s->conn));
    if (!s->hub || s->stream || s->is_closing) {
        return;
    }
    if (s->is_complete && !s->is_answered) {
        conn_pause(s->conn, true);
        buf_append_slice(&s->rest, data);
        return;
    }
    read_requests(s, data);
}

static bool on_flush(void *ctx, struct buf *out)
{
    struct peer_server *s = ctx;
    s->moved_ms = loop_now_ms(conn_loop(s->conn));
    buf_append_slice(out, buf_slice(&s->out));
    buf_reset(&s->out, KEPT_BYTES);
    return s->stream ? peer_outstream_flush(s->stream, out) : false;
}

static void on_closed(void *ctx, int err)
{
    struct peer_server *s = ctx;
    s->is_closing = true;
    if (s->stream) {
        peer_outstream_free(s->stream, err);
    }
    if (s->snapshot) {
        peer_snapshot_in_drop(s->snapshot);
    }
    if (s->request) {
        s->request->server = NULL;
    }
    drop_body(s);
    if (s->hub) {
        s->hub->server_count--;
    }
    list_remove(&s->link);
    peer_http_release(&s->http);
    buf_release(&s->out);
    buf_release(&s->body);
    buf_release(&s->rest);
    free(s);
}

static const struct conn_handler handler = {
    .on_data = on_data,
    .on_flush = on_flush,
    .on_closed = on_closed,
};

/* ---- from the hub ---- */

void peer_hub_accept(struct peer_hub *h, struct conn *c)
{
    if (h->server_count == PEER_SERVERS_MAX) {
        conn_close(c, false);
        return;
    }
    struct peer_server *s = mem_zalloc(sizeof *s);
    s->hub = h;
    s->conn = c;
    s->moved_ms = loop_now_ms(h->loop);
    buf_init(&s->out, SIZE_MAX);
    buf_init(&s->body, PEER_MESSAGE_BYTES_MAX);
    buf_init(&s->rest, SIZE_MAX);
    peer_http_init(&s->http, true, &http_events, s);
    list_append(&h->servers, &s->link);
    h->server_count++;
    conn_set_handler(c, &handler, s);
}

struct peer_server *peer_server_of(struct list *link)
{
    return container_of(link, struct peer_server, link);
}

void peer_server_close(struct peer_server *s)
{
    if (!s->is_closing) {
        s->is_closing = true;
        conn_close(s->conn, false);
    }
}

void peer_server_orphan(struct peer_server *s)
{
    drop_body(s);
    list_remove(&s->link);
    if (s->snapshot) {
        peer_snapshot_in_drop(s->snapshot);
        s->snapshot = NULL;
    }
    s->hub = NULL;
    /* A stream's last chunk is under way already. */
    s->is_closing = true;
    conn_close(s->conn, s->stream != NULL);
}

/* Nobody may hold a connection by saying nothing; what waits for us, or is
 * a stream, is not theirs to hurry. */
void peer_server_tick(struct peer_server *s, uint64_t now_ms)
{
    bool is_ours = s->is_complete && !s->is_answered;
    bool is_stalled = s->snapshot && peer_snapshot_in_is_full(s->snapshot);
    if (s->stream || is_ours || is_stalled) {
        if (is_stalled) {
            s->moved_ms = now_ms;
        }
        return;
    }
    if (now_ms - s->moved_ms >= s->hub->config.read_timeout_ms) {
        peer_server_close(s);
    }
}
