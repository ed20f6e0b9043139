#include "base/err.h"
#include "private.h"

struct history {
    struct mvcc *m;
    bool (*visit)(void *ctx, const struct mvcc_event *event);
    void *ctx;
    bool ended;
};

/* A row of LMDB as an event, its record made for the call. */
static int visit_row(struct history *h, MDB_val rev, MDB_val row)
{
    bool tombstone;
    struct slice encoded;
    struct mvcc_kv kv;
    int err = mvcc_row_decode(slice_of(rev.mv_data, rev.mv_size),
                              slice_of(row.mv_data, row.mv_size), &tombstone,
                              &encoded);
    if (err == 0) {
        err = mvcc_record_decode(encoded, &kv);
    }
    if (err != 0 || kv.key.size == 0) {
        return err;
    }
    int64_t main = (int64_t)get_be64(rev.mv_data);
    struct bytes *record = tombstone ? mvcc_record_new_tombstone(kv.key, main)
                                     : bytes_copy(encoded);
    struct mvcc_event event = {
        .tombstone = tombstone,
        .key = mvcc_record_key(record->data, kv.key.size),
        .mod_revision = main,
        .create_revision = kv.create_revision,
        .record = record,
    };
    h->ended = !h->visit(h->ctx, &event);
    bytes_unref(record);
    return 0;
}

/* From `from` to below `until`: what the deltas hold may be in LMDB too. */
static int visit_rows(struct history *h, int64_t from, int64_t until)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(kvdb_reader(h->m->db), h->m->tables.rev, &cursor);
    if (rc != 0) {
        return kvdb_err(rc);
    }
    uint8_t first[MVCC_REV_SIZE];
    mvcc_rev_encode(from, 0, first);
    MDB_val k = {sizeof first, first};
    MDB_val v;
    int err = 0;
    rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    while (rc == 0 && (int64_t)get_be64(k.mv_data) < until) {
        err = visit_row(h, k, v);
        if (err != 0 || h->ended) {
            break;
        }
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return err != 0 || rc == MDB_NOTFOUND ? err : kvdb_err(rc);
}

static void visit_delta(struct history *h, const struct mvcc_delta *d,
                        int64_t from)
{
    for (size_t i = mvcc_delta_lower(d, from); !h->ended && i < d->rec_count;
         i++) {
        struct mvcc_rec *rec = mvcc_delta_rec(d, i);
        struct mvcc_event event = {
            .tombstone = rec->tombstone,
            .key = mvcc_rec_key(rec),
            .mod_revision = rec->main,
            .create_revision = rec->create_revision,
            .record = rec->record,
        };
        h->ended = !h->visit(h->ctx, &event);
    }
}

int mvcc_history(struct mvcc *m, int64_t from,
                 bool (*visit)(void *ctx, const struct mvcc_event *event),
                 void *ctx)
{
    if (from < m->compact_revision) {
        return ERR_COMPACTED;
    }
    struct history h = {m, visit, ctx, false};
    const struct mvcc_delta *oldest = m->frozen ? m->frozen : m->active;
    if (oldest->rec_count == 0) {
        oldest = m->active;
    }
    int64_t until =
        oldest->rec_count ? mvcc_delta_rec(oldest, 0)->main : INT64_MAX;
    int err = 0;
    if (from < until) {
        err = visit_rows(&h, from < 0 ? 0 : from, until);
    }
    if (err == 0 && m->frozen) {
        visit_delta(&h, m->frozen, from);
    }
    if (err == 0) {
        visit_delta(&h, m->active, from);
    }
    return err;
}
