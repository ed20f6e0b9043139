#include <stdlib.h>

#include "base/err.h"
#include "grpc/internal.h"

/* ---- events of a connection's session ---- */

static struct h2_stream *on_begin(void *ctx, int32_t id)
{
    return &grpc_call_new(ctx)->stream;
}

static void on_close(struct h2_stream *st, uint32_t code)
{
    struct grpc_call *c = grpc_call_of(st);
    grpc_call_settle(c, GRPC_CANCELED);
    grpc_call_end(c);
    c->conn = NULL;
    grpc_call_unref(c);
}

static void on_drain(struct h2_stream *st)
{
    struct grpc_call *c = grpc_call_of(st);
    if (c->resume && grpc_call_alive(c)) {
        c->resume(c);
    }
}

static void on_output(void *ctx)
{
    struct grpc_conn *gc = ctx;
    conn_want_flush(gc->conn);
}

static void leave(struct grpc_conn *gc, uint32_t code, const char *debug)
{
    if (!gc->is_leaving) {
        gc->is_leaving = true;
        h2_session_goaway(gc->h2, code, debug);
    }
}

/* A client that pings too often is sent away, as the API promises; more
 * leniently than etcd does, since some ping without calls. While we send,
 * every ping is welcome: clients measure the line with them. */
static void on_ping(void *ctx, bool is_ack)
{
    struct grpc_conn *gc = ctx;
    const struct grpc_server_config *config = &gc->server->config;
    uint64_t now = loop_now_ms(gc->server->loop);
    if (is_ack) {
        return;
    }
    uint32_t sent = h2_session_sent_count(gc->h2);
    if (sent != gc->sent_at_ping || !gc->ping_seen_ms) {
        gc->strikes = 0;
    } else if (now - gc->ping_seen_ms < config->keepalive_min_time_ms) {
        gc->strikes++;
    }
    gc->sent_at_ping = sent;
    gc->ping_seen_ms = now;
    if (gc->strikes > GRPC_STRIKES_MAX) {
        leave(gc, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
        conn_close(gc->conn, true);
    }
}

static void on_goaway(void *ctx, uint32_t code, struct slice debug)
{
    /* The client opens no more; what is open goes on. */
}

static const struct h2_events events = {
    .on_begin = on_begin,
    .on_header = grpc_head_header,
    .on_head = grpc_head_done,
    .on_data = grpc_receive_data,
    .on_end = grpc_receive_end,
    .on_close = on_close,
    .on_drain = on_drain,
    .on_output = on_output,
    .on_ping = on_ping,
    .on_goaway = on_goaway,
};

/* ---- events of the socket ---- */

static void on_data(void *ctx, struct slice data)
{
    struct grpc_conn *gc = ctx;
    gc->read_ms = loop_now_ms(gc->server->loop);
    gc->is_pinging = false;
    if (h2_session_recv(gc->h2, data) != 0) {
        conn_close(gc->conn, true);
    } else if (conn_backlog(gc->conn) &&
               h2_session_frame_count(gc->h2) > GRPC_UNREAD_FRAMES_MAX) {
        gc->is_paused = true;
        conn_pause(gc->conn, true);
    }
}

static bool on_flush(void *ctx, struct buf *out)
{
    struct grpc_conn *gc = ctx;
    bool more = h2_session_send(gc->h2, out, NET_FLUSH_BYTES);
    if (gc->is_paused &&
        h2_session_frame_count(gc->h2) < GRPC_UNREAD_FRAMES_MAX / 2) {
        gc->is_paused = false;
        conn_pause(gc->conn, false);
    }
    if (more) {
        return true;
    }
    bool is_done = gc->is_leaving && !h2_session_stream_count(gc->h2);
    if (is_done || h2_session_is_over(gc->h2)) {
        conn_close(gc->conn, true);
    }
    return false;
}

static void tell_drained(struct grpc_server *s)
{
    void (*drained)(void *) = s->drained;
    if (drained) {
        s->drained = NULL;
        timer_stop(s->stop_timer);
        drained(s->drained_ctx);
    }
}

static void free_conn(struct grpc_conn *gc)
{
    timer_free(gc->keepalive);
    h2_session_free(gc->h2);
    list_remove(&gc->link);
    gc->server->stats.connection_count--;
    free(gc);
}

static void on_closed(void *ctx, int err)
{
    struct grpc_conn *gc = ctx;
    struct grpc_server *s = gc->server;
    free_conn(gc);
    if (list_empty(&s->conns)) {
        grpc_call_trim(s, 0);
        if (s->is_stopping) {
            tell_drained(s);
        }
    }
}

static const struct conn_handler handler = {
    .on_data = on_data, .on_flush = on_flush, .on_closed = on_closed};

/* ---- keepalive ---- */

/* Silent for an interval: ping; still silent after the timeout: gone. Any
 * byte that comes counts as the answer. */
static void on_keepalive(void *ctx)
{
    struct grpc_conn *gc = ctx;
    const struct grpc_server_config *config = &gc->server->config;
    uint64_t silent = loop_now_ms(gc->server->loop) - gc->read_ms;
    if (gc->is_pinging) {
        conn_close(gc->conn, false);
        return;
    }
    uint64_t wait = config->keepalive_interval_ms;
    if (silent >= wait) {
        gc->is_pinging = true;
        h2_session_ping(gc->h2);
        wait = config->keepalive_timeout_ms;
    } else {
        wait -= silent;
    }
    timer_start(gc->keepalive, wait, 0);
}

/* ---- the door ---- */

struct grpc_server *grpc_server_new(struct loop *l,
                                    const struct grpc_server_config *config)
{
    struct grpc_server *s = mem_zalloc(sizeof *s);
    s->loop = l;
    s->config = *config;
    list_init(&s->conns);
    wheel_init(&s->wheel, loop_now_ms(l));
    s->wheel_timer = timer_new(l, grpc_deadline_fire, s);
    s->trim_timer = timer_new(l, grpc_call_trim_slowly, s);
    grpc_methods_build(s);
    s->method_stats =
        mem_zalloc(config->method_count * sizeof *s->method_stats);
    return s;
}

void grpc_server_accept(struct grpc_server *s, struct conn *c)
{
    if (s->is_stopping) {
        /* Who handed it over has forgotten it and must not be told. */
        conn_set_handler(c, NULL, NULL);
        conn_close(c, false);
        return;
    }
    struct grpc_conn *gc = mem_zalloc(sizeof *gc);
    gc->server = s;
    gc->conn = c;
    gc->read_ms = loop_now_ms(s->loop);
    struct h2_config config = {
        .concurrent_streams_max = s->config.concurrent_streams_max,
        .events = &events,
        .ctx = gc,
    };
    gc->h2 = h2_session_new(&config);
    list_append(&s->conns, &gc->link);
    s->stats.connection_count++;
    conn_set_handler(c, &handler, gc);
    if (s->config.keepalive_interval_ms) {
        gc->keepalive = timer_new(s->loop, on_keepalive, gc);
        timer_start(gc->keepalive, s->config.keepalive_interval_ms, 0);
    }
}

struct ending {
    enum grpc_code code;
    const char *text;
};

static void end_call(struct h2_stream *st, void *ctx)
{
    const struct ending *e = ctx;
    grpc_finish(grpc_call_of(st), e->code, e->text);
}

static void on_stop_timeout(void *ctx)
{
    struct grpc_server *s = ctx;
    list_each(it, safe, &s->conns)
    {
        conn_close(container_of(it, struct grpc_conn, link)->conn, false);
    }
    tell_drained(s);
}

static void on_nothing_open(void *ctx)
{
    tell_drained(ctx);
}

void grpc_server_stop(struct grpc_server *s, enum grpc_code code,
                      const char *text, void (*drained)(void *ctx), void *ctx)
{
    struct ending e = {code, text};
    if (s->is_stopping) {
        return;
    }
    s->is_stopping = true;
    s->drained = drained;
    s->drained_ctx = ctx;
    bool is_idle = list_empty(&s->conns);
    s->stop_timer =
        timer_new(s->loop, is_idle ? on_nothing_open : on_stop_timeout, s);
    timer_start(s->stop_timer, is_idle ? 0 : GRPC_STOP_MS, 0);
    list_each(it, safe, &s->conns)
    {
        struct grpc_conn *gc = container_of(it, struct grpc_conn, link);
        leave(gc, NGHTTP2_NO_ERROR, "graceful_stop");
        h2_session_each(gc->h2, end_call, &e);
    }
}

void grpc_server_release(struct grpc_server *s)
{
    free(s->slots);
    free(s->method_stats);
    free(s);
}

void grpc_server_free(struct grpc_server *s)
{
    if (!s) {
        return;
    }
    list_each(it, safe, &s->conns)
    {
        struct grpc_conn *gc = container_of(it, struct grpc_conn, link);
        conn_set_handler(gc->conn, NULL, NULL);
        conn_close(gc->conn, false);
        free_conn(gc);
    }
    s->is_freed = true; /* from here on calls are not kept */
    grpc_call_trim(s, 0);
    timer_free(s->wheel_timer);
    timer_free(s->trim_timer);
    timer_free(s->stop_timer);
    if (s->call_count == 0) {
        grpc_server_release(s);
    }
}

void grpc_server_get_method_stats(const struct grpc_server *s,
                                  const struct grpc_method *m,
                                  struct grpc_method_stats *ret)
{
    *ret = s->method_stats[m - s->config.methods];
}

void grpc_server_get_stats(const struct grpc_server *s,
                           struct grpc_server_stats *ret)
{
    *ret = s->stats;
}
