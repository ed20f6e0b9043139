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

struct kvdb {
    char *path;
    MDB_env *env;
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

    /* store thread */
    pthread_t thread;
    struct letter *first; /* jobs in turn */
    struct letter **last;
    bool failed;
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

int kvdb_store_start(struct kvdb *db);
/* Ends the thread; what it did not finish lies in the outbox. */
void kvdb_store_stop(struct kvdb *db);

#endif
