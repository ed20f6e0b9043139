/*
 * Listeners. On the client port the first bytes tell what a connection
 * speaks: the HTTP/2 preface goes to our gRPC server, anything else to
 * libmicrohttpd.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "node.h"

static void sniffed(void *ctx, struct conn *c, bool is_http2)
{
    struct node *n = ctx;
    if (is_http2) {
        grpc_server_accept(n->grpc, c);
        return;
    }
    int fd = conn_detach_fd(c);
    if (fd >= 0) {
        admin_accept(n->admin, fd);
    }
}

static void client_accepted(void *ctx, struct conn *c)
{
    conn_sniff(c, sniffed, ctx);
}

/* --listen-client-http-urls is given: gRPC alone speaks here. */
static void grpc_accepted(void *ctx, struct conn *c)
{
    struct node *n = ctx;
    grpc_server_accept(n->grpc, c);
}

static void http_accepted(void *ctx, struct conn *c)
{
    struct node *n = ctx;
    int fd = conn_detach_fd(c);
    if (fd >= 0) {
        admin_accept(n->admin, fd);
    }
}

static void metrics_accepted(void *ctx, struct conn *c)
{
    struct node *n = ctx;
    int fd = conn_detach_fd(c);
    if (fd >= 0) {
        admin_accept_metrics(n->admin, fd);
    }
}

static void peer_accepted(void *ctx, struct conn *c)
{
    struct node *n = ctx;
    peer_hub_accept(n->peers, c);
}

static int open_all(struct node *n, const struct url_list *urls,
                    void (*accepted)(void *ctx, struct conn *c),
                    struct listener **listeners, const char *what)
{
    for (uint32_t i = 0; i < urls->count; i++) {
        struct url url;
        int err = ERR_INVALID;
        const char *host = strstr(urls->urls[i], "://") + 3;
        if (*host == ':') { /* http://:2379 is every address */
            char *full = mem_printf("http://[::]%s", host);
            err = url_parse(full, &url);
            free(full);
        } else {
            err = url_parse(urls->urls[i], &url);
        }
        if (err == 0) {
            err = listener_open(n->loop, &url.address, accepted, n,
                                &listeners[i]);
        }
        if (err) {
            log_error(what, LOG_STR("url", urls->urls[i]),
                      LOG_STR("error", err == ERR_BUSY
                                           ? "address already in use"
                                           : err_text(err)));
            return err;
        }
    }
    return 0;
}

static int open_client_side(struct node *n)
{
    const struct config *c = n->config;
    bool is_split = c->listen_client_http_urls.count > 0;
    log_info("configuring client listeners",
             LOG_STR("listen-client-urls", c->listen_client_urls.text));
    int err = open_all(n, &c->listen_client_urls,
                       is_split ? grpc_accepted : client_accepted,
                       n->client_listeners, "creating client listener failed");
    if (err == 0) {
        err = open_all(n, &c->listen_client_http_urls, http_accepted,
                       n->http_listeners, "creating client listener failed");
    }
    return err ? err
               : open_all(n, &c->listen_metrics_urls, metrics_accepted,
                          n->metrics_listeners,
                          "creating metrics listener failed");
}

int node_listen(struct node *n)
{
    log_info("configuring peer listeners",
             LOG_STR("listen-peer-urls", n->config->listen_peer_urls.text));
    int err = open_all(n, &n->config->listen_peer_urls, peer_accepted,
                       n->peer_listeners, "creating peer listener failed");
    if (err) {
        return err;
    }
    return open_client_side(n);
}

void node_unlisten(struct node *n)
{
    for (int i = 0; i < CONFIG_URLS_MAX; i++) {
        listener_close(n->client_listeners[i]);
        listener_close(n->http_listeners[i]);
        listener_close(n->metrics_listeners[i]);
        listener_close(n->peer_listeners[i]);
        n->client_listeners[i] = n->http_listeners[i] = NULL;
        n->metrics_listeners[i] = n->peer_listeners[i] = NULL;
    }
}
