/* What a connection speaks, told by its first bytes, which stay unread. */
#include <stdlib.h>

#include "net/internal.h"

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum {
    PREFACE_SIZE = sizeof preface - 1,
    SNIFF_TIMEOUT_MS = 60000,
};

struct sniff {
    struct conn *conn;
    struct timer *timer;
    void (*done)(void *ctx, struct conn *c, bool is_http2);
    void *ctx;
};

static void sniff_free(struct sniff *s)
{
    timer_free(s->timer);
    free(s);
}

static void on_readable(void *ctx)
{
    struct sniff *s = ctx;
    char seen[PREFACE_SIZE];
    int size = conn_peek(s->conn, seen, sizeof seen);
    if (size <= 0) {
        return; /* closed: on_closed follows */
    }
    bool is_http2 = memcmp(seen, preface, (size_t)size) == 0;
    if (is_http2 && size < PREFACE_SIZE) {
        return; /* so far */
    }
    struct sniff told = *s;
    sniff_free(s);
    conn_set_handler(told.conn, NULL, NULL); /* we are to be told no more */
    told.done(told.ctx, told.conn, is_http2);
}

static void on_closed(void *ctx, int err)
{
    sniff_free(ctx);
}

static void on_timeout(void *ctx)
{
    struct sniff *s = ctx;
    conn_close(s->conn, false);
}

void conn_sniff(struct conn *c,
                void (*done)(void *ctx, struct conn *c, bool is_http2),
                void *ctx)
{
    static const struct conn_handler handler = {
        .on_readable = on_readable,
        .on_closed = on_closed,
    };
    struct sniff *s = mem_zalloc(sizeof *s);
    s->conn = c;
    s->done = done;
    s->ctx = ctx;
    s->timer = timer_new(c->loop, on_timeout, s);
    timer_start(s->timer, SNIFF_TIMEOUT_MS, 0);
    conn_set_handler(c, &handler, s);
}
