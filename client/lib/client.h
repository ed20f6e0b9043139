/* What the library's files share: the handle, its channels, replies. */
#ifndef CLIENT_LIB_CLIENT_H
#define CLIENT_LIB_CLIENT_H

#include "base/arena.h"
#include "base/list.h"
#include "cofre.h"
#include "grpc/grpc.h"
#include "proto/rpc.pb-c.h"

enum { CLIENT_REQUEST_BYTES_MAX = 2 << 20 };
enum { CLIENT_ENDPOINT_COUNT_MAX = 64 };

struct client_endpoint {
    char *text; /* as configured */
    struct net_address address;
    struct grpc_channel *channel; /* NULL until first used */
};

struct cofre {
    struct loop *loop;
    struct client_endpoint *endpoints;
    size_t endpoint_count;
    size_t current; /* the endpoint that answered last */
    uint64_t dial_timeout_ms;
    uint64_t call_timeout_ms;
    uint64_t keepalive_time_ms;
    uint64_t keepalive_timeout_ms;
    size_t request_bytes_max;
    char *user;
    char *password;
    char *token;
    void (*on_failed)(void *ctx, const struct cofre_failure *f);
    void *ctx;

    int error_code;
    char *error_text; /* never NULL */
    bool stopped;     /* cofre_stop() */
    int run_code;     /* what cofre_run() returns */
};

struct cofre_reply {
    struct arena arena;
    ProtobufCMessage *message;
    Pb__ResponseHeader *header; /* NULL: none */
    Pb__KeyValue **kvs;
    size_t kv_count;
    Pb__Member **members;
    size_t member_count;
};

/* Sets the handle's error and returns `code`. */
int client_error(struct cofre *c, int code, const char *text);

/* ERR_INVALID; ERR_UNSUPPORTED for https. */
int client_parse_endpoint(const char *text, struct net_address *ret_address);

struct grpc_channel *client_channel(struct cofre *c, size_t index);

/* Whether the status says that the request cannot have reached a server. */
bool client_never_sent(int code, const char *text);

/* Runs the loop for `ms`. */
void client_pause(struct cofre *c, uint64_t ms);

enum { CLIENT_METADATA_COUNT = 7 };
/* Fills names and values, NULL at the end. */
void client_metadata(const struct cofre *c, bool require_leader,
                     const char *ret_metadata[CLIENT_METADATA_COUNT]);

/* The end of the keys that begin with `key`: its last byte that can grow,
 * grown; into `a`. All of 0xff (or empty): a zero byte. */
ProtobufCBinaryData client_prefix_end(struct arena *a, struct cofre_bytes key);

ProtobufCBinaryData client_binary(struct cofre_bytes b);
struct cofre_kv client_kv(const Pb__KeyValue *kv);
struct cofre_header client_header(const Pb__ResponseHeader *h);

/* Finds header, pairs and members of an answer by its type. */
void client_reply_index(struct cofre_reply *r);

#endif
