/* What the files of raft/ share. */
#ifndef RAFT_INTERNAL_H
#define RAFT_INTERNAL_H

#include "base/bug.h"
#include "base/mem.h"
#include "base/rng.h"
#include "raft.h"

enum {
    RAFT_READS_MAX = 4096, /* requests waiting for a read index */
    RAFT_NOTES_MAX = 64,   /* sentences not taken yet; older ones are lost */
};

/*
 * The log in memory: items[head .. head+count) are the entries base_index+1
 * and on, in one run so that views of them can be lent.
 *
 *   base_index < applied <= handed <= min(commit, stable)
 *   stable <= written <= last
 *
 * written: handed out to be persisted. stable: reported durable.
 */
struct raft_log {
    struct raft_entry *items;
    uint64_t head;
    uint64_t count;
    uint64_t capacity;
    uint64_t base_index; /* last one that left memory, or the snapshot's */
    uint64_t base_term;
    uint64_t bytes; /* of data */
    uint64_t commit;
    uint64_t applied;
    uint64_t handed; /* to the state machine */
    uint64_t written;
    uint64_t stable;
};

enum raft_vote { RAFT_VOTE_NONE, RAFT_VOTE_GRANTED, RAFT_VOTE_REJECTED };

/* What this member knows of another one, or of itself. */
struct raft_peer {
    uint64_t id;
    bool is_learner;
    bool recent_active; /* heard of since the last quorum check */
    bool was_active;    /* before it */
    bool paused;        /* probe: one message is under way */
    bool forced;        /* send even when there is nothing new */
    enum raft_vote vote;
    enum raft_progress_state state;
    uint64_t match;
    uint64_t next;
    uint64_t sent_commit;
    uint64_t pending_snapshot; /* index of the image under way */
    uint64_t read_acked;       /* newest read round it confirmed */
    /* Last indexes of the MSG_APP under way, oldest first; a ring. */
    uint64_t *inflight;
    uint32_t inflight_max;
    uint32_t inflight_head;
    uint32_t inflight_count;
};

struct raft_messages {
    struct raft_message *items;
    uint32_t count;
    uint32_t capacity;
};

/* A read index asked for, here or by a follower. */
struct raft_read {
    uint64_t round; /* heartbeat context; 0: not in one yet */
    uint64_t index;
    uint64_t from;    /* own id or the follower's */
    uint64_t request; /* own only */
    struct bytes *data;
};

/* A ready that must be reported durable. */
struct raft_write {
    uint64_t index; /* last entry; sinks when the log is cut below it */
    uint64_t term;  /* of the hard state */
};

struct raft {
    struct raft_config config;
    struct raft_log log;
    struct raft_conf_state conf;
    uint64_t term;
    uint64_t vote;
    uint64_t leader;
    enum raft_role role;
    uint32_t election_elapsed;
    uint32_t heartbeat_elapsed;
    uint32_t election_timeout; /* ticks, drawn anew for each term */
    struct rng rng;

    struct raft_peer *peers; /* conf's members and perhaps none of us */
    uint32_t peer_count;
    bool flush; /* some peer may be due a MSG_APP */

    uint64_t transferee;
    bool leaving; /* a leader that was removed: goes on until it is replaced */
    bool is_called; /* was told to take over, with a conf change to apply */
    uint64_t conf_index; /* no conf change before this is applied */
    uint64_t uncommitted_bytes;

    struct raft_read *reads; /* in order of asking */
    uint32_t read_count;
    uint32_t read_capacity;
    uint32_t read_unsent; /* at the end, without a round */
    uint64_t read_round;
    uint64_t term_first_index; /* leader: index of the term's empty entry */

    struct raft_snapshot_meta snapshot; /* for followers behind the log */
    struct raft_snapshot_meta incoming; /* received, index 0: none */
    bool incoming_new;                  /* not handed out yet */
    struct raft_snapshot_meta handed_snapshot;

    struct raft_messages out[2]; /* one filled, the other lent out */
    struct raft_messages out_persist[2];
    uint32_t filling;
    struct raft_read_state *states[2];
    uint32_t state_count;
    uint32_t state_capacity[2];

    struct raft_hard_state handed_hard; /* as last handed out */
    struct raft_hard_state synced_hard; /* the same, with must_sync */
    struct raft_write *writes;          /* a ring */
    uint32_t write_head;
    uint32_t write_count;
    uint32_t write_capacity;

    char *notes[RAFT_NOTES_MAX];
    uint32_t note_head;
    uint32_t note_count;
};

/* log.c */
void raft_log_init(struct raft_log *l, uint64_t base_index, uint64_t base_term);
void raft_log_release(struct raft_log *l);
uint64_t raft_log_last(const struct raft_log *l);
uint64_t raft_log_last_term(const struct raft_log *l);
/* False when `index` is not in memory. */
bool raft_log_term(const struct raft_log *l, uint64_t index,
                   uint64_t *ret_term);
bool raft_log_matches(const struct raft_log *l, uint64_t index, uint64_t term);
const struct raft_entry *raft_log_at(const struct raft_log *l, uint64_t index);
/* Takes over the entry's data; its index is the one after the last. */
void raft_log_append(struct raft_log *l, const struct raft_entry *e);
/* Drops `index` and what follows. */
void raft_log_truncate(struct raft_log *l, uint64_t index);
void raft_log_compact(struct raft_log *l, uint64_t index);
/* Forgets everything; the log starts behind a snapshot. */
void raft_log_restart(struct raft_log *l, uint64_t index, uint64_t term);
/* Largest i <= index whose term is <= `term`, or the base. */
uint64_t raft_log_find_term(const struct raft_log *l, uint64_t index,
                            uint64_t term);
/* dissertation 3.6.1: the vote is for logs at least as new as ours. */
bool raft_log_up_to_date(const struct raft_log *l, uint64_t index,
                         uint64_t term);

/* progress.c */
void raft_progress_init(struct raft_peer *p, uint64_t id, bool is_learner,
                        uint64_t next, uint32_t inflight_max);
void raft_progress_release(struct raft_peer *p);
void raft_progress_reset(struct raft_peer *p, uint64_t next);
void raft_progress_to_probe(struct raft_peer *p);
void raft_progress_to_replicate(struct raft_peer *p);
void raft_progress_to_snapshot(struct raft_peer *p, uint64_t index);
bool raft_progress_blocked(const struct raft_peer *p);
/* A message ending in entry `last` was made; 0: one without entries. */
void raft_progress_sent(struct raft_peer *p, uint64_t last);
/* True when the answer told something new. */
bool raft_progress_accepted(struct raft_peer *p, uint64_t index);
bool raft_progress_rejected(struct raft_peer *p, uint64_t index, uint64_t hint);
struct raft_peer *raft_progress_find(const struct raft *r, uint64_t id);

/* quorum.c */
/* Largest index that a majority of the voters holds. */
uint64_t raft_quorum_match(const struct raft *r);
/* Largest read round that a majority of the voters confirmed. */
uint64_t raft_quorum_read(const struct raft *r);
enum raft_vote raft_quorum_vote(const struct raft *r, uint32_t *ret_granted,
                                uint32_t *ret_rejected);
bool raft_quorum_active(const struct raft *r);

/* election.c */
void raft_election_become_follower(struct raft *r, uint64_t term,
                                   uint64_t leader);
/* A message of this term's leader came. */
void raft_election_heard(struct raft *r, uint64_t leader);
void raft_election_start(struct raft *r, bool transfer);
/* The next entries were applied: an election that had to wait for them. */
void raft_election_applied(struct raft *r);
void raft_election_tick(struct raft *r);
void raft_election_vote_requested(struct raft *r, const struct raft_message *m);
void raft_election_vote_answered(struct raft *r, const struct raft_message *m);
/* The own vote of this term is durable. */
void raft_election_vote_persisted(struct raft *r);
bool raft_election_in_lease(const struct raft *r);

/* replication.c */
int raft_replication_propose(struct raft *r, struct raft_entry *entries,
                             uint32_t count);
int raft_replication_append(struct raft *r, struct raft_message *m);
void raft_replication_answered(struct raft *r, const struct raft_message *m);
void raft_replication_heartbeat(struct raft *r, const struct raft_message *m);
void raft_replication_heartbeat_answered(struct raft *r,
                                         const struct raft_message *m);
void raft_replication_send_heartbeats(struct raft *r);
/* MSG_APP to everyone who is due one. */
void raft_replication_flush(struct raft *r);
void raft_replication_commit(struct raft *r);
void raft_replication_commit_to(struct raft *r, uint64_t index);
void raft_replication_tick(struct raft *r);

/* install.c */
void raft_install_receive(struct raft *r, const struct raft_message *m);
/* False when there is nothing to send yet. */
bool raft_install_send(struct raft *r, struct raft_peer *p);

/* read.c */
int raft_read_add(struct raft *r, uint64_t from, uint64_t request,
                  struct bytes *data);
int raft_read_requested(struct raft *r, struct raft_message *m);
/* A heartbeat's answer. */
void raft_read_heard(struct raft *r, const struct raft_message *m);
/* The leader's answer to this follower's request. */
void raft_read_take(struct raft *r, const struct raft_message *m);
/* Opens a round for the requests that have none. */
void raft_read_flush(struct raft *r);
bool raft_read_flushable(const struct raft *r);
void raft_read_confirm(struct raft *r);
void raft_read_drop_all(struct raft *r);
/* Context of the heartbeats while reads wait, else NULL; one reference. */
struct bytes *raft_read_context(const struct raft *r);

/* transfer.c */
void raft_transfer_requested(struct raft *r, uint64_t to);
/* To whoever has most of the log. */
void raft_transfer_away(struct raft *r);
/* `p` may have caught up. */
void raft_transfer_check(struct raft *r, struct raft_peer *p);

/* membership.c */
int raft_membership_init(struct raft *r, const struct raft_conf_state *conf);
/* Rebuilds the peers for r->conf, keeping what is known. */
void raft_membership_switch(struct raft *r, const struct raft_conf_state *conf);
bool raft_membership_has(const struct raft_conf_state *conf, uint64_t id);
bool raft_membership_votes(const struct raft_conf_state *conf, uint64_t id);
bool raft_membership_valid(const struct raft_conf_state *conf);

/* message.c */
/* Contents go to the queue; `from` is filled in when 0. */
void raft_message_send(struct raft *r, const struct raft_message *m);
void raft_message_send_persisted(struct raft *r, const struct raft_message *m);
void raft_message_queue_release(struct raft_messages *q);

/* ready.c */
/* The log was cut: what was not durable above `index` will not be. */
void raft_ready_cut(struct raft *r, uint64_t index);

/* note.c */
void raft_note(struct raft *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
