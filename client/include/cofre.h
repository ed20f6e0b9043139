/*
 * cofre's client library: plain C, synchronous, one handle a thread.
 *
 * A call runs the handle's own event loop until the answer is there, so the
 * caller sees ordinary functions; streams (watch, keep-alive) hand what
 * comes to a callback while cofre_run() runs. Nothing is shared between two
 * handles. Nothing is printed or logged.
 *
 *   struct cofre *c;
 *   if (cofre_open(&(struct cofre_config){.endpoints = "10.0.0.1:2379"},
 *                  &c) == 0) {
 *       cofre_put(c, COFRE_STR("a"), COFRE_STR("1"), NULL, NULL);
 *       cofre_close(c);
 *   }
 *
 * Every call returns COFRE_OK or the gRPC code of the failure; the text
 * stands in cofre_error_text() until the next call on the handle.
 */
#ifndef COFRE_H
#define COFRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

enum cofre_code {
    COFRE_OK = 0,
    COFRE_CANCELED = 1,
    COFRE_UNKNOWN = 2,
    COFRE_INVALID_ARGUMENT = 3,
    COFRE_DEADLINE_EXCEEDED = 4,
    COFRE_NOT_FOUND = 5,
    COFRE_ALREADY_EXISTS = 6,
    COFRE_PERMISSION_DENIED = 7,
    COFRE_RESOURCE_EXHAUSTED = 8,
    COFRE_FAILED_PRECONDITION = 9,
    COFRE_ABORTED = 10,
    COFRE_OUT_OF_RANGE = 11,
    COFRE_UNIMPLEMENTED = 12,
    COFRE_INTERNAL = 13,
    COFRE_UNAVAILABLE = 14,
    COFRE_DATA_LOSS = 15,
    COFRE_UNAUTHENTICATED = 16,
};

/* "Canceled", "NotFound" ... */
const char *cofre_code_name(int code);

struct cofre;       /* a client */
struct cofre_reply; /* an answer and the memory that it points into */

/* Borrowed bytes, not terminated by a zero. */
struct cofre_bytes {
    const void *data;
    size_t size;
};
#define COFRE_STR(s)     \
    (struct cofre_bytes) \
    {                    \
        (s), strlen(s)   \
    }

/* One failed attempt of a call, for whoever wants to log it. */
struct cofre_failure {
    const char *target; /* endpoint, as configured */
    const char *method; /* "/etcdserverpb.KV/Put" */
    int code;
    const char *text;
    unsigned attempt; /* 0 for the first */
    bool connected;   /* false: no endpoint could be reached */
};

struct cofre_config {
    const char *endpoints;    /* "host:port,http://host:port"; required */
    uint64_t dial_timeout_ms; /* 0: 2000 */
    uint64_t call_timeout_ms; /* a unary call with its retries; 0: none */
    /* A connection that is silent under open calls is asked after this time
     * (10 s at least, or servers object; 0: never) and given up after the
     * timeout (0: 6 s). */
    uint64_t keepalive_time_ms;
    uint64_t keepalive_timeout_ms;
    const char *user; /* log in before the first call; NULL: no */
    const char *password;
    const char *token;        /* ready-made token; NULL: none */
    size_t request_bytes_max; /* 0: 2 MiB */
    void (*on_failed)(void *ctx, const struct cofre_failure *f);
    void *ctx;
};

/* Copies the configuration, opens no connection yet.
 * COFRE_INVALID_ARGUMENT: no endpoint, or one that cannot be read;
 * COFRE_UNIMPLEMENTED: an https endpoint (TLS is not there yet). Then
 * *ret_client is NULL and cofre_open_error() tells what was wrong. */
int cofre_open(const struct cofre_config *config, struct cofre **ret_client);
/* Of this thread's last failed cofre_open(). */
const char *cofre_open_error(void);
void cofre_close(struct cofre *c); /* NULL is fine */

/* Logs in now, where a user is configured, instead of at the first call. */
int cofre_login(struct cofre *c);

/* Of the last call on this handle. */
int cofre_error_code(const struct cofre *c);
const char *cofre_error_text(const struct cofre *c);
void cofre_set_call_timeout(struct cofre *c, uint64_t timeout_ms);
/* Instead of the configuration's on_failed; NULL: nobody is told. */
void cofre_set_failed(struct cofre *c,
                      void (*on_failed)(void *ctx,
                                        const struct cofre_failure *f),
                      void *ctx);

/* ---- answers ---- */
struct cofre_kv {
    struct cofre_bytes key;
    struct cofre_bytes value;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    int64_t lease;
};

struct cofre_header {
    uint64_t cluster_id;
    uint64_t member_id;
    int64_t revision;
    uint64_t raft_term;
};

void cofre_reply_free(struct cofre_reply *r); /* NULL is fine */
struct cofre_header cofre_reply_header(const struct cofre_reply *r);
/* The pairs of a get, the previous pairs of a put or delete. */
size_t cofre_reply_kv_count(const struct cofre_reply *r);
struct cofre_kv cofre_reply_kv(const struct cofre_reply *r, size_t index);

/* ---- keys ---- */
struct cofre_get_options {
    struct cofre_bytes range_end; /* size 0: the key alone */
    bool prefix;                  /* all keys that begin with the key */
    int64_t limit;
    int64_t revision; /* 0: the newest */
    bool serializable;
    bool keys_only;
};
/* `options` may be NULL here and below. */
int cofre_get(struct cofre *c, struct cofre_bytes key,
              const struct cofre_get_options *options,
              struct cofre_reply **ret_reply);

/* The first key behind all that begin with `prefix` (a single zero byte,
 * that is "no end", where there is none), written to `ret_end`, which has
 * room for as many bytes as the prefix, at least one. Returns its size. */
size_t cofre_prefix_end(struct cofre_bytes prefix, void *ret_end);

struct cofre_put_options {
    int64_t lease;
    bool previous; /* hand back the pair that was there */
    bool ignore_value;
    bool ignore_lease;
};
/* `ret_reply` may be NULL. */
int cofre_put(struct cofre *c, struct cofre_bytes key, struct cofre_bytes value,
              const struct cofre_put_options *options,
              struct cofre_reply **ret_reply);

struct cofre_delete_options {
    struct cofre_bytes range_end;
    bool prefix;
    bool previous;
};
/* `ret_reply` and `ret_deleted` may be NULL. */
int cofre_delete(struct cofre *c, struct cofre_bytes key,
                 const struct cofre_delete_options *options,
                 int64_t *ret_deleted, struct cofre_reply **ret_reply);

/* Drops the history below `revision`. */
int cofre_compact(struct cofre *c, int64_t revision, bool physical);

/* ---- transactions ---- */
struct cofre_txn; /* built up, sent once, freed */

enum cofre_compare { COFRE_EQUAL, COFRE_GREATER, COFRE_LESS, COFRE_NOT_EQUAL };
enum cofre_target {
    COFRE_TARGET_VERSION,
    COFRE_TARGET_CREATE_REVISION,
    COFRE_TARGET_MOD_REVISION,
    COFRE_TARGET_VALUE,
    COFRE_TARGET_LEASE,
};

struct cofre_txn *cofre_txn_new(void);
void cofre_txn_free(struct cofre_txn *t); /* NULL is fine */
/* Bytes given are copied. */
void cofre_txn_if_number(struct cofre_txn *t, struct cofre_bytes key,
                         enum cofre_target target, enum cofre_compare op,
                         int64_t number);
void cofre_txn_if_value(struct cofre_txn *t, struct cofre_bytes key,
                        enum cofre_compare op, struct cofre_bytes value);
/* `on_success` chooses the branch. */
void cofre_txn_put(struct cofre_txn *t, bool on_success, struct cofre_bytes key,
                   struct cofre_bytes value, int64_t lease);
void cofre_txn_delete(struct cofre_txn *t, bool on_success,
                      struct cofre_bytes key, struct cofre_bytes range_end);
void cofre_txn_get(struct cofre_txn *t, bool on_success, struct cofre_bytes key,
                   struct cofre_bytes range_end);
/* The pairs of the branch's gets, one after the other, are the reply's. */
int cofre_txn_commit(struct cofre *c, struct cofre_txn *t, bool *ret_succeeded,
                     struct cofre_reply **ret_reply);

/* ---- watch ---- */
struct cofre_event {
    bool is_delete;
    struct cofre_kv kv;
    bool has_previous;
    struct cofre_kv previous;
};

struct ProtobufCMessage;
struct ProtobufCMessageDescriptor;

/* What a watch delivers, borrowed for the callback. */
struct cofre_watch_news {
    int64_t watch_id;
    void *watch_ctx; /* of its options; NULL: of no watch in particular */
    struct cofre_header header;
    bool progress; /* no events: delivered up to header.revision */
    bool canceled; /* over: the next two say why */
    int64_t compact_revision;
    const char *cancel_reason;
    size_t event_count;
    const struct ProtobufCMessage *message; /* the WatchResponse */
};

struct cofre_watch_options {
    struct cofre_bytes range_end;
    bool prefix;
    int64_t start_revision; /* 0: from now on */
    bool previous;
    bool progress_notify;
    bool no_put;
    bool no_delete;
    void *ctx; /* handed back in the news of this watch */
};

struct cofre_watcher; /* a stream of watches; resumes by itself where a
                         connection is lost */

/* The i-th event of the news; i < event_count. */
struct cofre_event cofre_watch_event(const struct cofre_watch_news *n,
                                     size_t i);

struct cofre_watcher *
cofre_watcher_new(struct cofre *c,
                  void (*on_news)(void *ctx, const struct cofre_watch_news *n),
                  void *ctx);
void cofre_watcher_free(struct cofre_watcher *w); /* NULL is fine */
int cofre_watch_add(struct cofre_watcher *w, struct cofre_bytes key,
                    const struct cofre_watch_options *options);
/* Asks for a progress answer now. */
int cofre_watch_progress(struct cofre_watcher *w);

/* Delivers to callbacks until cofre_stop() is called in one, or a stream
 * ends for good: then its code. */
int cofre_run(struct cofre *c);
void cofre_stop(struct cofre *c);

/* ---- leases ---- */
/* `id` 0: the cluster chooses. */
int cofre_lease_grant(struct cofre *c, int64_t ttl_s, int64_t id,
                      int64_t *ret_id, int64_t *ret_ttl_s);
/* The keys attached to it go. */
int cofre_lease_revoke(struct cofre *c, int64_t id);
/* Once. *ret_ttl_s 0: there is no such lease. */
int cofre_lease_keep_alive(struct cofre *c, int64_t id, int64_t *ret_ttl_s);
/* Again and again over one stream, a third of its TTL apart, while
 * cofre_run() or any call runs. `ttl_s`: how long it can be thought to live
 * without an answer (0: not known). `on_over`, once: it is gone
 * (COFRE_NOT_FOUND), no server said a word in its time
 * (COFRE_DEADLINE_EXCEEDED), or it may not be kept; the loop is stopped
 * then. */
struct cofre_keeper;
struct cofre_keeper *
cofre_keeper_new(struct cofre *c, int64_t id, int64_t ttl_s,
                 void (*on_answer)(void *ctx, const struct ProtobufCMessage *m,
                                   int64_t ttl_s),
                 void (*on_over)(void *ctx, int code, const char *text),
                 void *ctx);
void cofre_keeper_free(struct cofre_keeper *k); /* NULL is fine */
/* *ret_ttl_s is -1 for a lease that is not there. */
int cofre_lease_time_to_live(struct cofre *c, int64_t id, int64_t *ret_ttl_s,
                             int64_t *ret_granted_ttl_s);

/* ---- cluster ---- */
struct cofre_member {
    uint64_t id;
    const char *name; /* "" until it has started */
    size_t peer_url_count;
    char *const *peer_urls;
    size_t client_url_count;
    char *const *client_urls;
    bool is_learner;
};

int cofre_member_list(struct cofre *c, struct cofre_reply **ret_reply);
size_t cofre_reply_member_count(const struct cofre_reply *r);
struct cofre_member cofre_reply_member(const struct cofre_reply *r,
                                       size_t index);
int cofre_member_add(struct cofre *c, const char *const *peer_urls,
                     size_t peer_url_count, bool as_learner, uint64_t *ret_id);
int cofre_member_remove(struct cofre *c, uint64_t id);
int cofre_member_promote(struct cofre *c, uint64_t id);

struct cofre_status {
    char version[32];
    int64_t db_size; /* bytes */
    int64_t db_size_in_use;
    uint64_t member_id;
    uint64_t leader;
    uint64_t raft_term;
    uint64_t raft_index;
    uint64_t raft_applied_index;
    bool is_learner;
    size_t error_count; /* "etcdserver: no leader" and the like */
};
/* Of the first endpoint that answers. */
int cofre_status(struct cofre *c, struct cofre_status *ret_status);

/* ---- snapshot ---- */
struct cofre_snapshot {
    uint64_t size;    /* bytes written, checksum included */
    char version[32]; /* storage version of the cluster */
};
/* Streams the store's image into `fd` (at its start; readable too) and
 * checks the SHA-256 at its end: COFRE_DATA_LOSS when it does not fit or is
 * missing. No fsync. `opened` may be NULL; it runs when the stream stands. */
int cofre_snapshot(struct cofre *c, int fd, void (*opened)(void *ctx),
                   void *ctx, struct cofre_snapshot *ret_snapshot);

/* ---- for those who have the generated messages ---- */
/* Any unary call. The reply's message is of type `answer`. */
int cofre_call(struct cofre *c, const char *path,
               const struct ProtobufCMessage *request,
               const struct ProtobufCMessageDescriptor *answer,
               struct cofre_reply **ret_reply);
const struct ProtobufCMessage *cofre_reply_message(const struct cofre_reply *r);

/* Any stream: `on_message` runs for each answer (borrowed) and says whether
 * to go on. Sends `request`, half-closes when asked, and returns when the
 * stream is over (its code) or the callback has said no (COFRE_OK). The
 * call timeout counts where `timed`. */
int cofre_stream(struct cofre *c, const char *path,
                 const struct ProtobufCMessage *request, bool half_close,
                 bool timed, const struct ProtobufCMessageDescriptor *answer,
                 bool (*on_message)(void *ctx,
                                    const struct ProtobufCMessage *m),
                 void *ctx);

/* The loop that calls run on, for wakers and timers of your own (net/net.h).
 */
struct loop *cofre_loop(struct cofre *c);
/* The number of endpoints and their texts, as they were given. */
size_t cofre_endpoint_count(const struct cofre *c);
const char *cofre_endpoint(const struct cofre *c, size_t index);

#ifdef __cplusplus
}
#endif

#endif
