/*
 * The LMDB environment: tables, the store thread that alone writes them,
 * read transactions for the loop. What a row means is mvcc's and the other
 * owners' business; here are bytes, one commit at a time, synced.
 *
 * Small tables (leases, members, alarms ...) hold exactly the rows of the
 * etcd snapshot's buckets of the same name, so that an image is a copy of
 * them. Their owners keep them in memory, read them once at start and stage
 * changes here; staged rows enter the same LMDB transaction as the delta
 * that was frozen with them, together with the applied index.
 *
 * LMDB facts respected: a failed sync does not poison the environment, so
 * kvdb does (`fatal`); a long reader keeps pages from reuse, so readers are
 * renewed after each commit; the map is a reserved address range that the
 * file never reaches; rows carry their own checksums where mvcc puts them.
 */
#ifndef KVDB_KVDB_H
#define KVDB_KVDB_H

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "base/slice.h"

enum kvdb_table {
    KVDB_REV,       /* mvcc: revision -> record */
    KVDB_INDEX,     /* mvcc: key -> its revisions */
    KVDB_LONG_KEY,  /* mvcc: keys too long for LMDB */
    KVDB_LEASE_KEY, /* mvcc: (lease, revision) of keys under a lease */
    KVDB_STATE,     /* ours: applied index, identity, format ... */
    KVDB_META,      /* from here on: the snapshot's buckets */
    KVDB_LEASE,
    KVDB_ALARM,
    KVDB_AUTH,
    KVDB_AUTH_USERS,
    KVDB_AUTH_ROLES,
    KVDB_MEMBERS,
    KVDB_MEMBERS_REMOVED,
    KVDB_CLUSTER,
    KVDB_TABLE_COUNT,
};

struct kvdb;
struct kvdb_stage;

struct kvdb_config {
    const char *path; /* of the file; its lock file stands beside it */
    bool no_fsync;
    bool no_thread;            /* kvdb_run() does the store thread's work */
    void (*notify)(void *ctx); /* store thread: a job is done, call
                                  kvdb_poll() on the loop */
    void (*fatal)(void *ctx, int err, const char *text); /* store thread */
    void *ctx;
};

/* Creates the file when missing. ERR_CORRUPT (not ours, or a format of the
 * future), ERR_IO, ERR_NO_SPACE, ERR_BUSY; kvdb_error_text() says more. */
int kvdb_open(const struct kvdb_config *config, struct kvdb **ret_db);
const char *kvdb_error_text(void);
/* Waits for the running step; jobs that are not finished are done with
 * ERR_CANCELED. Transactions of others go on: their file stays as it is,
 * also when another takes its place. NULL is fine. */
void kvdb_close(struct kvdb *db);
/* Any thread, after the end of a transaction that may have outlived its
 * store: closes what nobody reads any more. Returns how many files are still
 * read. */
uint32_t kvdb_sweep(void);

/* ---- loop thread: staging rows of the small tables ----
 * Keys are 1 to KVDB_KEY_SIZE_MAX bytes; more is the caller's bug. */
enum {
    KVDB_KEY_SIZE_MAX = 511,
};
void kvdb_stage_put(struct kvdb *db, enum kvdb_table table, struct slice key,
                    struct slice value);
void kvdb_stage_del(struct kvdb *db, enum kvdb_table table, struct slice key);
/* Every row of the table and later, staged before this call, goes. */
void kvdb_stage_clear(struct kvdb *db, enum kvdb_table table);

/* Loop thread: reading at start or between commits (committed rows only,
 * staged ones are not seen). Borrowed until the reader is renewed. */
int kvdb_get(struct kvdb *db, enum kvdb_table table, struct slice key,
             struct slice *ret_value);
/* Calls `row` for each in key order until it returns non-zero. */
int kvdb_each(struct kvdb *db, enum kvdb_table table,
              int (*row)(void *ctx, struct slice key, struct slice value),
              void *ctx);
/* The loop's read transaction, renewed by kvdb_poll() after a commit. */
MDB_txn *kvdb_reader(struct kvdb *db);
MDB_dbi kvdb_dbi(struct kvdb *db, enum kvdb_table table);

/* ---- jobs of the store thread, one after the other ---- */
struct kvdb_job {
    struct letter letter; /* kvdb's */
    /* Store thread, inside one write transaction, committed (with sync)
     * when it returns 0; ERR_AGAIN: commit, then call me again (a step of a
     * long work; other jobs may run between). Read-only jobs (`reads`) get
     * a read transaction instead. Rows staged when the job was submitted
     * with `staged` are written in the transaction of the last step, after
     * `run` returned 0. A write job that fails with anything but
     * ERR_CANCELED ends the environment: `fatal`, nothing is written any
     * more, every later job is done with ERR_IO. */
    int (*run)(struct kvdb_job *job, MDB_txn *txn);
    /* Loop thread, from kvdb_poll(). err is run's last or the commit's. */
    void (*done)(struct kvdb_job *job, int err);
    bool reads;
    bool alone; /* without a transaction: run gets NULL */
    bool staged;
    struct kvdb_stage *stage; /* kvdb's */
    int err;                  /* kvdb's */
};
void kvdb_submit(struct kvdb *db, struct kvdb_job *job);
/* Loop thread: renews the reader if anything was committed, then calls
 * `done` of finished jobs. */
void kvdb_poll(struct kvdb *db);
/* Loop thread: waits until every submitted job is done, polling. */
void kvdb_drain(struct kvdb *db);

/* With no_thread: runs one step of the first job; false when there is none.
 * For the simulator. */
bool kvdb_run(struct kvdb *db);
/* From now on no step is run: every job is done with ERR_CANCELED, as a
 * crash would end it. What was committed stays. */
void kvdb_cancel(struct kvdb *db);

struct kvdb_stats {
    uint64_t file_bytes; /* as of the last commit that the loop saw */
    uint64_t used_bytes; /* without free pages */
    uint64_t commit_count;
    uint64_t commit_ns_total;
    uint64_t staged_bytes;
};
void kvdb_get_stats(struct kvdb *db, struct kvdb_stats *ret_stats);

/* Copies all rows to a new file without the free pages, which then takes
 * the place of the old one; reads and writes go on (those in the store
 * thread's queue wait). `done` on the loop: ERR_NO_SPACE, ERR_IO,
 * ERR_BUSY (too many old files are still being read), ERR_CANCELED
 * (closing), ERR_CORRUPT; the old file is then as it was. */
void kvdb_defragment(struct kvdb *db, void (*done)(void *ctx, int err),
                     void *ctx);
/* Before a close that shall not wait for one: done with ERR_CANCELED, those
 * to come, too. */
void kvdb_defragment_stop(struct kvdb *db);

/* ERR_* of an LMDB code (MDB_MAP_FULL, ENOSPC -> ERR_NO_SPACE ...). */
int kvdb_err(int lmdb_code);

#endif
