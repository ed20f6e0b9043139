/* Hash and Downgrade. */
#include "base/crc32c.h"
#include "fakes.h"

/* ---- Hash ---- */
static uint32_t add(uint32_t crc, const char *text)
{
    return crc32c(crc, text, strlen(text));
}

/* What stands in the buckets, by hand. */
static uint32_t expected(void)
{
    static const uint8_t key[17] = {[7] = 2, [8] = '_'};
    static const uint8_t kv[] = {0x0a, 1,    'a', 0x10, 2,    0x18,
                                 2,    0x20, 1,   0x2a, 0x01, '1'};
    uint32_t crc = add(0, "alarmauthauthRolesauthUserscluster");
    crc = add(crc, "clusterVersion3.7.0");
    crc = add(crc, "key");
    crc = crc32c(crc, key, sizeof key);
    crc = crc32c(crc, kv, sizeof kv);
    return add(crc, "leasemembersmembers_removedmetaconfState{}");
}

static void hash_of_everything(void **state)
{
    mvcc_begin(fake.store.mvcc);
    mvcc_put(fake.store.mvcc, slice_str("a"), slice_str("1"), 0, NULL);
    kvdb_stage_put(fake.store.db, KVDB_CLUSTER, slice_str("clusterVersion"),
                   slice_str("3.7.0"));
    kvdb_stage_put(fake.store.db, KVDB_META, slice_str("confState"),
                   slice_str("{}"));
    kvdb_stage_put(fake.store.db, KVDB_META, slice_str("storageVersion"),
                   slice_str("3.7.0"));
    mvcc_end(fake.store.mvcc, ++fake.index, 1);
    struct grpc_call c;
    call_init(&c, "/etcdserverpb.Maintenance/Hash");
    call_message(&c, (struct slice){NULL, 0});
    for (int i = 0; i < 20000 && !c.finished; i++) {
        kvdb_poll(fake.store.db);
        usleep(200);
    }
    expect(&c, GRPC_OK, "");
    Pb__HashResponse *r = call_answer(&c, 0, &pb__hash_response__descriptor);
    check_header(r->header, 2);
    assert_int_equal(r->hash, expected());
    FREE(r);
    call_end(&c);
}

static void hash_for_one_who_left(void **state)
{
    struct grpc_call c;
    call_init(&c, "/etcdserverpb.Maintenance/Hash");
    call_message(&c, (struct slice){NULL, 0});
    c.over = true;
    for (int i = 0; i < 20000 && c.refs; i++) {
        kvdb_poll(fake.store.db);
        usleep(200);
    }
    assert_int_equal(c.count, 0);
    call_end(&c);
}

/* ---- Downgrade ---- */
enum { VALIDATE, ENABLE, CANCEL };

static void ask(struct grpc_call *c, int action, const char *version)
{
    call_init(c, "/etcdserverpb.Maintenance/Downgrade");
    Pb__DowngradeRequest q = PB__DOWNGRADE_REQUEST__INIT;
    q.action = (Pb__DowngradeRequest__DowngradeAction)action;
    q.version = (char *)(uintptr_t)version;
    call_pb(c, &q);
    confirm_reads(0);
}

static void refused(int action, const char *version, enum grpc_code code,
                    const char *text)
{
    struct grpc_call c;
    ask(&c, action, version);
    expect(&c, code, text);
    assert_true(list_empty(&fake.proposals));
    call_end(&c);
}

static void granted(int action, const char *version)
{
    struct grpc_call c;
    ask(&c, action, version);
    commit();
    expect(&c, GRPC_OK, "");
    Pb__DowngradeResponse *r =
        call_answer(&c, 0, &pb__downgrade_response__descriptor);
    check_header(r->header, 1);
    assert_string_equal(r->version, "3.7");
    FREE(r);
    call_end(&c);
}

static void downgrade(void **state)
{
    static const char format[] =
        "etcdserver: wrong downgrade target version format";
    static const char target[] = "etcdserver: invalid downgrade target version";
    static const char *const bad[] = {"",     "3",      "3.",      "x.y",
                                      "v3.6", "3.6.",   "3.6.0.1", "3.6x",
                                      ".3.6", "3.6-rc", " 3.6",    "3..6"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        refused(VALIDATE, bad[i], 3, format);
        refused(ENABLE, bad[i], 3, format);
    }
    static const char *const wrong[] = {"3.7", "3.5", "3.8.1", "2.6", "4.6"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        refused(VALIDATE, wrong[i], 3, target);
    }
    granted(VALIDATE, "3.6");
    granted(VALIDATE, "3.6.99");
    granted(VALIDATE, "3.6.0-rc.1");
    refused(ENABLE, "3.6", 3, target);
    refused(3, "3.6", 2, "etcdserver: unknown method");
    granted(CANCEL, "anything");
    assert_int_equal(fake.index, 0); /* nothing was proposed */
}

static void downgrade_under_way(void **state)
{
    fake.downgrade = "3.6.0";
    struct grpc_call c;
    call_init(&c, "/etcdserverpb.Maintenance/Status");
    call_message(&c, (struct slice){NULL, 0});
    Pb__StatusResponse *s =
        call_answer(&c, 0, &pb__status_response__descriptor);
    assert_true(s->downgradeinfo->enabled);
    assert_string_equal(s->downgradeinfo->targetversion, "3.6.0");
    FREE(s);
    call_end(&c);
    refused(VALIDATE, "3.6", 9,
            "etcdserver: cluster has a downgrade job in progress");
    refused(ENABLE, "3.6", 9,
            "etcdserver: cluster has a downgrade job in progress");
    granted(CANCEL, "");
    assert_null(fake.downgrade); /* by the entry */
    granted(CANCEL, "");
    fake.cluster_version = NULL;
    refused(VALIDATE, "3.6", 9,
            "etcdserver: cluster version not found during downgrade");
    fake.cluster_version = "3.7.0";
    call_init(&c, "/etcdserverpb.Maintenance/Downgrade");
    Pb__DowngradeRequest q = PB__DOWNGRADE_REQUEST__INIT;
    q.version = (char *)(uintptr_t) "3.6";
    call_pb(&c, &q);
    confirm_reads(ERR_TIMEOUT);
    expect(&c, 14, "etcdserver: request timed out");
    call_end(&c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_new, world_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hash_of_everything),
        TEST(hash_for_one_who_left),
        TEST(downgrade),
        TEST(downgrade_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
