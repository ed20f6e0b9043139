/*
 * A committed entry becomes its effect, the same on every member to the
 * byte, and, where somebody here waits for it, the answer.
 *
 * On the way of a Put: replica's rim.apply -> apply_entry -> mvcc_begin,
 * mvcc_put, lease_attach, mvcc_end -> (server) watch_notify -> api's done.
 *
 * Answers are not built as structs: what stands behind the header is
 * encoded straight into apply_out.body, KeyValues spliced in as they are
 * stored; api puts the header in front.
 *
 * Pure: the time comes in, what leaves goes through struct apply_hooks.
 * Loop thread only.
 */
#ifndef APPLY_APPLY_H
#define APPLY_APPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "kvdb/kvdb.h"
#include "lease/lease.h"
#include "mvcc/mvcc.h"
#include "proto/internal.pb-c.h"
#include "proto/membership.pb-c.h"
#include "proto/proto.h"
#include "proto/rpc.pb-c.h"

struct apply;

enum {
    /* Txns inside Txns, counted before anything recurses over them. */
    APPLY_TXN_DEPTH_MAX = 500,
    /* An answer's size limit: what gRPC can send. */
    APPLY_BODY_BYTES_MAX = INT32_MAX,
    /* What the quota counts a change as, beside its key and value. */
    APPLY_COST_PUT = 256,
    APPLY_COST_LEASE = 64,
};

/* Entries whose effect is not ours; called while they are applied. */
struct apply_hooks {
    void (*cluster_version_set)(void *ctx, const char *version);
    void (*member_attributes_set)(void *ctx, uint64_t member_id,
                                  const Pbm__Attributes *attributes);
    void (*downgrade_set)(void *ctx, bool enabled, const char *version);
    void *ctx;
};

struct apply_config {
    struct mvcc *mvcc;
    struct kvdb *db;
    struct lessor *lessor;
    uint64_t quota_bytes; /* 0: none */
    struct apply_hooks hooks;
};

/* The answer. The one who waits sets it to apply_out_init() before, and
 * releases it after. */
struct apply_out {
    int err;          /* what the client is told: ERR_LEASE_NOT_FOUND,
                         ERR_KEY_NOT_FOUND, ERR_COMPACTED, ERR_FUTURE,
                         ERR_NO_SPACE (quota or NOSPACE alarm), ERR_CORRUPT
                         (CORRUPT alarm), ERR_EXISTS (lease), ERR_TOO_LARGE
                         (lease TTL, answer), ERR_UNSUPPORTED */
    int64_t revision; /* for the header */
    struct buf body;  /* response fields behind the header */
    /* Compaction only, NULL: not wanted. When the old records are gone;
     * never called when err is set. `out` must live until then. */
    void (*compacted)(struct apply_out *out, int err);
};

void apply_out_init(struct apply_out *out);
void apply_out_release(struct apply_out *out);

/* Reads the alarms. ERR_CORRUPT, ERR_IO. */
int apply_new(const struct apply_config *config, struct apply **ret_apply);
void apply_free(struct apply *a); /* NULL is fine */
/* The store was replaced by an image: new objects, alarms read again. */
int apply_set_store(struct apply *a, struct mvcc *mvcc, struct kvdb *db);
/* Size of the store for the quota at apply, refreshed now and then. */
void apply_set_store_bytes(struct apply *a, uint64_t bytes);

/*
 * Applies one normal entry. `out` is NULL when nobody waits. Returns 0 also
 * when the client is told an error. ERR_UNSUPPORTED: a kind of entry that
 * this member does not know, or one whose effect it cannot have (changes of
 * users, roles and auth): it must stop, going on would make it differ from
 * the others. ERR_CORRUPT: the entry does not parse, or the store is
 * broken. ERR_IO.
 */
int apply_entry(struct apply *a, uint64_t now_ms, uint64_t index, uint64_t term,
                struct slice data, struct apply_out *out);
/* An entry without effect on the store (empty, conf change). */
void apply_nothing(struct apply *a, uint64_t index, uint64_t term);
/* The request id inside a normal entry; 0: none. */
uint64_t apply_request_id(struct slice data);

/* ---- reads, by api, between entries ---- */

/*
 * A Range in slices, so that nobody waits behind another's long list: begun
 * at one revision and pinned to it, each step does a bounded piece. What an
 * order other than the store's needs is sorted in one step, as a whole.
 */
struct apply_range_job {
    struct proto_range range; /* key and end are the caller's, and stay */
    struct buf from;          /* where the next step begins */
    int64_t count;
    int64_t sent;
    bool more;
    bool done; /* the body is complete */
    /* A step ends, `paused`, when there is another key to send but as many
     * were sent, or the body is as large. 0: never. */
    int64_t pause_sent;
    size_t pause_bytes;
    bool paused;
};
enum {
    APPLY_STEP_KEYS = 2000,       /* a step looks at no more */
    APPLY_STEP_COUNTS = 20000,    /* or counts no more in the index */
    APPLY_STEP_BYTES = 112 << 10, /* or adds little more than this */
};
/* ERR_COMPACTED, ERR_FUTURE: nothing begun, nothing to release. */
int apply_range_begin(struct apply *a, const struct proto_range *range,
                      struct apply_range_job *ret_job);
/* Adds to RangeResponse behind its header, until job->done. ERR_COMPACTED
 * (while it was under way), ERR_TOO_LARGE, ERR_CORRUPT, ERR_IO. */
int apply_range_step(struct apply *a, struct apply_range_job *job,
                     struct buf *body);
void apply_range_end(struct apply_range_job *job);
/* All of it at once. */
int apply_range(struct apply *a, const struct proto_range *range,
                struct buf *body);
/* A Txn of nothing but ranges; TxnResponse behind its header. */
int apply_txn_read(struct apply *a, const Pb__TxnRequest *txn,
                   struct buf *body);
/* How deep the Txns inside the raw message nest, 1 for none inside; counts
 * no further than APPLY_TXN_DEPTH_MAX + 1. */
uint32_t apply_txn_depth(struct slice message);
void apply_range_of(const Pb__RangeRequest *from, struct proto_range *ret);

/* What a request may add to the store; 0: it passes any quota. */
uint64_t apply_cost_put(struct slice key, struct slice value);
uint64_t apply_cost_txn(const Pb__TxnRequest *txn);

/* ---- alarms ---- */
struct apply_alarm {
    uint64_t member_id;
    int32_t type; /* Pb__AlarmType, or what another member made up */
};
const struct apply_alarm *apply_alarms(const struct apply *a,
                                       size_t *ret_count);
bool apply_alarm_active(const struct apply *a, int32_t type);

#endif
