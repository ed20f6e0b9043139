#include "../apply/txns.h"
#include "fakes.h"

static int begin(void **state)
{
    arena_init(&tx_arena);
    return world_new(state);
}

static int end(void **state)
{
    arena_release(&tx_arena);
    return world_free(state);
}

#define KEY "etcdserver: key is not provided"
#define DUP "etcdserver: duplicate key given in txn request"
#define MANY "etcdserver: too many operations in txn request"
#define OK NULL

/* What the checks say; a proposal that gets through is dropped again. */
static void row(int line, Pb__TxnRequest *txn, const char *want)
{
    struct grpc_call c;
    call_init(&c, "/etcdserverpb.KV/Txn");
    call_pb(&c, txn);
    if (want && (!c.finished || strcmp(c.text, want) != 0)) {
        fail_msg("line %d: got '%s', want '%s'", line, c.text, want);
    }
    if (!want && c.finished) {
        fail_msg("line %d: got '%s'", line, c.text);
    }
    assert_true(!want || c.code == GRPC_INVALID_ARGUMENT);
    call_end(&c);
}
#define ROW(txn, want) row(__LINE__, txn, want)

static void checks(void **state)
{
    Pb__RequestOp *unset = tx_op(PB__REQUEST_OP__REQUEST__NOT_SET);
    ROW(TXN(IF(), DO(put("", "")), DO()), KEY);
    ROW(TXN(IF(), DO(), DO(put("", ""))), KEY);
    ROW(TXN(IF(cmp(MOD, "", EQ, 1)), DO(put("a", "")), DO()), KEY);
    ROW(TXN(IF(), DO(del("", ""), put("a", "")), DO()), KEY);
    ROW(TXN(IF(), DO(get("", "", 0), put("a", "")), DO()), KEY);
    ROW(TXN(IF(), DO(unset), DO()), "etcdserver: key not found");
    Pb__RequestOp *sorted = get("a", "", 0);
    sorted->request_range->sort_target = 9;
    ROW(TXN(IF(), DO(sorted), DO()), "etcdserver: invalid sort option");
    Pb__RequestOp *valued = put("a", "v");
    valued->request_put->ignore_value = true;
    ROW(TXN(IF(), DO(valued), DO()), "etcdserver: value is provided");
    /* success before failure, count before keys, keys before duplicates */
    ROW(TXN(IF(), DO(put("a", ""), put("a", "")), DO(put("", ""))), KEY);
    ROW(TXN(IF(),
            DO(put("", ""), put("", ""), put("", ""), put("", ""), put("", "")),
            DO()),
        MANY);
}

static void op_limits(void **state)
{
    /* four allowed in each list */
    ROW(TXN(IF(), DO(put("a", ""), put("b", ""), put("c", ""), put("d", "")),
            DO(put("a", ""), put("b", ""), put("c", ""), put("d", ""))),
        OK);
    ROW(TXN(IF(), DO(),
            DO(put("a", ""), put("b", ""), put("c", ""), put("d", ""),
               put("e", ""))),
        MANY);
    ROW(TXN(IF(cmp(MOD, "a", EQ, 1), cmp(MOD, "a", EQ, 1), cmp(MOD, "a", EQ, 1),
               cmp(MOD, "a", EQ, 1), cmp(MOD, "a", EQ, 1)),
            DO(put("a", "")), DO()),
        MANY);
    /* a nested one has what the parent's longest list left over */
    Pb__TxnRequest *two = TXN(IF(), DO(put("x", ""), put("y", "")), DO());
    Pb__TxnRequest *three =
        TXN(IF(), DO(put("x", ""), put("y", ""), put("z", "")), DO());
    ROW(TXN(IF(), DO(put("a", ""), nested(two)), DO()), OK);
    ROW(TXN(IF(), DO(put("a", ""), nested(three)), DO()), MANY);
    ROW(TXN(IF(), DO(nested(three)), DO()), OK);
    ROW(TXN(IF(), DO(nested(two)),
            DO(put("a", ""), put("b", ""), put("c", ""))),
        MANY);
    /* as deep as you like: refused before anything recurses */
    Pb__TxnRequest *deep = two;
    for (int i = 0; i < 3000; i++) {
        deep = TXN(IF(), DO(nested(deep)), DO());
    }
    ROW(deep, MANY);
}

static void duplicates(void **state)
{
    ROW(TXN(IF(), DO(put("a", ""), put("a", "")), DO()), DUP);
    ROW(TXN(IF(), DO(), DO(put("a", ""), put("a", ""))), DUP);
    ROW(TXN(IF(), DO(put("a", "")), DO(put("a", ""))), OK);
    ROW(TXN(IF(), DO(put("a", ""), del("a", "")), DO()), DUP);
    ROW(TXN(IF(), DO(del("a", ""), put("a", "")), DO()), DUP);
    ROW(TXN(IF(), DO(put("b", ""), del("a", "c")), DO()), DUP);
    ROW(TXN(IF(), DO(put("c", ""), del("a", "c")), DO()), OK);
    ROW(TXN(IF(), DO(put("a", ""), del("a", "c")), DO()), DUP);
    ROW(TXN(IF(), DO(put("b", ""), del("a", "")), DO()), OK);
    ROW(TXN(IF(), DO(del("a", "c"), del("b", "d")), DO()), OK);
    ROW(TXN(IF(), DO(put("a", ""), get("a", "c", 0), get("a", "", 0)), DO()),
        OK);
    /* "\0" as an end is taken literally and hits nothing */
    ROW(TXN(IF(), DO(put("b", ""), del("a", "@")), DO()), OK);
    /* branches of one nested txn exclude each other */
    ROW(TXN(IF(), DO(nested(TXN(IF(), DO(put("a", "")), DO(put("a", ""))))),
            DO()),
        OK);
    Pb__TxnRequest *puts_a = TXN(IF(), DO(put("a", "")), DO());
    Pb__TxnRequest *else_a = TXN(IF(), DO(), DO(put("a", "")));
    Pb__TxnRequest *dels_a = TXN(IF(), DO(del("a", "b")), DO());
    ROW(TXN(IF(), DO(put("a", ""), nested(puts_a)), DO()), DUP);
    ROW(TXN(IF(), DO(nested(else_a), put("a", "")), DO()), DUP);
    ROW(TXN(IF(), DO(del("a", ""), nested(puts_a)), DO()), DUP);
    ROW(TXN(IF(), DO(put("a", ""), nested(dels_a)), DO()), DUP);
    ROW(TXN(IF(), DO(nested(puts_a), nested(puts_a)), DO()), DUP);
    ROW(TXN(IF(), DO(nested(puts_a), nested(else_a)), DO()), DUP);
    /* an earlier sibling's deletion counts, a later one's does not */
    ROW(TXN(IF(), DO(nested(dels_a), nested(puts_a)), DO()), DUP);
    ROW(TXN(IF(), DO(nested(puts_a), nested(dels_a)), DO()), OK);
}

static void answer(struct grpc_call *c, int64_t revision, const char *want)
{
    expect(c, GRPC_OK, "");
    Pb__TxnResponse *r = call_answer(c, 0, &pb__txn_response__descriptor);
    check_header(r->header, revision);
    FREE(r);
    assert_string_equal(tx_answer(call_sent(c, 0)), want);
    call_end(c);
}

static void paths(void **state)
{
    struct grpc_call c;
    /* writes go through the log, whatever branch will be taken */
    call_init(&c, "/etcdserverpb.KV/Txn");
    call_pb(&c, TXN(IF(), DO(put("a", "1")), DO()));
    assert_int_equal(count_of(&fake.proposals), 1);
    commit();
    answer(&c, 2, "yes; put@2");
    call_init(&c, "/etcdserverpb.KV/Txn");
    call_pb(&c, TXN(IF(cmp(MOD, "a", EQ, 9)), DO(put("a", "1")),
                    DO(get("a", "", 0))));
    assert_int_equal(count_of(&fake.proposals), 1);
    commit();
    answer(&c, 2, "no; get@2 a=1/2,2,1,0 count=1");
    /* nested: a write, even if empty */
    call_init(&c, "/etcdserverpb.KV/Txn");
    call_pb(&c, TXN(IF(), DO(nested(TXN(IF(), DO(), DO()))), DO()));
    assert_int_equal(count_of(&fake.proposals), 1);
    commit();
    answer(&c, 2, "yes; (yes)");
    /* only ranges: here, after a read index */
    call_init(&c, "/etcdserverpb.KV/Txn");
    call_pb(&c, TXN(IF(cmp(MOD, "a", EQ, 2)), DO(get("a", "", 0)), DO()));
    assert_int_equal(count_of(&fake.proposals), 0);
    assert_int_equal(count_of(&fake.reads), 1);
    confirm_reads(0);
    answer(&c, 2, "yes; get@2 a=1/2,2,1,0 count=1");
    /* serializable ones, and none at all: at once */
    Pb__RequestOp *local = get("a", "", 0);
    local->request_range->serializable = true;
    call_init(&c, "/etcdserverpb.KV/Txn");
    call_pb(&c, TXN(IF(), DO(local), DO()));
    answer(&c, 2, "yes; get@2 a=1/2,2,1,0 count=1");
    call_init(&c, "/etcdserverpb.KV/Txn");
    call_pb(&c, TXN(IF(), DO(), DO()));
    answer(&c, 2, "yes");
    call_init(&c, "/etcdserverpb.KV/Txn");
    call_pb(&c, TXN(IF(), DO(local), DO(get("a", "", 0))));
    assert_int_equal(count_of(&fake.reads), 1);
    confirm_reads(ERR_TIMEOUT);
    expect(&c, 14, "etcdserver: request timed out");
    call_end(&c);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(checks),
        TEST(op_limits),
        TEST(duplicates),
        TEST(paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
