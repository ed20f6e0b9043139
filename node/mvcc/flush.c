/*
 * The way of a delta into LMDB. Loop: the active delta is frozen, a job
 * goes to the store thread. There: records appended in order of revision,
 * then the index in order of key, then applied index and staged rows, in as
 * many commits as keep LMDB's dirty pages few; the last one makes it count
 * (state.c). Loop again: the frozen delta goes, LMDB has it all.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/mem.h"
#include "private.h"

enum {
    STEP_PAGE_SIZE = 4096,
    /* A key with more versions than fit half a page has pages of its own. */
    INLINE_VERSIONS_MAX = 40,
    /* Records of a delta for each page of the index that they change. */
    RECORDS_PER_PAGE = 8,
};

struct mvcc_flush_limits mvcc_flush_limits = {
    .pages_max = 768,
    .steps_max = UINT64_MAX,
};

struct step {
    struct mvcc_flush_step *f;
    MDB_txn *txn;
    uint64_t bytes;        /* of pages, appended to */
    uint64_t pages;        /* of the index, touched */
    const uint8_t *lowest; /* rows seen in the index' page now */
    const uint8_t *highest;
    MDB_cursor *rev;
    MDB_cursor *index;
    /* versions of one key, newest first */
    struct mvcc_rec **chain;
    size_t chain_capacity;
};

static bool step_is_full(const struct step *s)
{
    return s->pages + s->bytes / STEP_PAGE_SIZE >= mvcc_flush_limits.pages_max;
}

/* What a row of this size takes of its pages: they hold whole rows, and one
 * with more than half of a page has pages of its own. */
static uint64_t page_share(size_t row)
{
    enum { ROOM = STEP_PAGE_SIZE - 16 };
    return row <= ROOM / 2
               ? STEP_PAGE_SIZE / (ROOM / row)
               : (row + STEP_PAGE_SIZE - 1) / STEP_PAGE_SIZE * STEP_PAGE_SIZE;
}

static int append_rec(struct step *s, const struct mvcc_rec *rec)
{
    uint8_t rev[MVCC_REV_SIZE];
    mvcc_rev_encode(rec->main, rec->sub, rev);
    struct slice stored = mvcc_record_stored(bytes_slice(rec->record),
                                             rec->key_size, rec->tombstone);
    MDB_val k = {sizeof rev, rev};
    MDB_val v = {MVCC_ROW_HEADER_SIZE + stored.size, NULL};
    int rc = mdb_cursor_put(s->rev, &k, &v, MDB_APPEND | MDB_RESERVE);
    if (rc != 0) {
        return kvdb_err(rc);
    }
    mvcc_row_encode(rev, rec->tombstone, stored, v.mv_data);
    s->bytes += page_share(k.mv_size + v.mv_size + 2 * sizeof(uint64_t));
    return 0;
}

static int append_recs(struct step *s)
{
    struct mvcc_flush_step *f = s->f;
    while (f->next_rec < f->delta->rec_count) {
        if (step_is_full(s)) {
            return ERR_AGAIN;
        }
        int err = append_rec(s, mvcc_delta_rec(f->delta, f->next_rec));
        if (err != 0) {
            return err;
        }
        f->next_rec++;
    }
    return 0;
}

static int lease_row(struct step *s, int64_t lease, int64_t main, uint64_t sub,
                     bool put)
{
    uint8_t row[MVCC_LEASE_KEY_SIZE];
    mvcc_lease_key_encode(lease, main, sub, row);
    MDB_val k = {sizeof row, row};
    MDB_val nothing = {0, NULL};
    MDB_dbi table = s->f->tables->lease_key;
    s->pages++;
    if (put) {
        return kvdb_err(mdb_put(s->txn, table, &k, &nothing, 0));
    }
    int rc = mdb_del(s->txn, table, &k, NULL);
    return rc == MDB_NOTFOUND ? 0 : kvdb_err(rc);
}

/* The row of the version that this delta's first one replaced. */
static int drop_old_lease(struct step *s, MDB_val row)
{
    struct mvcc_version v;
    int err = mvcc_index_row(s->index, row, INT64_MAX, &v);
    if (err != 0) {
        return err == ERR_NOT_FOUND ? 0 : err;
    }
    return v.lease && !v.tombstone ? lease_row(s, v.lease, v.main, v.sub, false)
                                   : 0;
}

static bool is_same_page(struct step *s, const uint8_t *place)
{
    const uint8_t *low = place < s->lowest ? place : s->lowest;
    const uint8_t *high = place > s->highest ? place : s->highest;
    if (s->lowest == NULL || high - low >= STEP_PAGE_SIZE) {
        return false;
    }
    s->lowest = low;
    s->highest = high;
    return true;
}

/* Rows of one page lie within a page's length of each other, in any order. */
static void note_page(struct step *s, const MDB_val *row, int64_t version)
{
    MDB_val k = *row;
    MDB_val v;
    if (mdb_cursor_get(s->index, &k, &v, MDB_GET_CURRENT) != 0) {
        s->pages++;
        return;
    }
    const uint8_t *place = k.mv_data;
    if (!is_same_page(s, place)) {
        s->pages++;
        s->lowest = s->highest = place;
    }
    if (version > INLINE_VERSIONS_MAX) {
        s->pages += 2;
    }
}

static int put_versions(struct step *s, MDB_val row, size_t count)
{
    while (count > 0) {
        struct mvcc_version version;
        uint8_t bytes[MVCC_VERSION_SIZE];
        mvcc_rec_version(s->chain[--count], &version);
        mvcc_version_encode(&version, bytes);
        MDB_val v = {sizeof bytes, bytes};
        int rc = mdb_cursor_put(s->index, &row, &v, 0);
        if (rc != 0) {
            return kvdb_err(rc);
        }
    }
    return 0;
}

static size_t collect_chain(struct step *s, struct mvcc_rec *newest)
{
    size_t count = 0;
    for (struct mvcc_rec *rec = newest; rec; rec = rec->prev) {
        if (count == s->chain_capacity) {
            s->chain_capacity = count ? count * 2 : 64;
            s->chain =
                mem_realloc(s->chain, s->chain_capacity * sizeof s->chain[0]);
        }
        s->chain[count++] = rec;
    }
    return count;
}

static int index_key(struct step *s, struct mvcc_rec *newest)
{
    struct mvcc_row_key row;
    struct slice key = mvcc_rec_key(newest);
    int err = mvcc_longkey_add(s->txn, s->f->tables->long_key, key, &row);
    size_t count = collect_chain(s, newest);
    if (err == 0 && s->chain[count - 1]->prev_leased) {
        err = drop_old_lease(s, row.val);
    }
    if (err == 0) {
        err = put_versions(s, row.val, count);
    }
    if (err == 0) {
        note_page(s, &row.val, newest->version);
        if (row.val.mv_size == MVCC_LONG_ROW_SIZE) {
            s->bytes += key.size;
        }
    }
    if (err == 0 && newest->lease && !newest->tombstone) {
        err = lease_row(s, newest->lease, newest->main, newest->sub, true);
    }
    return err;
}

static int index_keys(struct step *s)
{
    struct mvcc_flush_step *f = s->f;
    if (!f->in_index) {
        f->in_index = true;
        mvcc_tree_seek(&f->delta->tree, (struct slice){0}, &f->next_key);
    }
    struct mvcc_rec *newest;
    while ((newest = mvcc_tree_at(&f->next_key)) != NULL) {
        if (step_is_full(s)) {
            return ERR_AGAIN;
        }
        int err = index_key(s, newest);
        if (err != 0) {
            return err;
        }
        mvcc_tree_next(&f->next_key);
    }
    return 0;
}

int mvcc_flush_step(struct mvcc_flush_step *f, MDB_txn *txn)
{
    if (f->delta->rec_count == 0) {
        return 0;
    }
    if (f->steps++ >= mvcc_flush_limits.steps_max) {
        return ERR_CANCELED;
    }
    struct step s = {.f = f, .txn = txn};
    int err = kvdb_err(mdb_cursor_open(txn, f->tables->rev, &s.rev));
    if (err == 0) {
        err = kvdb_err(mdb_cursor_open(txn, f->tables->index, &s.index));
    }
    if (err == 0) {
        err = append_recs(&s);
    }
    if (err == 0) {
        err = index_keys(&s);
    }
    if (s.index) {
        mdb_cursor_close(s.index);
    }
    if (s.rev) {
        mdb_cursor_close(s.rev);
    }
    free(s.chain);
    f->index_pages += s.pages;
    /* A revision or a version that is there already. */
    return err == ERR_EXISTS ? ERR_CORRUPT : err;
}

/* ---- the loop's side ---- */

struct flush {
    struct kvdb_job job;
    struct mvcc *m;
    struct mvcc_flush_step step;
    struct mvcc_state state;
};

static int flush_run(struct kvdb_job *job, MDB_txn *txn)
{
    struct flush *f = container_of(job, struct flush, job);
    int err = mvcc_flush_step(&f->step, txn);
    if (err == 0) {
        err = mvcc_state_write(txn, f->step.tables, &f->state);
    }
    return err;
}

static void tell_waiters(struct list *waiters, int err)
{
    struct list now;
    list_init(&now);
    list_each(it, safe, waiters)
    {
        list_remove(it);
        list_append(&now, it);
    }
    list_each(it2, safe2, &now)
    {
        struct mvcc_waiter *w = container_of(it2, struct mvcc_waiter, link);
        list_remove(it2);
        if (w->done) {
            w->done(w->ctx, err);
        }
        free(w);
    }
}

/*
 * How large the next delta may grow. A page of the index is copied and
 * written once a flush, whatever the number of its records that change: where
 * keys are spread over many pages, a large delta halves the work of a put;
 * where they are not, it is memory for nothing. A small delta says little.
 */
static void learn_size(struct mvcc *m, const struct mvcc_flush_step *f)
{
    uint64_t min = m->flush_bytes_max / 2;
    if (f->delta->rec_count == 0 || f->delta->bytes < min / 2) {
        return;
    }
    uint64_t wanted = f->index_pages * RECORDS_PER_PAGE *
                      (f->delta->bytes / f->delta->rec_count);
    m->flush_bytes = wanted < min                  ? min
                     : wanted < m->flush_bytes_max ? wanted
                                                   : m->flush_bytes_max;
}

static void flush_done(struct kvdb_job *job, int err)
{
    struct flush *f = container_of(job, struct flush, job);
    struct mvcc *m = f->m;
    struct mvcc_state state = f->state;
    if (err == 0) {
        learn_size(m, &f->step);
    }
    free(f);
    if (err != 0) {
        /* The frozen delta stays readable; nothing will be durable. */
        m->flush_err = err;
        tell_waiters(&m->flush_running, err);
        tell_waiters(&m->flush_queued, err);
        return;
    }
    m->durable = state;
    if (m->last_delta == m->frozen) {
        m->last_count = 0;
    }
    struct mvcc_delta *frozen = m->frozen;
    m->frozen = NULL;
    mvcc_delta_discard(m, frozen);
    tell_waiters(&m->flush_running, 0);
    mvcc_flush_if_asked(m);
}

static void freeze(struct mvcc *m)
{
    m->flush_again = false;
    m->frozen = m->active;
    m->active = mvcc_delta_new();
    list_each(it, safe, &m->flush_queued)
    {
        list_remove(it);
        list_append(&m->flush_running, it);
    }
    struct flush *f = mem_zalloc(sizeof *f);
    *f = (struct flush){
        .job = {.run = flush_run, .done = flush_done, .staged = true},
        .m = m,
        .step = {.tables = &m->tables, .delta = m->frozen},
        .state = {m->applied_index + HAS_BUG(FLUSH_AHEAD), m->applied_term,
                  m->revision},
    };
    kvdb_submit(m->db, &f->job);
}

void mvcc_flush_if_asked(struct mvcc *m)
{
    if (m->flush_again && !m->in_txn && !m->frozen && !m->flush_err &&
        !atomic_load(&m->stopping)) {
        freeze(m);
    }
}

void mvcc_flush(struct mvcc *m, void (*done)(void *ctx, int err), void *ctx)
{
    if (m->flush_err || atomic_load(&m->stopping)) {
        if (done) {
            done(ctx, m->flush_err ? m->flush_err : ERR_CANCELED);
        }
        return;
    }
    struct mvcc_waiter *w = mem_alloc(sizeof *w);
    *w = (struct mvcc_waiter){.done = done, .ctx = ctx};
    list_append(&m->flush_queued, &w->link);
    m->flush_again = true;
    mvcc_flush_if_asked(m);
}

bool mvcc_wants_flush(const struct mvcc *m)
{
    return m->frozen == NULL && m->active->bytes >= m->flush_bytes;
}

uint64_t mvcc_durable_index(const struct mvcc *m)
{
    return m->durable.index;
}

uint64_t mvcc_durable_term(const struct mvcc *m)
{
    return m->durable.term;
}

struct discard {
    struct kvdb_job job;
    struct mvcc_delta *delta;
};

static int discard_run(struct kvdb_job *job, MDB_txn *txn)
{
    struct discard *d = container_of(job, struct discard, job);
    mvcc_delta_free(d->delta);
    d->delta = NULL;
    return 0;
}

static void discard_done(struct kvdb_job *job, int err)
{
    struct discard *d = container_of(job, struct discard, job);
    mvcc_delta_free(d->delta);
    free(d);
}

/* Tens of thousands of free() would be a pause on the loop. */
void mvcc_delta_discard(struct mvcc *m, struct mvcc_delta *delta)
{
    struct discard *d = mem_zalloc(sizeof *d);
    d->delta = delta;
    d->job = (struct kvdb_job){
        .run = discard_run, .done = discard_done, .reads = true};
    kvdb_submit(m->db, &d->job);
}
