/* What the replica asks of the world: log, peers, store. */
#include "apply/apply.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/log.h"
#include "boot.h"
#include "node.h"
#include "proto/internal.pb-c.h"
#include "proto/raft.pb-c.h"

enum {
    LOG_KEPT_FACTOR = 10, /* times the entries that are kept in any case,
                             for a follower that is behind */
    LOG_ALONE_BYTES = 1 << 20,
};

static uint64_t persist(void *ctx, const struct raft_ready *ready)
{
    struct node *n = ctx;
    for (uint64_t i = 0; i < ready->entry_count; i++) {
        const struct raft_entry *e = &ready->entries[i];
        wal_entry(n->wal, e->term, e->index, e->type, bytes_slice(e->data));
    }
    wal_hard_state(n->wal, ready->hard_state.term,
                   HAS_BUG(VOTE_FORGOTTEN) ? 0 : ready->hard_state.vote,
                   ready->hard_state.commit);
    return wal_submit(n->wal, true);
}

/* A proposal for a leader that is not connected has not left, so it may be
 * proposed again to the next one. */
static bool goes_back(struct node *n, const struct raft_message *m)
{
    return m->type == RAFT_MSG_PROP && m->from == n->id &&
           !peer_is_active(n->peers, m->to);
}

static void send_messages(void *ctx, struct raft_message *messages,
                          uint32_t count)
{
    struct node *n = ctx;
    uint32_t start = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool is_image = messages[i].type == RAFT_MSG_SNAP;
        if (!is_image && !goes_back(n, &messages[i])) {
            continue;
        }
        peer_send(n->peers, messages + start, i - start);
        if (is_image) {
            node_image_send(n, &messages[i]);
        } else {
            replica_returned(n->replica, &messages[i]);
        }
        start = i + 1;
    }
    peer_send(n->peers, messages + start, count - start);
}

static void apply_normal(struct node *n, const struct raft_entry *e,
                         struct replica_proposal *p)
{
    int err = apply_entry(n->apply, loop_now_ms(n->loop), e->index, e->term,
                          bytes_slice(e->data), p ? p->out : NULL);
    if (err == ERR_UNSUPPORTED) {
        log_fatal("an entry of the log is of a kind that this version does "
                  "not know; upgrade this member",
                  LOG_UINT("index", e->index), LOG_UINT("term", e->term));
    } else if (err) {
        log_fatal("an entry of the log cannot be applied to this store; "
                  "going on would make this member differ from the others",
                  LOG_UINT("index", e->index), LOG_UINT("term", e->term),
                  LOG_ERR(err), LOG_STR("path", n->paths.store));
    }
    watch_notify(n->watch);
}

static void apply_one(void *ctx, const struct raft_entry *e,
                      struct replica_proposal *p)
{
    struct node *n = ctx;
    if (e->index <= mvcc_applied_index(n->mvcc)) {
        return; /* in the image that was just installed */
    }
    if (e->type == RAFT_ENTRY_NORMAL && e->data) {
        apply_normal(n, e, p);
        return;
    }
    mvcc_begin(n->mvcc);
    if (e->type != RAFT_ENTRY_NORMAL) {
        node_apply_conf(n, e, p);
    } else if (replica_status(n->replica)->role == RAFT_LEADER) {
        /* The first entry of a new leader: everything before it is applied,
         * so it may count the leases' time from here. */
        lease_promote(n->lessor, loop_now_ms(n->loop),
                      n->config->election_timeout_ms);
    }
    mvcc_end(n->mvcc, e->index, e->term);
}

/* Entries that stay although everybody has them. To a member that is alone
 * they are of use only when another joins, and that one can do with an image:
 * so large ones are not worth their memory. */
static uint64_t kept_for_joiners(struct node *n)
{
    const struct raft *raft = replica_raft(n->replica);
    const struct raft_conf_state *conf = raft_conf(raft);
    uint64_t keep = n->config->snapshot_catchup_entries;
    bool alone = conf->voter_count + conf->learner_count == 1;
    return alone && raft_log_bytes(raft) > LOG_ALONE_BYTES ? keep / 10 : keep;
}

/* Index up to which the log may leave memory. A follower that is away may be
 * back soon: the slowest is waited for, within bounds. One that is catching
 * up is waited for as long as Raft's bound on bytes allows. */
static uint64_t dispensable(struct node *n, uint64_t index)
{
    uint64_t keep = kept_for_joiners(n);
    uint64_t most = keep * LOG_KEPT_FACTOR;
    uint64_t low = index > most ? index - most : 0;
    uint64_t high = index > keep ? index - keep : 0;
    const struct raft *raft = replica_raft(n->replica);
    uint64_t slowest = raft_waited_for(raft, true);
    uint64_t needed = slowest < high ? slowest : high;
    uint64_t end = needed > low ? needed : low;
    uint64_t waited_for = raft_waited_for(raft, false);
    return end < waited_for ? end : waited_for;
}

/* What followers may still need stays in memory, by count and by bytes; for
 * those that need more an image of the store as it is now is on offer. */
void node_offer_image(struct node *n)
{
    struct raft *raft = replica_raft(n->replica);
    uint64_t index = mvcc_applied_index(n->mvcc);
    struct raft_snapshot_meta meta = {
        .index = index,
        .term = mvcc_applied_term(n->mvcc),
        .conf = *raft_conf(raft),
    };
    raft_set_snapshot(raft, &meta);
    struct raft_status now;
    raft_get_status(raft, &now);
    uint64_t slack = n->config->snapshot_catchup_entries / 10;
    uint64_t end = dispensable(n, index);
    if (end > now.first_index + slack) {
        raft_compact(raft, end);
    }
}

/* By count only where somebody asked for it: larger batches cost less. */
static bool wants_flush(const struct node *n)
{
    uint64_t count = n->config->snapshot_count;
    return mvcc_wants_flush(n->mvcc) ||
           (count != CONFIG_SNAPSHOT_COUNT &&
            mvcc_applied_index(n->mvcc) - mvcc_durable_index(n->mvcc) >= count);
}

static void applied(void *ctx)
{
    struct node *n = ctx;
    api_applied(n->api);
    node_offer_image(n);
    if (wants_flush(n)) {
        node_flush(n);
    }
}

static void install(void *ctx, const struct raft_snapshot_meta *meta)
{
    node_image_install(ctx, meta);
}

static void changed(void *ctx, const struct raft_status *before,
                    const struct raft_status *now)
{
    struct node *n = ctx;
    if (now->leader != before->leader && now->leader != 0) {
        n->leader_changes++;
    }
    if (before->role == RAFT_LEADER && now->role != RAFT_LEADER) {
        lease_demote(n->lessor);
    }
    if (before->role != RAFT_LEADER && now->role == RAFT_LEADER) {
        node_version_leader(n);
    }
}

static void note(void *ctx, const char *text)
{
    LOG_AT(LOG_LEVEL_INFO, "raft", text);
}

static uint64_t request_id(void *ctx, const struct raft_entry *e)
{
    struct slice data = bytes_slice(e->data);
    uint64_t id = 0;
    if (e->type == RAFT_ENTRY_NORMAL) {
        return apply_request_id(data);
    }
    Pbr__ConfChange *cc = pbr__conf_change__unpack(NULL, data.size, data.data);
    if (cc) {
        id = cc->id;
        pbr__conf_change__free_unpacked(cc, NULL);
    }
    return id;
}

void node_replica_rim(struct node *n, struct replica_rim *ret_rim)
{
    *ret_rim = (struct replica_rim){
        .persist = persist,
        .send = send_messages,
        .apply = apply_one,
        .applied = applied,
        .install = install,
        .changed = changed,
        .note = note,
        .request_id = request_id,
        .ctx = n,
    };
}
