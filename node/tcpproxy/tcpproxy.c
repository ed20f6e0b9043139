#include "tcpproxy.h"

#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "pflag/pflag.h"
#include "pipe.h"
#include "pool.h"
#include "srv/srv.h"

enum { DIAL_MS = 5000, RETRY_MS_DEFAULT = 300000 };

static const struct pflag flags[] = {
    {"listen-addr", PFLAG_STRING, "127.0.0.1:23790", "listen address"},
    {"endpoints", PFLAG_LIST, "127.0.0.1:2379",
     "comma-separated endpoints to forward to"},
    {"retry-delay", PFLAG_DURATION, "1m0s",
     "interval after which an endpoint that failed is tried again"},
    {"discovery-srv", PFLAG_STRING, "",
     "domain with SRV records of endpoints, taken instead of --endpoints"},
    {"discovery-srv-name", PFLAG_STRING, "", "suffix of the SRV service name"},
    {"insecure-discovery", PFLAG_BOOL, "false",
     "take SRV records without TLS too, and none is tried before"},
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
    struct addrinfo *own; /* the listener's addresses; NULL: every one */
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

/* NULL: the name has no address. */
static struct addrinfo *look_up(const char *host)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    return getaddrinfo(host, NULL, &hints, &list) == 0 ? list : NULL;
}

static bool as_digits(const struct addrinfo *a, char text[NI_MAXHOST])
{
    return getnameinfo(a->ai_addr, a->ai_addrlen, text, NI_MAXHOST, NULL, 0,
                       NI_NUMERICHOST) == 0;
}

/* The first address that is in both lists, as text. */
static bool find_common(const struct addrinfo *a, const struct addrinfo *b,
                        char ret_text[NI_MAXHOST])
{
    char other[NI_MAXHOST];
    for (; a; a = a->ai_next) {
        for (const struct addrinfo *it = b; it; it = it->ai_next) {
            if (as_digits(a, ret_text) && as_digits(it, other) &&
                strcmp(ret_text, other) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* An empty host is every address, which nothing resolves to. */
static int check_listen(struct tcpproxy *p, const char *text)
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
    if (p->listen.host[0] && (p->own = look_up(p->listen.host)) == NULL) {
        printf("failed to resolve listen host: %s\n", p->listen.host);
        return ERR_NOT_FOUND;
    }
    return 0;
}

static int check_endpoint(const struct tcpproxy *p,
                          const struct pool_endpoint *e, const char *listen)
{
    char at[NI_MAXHOST];
    struct addrinfo *list = look_up(e->address.host);
    int err = 0;
    if (list == NULL) {
        printf("failed to resolve endpoint host: %s\n", e->address.host);
        return ERR_NOT_FOUND;
    }
    if (e->address.port == p->listen.port && find_common(list, p->own, at)) {
        printf("SRV or endpoint (%s->%s:%u) should not resolve to the "
               "gateway listen addr (%s)\n",
               e->text, at, e->address.port, listen);
        err = ERR_INVALID;
    }
    freeaddrinfo(list);
    return err;
}

static int check_endpoints(struct tcpproxy *p, const char *listen)
{
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < p->pool.count; i++) {
        err = check_endpoint(p, &p->pool.list[i], listen);
    }
    return err;
}

/* ---- where to ---- */

static int take_flag(struct tcpproxy *p, const char *endpoints)
{
    char bad[300] = "";
    int err = pool_parse(&p->pool, endpoints, bad, sizeof bad);
    if (err == ERR_NOT_FOUND) {
        printf("no endpoints found\n");
    } else if (err) {
        printf("error parsing endpoint \"%s\"\n", bad);
    }
    return err;
}

/* SRV records first; the flag when none are asked for or none are left. */
static int find_endpoints(struct tcpproxy *p, struct pflag_set *set)
{
    struct srv_domain d = {
        .domain = pflag_text(set, "discovery-srv"),
        .name = pflag_text(set, "discovery-srv-name"),
        .insecure = pflag_bool(set, "insecure-discovery"),
    };
    struct srv_list found = {.count = 0};
    struct buf why = BUF_INIT(4096);
    int err = d.domain[0] ? srv_discover(&d, &found, &why) : 0;
    if (err) {
        fprintf(stderr, "%.*s\n", (int)why.size, (const char *)why.data);
    } else if (found.count) {
        pool_take_records(&p->pool, &found);
    } else {
        err = take_flag(p, pflag_text(set, "endpoints"));
    }
    buf_release(&why);
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

/* The endpoints as a JSON array. */
static void list_endpoints(const struct pool *p, struct buf *out)
{
    for (uint32_t i = 0; i < p->count; i++) {
        buf_append_byte(out, i ? ',' : '[');
        text_json_string(out, slice_str(p->list[i].text));
    }
    buf_append(out, "]", 2);
}

static int run(struct tcpproxy *p, const char *listen)
{
    struct buf list = BUF_INIT(POOL_COUNT_MAX * 300);
    int err = start(p);
    if (err) {
        char why[400];
        snprintf(why, sizeof why, "listen tcp %s: %s", listen,
                 err == ERR_BUSY ? "bind: address already in use"
                                 : err_text(err));
        pflag_command_fail(&command, why);
        return 1;
    }
    list_endpoints(&p->pool, &list);
    log_info("ready to proxy client requests", LOG_STR("listen-addr", listen),
             LOG_RAW("endpoints", (const char *)list.data));
    buf_release(&list);
    loop_run(p->loop);
    listener_close(p->listener);
    return loop_exit_by_signal(p->signals.number);
}

/* The loop comes first: it says how names are looked up. */
static int prepare(struct tcpproxy *p, struct pflag_set *set,
                   const char *listen)
{
    int64_t delay_ns = pflag_int(set, "retry-delay");
    p->retry_ms = delay_ns > 0 ? (uint64_t)(delay_ns + 999999) / 1000000
                               : RETRY_MS_DEFAULT;
    signal(SIGPIPE, SIG_IGN);
    int err = loop_new(&p->loop);
    if (err) {
        log_error("cannot make the event loop");
        return err;
    }
    if (getrandom(&p->pool.rng.state, sizeof p->pool.rng.state, 0) < 0) {
        p->pool.rng.state = (uint64_t)getpid();
    }
    err = find_endpoints(p, set);
    if (err == 0) {
        err = check_listen(p, listen);
    }
    return err ? err : check_endpoints(p, listen);
}

int tcpproxy_main(int argc, char **argv)
{
    struct pflag_set set;
    struct tcpproxy p = {0};
    int status = 0;
    pflag_init(&set);
    if (pflag_command_parse(&command, argc, argv, &set, &status)) {
        const char *listen = pflag_text(&set, "listen-addr");
        status = prepare(&p, &set, listen) == 0 ? run(&p, listen) : 1;
    }
    if (status && p.loop) {
        loop_free(p.loop); /* it has not run */
    }
    if (p.own) {
        freeaddrinfo(p.own);
    }
    pflag_release(&set);
    return status;
}
