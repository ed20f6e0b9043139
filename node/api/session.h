/*
 * What Lock and Election have in common: a lease, a key of its own below
 * "<name>/" whose create revision is its place in the queue, and waiting
 * until nobody stands before it. Made of the same transactions, reads and
 * watches that a client would send, without the way through a socket.
 *
 *   begin (lease) -> enter (transaction) -> wait -> the service's answer
 *
 * The context of the unary methods of both services. Whatever fails inside
 * reaches the client with code 2, as it does where the services are clients
 * of themselves; only a deadline keeps its code.
 */
#ifndef API_SESSION_H
#define API_SESSION_H

#include "state.h"

enum { API_SESSION_TTL_S = 60 };

struct api_session {
    struct api_call *c; /* c->session is this */
    int64_t lease;
    struct slice name;
    struct slice prefix; /* "<name>/" */
    struct slice key;    /* "<name>/<lease in hex>" */
    int64_t create_revision;
    int64_t header_revision; /* of the transaction that entered */
    bool existed;            /* the key was there already ... */
    struct slice old_value;  /* ... with this value */
    bool queued;             /* the key goes when the call ends */
    struct watch_stream *watch;
    struct api_wait wake;
    void (*proceed)(struct api_call *c); /* what a proposal leads to */
    void (*next)(struct api_session *s);
};

/* With a lease of its own when `lease` is 0; then `next`. */
struct api_session *api_session_new(struct grpc_call *call);
void api_session_begin(struct api_session *s, int64_t lease,
                       void (*next)(struct api_session *s));
/* Names prefix and key, puts the key with `value` unless it is there, then
 * `next`. */
void api_session_enter(struct api_session *s, struct slice name,
                       struct slice value, void (*next)(struct api_session *s));
/* True when an older key stands below the prefix. */
bool api_session_is_behind(struct api_session *s);
/* Until there is none. The key is deleted if the call ends before. */
void api_session_wait(struct api_session *s,
                      void (*next)(struct api_session *s));
void api_session_fail(struct api_call *c, int err);

/* A transaction on the call's way: `if create_revision(key) = revision then
 * op`. `proceed` looks at c->out with api_txn_succeeded(). `cost` of the
 * quota; 0: none. */
void api_session_txn(struct api_session *s, const Pb__TxnRequest *txn,
                     uint64_t cost, void (*proceed)(struct api_call *c));
bool api_txn_succeeded(const struct api_call *c);

/* "<name>/" and what follows it. */
struct slice api_session_prefix(struct arena *arena, struct slice name);
/* The first or last created key of [prefix, ...) with a create revision of
 * at most `max`; ERR_KEY_NOT_FOUND. `values`: kv.encoded is set. */
int api_session_find(struct api *a, struct slice prefix, int64_t max,
                     bool oldest, struct mvcc_kv *ret_kv);

#endif
