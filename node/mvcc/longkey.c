#include "longkey.h"

#include <stdbool.h>

#include "base/endian.h"
#include "base/err.h"
#include "kvdb/kvdb.h"

uint64_t mvcc_longkey_hash_mask = UINT64_MAX;

/* FNV-1a; it only has to spread. */
static uint64_t hash(struct slice key)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.size; i++) {
        h = (h ^ key.data[i]) * 0x100000001b3u;
    }
    return h & mvcc_longkey_hash_mask;
}

static void set_id(struct mvcc_row_key *row, uint64_t id)
{
    put_be64(row->data + MVCC_SHORT_KEY_SIZE_MAX, id);
}

static uint64_t get_id(const struct mvcc_row_key *row)
{
    return get_be64(row->data + MVCC_SHORT_KEY_SIZE_MAX);
}

int mvcc_longkey_find(MDB_txn *txn, MDB_dbi table, struct slice key,
                      struct mvcc_row_key *ret_row)
{
    if (key.size <= MVCC_SHORT_KEY_SIZE_MAX) {
        ret_row->val = (MDB_val){key.size, (void *)(uintptr_t)key.data};
        return 0;
    }
    memcpy(ret_row->data, key.data, MVCC_SHORT_KEY_SIZE_MAX);
    ret_row->val = (MDB_val){MVCC_LONG_ROW_SIZE, ret_row->data};
    for (uint64_t id = hash(key);; id++) {
        MDB_val whole;
        set_id(ret_row, id);
        int rc = mdb_get(txn, table, &ret_row->val, &whole);
        if (rc != 0) {
            return kvdb_err(rc);
        }
        if (slice_eq(key, slice_of(whole.mv_data, whole.mv_size))) {
            return 0;
        }
    }
}

/* The search ends at the first free id: that is the key's. */
int mvcc_longkey_add(MDB_txn *txn, MDB_dbi table, struct slice key,
                     struct mvcc_row_key *ret_row)
{
    int err = mvcc_longkey_find(txn, table, key, ret_row);
    if (err == ERR_NOT_FOUND) {
        MDB_val whole = {key.size, (void *)(uintptr_t)key.data};
        err = kvdb_err(mdb_put(txn, table, &ret_row->val, &whole, 0));
    }
    return err;
}

int mvcc_longkey_drop(MDB_txn *txn, MDB_dbi table,
                      const struct mvcc_row_key *row)
{
    if (row->val.mv_size != MVCC_LONG_ROW_SIZE) {
        return 0;
    }
    struct mvcc_row_key next = *row;
    MDB_val gone = {MVCC_LONG_ROW_SIZE, next.data};
    MDB_val found;
    set_id(&next, get_id(row) + 1);
    int rc = mdb_get(txn, table, &gone, &found);
    set_id(&next, get_id(row));
    if (rc == 0) {
        MDB_val nothing = {0, NULL};
        rc = mdb_put(txn, table, &gone, &nothing, 0);
    } else if (rc == MDB_NOTFOUND) {
        rc = mdb_del(txn, table, &gone, NULL);
    }
    return kvdb_err(rc);
}
