/*
 *   resolving -> connecting (one address after the other) -> told
 * The look-up on the pool cannot always be taken back; then the dial stays
 * behind as an orphan until it returns.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "net/internal.h"

struct dial {
    struct loop *loop;
    uv_getaddrinfo_t lookup;
    bool is_resolving;
    bool is_over; /* told or cancelled */
    int err;      /* of the last address */
    uint64_t deadline_ms;
    struct timer *timer;
    struct addrinfo *found; /* owned by libuv's allocator */
    struct addrinfo *at;    /* the next to try */
    struct sockaddr_storage direct;
    struct addrinfo direct_info; /* stands in for a look-up */
    uv_poll_t *poll;
    int fd;
    void (*done)(void *ctx, struct conn *c, int err);
    void *ctx;
};

static void try_next(struct dial *d);

static void free_poll(uv_handle_t *h)
{
    free(h);
}

static void drop_poll(struct dial *d)
{
    if (d->poll) {
        d->poll->data = NULL;
        uv_close((uv_handle_t *)d->poll, free_poll);
        d->poll = NULL;
    }
}

static void drop_attempt(struct dial *d)
{
    drop_poll(d);
    if (d->fd >= 0) {
        close(d->fd);
        d->fd = -1;
    }
}

static void retire(struct dial *d)
{
    d->is_over = true;
    drop_attempt(d);
    timer_free(d->timer);
    d->timer = NULL;
    if (d->found) {
        uv_freeaddrinfo(d->found);
        d->found = NULL;
    }
    if (d->is_resolving) {
        uv_cancel((uv_req_t *)&d->lookup);
    } else {
        free(d);
    }
}

static void fail(struct dial *d, int err)
{
    void (*done)(void *, struct conn *, int) = d->done;
    void *ctx = d->ctx;
    retire(d);
    done(ctx, NULL, err);
}

static void succeed(struct dial *d)
{
    void (*done)(void *, struct conn *, int) = d->done;
    void *ctx = d->ctx;
    drop_poll(d);
    struct conn *c = net_conn_new(d->loop, d->fd);
    if (c) {
        d->fd = -1;
    }
    retire(d);
    done(ctx, c, c ? 0 : ERR_IO);
}

static void on_timer(void *ctx)
{
    struct dial *d = ctx;
    if (d->is_resolving || loop_now_ms(d->loop) >= d->deadline_ms) {
        fail(d, ERR_TIMEOUT);
        return;
    }
    if (d->fd >= 0) {
        d->err = ERR_TIMEOUT;
        drop_attempt(d);
    }
    try_next(d);
}

static void on_connected(uv_poll_t *h, int status, int events)
{
    struct dial *d = h->data;
    int number = 0;
    socklen_t size = sizeof number;
    getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &number, &size);
    if (number == 0 && status == 0) {
        succeed(d);
        return;
    }
    d->err = number ? net_error(number) : ERR_IO;
    drop_attempt(d);
    try_next(d);
}

/* 0: under way; else the error. */
static int start_attempt(struct dial *d, const struct addrinfo *ai)
{
    d->fd =
        socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->fd < 0) {
        return ERR_IO;
    }
    if (connect(d->fd, ai->ai_addr, ai->ai_addrlen) != 0 &&
        errno != EINPROGRESS) {
        return net_error(errno) == ERR_AGAIN ? ERR_REFUSED : net_error(errno);
    }
    uv_poll_t *poll = mem_zalloc(sizeof *poll);
    if (uv_poll_init(&d->loop->uv, poll, d->fd) != 0) {
        free(poll);
        return ERR_IO;
    }
    poll->data = d;
    d->poll = poll;
    uv_poll_start(poll, UV_WRITABLE, on_connected);
    return 0;
}

/* Each address gets its share of the time that is left. */
static void try_next(struct dial *d)
{
    while (d->at) {
        const struct addrinfo *ai = d->at;
        uint64_t left = 0;
        for (const struct addrinfo *it = ai; it; it = it->ai_next) {
            left++;
        }
        d->at = ai->ai_next;
        d->err = start_attempt(d, ai);
        if (d->err == 0) {
            uint64_t now = loop_now_ms(d->loop);
            uint64_t rest = d->deadline_ms > now ? d->deadline_ms - now : 0;
            timer_start(d->timer, rest / left, 0);
            return;
        }
        drop_attempt(d);
    }
    fail(d, d->err ? d->err : ERR_NOT_FOUND);
}

static void on_resolved(uv_getaddrinfo_t *req, int status,
                        struct addrinfo *found)
{
    struct dial *d = container_of(req, struct dial, lookup);
    d->is_resolving = false;
    if (d->is_over) {
        uv_freeaddrinfo(found);
        free(d);
        return;
    }
    if (status != 0) {
        bool is_unknown = status == UV_EAI_NONAME || status == UV_EAI_NODATA ||
                          status == UV_EAI_AGAIN || status == UV_EAI_FAIL;
        fail(d, is_unknown ? ERR_NOT_FOUND : ERR_IO);
        return;
    }
    d->found = d->at = found;
    try_next(d);
}

static void start_lookup(struct dial *d, const struct net_address *a)
{
    char port[8];
    snprintf(port, sizeof port, "%u", a->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    d->is_resolving = uv_getaddrinfo(&d->loop->uv, &d->lookup, on_resolved,
                                     a->host, port, &hints) == 0;
    d->err = d->is_resolving ? 0 : ERR_NOT_FOUND;
}

struct dial *net_dial(struct loop *l, const struct net_address *a,
                      uint64_t timeout_ms,
                      void (*done)(void *ctx, struct conn *c, int err),
                      void *ctx)
{
    struct dial *d = mem_zalloc(sizeof *d);
    d->loop = l;
    d->fd = -1;
    d->done = done;
    d->ctx = ctx;
    d->deadline_ms = loop_now_ms(l) + timeout_ms;
    d->timer = timer_new(l, on_timer, d);
    socklen_t size = 0;
    if (net_address_numeric(a, &d->direct, &size)) {
        d->direct_info.ai_family = d->direct.ss_family;
        d->direct_info.ai_addr = (struct sockaddr *)&d->direct;
        d->direct_info.ai_addrlen = size;
        d->at = &d->direct_info;
        d->deadline_ms += timeout_ms == 0;
    } else {
        start_lookup(d, a);
    }
    /* Never tells from inside: the first attempt starts on the loop. */
    timer_start(d->timer, d->is_resolving ? timeout_ms : 0, 0);
    return d;
}

void net_dial_cancel(struct dial *d)
{
    if (d) {
        retire(d);
    }
}
