#include "tcpproxy.h"

#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "pflag/pflag.h"
#include "pipe.h"
#include "pool.h"

enum { DIAL_MS = 5000, RETRY_MS_DEFAULT = 300000 };

static const struct pflag flags[] = {
    {"listen-addr", PFLAG_STRING, "127.0.0.1:23790", "listen address"},
    {"endpoints", PFLAG_LIST, "127.0.0.1:2379",
     "comma-separated endpoints to forward to"},
    {"retry-delay", PFLAG_DURATION, "1m0s",
     "interval after which an endpoint that failed is tried again"},
    {"discovery-srv", PFLAG_STRING, "", "domain with SRV records of endpoints",
     0, PFLAG_REFUSED},
    {"discovery-srv-name", PFLAG_STRING, "", "suffix of the SRV service name",
     0, PFLAG_REFUSED},
    {"insecure-discovery", PFLAG_BOOL, "false", "take insecure SRV records", 0,
     PFLAG_REFUSED},
    {"trusted-ca-file", PFLAG_STRING, "",
     "CA of the endpoints found by discovery", 0, PFLAG_REFUSED},
    {NULL}};

static const struct pflag_command command = {
    .path = "cofre gateway",
    .word = "start",
    .group = "gateway related commands",
    .summary = "start the gateway",
    .flags = flags,
};

struct tcpproxy {
    struct loop *loop;
    struct listener *listener;
    struct net_address listen;
    struct pool pool;
    uint64_t retry_ms;
    struct timer *retry;
    struct loop_signals signals;
};

/* ---- a client ---- */

struct arrival {
    struct tcpproxy *proxy;
    struct conn *client;
    struct pool_endpoint *endpoint;
};

static void try_next(struct arrival *a);

static void on_dialed(void *ctx, struct conn *conn, int err)
{
    struct arrival *a = ctx;
    if (conn) {
        pipe_new(a->client, conn);
        free(a);
        return;
    }
    if (!a->endpoint->is_inactive) {
        a->endpoint->is_inactive = true;
        log_warn("deactivated endpoint", LOG_STR("address", a->endpoint->text),
                 LOG_DURATION("interval", a->proxy->retry_ms * 1000000),
                 LOG_ERR(err));
    }
    try_next(a);
}

static void try_next(struct arrival *a)
{
    a->endpoint = pool_next(&a->proxy->pool);
    if (a->endpoint == NULL) {
        conn_close(a->client, false);
        free(a);
        return;
    }
    net_dial(a->proxy->loop, &a->endpoint->address, DIAL_MS, on_dialed, a);
}

static void accepted(void *ctx, struct conn *c)
{
    struct arrival *a = mem_zalloc(sizeof *a);
    a->proxy = ctx;
    a->client = c;
    try_next(a);
}

/* ---- endpoints that failed ---- */

static void on_checked(void *ctx, struct conn *conn, int err)
{
    struct pool_endpoint *e = ctx;
    if (conn) {
        conn_close(conn, false);
        e->is_inactive = false;
        log_info("activated", LOG_STR("address", e->text));
    } else {
        log_warn("failed to activate endpoint (stay inactive for another "
                 "interval)",
                 LOG_STR("address", e->text), LOG_ERR(err));
    }
}

static void on_retry(void *ctx)
{
    struct tcpproxy *p = ctx;
    for (uint32_t i = 0; i < p->pool.count; i++) {
        struct pool_endpoint *e = &p->pool.list[i];
        if (e->is_inactive) {
            net_dial(p->loop, &e->address, DIAL_MS, on_checked, e);
        }
    }
}

/* ---- what may not be ---- */

/* The first address of a name as text; false: it has none. */
static bool resolve(const struct net_address *a, char *ret_text, size_t room)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    char host[256];
    if (getaddrinfo(a->host, NULL, &hints, &list) != 0) {
        return false;
    }
    bool ok = getnameinfo(list->ai_addr, list->ai_addrlen, host, sizeof host,
                          NULL, 0, NI_NUMERICHOST) == 0;
    freeaddrinfo(list);
    snprintf(ret_text, room, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host,
             a->port);
    return ok;
}

/* An empty host is every address, which nothing resolves to. */
static int check_listen(struct tcpproxy *p, const char *text, char *own,
                        size_t room)
{
    struct url url;
    char *full = mem_printf("http://%s", text);
    int err = url_parse(full, &url);
    free(full);
    if (err) {
        printf("failed to validate listen address: %s\n", text);
        return err;
    }
    p->listen = url.address;
    if (p->listen.host[0] && !resolve(&p->listen, own, room)) {
        printf("failed to resolve listen host: %s\n", text);
        return ERR_NOT_FOUND;
    }
    return 0;
}

static int check_endpoints(struct tcpproxy *p, const char *text,
                           const char *own, const char *listen)
{
    char bad[300] = "", at[300];
    int err = pool_parse(&p->pool, text, bad, sizeof bad);
    if (err == ERR_NOT_FOUND) {
        printf("no endpoints found\n");
    } else if (err) {
        printf("error parsing endpoint \"%s\"\n", bad);
    }
    for (uint32_t i = 0; err == 0 && i < p->pool.count; i++) {
        const struct pool_endpoint *e = &p->pool.list[i];
        if (!resolve(&e->address, at, sizeof at)) {
            printf("failed to resolve endpoint host: %s\n", e->text);
            err = ERR_NOT_FOUND;
        } else if (strcmp(at, own) == 0) {
            printf("SRV or endpoint (%s->%s) should not resolve to the "
                   "gateway listen addr (%s)\n",
                   e->text, at, listen);
            err = ERR_INVALID;
        }
    }
    return err;
}

/* ---- start and stop ---- */

static int start(struct tcpproxy *p)
{
    int err = listener_open(p->loop, &p->listen, accepted, p, &p->listener);
    if (err) {
        return err;
    }
    loop_stop_on_signals(p->loop, &p->signals);
    p->retry = timer_new(p->loop, on_retry, p);
    timer_start(p->retry, p->retry_ms, p->retry_ms);
    return 0;
}

static int run(struct tcpproxy *p, const char *listen, const char *endpoints)
{
    signal(SIGPIPE, SIG_IGN);
    if (loop_new(&p->loop) != 0) {
        log_error("cannot make the event loop");
        return 1;
    }
    int err = start(p);
    if (err) {
        char why[400];
        snprintf(why, sizeof why, "listen tcp %s: %s", listen,
                 err == ERR_BUSY ? "bind: address already in use"
                                 : err_text(err));
        pflag_command_fail(&command, why);
        return 1;
    }
    log_info("ready to proxy client requests", LOG_STR("listen-addr", listen),
             LOG_STR("endpoints", endpoints));
    loop_run(p->loop);
    listener_close(p->listener);
    return loop_exit_by_signal(p->signals.number);
}

int tcpproxy_main(int argc, char **argv)
{
    struct pflag_set set;
    struct tcpproxy p = {0};
    int status = 0;
    pflag_init(&set);
    if (pflag_command_parse(&command, argc, argv, &set, &status)) {
        const char *listen = pflag_text(&set, "listen-addr");
        const char *endpoints = pflag_text(&set, "endpoints");
        int64_t delay_ns = pflag_int(&set, "retry-delay");
        char own[300] = "";
        p.retry_ms = delay_ns > 0 ? (uint64_t)(delay_ns + 999999) / 1000000
                                  : RETRY_MS_DEFAULT;
        bool ok = check_listen(&p, listen, own, sizeof own) == 0 &&
                  check_endpoints(&p, endpoints, own, listen) == 0;
        status = ok ? run(&p, listen, endpoints) : 1;
    }
    pflag_release(&set);
    return status;
}
