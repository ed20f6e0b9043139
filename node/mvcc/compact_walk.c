#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "compact.h"

enum {
    BATCH_ENTRIES = 16384,
    BATCH_KEY_BYTES = 2 << 20,
    /* A page counts twice: before and after it is copied for writing. */
    STEP_PAGES_MAX = 4096,
    STEP_DELETIONS_MAX = 10000,
    PAGE_SIZE_ASSUMED = 4096,
};

struct step {
    struct mvcc_compact_walk *w;
    MDB_txn *txn;
    MDB_cursor *rev;
    MDB_cursor *index;
    const uint8_t *last_place;
    int pages; /* touched */
    int deletions;
};

void mvcc_compact_walk_init(struct mvcc_compact_walk *w,
                            const struct mvcc_tables *tables, int64_t from,
                            int64_t revision)
{
    *w = (struct mvcc_compact_walk){
        .tables = tables,
        .revision = revision,
        .next = {from < 0 ? 0 : from, 0},
    };
    arena_init(&w->keys);
}

void mvcc_compact_walk_release(struct mvcc_compact_walk *w)
{
    if (w->tables) {
        arena_release(&w->keys);
    }
    free(w->entries);
    free(w->gone);
    *w = (struct mvcc_compact_walk){0};
}

static int compare_revs(struct mvcc_compact_rev a, struct mvcc_compact_rev b)
{
    if (a.main != b.main) {
        return a.main < b.main ? -1 : 1;
    }
    return a.sub < b.sub ? -1 : a.sub > b.sub;
}

static int compare_entries(const void *a, const void *b)
{
    const struct mvcc_compact_entry *x = a;
    const struct mvcc_compact_entry *y = b;
    int c = slice_cmp(x->key, y->key);
    return c ? c : compare_revs(x->rev, y->rev);
}

static int compare_gone(const void *a, const void *b)
{
    return compare_revs(*(const struct mvcc_compact_rev *)a,
                        *(const struct mvcc_compact_rev *)b);
}

static void add_gone(struct mvcc_compact_walk *w, int64_t main, uint64_t sub)
{
    if (w->gone_count == w->gone_capacity) {
        w->gone_capacity = w->gone_capacity ? w->gone_capacity * 2 : 1024;
        w->gone = mem_realloc(w->gone, w->gone_capacity * sizeof w->gone[0]);
    }
    w->gone[w->gone_count++] = (struct mvcc_compact_rev){main, sub};
}

/* Adds a record to the batch; ERR_NOT_FOUND past the last one. */
static int read_record(struct mvcc_compact_walk *w, MDB_val rev, MDB_val row)
{
    const uint8_t *p = rev.mv_data;
    struct mvcc_compact_rev at = {(int64_t)get_be64(p), get_be64(p + 8)};
    if (at.main > w->revision) {
        return ERR_NOT_FOUND;
    }
    bool tombstone;
    struct slice encoded;
    struct mvcc_kv kv;
    int err = mvcc_row_decode(slice_of(rev.mv_data, rev.mv_size),
                              slice_of(row.mv_data, row.mv_size), &tombstone,
                              &encoded);
    if (err == 0) {
        err = mvcc_record_decode(encoded, &kv);
    }
    if (err != 0) {
        return err;
    }
    w->next = (struct mvcc_compact_rev){at.main, at.sub + 1};
    if (kv.key.size) {
        w->entries[w->entry_count++] =
            (struct mvcc_compact_entry){arena_slice(&w->keys, kv.key), at};
    }
    return 0;
}

static int read_batch(struct step *s)
{
    struct mvcc_compact_walk *w = s->w;
    if (w->entries == NULL) {
        w->entries = mem_alloc(BATCH_ENTRIES * sizeof w->entries[0]);
    }
    arena_reset(&w->keys);
    w->entry_count = w->entry_pos = 0;
    w->gone_count = w->gone_pos = 0;
    w->gone_sorted = false;
    uint8_t at[MVCC_REV_SIZE];
    mvcc_rev_encode(w->next.main, w->next.sub, at);
    MDB_val k = {sizeof at, at};
    MDB_val v;
    int err = 0;
    int rc = mdb_cursor_get(s->rev, &k, &v, MDB_SET_RANGE);
    while (rc == 0 && w->entry_count < BATCH_ENTRIES &&
           w->keys.used < BATCH_KEY_BYTES) {
        err = read_record(w, k, v);
        if (err != 0) {
            break;
        }
        rc = mdb_cursor_get(s->rev, &k, &v, MDB_NEXT);
    }
    w->read_all = rc == MDB_NOTFOUND || err == ERR_NOT_FOUND;
    if (err == 0 && rc != MDB_NOTFOUND) {
        err = kvdb_err(rc);
    }
    qsort(w->entries, w->entry_count, sizeof w->entries[0], compare_entries);
    return err == ERR_NOT_FOUND ? 0 : err;
}

static void note_page(struct step *s, const void *place)
{
    const uint8_t *p = place;
    if (s->last_place == NULL || p < s->last_place ||
        p >= s->last_place + PAGE_SIZE_ASSUMED) {
        s->pages++;
        s->last_place = p;
    }
    s->deletions++;
}

static bool step_is_full(const struct step *s)
{
    return s->pages >= STEP_PAGES_MAX || s->deletions >= STEP_DELETIONS_MAX;
}

/* The records of one key in the batch, matched against its versions: a
 * record that no version is for is what a crash has left. */
struct match {
    const struct mvcc_compact_entry *next;
    const struct mvcc_compact_entry *end;
};

static void match_up_to(struct mvcc_compact_walk *w, struct match *t,
                        struct mvcc_compact_rev rev)
{
    while (t->next < t->end) {
        int c = compare_revs(t->next->rev, rev);
        if (c > 0) {
            return;
        }
        if (c < 0) {
            add_gone(w, t->next->rev.main, t->next->rev.sub);
        }
        t->next++;
    }
}

static void match_none(struct mvcc_compact_walk *w, struct match *t)
{
    for (; t->next < t->end; t->next++) {
        add_gone(w, t->next->rev.main, t->next->rev.sub);
    }
}

/* Deletes the versions of a key, oldest first, up to its newest in this
 * batch but not the one that is kept. */
static int delete_versions(struct step *s, const struct mvcc_row_key *row,
                           struct match *t, const struct mvcc_compact_rev *kept)
{
    struct mvcc_compact_rev last = t->end[-1].rev;
    for (;;) {
        MDB_val k = row->val;
        MDB_val d;
        struct mvcc_version v;
        int rc = mdb_cursor_get(s->index, &k, &d, MDB_SET_KEY);
        if (rc == MDB_NOTFOUND) {
            return mvcc_longkey_drop(s->txn, s->w->tables->long_key, row);
        }
        int err = rc ? kvdb_err(rc)
                     : mvcc_version_decode(slice_of(d.mv_data, d.mv_size), &v);
        if (err != 0) {
            return err;
        }
        struct mvcc_compact_rev at = {v.main, v.sub};
        if (compare_revs(at, last) > 0) {
            return 0;
        }
        match_up_to(s->w, t, at);
        if (kept && compare_revs(at, *kept) == 0) {
            return 0;
        }
        note_page(s, k.mv_data);
        rc = mdb_cursor_del(s->index, 0);
        if (rc != 0) {
            return kvdb_err(rc);
        }
        add_gone(s->w, v.main, v.sub);
    }
}

static int index_key(struct step *s, size_t first, size_t end)
{
    struct mvcc_compact_walk *w = s->w;
    struct match t = {w->entries + first, w->entries + end};
    struct mvcc_row_key row;
    struct mvcc_version kept;
    int err = mvcc_longkey_find(s->txn, w->tables->long_key, t.next->key, &row);
    if (err == 0) {
        err = mvcc_index_row(s->index, row.val, w->revision, &kept);
    }
    if (err == 0) {
        bool drop = kept.tombstone && kept.main < w->revision;
        struct mvcc_compact_rev rev = {kept.main, kept.sub};
        err = delete_versions(s, &row, &t, drop ? NULL : &rev);
    }
    if (err == 0 || err == ERR_NOT_FOUND) {
        match_none(w, &t);
        err = 0;
    }
    return err;
}

static int index_batch(struct step *s)
{
    struct mvcc_compact_walk *w = s->w;
    while (w->entry_pos < w->entry_count) {
        if (step_is_full(s)) {
            return ERR_AGAIN;
        }
        size_t end = w->entry_pos + 1;
        while (end < w->entry_count &&
               slice_eq(w->entries[end].key, w->entries[w->entry_pos].key)) {
            end++;
        }
        int err = index_key(s, w->entry_pos, end);
        if (err != 0) {
            return err;
        }
        w->entry_pos = end;
    }
    return 0;
}

static int delete_record(struct step *s, struct mvcc_compact_rev rev)
{
    uint8_t bytes[MVCC_REV_SIZE];
    mvcc_rev_encode(rev.main, rev.sub, bytes);
    MDB_val k = {sizeof bytes, bytes};
    MDB_val v;
    int rc = mdb_cursor_get(s->rev, &k, &v, MDB_SET_KEY);
    if (rc == MDB_NOTFOUND) {
        return 0; /* the same record twice in the list */
    }
    if (rc == 0) {
        note_page(s, k.mv_data);
        rc = mdb_cursor_del(s->rev, 0);
        s->w->deleted++;
    }
    return kvdb_err(rc);
}

static int delete_records(struct step *s)
{
    struct mvcc_compact_walk *w = s->w;
    if (!w->gone_sorted && w->gone_count) {
        qsort(w->gone, w->gone_count, sizeof w->gone[0], compare_gone);
        w->gone_sorted = true;
    }
    while (w->gone_pos < w->gone_count) {
        if (step_is_full(s)) {
            return ERR_AGAIN;
        }
        int err = delete_record(s, w->gone[w->gone_pos]);
        if (err != 0) {
            return err;
        }
        w->gone_pos++;
    }
    return 0;
}

static int run(struct step *s)
{
    struct mvcc_compact_walk *w = s->w;
    for (;;) {
        int err = index_batch(s);
        if (err == 0) {
            err = delete_records(s);
        }
        if (err != 0 || w->read_all) {
            return err;
        }
        err = read_batch(s);
        if (err != 0) {
            return err;
        }
    }
}

int mvcc_compact_step(struct mvcc_compact_walk *w, MDB_txn *txn)
{
    struct step s = {.w = w, .txn = txn};
    int err = kvdb_err(mdb_cursor_open(txn, w->tables->rev, &s.rev));
    if (err == 0) {
        err = kvdb_err(mdb_cursor_open(txn, w->tables->index, &s.index));
    }
    if (err == 0) {
        err = run(&s);
    }
    if (s.index) {
        mdb_cursor_close(s.index);
    }
    if (s.rev) {
        mdb_cursor_close(s.rev);
    }
    return err;
}
