/*
 * What a flush wrote before a crash cut it off is taken back at the next
 * start, newest record first. The records are the list of what to undo:
 * they are written before the index that leads to them.
 */
#include "base/err.h"
#include "private.h"

enum {
    STEP_RECS = 500,
};

struct undo {
    struct kvdb_job job;
    const struct mvcc_tables *tables;
    int64_t revision;
    int err;
};

static int not_found_is_fine(int rc)
{
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int del_lease_row(MDB_txn *txn, const struct mvcc_tables *t,
                         int64_t lease, int64_t main, uint64_t sub)
{
    uint8_t row[MVCC_LEASE_KEY_SIZE];
    mvcc_lease_key_encode(lease, main, sub, row);
    MDB_val k = {sizeof row, row};
    return not_found_is_fine(mdb_del(txn, t->lease_key, &k, NULL));
}

/* The key's version before the one that went is the newest again. */
static int restore_older(MDB_txn *txn, const struct mvcc_tables *t,
                         MDB_cursor *index, struct mvcc_row_key *row)
{
    struct mvcc_version v;
    int err = mvcc_index_row(index, row->val, INT64_MAX, &v);
    if (err == ERR_NOT_FOUND) {
        return mvcc_longkey_drop(txn, t->long_key, row);
    }
    if (err != 0 || v.lease == 0 || v.tombstone) {
        return err;
    }
    uint8_t lease_row[MVCC_LEASE_KEY_SIZE];
    mvcc_lease_key_encode(v.lease, v.main, v.sub, lease_row);
    MDB_val k = {sizeof lease_row, lease_row};
    MDB_val nothing = {0, NULL};
    return kvdb_err(mdb_put(txn, t->lease_key, &k, &nothing, 0));
}

static int undo_index(MDB_txn *txn, const struct mvcc_tables *t,
                      MDB_cursor *index, const struct mvcc_kv *kv, int64_t main,
                      uint64_t sub)
{
    struct mvcc_row_key row;
    int err = mvcc_longkey_find(txn, t->long_key, kv->key, &row);
    if (err != 0) {
        return err == ERR_NOT_FOUND ? 0 : err;
    }
    struct mvcc_version v;
    err = mvcc_index_row(index, row.val, INT64_MAX, &v);
    if (err == ERR_NOT_FOUND || (err == 0 && v.main != main) ||
        (err == 0 && v.sub != sub)) {
        return 0; /* it had not come that far */
    }
    if (err == 0) {
        err = kvdb_err(mdb_cursor_del(index, 0));
    }
    if (err == 0 && v.lease) {
        err = kvdb_err(del_lease_row(txn, t, v.lease, main, sub));
    }
    return err ? err : restore_older(txn, t, index, &row);
}

/* Takes the newest record back; ERR_NOT_FOUND when all is well. */
static int undo_newest(struct undo *u, MDB_txn *txn, MDB_cursor *rev,
                       MDB_cursor *index)
{
    MDB_val k;
    MDB_val v;
    int rc = mdb_cursor_get(rev, &k, &v, MDB_LAST);
    if (rc != 0) {
        return kvdb_err(rc);
    }
    if (k.mv_size != MVCC_REV_SIZE) {
        return ERR_CORRUPT;
    }
    int64_t main = (int64_t)get_be64(k.mv_data);
    uint64_t sub = get_be64((const uint8_t *)k.mv_data + 8);
    if (main <= u->revision) {
        return ERR_NOT_FOUND;
    }
    bool tombstone;
    struct slice encoded;
    struct mvcc_kv kv;
    int err =
        mvcc_row_decode(slice_of(k.mv_data, k.mv_size),
                        slice_of(v.mv_data, v.mv_size), &tombstone, &encoded);
    if (err == 0) {
        err = mvcc_record_decode(encoded, &kv);
    }
    if (err == 0 && kv.key.size) {
        err = undo_index(txn, u->tables, index, &kv, main, sub);
    }
    return err ? err : kvdb_err(mdb_cursor_del(rev, 0));
}

static int undo_run(struct kvdb_job *job, MDB_txn *txn)
{
    struct undo *u = container_of(job, struct undo, job);
    MDB_cursor *rev;
    MDB_cursor *index;
    int rc = mdb_cursor_open(txn, u->tables->rev, &rev);
    if (rc != 0) {
        return kvdb_err(rc);
    }
    rc = mdb_cursor_open(txn, u->tables->index, &index);
    if (rc != 0) {
        mdb_cursor_close(rev);
        return kvdb_err(rc);
    }
    int err = 0;
    for (int i = 0; err == 0 && i < STEP_RECS; i++) {
        err = undo_newest(u, txn, rev, index);
    }
    mdb_cursor_close(rev);
    mdb_cursor_close(index);
    if (err == 0) {
        return ERR_AGAIN;
    }
    return err == ERR_NOT_FOUND ? 0 : err;
}

static void undo_done(struct kvdb_job *job, int err)
{
    container_of(job, struct undo, job)->err = err;
}

int mvcc_undo(struct mvcc *m)
{
    MDB_cursor *rev;
    MDB_val k;
    MDB_val v;
    int rc = mdb_cursor_open(kvdb_reader(m->db), m->tables.rev, &rev);
    if (rc == 0) {
        rc = mdb_cursor_get(rev, &k, &v, MDB_LAST);
        mdb_cursor_close(rev);
    }
    if (rc != 0) {
        return kvdb_err(not_found_is_fine(rc));
    }
    if (k.mv_size == MVCC_REV_SIZE &&
        (int64_t)get_be64(k.mv_data) <= m->durable.revision) {
        return 0;
    }
    struct undo u = {
        .job = {.run = undo_run, .done = undo_done},
        .tables = &m->tables,
        .revision = m->durable.revision,
    };
    kvdb_submit(m->db, &u.job);
    kvdb_drain(m->db);
    return u.err;
}
