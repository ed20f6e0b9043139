/* One exchange with a peer URL, over a connection of its own. */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "peer/hub.h"

struct peer_exchange {
    struct peer_client *client;
    struct timer *timer;
    char *method;
    char *path;
    struct buf fields;
    struct buf request;
    struct buf body;
    int status;
    char *cluster_id;
    void (*done)(void *ctx, int err, int status, const char *cluster_id,
                 struct slice body);
    void *ctx;
};

static void free_exchange(struct peer_exchange *x)
{
    peer_client_close(x->client);
    timer_free(x->timer);
    free(x->method);
    free(x->path);
    free(x->cluster_id);
    buf_release(&x->fields);
    buf_release(&x->request);
    buf_release(&x->body);
    free(x);
}

static void tell(struct peer_exchange *x, int err)
{
    int status = err ? 0 : x->status;
    struct slice body = err ? slice_of(NULL, 0) : buf_slice(&x->body);
    const char *id = x->cluster_id ? x->cluster_id : "";
    x->done(x->ctx, err, status, err ? "" : id, body);
    free_exchange(x);
}

static void on_connected(void *ctx)
{
    struct peer_exchange *x = ctx;
    peer_client_start_request(x->client, x->method, x->path);
    struct buf *out = peer_client_out(x->client);
    buf_append_slice(out, buf_slice(&x->fields));
    if (x->request.size || strcmp(x->method, "GET") != 0) {
        buf_printf(out, "Content-Length: %zu\r\n", x->request.size);
    }
    buf_append_str(out, "Connection: close\r\n\r\n");
    buf_append_slice(out, buf_slice(&x->request));
    peer_client_flush(x->client);
}

static int on_head(void *ctx, const struct peer_http *http)
{
    struct peer_exchange *x = ctx;
    x->status = peer_http_status(http);
    free(x->cluster_id);
    x->cluster_id = mem_strdup(peer_http_field(http, "X-Etcd-Cluster-ID"));
    return 0;
}

static int on_body(void *ctx, struct slice bytes)
{
    struct peer_exchange *x = ctx;
    return buf_append_slice(&x->body, bytes);
}

static int on_complete(void *ctx, bool keeps_alive)
{
    struct peer_exchange *x = ctx;
    if (x->status >= 100 && x->status < 200) {
        return 0;
    }
    peer_client_close(x->client);
    x->client = NULL;
    tell(x, 0);
    return 0;
}

static void on_closed(void *ctx, int err)
{
    struct peer_exchange *x = ctx;
    x->client = NULL;
    tell(x, err ? err : ERR_CLOSED);
}

static const struct peer_client_events events = {
    .connected = on_connected,
    .head = on_head,
    .body = on_body,
    .complete = on_complete,
    .closed = on_closed,
};

static void on_timer(void *ctx)
{
    tell(ctx, ERR_TIMEOUT);
}

int peer_fetch_field(struct peer_exchange *x, const char *name,
                     const char *value)
{
    if (strpbrk(name, "\r\n: ") || strpbrk(value, "\r\n") ||
        x->fields.size + strlen(name) + strlen(value) + 8 >
            PEER_HEAD_BYTES_MAX) {
        return ERR_INVALID;
    }
    return buf_printf(&x->fields, "%s: %s\r\n", name, value);
}

struct peer_exchange *
peer_fetch(struct loop *l, const struct url *url, const char *method,
           const char *path, const char *content_type, struct slice body,
           uint64_t timeout_ms,
           void (*done)(void *ctx, int err, int status, const char *cluster_id,
                        struct slice body),
           void *ctx)
{
    struct peer_exchange *x = mem_zalloc(sizeof *x);
    x->method = mem_strdup(method);
    x->path = mem_strdup(path);
    buf_init(&x->fields, PEER_HEAD_BYTES_MAX);
    if (content_type) {
        peer_fetch_field(x, "Content-Type", content_type);
    }
    buf_init(&x->request, SIZE_MAX);
    buf_append_slice(&x->request, body);
    buf_init(&x->body, PEER_FETCH_BYTES_MAX);
    x->done = done;
    x->ctx = ctx;
    x->timer = timer_new(l, on_timer, x);
    timer_start(x->timer, timeout_ms, 0);
    x->client = peer_client_new(l, url, timeout_ms, &events, x);
    return x;
}

void peer_fetch_cancel(struct peer_exchange *x)
{
    if (x) {
        free_exchange(x);
    }
}
