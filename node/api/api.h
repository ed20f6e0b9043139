/*
 * The public services, one file each: validation in the documented order,
 * texts from one table, then replica (propose, read) and the store. Also
 * the interceptors. Loop thread only.
 *
 * On the way of a Put: grpc -> api/kv.c: checks, entry encoded ->
 * replica_propose ... done -> header + body -> grpc_send_bytes.
 */
#ifndef API_API_H
#define API_API_H

#include "apply/apply.h"
#include "grpc/grpc.h"
#include "kvdb/kvdb.h"
#include "lease/lease.h"
#include "mvcc/mvcc.h"
#include "replica/replica.h"
#include "watch/watch.h"

struct api;

/* What Status answers: the release whose API this is. */
#define API_SERVER_VERSION "3.7.1"

/* What api asks of the rim, by pointers, since it may not know it. */
struct api_rim {
    /* Keep-alive and time-to-live belong to the leader: the server sends
     * them to its peer URL when that is not us. `done` once: err 0 and the
     * answer; ERR_LEASE_NOT_FOUND; ERR_NO_LEADER, ERR_TIMEOUT ... */
    void (*forward_keepalive)(void *ctx, int64_t lease,
                              void (*done)(void *done_ctx, int err,
                                           int64_t ttl),
                              void *done_ctx);
    void (*forward_timetolive)(void *ctx, int64_t lease, bool keys,
                               void (*done)(void *done_ctx, int err,
                                            Pb__LeaseTimeToLiveResponse *r),
                               void *done_ctx);
    /* A promotion that the leader must judge. 0; ERR_NOT_FOUND,
     * ERR_INVALID, ERR_AGAIN (not in sync), ERR_BUSY as api_promote(). */
    void (*forward_promote)(void *ctx, uint64_t member,
                            void (*done)(void *done_ctx, int err),
                            void *done_ctx);
    /* For how long this member has had a connection to another; 0: none. */
    uint64_t (*connected_ms)(void *ctx, uint64_t member);
    uint64_t (*next_request_id)(void *ctx);
    /* "3.7.0"; NULL while undecided. */
    const char *(*cluster_version)(void *ctx);
    /* True while a downgrade is under way; its target, "" without one. */
    bool (*downgrade)(void *ctx, const char **ret_target);
    void *ctx;
};

struct api_config {
    struct loop *loop;
    struct replica *replica;
    struct members *members;
    struct mvcc *mvcc;
    struct kvdb *db;
    struct lessor *lessor;
    struct watch_hub *watch;
    struct apply *apply;
    uint64_t member_id;
    uint64_t quota_bytes; /* 0: none */
    uint32_t request_bytes_max;
    uint32_t txn_ops_max;
    uint64_t election_timeout_ms;
    uint64_t watch_progress_interval_ms;
    bool strict_reconfig; /* refuse changes that could lose the quorum */
    /* Automatic compaction: what to keep, 0: everything. */
    uint64_t compact_period_ms;
    int64_t compact_revisions; /* looked at when there is no period */
    bool lease_checkpoints;    /* what is left of leases goes through the log */
    struct api_rim rim;
};

struct api *api_new(const struct api_config *config);
void api_free(struct api *a);
/* The store was replaced (an image was installed): the same pointers in
 * config but new objects behind. */
void api_set_store(struct api *a, struct mvcc *mvcc, struct kvdb *db);
const struct grpc_method *api_methods(struct api *a, uint32_t *ret_count);
/* For grpc_server_config.intercept; ctx is the api. */
bool api_intercept(void *ctx, struct grpc_call *call);
/* Every heartbeat: ends leaderless streams, asks again for what waits,
 * proposes the end of expired leases, periodic progress. */
void api_tick(struct api *a, uint64_t now_ms);
/* After a pass applied entries. Proposes nothing itself; a timer of its own
 * does, in the next turn of the loop. (Watchers were told by
 * watch_notify(), after each entry.) */
void api_applied(struct api *a);

/* Renews a lease where this member leads, as lease_renew(), and tells the
 * log when that must know. That it leads still has been made sure by a
 * replica_read(). */
int api_renew(struct api *a, int64_t lease, int64_t *ret_ttl_s);

/* Raises the CORRUPT alarm for a member (0: for nobody in particular), if it
 * is not raised yet. */
void api_raise_corrupt(struct api *a, uint64_t member);

/* Promotes a learner as MemberPromote does, for the peer port; `done` once,
 * possibly at once: 0, what member_change_check() and its strict sister say,
 * ERR_AGAIN: not in sync with the leader; ERR_NOT_LEADER: this member has to
 * pass it on; or what a proposal ends with. */
void api_promote(struct api *a, uint64_t member,
                 void (*done)(void *done_ctx, int err), void *done_ctx);

#endif
