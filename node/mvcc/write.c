#include <assert.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "private.h"

enum {
    /* Keys of a deletion looked up at a time. */
    DELETE_BATCH = 256,
};

void mvcc_begin(struct mvcc *m)
{
    assert(!m->in_txn);
    m->in_txn = true;
    m->txn_changes = 0;
    m->txn_first = m->active->rec_count;
    m->last_count = 0;
}

int64_t mvcc_txn_revision(const struct mvcc *m)
{
    return mvcc_view(m);
}

bool mvcc_txn_changed(const struct mvcc *m)
{
    return m->in_txn && m->txn_changes > 0;
}

/* Fills in the revision; takes the record. */
static void append(struct mvcc *m, struct mvcc_rec *rec, struct slice key,
                   const struct mvcc_stat *prev)
{
    rec->main = m->revision + 1;
    rec->sub = m->txn_changes++;
    rec->key_size = (uint32_t)key.size;
    rec->prev_leased = prev && prev->lease != 0;
    mvcc_delta_append(m->active, rec);
}

int mvcc_put(struct mvcc *m, struct slice key, struct slice value,
             int64_t lease, const struct mvcc_stat *prev)
{
    assert(m->in_txn && key.size > 0);
    struct mvcc_kv kv = {
        .key = key,
        .value = value,
        .create_revision = prev ? prev->create_revision : m->revision + 1,
        .mod_revision = m->revision + 1,
        .version = prev ? prev->version + 1 : 1,
        .lease = lease,
    };
    append(m,
           &(struct mvcc_rec){
               .record = mvcc_record_new(&kv),
               .create_revision = kv.create_revision,
               .version = kv.version,
               .lease = lease,
           },
           key, prev);
    m->stats.put_total++;
    return 0;
}

static void delete_one(struct mvcc *m, struct slice key,
                       const struct mvcc_stat *stat)
{
    append(m,
           &(struct mvcc_rec){
               .record = mvcc_record_new_tombstone(key, m->revision + 1),
               .tombstone = 1,
           },
           key, stat);
    m->stats.delete_total++;
}

struct batch {
    struct mvcc_found found[DELETE_BATCH];
    size_t count;
};

static bool add_to_batch(void *ctx, const struct mvcc_found *found)
{
    struct batch *b = ctx;
    b->found[b->count++] = *found;
    return true;
}

struct deletion {
    struct mvcc *m;
    struct mvcc_range range;
    bool values;
    void (*deleted)(void *ctx, const struct mvcc_kv *kv);
    void *ctx;
    int64_t count;
};

/* What the batch points to stays where it is: the delta only grows, and
 * the reader is not renewed meanwhile. */
static int delete_batch(struct deletion *d, struct batch *b)
{
    b->count = 0;
    int err = mvcc_scan(d->m, &d->range, d->values, add_to_batch, b, NULL);
    if (err != 0) {
        return err;
    }
    for (size_t i = 0; i < b->count; i++) {
        if (d->deleted) {
            d->deleted(d->ctx, &b->found[i].kv);
        }
    }
    for (size_t i = 0; i < b->count; i++) {
        delete_one(d->m, b->found[i].kv.key, &b->found[i].stat);
    }
    d->count += (int64_t)b->count;
    return 0;
}

static int delete_many(struct deletion *d)
{
    struct batch *b = mem_alloc(sizeof *b);
    struct buf from = BUF_INIT(SIZE_MAX);
    d->range.limit = DELETE_BATCH;
    int err = delete_batch(d, b);
    while (err == 0 && b->count == DELETE_BATCH) {
        /* the next key after the last one is that one and a zero byte */
        struct slice last = b->found[b->count - 1].kv.key;
        buf_reset(&from, SIZE_MAX);
        err = buf_append_slice(&from, last);
        if (err == 0) {
            err = buf_append_byte(&from, 0);
        }
        if (err == 0) {
            d->range.key = buf_slice(&from);
            err = delete_batch(d, b);
        }
    }
    buf_release(&from);
    free(b);
    return err;
}

int mvcc_delete_range(struct mvcc *m, struct slice key, struct slice end,
                      bool values,
                      void (*deleted)(void *ctx, const struct mvcc_kv *kv),
                      void *ctx, int64_t *ret_count)
{
    assert(m->in_txn);
    struct deletion d = {
        .m = m,
        .range = {.key = key, .end = end},
        .values = values,
        .deleted = deleted,
        .ctx = ctx,
    };
    int err = delete_many(&d);
    if (err == 0 && ret_count) {
        *ret_count = d.count;
    }
    return err;
}

void mvcc_end(struct mvcc *m, uint64_t raft_index, uint64_t raft_term)
{
    assert(m->in_txn);
    m->in_txn = false;
    m->stats.txn_total++;
    if (m->txn_changes) {
        m->revision++;
    }
    m->last_delta = m->active;
    m->last_first = m->txn_first;
    m->last_count = m->txn_changes;
    if (m->last_count > m->event_capacity) {
        m->event_capacity = m->last_count * 2;
        m->events =
            mem_realloc(m->events, m->event_capacity * sizeof m->events[0]);
    }
    m->applied_index = raft_index;
    m->applied_term = raft_term;
    m->active->index = raft_index;
    m->active->term = raft_term;
    mvcc_flush_if_asked(m);
}

const struct mvcc_event *mvcc_events(const struct mvcc *m, uint32_t *ret_count)
{
    struct mvcc_event *events = m->events;
    for (uint32_t i = 0; i < m->last_count; i++) {
        struct mvcc_rec *rec = mvcc_delta_rec(m->last_delta, m->last_first + i);
        events[i] = (struct mvcc_event){
            .tombstone = rec->tombstone,
            .key = mvcc_rec_key(rec),
            .mod_revision = rec->main,
            .create_revision = rec->create_revision,
            .record = rec->record,
        };
    }
    *ret_count = m->last_count;
    return events;
}

uint64_t mvcc_applied_index(const struct mvcc *m)
{
    return m->applied_index;
}

uint64_t mvcc_applied_term(const struct mvcc *m)
{
    return m->applied_term;
}

uint64_t mvcc_delta_bytes(const struct mvcc *m)
{
    return m->active->bytes + (m->frozen ? m->frozen->bytes : 0);
}
