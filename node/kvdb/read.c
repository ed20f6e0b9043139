#include "base/err.h"
#include "private.h"

MDB_txn *kvdb_reader(struct kvdb *db)
{
    return db->reader;
}

MDB_dbi kvdb_dbi(struct kvdb *db, enum kvdb_table table)
{
    return db->dbi[table];
}

int kvdb_get(struct kvdb *db, enum kvdb_table table, struct slice key,
             struct slice *ret_value)
{
    MDB_val k = {key.size, (void *)(uintptr_t)key.data};
    MDB_val v;
    int rc = mdb_get(db->reader, db->dbi[table], &k, &v);
    if (rc == 0) {
        *ret_value = slice_of(v.mv_data, v.mv_size);
    }
    return kvdb_err(rc);
}

int kvdb_each(struct kvdb *db, enum kvdb_table table,
              int (*row)(void *ctx, struct slice key, struct slice value),
              void *ctx)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(db->reader, db->dbi[table], &cursor);
    if (rc != 0) {
        return kvdb_err(rc);
    }
    MDB_val k;
    MDB_val v;
    int err = 0;
    while (err == 0 && (rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
        err = row(ctx, slice_of(k.mv_data, k.mv_size),
                  slice_of(v.mv_data, v.mv_size));
    }
    mdb_cursor_close(cursor);
    if (err == 0 && rc != MDB_NOTFOUND) {
        err = kvdb_err(rc);
    }
    return err;
}

/* LMDB's table of free pages: rows of page numbers, each led by their
 * count. */
static uint64_t free_page_count(MDB_txn *txn)
{
    const MDB_dbi free_table = 0;
    MDB_cursor *cursor;
    if (mdb_cursor_open(txn, free_table, &cursor) != 0) {
        return 0;
    }
    MDB_val k;
    MDB_val v;
    uint64_t total = 0;
    while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0) {
        size_t count;
        memcpy(&count, v.mv_data, sizeof count);
        total += count;
    }
    mdb_cursor_close(cursor);
    return total;
}

/* Counting free pages walks a table, so it is done once a commit. */
void kvdb_get_stats(struct kvdb *db, struct kvdb_stats *ret_stats)
{
    if (db->stats_commit != db->reader_commit + 1) {
        MDB_envinfo info;
        MDB_stat stat;
        MDB_env *env = mdb_txn_env(db->reader);
        mdb_env_info(env, &info);
        mdb_env_stat(env, &stat);
        uint64_t pages = (uint64_t)info.me_last_pgno + 1;
        uint64_t free_pages = free_page_count(db->reader);
        if (free_pages > pages) {
            free_pages = pages;
        }
        db->stats.file_bytes = pages * stat.ms_psize;
        db->stats.used_bytes = (pages - free_pages) * stat.ms_psize;
        db->stats_commit = db->reader_commit + 1;
    }
    *ret_stats = db->stats;
    ret_stats->commit_count = atomic_load(&db->commit_count);
    ret_stats->commit_ns_total = atomic_load(&db->commit_ns_total);
    ret_stats->staged_bytes = db->staged_bytes;
}
