/*
 * The JSON gateway: HTTP requests under /v3/ become gRPC calls to our own
 * server, over a pair of sockets, so that checks, texts, metrics and limits
 * are those of gRPC; answers come back as JSON. Knows no HTTP connection:
 * admin/ hands in heads and bodies and takes answers. Loop thread only.
 *
 * On the way of a PUT by curl: admin -> gateway_start(), gateway_body(),
 * gateway_body_end() -> pbjson_to_proto() -> grpc_client_* -> (a Put like any
 * other) -> pbjson_from_proto() -> gateway_handler.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "grpc/grpc.h"

struct gateway;
struct gateway_call;

struct gateway_config {
    struct loop *loop;
    struct grpc_server *server;
    uint32_t message_bytes_max; /* of a request, as gRPC limits it */
};

/* The answer: one head, any number of pieces of the body, one end; none of
 * them from inside gateway_start(). */
struct gateway_handler {
    /* `headers`: name, value ..., NULL, borrowed. `is_stream`: of unknown
     * length, to be sent as it comes. */
    void (*head)(void *ctx, int status, const char *const *headers,
                 bool is_stream);
    void (*body)(void *ctx, struct slice data); /* borrowed */
    /* The last event: the call is gone. */
    void (*end)(void *ctx);
};

struct gateway *gateway_new(const struct gateway_config *config);
/* No call may be open. */
void gateway_free(struct gateway *g);

/* `path` begins with /v3/; `headers` (name, value ..., NULL) as they came
 * over HTTP; all are borrowed until this returns. */
struct gateway_call *gateway_start(struct gateway *g, const char *method,
                                   const char *path, const char *const *headers,
                                   const struct gateway_handler *h, void *ctx);
/* More of the request's body; its end. Either may bring the answer. */
void gateway_body(struct gateway_call *c, struct slice data);
void gateway_body_end(struct gateway_call *c);
/* False: the answer does not depend on more of the body; end it. */
bool gateway_wants_body(const struct gateway_call *c);
/* Whether a body is many messages, or one. */
bool gateway_takes_many(const struct gateway_call *c);
/* The reader of the answer is behind: little more comes until it is not. */
void gateway_pause(struct gateway_call *c, bool paused);
/* The client is gone; no more events. */
void gateway_cancel(struct gateway_call *c);

/* Appends {"code":...,"message":...}, as every error's body is. */
void gateway_error_json(struct buf *out, enum grpc_code code, const char *text);
int gateway_http_status(enum grpc_code code);

#endif
