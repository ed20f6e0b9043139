/* What the files of proxy/ share. */
#ifndef PROXY_INTERNAL_H
#define PROXY_INTERNAL_H

#include "admin/admin.h"
#include "base/err.h"
#include "cache.h"
#include "config.h"
#include "grpc/grpc.h"
#include "hub.h"
#include "keeper.h"
#include "namespace.h"
#include "registration.h"
#include "roster.h"
#include "sync.h"
#include "upstream.h"

enum {
    PROXY_MESSAGE_BYTES_MAX = 4 << 20, /* from a client */
    PROXY_DIAL_MS = 2000,
    PROXY_STREAM_QUEUE_BYTES = 1 << 20, /* a reader with more is slow */
    PROXY_STREAM_DRAINED_BYTES = 256 << 10,
    PROXY_METHODS_MAX = 64,
    PROXY_CODES = 17,
    PROXY_METADATA_MAX = 4, /* names that go on upstream */
};

struct proxy;

/* A row of the table of RPCs (routes.c). */
struct proxy_route {
    const char *path;
    enum grpc_kind kind;
    void (*on_message)(struct grpc_call *call, struct slice message);
    void (*on_half_close)(struct grpc_call *call);
    void (*on_end)(struct grpc_call *call);
    bool waits;   /* for a member to be reached, see upstream_ask */
    bool repeats; /* reads */
};

struct proxy_method {
    struct proxy *proxy;
    const struct proxy_route *route;
    uint64_t started;
    uint64_t handled[PROXY_CODES];
};

struct proxy {
    struct proxy_config *config;
    struct loop *loop;
    struct upstream *upstream;
    struct grpc_server *grpc;
    struct grpc_method methods[PROXY_METHODS_MAX];
    struct proxy_method method_states[PROXY_METHODS_MAX];
    uint32_t method_count;
    struct name_space name_space;
    struct cache *cache;
    struct hub *hub;
    struct keeper *keeper;
    struct admin *admin;
    struct waker *admin_waker;
    struct listener *listener;
    struct listener *metrics_listener;
    struct list http; /* requests that wait for a member, http.c */
    struct grpc_channel *advertised; /* NULL: no advertised address */
    char host[256];
    struct sync *sync;                 /* NULL: the endpoints are as given */
    struct registration *registration; /* NULL: no resolver prefix */
    struct roster *roster;             /* likewise */
    int stopping; /* what is to be told off before the loop may end */
    struct loop_signals signals;
};

/* What a call carries on upstream: names and values in the call's arena. */
struct proxy_metadata {
    const char *list[2 * PROXY_METADATA_MAX + 1];
    struct slice token; /* with authorization, all that tells who asks */
    bool has_leader;    /* hasleader: true */
};
void proxy_metadata_read(struct grpc_call *call, struct proxy_metadata *ret);

/* forward.c: a call of one request on its way. In the call's arena. */
struct proxy_forward {
    struct proxy *proxy;
    struct grpc_call *call;
    struct upstream_call *up; /* NULL: over */
    struct proxy_metadata metadata;
    bool is_paused;
    bool has_answer;
    struct buf rewritten; /* the request, where it is another one */
    struct bytes *answer; /* what to_client() made, until it is sent */
    /* An answer on its way back; may make `answer`, which the client then gets
     * instead. NULL, or the text of an error (13). Not set: it goes as it
     * is. */
    const char *(*to_client)(struct proxy_forward *f, struct slice answer);
    /* Told once of what was started, before the client is. NULL: nothing to
     * do. */
    void (*settled)(struct proxy_forward *f, enum grpc_code code);
    /* Of kv.c. */
    struct cache_fill fill;
    struct slice request; /* as the client said it */
    bool is_filling;
};
struct proxy *proxy_of(const struct grpc_call *call);
struct proxy_forward *proxy_forward_new(struct grpc_call *call);
/* Sends `message`, which must live as long as the call. */
void proxy_forward_start(struct proxy_forward *f, struct slice message);
void proxy_forward_message(struct grpc_call *call, struct slice message);
void proxy_forward_end(struct grpc_call *call);
/* 13, as a server answers what is no protobuf. */
void proxy_fail_unmarshal(struct grpc_call *call);

/* kv.c */
void proxy_range_message(struct grpc_call *call, struct slice message);
void proxy_put_message(struct grpc_call *call, struct slice message);
void proxy_delete_message(struct grpc_call *call, struct slice message);
void proxy_txn_message(struct grpc_call *call, struct slice message);
void proxy_compact_message(struct grpc_call *call, struct slice message);
void proxy_range_stream_message(struct grpc_call *call, struct slice message);
void proxy_timetolive_message(struct grpc_call *call, struct slice message);
void proxy_writing_message(struct grpc_call *call, struct slice message);
void proxy_auth_message(struct grpc_call *call, struct slice message);

/* member.c */
void proxy_memberlist_message(struct grpc_call *call, struct slice message);

/* streams.c */
void proxy_watch_message(struct grpc_call *call, struct slice message);
void proxy_watch_end(struct grpc_call *call);
void proxy_keepalive_message(struct grpc_call *call, struct slice message);
void proxy_keepalive_half_close(struct grpc_call *call);
void proxy_keepalive_end(struct grpc_call *call);
void proxy_streams_open(struct proxy *p);
void proxy_streams_close(struct proxy *p);

/* routes.c */
extern const struct proxy_route proxy_routes[];
extern const uint32_t proxy_route_count;

/* http.c */
void proxy_http_route(void *ctx, struct admin_request *rq, const char *method,
                      const char *path);
void proxy_http_close(struct proxy *p);

/* metrics.c */
void proxy_metrics(struct proxy *p, struct buf *out);

#endif
