/* Entries that are not plain changes: alarms, hooks, quota, strangers. */
#include "base/rng.h"
#include "txns.h"

enum { NO_ALARM, NOSPACE, CORRUPT };
enum { GET_ALARM, ACTIVATE, DEACTIVATE };

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

static const char *alarms(struct fixture *f)
{
    static char text[256];
    text[0] = 0;
    Pb__AlarmResponse *r = pb__alarm_response__unpack(
        NULL, f->out.body.size,
        f->out.body.data ? f->out.body.data : (const uint8_t *)"");
    assert_non_null(r);
    for (size_t i = 0; i < r->n_alarms; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%llu:%d ",
                 (unsigned long long)r->alarms[i]->memberid,
                 (int)r->alarms[i]->alarm);
    }
    pb__alarm_response__free_unpacked(r, NULL);
    return text;
}

static void alarm_list(void **state)
{
    static const struct {
        int action;
        uint64_t member;
        int type;
        const char *want;
    } rows[] = {
        {GET_ALARM, 0, NO_ALARM, ""},
        {ACTIVATE, 1, NO_ALARM, ""},
        {ACTIVATE, 1, NOSPACE, "1:1 "},
        {ACTIVATE, 1, NOSPACE, "1:1 "},
        {ACTIVATE, 2, CORRUPT, "2:2 "},
        {ACTIVATE, 2, 7, "2:7 "},
        {GET_ALARM, 0, NO_ALARM, "1:1 2:2 2:7 "},
        {GET_ALARM, 55, CORRUPT, "2:2 "},
        {DEACTIVATE, 0, NOSPACE, ""},
        {DEACTIVATE, 2, NOSPACE, ""},
        {DEACTIVATE, 1, NOSPACE, "1:1 "},
        {DEACTIVATE, 1, NOSPACE, ""},
        {DEACTIVATE, 2, 7, "2:7 "},
        {GET_ALARM, 0, NO_ALARM, "2:2 "},
    };
    struct fixture f;
    fx_open(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(
            fx_alarm(&f, rows[i].action, rows[i].member, rows[i].type), 0);
        assert_string_equal(alarms(&f), rows[i].want);
    }
    /* rows survive */
    store_flush(&f.store);
    apply_free(f.apply);
    lease_free(f.lessor);
    store_close(&f.store);
    store_open(&f.store);
    fx_start(&f);
    assert_true(apply_alarm_active(f.apply, CORRUPT));
    assert_false(apply_alarm_active(f.apply, NOSPACE));
    fx_stop(&f);
}

static void nospace_refuses_growth(void **state)
{
    struct fixture f;
    fx_open(&f);
    fx_put(&f, "a", "1", 0);
    fx_put(&f, "b", "1", 0);
    fx_grant(&f, 5, 60);
    fx_alarm(&f, ACTIVATE, 3, NOSPACE);
    assert_int_equal(fx_put(&f, "a", "2", 0), ERR_NO_SPACE);
    assert_int_equal(fx_put(&f, "a", "2", 99), ERR_NO_SPACE);
    assert_int_equal(fx_grant(&f, 6, 60), ERR_NO_SPACE);
    assert_string_equal(tx_run(&f, TXN(IF(), DO(), DO(put("a", "")))),
                        "NO_SPACE");
    assert_int_equal(fx_revision(&f), 3);
    assert_string_equal(tx_run(&f, TXN(IF(), DO(del("a", "")), DO())),
                        "yes; del@4 1");
    assert_int_equal(fx_delete(&f, "b", ""), 0);
    assert_int_equal(fx_compact(&f, 3), 0);
    assert_int_equal(fx_revoke(&f, 5), 0);
    fx_alarm(&f, DEACTIVATE, 3, NOSPACE);
    assert_int_equal(fx_put(&f, "a", "2", 0), 0);
    fx_stop(&f);
}

static void corrupt_refuses_changes(void **state)
{
    struct fixture f;
    fx_open(&f);
    fx_put(&f, "a", "1", 0);
    fx_alarm(&f, ACTIVATE, 3, NOSPACE);
    fx_alarm(&f, ACTIVATE, 3, CORRUPT);
    assert_int_equal(fx_put(&f, "a", "2", 0), ERR_CORRUPT);
    assert_int_equal(fx_delete(&f, "a", ""), ERR_CORRUPT);
    assert_int_equal(fx_compact(&f, 2), ERR_CORRUPT);
    assert_int_equal(fx_grant(&f, 6, 60), ERR_CORRUPT);
    assert_int_equal(fx_revoke(&f, 6), ERR_CORRUPT);
    assert_string_equal(tx_run(&f, TXN(IF(), DO(del("a", "")), DO())),
                        "CORRUPT");
    assert_int_equal(fx_revision(&f), 2);
    assert_int_equal(fx_alarm(&f, DEACTIVATE, 3, CORRUPT), 0);
    assert_int_equal(fx_put(&f, "a", "2", 0), ERR_NO_SPACE);
    fx_stop(&f);
}

/* At apply the change happens, only the answer is an error. */
static void quota_at_apply(void **state)
{
    struct fixture f;
    fx_open(&f);
    uint64_t quota = 1 << 20, cost = APPLY_COST_PUT + 2;
    apply_set_store_bytes(f.apply, quota - cost - 1);
    assert_int_equal(fx_put(&f, "a", "1", 0), 0);
    apply_set_store_bytes(f.apply, quota - cost);
    assert_int_equal(fx_put(&f, "a", "2", 0), ERR_NO_SPACE);
    assert_string_equal(fx_all(&f), "a=2/2,3,2,0 count=1");
    apply_set_store_bytes(f.apply, quota);
    assert_int_equal(fx_grant(&f, 5, 60), ERR_NO_SPACE);
    assert_true(lease_exists(f.lessor, 5));
    assert_string_equal(tx_run(&f, TXN(IF(), DO(put("b", "")), DO())),
                        "NO_SPACE");
    assert_int_equal(fx_revision(&f), 4);
    assert_string_equal(tx_run(&f, TXN(IF(), DO(del("b", "")), DO())),
                        "yes; del@5 1");
    fx_stop(&f);
}

static void hooks(void **state)
{
    struct fixture f;
    fx_open(&f);
    Pbm__ClusterVersionSetRequest version =
        PBM__CLUSTER_VERSION_SET_REQUEST__INIT;
    version.ver = (char *)(uintptr_t) "3.7.0";
    Pb__InternalRaftRequest r = PB__INTERNAL_RAFT_REQUEST__INIT;
    r.cluster_version_set = &version;
    assert_int_equal(fx_run(&f, &r), 0);
    assert_string_equal(f.seen, "version 3.7.0");
    Pbm__ClusterMemberAttrSetRequest attr =
        PBM__CLUSTER_MEMBER_ATTR_SET_REQUEST__INIT;
    attr.member_id = 4;
    r = (Pb__InternalRaftRequest)PB__INTERNAL_RAFT_REQUEST__INIT;
    r.cluster_member_attr_set = &attr;
    assert_int_equal(fx_run(&f, &r), 0);
    assert_string_equal(f.seen, "member 4  0 ");
    Pbm__DowngradeInfoSetRequest downgrade =
        PBM__DOWNGRADE_INFO_SET_REQUEST__INIT;
    downgrade.enabled = true;
    downgrade.ver = (char *)(uintptr_t) "3.6.0";
    r = (Pb__InternalRaftRequest)PB__INTERNAL_RAFT_REQUEST__INIT;
    r.downgrade_info_set = &downgrade;
    assert_int_equal(fx_run(&f, &r), 0);
    assert_string_equal(f.seen, "downgrade 1 3.6.0");
    fx_stop(&f);
}

static void checkpoint_entry(void **state)
{
    struct fixture f;
    fx_open(&f);
    fx_grant(&f, 5, 600);
    Pb__LeaseCheckpoint one = PB__LEASE_CHECKPOINT__INIT;
    one.id = 5;
    one.remaining_ttl = 40;
    Pb__LeaseCheckpoint *list[] = {&one};
    Pb__LeaseCheckpointRequest checkpoint = PB__LEASE_CHECKPOINT_REQUEST__INIT;
    checkpoint.checkpoints = list;
    checkpoint.n_checkpoints = 1;
    Pb__InternalRaftRequest r = PB__INTERNAL_RAFT_REQUEST__INIT;
    r.lease_checkpoint = &checkpoint;
    assert_int_equal(fx_run(&f, &r), 0);
    lease_promote(f.lessor, 0, 0);
    struct lease_info info;
    assert_int_equal(lease_get(f.lessor, 5, 0, &info), 0);
    assert_int_equal(info.remaining_s, 40);
    fx_stop(&f);
}

#define BYTES(...)                             \
    slice_of(((const uint8_t[]){__VA_ARGS__}), \
             sizeof((const uint8_t[]){__VA_ARGS__}))

static void strangers(void **state)
{
    const struct {
        struct slice entry;
        int want;
    } rows[] = {
        {{NULL, 0}, 0},
        {BYTES(0xff), ERR_CORRUPT},
        {BYTES(0x22, 5, 0x0a), ERR_CORRUPT},     /* cut off */
        {BYTES(0x22, 2, 0x0a, 9), ERR_CORRUPT},  /* inside */
        {BYTES(0x32, 2, 0x0a, 9), ERR_CORRUPT},  /* a txn that is none */
        {BYTES(0x08, 1), ERR_UNSUPPORTED},       /* nothing but an id */
        {BYTES(0xa2, 0x06, 0), ERR_UNSUPPORTED}, /* nothing but a header */
        {BYTES(0x62, 0), ERR_UNSUPPORTED},       /* field 12 */
        {BYTES(0xc2, 0x3e, 0), ERR_UNSUPPORTED}, /* 1000: auth_enable */
        {BYTES(0xe2, 0x44, 0), ERR_UNSUPPORTED}, /* 1100: user add */
        {BYTES(0xaa, 0x3f, 0), 0},               /* 1013: auth status */
        {BYTES(0xe2, 0xea, 0x04, 0), 0},         /* 9900: version test */
        {BYTES(0x1a, 0), 0},                     /* 3: a range */
    };
    struct fixture f;
    fx_open(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int got = fx_bytes(&f, rows[i].entry, NULL);
        if (got != rows[i].want) {
            fail_msg("row %zu: %d", i, got);
        }
    }
    assert_int_equal(fx_revision(&f), 1);
    fx_stop(&f);
}

/* With or without somebody waiting, the same effect to the byte. */
static void answers_do_not_matter(void **state)
{
    struct fixture f[2];
    struct rng rng = {7};
    fx_open(&f[0]);
    fx_open(&f[1]);
    static const char *const keys[] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < 500; i++) {
        const char *k = keys[rng_below(&rng, 5)];
        const char *n = keys[rng_below(&rng, 5)];
        Pb__TxnRequest *txn =
            TXN(IF(cmp(VERSION, k, GT, (int64_t)rng_below(&rng, 3))),
                DO(put(k, n), del(n, ""), get("a", "@", 0)),
                DO(nested(TXN(IF(cmp_value(n, LT, "c")), DO(put_same(n)),
                              DO(put(k, "z"), del("b", "d"))))));
        Pb__InternalRaftRequest r = PB__INTERNAL_RAFT_REQUEST__INIT;
        r.txn = txn;
        size_t size = pb__internal_raft_request__get_packed_size(&r);
        uint8_t *data = mem_alloc(size);
        pb__internal_raft_request__pack(&r, data);
        apply_out_release(&f[0].out);
        apply_out_init(&f[0].out);
        assert_int_equal(fx_bytes(&f[0], slice_of(data, size), &f[0].out), 0);
        assert_int_equal(fx_bytes(&f[1], slice_of(data, size), NULL), 0);
        free(data);
        assert_int_equal(fx_revision(&f[0]), fx_revision(&f[1]));
        char all[4096];
        snprintf(all, sizeof all, "%s", fx_all(&f[0]));
        assert_string_equal(all, fx_all(&f[1]));
    }
    assert_true(fx_revision(&f[0]) > 100);
    fx_stop(&f[0]);
    fx_stop(&f[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(alarm_list, begin, end),
        cmocka_unit_test_setup_teardown(nospace_refuses_growth, begin, end),
        cmocka_unit_test_setup_teardown(corrupt_refuses_changes, begin, end),
        cmocka_unit_test_setup_teardown(quota_at_apply, begin, end),
        cmocka_unit_test_setup_teardown(hooks, begin, end),
        cmocka_unit_test_setup_teardown(checkpoint_entry, begin, end),
        cmocka_unit_test_setup_teardown(strangers, begin, end),
        cmocka_unit_test_setup_teardown(answers_do_not_matter, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
