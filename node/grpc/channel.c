#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "grpc/client.h"

static void retire(struct grpc_link *k)
{
    if (k->channel) {
        k->channel->link = NULL;
        k->channel = NULL;
    }
}

/* ---- events ---- */

static void on_output(void *ctx)
{
    struct grpc_link *k = ctx;
    conn_want_flush(k->conn);
}

static void on_ping(void *ctx, bool is_ack)
{
}

static void on_goaway(void *ctx, uint32_t code, struct slice debug)
{
    retire(ctx);
}

static const struct h2_events events = {
    .on_header = grpc_client_header,
    .on_head = grpc_client_head,
    .on_data = grpc_client_data,
    .on_end = grpc_client_end,
    .on_close = grpc_client_close,
    .on_output = on_output,
    .on_ping = on_ping,
    .on_goaway = on_goaway,
};

static void open_waiting(struct grpc_channel *ch)
{
    list_each(it, safe, &ch->calls)
    {
        struct grpc_client_call *c =
            container_of(it, struct grpc_client_call, link);
        if (!c->is_open && ch->link) {
            grpc_client_open(c);
        }
    }
}

/* What comes first is the server's SETTINGS: it is there and speaks. */
static void on_data(void *ctx, struct slice data)
{
    struct grpc_link *k = ctx;
    grpc_keepalive_heard(k);
    if (h2_session_recv(k->h2, data) != 0) {
        retire(k);
        conn_close(k->conn, true);
    } else if (k->greeting) {
        timer_free(k->greeting);
        k->greeting = NULL;
        if (k->channel) {
            open_waiting(k->channel);
        }
    }
}

static bool on_flush(void *ctx, struct buf *out)
{
    struct grpc_link *k = ctx;
    if (h2_session_send(k->h2, out, NET_FLUSH_BYTES)) {
        return true;
    }
    bool is_done = !k->channel && !h2_session_stream_count(k->h2);
    if (is_done || h2_session_is_over(k->h2)) {
        retire(k);
        conn_close(k->conn, true);
    }
    return false;
}

/* ---- connecting ---- */

static void fail_waiting(struct grpc_channel *ch, int err)
{
    char text[400];
    snprintf(
        text, sizeof text,
        GRPC_CLIENT_UNCONNECTED ": desc = \"transport: Error while dialing: "
                                "dial tcp %s: %s\"",
        ch->authority,
        err == ERR_REFUSED ? "connect: connection refused" : err_text(err));
    /* A handler may free the channel, so what waits is taken out first. */
    struct list failed;
    list_init(&failed);
    list_each(it, safe, &ch->calls)
    {
        struct grpc_client_call *c =
            container_of(it, struct grpc_client_call, link);
        if (!c->is_open) {
            list_remove(it);
            list_append(&failed, it);
        }
    }
    while (!list_empty(&failed)) {
        grpc_client_tell(
            container_of(failed.next, struct grpc_client_call, link),
            GRPC_UNAVAILABLE, text);
    }
}

static void on_closed(void *ctx, int err)
{
    struct grpc_link *k = ctx;
    struct grpc_channel *ch = k->channel;
    bool was_greeted = k->greeting == NULL;
    timer_free(k->greeting);
    timer_free(k->probe);
    retire(k);
    h2_session_free(k->h2); /* its calls are told here */
    free(k);
    if (ch && !was_greeted) {
        fail_waiting(ch, err ? err : ERR_CLOSED);
    }
}

static const struct conn_handler handler = {
    .on_data = on_data, .on_flush = on_flush, .on_closed = on_closed};

/* Connected, but nobody speaks: a frozen process, or a full backlog. */
static void on_silence(void *ctx)
{
    struct grpc_link *k = ctx;
    struct grpc_channel *ch = k->channel;
    retire(k);
    conn_close(k->conn, false);
    if (ch) {
        fail_waiting(ch, ERR_TIMEOUT);
    }
}

void grpc_link_cut(struct grpc_link *k)
{
    retire(k);
    conn_close(k->conn, false);
}

static void on_dialed(void *ctx, struct conn *conn, int err)
{
    struct grpc_channel *ch = ctx;
    ch->dial = NULL;
    if (!conn) {
        fail_waiting(ch, err);
        return;
    }
    struct grpc_link *k = mem_zalloc(sizeof *k);
    k->channel = ch;
    k->conn = conn;
    struct h2_config config = {.is_client = true,
                               .concurrent_streams_max = UINT32_MAX,
                               .events = &events,
                               .ctx = k};
    k->h2 = h2_session_new(&config);
    if (!ch->local) { /* that one will speak */
        k->greeting = timer_new(ch->loop, on_silence, k);
        timer_start(k->greeting, ch->dial_timeout_ms, 0);
    }
    grpc_keepalive_begin(k, ch);
    conn_set_handler(conn, &handler, k);
    conn_want_flush(conn);
    ch->link = k;
}

static void on_no_pair(void *ctx)
{
    fail_waiting(ctx, ERR_IO);
}

/* At once, but a failure is told later: a call hears nothing before its
 * start has returned. */
static void connect_local(struct grpc_channel *ch)
{
    struct conn *ours = NULL, *theirs = NULL;
    if (conn_pair(ch->loop, &ours, &theirs) == 0) {
        grpc_server_accept(ch->local, theirs);
        on_dialed(ch, ours, 0);
        open_waiting(ch);
        return;
    }
    if (ch->no_pair == NULL) {
        ch->no_pair = timer_new(ch->loop, on_no_pair, ch);
    }
    timer_start(ch->no_pair, 0, 0);
}

void grpc_channel_connect(struct grpc_channel *ch)
{
    if (ch->local) {
        connect_local(ch);
    } else if (!ch->dial) {
        ch->dial = net_dial(ch->loop, &ch->address, ch->dial_timeout_ms,
                            on_dialed, ch);
    }
}

void grpc_channel_retire(struct grpc_channel *ch)
{
    if (ch->link) {
        conn_want_flush(ch->link->conn); /* closes it when it is empty */
        retire(ch->link);
    }
}

/* ---- the door ---- */

void grpc_channel_keepalive(struct grpc_channel *ch, uint64_t time_ms,
                            uint64_t timeout_ms)
{
    ch->keepalive_ms = time_ms;
    ch->keepalive_timeout_ms = timeout_ms;
}

struct grpc_channel *grpc_channel_new(struct loop *l,
                                      const struct net_address *address,
                                      uint64_t dial_timeout_ms)
{
    struct grpc_channel *ch = mem_zalloc(sizeof *ch);
    ch->loop = l;
    ch->address = *address;
    ch->dial_timeout_ms = dial_timeout_ms;
    list_init(&ch->calls);
    if (address->path[0]) {
        snprintf(ch->authority, sizeof ch->authority, "localhost");
    } else if (strchr(address->host, ':')) {
        snprintf(ch->authority, sizeof ch->authority, "[%s]:%u", address->host,
                 address->port);
    } else {
        snprintf(ch->authority, sizeof ch->authority, "%s:%u", address->host,
                 address->port);
    }
    return ch;
}

struct grpc_channel *grpc_channel_new_local(struct loop *l,
                                            struct grpc_server *server)
{
    struct grpc_channel *ch = mem_zalloc(sizeof *ch);
    ch->loop = l;
    ch->local = server;
    list_init(&ch->calls);
    snprintf(ch->authority, sizeof ch->authority, "localhost");
    return ch;
}

void grpc_channel_pause(struct grpc_channel *ch, bool paused)
{
    if (ch->link) {
        conn_pause(ch->link->conn, paused);
    }
}

void grpc_channel_free(struct grpc_channel *ch)
{
    if (!ch) {
        return;
    }
    net_dial_cancel(ch->dial);
    ch->dial = NULL;
    timer_free(ch->no_pair);
    ch->no_pair = NULL;
    struct grpc_link *k = ch->link;
    if (k) {
        retire(k);
    }
    while (!list_empty(&ch->calls)) {
        grpc_client_tell(
            container_of(ch->calls.next, struct grpc_client_call, link),
            GRPC_CANCELED, "grpc: the client connection is closing");
    }
    if (k) {
        conn_close(k->conn, false);
    }
    free(ch);
}
