/*
 * Reading KVDB_INDEX in the order of whole keys: a short key's row is in
 * its place already, long keys with the same first 500 bytes are collected
 * and sorted when the cursor comes to the first of them.
 */
#ifndef MVCC_INDEX_H
#define MVCC_INDEX_H

#include "longkey.h"
#include "record.h"

struct mvcc_index_entry {
    struct slice row; /* key in KVDB_INDEX */
    struct slice key;
};

struct mvcc_index {
    MDB_txn *txn;
    MDB_dbi long_key;
    MDB_cursor *cursor;
    struct slice key;   /* borrowed from the transaction's pages */
    struct slice first; /* outside a bucket: its oldest version, likewise */
    /* The bucket of long keys that the cursor is in, if any. */
    struct mvcc_index_entry *bucket;
    size_t bucket_count;
    size_t bucket_capacity;
    size_t bucket_pos;
    bool in_bucket;
};

int mvcc_index_open(MDB_txn *txn, MDB_dbi index, MDB_dbi long_key,
                    struct mvcc_index *ret_index);
void mvcc_index_close(struct mvcc_index *x);

/* At the first key that is not below `key`; ERR_NOT_FOUND at the end. */
int mvcc_index_seek(struct mvcc_index *x, struct slice key);
int mvcc_index_next(struct mvcc_index *x);
/* Newest version of the key here with main <= revision. ERR_NOT_FOUND. */
int mvcc_index_at(struct mvcc_index *x, int64_t revision,
                  struct mvcc_version *ret_version);

/* One key, whatever the position was before. */
int mvcc_index_find(struct mvcc_index *x, struct slice key, int64_t revision,
                    struct mvcc_version *ret_version);

/* Newest version with main <= revision in the row of that key; the cursor
 * is of KVDB_INDEX and then at it. */
int mvcc_index_row(MDB_cursor *cursor, MDB_val row, int64_t revision,
                   struct mvcc_version *ret_version);

#endif
