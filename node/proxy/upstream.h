/*
 * The members behind the proxy: a connection to each, calls in turn. A call
 * that reached nobody goes to the next; one that may be repeated also goes
 * on when its connection was lost under it.
 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include "grpc/grpc.h"

enum { UPSTREAM_ENDPOINTS_MAX = 64 };

struct upstream;
struct upstream_call;

struct upstream_config {
    struct loop *loop;
    uint64_t dial_timeout_ms;
    uint64_t keepalive_ms; /* 0: never ask */
    uint64_t keepalive_timeout_ms;
};

/* `endpoints`: comma-separated, host:port or http://host:port. ERR_INVALID,
 * ERR_UNSUPPORTED (https: TLS is not built), with the reason in `why`. */
int upstream_new(const struct upstream_config *config, const char *endpoints,
                 struct upstream **ret_upstream, struct buf *why);
/* No call may be open. */
void upstream_free(struct upstream *u);

/* One endpoint's address, the first's; for what is fixed at the start. */
const struct net_address *upstream_first(const struct upstream *u);

struct upstream_ask {
    const char *path;
    const char *const *metadata; /* name, value ..., NULL; must last */
    struct slice message;        /* must last until status or cancel */
    uint64_t deadline_ns;        /* of loop_now_ns(); 0: none */
    bool waits;     /* while nobody can be reached, instead of failing */
    bool repeats;   /* harmless to do twice */
    bool is_stream; /* many answers: at its reader's pace */
};

/* A call of one request. The handler's ctx hears of answers and, once, of
 * the status; never from inside. */
struct upstream_call *upstream_start(struct upstream *u,
                                     const struct upstream_ask *ask,
                                     const struct grpc_client_handler *h,
                                     void *ctx);
/* Of an is_stream call: stop or go on reading. */
void upstream_pause(struct upstream_call *c, bool paused);
/* on_status is not called any more. */
void upstream_cancel(struct upstream_call *c);

struct loop *upstream_loop(const struct upstream *u);
/* For streams both ways: the next endpoint in turn, and what became of it. */
struct upstream_endpoint *upstream_pick(struct upstream *u);
struct grpc_channel *upstream_channel(struct upstream_endpoint *e);
void upstream_note(struct upstream_endpoint *e, enum grpc_code code,
                   const char *text);

#endif
