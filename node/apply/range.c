/* Range: look-up, filters, order, limit, encoded on the way. */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "state.h"

enum { NONE, ASCEND, DESCEND };
enum { BY_KEY, BY_VERSION, BY_CREATE, BY_MOD, BY_VALUE };

struct range_run {
    const struct proto_range *range;
    struct buf *body;
    bool index_only;
    bool filtered;
    int64_t sent;
    bool more;
    int err;
    /* collected, when the order is not the store's */
    bool collect;
    struct mvcc_kv *kvs;
    size_t count;
    size_t capacity;
};

void apply_range_of(const Pb__RangeRequest *from, struct proto_range *ret)
{
    *ret = (struct proto_range){
        .key = apply_slice(from->key),
        .end = apply_slice(from->range_end),
        .limit = from->limit,
        .revision = from->revision,
        .sort_order = (int32_t)from->sort_order,
        .sort_target = (int32_t)from->sort_target,
        .serializable = from->serializable,
        .keys_only = from->keys_only,
        .count_only = from->count_only,
        .min_mod_revision = from->min_mod_revision,
        .max_mod_revision = from->max_mod_revision,
        .min_create_revision = from->min_create_revision,
        .max_create_revision = from->max_create_revision,
    };
}

bool apply_range_filtered(const struct proto_range *r)
{
    return r->min_mod_revision || r->max_mod_revision ||
           r->min_create_revision || r->max_create_revision;
}

bool apply_range_index_only(const struct proto_range *r)
{
    return r->keys_only && r->sort_target != BY_VALUE;
}

bool apply_range_in_order(const struct proto_range *r)
{
    return r->sort_target == BY_KEY && r->sort_order != DESCEND;
}

/* Bounds are inclusive, 0 is off, negative ones are taken as they are. */
bool apply_range_passes(const struct proto_range *r, const struct mvcc_kv *kv)
{
    return (!r->max_mod_revision || kv->mod_revision <= r->max_mod_revision) &&
           (!r->min_mod_revision || kv->mod_revision >= r->min_mod_revision) &&
           (!r->max_create_revision ||
            kv->create_revision <= r->max_create_revision) &&
           (!r->min_create_revision ||
            kv->create_revision >= r->min_create_revision);
}

/* A KeyValue without its value: from the index alone, then without its
 * lease too, as the reference answers. */
static int add_key(struct buf *body, const struct mvcc_kv *kv, int64_t lease)
{
    size_t mark;
    int err = buf_reserve(body, kv->key.size + 8 * PROTO_VARINT_MAX);
    if (err) {
        return err;
    }
    err = proto_begin(body, 2, &mark);
    err = err ? err : proto_add_bytes(body, 1, kv->key);
    err = err ? err : proto_add_u64(body, 2, (uint64_t)kv->create_revision);
    err = err ? err : proto_add_u64(body, 3, (uint64_t)kv->mod_revision);
    err = err ? err : proto_add_u64(body, 4, (uint64_t)kv->version);
    err = err ? err : proto_add_u64(body, 6, (uint64_t)lease);
    return err ? err : proto_end(body, mark);
}

int apply_range_add(struct buf *body, const struct proto_range *r,
                    const struct mvcc_kv *kv)
{
    if (r->keys_only) {
        return add_key(body, kv, apply_range_index_only(r) ? 0 : kv->lease);
    }
    return proto_add_message(body, 2, kv->encoded);
}

static void keep(struct range_run *run, const struct mvcc_kv *kv)
{
    if (run->count == run->capacity) {
        run->capacity = run->capacity ? run->capacity * 2 : 64;
        run->kvs = mem_realloc(run->kvs, run->capacity * sizeof *run->kvs);
    }
    run->kvs[run->count++] = *kv;
}

static bool visit(void *ctx, const struct mvcc_kv *kv)
{
    struct range_run *run = ctx;
    const struct proto_range *r = run->range;
    if (run->filtered && !apply_range_passes(r, kv)) {
        return true;
    }
    if (run->collect) {
        keep(run, kv);
        return true;
    }
    if (r->limit > 0 && run->sent == r->limit) {
        run->more = true;
        return false;
    }
    run->err = apply_range_add(run->body, r, kv);
    run->sent++;
    return run->err == 0;
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

static int send_sorted(struct range_run *run)
{
    const struct proto_range *r = run->range;
    struct proto_range by = *r;
    qsort_r(run->kvs, run->count, sizeof *run->kvs, compare_kv, &by);
    if (r->limit > 0 && (uint64_t)r->limit < run->count) {
        run->count = (size_t)r->limit;
        run->more = true;
    }
    int err = 0;
    for (size_t i = 0; i < run->count && err == 0; i++) {
        err = apply_range_add(run->body, r, &run->kvs[i]);
    }
    return err;
}

/* The reference cuts at limit + 1 in key order before it sorts, unless an
 * order was asked for or a filter stands: a quirk that clients see. */
static int64_t fetch_limit(const struct range_run *run)
{
    const struct proto_range *r = run->range;
    bool default_order = r->sort_order == NONE ||
                         (r->sort_order == ASCEND && r->sort_target == BY_KEY);
    if (r->limit <= 0 || run->filtered || !default_order) {
        return 0;
    }
    return r->limit == INT64_MAX ? 0 : r->limit + 1;
}

static void plan(struct range_run *run)
{
    const struct proto_range *r = run->range;
    run->filtered = apply_range_filtered(r);
    run->index_only = apply_range_index_only(r);
    run->collect = !apply_range_in_order(r);
}

int apply_range(struct apply *a, const struct proto_range *range,
                struct buf *body)
{
    struct range_run run = {.range = range, .body = body};
    plan(&run);
    struct mvcc_range look = {
        .key = range->key,
        .end = range->end,
        .revision = range->revision,
        .limit = fetch_limit(&run),
        .keys_only = run.index_only,
        .count_only = range->count_only,
    };
    int64_t count = 0;
    int err = mvcc_range(a->mvcc, &look, range->count_only ? NULL : visit, &run,
                         &count);
    err = err ? err : run.err;
    if (err == 0 && run.collect && !range->count_only) {
        err = send_sorted(&run);
    }
    free(run.kvs);
    err = err ? err : proto_add_u64(body, 3, run.more);
    return err ? err : proto_add_u64(body, 4, (uint64_t)count);
}

/* Inside a Txn only 0 means "now"; any other is taken literally, so that a
 * negative one counts as compacted, but -1 where nothing ever was. */
int apply_check_range(struct apply *a, const struct proto_range *range)
{
    if (range->revision == 0) {
        return 0;
    }
    if (range->revision > mvcc_revision(a->mvcc)) {
        return ERR_FUTURE;
    }
    return range->revision < mvcc_compact_revision(a->mvcc) ? ERR_COMPACTED : 0;
}
