#include "txns.h"

static int begin(void **state)
{
    arena_init(&tx_arena);
    return 0;
}

static int end(void **state)
{
    arena_release(&tx_arena);
    return 0;
}

/* a=1 (version 2, create 2, mod 3, lease 9), b=5 */
static void fill(struct fixture *f)
{
    fx_open(f);
    fx_grant(f, 9, 60);
    fx_put(f, "a", "0", 0);
    fx_put(f, "a", "1", 9);
    fx_put(f, "b", "5", 0);
}

static void compares(void **state)
{
    struct fixture f;
    fill(&f);
    struct {
        Pb__Compare *compare;
        bool want;
    } rows[] = {
        {cmp(VERSION, "a", EQ, 2), true},
        {cmp(VERSION, "a", EQ, 1), false},
        {cmp(VERSION, "a", GT, 1), true},
        {cmp(VERSION, "a", GT, 2), false},
        {cmp(VERSION, "a", LT, 3), true},
        {cmp(VERSION, "a", LT, 2), false},
        {cmp(VERSION, "a", NE, 1), true},
        {cmp(VERSION, "a", NE, 2), false},
        {cmp(CREATE, "a", EQ, 2), true},
        {cmp(MOD, "a", EQ, 3), true},
        {cmp(LEASE, "a", EQ, 9), true},
        {cmp(LEASE, "b", EQ, 0), true},
        {cmp_value("a", EQ, "1"), true},
        {cmp_value("a", LT, "2"), true},
        {cmp_value("a", GT, "10"), false},
        {cmp_value("a", NE, "1"), false},
        /* missing keys: fields are 0, a value compares with nothing */
        {cmp(VERSION, "x", EQ, 0), true},
        {cmp(CREATE, "x", EQ, 0), true},
        {cmp(MOD, "x", LT, 1), true},
        {cmp(LEASE, "x", NE, 0), false},
        {cmp_value("x", EQ, ""), false},
        {cmp_value("x", NE, "1"), false},
        {cmp_value("x", LT, "1"), false},
        /* ranges: every key */
        {cmp_to(cmp(VERSION, "a", GT, 0), "c"), true},
        {cmp_to(cmp(VERSION, "a", GT, 1), "c"), false},
        {cmp_to(cmp(VERSION, "x", EQ, 0), "z"), true},
        {cmp_to(cmp_value("x", NE, "1"), "z"), false},
        {cmp_to(cmp_value("a", GT, "0"), "@"), true},
        {cmp_to(cmp(LEASE, "a", EQ, 9), "c"), false},
        /* unknown numbers */
        {cmp(VERSION, "a", 17, 0), true},
        {cmp(17, "a", EQ, 5), true},
        {cmp(17, "a", GT, 5), false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = tx_run(&f, TXN(IF(rows[i].compare), DO(), DO()));
        if (strcmp(got, rows[i].want ? "yes" : "no") != 0) {
            fail_msg("row %zu: %s", i, got);
        }
    }
    /* a union of another kind, or none: 0 or empty */
    Pb__Compare *c = cmp(MOD, "x", EQ, 5);
    c->target_union_case = PB__COMPARE__TARGET_UNION_VERSION;
    assert_string_equal(tx_run(&f, TXN(IF(c), DO(), DO())), "yes");
    c = cmp_value("b", GT, "");
    c->target_union_case = PB__COMPARE__TARGET_UNION__NOT_SET;
    assert_string_equal(tx_run(&f, TXN(IF(c), DO(), DO())), "yes");
    /* all of several; none at all is true */
    assert_string_equal(tx_run(&f, TXN(IF(), DO(), DO())), "yes");
    assert_string_equal(
        tx_run(&f, TXN(IF(cmp(VERSION, "a", EQ, 2), cmp(VERSION, "b", EQ, 7)),
                       DO(), DO())),
        "no");
    assert_int_equal(fx_revision(&f), 4);
    fx_stop(&f);
}

static void execution(void **state)
{
    struct fixture f;
    fill(&f);
    /* one revision, reads see what was written before them */
    assert_string_equal(
        tx_run(&f, TXN(IF(),
                       DO(get("a", "", 0), put("a", "2"), get("a", "", 0),
                          get("a", "", 4), del("b", ""), get("a", "@", 0),
                          del("zz", "")),
                       DO())),
        "yes; get@4 a=1/2,3,2,9 count=1; put@5; "
        "get@5 a=2/2,5,3,0 count=1; get@5 a=1/2,3,2,9 count=1; "
        "del@5 1; get@5 a=2/2,5,3,0 count=1; del@5 0");
    assert_int_equal(f.out.revision, 5);
    assert_int_equal(fx_revision(&f), 5);
    uint32_t count;
    mvcc_events(f.store.mvcc, &count);
    assert_int_equal(count, 2);
    /* a branch that changes nothing */
    assert_string_equal(
        tx_run(&f, TXN(IF(cmp(MOD, "a", EQ, 1)), DO(put("a", "3")),
                       DO(del("q", ""), get("q", "", 0)))),
        "no; del@5 0; get@5 count=0");
    assert_int_equal(f.out.revision, 5);
    assert_string_equal(tx_run(&f, TXN(IF(), DO(put_same("a")), DO())),
                        "yes; put@6 prev a=2/2,5,3,0");
    assert_string_equal(fx_all(&f), "a=2/2,6,4,0 count=1");
    /* put and delete of one key in one revision */
    assert_string_equal(
        tx_run(&f, TXN(IF(), DO(del("a", ""), get("a", "", 0)), DO())),
        "yes; del@7 1; get@7 count=0");
    fx_stop(&f);
}

static void nesting(void **state)
{
    struct fixture f;
    fill(&f);
    /* the inner guard sees the state before the outer put */
    assert_string_equal(
        tx_run(&f,
               TXN(IF(),
                   DO(put("a", "2"),
                      nested(TXN(IF(cmp_value("a", EQ, "2")), DO(put("x", "1")),
                                 DO(put("y", "1"), get("a", "", 0)))),
                      get("y", "", 0)),
                   DO())),
        "yes; put@5; (no; put@5; get@5 a=2/2,5,3,0 count=1); "
        "get@5 y=1/5,5,1,0 count=1");
    assert_string_equal(
        tx_run(&f, TXN(IF(cmp(VERSION, "a", EQ, 99)),
                       DO(nested(TXN(IF(), DO(), DO()))),
                       DO(nested(TXN(IF(), DO(nested(TXN(IF(), DO(), DO()))),
                                     DO()))))),
        "no; (yes; (yes))");
    fx_stop(&f);
}

static void refusals_write_nothing(void **state)
{
    struct fixture f;
    fill(&f);
    struct {
        Pb__TxnRequest *txn;
        const char *want;
    } rows[] = {
        {TXN(IF(), DO(put("a", "9"), put_lease("c", 1234)), DO()),
         "LEASE_NOT_FOUND"},
        {TXN(IF(), DO(put("c", "9"), put_same("d")), DO()), "KEY_NOT_FOUND"},
        {TXN(IF(), DO(put("a", "9"), get("a", "", 5)), DO()), "FUTURE"},
        {TXN(IF(), DO(put("a", "9"), get("a", "", -2)), DO()), "COMPACTED"},
        {TXN(IF(),
             DO(put("a", "9"), nested(TXN(IF(), DO(put_same("e")), DO()))),
             DO()),
         "KEY_NOT_FOUND"},
        /* the branch that is not taken is not looked at */
        {TXN(IF(), DO(get("b", "", -1)), DO(put_same("e"))),
         "yes; get@4 b=5/4,4,1,0 count=1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_string_equal(tx_run(&f, rows[i].txn), rows[i].want);
        assert_int_equal(fx_revision(&f), 4);
    }
    /* the key must be there before the txn */
    assert_string_equal(
        tx_run(&f, TXN(IF(), DO(put("n", "1"), put_same("n")), DO())),
        "KEY_NOT_FOUND");
    fx_compact(&f, 3);
    assert_string_equal(tx_run(&f, TXN(IF(), DO(get("a", "", 2)), DO())),
                        "COMPACTED");
    assert_string_equal(tx_run(&f, TXN(IF(), DO(get("a", "", -1)), DO())),
                        "COMPACTED");
    assert_string_equal(tx_run(&f, TXN(IF(), DO(get("a", "", 3)), DO())),
                        "yes; get@4 a=1/2,3,2,9 count=1");
    fx_stop(&f);
}

static void reads(void **state)
{
    struct fixture f;
    fill(&f);
    struct buf body = BUF_INIT(1 << 16);
    Pb__TxnRequest *txn = TXN(IF(cmp(MOD, "a", EQ, 3)),
                              DO(get("a", "", 0), get("b", "", 2)), DO());
    assert_int_equal(apply_txn_read(f.apply, txn, &body), 0);
    assert_string_equal(tx_answer(buf_slice(&body)),
                        "yes; get@4 a=1/2,3,2,9 count=1; get@4 count=0");
    buf_reset(&body, 0);
    txn = TXN(IF(), DO(get("a", "", 17)), DO());
    assert_int_equal(apply_txn_read(f.apply, txn, &body), ERR_FUTURE);
    buf_release(&body);
    struct buf tiny = BUF_INIT(30);
    txn = TXN(IF(), DO(get("a", "@", 0), get("a", "@", 0)), DO());
    assert_int_equal(apply_txn_read(f.apply, txn, &tiny), ERR_TOO_LARGE);
    buf_release(&tiny);
    fx_stop(&f);
}

static void costs(void **state)
{
    assert_int_equal(apply_cost_put(slice_str("abc"), slice_str("12345")), 264);
    assert_int_equal(
        apply_cost_txn(TXN(IF(), DO(get("a", "", 0), del("a", "")), DO())), 0);
    assert_int_equal(
        apply_cost_txn(TXN(IF(), DO(put("a", "1")),
                           DO(put("a", "1"), nested(TXN(IF(), DO(put("bb", "")),
                                                        DO(put("ccc", ""))))))),
        258 + 259);
}

static Pb__TxnRequest *deep(uint32_t levels)
{
    Pb__TxnRequest *t = TXN(IF(), DO(put("deep", "1")), DO());
    for (uint32_t i = 1; i < levels; i++) {
        t = TXN(IF(), DO(nested(t)), DO());
    }
    return t;
}

static uint32_t depth_of(Pb__TxnRequest *txn)
{
    size_t size = pb__txn_request__get_packed_size(txn);
    uint8_t *bytes = mem_alloc(size + 1);
    pb__txn_request__pack(txn, bytes);
    uint32_t depth = apply_txn_depth(slice_of(bytes, size));
    free(bytes);
    return depth;
}

static void depth(void **state)
{
    assert_int_equal(depth_of(TXN(IF(), DO(), DO())), 1);
    assert_int_equal(depth_of(deep(2)), 2);
    assert_int_equal(depth_of(deep(APPLY_TXN_DEPTH_MAX)), APPLY_TXN_DEPTH_MAX);
    assert_int_equal(depth_of(deep(APPLY_TXN_DEPTH_MAX + 50)),
                     APPLY_TXN_DEPTH_MAX + 1);
    struct fixture f;
    fx_open(&f);
    Pb__InternalRaftRequest r = PB__INTERNAL_RAFT_REQUEST__INIT;
    r.txn = deep(APPLY_TXN_DEPTH_MAX);
    assert_int_equal(fx_run(&f, &r), 0);
    assert_int_equal(fx_revision(&f), 2);
    fx_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(compares, begin, end),
        cmocka_unit_test_setup_teardown(execution, begin, end),
        cmocka_unit_test_setup_teardown(nesting, begin, end),
        cmocka_unit_test_setup_teardown(refusals_write_nothing, begin, end),
        cmocka_unit_test_setup_teardown(reads, begin, end),
        cmocka_unit_test_setup_teardown(costs, begin, end),
        cmocka_unit_test_setup_teardown(depth, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
