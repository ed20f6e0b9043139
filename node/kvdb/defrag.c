/*
 * Defragment: every row into a new file, which then takes the old one's
 * place, while the loop reads and writes as always. The store thread does
 * nothing else meanwhile, so that what is copied stays what is committed;
 * changes wait in the delta.
 *
 *   copy -> sync -> compare -> rename -> sync of the folder -> change over
 *
 * A crash before the rename leaves a file that the next start throws away;
 * after it the new file is whole. Transactions on the old file (the loop's
 * until its next poll, an image, a hash) end in their own time: the old
 * environment is closed when nobody reads in it any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "private.h"

enum {
    BATCH_BYTES = 4 << 20, /* rows in one transaction of the new file */
};

struct defrag {
    struct kvdb_job job;
    struct kvdb *db;
    void (*done)(void *ctx, int err);
    void *ctx;
    /* store thread */
    struct kvdb to; /* the new file: path, env, tables, lock, reader */
    MDB_txn *from;
    MDB_txn *txn; /* of the new file */
    MDB_cursor *cursor;
    size_t bytes; /* in txn */
};

static bool is_stopped(const struct defrag *d)
{
    return atomic_load(&d->db->closing) || atomic_load(&d->db->no_defrag);
}

/* ---- copying ---- */
static int batch_begin(struct defrag *d, enum kvdb_table table)
{
    int rc = mdb_txn_begin(d->to.env, NULL, 0, &d->txn);
    if (rc != 0) {
        d->txn = NULL;
        return kvdb_err(rc);
    }
    d->bytes = 0;
    return kvdb_err(mdb_cursor_open(d->txn, d->to.dbi[table], &d->cursor));
}

static int batch_end(struct defrag *d)
{
    mdb_cursor_close(d->cursor);
    int rc = mdb_txn_commit(d->txn);
    d->txn = NULL;
    return kvdb_err(rc);
}

/* Large tables are filled in order, so that their pages are full; of a key
 * with several values the first opens its place. */
static unsigned flags_of(enum kvdb_table table, bool same_key)
{
    return table <= KVDB_LEASE_KEY && !same_key ? MDB_APPEND : 0;
}

static int copy_rows(struct defrag *d, enum kvdb_table table, MDB_cursor *from)
{
    MDB_val k, v;
    MDB_val last = {0, NULL};
    int err = batch_begin(d, table);
    while (err == 0) {
        int rc = mdb_cursor_get(from, &k, &v, MDB_NEXT);
        if (rc != 0) {
            err = rc == MDB_NOTFOUND ? 0 : kvdb_err(rc);
            break;
        }
        /* Values of one key share its bytes in the page. */
        bool same = last.mv_data == k.mv_data && last.mv_size == k.mv_size;
        last = k;
        d->bytes += k.mv_size + v.mv_size;
        err =
            kvdb_err(mdb_cursor_put(d->cursor, &k, &v, flags_of(table, same)));
        if (err == 0 && d->bytes >= BATCH_BYTES) {
            err = is_stopped(d) ? ERR_CANCELED : batch_end(d);
            if (err == 0) {
                err = batch_begin(d, table);
            }
        }
    }
    return err ? err : batch_end(d);
}

static int copy_table(struct defrag *d, enum kvdb_table table)
{
    MDB_cursor *from;
    int rc = mdb_cursor_open(d->from, d->db->dbi[table], &from);
    if (rc != 0) {
        return kvdb_err(rc);
    }
    int err = copy_rows(d, table, from);
    mdb_cursor_close(from);
    return err;
}

/* ---- comparing ---- */
static bool same_val(MDB_val a, MDB_val b)
{
    return slice_eq(slice_of(a.mv_data, a.mv_size),
                    slice_of(b.mv_data, b.mv_size));
}

static int compare_rows(struct defrag *d, MDB_cursor *from, MDB_cursor *to)
{
    for (;;) {
        MDB_val k[2], v[2];
        int rc = mdb_cursor_get(from, &k[0], &v[0], MDB_NEXT);
        int other = mdb_cursor_get(to, &k[1], &v[1], MDB_NEXT);
        if (rc != other) {
            return ERR_CORRUPT;
        }
        if (rc != 0) {
            return rc == MDB_NOTFOUND ? 0 : kvdb_err(rc);
        }
        if (!same_val(k[0], k[1]) || !same_val(v[0], v[1])) {
            return ERR_CORRUPT;
        }
        if (is_stopped(d)) {
            return ERR_CANCELED;
        }
    }
}

static int compare_table(struct defrag *d, enum kvdb_table table)
{
    MDB_cursor *from = NULL, *to = NULL;
    int rc = mdb_cursor_open(d->from, d->db->dbi[table], &from);
    if (rc == 0) {
        rc = mdb_cursor_open(d->to.reader, d->to.dbi[table], &to);
    }
    int err = rc == 0 ? compare_rows(d, from, to) : kvdb_err(rc);
    if (to) {
        mdb_cursor_close(to);
    }
    if (from) {
        mdb_cursor_close(from);
    }
    return err;
}

/* ---- the file ---- */
static void remove_file(const char *path)
{
    char *lock = mem_printf("%s-lock", path);
    unlink(lock);
    free(lock);
    unlink(path);
}

static char *path_of_new(const char *path)
{
    return mem_printf("%s.defrag", path);
}

void kvdb_defrag_forget(const char *path)
{
    char *rest = path_of_new(path);
    remove_file(rest);
    free(rest);
}

static int sync_folder(const char *path)
{
    char *copy = mem_strdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = fd >= 0 && fsync(fd) == 0 ? 0 : ERR_IO;
    if (fd >= 0) {
        close(fd);
    }
    free(copy);
    return err;
}

static int open_new(struct defrag *d)
{
    kvdb_defrag_forget(d->db->path);
    d->to = (struct kvdb){.path = path_of_new(d->db->path), .lock_fd = -1};
    /* One sync at the end is enough: until then it is nothing. */
    int err = kvdb_open_files(&d->to, true);
    if (err == 0 && memcmp(d->to.dbi, d->db->dbi, sizeof d->to.dbi) != 0) {
        err = ERR_MISMATCH;
    }
    if (err == 0) {
        mdb_txn_reset(d->to.reader);
    }
    return err;
}

static int fill_new(struct defrag *d)
{
    int err = kvdb_err(mdb_txn_begin(d->db->env, NULL, MDB_RDONLY, &d->from));
    for (int t = 0; err == 0 && t < KVDB_TABLE_COUNT; t++) {
        err = copy_table(d, (enum kvdb_table)t);
    }
    if (err == 0 && !d->db->no_fsync) {
        err = kvdb_err(mdb_env_sync(d->to.env, 1));
    }
    if (err == 0) {
        err = kvdb_err(mdb_txn_renew(d->to.reader));
    }
    for (int t = 0; err == 0 && t < KVDB_TABLE_COUNT; t++) {
        err = compare_table(d, (enum kvdb_table)t);
    }
    return err;
}

static void abandon(struct defrag *d)
{
    if (d->txn) {
        mdb_txn_abort(d->txn);
    }
    kvdb_close_files(&d->to);
    remove_file(d->to.path);
}

/* ---- changing over ---- */
static void change_over(struct defrag *d)
{
    struct kvdb *db = d->db;
    db->retired[db->retired_count++] = db->env;
    db->env = d->to.env;
    close(db->lock_fd);
    db->lock_fd = d->to.lock_fd;
    atomic_fetch_add(&db->commit_count, 1);
    MDB_txn *unused = atomic_exchange(&db->new_reader, d->to.reader);
    if (unused) {
        mdb_txn_abort(unused);
    }
}

/* From here on there is no way back: the name leads to the new file, and
 * the old one must not be written to any more. */
static int take_place(struct defrag *d)
{
    struct kvdb *db = d->db;
    char *lock = mem_printf("%s-lock", d->to.path);
    unlink(lock); /* the next one will need a lock file of its own */
    free(lock);
    if (rename(d->to.path, db->path) != 0) {
        return errno == ENOSPC ? ERR_NO_SPACE : ERR_IO;
    }
    int err = db->no_fsync ? 0 : sync_folder(db->path);
    if (err == 0 && !db->no_fsync) {
        err = kvdb_err(mdb_env_set_flags(d->to.env, MDB_NOSYNC, 0));
    }
    if (err) {
        kvdb_store_fail(db, err, "cannot put a new file in place of",
                        err_text(err));
    }
    change_over(d);
    return err;
}

static int defrag_run(struct kvdb_job *job, MDB_txn *txn)
{
    struct defrag *d = container_of(job, struct defrag, job);
    if (d->db->failed) {
        return ERR_IO;
    }
    if (is_stopped(d)) {
        return ERR_CANCELED;
    }
    if (d->db->retired_count == KVDB_RETIRED_MAX) {
        return ERR_BUSY;
    }
    int err = open_new(d);
    if (err == 0) {
        err = fill_new(d);
    }
    if (d->from) {
        mdb_txn_abort(d->from);
    }
    bool placed = false;
    if (err == 0) {
        err = take_place(d);
        placed = d->db->env == d->to.env;
    }
    if (!placed) {
        abandon(d);
    }
    free(d->to.path);
    return err;
}

static void defrag_done(struct kvdb_job *job, int err)
{
    struct defrag *d = container_of(job, struct defrag, job);
    struct kvdb *db = d->db;
    d->done(d->ctx, err);
    free(d);
    kvdb_reap_soon(db);
}

void kvdb_defragment(struct kvdb *db, void (*done)(void *ctx, int err),
                     void *ctx)
{
    struct defrag *d = mem_zalloc(sizeof *d);
    d->job = (struct kvdb_job){
        .run = defrag_run, .done = defrag_done, .alone = true};
    d->db = db;
    d->done = done;
    d->ctx = ctx;
    kvdb_submit(db, &d->job);
}

void kvdb_defragment_stop(struct kvdb *db)
{
    if (db) {
        atomic_store(&db->no_defrag, true);
    }
}

/* ---- the old files ---- */
void kvdb_reap(struct kvdb *db)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < db->retired_count; i++) {
        if (kvdb_is_read(db->retired[i])) {
            db->retired[kept++] = db->retired[i];
        } else {
            mdb_env_close(db->retired[i]);
        }
    }
    db->retired_count = kept;
}

/* A job that does nothing: after it the thread looks. */
static int reap_run(struct kvdb_job *job, MDB_txn *txn)
{
    return 0;
}

static void reap_done(struct kvdb_job *job, int err)
{
    free(job);
}

void kvdb_reap_soon(struct kvdb *db)
{
    struct kvdb_job *job = mem_zalloc(sizeof *job);
    *job = (struct kvdb_job){.run = reap_run, .done = reap_done, .alone = true};
    kvdb_submit(db, job);
}
