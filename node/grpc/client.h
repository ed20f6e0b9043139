/* What channel.c and client.c share. */
#ifndef GRPC_CLIENT_H
#define GRPC_CLIENT_H

#include "grpc/grpc.h"
#include "grpc/reader.h"
#include "h2/h2.h"

enum { GRPC_CLIENT_HEADERS_MAX = 64 };

/* How the text begins when there was no connection. */
#define GRPC_CLIENT_UNCONNECTED "connection error"

/* One connection of a channel. After a GOAWAY it is the channel's no more,
 * but its calls go on. */
struct grpc_link {
    struct grpc_channel *channel; /* NULL: retired */
    struct conn *conn;
    struct h2_session *h2;
    struct timer *greeting; /* until the server's SETTINGS; NULL: they came,
                               and calls may go out */
    /* keepalive.c; probe NULL: not kept */
    struct timer *probe;
    uint64_t heard_ms;
    uint64_t keepalive_ms;
    uint64_t keepalive_timeout_ms;
    bool is_probing; /* our PING is out, and no byte since */
};

struct grpc_channel {
    struct loop *loop;
    struct net_address address;
    struct grpc_server *local; /* instead of an address */
    struct timer *no_pair;     /* tells that there were no descriptors */
    uint64_t dial_timeout_ms;
    uint64_t keepalive_ms; /* 0: never ask */
    uint64_t keepalive_timeout_ms;
    char authority[300];
    struct dial *dial;
    struct grpc_link *link; /* NULL: none yet, or lost */
    struct list calls;      /* all that have not been told their status */
};

/* waiting -> open -> told; the memory goes when told and not open. */
struct grpc_client_call {
    struct h2_stream stream;      /* first */
    struct grpc_channel *channel; /* NULL once told */
    struct list link;             /* in channel->calls */
    const struct grpc_client_handler *handler;
    void *ctx;
    struct arena arena; /* the request's headers, the status' text */
    struct grpc_reader reader;
    struct timer *deadline;
    nghttp2_nv nv[GRPC_CLIENT_HEADERS_MAX];
    size_t nv_count;
    bool is_open;
    bool has_status;
    int http_status;
    enum grpc_code code;
    char *text;
};

/* The events of a client's streams, for channel.c's session. */
void grpc_client_header(struct h2_stream *st, struct slice name,
                        struct slice value);
void grpc_client_head(struct h2_stream *st, bool is_trailers);
void grpc_client_data(struct h2_stream *st, struct slice data);
void grpc_client_end(struct h2_stream *st);
void grpc_client_close(struct h2_stream *st, uint32_t code);

/* Opens the call's stream on the channel's link. */
void grpc_client_open(struct grpc_client_call *c);
/* Tells the status, once; the call may be gone after it. */
void grpc_client_tell(struct grpc_client_call *c, enum grpc_code code,
                      const char *text);
/* At once; its calls are told that it is lost. */
void grpc_link_cut(struct grpc_link *k);
void grpc_keepalive_begin(struct grpc_link *k, const struct grpc_channel *ch);
/* Bytes came. */
void grpc_keepalive_heard(struct grpc_link *k);
void grpc_channel_connect(struct grpc_channel *ch);
/* The next call gets a connection of its own. */
void grpc_channel_retire(struct grpc_channel *ch);

#endif
