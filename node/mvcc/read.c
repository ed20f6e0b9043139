#include "base/err.h"
#include "private.h"

int64_t mvcc_revision(const struct mvcc *m)
{
    return m->revision;
}

int64_t mvcc_compact_revision(const struct mvcc *m)
{
    return m->compact_revision;
}

int64_t mvcc_view(const struct mvcc *m)
{
    return m->revision + (m->in_txn && m->txn_changes > 0);
}

int mvcc_check_revision(const struct mvcc *m, int64_t revision)
{
    if (revision > mvcc_view(m)) {
        return ERR_FUTURE;
    }
    return revision < m->compact_revision ? ERR_COMPACTED : 0;
}

/* A cursor outlives its transaction's renewal, but must be told. */
int mvcc_point(struct mvcc *m, struct mvcc_index **ret_index)
{
    MDB_txn *txn = kvdb_reader(m->db);
    size_t id = mdb_txn_id(txn);
    int err = 0;
    if (m->point.cursor == NULL) {
        err = mvcc_index_open(txn, m->tables.index, m->tables.long_key,
                              &m->point);
    } else if (txn != m->point.txn || id != m->point_txn_id) {
        err = kvdb_err(mdb_cursor_renew(txn, m->point.cursor));
        m->point.txn = txn;
    }
    m->point_txn_id = id;
    *ret_index = &m->point;
    return err;
}

static int decode_row(MDB_val k, MDB_val v, struct mvcc_kv *ret_kv)
{
    bool tombstone;
    struct slice encoded;
    int err =
        mvcc_row_decode(slice_of(k.mv_data, k.mv_size),
                        slice_of(v.mv_data, v.mv_size), &tombstone, &encoded);
    return err ? err : mvcc_record_decode(encoded, ret_kv);
}

int mvcc_load(MDB_txn *txn, MDB_dbi rev_table, int64_t main, uint64_t sub,
              struct mvcc_kv *ret_kv)
{
    uint8_t rev[MVCC_REV_SIZE];
    mvcc_rev_encode(main, sub, rev);
    MDB_val k = {sizeof rev, rev};
    MDB_val v;
    int rc = mdb_get(txn, rev_table, &k, &v);
    if (rc != 0) {
        return rc == MDB_NOTFOUND ? ERR_CORRUPT : kvdb_err(rc);
    }
    return decode_row(k, v, ret_kv);
}

int mvcc_load_next(MDB_cursor *revs, int64_t main, uint64_t sub, bool follows,
                   struct mvcc_kv *ret_kv)
{
    uint8_t rev[MVCC_REV_SIZE];
    mvcc_rev_encode(main, sub, rev);
    MDB_val k, v;
    if (follows && mdb_cursor_get(revs, &k, &v, MDB_NEXT) == 0 &&
        k.mv_size == sizeof rev && memcmp(k.mv_data, rev, sizeof rev) == 0) {
        return decode_row(k, v, ret_kv);
    }
    k = (MDB_val){sizeof rev, rev};
    int rc = mdb_cursor_get(revs, &k, &v, MDB_SET);
    if (rc != 0) {
        return rc == MDB_NOTFOUND ? ERR_CORRUPT : kvdb_err(rc);
    }
    return decode_row(k, v, ret_kv);
}

void mvcc_stat_of(const struct mvcc_version *v, struct mvcc_stat *ret_stat)
{
    *ret_stat = (struct mvcc_stat){
        .create_revision = v->create_revision,
        .mod_revision = v->main,
        .sub = v->sub,
        .version = v->version,
        .lease = v->lease,
    };
}

int mvcc_rec_kv(const struct mvcc_rec *rec, struct mvcc_kv *ret_kv)
{
    return mvcc_record_decode(bytes_slice(rec->record), ret_kv);
}

/* The newest record of a key in the deltas, or NULL. */
static struct mvcc_rec *find_rec(struct mvcc *m, struct slice key,
                                 int64_t revision)
{
    struct mvcc_rec *rec = mvcc_delta_find(m->active, key, revision);
    if (rec == NULL && m->frozen) {
        rec = mvcc_delta_find(m->frozen, key, revision);
    }
    return rec;
}

static int find_version(struct mvcc *m, struct slice key, int64_t revision,
                        struct mvcc_version *ret_version)
{
    struct mvcc_index *x;
    int err = mvcc_point(m, &x);
    if (err == 0) {
        err = mvcc_index_find(x, key, revision, ret_version);
    }
    if (err == 0 && ret_version->tombstone) {
        err = ERR_NOT_FOUND;
    }
    return err == ERR_NOT_FOUND ? ERR_KEY_NOT_FOUND : err;
}

static int get(struct mvcc *m, struct slice key, int64_t revision,
               struct mvcc_kv *ret_kv)
{
    if (key.size == 0) {
        return ERR_KEY_NOT_FOUND;
    }
    struct mvcc_rec *rec = find_rec(m, key, revision);
    if (rec) {
        return rec->tombstone ? ERR_KEY_NOT_FOUND : mvcc_rec_kv(rec, ret_kv);
    }
    struct mvcc_version v;
    int err = find_version(m, key, revision, &v);
    if (err == 0) {
        err =
            mvcc_load(kvdb_reader(m->db), m->tables.rev, v.main, v.sub, ret_kv);
    }
    return err;
}

int mvcc_get(struct mvcc *m, struct slice key, struct mvcc_kv *ret_kv)
{
    m->stats.range_total++;
    return get(m, key, INT64_MAX, ret_kv);
}

int mvcc_get_at(struct mvcc *m, struct slice key, int64_t revision,
                struct mvcc_kv *ret_kv)
{
    int err = mvcc_check_revision(m, revision);
    return err ? err : get(m, key, revision, ret_kv);
}

int mvcc_stat(struct mvcc *m, struct slice key, struct mvcc_stat *ret_stat)
{
    if (key.size == 0) {
        return ERR_KEY_NOT_FOUND;
    }
    struct mvcc_version v;
    struct mvcc_rec *rec = find_rec(m, key, INT64_MAX);
    if (rec) {
        if (rec->tombstone) {
            return ERR_KEY_NOT_FOUND;
        }
        mvcc_rec_version(rec, &v);
    } else {
        int err = find_version(m, key, INT64_MAX, &v);
        if (err != 0) {
            return err;
        }
    }
    mvcc_stat_of(&v, ret_stat);
    return 0;
}
