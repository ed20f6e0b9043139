/*
 * The lessor: leases, the keys attached to them, and on the leader when
 * they expire. Pure: time comes in as monotonic milliseconds, rows are
 * staged through kvdb with the entry that changed them.
 *
 * On the way of a Put: apply -> mvcc_put -> lease_detach, lease_attach.
 * Grant, revoke and checkpoint happen when their entry is applied, on every
 * member alike; only expiry and renewal are the leader's ("primary"), which
 * keeps them in a heap. A follower takes every expiry as infinite.
 *
 * Loop thread only.
 */
#ifndef LEASE_LEASE_H
#define LEASE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "kvdb/kvdb.h"

struct lessor;

enum {
    LEASE_SPREAD_FROM = 1000,      /* leases, from which expiries spread */
    LEASE_SPREAD_PER_SECOND = 750, /* after a change of leader */
    LEASE_CHECKPOINT_S = 300,
    LEASE_CHECKPOINT_LOOKS = 20000, /* places of the map, a call */
};
#define LEASE_TTL_MAX INT64_C(9000000000) /* seconds */

struct lessor_config {
    struct kvdb *db;   /* NULL: nothing is stored (tests) */
    int64_t ttl_min_s; /* shorter ones are raised to it */
    uint64_t retry_ms; /* an expired lease handed out but not revoked yet
                          is handed out again after this */
};

struct lessor *lease_new(const struct lessor_config *config);
void lease_free(struct lessor *l); /* NULL is fine */

/* Forgets all, then reads the rows of `db`: at start and after an image was
 * installed. Keys come after it by lease_attach_row(). ERR_CORRUPT (a row
 * that does not parse), ERR_IO. */
int lease_load(struct lessor *l, struct kvdb *db);
/* For mvcc_each_leased(); ctx is the lessor. A lease that is gone is
 * ignored: the key stays, unattached. */
void lease_attach_row(void *ctx, int64_t lease, struct slice key);

/* ---- when entries are applied ---- */
/* ERR_TOO_LARGE: ttl over LEASE_TTL_MAX; ERR_EXISTS; ERR_LEASE_NOT_FOUND:
 * id 0. *ret_ttl_s is the effective one. */
int lease_grant(struct lessor *l, int64_t id, int64_t ttl_s, uint64_t now_ms,
                int64_t *ret_ttl_s);
/* Drops the lease and its attachments (deleting the keys is apply's).
 * ERR_LEASE_NOT_FOUND. */
int lease_revoke(struct lessor *l, int64_t id);
/* Remaining seconds agreed by the log; 0: the whole TTL again. A lease that
 * is gone is ignored, as the reference does. */
void lease_checkpoint(struct lessor *l, int64_t id, int64_t remaining_s,
                      uint64_t now_ms);
bool lease_exists(const struct lessor *l, int64_t id);
/* A key belongs to one lease: attaching moves it. ERR_LEASE_NOT_FOUND. */
int lease_attach(struct lessor *l, int64_t id, struct slice key);
/* Nothing happens when it is not attached to that lease. */
void lease_detach(struct lessor *l, int64_t id, struct slice key);
/* Attached keys in ascending order: an array to free(), whose slices are
 * borrowed until the next attach, detach or revoke. ERR_LEASE_NOT_FOUND. */
int lease_keys(const struct lessor *l, int64_t id, struct slice **ret_keys,
               size_t *ret_count);

/* ---- leader ---- */
/* From now on this lessor counts: each lease gets its TTL (or what the last
 * checkpoint left of it) from now, and extend_ms on top. */
void lease_promote(struct lessor *l, uint64_t now_ms, uint64_t extend_ms);
void lease_demote(struct lessor *l);
bool lease_is_primary(const struct lessor *l);
/* The whole TTL from now. ERR_NOT_LEADER; ERR_LEASE_NOT_FOUND; ERR_AGAIN:
 * expired, its revoke is on the way. *ret_checkpoint: a checkpoint of 0 has
 * to be proposed, since the log holds a shorter remainder. */
int lease_renew(struct lessor *l, int64_t id, uint64_t now_ms,
                int64_t *ret_ttl_s, bool *ret_checkpoint);
/* Up to `capacity` ids of expired leases; each is not handed out again
 * before retry_ms. Returns how many. 0 when not primary. */
size_t lease_expired(struct lessor *l, uint64_t now_ms, int64_t *ret_ids,
                     size_t capacity);

/* What is left of a lease, for the log: so that the next leader does not
 * begin its whole TTL anew. */
struct lease_remainder {
    int64_t id;
    int64_t remaining_s;
};
/* Up to `capacity` leases that live for LEASE_CHECKPOINT_S yet, and of which
 * the log knows of as much more. Looks at LEASE_CHECKPOINT_LOOKS of them and
 * goes on from there the next time. Returns how many; 0 when not primary. */
size_t lease_checkpoints_due(struct lessor *l, uint64_t now_ms,
                             struct lease_remainder *ret, size_t capacity);

/* ---- looking ---- */
struct lease_info {
    int64_t ttl_s;       /* granted */
    int64_t remaining_s; /* whole seconds; the TTL where not primary */
};
int lease_get(const struct lessor *l, int64_t id, uint64_t now_ms,
              struct lease_info *ret_info);
/* All ids, soonest expiry first on the primary, else ascending; an array to
 * free(). Returns how many. */
size_t lease_list(const struct lessor *l, int64_t **ret_ids);
size_t lease_count(const struct lessor *l);

struct lease_stats {
    uint64_t granted_total, revoked_total, renewed_total;
};
void lease_get_stats(const struct lessor *l, struct lease_stats *ret_stats);

#endif
