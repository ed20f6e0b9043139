/* Start and stop of the gRPC proxy. */
#include "proxy.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "internal.h"

_Static_assert(GRPC_UNAUTHENTICATED + 1 == PROXY_CODES, "a counter a code");

/* ---- RPCs ---- */

static void on_started(void *ctx, const struct grpc_method *m)
{
    struct proxy_method *state = m->user;
    state->started++;
}

static void on_handled(void *ctx, const struct grpc_method *m,
                       enum grpc_code code, uint64_t took_ns)
{
    struct proxy_method *state = m->user;
    state->handled[code]++;
}

static void fill_methods(struct proxy *p)
{
    for (uint32_t i = 0; i < proxy_route_count; i++) {
        const struct proxy_route *r = &proxy_routes[i];
        p->method_states[i] = (struct proxy_method){.proxy = p, .route = r};
        p->methods[i] = (struct grpc_method){
            .path = r->path,
            .kind = r->kind,
            .on_message = r->on_message,
            .on_half_close = r->on_half_close,
            .on_end = r->on_end,
            .user = &p->method_states[i],
        };
    }
    p->method_count = proxy_route_count;
}

static void start_grpc(struct proxy *p)
{
    const struct proxy_config *c = p->config;
    fill_methods(p);
    struct grpc_server_config gc = {
        .message_bytes_max = PROXY_MESSAGE_BYTES_MAX,
        .concurrent_streams_max = c->concurrent_streams_max,
        .keepalive_min_time_ms = c->keepalive_min_time_ms,
        .keepalive_interval_ms = c->keepalive_interval_ms,
        .keepalive_timeout_ms = c->keepalive_timeout_ms,
        .methods = p->methods,
        .method_count = p->method_count,
        .on_started = on_started,
        .on_handled = on_handled,
        .ctx = p,
    };
    p->grpc = grpc_server_new(p->loop, &gc);
}

/* ---- listeners ---- */

static void wake_admin(void *ctx)
{
    struct proxy *p = ctx;
    waker_wake(p->admin_waker);
}

static void on_admin(void *ctx)
{
    struct proxy *p = ctx;
    if (p->admin) {
        admin_poll(p->admin);
    }
}

static void to_http(struct proxy *p, struct conn *c)
{
    if (p->admin == NULL) { /* it is stopping */
        conn_close(c, false);
        return;
    }
    int fd = conn_detach_fd(c);
    if (fd >= 0) {
        admin_accept(p->admin, fd);
    }
}

static void sniffed(void *ctx, struct conn *c, bool is_http2)
{
    struct proxy *p = ctx;
    if (is_http2) {
        grpc_server_accept(p->grpc, c);
    } else {
        to_http(p, c);
    }
}

static void accepted(void *ctx, struct conn *c)
{
    conn_sniff(c, sniffed, ctx);
}

static void metrics_accepted(void *ctx, struct conn *c)
{
    to_http(ctx, c);
}

static int open_listener(struct proxy *p, const struct net_address *a,
                         void (*take)(void *ctx, struct conn *c),
                         struct listener **ret)
{
    int err = listener_open(p->loop, a, take, p, ret);
    if (err) {
        log_error("failed to listen", LOG_STR("host", a->host),
                  LOG_UINT("port", a->port),
                  LOG_STR("error", err == ERR_BUSY ? "address already in use"
                                                   : err_text(err)));
    }
    return err;
}

static int start_http(struct proxy *p)
{
    struct admin_config ac = {
        .rim = {.wake = wake_admin, .route = proxy_http_route, .ctx = p},
        .host_whitelist = "*",
    };
    p->admin_waker = waker_new(p->loop, on_admin, p);
    return admin_new(&ac, &p->admin);
}

/* ---- start and stop ---- */

static int start_upstream(struct proxy *p)
{
    const struct proxy_config *c = p->config;
    struct buf why = BUF_INIT(4096);
    struct upstream_config uc = {
        .loop = p->loop,
        .dial_timeout_ms = PROXY_DIAL_MS,
        .keepalive_ms = c->dial_keepalive_ms,
        .keepalive_timeout_ms = c->dial_keepalive_timeout_ms,
    };
    int err = upstream_new(&uc, c->endpoints, &p->upstream, &why);
    if (err) {
        log_error("cannot use the endpoints",
                  LOG_SLICE("error", buf_slice(&why)));
    }
    buf_release(&why);
    return err;
}

static void start_members(struct proxy *p)
{
    const struct proxy_config *c = p->config;
    gethostname(p->host, sizeof p->host - 1);
    if (c->sync_interval_ms) {
        p->sync = sync_new(p->upstream, c->sync_interval_ms);
    }
    if (c->resolver_prefix[0] == '\0') {
        return;
    }
    struct registration_config rc = {
        .upstream = p->upstream,
        .name_space = &p->name_space,
        .prefix = c->resolver_prefix,
        .address = c->advertise,
        .name = p->host,
        .ttl_s = c->resolver_ttl_s,
    };
    p->registration = registration_new(&rc);
    p->roster = roster_new(p->upstream, &p->name_space, c->resolver_prefix);
}

static int start(struct proxy *p)
{
    const struct proxy_config *c = p->config;
    int err = open_listener(p, &c->listen, accepted, &p->listener);
    if (err) {
        return err;
    }
    log_info("listening for gRPC proxy client requests",
             LOG_STR("address", c->listen_text));
    err = proxy_config_discover(p->config);
    if (err == 0) {
        err = start_upstream(p);
    }
    if (err) {
        return err;
    }
    log_info("create proxy client", LOG_STR("endpoints", c->endpoints));
    name_space_init(&p->name_space, slice_str(c->name_space));
    p->cache = cache_new();
    proxy_streams_open(p);
    start_grpc(p);
    if (c->has_advertise) {
        p->advertised =
            grpc_channel_new(p->loop, &c->advertise_address, PROXY_DIAL_MS);
    }
    err = start_http(p);
    if (err == 0 && c->has_metrics) {
        err = open_listener(p, &c->metrics, metrics_accepted,
                            &p->metrics_listener);
    }
    if (err == 0) {
        start_members(p);
        loop_stop_on_signals(p->loop, &p->signals);
        log_info("started gRPC proxy", LOG_STR("address", c->listen_text));
    }
    return err;
}

static void one_stopped(void *ctx)
{
    struct proxy *p = ctx;
    if (--p->stopping == 0) {
        loop_stop(p->loop);
    }
}

/* Until the clients are told, and nobody is sent here any more; each is
 * bounded in time. */
static void drain(struct proxy *p)
{
    p->stopping = 1;
    p->stopping += registration_leave(p->registration, one_stopped, p);
    grpc_server_stop(p->grpc, GRPC_UNAVAILABLE, "etcdserver: server stopped",
                     one_stopped, p);
    loop_run(p->loop);
}

/* Clients are told first: their streams hang on the hub and the keeper, these
 * on the endpoints. */
static void stop(struct proxy *p)
{
    listener_close(p->listener);
    listener_close(p->metrics_listener);
    proxy_http_close(p);
    admin_free(p->admin);
    p->admin = NULL;
    if (p->grpc) {
        drain(p);
        grpc_server_free(p->grpc);
        proxy_streams_close(p);
        cache_free(p->cache);
        name_space_release(&p->name_space);
    }
    sync_free(p->sync);
    registration_free(p->registration);
    roster_free(p->roster);
    upstream_free(p->upstream);
}

static int run(struct proxy_config *c)
{
    struct proxy p = {.config = c};
    list_init(&p.http);
    signal(SIGPIPE, SIG_IGN);
    if (loop_new(&p.loop) != 0) {
        log_error("cannot make the event loop");
        return 1;
    }
    int err = start(&p);
    if (err == 0) {
        loop_run(p.loop);
    }
    stop(&p);
    return err ? 1 : loop_exit_by_signal(p.signals.number);
}

int proxy_main(int argc, char **argv)
{
    struct proxy_config c = {0};
    int status = 0;
    if (proxy_config_load(&c, argc, argv, &status)) {
        status = run(&c);
    }
    proxy_config_release(&c);
    return status;
}
