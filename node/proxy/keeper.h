/*
 * Lease keep-alives through the proxy, merged. Pure. Requests for a lease
 * that come while one for it is under way share its answer; all clients with
 * the same credentials share one stream upstream. Nothing is renewed that
 * nobody asked for: a lease lives as long as its clients say.
 */
#ifndef PROXY_KEEPER_H
#define PROXY_KEEPER_H

#include "uplink.h"

enum { KEEPER_WAITING_MAX = 4096 }; /* requests of one stream */

struct keeper;
struct keeper_stream; /* a client's */

struct keeper_config {
    struct uplink_door door;
    void (*emit)(void *stream_ctx, struct slice message);
    /* The stream ends with this; then keeper_stream_free() as always. */
    void (*end)(void *stream_ctx, enum grpc_code code, const char *text);
};

struct keeper *keeper_new(const struct keeper_config *config);
void keeper_free(struct keeper *k); /* no stream may be left */

/* Credentials are borrowed until this returns. */
struct keeper_stream *keeper_stream_new(struct keeper *k,
                                        const struct credentials *c, void *ctx);
void keeper_stream_free(struct keeper_stream *s);
/* A LeaseKeepAliveRequest. ERR_INVALID: no protobuf; ERR_TOO_LARGE: more
 * wait than may. */
int keeper_stream_message(struct keeper_stream *s, struct slice message);
/* No more will come: it ends (0) when all is answered. */
void keeper_stream_half_close(struct keeper_stream *s);

struct keeper_stats {
    uint64_t asked; /* by clients */
    uint64_t sent;  /* upstream */
};
void keeper_get_stats(const struct keeper *k, struct keeper_stats *ret);

#endif
