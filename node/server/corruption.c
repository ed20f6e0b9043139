/*
 * A round: own hash, the others' of the same revision, a read index (so that
 * this member is as far as anybody was), own hash again, compare.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "corruption.h"

struct node_corruption {
    struct node *node;
    struct timer *periodic, *compactions;
    struct peer_hash_round *round;
    bool is_busy; /* one round at a time */
    bool is_reading;
    struct replica_read read;
    struct mvcc_hash own;
    struct peer_hashes others;
    /* Of compactions: which one is looked at, and the last that everybody
     * has agreed on. */
    struct mvcc_hash kept[MVCC_HASHES_KEPT];
    uint32_t kept_count, kept_at;
    int64_t agreed_revision;
    void (*first_done)(struct node *n, int err);
};

static bool leads(const struct node *n)
{
    return !n->stopping && replica_status(n->replica)->role == RAFT_LEADER;
}

static void raise_alarms(struct node *n, const uint64_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        log_error("members do not hold the same: raising the alarm CORRUPT; "
                  "replace the member that is wrong",
                  LOG_ID("local-member-id", n->id),
                  LOG_ID("member-id", ids[i]));
        api_raise_corrupt(n->api, ids[i]);
    }
}

/* A hash is computed on the store thread; its owner may be gone by then. */
static void give_up(struct node_corruption *c, int err)
{
    c->is_busy = false;
    if (err != ERR_CANCELED && err != ERR_CLOSED) {
        log_warn("the members could not be compared",
                 LOG_ID("local-member-id", c->node->id), LOG_ERR(err));
    }
}

/* ---- now and then, on the leader ---- */

static void hashed_again(void *ctx, int err, const struct mvcc_hash *hash)
{
    struct node_corruption *c = ctx;
    struct node *n = c->node;
    if (err || !leads(n)) {
        give_up(c, err ? err : ERR_CANCELED);
        return;
    }
    uint64_t ids[MEMBERS_MAX + 1];
    raise_alarms(n, ids,
                 corruption_compare(n->id, &c->own, hash, &c->others, ids));
    c->is_busy = false;
    log_info("finished peer corruption check",
             LOG_UINT("number-of-peers-checked", c->others.count));
}

static void read_done(struct replica_read *rd, int err)
{
    struct node_corruption *c = container_of(rd, struct node_corruption, read);
    c->is_reading = false;
    if (err == 0) {
        err = leads(c->node) ? mvcc_hash_kv(c->node->mvcc, 0, hashed_again, c)
                             : ERR_CANCELED;
    }
    if (err) {
        give_up(c, err);
    }
}

static void answered(void *ctx, const struct peer_hashes *hashes)
{
    struct node_corruption *c = ctx;
    struct node *n = c->node;
    c->round = NULL;
    c->others = *hashes;
    if (!leads(n)) {
        give_up(c, ERR_CANCELED);
        return;
    }
    c->is_reading = true;
    c->read = (struct replica_read){
        .done = read_done,
        .deadline_ms =
            loop_now_ms(n->loop) + 5000 + 2 * n->config->election_timeout_ms,
    };
    replica_read(n->replica, &c->read);
}

static void hashed(void *ctx, int err, const struct mvcc_hash *hash)
{
    struct node_corruption *c = ctx;
    if (err || !leads(c->node)) {
        give_up(c, err ? err : ERR_CANCELED);
        return;
    }
    c->own = *hash;
    c->round = peer_hash_ask(c->node, hash->hash_revision, answered, c);
}

static void on_periodic(void *ctx)
{
    struct node_corruption *c = ctx;
    if (c->is_busy || !leads(c->node)) {
        return;
    }
    c->is_busy = true;
    int err = mvcc_hash_kv(c->node->mvcc, 0, hashed, c);
    if (err) {
        give_up(c, err);
    }
}

/* ---- hashes of compactions ---- */

static void next_compaction(struct node_corruption *c);

static void finish_compactions(struct node_corruption *c)
{
    c->is_busy = false;
    log_info("finished compaction hash check",
             LOG_UINT("number-of-hashes-checked", c->kept_at));
}

static void compaction_answered(void *ctx, const struct peer_hashes *hashes)
{
    struct node_corruption *c = ctx;
    struct node *n = c->node;
    const struct mvcc_hash *own = &c->kept[c->kept_at++];
    uint64_t ids[MEMBERS_MAX + 1];
    bool all;
    c->round = NULL;
    if (!leads(n)) {
        give_up(c, ERR_CANCELED);
        return;
    }
    uint32_t count =
        corruption_compare_compaction(n->id, own, hashes, ids, &all);
    raise_alarms(n, ids, count);
    if (count || all) {
        c->agreed_revision = own->hash_revision;
        finish_compactions(c);
    } else {
        next_compaction(c);
    }
}

static void next_compaction(struct node_corruption *c)
{
    if (c->kept_at == c->kept_count ||
        c->kept[c->kept_at].hash_revision <= c->agreed_revision) {
        finish_compactions(c);
        return;
    }
    c->round = peer_hash_ask(c->node, c->kept[c->kept_at].hash_revision,
                             compaction_answered, c);
}

static void on_compactions(void *ctx)
{
    struct node_corruption *c = ctx;
    if (c->is_busy || !leads(c->node) || c->node->members.count < 2) {
        return;
    }
    log_info("starting compact hash check",
             LOG_ID("local-member-id", c->node->id));
    c->is_busy = true;
    c->kept_count = mvcc_kept_hashes(c->node->mvcc, c->kept, MVCC_HASHES_KEPT);
    c->kept_at = 0;
    next_compaction(c);
}

/* ---- before serving ---- */

static void first_answered(void *ctx, const struct peer_hashes *hashes)
{
    struct node_corruption *c = ctx;
    struct node *n = c->node;
    int err = 0;
    c->round = NULL;
    c->is_busy = false;
    for (uint32_t i = 0; i < hashes->count; i++) {
        const struct peer_hash_answer *p = &hashes->list[i];
        if (p->err) {
            log_info("a member could not be compared with, and is passed over",
                     LOG_ID("remote-peer-id", p->id), LOG_ERR(p->err));
        } else if (p->hash.compact_revision == c->own.compact_revision &&
                   p->hash.hash != c->own.hash) {
            log_error("found data inconsistency with peers",
                      LOG_ID("local-member-id", n->id),
                      LOG_ID("remote-peer-id", p->id),
                      LOG_INT("revision", c->own.hash_revision),
                      LOG_UINT("local-hash", c->own.hash),
                      LOG_UINT("remote-hash", p->hash.hash));
            err = ERR_CORRUPT;
        }
    }
    if (err == 0) {
        log_info("completed initial corruption check",
                 LOG_ID("local-member-id", n->id));
    }
    c->first_done(n, err);
}

static void first_given_up(struct node_corruption *c, int err)
{
    give_up(c, err);
    c->first_done(c->node, err);
}

static void first_hashed(void *ctx, int err, const struct mvcc_hash *hash)
{
    struct node_corruption *c = ctx;
    if (err || c->node->stopping) {
        first_given_up(c, err ? err : ERR_CANCELED);
        return;
    }
    c->own = *hash;
    c->round = peer_hash_ask(c->node, hash->hash_revision, first_answered, c);
}

void node_corruption_first(struct node *n,
                           void (*done)(struct node *n, int err))
{
    struct node_corruption *c = n->corruption;
    log_info("starting initial corruption check",
             LOG_ID("local-member-id", n->id));
    c->is_busy = true;
    c->first_done = done;
    int err = mvcc_hash_kv(n->mvcc, 0, first_hashed, c);
    if (err) {
        first_given_up(c, err);
    }
}

/* ---- life ---- */

void node_corruption_new(struct node *n)
{
    n->corruption = mem_zalloc(sizeof *n->corruption);
    n->corruption->node = n;
}

static struct timer *every(struct node *n, int64_t period_ns,
                           void (*fire)(void *ctx), void *ctx)
{
    uint64_t ms = (uint64_t)period_ns / 1000000;
    struct timer *t = timer_new(n->loop, fire, ctx);
    timer_start(t, ms ? ms : 1, ms ? ms : 1);
    return t;
}

void node_corruption_start(struct node *n)
{
    const struct config *config = n->config;
    struct node_corruption *c = n->corruption;
    if (config->corrupt_check_time_ns > 0) {
        c->periodic = every(n, config->corrupt_check_time_ns, on_periodic, c);
    }
    if (config->gates & GATE_COMPACT_HASH_CHECK) {
        c->compactions =
            every(n, config->compact_hash_check_time_ns, on_compactions, c);
    }
}

void node_corruption_stop(struct node *n)
{
    struct node_corruption *c = n->corruption;
    if (c == NULL) {
        return;
    }
    if (c->is_reading) {
        replica_read_cancel(n->replica, &c->read);
        c->is_reading = false;
    }
    peer_hash_cancel(c->round);
    c->round = NULL;
    timer_free(c->periodic);
    timer_free(c->compactions);
    c->periodic = c->compactions = NULL;
}

void node_corruption_free(struct node *n)
{
    free(n->corruption);
    n->corruption = NULL;
}
