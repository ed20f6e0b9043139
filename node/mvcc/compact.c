/*
 * Compaction, the loop's side: requests one after the other, each
 *
 *   request -> stage scheduledCompactRev -> flush -> hash of what is there
 *           -> steps -> finished row
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "compact.h"

struct mvcc_compaction {
    struct list link;
    struct kvdb_job job;
    struct mvcc *m;
    int64_t revision;
    void (*done)(void *ctx, int err);
    void *ctx;
    bool ready; /* what it deletes is in LMDB */
    bool running;
    bool resumed; /* its records are not all there any more: no hash */
    struct mvcc_compact_walk walk;
};

int mvcc_compact_read(MDB_txn *txn, MDB_dbi meta, const char *row,
                      int64_t *ret_revision)
{
    MDB_val k = {strlen(row), (void *)(uintptr_t)row};
    MDB_val v;
    int rc = mdb_get(txn, meta, &k, &v);
    if (rc == MDB_NOTFOUND) {
        *ret_revision = -1;
        return 0;
    }
    if (rc != 0) {
        return kvdb_err(rc);
    }
    uint64_t sub;
    bool tombstone;
    return mvcc_image_rev_decode(slice_of(v.mv_data, v.mv_size), ret_revision,
                                 &sub, &tombstone);
}

static int write_finished(struct mvcc_compaction *c, MDB_txn *txn)
{
    uint8_t rev[MVCC_IMAGE_TOMBSTONE_SIZE];
    MDB_val k = {sizeof MVCC_ROW_FINISHED - 1,
                 (void *)(uintptr_t)MVCC_ROW_FINISHED};
    MDB_val v = {mvcc_image_rev_encode(c->revision, 0, false, rev), rev};
    return kvdb_err(mdb_put(txn, c->m->tables.meta, &k, &v, 0));
}

static int compact_run(struct kvdb_job *job, MDB_txn *txn)
{
    struct mvcc_compaction *c = container_of(job, struct mvcc_compaction, job);
    if (atomic_load(&c->m->stopping)) {
        return ERR_CANCELED;
    }
    uint64_t before = c->walk.deleted;
    int err = mvcc_compact_step(&c->walk, txn);
    atomic_fetch_add(&c->m->compacted_total, c->walk.deleted - before);
    return err ? err : write_finished(c, txn);
}

static void start_first(struct mvcc *m);

static void start_walk(struct mvcc_compaction *c)
{
    struct mvcc *m = c->m;
    mvcc_compact_walk_init(&c->walk, &m->tables, m->compacted_revision,
                           c->revision);
    kvdb_submit(m->db, &c->job);
}

static void finish(struct mvcc_compaction *c, int err)
{
    list_remove(&c->link);
    if (c->done) {
        c->done(c->ctx, err);
    }
    mvcc_compact_walk_release(&c->walk);
    free(c);
}

static void compact_done(struct kvdb_job *job, int err)
{
    struct mvcc_compaction *c = container_of(job, struct mvcc_compaction, job);
    struct mvcc *m = c->m;
    if (err == 0) {
        m->compacted_revision = c->revision;
    }
    finish(c, err);
    start_first(m);
}

static void hashed(void *ctx, int err)
{
    struct mvcc_compaction *c = ctx;
    struct mvcc *m = c->m;
    if (err == ERR_CANCELED || atomic_load(&m->stopping)) {
        finish(c, ERR_CANCELED);
    } else {
        start_walk(c); /* a hash that failed is not kept, and no more */
    }
}

static void start_first(struct mvcc *m)
{
    if (atomic_load(&m->stopping)) {
        return;
    }
    if (list_empty(&m->compactions)) {
        mvcc_hash_resume(m);
        return;
    }
    struct mvcc_compaction *c =
        container_of(m->compactions.next, struct mvcc_compaction, link);
    if (c->running || !c->ready) {
        return;
    }
    c->running = true;
    if (c->resumed) {
        start_walk(c);
    } else {
        mvcc_hash_of_compaction(m, c->revision, m->compacted_revision, hashed,
                                c);
    }
}

static void flushed(void *ctx, int err)
{
    struct mvcc_compaction *c = ctx;
    struct mvcc *m = c->m;
    if (err != 0) {
        finish(c, err);
        return;
    }
    c->ready = true;
    start_first(m);
}

static struct mvcc_compaction *add(struct mvcc *m, int64_t revision,
                                   void (*done)(void *ctx, int err), void *ctx)
{
    struct mvcc_compaction *c = mem_zalloc(sizeof *c);
    c->job = (struct kvdb_job){.run = compact_run, .done = compact_done};
    c->m = m;
    c->revision = revision;
    c->done = done;
    c->ctx = ctx;
    list_append(&m->compactions, &c->link);
    return c;
}

void mvcc_compact_resume(struct mvcc *m, int64_t revision)
{
    struct mvcc_compaction *c = add(m, revision, NULL, NULL);
    c->ready = c->resumed = true;
    start_first(m);
}

int mvcc_compact(struct mvcc *m, int64_t revision,
                 void (*done)(void *ctx, int err), void *ctx)
{
    if (revision <= m->compact_revision) {
        return ERR_COMPACTED;
    }
    if (revision > m->revision) {
        return ERR_FUTURE;
    }
    uint8_t rev[MVCC_IMAGE_TOMBSTONE_SIZE];
    size_t size = mvcc_image_rev_encode(revision, 0, false, rev);
    kvdb_stage_put(m->db, KVDB_META, slice_str(MVCC_ROW_SCHEDULED),
                   slice_of(rev, size));
    m->compact_revision = revision;
    mvcc_flush(m, flushed, add(m, revision, done, ctx));
    return 0;
}

void mvcc_compact_close(struct mvcc *m)
{
    list_each(it, safe, &m->compactions)
    {
        finish(container_of(it, struct mvcc_compaction, link), ERR_CANCELED);
    }
}
