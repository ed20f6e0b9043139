/*
 * Txn in three walks over the chosen branches: the guards (all of them, the
 * nested ones too, before anything is written), the checks that may refuse
 * the whole, the execution. Recursion is bounded by APPLY_TXN_DEPTH_MAX,
 * which is checked on the raw bytes before they are unpacked.
 */
#include "base/err.h"
#include "state.h"

struct txn_run {
    struct apply *a;
    struct buf *body;
    bool read_only;
    /* Whether each txn on the chosen path holds, in preorder. */
    bool *path;
    size_t path_count;
    size_t path_capacity;
    size_t at;
};

struct branch {
    Pb__RequestOp **ops;
    size_t count;
};

static struct branch branch_of(const Pb__TxnRequest *txn, bool success)
{
    return success ? (struct branch){txn->success, txn->n_success}
                   : (struct branch){txn->failure, txn->n_failure};
}

/* ---- depth, on raw bytes ---- */
static uint32_t depth_below(struct slice message, uint32_t level)
{
    uint32_t deepest = level;
    struct proto_field op, f;
    while (deepest <= APPLY_TXN_DEPTH_MAX && proto_next(&message, &op) > 0) {
        if (op.wire != PROTO_BYTES || (op.number != 2 && op.number != 3)) {
            continue;
        }
        while (proto_next(&op.bytes, &f) > 0) {
            if (f.wire == PROTO_BYTES && f.number == 4) {
                uint32_t d = depth_below(f.bytes, level + 1);
                deepest = d > deepest ? d : deepest;
            }
        }
    }
    return deepest;
}

uint32_t apply_txn_depth(struct slice message)
{
    return depth_below(message, 1);
}

/* ---- cost ---- */
uint64_t apply_cost_put(struct slice key, struct slice value)
{
    return APPLY_COST_PUT + key.size + value.size;
}

static uint64_t cost_branch(Pb__RequestOp *const *ops, size_t count)
{
    uint64_t cost = 0;
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->request_case == PB__REQUEST_OP__REQUEST_REQUEST_PUT) {
            const Pb__PutRequest *put = ops[i]->request_put;
            cost += APPLY_COST_PUT + put->key.len + put->value.len;
        } else if (ops[i]->request_case ==
                   PB__REQUEST_OP__REQUEST_REQUEST_TXN) {
            cost += apply_cost_txn(ops[i]->request_txn);
        }
    }
    return cost;
}

uint64_t apply_cost_txn(const Pb__TxnRequest *txn)
{
    uint64_t success = cost_branch(txn->success, txn->n_success);
    uint64_t failure = cost_branch(txn->failure, txn->n_failure);
    return success > failure ? success : failure;
}

/* ---- guards ---- */
static void path_add(struct txn_run *run, bool holds)
{
    if (run->path_count == run->path_capacity) {
        size_t capacity = run->path_capacity ? run->path_capacity * 2 : 16;
        bool *path = arena_alloc(&run->a->arena, capacity * sizeof *path);
        if (run->path_count) {
            memcpy(path, run->path, run->path_count * sizeof *path);
        }
        run->path = path;
        run->path_capacity = capacity;
    }
    run->path[run->path_count++] = holds;
}

static int choose(struct txn_run *run, const Pb__TxnRequest *txn)
{
    bool holds;
    int err = apply_compares(run->a, txn, &holds);
    if (err) {
        return err;
    }
    path_add(run, holds);
    struct branch b = branch_of(txn, holds);
    for (size_t i = 0; i < b.count && err == 0; i++) {
        if (b.ops[i]->request_case == PB__REQUEST_OP__REQUEST_REQUEST_TXN) {
            err = choose(run, b.ops[i]->request_txn);
        }
    }
    return err;
}

/* ---- checks ---- */
static int check(struct txn_run *run, const Pb__TxnRequest *txn)
{
    struct branch b = branch_of(txn, run->path[run->at++]);
    int err = 0;
    for (size_t i = 0; i < b.count && err == 0; i++) {
        const Pb__RequestOp *op = b.ops[i];
        struct proto_range range;
        struct proto_put put;
        switch (op->request_case) {
        case PB__REQUEST_OP__REQUEST_REQUEST_RANGE:
            apply_range_of(op->request_range, &range);
            err = apply_check_range(run->a, &range);
            break;
        case PB__REQUEST_OP__REQUEST_REQUEST_PUT:
            apply_put_of(op->request_put, &put);
            err = apply_check_put(run->a, &put);
            break;
        case PB__REQUEST_OP__REQUEST_REQUEST_TXN:
            err = check(run, op->request_txn);
            break;
        default:
            break;
        }
    }
    return err;
}

/* ---- execution ---- */
static int64_t view_revision(const struct txn_run *run)
{
    return run->read_only ? mvcc_revision(run->a->mvcc)
                          : mvcc_txn_revision(run->a->mvcc);
}

/* NULL: no answer is built (any more). */
static struct buf *body_of(const struct txn_run *run)
{
    return run->a->overflow ? NULL : run->body;
}

/* The header of an op's response has a revision and nothing else; it is
 * known only afterwards and goes in front. */
static int put_header(struct txn_run *run, size_t mark)
{
    uint8_t header[3 * PROTO_VARINT_MAX], inner[2 * PROTO_VARINT_MAX];
    uint8_t *inner_end = proto_u64(inner, 3, (uint64_t)view_revision(run));
    struct slice message = slice_of(inner, (size_t)(inner_end - inner));
    uint8_t *end = proto_copy(proto_head(header, 1, message.size), message);
    size_t size = (size_t)(end - header);
    int err = buf_reserve(run->body, size);
    if (err == 0) {
        uint8_t *at = run->body->data + mark;
        memmove(at + size, at, run->body->size - mark);
        memcpy(at, header, size);
        run->body->size += size;
    }
    return err;
}

static int do_range(struct txn_run *run, const Pb__RangeRequest *request)
{
    struct proto_range range;
    struct buf *body = body_of(run);
    if (!body) {
        return 0;
    }
    apply_range_of(request, &range);
    return apply_note(run->a, apply_range(run->a, &range, body));
}

static int execute(struct txn_run *run, const Pb__TxnRequest *txn);

static int do_op(struct txn_run *run, const Pb__RequestOp *op)
{
    struct proto_put put;
    struct proto_delete del;
    switch (op->request_case) {
    case PB__REQUEST_OP__REQUEST_REQUEST_RANGE:
        return do_range(run, op->request_range);
    case PB__REQUEST_OP__REQUEST_REQUEST_PUT:
        apply_put_of(op->request_put, &put);
        return apply_do_put(run->a, &put, body_of(run));
    case PB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
        apply_delete_of(op->request_delete_range, &del);
        return apply_do_delete(run->a, &del, body_of(run));
    case PB__REQUEST_OP__REQUEST_REQUEST_TXN:
        return execute(run, op->request_txn);
    default:
        return ERR_CORRUPT;
    }
}

/* ResponseOp: field 3 of the answer; the number in its oneof is that of the
 * request's. The header of a nested Txn is there, and empty. */
static int frame_begin(struct txn_run *run, const Pb__RequestOp *op,
                       size_t *ret_outer, size_t *ret_inner)
{
    int err = proto_begin(run->body, 3, ret_outer);
    err = err ? err
              : proto_begin(run->body, (uint32_t)op->request_case, ret_inner);
    if (err == 0 && op->request_case == PB__REQUEST_OP__REQUEST_REQUEST_TXN) {
        err = proto_add_message(run->body, 1, (struct slice){NULL, 0});
    }
    return apply_note(run->a, err);
}

static int frame_end(struct txn_run *run, const Pb__RequestOp *op, size_t outer,
                     size_t inner)
{
    int err = 0;
    if (op->request_case != PB__REQUEST_OP__REQUEST_REQUEST_TXN) {
        err = put_header(run, inner);
    }
    err = err ? err : proto_end(run->body, inner);
    err = err ? err : proto_end(run->body, outer);
    return apply_note(run->a, err);
}

static int execute_op(struct txn_run *run, const Pb__RequestOp *op)
{
    size_t outer = 0, inner = 0;
    int err = 0;
    if (body_of(run)) {
        err = frame_begin(run, op, &outer, &inner);
    }
    err = err ? err : do_op(run, op);
    if (err == 0 && body_of(run)) {
        err = frame_end(run, op, outer, inner);
    }
    return err;
}

static int execute(struct txn_run *run, const Pb__TxnRequest *txn)
{
    bool holds = run->path[run->at++];
    struct branch b = branch_of(txn, holds);
    int err = 0;
    if (body_of(run)) {
        err = apply_note(run->a, proto_add_u64(run->body, 2, holds));
    }
    for (size_t i = 0; i < b.count && err == 0; i++) {
        err = execute_op(run, b.ops[i]);
    }
    return err;
}

static bool is_refusal(int err)
{
    return err == ERR_COMPACTED || err == ERR_FUTURE ||
           err == ERR_LEASE_NOT_FOUND || err == ERR_KEY_NOT_FOUND;
}

int apply_txn(struct apply *a, struct slice message, struct apply_out *out)
{
    if (apply_txn_depth(message) > APPLY_TXN_DEPTH_MAX) {
        return ERR_UNSUPPORTED;
    }
    const Pb__TxnRequest *txn =
        apply_unpack(a, &pb__txn_request__descriptor, message);
    if (!txn) {
        return ERR_CORRUPT;
    }
    uint64_t cost = apply_cost_txn(txn);
    if (cost && a->nospace_count) {
        out->err = ERR_NO_SPACE;
        return 0;
    }
    struct txn_run run = {.a = a, .body = a->wanted ? &out->body : NULL};
    int err = choose(&run, txn);
    err = err ? err : check(&run, txn);
    if (is_refusal(err)) {
        out->err = err;
        return 0;
    }
    if (err) {
        return err;
    }
    run.at = 0;
    err = execute(&run, txn);
    if (apply_over_quota(a, cost)) {
        out->err = ERR_NO_SPACE;
    }
    return err;
}

int apply_txn_read(struct apply *a, const Pb__TxnRequest *txn, struct buf *body)
{
    arena_reset(&a->arena);
    a->overflow = false;
    struct txn_run run = {.a = a, .body = body, .read_only = true};
    int err = choose(&run, txn);
    err = err ? err : check(&run, txn);
    run.at = 0;
    err = err ? err : execute(&run, txn);
    return err == 0 && a->overflow ? ERR_TOO_LARGE : err;
}
