#include <stdlib.h>

#include "base/mem.h"
#include "client.h"

/* Pointer arrays grow by doubling; the arena keeps the old ones until the
 * end, which a transaction's few operations can afford. */
struct pointers {
    void **items;
    size_t count;
    size_t capacity;
};

struct cofre_txn {
    struct arena arena;
    struct pointers compares;
    struct pointers branches[2]; /* by on_success */
};

static void add(struct cofre_txn *t, struct pointers *p, void *item)
{
    if (p->count == p->capacity) {
        size_t capacity = p->capacity ? p->capacity * 2 : 8;
        void **items = arena_alloc(&t->arena, capacity * sizeof *items);
        if (p->count > 0) {
            memcpy(items, p->items, p->count * sizeof *items);
        }
        p->items = items;
        p->capacity = capacity;
    }
    p->items[p->count++] = item;
}

static ProtobufCBinaryData keep(struct cofre_txn *t, struct cofre_bytes b)
{
    return (ProtobufCBinaryData){
        .len = b.size,
        .data = b.size ? arena_dup(&t->arena, b.data, b.size) : NULL,
    };
}

struct cofre_txn *cofre_txn_new(void)
{
    struct cofre_txn *t = mem_zalloc(sizeof *t);
    arena_init(&t->arena);
    return t;
}

void cofre_txn_free(struct cofre_txn *t)
{
    if (t) {
        arena_release(&t->arena);
        free(t);
    }
}

static Pb__Compare *compare(struct cofre_txn *t, struct cofre_bytes key,
                            enum cofre_target target, enum cofre_compare op)
{
    Pb__Compare *m = arena_alloc(&t->arena, sizeof *m);
    pb__compare__init(m);
    m->key = keep(t, key);
    m->target = (Pb__Compare__CompareTarget)target;
    m->result = (Pb__Compare__CompareResult)op;
    add(t, &t->compares, m);
    return m;
}

void cofre_txn_if_number(struct cofre_txn *t, struct cofre_bytes key,
                         enum cofre_target target, enum cofre_compare op,
                         int64_t number)
{
    Pb__Compare *m = compare(t, key, target, op);
    switch (target) {
    case COFRE_TARGET_CREATE_REVISION:
        m->target_union_case = PB__COMPARE__TARGET_UNION_CREATE_REVISION;
        m->create_revision = number;
        break;
    case COFRE_TARGET_MOD_REVISION:
        m->target_union_case = PB__COMPARE__TARGET_UNION_MOD_REVISION;
        m->mod_revision = number;
        break;
    case COFRE_TARGET_LEASE:
        m->target_union_case = PB__COMPARE__TARGET_UNION_LEASE;
        m->lease = number;
        break;
    case COFRE_TARGET_VERSION:
    case COFRE_TARGET_VALUE: /* a value is bytes: cofre_txn_if_value() */
        m->target_union_case = PB__COMPARE__TARGET_UNION_VERSION;
        m->version = number;
        break;
    }
}

void cofre_txn_if_value(struct cofre_txn *t, struct cofre_bytes key,
                        enum cofre_compare op, struct cofre_bytes value)
{
    Pb__Compare *m = compare(t, key, COFRE_TARGET_VALUE, op);
    m->target_union_case = PB__COMPARE__TARGET_UNION_VALUE;
    m->value = keep(t, value);
}

static Pb__RequestOp *operation(struct cofre_txn *t, bool on_success)
{
    Pb__RequestOp *op = arena_alloc(&t->arena, sizeof *op);
    pb__request_op__init(op);
    add(t, &t->branches[on_success], op);
    return op;
}

void cofre_txn_put(struct cofre_txn *t, bool on_success, struct cofre_bytes key,
                   struct cofre_bytes value, int64_t lease)
{
    Pb__RequestOp *op = operation(t, on_success);
    op->request_case = PB__REQUEST_OP__REQUEST_REQUEST_PUT;
    op->request_put = arena_alloc(&t->arena, sizeof *op->request_put);
    pb__put_request__init(op->request_put);
    op->request_put->key = keep(t, key);
    op->request_put->value = keep(t, value);
    op->request_put->lease = lease;
}

void cofre_txn_delete(struct cofre_txn *t, bool on_success,
                      struct cofre_bytes key, struct cofre_bytes range_end)
{
    Pb__RequestOp *op = operation(t, on_success);
    op->request_case = PB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
    op->request_delete_range =
        arena_alloc(&t->arena, sizeof *op->request_delete_range);
    pb__delete_range_request__init(op->request_delete_range);
    op->request_delete_range->key = keep(t, key);
    op->request_delete_range->range_end = keep(t, range_end);
}

void cofre_txn_get(struct cofre_txn *t, bool on_success, struct cofre_bytes key,
                   struct cofre_bytes range_end)
{
    Pb__RequestOp *op = operation(t, on_success);
    op->request_case = PB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    op->request_range = arena_alloc(&t->arena, sizeof *op->request_range);
    pb__range_request__init(op->request_range);
    op->request_range->key = keep(t, key);
    op->request_range->range_end = keep(t, range_end);
}

int cofre_txn_commit(struct cofre *c, struct cofre_txn *t, bool *ret_succeeded,
                     struct cofre_reply **ret_reply)
{
    struct cofre_reply *reply = NULL;
    Pb__TxnRequest request;
    pb__txn_request__init(&request);
    request.n_compare = t->compares.count;
    request.compare = (Pb__Compare **)t->compares.items;
    request.n_success = t->branches[true].count;
    request.success = (Pb__RequestOp **)t->branches[true].items;
    request.n_failure = t->branches[false].count;
    request.failure = (Pb__RequestOp **)t->branches[false].items;
    int code = cofre_call(c, "/etcdserverpb.KV/Txn", &request.base,
                          &pb__txn_response__descriptor, &reply);
    if (code != COFRE_OK) {
        return code;
    }
    if (ret_succeeded) {
        *ret_succeeded =
            ((const Pb__TxnResponse *)(const void *)reply->message)->succeeded;
    }
    if (ret_reply) {
        *ret_reply = reply;
    } else {
        cofre_reply_free(reply);
    }
    return code;
}
