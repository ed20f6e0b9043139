#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "net/internal.h"

/* ---- plain TCP and unix sockets ---- */

static ssize_t plain_recv(struct conn *c, void *data, size_t size, bool peek)
{
    for (;;) {
        ssize_t n = recv(c->fd, data, size, peek ? MSG_PEEK : 0);
        if (n >= 0 || errno != EINTR) {
            return n >= 0 ? n : net_error(errno);
        }
    }
}

static ssize_t plain_send(struct conn *c, const void *data, size_t size)
{
    for (;;) {
        ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);
        if (n >= 0 || errno != EINTR) {
            return n >= 0 ? n : net_error(errno);
        }
    }
}

static void plain_shut(struct conn *c)
{
    shutdown(c->fd, SHUT_WR);
}

static const struct conn_ops plain = {plain_recv, plain_send, plain_shut, NULL};

/* ---- state ---- */

static void on_poll(uv_poll_t *h, int status, int events);

static void update_events(struct conn *c)
{
    int events = c->backlog.size ? UV_WRITABLE : 0;
    bool reads = (c->state == CONN_OPEN && c->handler && !c->is_paused) ||
                 c->state == CONN_LINGERING;
    events |= reads ? UV_READABLE : 0;
    if (events == c->events || c->fd < 0) {
        return;
    }
    c->events = events;
    if (events) {
        uv_poll_start(c->poll, events, on_poll);
    } else {
        uv_poll_stop(c->poll);
    }
}

static void free_poll(uv_handle_t *h)
{
    free(h);
}

static void drop_fd(struct conn *c)
{
    uv_close((uv_handle_t *)c->poll, free_poll); /* stops it at once */
    c->poll = NULL;
    c->fd = -1;
    c->events = 0;
}

static void enter_closed(struct conn *c, int err)
{
    if (c->state == CONN_CLOSED) {
        return;
    }
    c->err = c->state == CONN_OPEN ? err : c->err;
    c->state = CONN_CLOSED;
    int fd = c->fd;
    drop_fd(c);
    close(fd);
    list_remove(&c->dirty_link);
    list_remove(&c->leave_link);
    list_remove(&c->closed_link);
    list_append(&c->loop->closed, &c->closed_link);
}

static void leave_within(struct conn *c, uint64_t ms)
{
    struct loop *l = c->loop;
    list_remove(&c->leave_link);
    c->leave_ms = loop_now_ms(l) + ms;
    if (list_empty(&l->leaving)) {
        timer_start(l->reaper, NET_LINGER_MS, 0);
    }
    list_append(&l->leaving, &c->leave_link);
}

static void finish_drain(struct conn *c)
{
    c->ops->shut(c);
    c->state = CONN_LINGERING;
    leave_within(c, NET_LINGER_MS);
    list_remove(&c->closed_link);
    list_append(&c->loop->closed, &c->closed_link);
    update_events(c);
}

static void free_conn(struct conn *c)
{
    assert(c->fd < 0);
    if (c->ops->free) {
        c->ops->free(c);
    }
    list_remove(&c->link);
    list_remove(&c->dirty_link);
    list_remove(&c->leave_link);
    list_remove(&c->closed_link);
    buf_release(&c->backlog);
    free(c->local);
    free(c);
}

/* ---- reading ---- */

/* Not to be called again for the same bytes: the low-water mark of the
 * socket is set past what was seen. */
static void ask_reader(struct conn *c)
{
    const struct conn_handler *h = c->handler;
    h->on_readable(c->ctx);
    if (c->state != CONN_OPEN || c->handler != h) {
        return;
    }
    ssize_t n = c->ops->recv(c, c->loop->read_buf, NET_READ_BYTES, true);
    if (n <= 0 && n != ERR_AGAIN) {
        enter_closed(c, (int)n);
        return;
    }
    int low = n > 0 ? (int)n + 1 : 1;
    setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
}

/* A detached conn is gone when its on_readable returns, so who reads last
 * looks at nothing of it. */
static void read_some(struct conn *c)
{
    ssize_t n = c->ops->recv(c, c->loop->read_buf, NET_READ_BYTES, false);
    if (n == ERR_AGAIN) {
        return;
    }
    if (n <= 0) {
        enter_closed(c, (int)n);
    } else if (c->state == CONN_OPEN) {
        c->handler->on_data(c->ctx, slice_of(c->loop->read_buf, (size_t)n));
    }
}

/* ---- writing ---- */

static void send_backlog(struct conn *c)
{
    struct buf *b = &c->backlog;
    ssize_t n = c->ops->send(c, b->data + c->sent, b->size - c->sent);
    if (n == ERR_AGAIN) {
        return;
    }
    if (n < 0) {
        enter_closed(c, (int)n);
        return;
    }
    c->sent += (size_t)n;
    if (c->sent == b->size) {
        buf_release(b);
        c->sent = 0;
    }
}

/* Sends what it can and keeps a copy of the rest. */
static void send_out(struct conn *c, const struct buf *out)
{
    ssize_t n = c->ops->send(c, out->data, out->size);
    if (n == ERR_AGAIN) {
        n = 0;
    }
    if (n < 0) {
        enter_closed(c, (int)n);
        return;
    }
    struct slice rest = slice_from(buf_slice(out), (size_t)n);
    if (rest.size) {
        buf_append_slice(&c->backlog, rest);
        c->sent = 0;
    }
}

static void flush(struct conn *c)
{
    struct buf *out = &c->loop->out;
    bool more = false;
    c->wants_flush = false;
    if (c->handler && c->handler->on_flush) {
        out->size = 0;
        more = c->handler->on_flush(c->ctx, out);
        if (out->size && c->state != CONN_CLOSED) {
            send_out(c, out);
        }
        buf_reset(out, 2 * NET_FLUSH_BYTES);
    }
    if (c->state == CONN_CLOSED) {
        return;
    }
    if (more) {
        conn_want_flush(c);
    } else if (c->state == CONN_DRAINING && !c->backlog.size &&
               !c->wants_flush) {
        finish_drain(c);
        return;
    }
    update_events(c);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct conn *c = h->data;
    if (status < 0) {
        int number = 0;
        socklen_t size = sizeof number;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &number, &size);
        enter_closed(c, number ? net_error(number) : ERR_IO);
        return;
    }
    if ((events & UV_WRITABLE) && c->backlog.size) {
        send_backlog(c);
        if (c->state == CONN_CLOSED) {
            return;
        }
        if (!c->backlog.size) {
            c->wants_flush = false;
            conn_want_flush(c);
        }
        update_events(c);
    }
    if (!(events & UV_READABLE) || !(c->events & UV_READABLE)) {
        return;
    }
    if (c->state == CONN_OPEN && c->handler->on_readable) {
        ask_reader(c);
    } else {
        read_some(c);
    }
}

/* ---- the pass ---- */

bool net_conn_pass(struct loop *l)
{
    bool ran = false;
    struct list batch;
    list_init(&batch);
    while (!list_empty(&l->dirty)) {
        struct list *it = l->dirty.next;
        list_remove(it);
        list_append(&batch, it);
    }
    while (!list_empty(&batch)) {
        struct conn *c = container_of(batch.next, struct conn, dirty_link);
        list_remove(&c->dirty_link);
        flush(c);
        ran = true;
    }
    while (!list_empty(&l->closed)) {
        struct conn *c = container_of(l->closed.next, struct conn, closed_link);
        list_remove(&c->closed_link);
        bool is_first = !c->was_told;
        c->was_told = true;
        if (is_first && c->handler && c->handler->on_closed) {
            c->handler->on_closed(c->ctx, c->err);
            c->handler = NULL;
            ran = true;
        }
        if (c->state == CONN_CLOSED) {
            free_conn(c);
        }
    }
    return ran;
}

void net_conn_reap(struct loop *l)
{
    uint64_t now = loop_now_ms(l);
    list_each(it, safe, &l->leaving)
    {
        struct conn *c = container_of(it, struct conn, leave_link);
        if (c->leave_ms <= now) {
            enter_closed(c, ERR_CLOSED);
        }
    }
    if (!list_empty(&l->leaving)) {
        timer_start(l->reaper, NET_LINGER_MS / 4, 0);
    }
}

void net_conn_free_all(struct loop *l)
{
    while (!list_empty(&l->conns)) {
        list_each(it, safe, &l->conns)
        {
            enter_closed(container_of(it, struct conn, link), ERR_CLOSED);
        }
        net_conn_pass(l);
    }
}

/* ---- the door ---- */

struct conn *net_conn_new(struct loop *l, int fd)
{
    struct conn *c = mem_zalloc(sizeof *c);
    c->loop = l;
    c->ops = &plain;
    c->fd = fd;
    c->poll = mem_zalloc(sizeof *c->poll);
    if (uv_poll_init(&l->uv, c->poll, fd) != 0) {
        free(c->poll);
        free(c);
        return NULL;
    }
    c->poll->data = c;
    buf_init(&c->backlog, NET_OUT_BYTES_MAX);
    list_append(&l->conns, &c->link);
    list_init(&c->dirty_link);
    list_init(&c->closed_link);
    list_init(&c->leave_link);
    int on = 1, idle_s = 30, interval_s = 10, probes = 3;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    struct sockaddr_storage ss = {0};
    socklen_t size = sizeof ss;
    getpeername(fd, (struct sockaddr *)&ss, &size);
    net_address_text(&ss, size, c->remote, sizeof c->remote);
    return c;
}

struct conn *conn_adopt(struct loop *l, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0
               ? net_conn_new(l, fd)
               : NULL;
}

void conn_set_handler(struct conn *c, const struct conn_handler *h, void *ctx)
{
    if (c->handler && c->handler->on_readable && c->fd >= 0) {
        int low = 1;
        setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
    }
    c->handler = h;
    c->ctx = ctx;
    update_events(c);
}

void conn_want_flush(struct conn *c)
{
    if (c->wants_flush || c->state > CONN_DRAINING) {
        return;
    }
    c->wants_flush = true;
    if (!c->backlog.size) { /* else when the backlog is gone */
        list_append(&c->loop->dirty, &c->dirty_link);
    }
}

void conn_close(struct conn *c, bool drain)
{
    if (!drain) {
        enter_closed(c, ERR_CLOSED);
    } else if (c->state == CONN_OPEN) {
        c->state = CONN_DRAINING;
        c->err = ERR_CLOSED;
        leave_within(c, NET_DRAIN_MS);
        update_events(c);
        conn_want_flush(c);
    }
}

void conn_pause(struct conn *c, bool paused)
{
    c->is_paused = paused;
    update_events(c);
}

size_t conn_backlog(const struct conn *c)
{
    return c->backlog.size - c->sent;
}

const char *conn_remote(const struct conn *c)
{
    return c->remote;
}

const char *conn_local(const struct conn *c)
{
    if (!c->local) {
        struct sockaddr_storage ss = {0};
        socklen_t size = sizeof ss;
        char text[128];
        if (c->fd >= 0) {
            getsockname(c->fd, (struct sockaddr *)&ss, &size);
        }
        net_address_text(&ss, size, text, sizeof text);
        ((struct conn *)(uintptr_t)c)->local = mem_strdup(text);
    }
    return c->local;
}

struct loop *conn_loop(const struct conn *c)
{
    return c->loop;
}

int conn_detach_fd(struct conn *c)
{
    int fd = c->fd, low = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
    drop_fd(c);
    c->state = CONN_CLOSED;
    c->was_told = true;
    c->handler = NULL;
    list_remove(&c->dirty_link);
    list_remove(&c->leave_link);
    list_append(&c->loop->closed, &c->closed_link);
    return fd;
}

int conn_peek(struct conn *c, void *data, size_t size)
{
    if (c->fd < 0) {
        return ERR_CLOSED;
    }
    ssize_t n = c->ops->recv(c, data, size, true);
    if (n == ERR_AGAIN) {
        return 0;
    }
    return n > 0 ? (int)n : ERR_CLOSED;
}
