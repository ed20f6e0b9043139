/*
 * The store as the buckets of an image, read over a transaction of its own.
 * A flush that is under way may have written records already; they belong
 * to a later state and are left out.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "private.h"

/* In the order of an image. */
static const struct {
    const char *name;
    enum kvdb_table table;
} buckets[] = {
    {"alarm", KVDB_ALARM},
    {"auth", KVDB_AUTH},
    {"authRoles", KVDB_AUTH_ROLES},
    {"authUsers", KVDB_AUTH_USERS},
    {"cluster", KVDB_CLUSTER},
    {"key", KVDB_REV},
    {"lease", KVDB_LEASE},
    {"members", KVDB_MEMBERS},
    {"members_removed", KVDB_MEMBERS_REMOVED},
    {"meta", KVDB_META},
};

enum {
    BUCKET_COUNT = sizeof buckets / sizeof buckets[0],
};

struct mvcc_image {
    struct kvdb_job job;
    struct mvcc *m;
    void (*ready)(void *ctx, struct mvcc_image *image, int err);
    void *ctx;
    struct image_source source;
    MDB_dbi dbi[BUCKET_COUNT];
    MDB_dbi state_table;
    MDB_txn *txn;
    struct mvcc_state state;
    int bucket; /* -1: before the first */
    MDB_cursor *cursor;
    uint8_t key[MVCC_IMAGE_TOMBSTONE_SIZE];
};

static void close_cursor(struct mvcc_image *image)
{
    if (image->cursor) {
        mdb_cursor_close(image->cursor);
        image->cursor = NULL;
    }
}

static int source_rewind(void *ctx)
{
    struct mvcc_image *image = ctx;
    close_cursor(image);
    image->bucket = -1;
    return 0;
}

static int source_next_bucket(void *ctx, struct slice *ret_name)
{
    struct mvcc_image *image = ctx;
    close_cursor(image);
    if (image->bucket + 1 >= BUCKET_COUNT) {
        return ERR_NOT_FOUND;
    }
    image->bucket++;
    int rc =
        mdb_cursor_open(image->txn, image->dbi[image->bucket], &image->cursor);
    if (rc == 0) {
        *ret_name = slice_str(buckets[image->bucket].name);
    }
    return kvdb_err(rc);
}

static int revision_record(struct mvcc_image *image, struct slice rev,
                           struct slice row, struct slice *ret_key,
                           struct slice *ret_value)
{
    bool tombstone;
    int err = mvcc_row_decode(rev, row, &tombstone, ret_value);
    if (err != 0) {
        return err;
    }
    int64_t main = (int64_t)get_be64(rev.data);
    if (main > image->state.revision) {
        return ERR_NOT_FOUND;
    }
    size_t size = mvcc_image_rev_encode(main, get_be64(rev.data + 8), tombstone,
                                        image->key);
    *ret_key = slice_of(image->key, size);
    return 0;
}

static int source_next_record(void *ctx, struct slice *ret_key,
                              struct slice *ret_value)
{
    struct mvcc_image *image = ctx;
    MDB_val k;
    MDB_val v;
    int rc = mdb_cursor_get(image->cursor, &k, &v, MDB_NEXT);
    if (rc != 0) {
        return kvdb_err(rc);
    }
    struct slice key = slice_of(k.mv_data, k.mv_size);
    struct slice value = slice_of(v.mv_data, v.mv_size);
    if (buckets[image->bucket].table == KVDB_REV) {
        return revision_record(image, key, value, ret_key, ret_value);
    }
    *ret_key = key;
    *ret_value = value;
    return 0;
}

/* Store thread: between two flushes, or two steps of one. */
static int image_run(struct kvdb_job *job, MDB_txn *txn)
{
    struct mvcc_image *image = container_of(job, struct mvcc_image, job);
    int rc = mdb_txn_begin(mdb_txn_env(txn), NULL, MDB_RDONLY, &image->txn);
    if (rc != 0) {
        image->txn = NULL;
        return kvdb_err(rc);
    }
    int err = mvcc_state_read(image->txn, image->state_table, &image->state);
    return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
}

static void hand_out(struct mvcc_image *image, int err)
{
    void (*ready)(void *ctx, struct mvcc_image *image, int err) = image->ready;
    void *ctx = image->ctx;
    if (err != 0) {
        mvcc_image_close(image);
        image = NULL;
    }
    ready(ctx, image, err);
}

static void image_done(struct kvdb_job *job, int err)
{
    hand_out(container_of(job, struct mvcc_image, job), err);
}

static void flushed(void *ctx, int err)
{
    struct mvcc_image *image = ctx;
    if (err != 0) {
        hand_out(image, err);
        return;
    }
    kvdb_submit(image->m->db, &image->job);
}

void mvcc_image_open(struct mvcc *m,
                     void (*ready)(void *ctx, struct mvcc_image *image,
                                   int err),
                     void *ctx)
{
    struct mvcc_image *image = mem_zalloc(sizeof *image);
    *image = (struct mvcc_image){
        .job = {.run = image_run, .done = image_done, .reads = true},
        .m = m,
        .ready = ready,
        .ctx = ctx,
        .source = {.rewind = source_rewind,
                   .next_bucket = source_next_bucket,
                   .next_record = source_next_record},
        .state_table = m->tables.state,
        .bucket = -1,
    };
    image->source.ctx = image;
    for (int i = 0; i < BUCKET_COUNT; i++) {
        image->dbi[i] = kvdb_dbi(m->db, buckets[i].table);
    }
    mvcc_flush(m, flushed, image);
}

const struct image_source *mvcc_image_source(struct mvcc_image *image)
{
    return &image->source;
}

uint64_t mvcc_image_index(const struct mvcc_image *image)
{
    return image->state.index;
}

uint64_t mvcc_image_term(const struct mvcc_image *image)
{
    return image->state.term;
}

void mvcc_image_close(struct mvcc_image *image)
{
    if (image == NULL) {
        return;
    }
    close_cursor(image);
    if (image->txn) {
        mdb_txn_abort(image->txn);
        kvdb_sweep();
    }
    free(image);
}
