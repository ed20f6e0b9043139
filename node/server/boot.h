/* Private to the start of a member: the log as it was read back. */
#ifndef SERVER_BOOT_H
#define SERVER_BOOT_H

#include "node.h"

/*
 * Entries of the log in order, those that the store has already and that no
 * follower is likely to ask for dropped while reading.
 */
struct boot_log {
    struct raft_hard_state hard;
    uint64_t installed; /* index of the last image that was installed */
    struct raft_entry *entries;
    uint64_t first; /* place of the oldest one kept */
    uint64_t count; /* places in use */
    uint64_t capacity;
    uint64_t bytes;
    uint64_t base_index; /* of the entry before the oldest one kept */
    uint64_t base_term;
    uint64_t flushed; /* index that the store had reached */
    uint64_t keep_entries;
    uint64_t keep_bytes;
    bool begins_anew; /* the store is ahead of it: nothing of it counts */
};

/* The first byte of a snapshot record in the WAL says what it marks. */
enum {
    BOOT_MARK_FLUSH = WAL_MARK_FLUSH,
    BOOT_MARK_INSTALL = WAL_MARK_INSTALL,
};

void boot_log_init(struct boot_log *log, uint64_t keep_entries,
                   uint64_t keep_bytes);
void boot_log_release(struct boot_log *log);
int boot_log_append(struct boot_log *log, uint64_t term, uint64_t index,
                    uint32_t type, struct slice data);
void boot_log_replay(struct boot_log *log, struct wal_replay *ret_replay);
/* It was created, and nothing was ever written to it. */
bool boot_log_is_empty(const struct boot_log *log);
/* What Raft starts from, given the store that is open. ERR_CORRUPT when
 * entries between the two are missing. Borrows from the log. */
int boot_log_restore(struct boot_log *log, const struct node *n,
                     struct raft_restore *ret_restore);

struct kvdb_config boot_kvdb_config(struct node *n);

/* boot_replica.c */
/* Logs what is wrong with what is at `path`, and what to do; ERR_INVALID. */
int boot_refuse(const char *what, const char *path, const char *why);
/* Every member of a new cluster writes the same: who the members are. */
void boot_first_entries(struct wal *w, const struct members *ms,
                        struct boot_log *log);
int boot_check_identity(struct node *n);
/* By the flags; `seed` is of the election jitter. */
void boot_replica_config(const struct node *n, uint64_t seed,
                         struct replica_config *ret);
/* n->replica from the log and the open store. Logs what is wrong. */
int boot_replica(struct node *n, struct boot_log *log,
                 const struct replica_config *config,
                 const struct replica_rim *rim);

/* A new member asks the others whether it was here before: one that lost
 * its disk must not vote as if it had never voted. ERR_EXISTS. */
int boot_check_lost(struct node *n, const struct members *ms);
/* Ids of this member, which is `self` in `own`, and of the cluster that it
 * was added to, from the others; also their list, in n->joined. */
int boot_join(struct node *n, const struct members *own,
              const struct member *self);
int boot_check_learners(const struct node *n, int64_t count);
/* Waits until all that was handed to the log is durable: only while this
 * member serves nothing, at start and when an image takes the store's place. */
void boot_sync_log(struct wal *w);
/* --force-new-cluster: writes what removes every other member, and makes
 * this one a voter, behind the log that was read. */
int boot_force_new(struct node *n, struct boot_log *log);

#endif
