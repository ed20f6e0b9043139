/*
 * A small cluster of Raft cores for tests: a first-in first-out network
 * whose links can be cut, disks that can be held back, no randomness.
 * Built on the door only, used the way the replica driver does.
 */
#ifndef TEST_RAFT_CLUSTER_H
#define TEST_RAFT_CLUSTER_H

#include "base/buf.h"
#include "base/mem.h"
#include "raft/raft.h"

enum { CLUSTER_MAX = 8 };

/* A write under way, with the messages that wait for it. */
struct cluster_write {
    struct cluster_write *next;
    struct raft_hard_state hard;
    bool has_hard;
    struct raft_entry *entries;
    uint64_t entry_count;
    struct raft_snapshot_meta snapshot; /* index 0: none */
    struct raft_message *messages;
    uint32_t message_count;
    uint64_t index;
    uint64_t term;
};

struct cluster_node {
    uint64_t id;
    struct raft *raft; /* NULL: not running */
    struct raft_config config;
    /* The disk. */
    struct raft_hard_state hard;
    struct raft_snapshot_meta base;
    struct raft_entry *entries;
    uint64_t entry_count;
    bool disk_held;
    struct cluster_write *writes;
    /* The state machine: one line an entry, "-" for an empty one; it
     * survives a crash. */
    struct buf applied;
    uint64_t applied_index;
    uint64_t applied_term;
    struct raft_conf_state conf;
    /* Answers to reads. */
    struct raft_read_state reads[16];
    uint32_t read_count;
};

/* A message passed on keeps its first sender in `from`. */
struct cluster_mail {
    uint64_t sender;
    struct raft_message message;
};

struct cluster {
    struct cluster_node nodes[CLUSTER_MAX + 1]; /* by id */
    struct cluster_mail *net;
    uint32_t net_count;
    uint32_t net_capacity;
    bool cut[CLUSTER_MAX + 1][CLUSTER_MAX + 1]; /* [from][to] */
    bool images_lost;
    struct buf *trace; /* messages as they are delivered; NULL: none */
    bool notes;        /* and the sentences for the log */
};

struct cluster *cluster_new(void);
void cluster_free(struct cluster *c);

/* Defaults of a configuration; a test may change it before the start. */
struct raft_config cluster_config(uint64_t id);
/* Members 1..voters of a new cluster, and learners after them. */
void cluster_bootstrap(struct cluster *c, uint32_t voters, uint32_t learners,
                       const struct raft_config *config);
/* A member with an empty disk that waits to be added. */
void cluster_start_empty(struct cluster *c, uint64_t id);
/* Loses what was not written; the writes under way are gone. */
void cluster_crash(struct cluster *c, uint64_t id);
void cluster_restart(struct cluster *c, uint64_t id);

/* One ready of one member; false when there was none. */
bool cluster_pass(struct cluster *c, uint64_t id);
/* The oldest write of a member becomes durable. */
bool cluster_write_one(struct cluster *c, uint64_t id);
/* Delivers the first message; false when there is none. */
bool cluster_deliver_one(struct cluster *c);
/* All of that until nothing is left to do. */
void cluster_settle(struct cluster *c);
/* Ticks of one member, or of all running ones (id 0), settling after each. */
void cluster_tick(struct cluster *c, uint64_t id, uint32_t ticks);

void cluster_isolate(struct cluster *c, uint64_t id);
void cluster_heal(struct cluster *c);
void cluster_drop_messages(struct cluster *c);

/* An image of what was applied, for followers behind the log. */
void cluster_snapshot(struct cluster *c, uint64_t id);

int cluster_propose(struct cluster *c, uint64_t id, const char *text);
int cluster_propose_conf(struct cluster *c, uint64_t id,
                         enum raft_conf_change_type type, uint64_t node_id);
/* Elects by hand: campaigns and settles. */
void cluster_elect(struct cluster *c, uint64_t id);

struct raft_status cluster_status(const struct cluster *c, uint64_t id);
const char *cluster_applied(struct cluster *c, uint64_t id);
/* One line without its end: "MSG_APP 1->2 term 3 ...". */
void cluster_print_message(struct buf *b, const struct raft_message *m);
extern const char *const cluster_role_names[];

#endif
