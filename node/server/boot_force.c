/*
 * --force-new-cluster: the others are lost for good, and this member goes on
 * alone, with its ids and everything in its log. An entry that was not
 * known to be committed is kept: nobody can be told apart from it who was
 * promised that it is there, since the commit index alone is not written.
 */
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "boot.h"
#include "proto/proto.h"

static int fail(const struct node *n, const char *what, const char *why)
{
    log_error("bootstrap failed", LOG_STR("error", what),
              LOG_ID("local-member-id", n->id), LOG_STR("what-to-do", why));
    return ERR_INVALID;
}

/* The members as they will be when all of the log is applied. */
static int members_at_end(const struct node *n, const struct boot_log *log,
                          struct members *ret)
{
    struct members ms = {.cluster_id = n->cluster_id};
    uint64_t applied = mvcc_durable_index(n->mvcc);
    int err = 0;
    for (uint32_t i = 0; i < n->members.count; i++) {
        members_put(&ms, &n->members.list[i]);
    }
    for (uint32_t i = 0; i < n->members.removed_count; i++) {
        members_remove(&ms, n->members.removed[i]);
    }
    for (uint64_t i = log->first; err == 0 && i < log->count; i++) {
        const struct raft_entry *e = &log->entries[i];
        struct member_change c;
        if (e->index <= applied || e->type == RAFT_ENTRY_NORMAL) {
            continue;
        }
        err = node_conf_decode(e, &c);
        if (err == 0) {
            if (member_change_check(&ms, &c, n->config->max_learners) == 0) {
                member_change_apply(&ms, &c);
            }
            member_release(&c.member);
        }
    }
    *ret = ms;
    return err;
}

static int append(struct node *n, struct boot_log *log, int type, uint64_t id,
                  struct slice context)
{
    struct raft_restore now;
    int err = boot_log_restore(log, n, &now);
    if (err) {
        return err;
    }
    uint64_t index = now.entry_count
                         ? now.entries[now.entry_count - 1].index + 1
                         : now.snapshot.index + 1;
    struct bytes *data = proto_conf_change(0, type, id, context);
    wal_entry(n->wal, log->hard.term, index, RAFT_ENTRY_CONF_CHANGE,
              bytes_slice(data));
    err = boot_log_append(log, log->hard.term, index, RAFT_ENTRY_CONF_CHANGE,
                          bytes_slice(data));
    bytes_unref(data);
    return err;
}

/* Before the others go, so that there is a voter at every moment. */
static int make_voter(struct node *n, struct boot_log *log)
{
    char json[96];
    snprintf(json, sizeof json,
             "{\"id\":%llu,\"peerURLs\":null,\"isPromote\":true}",
             (unsigned long long)n->id);
    return append(n, log, RAFT_CONF_ADD_NODE, n->id, slice_str(json));
}

static void commit_all(struct node *n, struct boot_log *log)
{
    if (log->first < log->count) {
        log->hard.commit = log->entries[log->count - 1].index;
    }
    wal_hard_state(n->wal, log->hard.term, log->hard.vote, log->hard.commit);
    boot_sync_log(n->wal);
}

static int rewrite(struct node *n, struct boot_log *log,
                   const struct members *ms)
{
    const struct member *self = members_find(ms, n->id);
    int err = 0;
    if (self == NULL) {
        return fail(n,
                    members_is_removed(ms, n->id)
                        ? "this member has been permanently removed from "
                          "its cluster"
                        : "this member has not learned of its cluster yet",
                    "start another member with --force-new-cluster, or "
                    "restore a snapshot");
    }
    if (self->is_learner) {
        err = make_voter(n, log);
    }
    for (uint32_t i = 0; err == 0 && i < ms->count; i++) {
        if (ms->list[i].id != n->id) {
            err = append(n, log, RAFT_CONF_REMOVE_NODE, ms->list[i].id,
                         (struct slice){NULL, 0});
        }
    }
    if (err == 0) {
        commit_all(n, log);
    }
    return err;
}

int boot_force_new(struct node *n, struct boot_log *log)
{
    struct members ms;
    struct raft_restore now;
    int err = boot_log_restore(log, n, &now);
    if (err) {
        return fail(n, "log and store do not fit together",
                    "restore a snapshot");
    }
    if (log->hard.term < now.hard.term) {
        log->hard.term = now.hard.term;
    }
    log_warn("forcing a new cluster of this member alone",
             LOG_ID("local-member-id", n->id),
             LOG_ID("cluster-id", n->cluster_id));
    err = members_at_end(n, log, &ms);
    if (err == 0) {
        err = rewrite(n, log, &ms);
    }
    members_release(&ms);
    return err;
}
