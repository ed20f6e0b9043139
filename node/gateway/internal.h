/* What the files of gateway/ share. */
#ifndef GATEWAY_INTERNAL_H
#define GATEWAY_INTERNAL_H

#include "gateway.h"
#include "pbjson/pbjson.h"

enum {
    GATEWAY_METADATA_MAX = 40,         /* entries of one call */
    GATEWAY_METADATA_BYTES = 64 << 10, /* of all of them */
    GATEWAY_KEEP_BYTES = 64 << 10,
    /* JSON of one answer: base64 of the largest message, and names. */
    GATEWAY_JSON_BYTES_MAX = INT32_MAX,
};

struct gateway_route {
    const char *path;
    const char *rpc;
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    enum grpc_kind kind;
};

/* routes.c: NULL: no such path. */
const struct gateway_route *gateway_route_find(const char *path);

/* metadata.c: a call's deadline and its metadata out of HTTP headers. */
struct gateway_metadata {
    struct arena arena;
    const char *list[2 * GATEWAY_METADATA_MAX + 1];
    size_t count; /* names and values */
    bool has_timeout;
    uint64_t timeout_ns;
    const char *bad_timeout; /* as it came */
};
void gateway_metadata_read(struct gateway_metadata *m,
                           const char *const *headers);
void gateway_metadata_release(struct gateway_metadata *m);

struct gateway {
    struct gateway_config config;
    struct grpc_channel *channel; /* of the unary calls */
    struct buf wire;              /* of the request being sent */
};

struct gateway_call {
    struct gateway *gateway;
    const struct gateway_route *route;
    const struct gateway_handler *handler;
    void *ctx;
    struct gateway_metadata metadata;
    struct buf body;      /* not yet parsed */
    struct buf answer;    /* JSON being made */
    bool is_too_large;    /* body was dropped */
    bool is_body_bad;     /* a stream's: the rest is ignored */
    bool was_asked;       /* the server */
    bool has_head;        /* the answer's was told */
    bool is_failed;       /* the answer could not be shown */
    enum grpc_code early; /* an answer that asks nobody; 0: none */
    const char *early_text;
    uint64_t deadline_ms;         /* 0: none */
    struct grpc_client_call *rpc; /* NULL: not started, or over */
    struct grpc_channel *channel; /* a stream has its own */
};

/* stream.c */
void gateway_stream_body(struct gateway_call *c, bool is_end);
void gateway_stream_message(struct gateway_call *c, struct slice message);
void gateway_stream_status(struct gateway_call *c, enum grpc_code code,
                           const char *text);

/* gateway.c */
void gateway_call_open(struct gateway_call *c);
/* An error before anything was answered: all of the answer, and the end. */
void gateway_call_fail(struct gateway_call *c, enum grpc_code code,
                       const char *text);
void gateway_call_head(struct gateway_call *c, enum grpc_code code,
                       const char *text, bool is_stream, bool has_content);
/* Tells the end; the call is gone. */
void gateway_call_end(struct gateway_call *c);

#endif
