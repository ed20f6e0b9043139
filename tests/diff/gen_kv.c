/* Calls of the KV service. */
#include "diff.h"

#define KV "/etcdserverpb.KV/"

static void odd_range(struct gen *g, Pb__RangeRequest *r)
{
    r->sort_order = (Pb__RangeRequest__SortOrder)gen_below(g, 3);
    r->sort_target = (Pb__RangeRequest__SortTarget)gen_below(g, 5);
    if (g->bulk) { /* ties of many keys have no order */
        r->sort_target = 0;
    }
    if (gen_chance(g, 8)) {
        r->sort_order = (Pb__RangeRequest__SortOrder)gen_number(g);
    }
    if (gen_chance(g, 8)) {
        r->sort_target = (Pb__RangeRequest__SortTarget)(5 + gen_below(g, 3));
    }
    if (gen_chance(g, 30)) {
        r->min_mod_revision = gen_revision(g);
    }
    if (gen_chance(g, 30)) {
        r->max_mod_revision = gen_revision(g);
    }
    if (gen_chance(g, 20)) {
        r->min_create_revision = gen_revision(g);
    }
    if (gen_chance(g, 20)) {
        r->max_create_revision = gen_revision(g);
    }
}

static Pb__RangeRequest *make_range(struct gen *g)
{
    Pb__RangeRequest *r = GEN_NEW(g, Pb__RangeRequest, PB__RANGE_REQUEST__INIT);
    r->key = gen_key(g);
    r->range_end = gen_end(g, r->key);
    if (gen_chance(g, 25)) {
        r->limit = gen_chance(g, 80) ? (int64_t)gen_below(g, 6) : gen_number(g);
    }
    if (gen_chance(g, 40)) {
        r->revision = gen_revision(g);
    }
    r->serializable = gen_chance(g, 40);
    r->keys_only = gen_chance(g, 15);
    r->count_only = gen_chance(g, 10);
    if (gen_chance(g, 25)) {
        odd_range(g, r);
    }
    return r;
}

static Pb__PutRequest *make_put(struct gen *g, bool distinct)
{
    Pb__PutRequest *p = GEN_NEW(g, Pb__PutRequest, PB__PUT_REQUEST__INIT);
    p->key = distinct ? gen_next_key(g) : gen_key(g);
    p->value = gen_value(g);
    if (gen_chance(g, 20)) {
        p->lease = gen_lease(g);
    }
    p->prev_kv = gen_chance(g, 25);
    if (gen_chance(g, 6)) {
        p->ignore_value = true;
        p->value.len = gen_chance(g, 80) ? 0 : p->value.len;
    }
    if (gen_chance(g, 6)) {
        p->ignore_lease = true;
        p->lease = gen_chance(g, 80) ? 0 : p->lease;
    }
    return p;
}

static Pb__DeleteRangeRequest *make_delete(struct gen *g, bool distinct)
{
    Pb__DeleteRangeRequest *d =
        GEN_NEW(g, Pb__DeleteRangeRequest, PB__DELETE_RANGE_REQUEST__INIT);
    d->key = distinct ? gen_next_key(g) : gen_key(g);
    if (gen_chance(g, distinct ? 5 : 30)) {
        d->range_end = gen_end(g, d->key);
    }
    d->prev_kv = gen_chance(g, 40);
    return d;
}

static void put_many(struct gen *g)
{
    for (int i = 0; i < 20; i++) {
        gen_add(g, STEP_CALL, KV "Put", make_put(g, false),
                &pb__put_response__descriptor);
        g->revisions++;
    }
}

static void compact(struct gen *g)
{
    Pb__CompactionRequest *c =
        GEN_NEW(g, Pb__CompactionRequest, PB__COMPACTION_REQUEST__INIT);
    c->revision =
        gen_chance(g, 60)
            ? MARK_REVISION + (int64_t)gen_below(g, (uint64_t)g->revisions + 1)
            : gen_revision(g);
    c->physical = gen_chance(g, 50);
    gen_sync_all(g);
    gen_add(g, STEP_CALL, KV "Compact", c,
            &pb__compaction_response__descriptor);
    if (c->revision > g->compacted) {
        g->compacted = c->revision;
    }
}

void gen_kv(struct gen *g)
{
    uint64_t dice = gen_below(g, 100);
    if (dice < 40) {
        gen_add(g, STEP_CALL, KV "Put", make_put(g, false),
                &pb__put_response__descriptor);
        g->revisions += gen_chance(g, 85);
    } else if (dice < 75) {
        gen_add(g, STEP_CALL, KV "Range", make_range(g),
                &pb__range_response__descriptor);
    } else if (dice < 82) {
        gen_add(g, STEP_CALL, KV "RangeStream", make_range(g),
                &pb__range_stream_response__descriptor);
    } else if (dice < 97) {
        gen_add(g, STEP_CALL, KV "DeleteRange", make_delete(g, false),
                &pb__delete_range_response__descriptor);
        g->revisions += gen_chance(g, 40);
    } else if (dice < 99) {
        compact(g);
    } else if (g->bulk) {
        put_many(g);
    }
}

/* ---- transactions ---- */

static Pb__Compare *make_compare(struct gen *g)
{
    Pb__Compare *c = GEN_NEW(g, Pb__Compare, PB__COMPARE__INIT);
    c->key = gen_key(g);
    if (gen_chance(g, 15)) {
        c->range_end = gen_end(g, c->key);
    }
    c->result = (Pb__Compare__CompareResult)gen_below(g, 4);
    c->target = (Pb__Compare__CompareTarget)gen_below(g, 5);
    if (gen_chance(g, 3)) {
        c->result = (Pb__Compare__CompareResult)(4 + gen_below(g, 3));
    }
    if (gen_chance(g, 3)) {
        c->target = (Pb__Compare__CompareTarget)(5 + gen_below(g, 3));
    }
    int kind = gen_chance(g, 90) ? (int)c->target : (int)gen_below(g, 6);
    switch (kind) {
    case 0:
        c->target_union_case = PB__COMPARE__TARGET_UNION_VERSION;
        c->version = gen_number(g);
        break;
    case 1:
        c->target_union_case = PB__COMPARE__TARGET_UNION_CREATE_REVISION;
        c->create_revision = gen_revision(g);
        break;
    case 2:
        c->target_union_case = PB__COMPARE__TARGET_UNION_MOD_REVISION;
        c->mod_revision = gen_revision(g);
        break;
    case 3:
        c->target_union_case = PB__COMPARE__TARGET_UNION_VALUE;
        c->value = gen_value(g);
        break;
    case 4:
        c->target_union_case = PB__COMPARE__TARGET_UNION_LEASE;
        c->lease = gen_lease(g);
        if (c->lease >= MARK_LEASE) { /* drawn ids have no order */
            c->result = c->result % 2 ? PB__COMPARE__COMPARE_RESULT__NOT_EQUAL
                                      : PB__COMPARE__COMPARE_RESULT__EQUAL;
        }
        break;
    default:
        break;
    }
    return c;
}

static Pb__TxnRequest *make_txn(struct gen *g, int depth, bool reads);

static Pb__RequestOp *make_op(struct gen *g, int depth, bool reads)
{
    Pb__RequestOp *op = GEN_NEW(g, Pb__RequestOp, PB__REQUEST_OP__INIT);
    bool distinct = gen_chance(g, 88);
    /* See keep_apart(): a sibling of a nested one may delete as well. */
    bool may_ignore = g->nesting <= 1;
    uint64_t dice = gen_below(g, 100);
    if (reads || dice < 30) {
        op->request_case = PB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        op->request_range = make_range(g);
        if (gen_chance(g, 85)) { /* or nearly every txn is refused */
            op->request_range->revision = 0;
            op->request_range->sort_order = 0;
            op->request_range->sort_target = 0;
        }
    } else if (dice < 70) {
        op->request_case = PB__REQUEST_OP__REQUEST_REQUEST_PUT;
        op->request_put = make_put(g, distinct);
        op->request_put->ignore_value &= may_ignore && gen_chance(g, 30);
        op->request_put->ignore_lease &= may_ignore && gen_chance(g, 30);
    } else if (dice < 88) {
        op->request_case = PB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        op->request_delete_range = make_delete(g, distinct);
    } else if (dice < 99 && depth > 0) {
        op->request_case = PB__REQUEST_OP__REQUEST_REQUEST_TXN;
        op->request_txn = make_txn(g, depth - 1, false);
    } else if (gen_chance(g, 90)) {
        op->request_case = PB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        op->request_delete_range = make_delete(g, distinct);
    }
    return op;
}

/* A put that is to keep what a delete of the same list took away ends an
 * etcd, again at each restart. */
static void keep_apart(Pb__RequestOp **ops, size_t n)
{
    bool deletes = false;
    for (size_t i = 0; i < n; i++) {
        deletes |= ops[i]->request_case ==
                       PB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE ||
                   ops[i]->request_case == PB__REQUEST_OP__REQUEST_REQUEST_TXN;
    }
    for (size_t i = 0; i < n && deletes; i++) {
        if (ops[i]->request_case == PB__REQUEST_OP__REQUEST_REQUEST_PUT) {
            ops[i]->request_put->ignore_value = false;
            ops[i]->request_put->ignore_lease = false;
        }
    }
}

static size_t make_ops(struct gen *g, int depth, bool reads, size_t n,
                       Pb__RequestOp ***ret_ops)
{
    *ret_ops = arena_alloc(&g->run->arena, (n + 1) * sizeof(void *));
    for (size_t i = 0; i < n; i++) {
        (*ret_ops)[i] = make_op(g, depth, reads);
    }
    keep_apart(*ret_ops, n);
    return n;
}

static Pb__TxnRequest *make_txn(struct gen *g, int depth, bool reads)
{
    Pb__TxnRequest *t = GEN_NEW(g, Pb__TxnRequest, PB__TXN_REQUEST__INIT);
    size_t n = gen_chance(g, 60) ? gen_below(g, 3) : gen_below(g, 5);
    bool many = gen_chance(g, 1);
    g->nesting++;
    t->compare = arena_alloc(&g->run->arena, 5 * sizeof(void *));
    for (t->n_compare = 0; t->n_compare < n; t->n_compare++) {
        t->compare[t->n_compare] = make_compare(g);
    }
    t->n_success =
        make_ops(g, depth, reads || many,
                 many ? 126 + gen_below(g, 5) : gen_below(g, 5), &t->success);
    t->n_failure =
        make_ops(g, depth, reads || many, gen_below(g, 4), &t->failure);
    g->nesting--;
    return t;
}

/* Nested to the limit and one past it. */
static Pb__TxnRequest *make_deep(struct gen *g)
{
    g->nesting++;
    Pb__TxnRequest *t = make_txn(g, 0, false);
    g->nesting--;
    for (uint64_t i = 0, n = 1 + gen_below(g, 40); i < n; i++) {
        Pb__RequestOp *op = GEN_NEW(g, Pb__RequestOp, PB__REQUEST_OP__INIT);
        op->request_case = PB__REQUEST_OP__REQUEST_REQUEST_TXN;
        op->request_txn = t;
        t = GEN_NEW(g, Pb__TxnRequest, PB__TXN_REQUEST__INIT);
        t->success = arena_alloc(&g->run->arena, sizeof(void *));
        t->success[0] = op;
        t->n_success = 1;
    }
    return t;
}

void gen_txn(struct gen *g)
{
    bool reads = gen_chance(g, 15);
    gen_add(g, STEP_CALL, KV "Txn",
            gen_chance(g, 2) ? make_deep(g)
                             : make_txn(g, (int)gen_below(g, 4), reads),
            &pb__txn_response__descriptor);
    g->revisions += gen_chance(g, 40);
}
