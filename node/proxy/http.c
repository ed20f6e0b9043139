/* The proxy's own paths over HTTP/1.1: is a member reached, is the proxy,
 * what do they count. */
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "peer/peer.h"
#include "proto/proto.h"

static const char text_plain[] = "text/plain; charset=utf-8";
static const char range_path[] = "/etcdserverpb.KV/Range";
static const char watch_path[] = "/etcdserverpb.Watch/Watch";
static const char probe_key[] = "a";

enum { READ_MS = 1000, WATCH_MS = 3000, METRICS_MS = 5000, WHY_BYTES = 512 };

/* A request that waits. */
struct page {
    struct list link; /* in proxy->http */
    struct proxy *proxy;
    struct admin_request *rq;
    struct upstream_call *read;     /* /health */
    struct grpc_client_call *rpc;   /* /proxy/health: the read, the watch */
    struct peer_exchange *exchange; /* /metrics */
    struct buf request;
    bool is_watch_created;
};

static void page_free(struct page *g)
{
    list_remove(&g->link);
    buf_release(&g->request);
    free(g);
}

static struct page *page_new(struct proxy *p, struct admin_request *rq)
{
    struct page *g = mem_zalloc(sizeof *g);
    g->proxy = p;
    g->rq = rq;
    buf_init(&g->request, 256);
    list_append(&p->http, &g->link);
    return g;
}

void proxy_http_close(struct proxy *p)
{
    while (!list_empty(&p->http)) {
        struct page *g = container_of(p->http.next, struct page, link);
        if (g->read) {
            upstream_cancel(g->read);
        }
        if (g->rpc) {
            grpc_client_cancel(g->rpc);
        }
        if (g->exchange) {
            peer_fetch_cancel(g->exchange);
        }
        page_free(g);
    }
    grpc_channel_free(p->advertised);
    p->advertised = NULL;
}

/* ---- health ---- */

/* `why` NULL: healthy. */
static void answer_health(struct page *g, const char *why)
{
    struct buf b = BUF_INIT(4 * WHY_BYTES);
    buf_printf(&b, "{\"health\":\"%s\",\"reason\":\"%s\"}%s",
               why ? "false" : "true", why ? why : "", why ? "\n" : "");
    admin_answer(g->rq, why ? 503 : 200, text_plain, buf_slice(&b));
    buf_release(&b);
    page_free(g);
}

/* A member that refuses is there. True: go on, false: answered. */
static bool judge_read(struct page *g, enum grpc_code code, const char *text)
{
    char why[WHY_BYTES];
    if (code == GRPC_OK || code == GRPC_PERMISSION_DENIED) {
        return true;
    }
    /* The text stands inside a JSON string. */
    int size = snprintf(why, sizeof why, "GET ERROR:%s", text);
    for (int i = 0; i < size && i < WHY_BYTES - 1; i++) {
        if (why[i] == '"' || why[i] == '\\' || (unsigned char)why[i] < ' ') {
            why[i] = '\'';
        }
    }
    answer_health(g, why);
    return false;
}

static void put_read(struct page *g)
{
    proto_add_bytes(&g->request, 1, slice_str(probe_key));
}

static void on_message(void *ctx, struct slice message)
{
}

static void on_read(void *ctx, enum grpc_code code, const char *text)
{
    struct page *g = ctx;
    g->read = NULL;
    if (judge_read(g, code, text)) {
        answer_health(g, NULL);
    }
}

static const char *const no_metadata[] = {NULL};

static void health(struct page *g)
{
    static const struct grpc_client_handler handler = {on_message, on_read};
    put_read(g);
    struct upstream_ask ask = {
        .path = range_path,
        .metadata = no_metadata,
        .message = buf_slice(&g->request),
        .deadline_ns =
            loop_now_ns(g->proxy->loop) + READ_MS * UINT64_C(1000000),
        .waits = true,
        .repeats = true,
    };
    g->read = upstream_start(g->proxy->upstream, &ask, &handler, g);
}

/* ---- the same through the advertised address, and a watch ---- */

static void on_watch_message(void *ctx, struct slice message)
{
    struct page *g = ctx;
    if (!g->is_watch_created) {
        g->is_watch_created = true;
        grpc_client_cancel(g->rpc);
        g->rpc = NULL;
        answer_health(g, NULL);
    }
}

static void on_watch_status(void *ctx, enum grpc_code code, const char *text)
{
    struct page *g = ctx;
    g->rpc = NULL;
    answer_health(g, "WATCH TIMEOUT");
}

static void start_watch(struct page *g)
{
    static const struct grpc_client_handler handler = {on_watch_message,
                                                       on_watch_status};
    struct buf b = BUF_INIT(64);
    proto_add_message(&b, 1, buf_slice(&g->request)); /* create: its field 1 */
    g->rpc = grpc_client_start(g->proxy->advertised, watch_path, NULL, WATCH_MS,
                               &handler, g);
    grpc_client_send_bytes(g->rpc, buf_slice(&b));
    buf_release(&b);
}

static void on_own_read(void *ctx, enum grpc_code code, const char *text)
{
    struct page *g = ctx;
    g->rpc = NULL;
    if (judge_read(g, code, text)) {
        start_watch(g);
    }
}

static void proxy_health(struct page *g)
{
    static const struct grpc_client_handler handler = {on_message, on_own_read};
    if (g->proxy->advertised == NULL) {
        answer_health(g, "no connection to proxy");
        return;
    }
    put_read(g);
    g->rpc = grpc_client_start(g->proxy->advertised, range_path, NULL, READ_MS,
                               &handler, g);
    grpc_client_send_bytes(g->rpc, buf_slice(&g->request));
    grpc_client_half_close(g->rpc);
}

/* ---- metrics ---- */

static void on_metrics(void *ctx, int err, int status, const char *cluster_id,
                       struct slice body)
{
    struct page *g = ctx;
    g->exchange = NULL;
    if (err || status != 200) {
        admin_answer(g->rq, 500, text_plain,
                     slice_str("Internal server error\n"));
    } else {
        admin_answer(g->rq, 200, "text/plain; version=0.0.4", body);
    }
    page_free(g);
}

static void metrics(struct page *g)
{
    struct url url = {.address = *upstream_first(g->proxy->upstream)};
    url.is_unix = url.address.path[0] != '\0';
    g->exchange = peer_fetch(g->proxy->loop, &url, "GET", "/metrics", NULL,
                             slice_of(NULL, 0), METRICS_MS, on_metrics, g);
}

static void proxy_own_metrics(struct page *g)
{
    struct buf b = BUF_INIT(1 << 20);
    proxy_metrics(g->proxy, &b);
    admin_answer(g->rq, 200, "text/plain; version=0.0.4; charset=utf-8",
                 buf_slice(&b));
    buf_release(&b);
    page_free(g);
}

/* ---- the door ---- */

static const struct {
    const char *path;
    bool get_only;
    void (*serve)(struct page *g);
} paths[] = {{"/health", true, health},
             {"/proxy/health", true, proxy_health},
             {"/metrics", false, metrics},
             {"/proxy/metrics", false, proxy_own_metrics}};

void proxy_http_route(void *ctx, struct admin_request *rq, const char *method,
                      const char *path)
{
    struct proxy *p = ctx;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (strcmp(path, paths[i].path) != 0) {
            continue;
        }
        if (paths[i].get_only && strcmp(method, "GET") != 0) {
            admin_answer(rq, 405, text_plain,
                         slice_str("Method Not Allowed\n"));
        } else {
            paths[i].serve(page_new(p, rq));
        }
        return;
    }
    admin_answer(rq, 404, text_plain, slice_str("404 page not found\n"));
}
