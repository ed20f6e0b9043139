/* Ranges in another order than the store's: collected, sorted, cut. */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "state.h"

enum { NONE, ASCEND, DESCEND };
enum { BY_KEY, BY_VERSION, BY_CREATE, BY_MOD, BY_VALUE };

struct collection {
    const struct proto_range *range;
    bool filtered;
    struct arena keys; /* what the index alone gives does not stay */
    bool copies_keys;
    struct mvcc_kv *kvs;
    size_t count;
    size_t capacity;
};

bool apply_range_is_sorted(const struct proto_range *r)
{
    return r->sort_target != BY_KEY || r->sort_order == DESCEND;
}

static bool keep(void *ctx, const struct mvcc_kv *kv)
{
    struct collection *c = ctx;
    if (c->filtered && !apply_range_passes(c->range, kv)) {
        return true;
    }
    if (c->count == c->capacity) {
        c->capacity = c->capacity ? c->capacity * 2 : 64;
        c->kvs = mem_realloc(c->kvs, c->capacity * sizeof *c->kvs);
    }
    c->kvs[c->count] = *kv;
    if (c->copies_keys) {
        c->kvs[c->count].key = arena_slice(&c->keys, kv->key);
    }
    c->count++;
    return true;
}

static int compare_i64(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_kv(const void *x, const void *y, void *ctx)
{
    const struct mvcc_kv *a = x, *b = y;
    const struct proto_range *r = ctx;
    int c;
    switch (r->sort_target) {
    case BY_VERSION:
        c = compare_i64(a->version, b->version);
        break;
    case BY_CREATE:
        c = compare_i64(a->create_revision, b->create_revision);
        break;
    case BY_MOD:
        c = compare_i64(a->mod_revision, b->mod_revision);
        break;
    case BY_VALUE:
        c = slice_cmp(a->value, b->value);
        break;
    default:
        c = slice_cmp(a->key, b->key);
        break;
    }
    return r->sort_order == DESCEND ? -c : c;
}

/* The reference cuts at limit + 1 in key order before it sorts, unless an
 * order was asked for or a filter stands: a quirk that clients see. */
static int64_t fetch_limit(const struct proto_range *r, bool filtered)
{
    if (r->limit <= 0 || r->limit == INT64_MAX || filtered ||
        r->sort_order != NONE) {
        return 0;
    }
    return r->limit + 1;
}

static int send(struct collection *c, struct apply_range_job *job,
                struct buf *body)
{
    struct proto_range by = job->range;
    if (c->count) {
        qsort_r(c->kvs, c->count, sizeof *c->kvs, compare_kv, &by);
    }
    if (by.limit > 0 && (uint64_t)by.limit < c->count) {
        c->count = (size_t)by.limit;
        job->more = true;
    }
    int err = 0;
    for (size_t i = 0; i < c->count && err == 0; i++) {
        err = apply_range_add(&by, &c->kvs[i], body);
    }
    return err;
}

int apply_range_sorted(struct apply *a, struct apply_range_job *job,
                       struct buf *body)
{
    const struct proto_range *r = &job->range;
    bool index_only = apply_range_is_index_only(r);
    struct collection c = {
        .range = r,
        .filtered = apply_range_is_filtered(r),
        .copies_keys = index_only,
    };
    arena_init(&c.keys);
    struct mvcc_range look = {
        .key = r->key,
        .end = r->end,
        .revision = r->revision,
        .limit = fetch_limit(r, c.filtered),
        .keys_only = index_only,
    };
    int err = mvcc_range(a->mvcc, &look, keep, &c, &job->count);
    err = err ? err : send(&c, job, body);
    free(c.kvs);
    arena_release(&c.keys);
    return err;
}
