/*
 * A range is a merge by key of three ordered sources: the active delta, the
 * frozen one and LMDB. Where a key is in several, the newest source that
 * has a version at the revision decides; LMDB may already hold what the
 * frozen delta holds too.
 */
#include "base/err.h"
#include "private.h"

enum {
    SOURCE_ACTIVE,
    SOURCE_FROZEN,
    SOURCE_DELTA_COUNT,
};

struct merge {
    struct mvcc *m;
    int64_t revision;
    struct slice end; /* empty: no end */
    bool values;
    struct mvcc_tree_cursor delta[SOURCE_DELTA_COUNT];
    struct mvcc_index index;
    bool index_at_end;
    MDB_cursor *revs;  /* opened for the first value that is in LMDB */
    int64_t last_main; /* that it read */
};

static int merge_open(struct merge *g, struct mvcc *m, struct slice key)
{
    mvcc_tree_seek(&m->active->tree, key, &g->delta[SOURCE_ACTIVE]);
    if (m->frozen) {
        mvcc_tree_seek(&m->frozen->tree, key, &g->delta[SOURCE_FROZEN]);
    }
    int err = mvcc_index_open(kvdb_reader(m->db), m->tables.index,
                              m->tables.long_key, &g->index);
    if (err == 0) {
        err = mvcc_index_seek(&g->index, key);
        if (err == ERR_NOT_FOUND) {
            g->index_at_end = true;
            err = 0;
        }
    }
    return err;
}

static bool smallest_key(const struct merge *g, struct slice *ret_key)
{
    bool found = false;
    for (int i = 0; i < SOURCE_DELTA_COUNT; i++) {
        const struct mvcc_rec *rec = mvcc_tree_at(&g->delta[i]);
        if (rec) {
            struct slice key = mvcc_rec_key(rec);
            if (!found || slice_cmp(key, *ret_key) < 0) {
                *ret_key = key;
                found = true;
            }
        }
    }
    if (!g->index_at_end && (!found || slice_cmp(g->index.key, *ret_key) < 0)) {
        *ret_key = g->index.key;
        found = true;
    }
    return found && (g->end.size == 0 || slice_cmp(*ret_key, g->end) < 0);
}

static int index_step(struct merge *g)
{
    int err = mvcc_index_next(&g->index);
    if (err == ERR_NOT_FOUND) {
        g->index_at_end = true;
        err = 0;
    }
    return err;
}

/* Takes the key from each source that has it. *ret_rec is NULL when LMDB
 * decides; ERR_NOT_FOUND: the key does not exist at the revision. */
static int take(struct merge *g, struct slice key, struct mvcc_rec **ret_rec,
                struct mvcc_version *ret_version)
{
    struct mvcc_rec *rec = NULL;
    for (int i = 0; i < SOURCE_DELTA_COUNT; i++) {
        struct mvcc_rec *newest = mvcc_tree_at(&g->delta[i]);
        if (newest && slice_eq(mvcc_rec_key(newest), key)) {
            if (rec == NULL) {
                rec = mvcc_rec_at(newest, g->revision);
            }
            mvcc_tree_next(&g->delta[i]);
        }
    }
    int err = rec ? 0 : ERR_NOT_FOUND;
    if (!g->index_at_end && slice_eq(g->index.key, key)) {
        if (rec == NULL) {
            err = mvcc_index_at(&g->index, g->revision, ret_version);
        }
        int step_err = index_step(g);
        if (step_err != 0) {
            return step_err;
        }
    }
    if (rec) {
        mvcc_rec_version(rec, ret_version);
    }
    *ret_rec = rec;
    return err == 0 && ret_version->tombstone ? ERR_NOT_FOUND : err;
}

static int load(struct merge *g, const struct mvcc_version *v,
                struct mvcc_kv *ret_kv)
{
    if (g->revs == NULL) {
        int rc = mdb_cursor_open(g->index.txn, g->m->tables.rev, &g->revs);
        if (rc != 0) {
            return kvdb_err(rc);
        }
    }
    bool follows = g->last_main > 0 && v->main == g->last_main + 1;
    g->last_main = v->main;
    return mvcc_load_next(g->revs, v->main, v->sub, follows, ret_kv);
}

static void merge_close(struct merge *g)
{
    if (g->revs) {
        mdb_cursor_close(g->revs);
    }
    mvcc_index_close(&g->index);
}

static int describe(struct merge *g, struct slice key,
                    const struct mvcc_rec *rec, const struct mvcc_version *v,
                    struct mvcc_found *ret_found)
{
    mvcc_stat_of(v, &ret_found->stat);
    if (g->values) {
        return rec ? mvcc_rec_kv(rec, &ret_found->kv)
                   : load(g, v, &ret_found->kv);
    }
    ret_found->kv = (struct mvcc_kv){
        .key = key,
        .create_revision = v->create_revision,
        .mod_revision = v->main,
        .version = v->version,
        .lease = v->lease,
    };
    return 0;
}

struct scan {
    int64_t limit; /* INT64_MAX: all */
    bool counts;   /* all keys, also past the limit */
    bool (*visit)(void *ctx, const struct mvcc_found *found);
    bool (*skip)(void *ctx, struct slice key);
    void *ctx;
    void *skip_ctx;
    int64_t count;
};

static int run_merge(struct merge *g, struct scan *s)
{
    bool wanted = s->visit != NULL;
    struct slice key = {0};
    while (smallest_key(g, &key)) {
        struct mvcc_rec *rec;
        struct mvcc_version v;
        int err = take(g, key, &rec, &v);
        if (err == ERR_NOT_FOUND) {
            if (s->skip && !s->skip(s->skip_ctx, key)) {
                break;
            }
            continue;
        }
        if (err != 0) {
            return err;
        }
        wanted = wanted && s->count < s->limit;
        if (wanted) {
            struct mvcc_found found;
            err = describe(g, key, rec, &v, &found);
            if (err != 0) {
                return err;
            }
            wanted = s->visit(s->ctx, &found);
        }
        s->count++;
        if (!s->counts && (!wanted || s->count >= s->limit)) {
            break;
        }
    }
    return 0;
}

static int scan_one(struct mvcc *m, const struct mvcc_range *range,
                    int64_t revision, bool values, struct scan *s)
{
    struct mvcc_found found;
    int err;
    if (!values && revision == mvcc_view(m)) {
        err = mvcc_stat(m, range->key, &found.stat);
        if (err == 0) {
            found.kv = (struct mvcc_kv){
                .key = range->key,
                .create_revision = found.stat.create_revision,
                .mod_revision = found.stat.mod_revision,
                .version = found.stat.version,
                .lease = found.stat.lease,
            };
        }
    } else {
        err = mvcc_get_at(m, range->key, revision, &found.kv);
        if (err == 0) {
            found.stat = (struct mvcc_stat){
                .create_revision = found.kv.create_revision,
                .mod_revision = found.kv.mod_revision,
                .version = found.kv.version,
                .lease = found.kv.lease,
            };
            if (!values) {
                found.kv.value = found.kv.encoded = (struct slice){0};
            }
        }
    }
    if (err == 0) {
        s->count = 1;
        if (s->visit) {
            s->visit(s->ctx, &found);
        }
    }
    return err == ERR_KEY_NOT_FOUND ? 0 : err;
}

static int scan_many(struct mvcc *m, const struct mvcc_range *range,
                     int64_t revision, bool values, struct scan *s)
{
    bool open_end = range->end.size == 1 && range->end.data[0] == 0;
    struct merge g = {
        .m = m,
        .revision = revision,
        .end = open_end ? (struct slice){0} : range->end,
        .values = values,
    };
    int err = merge_open(&g, m, range->key);
    if (err == 0) {
        err = run_merge(&g, s);
    }
    merge_close(&g);
    return err;
}

static int scan(struct mvcc *m, const struct mvcc_range *range, bool values,
                bool (*visit)(void *ctx, const struct mvcc_found *found),
                void *ctx, void *skip_ctx, int64_t *ret_count)
{
    int64_t revision = range->revision > 0 ? range->revision : mvcc_view(m);
    int err = mvcc_check_revision(m, revision);
    if (err != 0) {
        return err;
    }
    struct scan s = {
        .limit = range->limit > 0 ? range->limit : INT64_MAX,
        .counts = ret_count != NULL,
        .visit = range->count_only ? NULL : visit,
        .skip = range->skip,
        .ctx = ctx,
        .skip_ctx = skip_ctx,
    };
    if (range->end.size == 0) {
        err = scan_one(m, range, revision, values, &s);
    } else {
        err = scan_many(m, range, revision, values, &s);
    }
    if (err == 0 && ret_count) {
        *ret_count = s.count;
    }
    return err;
}

int mvcc_scan(struct mvcc *m, const struct mvcc_range *range, bool values,
              bool (*visit)(void *ctx, const struct mvcc_found *found),
              void *ctx, int64_t *ret_count)
{
    return scan(m, range, values, visit, ctx, ctx, ret_count);
}

struct plain_visit {
    bool (*visit)(void *ctx, const struct mvcc_kv *kv);
    void *ctx;
};

static bool visit_kv(void *ctx, const struct mvcc_found *found)
{
    struct plain_visit *p = ctx;
    return p->visit(p->ctx, &found->kv);
}

int mvcc_range(struct mvcc *m, const struct mvcc_range *range,
               bool (*visit)(void *ctx, const struct mvcc_kv *kv), void *ctx,
               int64_t *ret_count)
{
    m->stats.range_total++;
    struct plain_visit p = {visit, ctx};
    return scan(m, range, !range->keys_only, visit ? visit_kv : NULL, &p, ctx,
                ret_count);
}
