/* Txns as C expressions, and their answers as text. */
#ifndef TESTS_UNIT_APPLY_TXNS_H
#define TESTS_UNIT_APPLY_TXNS_H

#include "base/arena.h"
#include "fixture.h"

static struct arena tx_arena;

enum { EQ, GT, LT, NE };
enum { VERSION, CREATE, MOD, VALUE, LEASE };

static inline Pb__Compare *tx_new_cmp(int target, const char *key, int result)
{
    Pb__Compare *c = arena_alloc(&tx_arena, sizeof *c);
    pb__compare__init(c);
    c->target = (Pb__Compare__CompareTarget)target;
    c->result = (Pb__Compare__CompareResult)result;
    c->key = fx_data(key);
    return c;
}

static inline Pb__Compare *cmp(int target, const char *key, int result,
                               int64_t number)
{
    static const int kinds[] = {PB__COMPARE__TARGET_UNION_VERSION,
                                PB__COMPARE__TARGET_UNION_CREATE_REVISION,
                                PB__COMPARE__TARGET_UNION_MOD_REVISION, 0,
                                PB__COMPARE__TARGET_UNION_LEASE};
    Pb__Compare *c = tx_new_cmp(target, key, result);
    c->target_union_case =
        (Pb__Compare__TargetUnionCase)(target >= 0 && target <= LEASE
                                           ? kinds[target]
                                           : PB__COMPARE__TARGET_UNION_VERSION);
    c->version = number; /* one place for all of the union */
    return c;
}

static inline Pb__Compare *cmp_value(const char *key, int result,
                                     const char *value)
{
    Pb__Compare *c = tx_new_cmp(VALUE, key, result);
    c->target_union_case = PB__COMPARE__TARGET_UNION_VALUE;
    c->value = fx_data(value);
    return c;
}

static inline Pb__Compare *cmp_to(Pb__Compare *c, const char *end)
{
    c->range_end = fx_end(end);
    return c;
}

static inline Pb__RequestOp *tx_op(int kind)
{
    Pb__RequestOp *op = arena_alloc(&tx_arena, sizeof *op);
    pb__request_op__init(op);
    op->request_case = (Pb__RequestOp__RequestCase)kind;
    return op;
}

static inline Pb__RequestOp *put(const char *key, const char *value)
{
    Pb__RequestOp *op = tx_op(PB__REQUEST_OP__REQUEST_REQUEST_PUT);
    op->request_put = arena_alloc(&tx_arena, sizeof *op->request_put);
    pb__put_request__init(op->request_put);
    op->request_put->key = fx_data(key);
    op->request_put->value = fx_data(value);
    return op;
}

static inline Pb__RequestOp *put_lease(const char *key, int64_t lease)
{
    Pb__RequestOp *op = put(key, "");
    op->request_put->lease = lease;
    return op;
}

static inline Pb__RequestOp *put_same(const char *key)
{
    Pb__RequestOp *op = put(key, "");
    op->request_put->ignore_value = true;
    op->request_put->prev_kv = true;
    return op;
}

static inline Pb__RequestOp *get(const char *key, const char *end,
                                 int64_t revision)
{
    Pb__RequestOp *op = tx_op(PB__REQUEST_OP__REQUEST_REQUEST_RANGE);
    op->request_range = arena_alloc(&tx_arena, sizeof *op->request_range);
    pb__range_request__init(op->request_range);
    op->request_range->key = fx_data(key);
    op->request_range->range_end = fx_end(end);
    op->request_range->revision = revision;
    return op;
}

static inline Pb__RequestOp *del(const char *key, const char *end)
{
    Pb__RequestOp *op = tx_op(PB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE);
    op->request_delete_range =
        arena_alloc(&tx_arena, sizeof *op->request_delete_range);
    pb__delete_range_request__init(op->request_delete_range);
    op->request_delete_range->key = fx_data(key);
    op->request_delete_range->range_end = fx_end(end);
    return op;
}

static inline Pb__RequestOp *nested(Pb__TxnRequest *txn)
{
    Pb__RequestOp *op = tx_op(PB__REQUEST_OP__REQUEST_REQUEST_TXN);
    op->request_txn = txn;
    return op;
}

static inline size_t tx_count(void *const *list)
{
    size_t n = 0;
    while (list[n]) {
        n++;
    }
    return n;
}

static inline Pb__TxnRequest *
tx_make(Pb__Compare **compare, Pb__RequestOp **success, Pb__RequestOp **failure)
{
    Pb__TxnRequest *t = arena_alloc(&tx_arena, sizeof *t);
    pb__txn_request__init(t);
    t->n_compare = tx_count((void *const *)compare);
    t->n_success = tx_count((void *const *)success);
    t->n_failure = tx_count((void *const *)failure);
    t->compare =
        arena_dup(&tx_arena, compare, (t->n_compare + 1) * sizeof *compare);
    t->success =
        arena_dup(&tx_arena, success, (t->n_success + 1) * sizeof *success);
    t->failure =
        arena_dup(&tx_arena, failure, (t->n_failure + 1) * sizeof *failure);
    return t;
}

#define IF(...) ((Pb__Compare *[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define DO(...) ((Pb__RequestOp *[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define TXN(compare, success, failure) tx_make(compare, success, failure)

static inline void tx_print(struct buf *b, const Pb__TxnResponse *r);

static inline long long tx_revision(const Pb__ResponseHeader *h)
{
    if (!h) {
        return -1;
    }
    assert_true(h->cluster_id == 0 && h->member_id == 0 && h->raft_term == 0);
    return h->revision;
}

static inline void tx_print_op(struct buf *b, const Pb__ResponseOp *op)
{
    switch (op->response_case) {
    case PB__RESPONSE_OP__RESPONSE_RESPONSE_PUT:
        buf_printf(b, "put@%lld", tx_revision(op->response_put->header));
        if (op->response_put->prev_kv) {
            buf_append_str(b, " prev ");
            fx_print_kv(b, op->response_put->prev_kv);
        }
        break;
    case PB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE:
        buf_printf(b, "get@%lld ", tx_revision(op->response_range->header));
        fx_print_range(b, op->response_range);
        break;
    case PB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE:
        buf_printf(b, "del@%lld %lld",
                   tx_revision(op->response_delete_range->header),
                   (long long)op->response_delete_range->deleted);
        break;
    case PB__RESPONSE_OP__RESPONSE_RESPONSE_TXN:
        assert_int_equal(tx_revision(op->response_txn->header), 0);
        buf_append_str(b, "(");
        tx_print(b, op->response_txn);
        buf_append_str(b, ")");
        break;
    default:
        buf_append_str(b, "?");
    }
}

static inline void tx_print(struct buf *b, const Pb__TxnResponse *r)
{
    buf_append_str(b, r->succeeded ? "yes" : "no");
    for (size_t i = 0; i < r->n_responses; i++) {
        buf_append_str(b, "; ");
        tx_print_op(b, r->responses[i]);
    }
}

static inline const char *tx_answer(struct slice body)
{
    struct buf text = BUF_INIT(1 << 20);
    Pb__TxnResponse *r = pb__txn_response__unpack(
        NULL, body.size, body.data ? body.data : (const uint8_t *)"");
    assert_non_null(r);
    tx_print(&text, r);
    pb__txn_response__free_unpacked(r, NULL);
    return fx_text(&text);
}

/* The answer, or the error's name. */
static inline const char *tx_run(struct fixture *f, Pb__TxnRequest *txn)
{
    Pb__InternalRaftRequest r = PB__INTERNAL_RAFT_REQUEST__INIT;
    r.txn = txn;
    int err = fx_run(f, &r);
    return err ? err_name(err) : tx_answer(buf_slice(&f->out.body));
}

#endif
