/*
 * From an image to a store file: the records pass through deltas, which are
 * flushed as always, so that the index comes into being as it does in daily
 * life. All in one job, on the calling thread. A file that is not
 * finished is thrown away, so one sync at the end is enough.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "private.h"

enum {
    DELTA_BYTES = 10 << 20,
    STEP_BYTES = 4 << 20, /* of the small tables */
};

static const struct {
    const char *name;
    enum kvdb_table table;
} small_buckets[] = {
    {"meta", KVDB_META},
    {"alarm", KVDB_ALARM},
    {"auth", KVDB_AUTH},
    {"authRoles", KVDB_AUTH_ROLES},
    {"authUsers", KVDB_AUTH_USERS},
    {"cluster", KVDB_CLUSTER},
    {"lease", KVDB_LEASE},
    {"members", KVDB_MEMBERS},
    {"members_removed", KVDB_MEMBERS_REMOVED},
};

enum {
    SMALL_BUCKET_COUNT = sizeof small_buckets / sizeof small_buckets[0],
};

enum phase {
    PHASE_TABLES,
    PHASE_FILL,
    PHASE_FLUSH,
    PHASE_STATE,
};

struct install {
    struct kvdb_job job;
    struct kvdb *db;
    struct mvcc_tables tables;
    struct image_reader *reader;
    uint64_t least_index;
    enum phase phase;
    int bucket;
    bool in_bucket;
    struct mvcc_delta *delta;
    struct mvcc_flush_step flush;
    bool image_ended;
    struct mvcc_state state;
    const struct mvcc_restore *restore; /* NULL: as the image says */
    int64_t last_main;                  /* of the image's records */
    int64_t compacted;                  /* by the restore; 0: not */
    int err;
};

static int copy_row(struct install *in, MDB_txn *txn, struct slice key,
                    struct slice value)
{
    if (key.size > KVDB_KEY_SIZE_MAX) {
        return ERR_UNSUPPORTED;
    }
    MDB_dbi dbi = kvdb_dbi(in->db, small_buckets[in->bucket].table);
    MDB_val k = {key.size, (void *)(uintptr_t)key.data};
    MDB_val v = {value.size, (void *)(uintptr_t)value.data};
    return kvdb_err(mdb_put(txn, dbi, &k, &v, 0));
}

/* ERR_NOT_FOUND at its end; `meta` alone must be there. */
static int copy_bucket(struct install *in, MDB_txn *txn, size_t *bytes)
{
    if (!in->in_bucket) {
        int err =
            image_reader_bucket(in->reader, small_buckets[in->bucket].name);
        if (err != 0) {
            return err == ERR_NOT_FOUND && in->bucket == 0 ? ERR_CORRUPT : err;
        }
        in->in_bucket = true;
    }
    for (;;) {
        struct slice key;
        struct slice value;
        int err = image_reader_next(in->reader, &key, &value);
        if (err == 0) {
            err = copy_row(in, txn, key, value);
        }
        if (err != 0) {
            return err;
        }
        *bytes += key.size + value.size + 64;
        if (*bytes >= STEP_BYTES) {
            return ERR_AGAIN;
        }
    }
}

static int copy_tables(struct install *in, MDB_txn *txn)
{
    size_t bytes = 0;
    while (in->bucket < SMALL_BUCKET_COUNT) {
        int err = copy_bucket(in, txn, &bytes);
        if (err != ERR_NOT_FOUND) {
            return err;
        }
        in->bucket++;
        in->in_bucket = false;
    }
    int err = image_reader_bucket(in->reader, "key");
    in->image_ended = err == ERR_NOT_FOUND;
    in->phase = PHASE_FILL;
    return in->image_ended ? 0 : err;
}

/* A record must be what its place says, and stored as it is hashed. */
static int check_record(const struct mvcc_kv *kv, int64_t main, bool tombstone)
{
    if (kv->key.size == 0) {
        /* the mark of a restore that raised the revision */
        return kv->encoded.size == 0 ? 0 : ERR_CORRUPT;
    }
    struct slice key = mvcc_record_key(kv->encoded.data, kv->key.size);
    if (key.data != kv->key.data) {
        return ERR_CORRUPT;
    }
    if (tombstone) {
        struct slice stored =
            mvcc_record_stored(kv->encoded, kv->key.size, true);
        return stored.size == kv->encoded.size ? 0 : ERR_CORRUPT;
    }
    return kv->mod_revision == main && kv->create_revision > 0 &&
                   kv->create_revision <= main && kv->version > 0
               ? 0
               : ERR_CORRUPT;
}

static int add_record(struct install *in, struct slice rev,
                      struct slice encoded)
{
    int64_t main;
    uint64_t sub;
    bool tombstone;
    struct mvcc_kv kv;
    int err = mvcc_image_rev_decode(rev, &main, &sub, &tombstone);
    if (err == 0) {
        err = mvcc_record_decode(encoded, &kv);
    }
    if (err == 0) {
        err = check_record(&kv, main, tombstone);
    }
    if (err != 0) {
        return err;
    }
    mvcc_delta_append(in->delta, &(struct mvcc_rec){
                                     .record = bytes_copy(encoded),
                                     .main = main,
                                     .create_revision = kv.create_revision,
                                     .version = kv.version,
                                     .lease = kv.lease,
                                     .sub = (uint32_t)sub,
                                     .key_size = (uint32_t)kv.key.size,
                                     .tombstone = tombstone,
                                     .prev_leased = tombstone || kv.version > 1,
                                 });
    in->last_main = main;
    if (main > in->state.revision) {
        in->state.revision = main;
    }
    return 0;
}

/* A record without a key, behind the last one, as etcd's tools write it (the
 * hash is theirs): what clients of the old cluster have seen beyond the
 * image is then below every new revision. */
static int raise_revision(struct install *in)
{
    int64_t by = in->restore ? in->restore->bump_revision : 0;
    if (by <= 0) {
        return 0;
    }
    if (by > INT64_MAX - in->last_main) {
        return ERR_TOO_LARGE;
    }
    struct mvcc_rec rec = {
        .record = bytes_new(0),
        .main = in->last_main + by,
    };
    mvcc_delta_append(in->delta, &rec);
    in->compacted = rec.main;
    if (rec.main > in->state.revision) {
        in->state.revision = rec.main;
    }
    return 0;
}

static int fill(struct install *in)
{
    in->delta = mvcc_delta_new();
    while (!in->image_ended && in->delta->bytes < DELTA_BYTES) {
        struct slice key;
        struct slice value;
        int err = image_reader_next(in->reader, &key, &value);
        if (err == ERR_NOT_FOUND) {
            in->image_ended = true;
        } else if (err == 0) {
            err = add_record(in, key, value);
        }
        if (err != 0 && !in->image_ended) {
            return err;
        }
    }
    if (in->image_ended) {
        int err = raise_revision(in);
        if (err != 0) {
            return err;
        }
    }
    in->flush =
        (struct mvcc_flush_step){.tables = &in->tables, .delta = in->delta};
    in->phase = PHASE_FLUSH;
    return 0;
}

static int flush(struct install *in, MDB_txn *txn)
{
    int err = mvcc_flush_step(&in->flush, txn);
    if (err == 0) {
        mvcc_delta_free(in->delta);
        in->delta = NULL;
        in->phase = in->image_ended ? PHASE_STATE : PHASE_FILL;
    }
    return err;
}

static int meta_u64(struct install *in, MDB_txn *txn, const char *row,
                    uint64_t *ret_number)
{
    MDB_val k = {strlen(row), (void *)(uintptr_t)row};
    MDB_val v;
    int rc = mdb_get(txn, in->tables.meta, &k, &v);
    *ret_number = 0;
    if (rc != 0) {
        return rc == MDB_NOTFOUND ? 0 : kvdb_err(rc);
    }
    if (v.mv_size != 8) {
        return ERR_CORRUPT;
    }
    *ret_number = get_be64(v.mv_data);
    return 0;
}

/* Everything up to the raised revision is gone; the store finishes it when
 * it is opened. */
static int mark_compacted(struct install *in, MDB_txn *txn)
{
    uint8_t revision[MVCC_IMAGE_TOMBSTONE_SIZE];
    size_t size = mvcc_image_rev_encode(in->compacted, 0, false, revision);
    MDB_val k = {sizeof MVCC_ROW_SCHEDULED - 1,
                 (void *)(uintptr_t)MVCC_ROW_SCHEDULED};
    MDB_val v = {size, revision};
    return kvdb_err(mdb_put(txn, in->tables.meta, &k, &v, 0));
}

static int write_restored(struct install *in, MDB_txn *txn)
{
    in->state.index = in->restore->index;
    in->state.term = in->restore->term;
    int err = in->compacted ? mark_compacted(in, txn) : 0;
    return err ? err : mvcc_state_write(txn, &in->tables, &in->state);
}

static int write_state(struct install *in, MDB_txn *txn)
{
    if (in->restore) {
        return write_restored(in, txn);
    }
    int err = meta_u64(in, txn, "consistent_index", &in->state.index);
    if (err == 0) {
        err = meta_u64(in, txn, "term", &in->state.term);
    }
    if (err == 0 && in->state.index < in->least_index) {
        err = ERR_CORRUPT;
    }
    return err ? err : mvcc_state_write(txn, &in->tables, &in->state);
}

static int install_run(struct kvdb_job *job, MDB_txn *txn)
{
    struct install *in = container_of(job, struct install, job);
    int err = 0;
    switch (in->phase) {
    case PHASE_TABLES:
        err = copy_tables(in, txn);
        break;
    case PHASE_FILL:
        err = fill(in);
        if (err == 0) {
            err = flush(in, txn);
        }
        break;
    case PHASE_FLUSH:
        err = flush(in, txn);
        break;
    case PHASE_STATE:
        return write_state(in, txn);
    }
    return err == 0 ? ERR_AGAIN : err;
}

static void install_done(struct kvdb_job *job, int err)
{
    container_of(job, struct install, job)->err = err;
}

static int install_into(struct kvdb *db, struct image_reader *reader,
                        uint64_t least_index,
                        const struct mvcc_restore *restore,
                        struct mvcc_state *ret_state)
{
    struct install in = {
        .job = {.run = install_run, .done = install_done},
        .db = db,
        .reader = reader,
        .least_index = least_index,
        .restore = restore,
        .state = {.revision = 1},
    };
    mvcc_tables_init(&in.tables, db);
    kvdb_submit(db, &in.job);
    kvdb_drain(db);
    mvcc_delta_free(in.delta);
    if (in.err == 0) {
        *ret_state = in.state;
    }
    return in.err;
}

static void remove_lock_file(const char *db_path)
{
    char *lock_path = mem_printf("%s-lock", db_path);
    unlink(lock_path);
    free(lock_path);
}

static int install(const char *image_path, const char *db_path,
                   uint64_t least_index, const struct mvcc_restore *restore,
                   struct mvcc_state *ret_state)
{
    if (access(db_path, F_OK) == 0) {
        return ERR_EXISTS;
    }
    struct image_reader *reader;
    int err = image_reader_open(image_path, &reader);
    if (err != 0) {
        return err;
    }
    if (!restore) {
        image_reader_consume(reader, image_path);
    }
    struct kvdb *db = NULL;
    struct kvdb_config config = {
        .path = db_path, .no_fsync = true, .no_thread = true};
    err = kvdb_open(&config, &db);
    if (err == 0) {
        err = install_into(db, reader, least_index, restore, ret_state);
    }
    if (err == 0) {
        MDB_env *env = mdb_txn_env(kvdb_reader(db));
        err = kvdb_err(mdb_env_sync(env, 1));
    }
    kvdb_close(db);
    image_reader_close(reader);
    remove_lock_file(db_path);
    if (err != 0) {
        unlink(db_path);
    }
    return err;
}

int mvcc_install(const char *image_path, const char *db_path,
                 uint64_t least_index, uint64_t *ret_index, uint64_t *ret_term)
{
    struct mvcc_state state;
    int err = install(image_path, db_path, least_index, NULL, &state);
    if (err == 0) {
        *ret_index = state.index;
        *ret_term = state.term;
    }
    return err;
}

int mvcc_restore(const char *image_path, const char *db_path,
                 const struct mvcc_restore *restore, int64_t *ret_revision)
{
    struct mvcc_state state;
    int err = install(image_path, db_path, 0, restore, &state);
    if (err == 0) {
        *ret_revision = state.revision;
    }
    return err;
}
