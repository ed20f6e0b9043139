#include "index.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

int mvcc_index_open(MDB_txn *txn, MDB_dbi index, MDB_dbi long_key,
                    struct mvcc_index *ret_index)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, index, &cursor);
    if (rc == 0) {
        *ret_index = (struct mvcc_index){
            .txn = txn,
            .long_key = long_key,
            .cursor = cursor,
        };
    }
    return kvdb_err(rc);
}

void mvcc_index_close(struct mvcc_index *x)
{
    if (x->cursor) {
        mdb_cursor_close(x->cursor);
    }
    free(x->bucket);
    *x = (struct mvcc_index){0};
}

static int compare_entries(const void *a, const void *b)
{
    const struct mvcc_index_entry *x = a;
    const struct mvcc_index_entry *y = b;
    return slice_cmp(x->key, y->key);
}

static int add_to_bucket(struct mvcc_index *x, MDB_val row)
{
    MDB_val whole;
    int rc = mdb_get(x->txn, x->long_key, &row, &whole);
    if (rc == MDB_NOTFOUND) {
        return ERR_CORRUPT;
    }
    if (rc != 0) {
        return kvdb_err(rc);
    }
    if (x->bucket_count == x->bucket_capacity) {
        x->bucket_capacity = x->bucket_capacity ? x->bucket_capacity * 2 : 8;
        x->bucket =
            mem_realloc(x->bucket, x->bucket_capacity * sizeof x->bucket[0]);
    }
    x->bucket[x->bucket_count++] =
        (struct mvcc_index_entry){slice_of(row.mv_data, row.mv_size),
                                  slice_of(whole.mv_data, whole.mv_size)};
    return 0;
}

/* The cursor is at `row`, the first of a bucket that is asked for. */
static int collect_bucket(struct mvcc_index *x, MDB_val row)
{
    struct slice prefix = slice_of(row.mv_data, MVCC_SHORT_KEY_SIZE_MAX);
    int rc = 0;
    x->bucket_count = 0;
    while (rc == 0 && row.mv_size == MVCC_LONG_ROW_SIZE &&
           slice_starts(slice_of(row.mv_data, row.mv_size), prefix)) {
        int err = add_to_bucket(x, row);
        if (err != 0) {
            return err;
        }
        MDB_val data;
        rc = mdb_cursor_get(x->cursor, &row, &data, MDB_NEXT_NODUP);
    }
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return kvdb_err(rc);
    }
    qsort(x->bucket, x->bucket_count, sizeof x->bucket[0], compare_entries);
    x->bucket_pos = 0;
    x->in_bucket = true;
    return 0;
}

static int seek_row(struct mvcc_index *x, MDB_val row, MDB_cursor_op op)
{
    MDB_val data;
    int rc = mdb_cursor_get(x->cursor, &row, &data, op);
    x->in_bucket = false;
    if (rc != 0) {
        return kvdb_err(rc);
    }
    if (row.mv_size != MVCC_LONG_ROW_SIZE) {
        x->key = slice_of(row.mv_data, row.mv_size);
        x->first = slice_of(data.mv_data, data.mv_size);
        return 0;
    }
    int err = collect_bucket(x, row);
    if (err == 0) {
        x->key = x->bucket[0].key;
    }
    return err;
}

static int leave_bucket(struct mvcc_index *x)
{
    uint8_t after[MVCC_LONG_ROW_SIZE + 1];
    memcpy(after, x->bucket[0].row.data, MVCC_SHORT_KEY_SIZE_MAX);
    memset(after + MVCC_SHORT_KEY_SIZE_MAX, 0xff, 8);
    after[MVCC_LONG_ROW_SIZE] = 0;
    return seek_row(x, (MDB_val){sizeof after, after}, MDB_SET_RANGE);
}

static int seek_long(struct mvcc_index *x, struct slice key)
{
    uint8_t first[MVCC_LONG_ROW_SIZE] = {0};
    memcpy(first, key.data, MVCC_SHORT_KEY_SIZE_MAX);
    int err = seek_row(x, (MDB_val){sizeof first, first}, MDB_SET_RANGE);
    while (err == 0 && slice_cmp(x->key, key) < 0) {
        err = mvcc_index_next(x);
    }
    return err;
}

int mvcc_index_seek(struct mvcc_index *x, struct slice key)
{
    if (key.size > MVCC_SHORT_KEY_SIZE_MAX) {
        return seek_long(x, key);
    }
    MDB_val row = {key.size, (void *)(uintptr_t)key.data};
    return seek_row(x, row, key.size ? MDB_SET_RANGE : MDB_FIRST);
}

int mvcc_index_next(struct mvcc_index *x)
{
    if (!x->in_bucket) {
        return seek_row(x, (MDB_val){0}, MDB_NEXT_NODUP);
    }
    if (++x->bucket_pos < x->bucket_count) {
        x->key = x->bucket[x->bucket_pos].key;
        return 0;
    }
    return leave_bucket(x);
}

static int last_up_to(MDB_cursor *cursor, MDB_val row, int64_t revision,
                      struct mvcc_version *ret_version)
{
    MDB_val data;
    int rc = mdb_cursor_get(cursor, &row, &data, MDB_LAST_DUP);
    if (rc != 0) {
        return kvdb_err(rc);
    }
    struct mvcc_version v;
    int err = mvcc_version_decode(slice_of(data.mv_data, data.mv_size), &v);
    if (err == 0 && v.main > revision) {
        uint8_t after[MVCC_VERSION_SIZE] = {0};
        put_be64(after, (uint64_t)revision + 1);
        data = (MDB_val){sizeof after, after};
        rc = mdb_cursor_get(cursor, &row, &data, MDB_GET_BOTH_RANGE);
        if (rc == 0) {
            rc = mdb_cursor_get(cursor, &row, &data, MDB_PREV_DUP);
        }
        if (rc != 0) {
            return kvdb_err(rc);
        }
        err = mvcc_version_decode(slice_of(data.mv_data, data.mv_size), &v);
    }
    if (err == 0) {
        *ret_version = v;
    }
    return err;
}

int mvcc_index_row(MDB_cursor *cursor, MDB_val row, int64_t revision,
                   struct mvcc_version *ret_version)
{
    MDB_val data;
    int rc = mdb_cursor_get(cursor, &row, &data, MDB_SET_KEY);
    if (rc != 0) {
        return kvdb_err(rc);
    }
    return last_up_to(cursor, row, revision, ret_version);
}

/* Of a key that has only one, which has been read with the key. */
static int only_version(const struct mvcc_index *x, int64_t revision,
                        struct mvcc_version *ret_version)
{
    struct mvcc_version v;
    int err = mvcc_version_decode(x->first, &v);
    if (err == 0 && v.main > revision) {
        err = ERR_NOT_FOUND;
    }
    if (err == 0) {
        *ret_version = v;
    }
    return err;
}

int mvcc_index_at(struct mvcc_index *x, int64_t revision,
                  struct mvcc_version *ret_version)
{
    size_t versions;
    if (!x->in_bucket && mdb_cursor_count(x->cursor, &versions) == 0 &&
        versions == 1) {
        return only_version(x, revision, ret_version);
    }
    if (x->in_bucket) {
        struct slice row = x->bucket[x->bucket_pos].row;
        return mvcc_index_row(x->cursor,
                              (MDB_val){row.size, (void *)(uintptr_t)row.data},
                              revision, ret_version);
    }
    return last_up_to(x->cursor,
                      (MDB_val){x->key.size, (void *)(uintptr_t)x->key.data},
                      revision, ret_version);
}

int mvcc_index_find(struct mvcc_index *x, struct slice key, int64_t revision,
                    struct mvcc_version *ret_version)
{
    struct mvcc_row_key row;
    int err = mvcc_longkey_find(x->txn, x->long_key, key, &row);
    if (err == 0) {
        err = mvcc_index_row(x->cursor, row.val, revision, ret_version);
    }
    return err;
}
