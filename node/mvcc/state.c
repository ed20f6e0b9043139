/*
 * What a restart needs to know: the applied index and the revision that
 * belong to the rows on disk. A flush may take several commits, of which
 * the last one writes this row; records newer than it are the rest of a
 * flush that was cut off, and are taken back before anyone reads.
 */
#include "base/crc32c.h"
#include "base/err.h"
#include "private.h"

#define STATE_KEY "mvcc"
#define ROW_INDEX "consistent_index"
#define ROW_TERM "term"

enum {
    STATE_SIZE = 28,
};

static MDB_val val_str(const char *text)
{
    return (MDB_val){strlen(text), (void *)(uintptr_t)text};
}

void mvcc_tables_init(struct mvcc_tables *t, struct kvdb *db)
{
    *t = (struct mvcc_tables){
        .rev = kvdb_dbi(db, KVDB_REV),
        .index = kvdb_dbi(db, KVDB_INDEX),
        .long_key = kvdb_dbi(db, KVDB_LONG_KEY),
        .lease_key = kvdb_dbi(db, KVDB_LEASE_KEY),
        .state = kvdb_dbi(db, KVDB_STATE),
        .meta = kvdb_dbi(db, KVDB_META),
    };
}

int mvcc_state_read(MDB_txn *txn, MDB_dbi table, struct mvcc_state *ret_state)
{
    MDB_val k = val_str(STATE_KEY);
    MDB_val v;
    int rc = mdb_get(txn, table, &k, &v);
    if (rc != 0) {
        return kvdb_err(rc);
    }
    const uint8_t *p = v.mv_data;
    if (v.mv_size != STATE_SIZE || get_be32(p + 24) != crc32c(0, p, 24)) {
        return ERR_CORRUPT;
    }
    *ret_state = (struct mvcc_state){get_be64(p), get_be64(p + 8),
                                     (int64_t)get_be64(p + 16)};
    return 0;
}

static int put_u64(MDB_txn *txn, MDB_dbi table, const char *row,
                   uint64_t number)
{
    uint8_t bytes[8];
    put_be64(bytes, number);
    MDB_val k = val_str(row);
    MDB_val v = {sizeof bytes, bytes};
    return mdb_put(txn, table, &k, &v, 0);
}

int mvcc_state_write(MDB_txn *txn, const struct mvcc_tables *t,
                     const struct mvcc_state *state)
{
    uint8_t p[STATE_SIZE];
    put_be64(p, state->index);
    put_be64(p + 8, state->term);
    put_be64(p + 16, (uint64_t)state->revision);
    put_be32(p + 24, crc32c(0, p, 24));
    MDB_val k = val_str(STATE_KEY);
    MDB_val v = {sizeof p, p};
    int rc = mdb_put(txn, t->state, &k, &v, 0);
    if (rc == 0 && state->index) {
        rc = put_u64(txn, t->meta, ROW_INDEX, state->index);
    }
    if (rc == 0 && state->term) {
        rc = put_u64(txn, t->meta, ROW_TERM, state->term);
    }
    return kvdb_err(rc);
}
