/* What the files of mvcc share. */
#ifndef MVCC_PRIVATE_H
#define MVCC_PRIVATE_H

#include <stdatomic.h>

#include "base/list.h"
#include "delta.h"
#include "index.h"
#include "mvcc/mvcc.h"

/* Someone who waits for something. */
struct mvcc_waiter {
    struct list link;
    void (*done)(void *ctx, int err);
    void *ctx;
};

/* The row of KVDB_STATE: index 8 | term 8 | revision 8 | crc 4. */
struct mvcc_state {
    uint64_t index;
    uint64_t term;
    int64_t revision;
};

struct mvcc_tables {
    MDB_dbi rev;
    MDB_dbi index;
    MDB_dbi long_key;
    MDB_dbi lease_key;
    MDB_dbi state;
    MDB_dbi meta;
};

struct mvcc_compaction;
struct mvcc_hash_job;

struct mvcc {
    struct kvdb *db;
    struct mvcc_tables tables;
    uint64_t flush_bytes_max;
    uint64_t flush_bytes; /* of the delta now, see flush.c */
    /* Set by mvcc_close(); long jobs look at it. */
    atomic_bool stopping;

    int64_t revision;
    int64_t compact_revision;
    uint64_t applied_index;
    uint64_t applied_term;
    struct mvcc_state durable;

    struct mvcc_delta *active;
    struct mvcc_delta *frozen; /* NULL: no flush runs */

    /* the open transaction */
    bool in_txn;
    uint32_t txn_changes;
    size_t txn_first; /* record in `active` */

    /* records of the last one, until its delta goes */
    struct mvcc_delta *last_delta;
    size_t last_first;
    uint32_t last_count;
    struct mvcc_event *events;
    uint32_t event_capacity;

    /* point look-ups in LMDB, on the loop's reader */
    struct mvcc_index point;
    size_t point_txn_id;

    struct list flush_running; /* waiters */
    struct list flush_queued;
    bool flush_again;
    int flush_err; /* the store is read-only since this */

    struct list compactions;    /* struct mvcc_compaction, the first runs */
    int64_t compacted_revision; /* whose records have gone, or -1 */
    struct list hashes;         /* waiting for compactions */
    struct mvcc_hash kept[MVCC_HASHES_KEPT]; /* newest first */
    uint32_t kept_count;

    struct mvcc_stats stats;
    _Atomic uint64_t compacted_total;
};

/* read.c */
/* The loop's index cursor, on the present reader. */
int mvcc_point(struct mvcc *m, struct mvcc_index **ret_index);
/* The record of a revision; borrowed from the transaction. */
int mvcc_load(MDB_txn *txn, MDB_dbi rev_table, int64_t main, uint64_t sub,
              struct mvcc_kv *ret_kv);
/* The same by a cursor of that table: cheap where the revision stands near
 * the one before, as in a range of keys that were written in their order.
 * `follows`: it is likely the next one, and the cursor is at a row. */
int mvcc_load_next(MDB_cursor *revs, int64_t main, uint64_t sub, bool follows,
                   struct mvcc_kv *ret_kv);
/* The revision that reads see now. */
int64_t mvcc_view(const struct mvcc *m);
void mvcc_stat_of(const struct mvcc_version *v, struct mvcc_stat *ret_stat);
/* kv of a record of the delta. */
int mvcc_rec_kv(const struct mvcc_rec *rec, struct mvcc_kv *ret_kv);

/* range.c: as mvcc_range, with the stat of each key. `kv` holds only what
 * the index knows unless `values`. */
struct mvcc_found {
    struct mvcc_kv kv;
    struct mvcc_stat stat;
};
int mvcc_scan(struct mvcc *m, const struct mvcc_range *range, bool values,
              bool (*visit)(void *ctx, const struct mvcc_found *found),
              void *ctx, int64_t *ret_count);

/* state.c */
void mvcc_tables_init(struct mvcc_tables *t, struct kvdb *db);
/* ERR_NOT_FOUND in a new store. */
int mvcc_state_read(MDB_txn *txn, MDB_dbi table, struct mvcc_state *ret_state);
/* Also the rows of META that an image carries. */
int mvcc_state_write(MDB_txn *txn, const struct mvcc_tables *t,
                     const struct mvcc_state *state);

/* undo.c: takes back what a flush wrote before it was cut off. Waits. */
int mvcc_undo(struct mvcc *m);

/* flush.c */
struct mvcc_flush_step {
    const struct mvcc_tables *tables;
    const struct mvcc_delta *delta;
    size_t next_rec; /* to go into KVDB_REV */
    uint64_t steps;
    uint64_t index_pages; /* touched so far */
    bool in_index;
    struct mvcc_tree_cursor next_key; /* to go into KVDB_INDEX */
};
/* How much a step does, and how many steps a flush gets; tests cut them. */
struct mvcc_flush_limits {
    uint64_t pages_max; /* of 4 KiB that a commit may hold in memory */
    uint64_t steps_max;
};
extern struct mvcc_flush_limits mvcc_flush_limits;
/* Writes a bounded part of a delta; ERR_AGAIN when more is left. */
int mvcc_flush_step(struct mvcc_flush_step *f, MDB_txn *txn);
void mvcc_flush_if_asked(struct mvcc *m);
/* Frees it on the store thread. */
void mvcc_delta_discard(struct mvcc *m, struct mvcc_delta *d);

/* compact.c */
#define MVCC_ROW_SCHEDULED "scheduledCompactRev"
#define MVCC_ROW_FINISHED "finishedCompactRev"
void mvcc_compact_resume(struct mvcc *m, int64_t revision);
int mvcc_compact_read(MDB_txn *txn, MDB_dbi meta, const char *row,
                      int64_t *ret_revision);
void mvcc_compact_close(struct mvcc *m);

/* hash.c: no compaction runs any more. */
void mvcc_hash_resume(struct mvcc *m);
/* What a compaction to `revision` keeps as its hash, of the records as they
 * are before it: that of an earlier compaction to `compacted`. It is kept
 * when `done` runs. */
void mvcc_hash_of_compaction(struct mvcc *m, int64_t revision,
                             int64_t compacted,
                             void (*done)(void *ctx, int err), void *ctx);
void mvcc_hash_close(struct mvcc *m);

#endif
