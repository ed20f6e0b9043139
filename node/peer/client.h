/*
 * The asking side of HTTP/1.1: dials, sends what is put into its output,
 * reads answers, and keeps a deadline. One request after the other.
 */
#ifndef PEER_CLIENT_H
#define PEER_CLIENT_H

#include "net/net.h"
#include "peer/http.h"

struct peer_client;

/* Any may close the client; those that return int may also return an ERR_*,
 * which then comes back in `closed`. */
struct peer_client_events {
    void (*connected)(void *ctx);
    /* More output behind what peer_client_out() held; may be NULL. Returns
     * true when there is yet more. */
    bool (*flush)(void *ctx, struct buf *out);
    int (*head)(void *ctx, const struct peer_http *http);
    int (*body)(void *ctx, struct slice bytes);
    int (*complete)(void *ctx, bool keeps_alive);
    /* Once, unless peer_client_close() came first; the client is gone then.
     * err 0: the other side closed the connection. */
    void (*closed)(void *ctx, int err);
};

/* Events come from the loop, never from inside. */
struct peer_client *peer_client_new(struct loop *l, const struct url *url,
                                    uint64_t dial_timeout_ms,
                                    const struct peer_client_events *events,
                                    void *ctx);
/* No event comes after it. NULL is fine. */
void peer_client_close(struct peer_client *c);
/* Closed with ERR_TIMEOUT when nothing moves for so long; 0: no limit. */
void peer_client_limit(struct peer_client *c, uint64_t idle_ms);
/* Output to append to; call peer_client_flush() afterwards. */
struct buf *peer_client_out(struct peer_client *c);
void peer_client_flush(struct peer_client *c);

/* Appends `METHOD path HTTP/1.1` and `Host`; more fields and the empty line
 * are the caller's. */
void peer_client_start_request(struct peer_client *c, const char *method,
                               const char *path);
bool peer_client_is_connected(const struct peer_client *c);

#endif
