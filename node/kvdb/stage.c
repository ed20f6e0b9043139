/*
 * Staged rows lie one behind the other:
 *
 *   kind 1 | table 1 | key size 4 | value size 4 | key | value
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "private.h"

enum {
    ROW_HEADER_SIZE = 10,
    STAGE_SIZE_MIN = 256,
};

enum row_kind {
    ROW_PUT,
    ROW_DEL,
    ROW_CLEAR,
};

static void append(struct kvdb *db, enum row_kind kind, enum kvdb_table table,
                   struct slice key, struct slice value)
{
    struct kvdb_stage *s = &db->stage;
    size_t more = ROW_HEADER_SIZE + key.size + value.size;
    assert(value.size <= UINT32_MAX);
    if (s->capacity - s->size < more) {
        size_t capacity = s->capacity ? s->capacity : STAGE_SIZE_MIN;
        while (capacity - s->size < more) {
            capacity *= 2;
        }
        s->data = mem_realloc(s->data, capacity);
        s->capacity = capacity;
    }
    uint8_t *p = s->data + s->size;
    p[0] = (uint8_t)kind;
    p[1] = (uint8_t)table;
    put_le32(p + 2, (uint32_t)key.size);
    put_le32(p + 6, (uint32_t)value.size);
    if (key.size) {
        memcpy(p + ROW_HEADER_SIZE, key.data, key.size);
    }
    if (value.size) {
        memcpy(p + ROW_HEADER_SIZE + key.size, value.data, value.size);
    }
    s->size += more;
    db->staged_bytes += more;
}

void kvdb_stage_put(struct kvdb *db, enum kvdb_table table, struct slice key,
                    struct slice value)
{
    assert(key.size > 0 && key.size <= KVDB_KEY_SIZE_MAX);
    append(db, ROW_PUT, table, key, value);
}

void kvdb_stage_del(struct kvdb *db, enum kvdb_table table, struct slice key)
{
    assert(key.size > 0 && key.size <= KVDB_KEY_SIZE_MAX);
    append(db, ROW_DEL, table, key, (struct slice){0});
}

void kvdb_stage_clear(struct kvdb *db, enum kvdb_table table)
{
    append(db, ROW_CLEAR, table, (struct slice){0}, (struct slice){0});
}

struct kvdb_stage *kvdb_stage_detach(struct kvdb *db)
{
    struct kvdb_stage *s = mem_dup(&db->stage, sizeof db->stage);
    db->stage = (struct kvdb_stage){0};
    return s;
}

void kvdb_stage_free(struct kvdb_stage *stage)
{
    if (stage) {
        free(stage->data);
        free(stage);
    }
}

static int write_row(struct kvdb *db, MDB_txn *txn, enum row_kind kind,
                     enum kvdb_table table, MDB_val *key, MDB_val *value)
{
    int rc;
    switch (kind) {
    case ROW_PUT:
        return mdb_put(txn, db->dbi[table], key, value, 0);
    case ROW_DEL:
        rc = mdb_del(txn, db->dbi[table], key, NULL);
        return rc == MDB_NOTFOUND ? 0 : rc;
    case ROW_CLEAR:
        return mdb_drop(txn, db->dbi[table], 0);
    }
    return EINVAL;
}

int kvdb_stage_write(struct kvdb *db, const struct kvdb_stage *stage,
                     MDB_txn *txn)
{
    int rc = 0;
    size_t at = 0;
    while (rc == 0 && at < stage->size) {
        uint8_t *p = stage->data + at;
        MDB_val key = {get_le32(p + 2), p + ROW_HEADER_SIZE};
        MDB_val value = {get_le32(p + 6), p + ROW_HEADER_SIZE + key.mv_size};
        rc = write_row(db, txn, p[0], p[1], &key, &value);
        at += ROW_HEADER_SIZE + key.mv_size + value.mv_size;
    }
    return kvdb_err(rc);
}
