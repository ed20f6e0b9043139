/* What the files of kvdb share. */
#ifndef KVDB_PRIVATE_H
#define KVDB_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "kvdb/kvdb.h"

/* Rows staged by the loop, in order, as one growing run of bytes. */
struct kvdb_stage {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

enum {
    KVDB_RETIRED_MAX = 4, /* files that were replaced and are still read */
};

struct kvdb {
    char *path;
    MDB_env *env; /* store thread's; the loop has its reader's */
    bool no_fsync;
    bool no_thread;
    MDB_dbi dbi[KVDB_TABLE_COUNT];
    int lock_fd; /* flock: one process at a time */

    /* loop thread */
    MDB_txn *reader;
    uint64_t reader_commit; /* commits that the reader has seen */
    struct kvdb_stage stage;
    uint64_t staged_bytes; /* here and in submitted jobs */
    uint64_t job_count;    /* submitted, not done */
    struct kvdb_stats stats;
    uint64_t stats_commit; /* stats are of this commit, + 1 */

    /* shared */
    struct mailbox inbox;
    struct mailbox outbox;
    _Atomic uint64_t commit_count;
    _Atomic uint64_t commit_ns_total;
    atomic_bool closing;
    atomic_bool no_defrag;
    _Atomic(MDB_txn *) new_reader; /* of the file that took the place */

    /* store thread */
    pthread_t thread;
    struct letter *first; /* jobs in turn */
    struct letter **last;
    bool failed;
    MDB_env *retired[KVDB_RETIRED_MAX];
    uint32_t retired_count;
    void (*notify)(void *ctx);
    void (*fatal)(void *ctx, int err, const char *text);
    void *ctx;
};

/* Remembers the text for kvdb_error_text() and returns `err`. */
int kvdb_fail(int err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Hands the staged rows over to the caller, who frees them. */
struct kvdb_stage *kvdb_stage_detach(struct kvdb *db);
/* Store thread. ERR_* as kvdb_err(). */
int kvdb_stage_write(struct kvdb *db, const struct kvdb_stage *stage,
                     MDB_txn *txn);
void kvdb_stage_free(struct kvdb_stage *stage);

/* open.c: path, lock_fd -1 and nothing else are set before; after a failure
 * kvdb_close_files() is due, too. */
int kvdb_open_files(struct kvdb *db, bool no_fsync);
void kvdb_close_files(struct kvdb *db);

/* defrag.c: what a crash has left of one. */
void kvdb_defrag_forget(const char *path);
/* Store thread: closes replaced files that nobody reads any more. */
void kvdb_reap(struct kvdb *db);
void kvdb_reap_soon(struct kvdb *db);

/* left.c: whether a transaction of anybody is open on it. */
bool kvdb_is_read(MDB_env *env);
/* At once, or when nobody reads in it any more: kvdb_sweep() finds out. */
void kvdb_close_env(MDB_env *env, const char *path);

/* Store thread: nothing is written any more. */
void kvdb_store_fail(struct kvdb *db, int err, const char *what,
                     const char *why);
int kvdb_store_start(struct kvdb *db);
/* Ends the thread; what it did not finish lies in the outbox. */
void kvdb_store_stop(struct kvdb *db);

#endif
