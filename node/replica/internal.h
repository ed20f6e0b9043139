/* What the files of replica/ share. */
#ifndef REPLICA_INTERNAL_H
#define REPLICA_INTERNAL_H

#include "base/idmap.h"
#include "replica.h"

enum {
    READ_RETRY_MS = 500, /* an unanswered read index is asked for again */
};

/* What one ready wrote, until the log says that it is durable. */
struct persist {
    struct list link;
    uint64_t sequence;
    uint64_t index; /* for raft_persisted() */
    uint64_t term;
    uint32_t message_count;
    struct raft_message messages[]; /* leave when durable */
};

/* Reads that share one read index. */
struct read_batch {
    struct list link;
    struct list reads;
    uint64_t request; /* 0: not asked yet */
    uint64_t asked_ms;
    uint64_t index; /* 0: not answered yet */
};

struct replica {
    struct raft *raft;
    struct replica_config config;
    struct replica_rim rim;
    struct raft_status status; /* as last told to rim.changed */
    struct raft_status asked;  /* what replica_status() handed out */
    uint64_t now_ms;
    uint64_t leaderless_since_ms;
    bool stopping;
    bool installing; /* then `held` waits for it */
    struct raft_ready held;
    struct raft_snapshot_meta held_meta;

    struct idmap by_id;    /* proposals that wait */
    struct list proposals; /* by age, so by deadline */
    uint64_t applied_term; /* of the entry applied last */

    struct list batches;   /* of reads, by age */
    struct list new_reads; /* since the last pass */
    uint64_t next_request;

    struct replica_stats stats;
    struct list persists; /* in order of sequence */
    uint64_t last_sequence;
};

/* Proposals */
void replica_proposals_retry(struct replica *r);
void replica_proposals_expire(struct replica *r);
struct replica_proposal *replica_proposals_take(struct replica *r,
                                                const struct raft_entry *e);
void replica_proposals_close(struct replica *r);

/* Reads */
void replica_reads_ask(struct replica *r);
void replica_reads_answered(struct replica *r,
                            const struct raft_read_state *states,
                            uint32_t count);
void replica_reads_serve(struct replica *r);
void replica_reads_expire(struct replica *r);
void replica_reads_fail(struct replica *r, int err);

#endif
