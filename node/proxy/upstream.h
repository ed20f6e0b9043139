/*
 * The members behind the proxy: a connection to each, calls in turn. A call
 * that reached nobody goes to the next; one that may be repeated also goes
 * on when its connection was lost under it.
 *
 * The list may change (upstream_set). New calls know only the new one; what
 * is under way at an endpoint that has left stays there, for a member that
 * is not asked any more may still answer. A stream both ways moves when its
 * connection ends: its owner then resumes it without a gap, as always. The
 * connection is closed when nothing is left on it.
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

/* One endpoint as `endpoints` has it. ERR_INVALID; ERR_UNSUPPORTED: https. */
int upstream_parse(struct slice text, struct net_address *ret_address);
/* These are the endpoints from now on: `count` from 1 to
 * UPSTREAM_ENDPOINTS_MAX, copied. One that was there already keeps its
 * connection; one that is named twice counts once. Whether any came or
 * left. */
bool upstream_set(struct upstream *u, const struct net_address *list,
                  uint32_t count);

/* The address of the first endpoint, until the list changes. */
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
/* For streams both ways: the next endpoint in turn, with a reference for the
 * caller; its connection; and what became of it there. */
struct upstream_endpoint *upstream_pick(struct upstream *u);
void upstream_unref(struct upstream_endpoint *e); /* NULL is fine */
struct grpc_channel *upstream_channel(struct upstream_endpoint *e);
void upstream_note(struct upstream_endpoint *e, enum grpc_code code,
                   const char *text);

#endif
