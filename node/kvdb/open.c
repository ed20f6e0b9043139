#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "private.h"

/* Reserved, not used: far beyond any disk this is for. Halved as often as
 * an address space limit refuses it. */
#define MAP_BYTES_MAX ((size_t)1 << 40)
#define MAP_BYTES_MIN ((size_t)1 << 30)

/* Row of KVDB_STATE that says the file is ours, and how it is laid out. */
#define FORMAT_KEY "format"
#define FORMAT_VALUE "cofre-kv 1"

static const struct {
    const char *name;
    unsigned flags;
} tables[KVDB_TABLE_COUNT] = {
    [KVDB_REV] = {"_rev", 0},
    [KVDB_INDEX] = {"_index", MDB_DUPSORT | MDB_DUPFIXED},
    [KVDB_LONG_KEY] = {"_long_key", 0},
    [KVDB_LEASE_KEY] = {"_lease_key", 0},
    [KVDB_STATE] = {"_state", 0},
    [KVDB_META] = {"meta", 0},
    [KVDB_LEASE] = {"lease", 0},
    [KVDB_ALARM] = {"alarm", 0},
    [KVDB_AUTH] = {"auth", 0},
    [KVDB_AUTH_USERS] = {"authUsers", 0},
    [KVDB_AUTH_ROLES] = {"authRoles", 0},
    [KVDB_MEMBERS] = {"members", 0},
    [KVDB_MEMBERS_REMOVED] = {"members_removed", 0},
    [KVDB_CLUSTER] = {"cluster", 0},
};

static _Thread_local char error_text[512];

const char *kvdb_error_text(void)
{
    return error_text;
}

int kvdb_fail(int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error_text, sizeof error_text, format, args);
    va_end(args);
    return err;
}

int kvdb_err(int lmdb_code)
{
    switch (lmdb_code) {
    case 0:
        return 0;
    case MDB_NOTFOUND:
    case ENOENT:
        return ERR_NOT_FOUND;
    case MDB_KEYEXIST:
        return ERR_EXISTS;
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_NO_SPACE;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
        return ERR_CORRUPT;
    case MDB_BAD_VALSIZE:
    case EINVAL:
        return ERR_INVALID;
    case ENOMEM:
        return ERR_NOMEM;
    default:
        return ERR_IO;
    }
}

static int lock_file(struct kvdb *db)
{
    db->lock_fd = open(db->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (db->lock_fd < 0) {
        return kvdb_fail(errno == ENOSPC ? ERR_NO_SPACE : ERR_IO, "%s: %m",
                         db->path);
    }
    if (flock(db->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return kvdb_fail(errno == EWOULDBLOCK ? ERR_BUSY : ERR_IO, "%s: %m",
                         db->path);
    }
    return 0;
}

static int open_env_once(struct kvdb *db, unsigned flags, size_t map_bytes)
{
    int rc = mdb_env_create(&db->env);
    if (rc != 0) {
        return rc;
    }
    if ((rc = mdb_env_set_mapsize(db->env, map_bytes)) == 0 &&
        (rc = mdb_env_set_maxdbs(db->env, KVDB_TABLE_COUNT)) == 0 &&
        (rc = mdb_env_set_maxreaders(db->env, 256)) == 0) {
        rc = mdb_env_open(db->env, db->path, flags, 0600);
    }
    if (rc != 0) {
        mdb_env_close(db->env);
        db->env = NULL;
    }
    return rc;
}

static int open_env(struct kvdb *db, bool no_fsync)
{
    unsigned flags = MDB_NOSUBDIR | MDB_NORDAHEAD | MDB_NOTLS;
    if (no_fsync) {
        flags |= MDB_NOSYNC;
    }
    size_t map_bytes = MAP_BYTES_MAX;
    int rc = open_env_once(db, flags, map_bytes);
    while (rc == ENOMEM && map_bytes > MAP_BYTES_MIN) {
        map_bytes /= 2;
        rc = open_env_once(db, flags, map_bytes);
    }
    if (rc != 0) {
        return kvdb_fail(kvdb_err(rc), "%s: %s", db->path, mdb_strerror(rc));
    }
    return 0;
}

/* A read behind the end of the file would be a SIGBUS. The file may be short
 * for a good reason (free pages at the end are not written) or a bad one (it
 * was cut): zeroes there are an error to LMDB, if ever they are read. */
static int fill_to_size(struct kvdb *db)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat st;
    mdb_env_info(db->env, &info);
    mdb_env_stat(db->env, &stat);
    off_t need = (off_t)(info.me_last_pgno + 1) * stat.ms_psize;
    if (fstat(db->lock_fd, &st) != 0 ||
        (st.st_size < need && ftruncate(db->lock_fd, need) != 0)) {
        return kvdb_fail(ERR_IO, "%s: %m", db->path);
    }
    return 0;
}

static int check_format(struct kvdb *db, MDB_txn *txn, bool is_new)
{
    MDB_val key = {sizeof FORMAT_KEY - 1, (void *)(uintptr_t)FORMAT_KEY};
    MDB_val value = {sizeof FORMAT_VALUE - 1, (void *)(uintptr_t)FORMAT_VALUE};
    if (is_new) {
        return mdb_put(txn, db->dbi[KVDB_STATE], &key, &value, 0);
    }
    MDB_val found;
    int rc = mdb_get(txn, db->dbi[KVDB_STATE], &key, &found);
    if (rc == 0 &&
        slice_eq_str(slice_of(found.mv_data, found.mv_size), FORMAT_VALUE)) {
        return 0;
    }
    return rc == 0 || rc == MDB_NOTFOUND ? MDB_VERSION_MISMATCH : rc;
}

static int open_tables(struct kvdb *db)
{
    MDB_envinfo info;
    mdb_env_info(db->env, &info);
    bool is_new = info.me_last_txnid == 0;
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(db->env, NULL, 0, &txn);
    for (int i = 0; rc == 0 && i < KVDB_TABLE_COUNT; i++) {
        rc = mdb_dbi_open(txn, tables[i].name,
                          tables[i].flags | (is_new ? MDB_CREATE : 0),
                          &db->dbi[i]);
        if (rc == MDB_NOTFOUND) {
            rc = MDB_INVALID;
        }
    }
    if (rc == 0) {
        rc = check_format(db, txn, is_new);
    }
    if (rc == 0) {
        rc = mdb_txn_commit(txn);
    } else if (txn) {
        mdb_txn_abort(txn);
    }
    if (rc == 0) {
        rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &db->reader);
    }
    if (rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH) {
        return kvdb_fail(ERR_CORRUPT, "%s: not a store of this version",
                         db->path);
    }
    if (rc != 0) {
        return kvdb_fail(kvdb_err(rc), "%s: %s", db->path, mdb_strerror(rc));
    }
    return 0;
}

int kvdb_open_files(struct kvdb *db, bool no_fsync)
{
    int err = lock_file(db);
    if (err == 0) {
        err = open_env(db, no_fsync);
    }
    if (err == 0) {
        err = fill_to_size(db);
    }
    return err ? err : open_tables(db);
}

void kvdb_close_files(struct kvdb *db)
{
    MDB_txn *unused = atomic_exchange(&db->new_reader, NULL);
    if (unused) {
        mdb_txn_abort(unused);
    }
    if (db->reader) {
        mdb_txn_abort(db->reader);
    }
    for (uint32_t i = 0; i < db->retired_count; i++) {
        kvdb_close_env(db->retired[i], db->path);
    }
    if (db->env) {
        kvdb_close_env(db->env, db->path);
    }
    if (db->lock_fd >= 0) {
        close(db->lock_fd);
    }
}

static void release(struct kvdb *db)
{
    kvdb_close_files(db);
    free(db->stage.data);
    free(db->path);
    free(db);
}

int kvdb_open(const struct kvdb_config *config, struct kvdb **ret_db)
{
    struct kvdb *db = mem_zalloc(sizeof *db);
    db->path = mem_strdup(config->path);
    db->lock_fd = -1;
    db->no_fsync = config->no_fsync;
    db->no_thread = config->no_thread;
    db->notify = config->notify;
    db->fatal = config->fatal;
    db->ctx = config->ctx;
    db->last = &db->first;
    int err = kvdb_open_files(db, config->no_fsync);
    if (err == 0) {
        kvdb_defrag_forget(db->path);
        err = kvdb_store_start(db);
    }
    if (err != 0) {
        release(db);
        return err;
    }
    *ret_db = db;
    return 0;
}

void kvdb_close(struct kvdb *db)
{
    if (db == NULL) {
        return;
    }
    kvdb_store_stop(db);
    release(db);
}
