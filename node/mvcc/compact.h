/*
 * The store thread's side of a compaction to a revision R. Only keys that
 * changed since the compaction before it can have anything to lose, so the
 * walk goes over the records from that revision on (inclusive: a tombstone
 * at it was kept) to R. For each key met, every version below its newest
 * <= R goes, and that one too when it is a tombstone below R.
 *
 * The walk goes in batches, so that a page is written once for many
 * deletions: records are read in order of revision, their keys sorted, the
 * versions deleted from the index in that order, then the records in order
 * of revision. A crash between leaves records that no index entry leads to:
 * the next walk over them deletes them.
 */
#ifndef MVCC_COMPACT_H
#define MVCC_COMPACT_H

#include "base/arena.h"
#include "private.h"

struct mvcc_compact_rev {
    int64_t main;
    uint64_t sub;
};

struct mvcc_compact_entry {
    struct slice key;
    struct mvcc_compact_rev rev;
};

struct mvcc_compact_walk {
    const struct mvcc_tables *tables;
    int64_t revision;
    struct mvcc_compact_rev next; /* record to read */
    bool read_all;
    struct arena keys;
    struct mvcc_compact_entry *entries; /* of the batch, by key and rev */
    size_t entry_count;
    size_t entry_pos;              /* index done up to here */
    struct mvcc_compact_rev *gone; /* records to delete, then by revision */
    size_t gone_count;
    size_t gone_capacity;
    size_t gone_pos;
    bool gone_sorted;
    uint64_t deleted; /* records */
};

/* `from`: the last finished compaction's revision, or -1. */
void mvcc_compact_walk_init(struct mvcc_compact_walk *w,
                            const struct mvcc_tables *tables, int64_t from,
                            int64_t revision);
void mvcc_compact_walk_release(struct mvcc_compact_walk *w);
/* A bounded part of the work; ERR_AGAIN when more is left. */
int mvcc_compact_step(struct mvcc_compact_walk *w, MDB_txn *txn);

#endif
