/*
 * Raft as a pure core: a function from (state, event, time) to (state,
 * things to do). No I/O, no clock, no randomness but the seed handed in.
 * On the way of a Put it stands between the proposal and the commit; the
 * replica driver, on the loop thread, is its only caller.
 *
 * The contract, in the order of the loop:
 *   1. feed:    raft_tick / raft_step / raft_propose / raft_read_index ...
 *   2. collect: raft_ready() hands out what is to be done, once
 *   3. do:      start persisting entries and hard state (asynchronously);
 *               send `messages` at once, `after_persist` only when that
 *               write is durable; apply `committed`
 *   4. report:  raft_persisted() when durable, raft_applied() when applied
 * Several writes may be under way; they become durable in order. The leader
 * sends before its own write is durable and counts itself when it is
 * (dissertation 10.2.1). Committed entries are handed out only when they
 * are also durable here.
 *
 * Rules: Ongaro's dissertation (3 basics, 4 membership, 6.4 read index,
 * 9.6 pre-vote, 3.10 transfer); message contents and answers so that an
 * etcd v3.7 member can be on the other side (raftpb).
 */
#ifndef RAFT_RAFT_H
#define RAFT_RAFT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { RAFT_MEMBERS_MAX = 64 }; /* voters and learners of one cluster */

enum raft_entry_type {
    RAFT_ENTRY_NORMAL = 0,
    RAFT_ENTRY_CONF_CHANGE = 1,
    RAFT_ENTRY_CONF_CHANGE_V2 = 2,
};

struct raft_entry {
    uint64_t term;
    uint64_t index;
    enum raft_entry_type type;
    struct bytes *data; /* one reference; NULL when empty */
    uint64_t cookie;    /* the proposer's own tag; stays on this member */
};

/* Numbers are raftpb's; only those that travel or are stepped. */
enum raft_message_type {
    RAFT_MSG_HUP = 0,
    RAFT_MSG_BEAT = 1,
    RAFT_MSG_PROP = 2,
    RAFT_MSG_APP = 3,
    RAFT_MSG_APP_RESP = 4,
    RAFT_MSG_VOTE = 5,
    RAFT_MSG_VOTE_RESP = 6,
    RAFT_MSG_SNAP = 7,
    RAFT_MSG_HEARTBEAT = 8,
    RAFT_MSG_HEARTBEAT_RESP = 9,
    RAFT_MSG_UNREACHABLE = 10,
    RAFT_MSG_SNAP_STATUS = 11,
    RAFT_MSG_CHECK_QUORUM = 12,
    RAFT_MSG_TRANSFER_LEADER = 13,
    RAFT_MSG_TIMEOUT_NOW = 14,
    RAFT_MSG_READ_INDEX = 15,
    RAFT_MSG_READ_INDEX_RESP = 16,
    RAFT_MSG_PRE_VOTE = 17,
    RAFT_MSG_PRE_VOTE_RESP = 18,
};

struct raft_hard_state {
    uint64_t term;
    uint64_t vote;
    uint64_t commit;
};

/* Ids ascending. Joint configurations are not entered: one member at a
 * time (dissertation 4.1). */
struct raft_conf_state {
    uint32_t voter_count;
    uint32_t learner_count;
    uint64_t voters[RAFT_MEMBERS_MAX];
    uint64_t learners[RAFT_MEMBERS_MAX];
};

struct raft_snapshot_meta {
    uint64_t index; /* 0: no snapshot */
    uint64_t term;
    struct raft_conf_state conf;
};

struct raft_message {
    enum raft_message_type type;
    uint64_t to;
    uint64_t from;
    uint64_t term;
    uint64_t log_term;
    uint64_t index;
    uint64_t commit;
    uint64_t reject_hint;
    bool reject;
    uint32_t entry_count;
    struct raft_entry *entries;          /* owned, each with its data */
    struct bytes *context;               /* one reference or NULL */
    struct raft_snapshot_meta *snapshot; /* owned; only MSG_SNAP. The store
                                            image travels beside it. */
};

/* Drops entries, context and snapshot; the struct itself is the caller's. */
void raft_message_release(struct raft_message *m);

enum raft_conf_change_type {
    RAFT_CONF_ADD_NODE = 0,
    RAFT_CONF_REMOVE_NODE = 1,
    RAFT_CONF_UPDATE_NODE = 2,
    RAFT_CONF_ADD_LEARNER = 3,
};

enum raft_role {
    RAFT_FOLLOWER,
    RAFT_PRE_CANDIDATE,
    RAFT_CANDIDATE,
    RAFT_LEADER,
};

struct raft_config {
    uint64_t id;             /* not 0 */
    uint32_t election_ticks; /* timeout is random in [n, 2n-1] */
    uint32_t heartbeat_ticks;
    bool pre_vote;
    bool check_quorum;
    uint32_t message_bytes_max;     /* entry bytes a MSG_APP; one at least */
    uint32_t inflight_max;          /* MSG_APP under way to one follower */
    uint64_t uncommitted_bytes_max; /* 0: no limit; beyond: ERR_DROPPED */
    uint64_t log_bytes_max;         /* 0: no limit; beyond it applied entries
                                       leave memory, oldest first */
    uint64_t log_bytes_waited_max;  /* the same for those that
                                       raft_waited_for() names; not less */
    uint64_t seed;                  /* of the election jitter */
};

/* What was on disk, to start from. */
struct raft_restore {
    struct raft_hard_state hard;
    struct raft_snapshot_meta snapshot; /* log starts behind it; its conf is
                                           the one that holds at `applied` */
    uint64_t applied;                   /* >= snapshot.index */
    const struct raft_entry *entries;   /* contiguous from snapshot.index+1;
                                           data is referenced, not taken */
    uint64_t entry_count;
};

struct raft_read_state {
    uint64_t index;   /* serve when applied reaches it */
    uint64_t request; /* as given to raft_read_index() */
};

/* Borrowed until the next call into this raft. */
struct raft_ready {
    bool hard_state_changed; /* then hard_state is to be written */
    bool must_sync;          /* entries, snapshot, term or vote; else
                                the write may be left out */
    struct raft_hard_state hard_state;
    const struct raft_entry *entries; /* to append to the WAL; replaces what
                                         the WAL has from entries[0].index */
    uint64_t entry_count;
    const struct raft_snapshot_meta *snapshot; /* to install; before entries */
    struct raft_message *messages; /* caller owns the contents now */
    uint32_t message_count;
    struct raft_message *after_persist; /* the same, but to be sent only when
                                           this ready is durable */
    uint32_t after_persist_count;
    const struct raft_entry *committed; /* durable and committed, in order */
    uint64_t committed_count;
    const struct raft_read_state *reads;
    uint32_t read_count;
};

struct raft_status {
    uint64_t id;
    uint64_t leader; /* 0: none known */
    uint64_t term;
    uint64_t vote;
    uint64_t commit;
    uint64_t applied;
    uint64_t last_index;
    uint64_t first_index; /* of the log in memory */
    enum raft_role role;
    uint64_t transferee; /* 0: none */
    bool is_learner;
};

enum raft_progress_state { RAFT_PROBE, RAFT_REPLICATE, RAFT_SNAPSHOT };

struct raft_progress {
    uint64_t id;
    uint64_t match;
    uint64_t next;
    uint64_t pending_snapshot; /* index of the one under way; 0: none */
    enum raft_progress_state state;
    bool recent_active;
    bool is_learner;
};

struct raft;

/* ERR_INVALID for a configuration or restore that contradicts itself. */
int raft_new(const struct raft_config *config,
             const struct raft_restore *restore, struct raft **ret_raft);
void raft_free(struct raft *r);

/* One heartbeat interval has passed. */
void raft_tick(struct raft *r);

/* Starts an election at once (a one-member cluster at start). */
void raft_campaign(struct raft *r);

/* Takes over the contents of `m`, also on failure. Messages from unknown
 * members are dropped as the dissertation's rules allow. 0; ERR_DROPPED: a
 * forwarded proposal or read without a leader, or too much uncommitted;
 * ERR_AGAIN: too many reads wait; ERR_PROTOCOL: what no member may send. */
int raft_step(struct raft *r, struct raft_message *m);

/*
 * Proposes one entry; a reference to `data` is taken. On the leader it is
 * appended; on a follower it is forwarded to the leader as MSG_PROP and the
 * cookie is lost (the proposer finds its entry by its content). A conf
 * change that comes before the last one is applied, or before a new leader
 * has applied its first entry, becomes an empty normal entry without a
 * cookie. ERR_DROPPED: no leader, transfer under way, too much uncommitted.
 */
int raft_propose(struct raft *r, enum raft_entry_type type, struct bytes *data,
                 uint64_t cookie);

/*
 * Asks for a read index (6.4). `request` comes back in a raft_read_state,
 * perhaps never (lost on the way: ask again). Requests made before one
 * raft_ready() share a round. ERR_NO_LEADER when no leader is known;
 * ERR_AGAIN when too many wait already.
 */
int raft_read_index(struct raft *r, uint64_t request);

/* Asks the leader, which this may be, to hand over to `to` (3.10). */
void raft_transfer_leader(struct raft *r, uint64_t to);

/* The transport lost messages to `id`. */
void raft_report_unreachable(struct raft *r, uint64_t id);

/* The image sent to `id` arrived whole, or did not. */
void raft_report_snapshot(struct raft *r, uint64_t id, bool ok);

bool raft_has_ready(const struct raft *r);
void raft_ready(struct raft *r, struct raft_ready *ret_ready);

/* The oldest ready not yet reported is durable: call once, in order, for
 * each that had entries, a changed hard state, a snapshot or after_persist
 * messages. index and term are those of its last entry (or the snapshot's;
 * 0 and the hard state's term when it had neither). Entries that were
 * replaced since are not counted. */
void raft_persisted(struct raft *r, uint64_t index, uint64_t term);

/* The state machine has applied up to `index`. */
void raft_applied(struct raft *r, uint64_t index);

/*
 * A conf change entry was applied; call for each, also for a refused one
 * (node_id 0: nothing changes, but the next one may be proposed).
 * Writes the configuration that now holds.
 */
void raft_apply_conf_change(struct raft *r, enum raft_conf_change_type type,
                            uint64_t node_id, struct raft_conf_state *ret_conf);

/* The log up to `index`, and at most what is applied, leaves memory: a
 * follower that needs it gets a snapshot. */
void raft_compact(struct raft *r, uint64_t index);

/* Entries behind this index are still needed by a follower that has answered
 * within the last two election timeouts, or less: without them one that is
 * sent an image would need the next at once. `also_silent`: by any follower.
 * UINT64_MAX: by nobody, or not the leader. */
uint64_t raft_waited_for(const struct raft *r, bool also_silent);

/* The leader sends a snapshot with this meta when a follower is behind the
 * log; while there is none (index 0), or it ends before the log in memory
 * begins, or its conf lacks the follower, that one waits. Cheap, called
 * often. */
void raft_set_snapshot(struct raft *r, const struct raft_snapshot_meta *meta);

void raft_get_status(const struct raft *r, struct raft_status *ret_status);

/* True when Raft would now take the image that comes with this MSG_SNAP: no
 * newer term is known, and it leads beyond what is committed and what the log
 * has. For who wants the image proven before it counts. */
bool raft_wants_snapshot(const struct raft *r, const struct raft_message *m);

/* Index of the snapshot that was taken from a leader and whose image is not
 * in place yet; 0: none. */
uint64_t raft_incoming(const struct raft *r);

/* Leader only; fills up to `capacity`, returns how many there are (0 when
 * not leader), ids ascending. */
uint32_t raft_get_progress(const struct raft *r, struct raft_progress *ret,
                           uint32_t capacity);

const struct raft_conf_state *raft_conf(const struct raft *r);

/* Term of `index`; 0 when it is not in memory. */
uint64_t raft_term_at(const struct raft *r, uint64_t index);

/* Bytes of entry data held in memory. */
uint64_t raft_log_bytes(const struct raft *r);

/* What became of this member since the last call, for the log: texts are
 * etcd's sentences ("a became leader at term 3"). NULL when nothing did;
 * the caller frees it with free(). */
char *raft_take_note(struct raft *r);

#endif
