/*
 * The rim towards sockets and time: one event loop (libuv), timers, a
 * wake-up for other threads, listeners, and byte-stream connections behind
 * one vtable, so that TLS can slip in later. Everything here runs on the
 * loop thread unless it says otherwise.
 *
 * A pass of the loop is one batch:
 *   timers, wake-ups and readable sockets run their callbacks, which only
 *   decode and queue; then, once, the pass hooks in order of registration
 *   (the server's hook proposes, writes the WAL, applies, answers); then
 *   every connection marked by conn_want_flush() is asked for its output
 *   (on_flush) and that is sent with one send(2).
 * The hooks also run before the loop goes to sleep, so what a timer queued
 * does not wait.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/buf.h"
#include "base/list.h"

struct loop;

/* ERR_IO: no descriptors left. */
int loop_new(struct loop **ret_loop);
/* Connections still open get on_closed(ERR_CLOSED) here: their owners must
 * still be there, or have closed them. */
void loop_free(struct loop *l);
void loop_run(struct loop *l); /* until loop_stop() */
void loop_stop(struct loop *l);
/* Monotonic, cached for the pass. */
uint64_t loop_now_ms(const struct loop *l);
uint64_t loop_now_ns(const struct loop *l); /* a fresh reading */
uv_loop_t *loop_uv(struct loop *l);

/* Stops the loop at SIGTERM or SIGINT, whose number is then in `s`; `s` lives
 * as long as the loop. */
struct loop_signals {
    struct loop *loop;
    int number;
    uv_signal_t on_term;
    uv_signal_t on_int;
};
void loop_stop_on_signals(struct loop *l, struct loop_signals *s);
/* The end of main: ends as the signal would have ended the process, so that
 * a supervisor sees it; process 1 of a container cannot be ended so and gets
 * 0 to exit with. */
int loop_exit_by_signal(int number);

struct pass_hook {
    void (*run)(struct pass_hook *h);
    struct list link; /* net's */
};
void loop_add_hook(struct loop *l, struct pass_hook *h);

struct timer; /* heap object; callbacks may stop or free it */
struct timer *timer_new(struct loop *l, void (*fire)(void *ctx), void *ctx);
void timer_start(struct timer *t, uint64_t after_ms, uint64_t repeat_ms);
void timer_stop(struct timer *t);
void timer_free(struct timer *t); /* NULL is fine */

/* waker_wake() may be called by any thread; `fire` then runs on the loop,
 * once for any number of wakes. */
struct waker;
struct waker *waker_new(struct loop *l, void (*fire)(void *ctx), void *ctx);
void waker_wake(struct waker *w);
void waker_free(struct waker *w);

/* host:port as text in and out; IPv6 in brackets. */
struct net_address {
    char host[256];
    uint16_t port;
    char path[108]; /* unix socket: path set, host empty */
};

struct conn;

struct conn_handler {
    /* Bytes came: borrowed, consume all of them. May call conn_close(). */
    void (*on_data)(void *ctx, struct slice data);
    /* If set, it is called instead of reading: conn_peek() at the bytes,
     * then set another handler, detach, close, or wait: it is called again
     * when there are more bytes than were peeked at. */
    void (*on_readable)(void *ctx);
    /* Append output to `out` (up to about NET_FLUSH_BYTES), called when the
     * connection wants to flush and the socket takes bytes; return true
     * when there is more, to be called again. */
    bool (*on_flush)(void *ctx, struct buf *out);
    /* Gone (err 0: the other side closed orderly; ERR_IO, ERR_TIMEOUT,
     * ERR_CLOSED: conn_close() was called). Called exactly once, never from
     * inside a conn_*() call; the conn is freed after it. */
    void (*on_closed)(void *ctx, int err);
};

enum { NET_FLUSH_BYTES = 256 << 10, NET_DRAIN_MS = 3000 };

/* NULL: stop reading, and tell nobody when it is gone. */
void conn_set_handler(struct conn *c, const struct conn_handler *h, void *ctx);
/* Ask for on_flush at the end of this pass. */
void conn_want_flush(struct conn *c);
/* Close when all output is sent (`drain`, for at most NET_DRAIN_MS) or at
 * once. No on_data after it. */
void conn_close(struct conn *c, bool drain);
/* Stop or go on reading (back-pressure). */
void conn_pause(struct conn *c, bool paused);
/* Bytes written but not yet taken by the socket. */
size_t conn_backlog(const struct conn *c);
/* "10.0.0.1:4711" */
const char *conn_remote(const struct conn *c);
const char *conn_local(const struct conn *c);
struct loop *conn_loop(const struct conn *c);
/* A connected socket becomes a connection; the descriptor is the connection's
 * then. NULL: no descriptors left. */
struct conn *conn_adopt(struct loop *l, int fd);
/* Gives the descriptor away (to libmicrohttpd): the conn is freed without
 * on_closed. Only before any on_data. */
int conn_detach_fd(struct conn *c);
/* Bytes waiting in the socket, without taking them (MSG_PEEK). Returns the
 * count, 0 when there are none yet, ERR_CLOSED. */
int conn_peek(struct conn *c, void *data, size_t size);

/* Tells once whether the first bytes are HTTP/2's preface (RFC 9113, section
 * 3.4), without taking them: `done` sets another handler, detaches or closes.
 * A connection that says too little for a minute is closed. Only before any
 * on_data. */
void conn_sniff(struct conn *c,
                void (*done)(void *ctx, struct conn *c, bool is_http2),
                void *ctx);

/* Two connections, each the other's other side. ERR_IO: no descriptors
 * left. */
int conn_pair(struct loop *l, struct conn **ret_a, struct conn **ret_b);

struct listener;
/* `accepted` gets each new connection, not yet reading until a handler is
 * set. Host may be a name or an address; "0.0.0.0" and "::" allowed; port 0
 * picks one. ERR_BUSY (address in use), ERR_REFUSED (no right), ERR_INVALID
 * (no such address), ERR_IO. */
int listener_open(struct loop *l, const struct net_address *a,
                  void (*accepted)(void *ctx, struct conn *c), void *ctx,
                  struct listener **ret_listener);
uint16_t listener_port(const struct listener *li);
void listener_close(struct listener *li); /* NULL is fine */

/* Looks the name up anew each time, tries its addresses in turn. `done` is
 * called once, never from inside: with a conn, or with NULL and an error
 * (ERR_NOT_FOUND: no such name; ERR_REFUSED; ERR_TIMEOUT; ERR_IO). */
struct dial;
struct dial *net_dial(struct loop *l, const struct net_address *a,
                      uint64_t timeout_ms,
                      void (*done)(void *ctx, struct conn *c, int err),
                      void *ctx);
/* `done` will not be called. */
void net_dial_cancel(struct dial *d);

/* Runs `work` on the small pool for what blocks, then `done` on the loop. */
void loop_offload(struct loop *l, void (*work)(void *ctx),
                  void (*done)(void *ctx), void *ctx);

/* The same for what moves much and nobody waits for, on threads that give
 * way to all others. */
void loop_offload_bulk(struct loop *l, void (*work)(void *ctx),
                       void (*done)(void *ctx), void *ctx);

struct url {
    bool tls; /* https, unixs */
    bool is_unix;
    struct net_address address;
    char text[512]; /* canonical */
};
/* scheme://host:port as member and listen URLs have it: http, https, unix,
 * unixs; port required, no path. ERR_INVALID. */
int url_parse(const char *text, struct url *ret_url);

#endif
