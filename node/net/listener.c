#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "net/internal.h"

enum { LISTEN_BACKLOG = 1024, ACCEPT_RETRY_MS = 100 };

struct listener {
    struct loop *loop;
    uv_poll_t *poll;
    struct timer *retry; /* accept(2) lacked descriptors: try later */
    int fd;
    uint16_t port;
    void (*accepted)(void *ctx, struct conn *c);
    void *ctx;
    char path[108];
};

static void on_acceptable(uv_poll_t *h, int status, int events);

static void retry_accept(void *ctx)
{
    struct listener *li = ctx;
    uv_poll_start(li->poll, UV_READABLE, on_acceptable);
}

static bool is_passing_error(int number)
{
    return number == ECONNABORTED || number == EINTR || number == EPROTO ||
           number == EPERM;
}

static void on_acceptable(uv_poll_t *h, int status, int events)
{
    struct listener *li = h->data;
    for (int i = 0; i < NET_ACCEPT_BATCH; i++) {
        int fd = accept4(li->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && is_passing_error(errno)) {
            continue;
        }
        if (fd < 0 && errno != EAGAIN) {
            log_warn("failed to accept a connection",
                     LOG_STR("error", strerror(errno)));
            uv_poll_stop(li->poll);
            timer_start(li->retry, ACCEPT_RETRY_MS, 0);
        }
        if (fd < 0) {
            return;
        }
        struct conn *c = net_conn_new(li->loop, fd);
        if (!c) {
            close(fd);
            continue;
        }
        li->accepted(li->ctx, c);
        if (h->data == NULL) { /* closed by the callback */
            return;
        }
    }
}

static int bind_error(int number)
{
    switch (number) {
    case EADDRINUSE:
        return ERR_BUSY;
    case EACCES:
    case EPERM:
        return ERR_REFUSED;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
    case EINVAL:
        return ERR_INVALID;
    default:
        return ERR_IO;
    }
}

static int try_bind(const struct sockaddr_storage *ss, socklen_t size,
                    int *ret_fd)
{
    int fd =
        socket(ss->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return bind_error(errno);
    }
    int on = 1, off = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (ss->ss_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    if (bind(fd, (const struct sockaddr *)ss, size) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0) {
        int err = bind_error(errno);
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

/* A socket file that nobody listens on is a leftover. */
static int bind_unix(const struct sockaddr_storage *ss, socklen_t size,
                     const char *path, int *ret_fd)
{
    int err = try_bind(ss, size, ret_fd);
    if (err != ERR_BUSY) {
        return err;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_dead = fd >= 0 &&
                   connect(fd, (const struct sockaddr *)ss, size) != 0 &&
                   errno == ECONNREFUSED;
    if (fd >= 0) {
        close(fd);
    }
    if (!is_dead || unlink(path) != 0) {
        return ERR_BUSY;
    }
    return try_bind(ss, size, ret_fd);
}

static int bind_name(const struct net_address *a, int *ret_fd)
{
    char port[8];
    snprintf(port, sizeof port, "%u", a->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    if (getaddrinfo(a->host, port, &hints, &list) != 0) {
        return ERR_INVALID;
    }
    int err = ERR_INVALID;
    for (struct addrinfo *it = list; it && err != 0; it = it->ai_next) {
        struct sockaddr_storage ss = {0};
        memcpy(&ss, it->ai_addr, it->ai_addrlen);
        err = try_bind(&ss, it->ai_addrlen, ret_fd);
    }
    freeaddrinfo(list);
    return err;
}

/* "0.0.0.0" and no host at all mean both families, as they do for programs
 * written in Go, on which users' configurations rely. */
static int bind_any(const struct net_address *a, int *ret_fd)
{
    struct net_address any = {.host = "::", .port = a->port};
    struct sockaddr_storage ss = {0};
    socklen_t size = 0;
    net_address_numeric(&any, &ss, &size);
    int err = try_bind(&ss, size, ret_fd);
    if (err == ERR_INVALID) { /* no IPv6 here */
        any = (struct net_address){.host = "0.0.0.0", .port = a->port};
        net_address_numeric(&any, &ss, &size);
        err = try_bind(&ss, size, ret_fd);
    }
    return err;
}

static int open_fd(const struct net_address *a, int *ret_fd)
{
    struct sockaddr_storage ss = {0};
    socklen_t size = 0;
    bool is_any = !a->path[0] && (!a->host[0] || !strcmp(a->host, "::") ||
                                  !strcmp(a->host, "0.0.0.0"));
    if (is_any) {
        return bind_any(a, ret_fd);
    }
    if (!net_address_numeric(a, &ss, &size)) {
        return bind_name(a, ret_fd);
    }
    return a->path[0] ? bind_unix(&ss, size, a->path, ret_fd)
                      : try_bind(&ss, size, ret_fd);
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage ss = {0};
    socklen_t size = sizeof ss;
    getsockname(fd, (struct sockaddr *)&ss, &size);
    if (ss.ss_family == AF_INET) {
        return ntohs(((struct sockaddr_in *)&ss)->sin_port);
    }
    return ss.ss_family == AF_INET6
               ? ntohs(((struct sockaddr_in6 *)&ss)->sin6_port)
               : 0;
}

int listener_open(struct loop *l, const struct net_address *a,
                  void (*accepted)(void *ctx, struct conn *c), void *ctx,
                  struct listener **ret_listener)
{
    int fd = -1;
    int err = open_fd(a, &fd);
    if (err != 0) {
        return err;
    }
    struct listener *li = mem_zalloc(sizeof *li);
    li->poll = mem_zalloc(sizeof *li->poll);
    if (uv_poll_init(&l->uv, li->poll, fd) != 0) {
        free(li->poll);
        free(li);
        close(fd);
        return ERR_IO;
    }
    li->loop = l;
    li->fd = fd;
    li->port = bound_port(fd);
    li->accepted = accepted;
    li->ctx = ctx;
    memcpy(li->path, a->path, sizeof li->path);
    li->poll->data = li;
    li->retry = timer_new(l, retry_accept, li);
    uv_poll_start(li->poll, UV_READABLE, on_acceptable);
    *ret_listener = li;
    return 0;
}

uint16_t listener_port(const struct listener *li)
{
    return li->port;
}

static void free_poll(uv_handle_t *h)
{
    free(h);
}

void listener_close(struct listener *li)
{
    if (!li) {
        return;
    }
    li->poll->data = NULL;
    uv_close((uv_handle_t *)li->poll, free_poll);
    close(li->fd);
    if (li->path[0]) {
        unlink(li->path);
    }
    timer_free(li->retry);
    free(li);
}
