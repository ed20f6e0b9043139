/*
 * The pure half of the start and the stop: what stands in a new log, whose
 * the store is, Raft from log and store, and the last write.
 * No folder, no flag, no thread of its own: the simulator runs it as it is.
 */
#include "base/bug.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/log.h"
#include "boot.h"
#include "proto/proto.h"

int boot_refuse(const char *what, const char *path, const char *why)
{
    log_error("bootstrap failed", LOG_STR("error", what), LOG_STR("path", path),
              LOG_STR("what-to-do", why));
    return ERR_INVALID;
}

static struct bytes *add_node_entry(const struct member *m)
{
    struct buf json = BUF_INIT(1 << 20);
    member_to_json(m, true, &json);
    struct bytes *data =
        proto_conf_change(0, RAFT_CONF_ADD_NODE, m->id, buf_slice(&json));
    buf_release(&json);
    return data;
}

/* Every member of a new cluster writes the same first entries. */
void boot_first_entries(struct wal *w, const struct members *ms,
                        struct boot_log *log)
{
    for (uint32_t i = 0; i < ms->count; i++) {
        struct bytes *data = add_node_entry(&ms->list[i]);
        wal_entry(w, 1, i + 1, RAFT_ENTRY_CONF_CHANGE, bytes_slice(data));
        boot_log_append(log, 1, i + 1, RAFT_ENTRY_CONF_CHANGE,
                        bytes_slice(data));
        bytes_unref(data);
    }
    log->hard = (struct raft_hard_state){.term = 1, .commit = ms->count};
    wal_hard_state(w, 1, 0, ms->count);
    boot_sync_log(w);
}

/* The store remembers whose it is, so that a mix-up of folders shows. */
int boot_check_identity(struct node *n)
{
    static const char key[] = "identity";
    uint8_t own[16];
    struct slice stored;
    put_be64(own, n->id);
    put_be64(own + 8, n->cluster_id);
    int err = kvdb_get(n->db, KVDB_STATE, slice_str(key), &stored);
    if (err == 0 && !slice_eq(stored, slice_of(own, sizeof own))) {
        return boot_refuse(
            "the store belongs to another member or cluster than "
            "the log beside it",
            n->paths.store, "put back the folders that belong together");
    }
    if (err != 0) {
        kvdb_stage_put(n->db, KVDB_STATE, slice_str(key),
                       slice_of(own, sizeof own));
    }
    return 0;
}

void boot_replica_config(const struct node *n, uint64_t seed,
                         struct replica_config *ret)
{
    const struct config *c = n->config;
    *ret = (struct replica_config){
        .raft =
            {
                .id = n->id,
                .election_ticks = (uint32_t)(c->election_timeout_ms /
                                             c->heartbeat_interval_ms),
                .heartbeat_ticks = 1,
                .pre_vote = c->pre_vote,
                .check_quorum = true,
                .message_bytes_max = 1 << 20,
                .inflight_max = 512,
                .uncommitted_bytes_max = NODE_UNCOMMITTED_BYTES_MAX,
                .log_bytes_max = NODE_LOG_BYTES_MAX,
                .log_bytes_waited_max = NODE_LOG_BYTES_WAITED_MAX,
                .seed = seed,
            },
        .tick_ms = c->heartbeat_interval_ms,
        .request_timeout_ms = 5000 + 2 * c->election_timeout_ms,
    };
}

/* What is left of the log ends before the store: it goes on behind it. */
static void write_beginning(struct node *n, const struct raft_restore *restore)
{
    const uint8_t mark = BOOT_MARK_INSTALL;
    const struct raft_hard_state *hard = &restore->hard;
    wal_snapshot(n->wal, restore->snapshot.index, restore->snapshot.term,
                 slice_of(&mark, 1));
    wal_hard_state(n->wal, hard->term, hard->vote, hard->commit);
    boot_sync_log(n->wal);
}

int boot_replica(struct node *n, struct boot_log *log,
                 const struct replica_config *config,
                 const struct replica_rim *rim)
{
    struct raft_restore restore;
    int err = boot_log_restore(log, n, &restore);
    if (err) {
        return boot_refuse("log and store do not fit together", n->paths.wal,
                           "restore this member from a snapshot, or remove it "
                           "and add it again with an empty data directory");
    }
    if (log->begins_anew) {
        write_beginning(n, &restore);
    }
    err = replica_new(config, &restore, rim, &n->replica);
    if (err) {
        return boot_refuse("the log contradicts itself", n->paths.wal,
                           "restore this member from a snapshot");
    }
    return 0;
}

void node_begin(struct node *n)
{
    struct raft_conf_state conf;
    node_conf_of_members(n, &conf);
    if (members_is_removed(&n->members, n->id)) {
        node_removed_soon(n);
    }
    if (conf.voter_count == 1 && conf.voters[0] == n->id) {
        raft_campaign(replica_raft(n->replica));
    }
}

void node_storage_close(struct node *n)
{
    uint64_t applied = 0;
    if (n->mvcc && n->replica) {
        applied = mvcc_applied_index(n->mvcc);
        node_flush(n);
    }
    node_store_close(n);
    if (n->wal && n->replica) {
        /* Raft may know of more that is committed, and have it in memory
         * only: the log must not promise what it does not hold. */
        const struct raft_status *now = replica_status(n->replica);
        wal_hard_state(n->wal, now->term, now->vote,
                       HAS_BUG(STOP_PROMISES) ? now->commit : applied);
        wal_submit(n->wal, true);
    }
    wal_close(n->wal);
    n->wal = NULL;
}
