/*
 * gRPC over HTTP/2 (nghttp2 through h2/), server and client side, on the
 * loop thread. Knows frames, metadata, deadlines, status; knows nothing of
 * the services: those register methods.
 *
 * On the way of a Put: conn bytes -> h2 -> grpc_method.on_message with the
 * message bytes -> (api) ... -> grpc_send() + grpc_finish() -> bytes leave
 * at the end of the pass.
 */
#ifndef GRPC_GRPC_H
#define GRPC_GRPC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/list.h"
#include "net/net.h"

enum grpc_code {
    GRPC_OK = 0,
    GRPC_CANCELED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
};

/* "OK", "Canceled", ... as Go and Prometheus spell them. */
const char *grpc_code_name(enum grpc_code code);

struct grpc_call;
struct grpc_server;

enum grpc_kind { GRPC_UNARY, GRPC_SERVER_STREAM, GRPC_BIDI_STREAM };

struct grpc_method {
    const char *path; /* "/etcdserverpb.KV/Put" */
    enum grpc_kind kind;
    /* A whole message, borrowed until this returns; see
     * grpc_call_keep_message(). A unary call gets exactly one. */
    void (*on_message)(struct grpc_call *call, struct slice message);
    /* Streams: the client has half-closed. NULL: ignored. */
    void (*on_half_close)(struct grpc_call *call);
    /* The call is over (answered, reset, deadline, connection gone): drop
     * what `grpc_call_ctx` holds. Called exactly once if on_message ran or
     * the stream began. NULL: nothing to drop. */
    void (*on_end)(struct grpc_call *call);
    void *user;
};

struct grpc_server_config {
    uint32_t message_bytes_max;      /* receive limit, a message */
    uint32_t concurrent_streams_max; /* UINT32_MAX: not announced */
    uint64_t keepalive_min_time_ms;
    uint64_t keepalive_interval_ms;
    uint64_t keepalive_timeout_ms;
    const struct grpc_method *methods;
    uint32_t method_count;
    /* Observer for metrics and the request log; NULL allowed. */
    void (*on_started)(void *ctx, const struct grpc_method *m);
    void (*on_handled)(void *ctx, const struct grpc_method *m,
                       enum grpc_code code, uint64_t took_ns);
    /* First look at a call, before its method (leader and learner checks).
     * false: it has answered with grpc_finish(). NULL allowed. */
    bool (*intercept)(void *ctx, struct grpc_call *call);
    void *ctx;
};

struct grpc_server_stats {
    uint64_t bytes_received; /* message payload */
    uint64_t bytes_sent;
    uint64_t messages_received;
    uint64_t messages_sent;
    uint32_t connection_count;
};

struct grpc_server *grpc_server_new(struct loop *l,
                                    const struct grpc_server_config *config);
/* Serves a connection whose first bytes are (or will be) the HTTP/2
 * preface. Takes the conn. */
void grpc_server_accept(struct grpc_server *s, struct conn *c);
/* GOAWAY everywhere; open streams end with `code` and `text`; then
 * `drained` is called once, within a second. */
void grpc_server_stop(struct grpc_server *s, enum grpc_code code,
                      const char *text, void (*drained)(void *ctx), void *ctx);
void grpc_server_free(struct grpc_server *s);
/* Messages of one method, which must be of the config's. */
struct grpc_method_stats {
    uint64_t received;
    uint64_t sent;
};
void grpc_server_get_method_stats(const struct grpc_server *s,
                                  const struct grpc_method *m,
                                  struct grpc_method_stats *ret);
void grpc_server_get_stats(const struct grpc_server *s,
                           struct grpc_server_stats *ret);

/* ---- a call, server side ---- */
const struct grpc_method *grpc_call_method(const struct grpc_call *c);
void *grpc_call_user(const struct grpc_call *c); /* of the method */
/* Lives as long as the call. */
struct arena *grpc_call_arena(struct grpc_call *c);
void grpc_call_set_ctx(struct grpc_call *c, void *ctx);
void *grpc_call_ctx(const struct grpc_call *c);
/* Metadata value of a lower-case key, the first if there are several; size 0
 * and data NULL when absent. Not kept: what only transport looks at (te,
 * content-type, user-agent, grpc-*, host, :authority ...). */
struct slice grpc_call_metadata(const struct grpc_call *c, const char *key);
const char *grpc_call_remote(const struct grpc_call *c);
/* loop_now_ns() at which it must be over; 0: none. */
uint64_t grpc_call_deadline_ns(const struct grpc_call *c);
/* A call that is gone (reset, connection lost, finished) answers false;
 * sending on it is then a no-op. A pointer stays valid until on_end
 * returns; hold it longer only with ref. */
bool grpc_call_alive(const struct grpc_call *c);
struct grpc_call *grpc_call_ref(struct grpc_call *c);
void grpc_call_unref(struct grpc_call *c);
/* The current message, in memory that lives as long as the call (it may
 * have moved: use what is returned). Call inside on_message. */
struct slice grpc_call_keep_message(struct grpc_call *c)
    __attribute__((warn_unused_result));
struct loop *grpc_call_loop(const struct grpc_call *c);

/* Sends one message, packed at once. */
void grpc_send(struct grpc_call *c, const ProtobufCMessage *message);
/* The same from ready bytes: `head` is copied, `tail` (may be NULL) is
 * referenced, so that one encoding serves many calls. */
void grpc_send_bytes(struct grpc_call *c, struct slice head,
                     struct bytes *tail);
/* The same with several tails, in order; each is let go when it is sent. */
void grpc_send_parts(struct grpc_call *c, struct slice head,
                     struct bytes *const *parts, size_t count);
/* Ends the call. `text` is copied; NULL: none. A unary OK call must have
 * sent its message. Calling it again is a no-op. */
void grpc_finish(struct grpc_call *c, enum grpc_code code, const char *text);
/* grpc_send + grpc_finish(OK). */
void grpc_reply(struct grpc_call *c, const ProtobufCMessage *message);
/* Bytes of messages sent but not yet handed to the socket (flow control,
 * slow reader). When it falls to `low` or less after having been above,
 * `resume` runs once (again set by calling this again). */
size_t grpc_call_queued(const struct grpc_call *c);
void grpc_call_on_drain(struct grpc_call *c, size_t low,
                        void (*resume)(struct grpc_call *c));

/* Unpacks into the call's arena (a bidi stream's message: into memory that
 * lives until its next message comes); on failure finishes the call with
 * the documented status (13) and returns NULL. Nested deeper than 300
 * levels is a failure. */
void *grpc_unpack(struct grpc_call *c, const ProtobufCMessageDescriptor *d,
                  struct slice message);
/* A protobuf-c allocator over an arena. */
ProtobufCAllocator grpc_arena_allocator(struct arena *a);

/* ---- client side: a call is valid until on_status or cancel ---- */
struct grpc_channel; /* one connection to one address, made on demand and
                        made again when lost */
struct grpc_client_call;

struct grpc_client_handler {
    void (*on_message)(void *ctx, struct slice message); /* borrowed */
    /* Exactly once. `text` is borrowed. A connection that could not be made
     * or was lost gives GRPC_UNAVAILABLE. */
    void (*on_status)(void *ctx, enum grpc_code code, const char *text);
};

struct grpc_channel *grpc_channel_new(struct loop *l,
                                      const struct net_address *address,
                                      uint64_t dial_timeout_ms);
/* To a server in this process, which outlives it, by a pair of sockets. */
struct grpc_channel *grpc_channel_new_local(struct loop *l,
                                            struct grpc_server *server);
/* Stop or go on reading: what the server sends then fills the sockets, and
 * the server sees a slow reader. */
void grpc_channel_pause(struct grpc_channel *ch, bool paused);
/* Connections made from now on are asked by PING after `time_ms` without a
 * byte while calls are open, and cut after `timeout_ms` more (GRPC_UNAVAILABLE
 * for the calls). 0: never. */
void grpc_channel_keepalive(struct grpc_channel *ch, uint64_t time_ms,
                            uint64_t timeout_ms);
/* Calls still open get GRPC_CANCELED. */
void grpc_channel_free(struct grpc_channel *ch);
/* `metadata`: name, value, name, value ..., NULL. deadline_ms 0: none. */
struct grpc_client_call *
grpc_client_start(struct grpc_channel *ch, const char *path,
                  const char *const *metadata, uint64_t deadline_ms,
                  const struct grpc_client_handler *h, void *ctx);
void grpc_client_send(struct grpc_client_call *c,
                      const ProtobufCMessage *message);
/* The same from ready bytes, which are copied. */
void grpc_client_send_bytes(struct grpc_client_call *c, struct slice message);
void grpc_client_half_close(struct grpc_client_call *c);
/* RST_STREAM CANCEL; on_status is not called. */
void grpc_client_cancel(struct grpc_client_call *c);
/* Whether a status says that no connection could be made, so that the call
 * cannot have reached a server; or that the connection was lost under it, so
 * that it may have been done or not. */
bool grpc_status_never_sent(enum grpc_code code, const char *text);
bool grpc_status_lost(enum grpc_code code, const char *text);

#endif
