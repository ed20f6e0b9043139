#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "private.h"

enum {
    FLUSH_BYTES_MAX_DEFAULT = 10 << 20,
};

static int64_t max_revision(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int read_state(struct mvcc *m, int64_t *ret_scheduled)
{
    MDB_txn *txn = kvdb_reader(m->db);
    int64_t finished = -1;
    int64_t scheduled = -1;
    int err = mvcc_state_read(txn, m->tables.state, &m->durable);
    if (err == ERR_NOT_FOUND) {
        m->durable = (struct mvcc_state){.revision = 1};
        err = 0;
    }
    if (err == 0) {
        err = mvcc_compact_read(txn, m->tables.meta, MVCC_ROW_SCHEDULED,
                                &scheduled);
    }
    if (err == 0) {
        err = mvcc_compact_read(txn, m->tables.meta, MVCC_ROW_FINISHED,
                                &finished);
    }
    if (err != 0) {
        return err;
    }
    m->applied_index = m->durable.index;
    m->applied_term = m->durable.term;
    m->revision =
        max_revision(m->durable.revision, max_revision(scheduled, finished));
    m->compacted_revision = finished;
    m->compact_revision = max_revision(scheduled, finished);
    *ret_scheduled = scheduled;
    return 0;
}

static void release(struct mvcc *m)
{
    mvcc_index_close(&m->point);
    mvcc_delta_free(m->active);
    mvcc_delta_free(m->frozen);
    free(m->events);
    free(m);
}

int mvcc_open(const struct mvcc_config *config, struct mvcc **ret_mvcc)
{
    struct mvcc *m = mem_zalloc(sizeof *m);
    m->db = config->db;
    m->flush_bytes_max = config->flush_bytes_max ? config->flush_bytes_max
                                                 : FLUSH_BYTES_MAX_DEFAULT;
    m->flush_bytes = m->flush_bytes_max;
    m->active = mvcc_delta_new();
    list_init(&m->flush_running);
    list_init(&m->flush_queued);
    list_init(&m->compactions);
    list_init(&m->hashes);
    mvcc_tables_init(&m->tables, m->db);
    int64_t scheduled;
    int err = read_state(m, &scheduled);
    if (err == 0) {
        err = mvcc_undo(m);
    }
    if (err != 0) {
        release(m);
        return err;
    }
    if (scheduled > m->compacted_revision) {
        mvcc_compact_resume(m, scheduled);
    }
    *ret_mvcc = m;
    return 0;
}

void mvcc_close(struct mvcc *m)
{
    if (m == NULL) {
        return;
    }
    atomic_store(&m->stopping, true);
    kvdb_drain(m->db);
    list_each(it, safe, &m->flush_queued)
    {
        struct mvcc_waiter *w = container_of(it, struct mvcc_waiter, link);
        list_remove(it);
        if (w->done) {
            w->done(w->ctx, ERR_CANCELED);
        }
        free(w);
    }
    mvcc_compact_close(m);
    mvcc_hash_close(m);
    release(m);
}

int mvcc_each_leased(struct mvcc *m,
                     void (*attach)(void *ctx, int64_t lease, struct slice key),
                     void *ctx)
{
    MDB_txn *txn = kvdb_reader(m->db);
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, m->tables.lease_key, &cursor);
    if (rc != 0) {
        return kvdb_err(rc);
    }
    MDB_val k;
    MDB_val v;
    int err = 0;
    while (err == 0 && (rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
        const uint8_t *p = k.mv_data;
        struct mvcc_kv kv;
        err = k.mv_size == MVCC_LEASE_KEY_SIZE
                  ? mvcc_load(txn, m->tables.rev, (int64_t)get_be64(p + 8),
                              get_be64(p + 16), &kv)
                  : ERR_CORRUPT;
        if (err == 0) {
            attach(ctx, (int64_t)get_be64(p), kv.key);
        }
    }
    mdb_cursor_close(cursor);
    return err != 0 || rc == MDB_NOTFOUND ? err : kvdb_err(rc);
}

void mvcc_get_stats(const struct mvcc *m, struct mvcc_stats *ret_stats)
{
    *ret_stats = m->stats;
    ret_stats->compacted_total = atomic_load(&m->compacted_total);
    ret_stats->delta_bytes = mvcc_delta_bytes(m);
}
