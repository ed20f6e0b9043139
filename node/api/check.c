/* What a request must be before anything is done, in the documented
 * order. */
#include "state.h"

int api_check_range(const struct proto_range *r)
{
    if (r->key.size == 0) {
        return API_KEY_EMPTY;
    }
    bool order = r->sort_order >= PB__RANGE_REQUEST__SORT_ORDER__NONE &&
                 r->sort_order <= PB__RANGE_REQUEST__SORT_ORDER__DESCEND;
    bool target = r->sort_target >= PB__RANGE_REQUEST__SORT_TARGET__KEY &&
                  r->sort_target <= PB__RANGE_REQUEST__SORT_TARGET__VALUE;
    return order && target ? 0 : API_BAD_SORT;
}

int api_check_put(const struct proto_put *p)
{
    if (p->key.size == 0) {
        return API_KEY_EMPTY;
    }
    if (p->ignore_value && p->value.size) {
        return API_VALUE_PROVIDED;
    }
    return p->ignore_lease && p->lease ? API_LEASE_PROVIDED : 0;
}

int api_check_delete(const struct proto_delete *d)
{
    return d->key.size == 0 ? API_KEY_EMPTY : 0;
}

static int check_op(const Pb__RequestOp *op, uint32_t ops_max)
{
    struct proto_range range;
    switch (op->request_case) {
    case PB__REQUEST_OP__REQUEST_REQUEST_RANGE:
        apply_range_of(op->request_range, &range);
        return api_check_range(&range);
    case PB__REQUEST_OP__REQUEST_REQUEST_PUT: {
        const Pb__PutRequest *put = op->request_put;
        return api_check_put(&(struct proto_put){
            .key = slice_of(put->key.data, put->key.len),
            .value = slice_of(put->value.data, put->value.len),
            .lease = put->lease,
            .ignore_value = put->ignore_value,
            .ignore_lease = put->ignore_lease,
        });
    }
    case PB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
        return op->request_delete_range->key.len == 0 ? API_KEY_EMPTY : 0;
    case PB__REQUEST_OP__REQUEST_REQUEST_TXN:
        return api_check_txn(op->request_txn, ops_max);
    default:
        return API_KEY_NOT_FOUND;
    }
}

static int check_ops(Pb__RequestOp **ops, size_t count, uint32_t ops_max)
{
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        err = check_op(ops[i], ops_max);
    }
    return err;
}

/* Recursion is bounded: by ops_max, which each level lowers by at least 1,
 * and by the depth that the caller checked on the raw bytes. */
int api_check_txn(const Pb__TxnRequest *txn, uint32_t ops_max)
{
    size_t most = txn->n_compare;
    most = txn->n_success > most ? txn->n_success : most;
    most = txn->n_failure > most ? txn->n_failure : most;
    if (most > ops_max) {
        return API_TOO_MANY_OPS;
    }
    for (size_t i = 0; i < txn->n_compare; i++) {
        if (txn->compare[i]->key.len == 0) {
            return API_KEY_EMPTY;
        }
    }
    uint32_t left = ops_max - (uint32_t)most;
    int err = check_ops(txn->success, txn->n_success, left);
    return err ? err : check_ops(txn->failure, txn->n_failure, left);
}
