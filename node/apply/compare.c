/* The guards of a Txn, over the state before it. */
#include "base/err.h"
#include "state.h"

struct compare_run {
    const Pb__Compare *compare;
    bool any;
    bool holds;
};

static int64_t wanted_number(const Pb__Compare *c)
{
    /* A value of another kind than the target counts as 0. */
    switch (c->target) {
    case PB__COMPARE__COMPARE_TARGET__VERSION:
        return c->target_union_case == PB__COMPARE__TARGET_UNION_VERSION
                   ? c->version
                   : 0;
    case PB__COMPARE__COMPARE_TARGET__CREATE:
        return c->target_union_case == PB__COMPARE__TARGET_UNION_CREATE_REVISION
                   ? c->create_revision
                   : 0;
    case PB__COMPARE__COMPARE_TARGET__MOD:
        return c->target_union_case == PB__COMPARE__TARGET_UNION_MOD_REVISION
                   ? c->mod_revision
                   : 0;
    case PB__COMPARE__COMPARE_TARGET__LEASE:
        return c->target_union_case == PB__COMPARE__TARGET_UNION_LEASE
                   ? c->lease
                   : 0;
    default:
        return 0;
    }
}

static int64_t found_number(const Pb__Compare *c, const struct mvcc_kv *kv)
{
    switch (c->target) {
    case PB__COMPARE__COMPARE_TARGET__VERSION:
        return kv->version;
    case PB__COMPARE__COMPARE_TARGET__CREATE:
        return kv->create_revision;
    case PB__COMPARE__COMPARE_TARGET__MOD:
        return kv->mod_revision;
    case PB__COMPARE__COMPARE_TARGET__LEASE:
        return kv->lease;
    default:
        return 0;
    }
}

static bool holds(const Pb__Compare *c, const struct mvcc_kv *kv)
{
    int order;
    if (c->target == PB__COMPARE__COMPARE_TARGET__VALUE) {
        struct slice want = {NULL, 0};
        if (c->target_union_case == PB__COMPARE__TARGET_UNION_VALUE) {
            want = apply_slice(c->value);
        }
        order = slice_cmp(kv->value, want);
    } else {
        int64_t found = found_number(c, kv), want = wanted_number(c);
        order = found < want ? -1 : found > want;
    }
    switch (c->result) {
    case PB__COMPARE__COMPARE_RESULT__EQUAL:
        return order == 0;
    case PB__COMPARE__COMPARE_RESULT__GREATER:
        return order > 0;
    case PB__COMPARE__COMPARE_RESULT__LESS:
        return order < 0;
    case PB__COMPARE__COMPARE_RESULT__NOT_EQUAL:
        return order != 0;
    default:
        return true;
    }
}

static bool visit(void *ctx, const struct mvcc_kv *kv)
{
    struct compare_run *run = ctx;
    run->any = true;
    run->holds = holds(run->compare, kv);
    return run->holds;
}

/* Lease and value are in the record, the rest in the index. */
static bool needs_record(const Pb__Compare *c)
{
    return c->target == PB__COMPARE__COMPARE_TARGET__VALUE ||
           c->target == PB__COMPARE__COMPARE_TARGET__LEASE;
}

static int compare_one(struct apply *a, const Pb__Compare *c, bool *ret)
{
    struct compare_run run = {.compare = c, .holds = true};
    struct mvcc_range look = {
        .key = apply_slice(c->key),
        .end = apply_slice(c->range_end),
        .keys_only = !needs_record(c),
    };
    int err = mvcc_range(a->mvcc, &look, visit, &run, NULL);
    if (err) {
        return err;
    }
    if (!run.any) {
        struct mvcc_kv absent = {0};
        run.holds = c->target != PB__COMPARE__COMPARE_TARGET__VALUE &&
                    holds(c, &absent);
    }
    *ret = run.holds;
    return 0;
}

int apply_compares(struct apply *a, const Pb__TxnRequest *txn, bool *ret_holds)
{
    bool all = true;
    for (size_t i = 0; i < txn->n_compare && all; i++) {
        int err = compare_one(a, txn->compare[i], &all);
        if (err) {
            return err;
        }
    }
    *ret_holds = all;
    return 0;
}
