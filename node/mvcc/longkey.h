/*
 * Keys too long for LMDB. Their row in KVDB_INDEX is
 *
 *   first 500 bytes of the key | id 8
 *
 * and KVDB_LONG_KEY leads from that row key to the whole key. The id is a
 * hash of the key, counted up where another key has it; it says nothing of
 * the order among keys that share their first 500 bytes (a bucket). A row
 * whose key has gone stays, empty, where a search has to pass it.
 */
#ifndef MVCC_LONGKEY_H
#define MVCC_LONGKEY_H

#include <lmdb.h>

#include "base/slice.h"

enum {
    MVCC_SHORT_KEY_SIZE_MAX = 500,
    MVCC_LONG_ROW_SIZE = MVCC_SHORT_KEY_SIZE_MAX + 8,
};

/* Where the bytes of a row key are kept while it is used. */
struct mvcc_row_key {
    uint8_t data[MVCC_LONG_ROW_SIZE];
    MDB_val val; /* of `data`, or of a short key itself */
};

/* Row key of `key` in KVDB_INDEX. ERR_NOT_FOUND: a long one unknown. */
int mvcc_longkey_find(MDB_txn *txn, MDB_dbi table, struct slice key,
                      struct mvcc_row_key *ret_row);
/* As find, but makes the row of a long key when there is none. */
int mvcc_longkey_add(MDB_txn *txn, MDB_dbi table, struct slice key,
                     struct mvcc_row_key *ret_row);
/* The key's last revision has gone. */
int mvcc_longkey_drop(MDB_txn *txn, MDB_dbi table,
                      const struct mvcc_row_key *row);

/* Tests make ids collide with it; all ones otherwise. */
extern uint64_t mvcc_longkey_hash_mask;

#endif
