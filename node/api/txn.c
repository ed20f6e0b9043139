/* Txn: reads alone are served here, anything else goes through the log. */
#include "state.h"

enum { ENTRY_TXN = 6 };

static bool only_ranges(Pb__RequestOp **ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->request_case != PB__REQUEST_OP__REQUEST_REQUEST_RANGE) {
            return false;
        }
    }
    return true;
}

static bool all_serializable(Pb__RequestOp **ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!ops[i]->request_range->serializable) {
            return false;
        }
    }
    return true;
}

static bool is_read_only(const Pb__TxnRequest *txn)
{
    return only_ranges(txn->success, txn->n_success) &&
           only_ranges(txn->failure, txn->n_failure);
}

static bool is_serializable(const Pb__TxnRequest *txn)
{
    return all_serializable(txn->success, txn->n_success) &&
           all_serializable(txn->failure, txn->n_failure);
}

static void serve(struct api_call *c)
{
    struct api *a = c->api;
    api_body_begin(&a->scratch);
    int err = apply_txn_read(a->config.apply, c->txn, &a->scratch);
    if (err) {
        api_fail(c->call, err);
        return;
    }
    api_respond_body(a, c->call, mvcc_revision(a->mvcc), &a->scratch);
}

static int check(struct api *a, const Pb__TxnRequest *txn)
{
    int err = api_check_quota(a, apply_cost_txn(txn));
    err = err ? err : api_check_txn(txn, a->config.txn_ops_max);
    err = err ? err : api_check_overlap(txn->success, txn->n_success);
    return err ? err : api_check_overlap(txn->failure, txn->n_failure);
}

void api_kv_txn(struct grpc_call *call, struct slice message)
{
    struct api *a = api_of(call);
    if (apply_txn_depth(message) > APPLY_TXN_DEPTH_MAX) {
        api_fail(call, API_TOO_MANY_OPS);
        return;
    }
    const Pb__TxnRequest *txn =
        grpc_unpack(call, &pb__txn_request__descriptor, message);
    if (!txn) {
        return;
    }
    int err = check(a, txn);
    if (err) {
        api_fail(call, err);
        return;
    }
    struct api_call *c = api_call_new(call);
    if (!is_read_only(txn)) {
        api_propose(c, ENTRY_TXN, message, api_respond_applied);
        return;
    }
    c->txn = txn;
    if (is_serializable(txn)) {
        serve(c);
    } else {
        api_read(c, serve);
    }
}
