/*
 * The hash that members compare: CRC-32C over the bucket's name and, in
 * order of revision, every record up to the asked one as it stands in an
 * image, without what a compaction may or may not have taken away yet. It
 * waits for compactions under way, and reads in slices over a transaction
 * of its own, so that flushes go on between them.
 */
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/err.h"
#include "base/mem.h"
#include "private.h"

enum {
    STEP_RECORDS_MAX = 4000,
};

struct mvcc_hash_job {
    struct list link;
    struct kvdb_job job;
    struct mvcc *m;
    struct mvcc_tables tables;
    int64_t revision;
    int64_t compact_revision;
    bool named;    /* a kept hash of that revision will do */
    bool compacts; /* it is one to keep */
    void (*done)(void *ctx, int err, const struct mvcc_hash *hash);
    void *ctx;
    void (*kept)(void *ctx, int err);
    /* store thread */
    MDB_txn *txn;
    MDB_cursor *rev;
    struct mvcc_index index;
    bool keep_known; /* whether any key lives at the revision */
    bool keep_empty;
    uint32_t crc;
};

static int begin(struct mvcc_hash_job *h, MDB_env *env)
{
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &h->txn);
    if (rc == 0) {
        rc = mdb_cursor_open(h->txn, h->tables.rev, &h->rev);
    }
    int err = kvdb_err(rc);
    if (err == 0) {
        err = mvcc_index_open(h->txn, h->tables.index, h->tables.long_key,
                              &h->index);
    }
    h->crc = crc32c(0, "key", 3);
    h->keep_known = h->compact_revision < 0;
    return err;
}

static void end(struct mvcc_hash_job *h)
{
    mvcc_index_close(&h->index);
    if (h->rev) {
        mdb_cursor_close(h->rev);
    }
    if (h->txn) {
        mdb_txn_abort(h->txn);
    }
    h->rev = NULL;
    h->txn = NULL;
}

/* Looks for a key that lives at the revision; ERR_AGAIN until known. */
static int find_kept(struct mvcc_hash_job *h)
{
    int err = h->index.key.size ? 0 : mvcc_index_seek(&h->index, h->index.key);
    for (int i = 0; err == 0 && i < STEP_RECORDS_MAX; i++) {
        struct mvcc_version v;
        err = mvcc_index_at(&h->index, h->revision, &v);
        /* A compaction keeps a tombstone of its own revision. */
        if (err == 0 &&
            (!v.tombstone || (h->compacts && v.main == h->revision))) {
            h->keep_known = true;
            return ERR_AGAIN;
        }
        if (err == 0 || err == ERR_NOT_FOUND) {
            err = mvcc_index_next(&h->index);
        }
    }
    if (err == ERR_NOT_FOUND) {
        h->keep_known = true;
        h->keep_empty = true;
        err = 0;
    }
    return err == 0 ? ERR_AGAIN : err;
}

/* Is it what its key shows at the revision? */
static int is_kept(struct mvcc_hash_job *h, struct slice encoded, int64_t main,
                   uint64_t sub, bool *ret_kept)
{
    struct mvcc_kv kv;
    int err = mvcc_record_decode(encoded, &kv);
    if (err != 0 || kv.key.size == 0) {
        *ret_kept = err == 0;
        return err;
    }
    struct mvcc_version v;
    err = mvcc_index_find(&h->index, kv.key, h->revision, &v);
    if (err == 0) {
        *ret_kept = v.main == main && v.sub == sub && !v.tombstone;
    }
    return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
}

static int hash_record(struct mvcc_hash_job *h, MDB_val rev, MDB_val row)
{
    bool tombstone;
    struct slice encoded;
    int err = mvcc_row_decode(slice_of(rev.mv_data, rev.mv_size),
                              slice_of(row.mv_data, row.mv_size), &tombstone,
                              &encoded);
    if (err != 0) {
        return err;
    }
    const uint8_t *p = rev.mv_data;
    int64_t main = (int64_t)get_be64(p);
    uint64_t sub = get_be64(p + 8);
    bool hashed = !(tombstone && main == h->compact_revision);
    if (hashed && main <= h->compact_revision && !h->keep_empty) {
        err = is_kept(h, encoded, main, sub, &hashed);
        if (err != 0) {
            return err;
        }
    }
    if (hashed) {
        uint8_t key[MVCC_IMAGE_TOMBSTONE_SIZE];
        size_t size = mvcc_image_rev_encode(main, sub, tombstone, key);
        h->crc = crc32c(h->crc, key, size);
        h->crc = crc32c(h->crc, encoded.data, encoded.size);
    }
    return 0;
}

static int hash_records(struct mvcc_hash_job *h)
{
    for (int i = 0; i < STEP_RECORDS_MAX; i++) {
        MDB_val k;
        MDB_val v;
        int rc = mdb_cursor_get(h->rev, &k, &v, MDB_NEXT);
        if (rc != 0) {
            return rc == MDB_NOTFOUND ? 0 : kvdb_err(rc);
        }
        if ((int64_t)get_be64(k.mv_data) > h->revision) {
            return 0;
        }
        int err = hash_record(h, k, v);
        if (err != 0) {
            return err;
        }
    }
    return ERR_AGAIN;
}

static int hash_run(struct kvdb_job *job, MDB_txn *txn)
{
    struct mvcc_hash_job *h = container_of(job, struct mvcc_hash_job, job);
    int err = 0;
    if (atomic_load(&h->m->stopping)) {
        err = ERR_CANCELED;
    } else if (h->txn == NULL) {
        err = begin(h, mdb_txn_env(txn));
    }
    if (err == 0) {
        err = h->keep_known ? hash_records(h) : find_kept(h);
    }
    if (err != ERR_AGAIN) {
        end(h);
    }
    return err;
}

static void keep(struct mvcc *m, const struct mvcc_hash *hash)
{
    uint32_t count =
        m->kept_count < MVCC_HASHES_KEPT ? m->kept_count : MVCC_HASHES_KEPT - 1;
    memmove(&m->kept[1], &m->kept[0], count * sizeof m->kept[0]);
    m->kept[0] = *hash;
    m->kept_count = count + 1;
}

uint32_t mvcc_kept_hashes(const struct mvcc *m, struct mvcc_hash *ret,
                          uint32_t capacity)
{
    uint32_t count = m->kept_count < capacity ? m->kept_count : capacity;
    memcpy(ret, m->kept, count * sizeof *ret);
    return count;
}

static const struct mvcc_hash *find(const struct mvcc *m, int64_t revision)
{
    for (uint32_t i = 0; i < m->kept_count; i++) {
        if (m->kept[i].hash_revision == revision) {
            return &m->kept[i];
        }
    }
    return NULL;
}

static void finish(struct mvcc_hash_job *h, int err)
{
    struct mvcc_hash hash = {h->crc, h->compact_revision, h->revision};
    list_remove(&h->link);
    if (!h->compacts) {
        h->done(h->ctx, err, err == 0 ? &hash : NULL);
    } else {
        if (err == 0) {
            keep(h->m, &hash);
        }
        h->kept(h->ctx, err);
    }
    free(h);
}

static void hash_done(struct kvdb_job *job, int err)
{
    struct mvcc_hash_job *h = container_of(job, struct mvcc_hash_job, job);
    end(h); /* when it was canceled between two steps */
    finish(h, err);
}

static void start(struct mvcc_hash_job *h)
{
    struct mvcc *m = h->m;
    list_remove(&h->link);
    const struct mvcc_hash *kept = h->named ? find(m, h->revision) : NULL;
    if (kept) {
        h->crc = kept->hash;
        h->compact_revision = kept->compact_revision;
        finish(h, 0);
        return;
    }
    if (h->revision < m->compact_revision) {
        finish(h, ERR_COMPACTED);
        return;
    }
    h->compact_revision = m->compact_revision;
    kvdb_submit(m->db, &h->job);
}

void mvcc_hash_resume(struct mvcc *m)
{
    list_each(it, safe, &m->hashes)
    {
        start(container_of(it, struct mvcc_hash_job, link));
    }
}

static void flushed(void *ctx, int err)
{
    struct mvcc_hash_job *h = ctx;
    if (err != 0) {
        finish(h, err);
    } else if (list_empty(&h->m->compactions)) {
        start(h);
    } else {
        list_append(&h->m->hashes, &h->link);
    }
}

int mvcc_hash_kv(struct mvcc *m, int64_t revision,
                 void (*done)(void *ctx, int err, const struct mvcc_hash *hash),
                 void *ctx)
{
    bool named = revision > 0;
    const struct mvcc_hash *kept = named ? find(m, revision) : NULL;
    if (kept) {
        struct mvcc_hash hash = *kept;
        done(ctx, 0, &hash);
        return 0;
    }
    if (!named) {
        revision = m->revision;
    }
    int err = mvcc_check_revision(m, revision);
    if (err != 0) {
        return err;
    }
    struct mvcc_hash_job *h = mem_zalloc(sizeof *h);
    *h = (struct mvcc_hash_job){
        .job = {.run = hash_run, .done = hash_done, .reads = true},
        .m = m,
        .tables = m->tables,
        .revision = revision,
        .named = named,
        .done = done,
        .ctx = ctx,
    };
    list_init(&h->link);
    mvcc_flush(m, flushed, h);
    return 0;
}

void mvcc_hash_of_compaction(struct mvcc *m, int64_t revision,
                             int64_t compacted,
                             void (*done)(void *ctx, int err), void *ctx)
{
    struct mvcc_hash_job *h = mem_zalloc(sizeof *h);
    *h = (struct mvcc_hash_job){
        .job = {.run = hash_run, .done = hash_done, .reads = true},
        .m = m,
        .tables = m->tables,
        .revision = revision,
        .compact_revision = compacted,
        .compacts = true,
        .kept = done,
        .ctx = ctx,
    };
    list_init(&h->link);
    kvdb_submit(m->db, &h->job);
}

void mvcc_hash_close(struct mvcc *m)
{
    list_each(it, safe, &m->hashes)
    {
        finish(container_of(it, struct mvcc_hash_job, link), ERR_CANCELED);
    }
}
