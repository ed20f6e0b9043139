/* The interceptor, and the smaller services. */
#include "base/text.h"
#include "fakes.h"

static void stream_begin(struct grpc_call *c, const char *path)
{
    call_init(c, path);
    assert_true(api_intercept(fake.api, c));
}

static void put(const char *key, const char *value)
{
    struct grpc_call c;
    call_init(&c, "/etcdserverpb.KV/Put");
    Pb__PutRequest p = PB__PUT_REQUEST__INIT;
    p.key = data_of(key);
    p.value = data_of(value);
    call_pb(&c, &p);
    commit();
    expect(&c, GRPC_OK, "");
    call_end(&c);
}

/* ---- interceptor ---- */
static void intercepts(void **state)
{
    static const struct {
        const char *path;
        bool learner, no_leader;
        const char *metadata[5];
        const char *want; /* NULL: passes */
    } rows[] = {
        {"/etcdserverpb.KV/Put", false, false, {NULL}, NULL},
        {"/etcdserverpb.KV/Put", false, true, {NULL}, NULL},
        {"/etcdserverpb.KV/Put",
         false,
         true,
         {"hasleader", "true", NULL},
         "etcdserver: no leader"},
        {"/etcdserverpb.KV/Put", false, true, {"hasleader", "yes", NULL}, NULL},
        {"/etcdserverpb.Watch/Watch",
         false,
         true,
         {"hasleader", "true", NULL},
         "etcdserver: no leader"},
        {"/etcdserverpb.KV/Range",
         false,
         true,
         {"client-api-version", "3\xff", "hasleader", "true", NULL},
         "etcdserver: invalid client api version"},
        {"/etcdserverpb.KV/Range",
         false,
         false,
         {"client-api-version", "3.5.\xc3\xa9", NULL},
         NULL},
        {"/etcdserverpb.KV/Put",
         true,
         true,
         {"hasleader", "true", NULL},
         "etcdserver: rpc not supported for learner"},
        {"/etcdserverpb.Cluster/MemberList",
         true,
         false,
         {NULL},
         "etcdserver: rpc not supported for learner"},
        {"/grpc.health.v1.Health/Check",
         true,
         false,
         {NULL},
         "etcdserver: rpc not supported for learner"},
        {"/etcdserverpb.Watch/Watch",
         true,
         false,
         {NULL},
         "etcdserver: rpc not supported for learner"},
        {"/etcdserverpb.Maintenance/Status", true, false, {NULL}, NULL},
        {"/etcdserverpb.KV/Range", true, false, {NULL}, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct grpc_call c;
        call_init(&c, rows[i].path);
        memcpy(c.metadata, rows[i].metadata, sizeof rows[i].metadata);
        fake.status.is_learner = rows[i].learner;
        fake.has_leader = !rows[i].no_leader;
        bool passed = api_intercept(fake.api, &c);
        assert_int_equal(passed, rows[i].want == NULL);
        assert_string_equal(c.text, rows[i].want ? rows[i].want : "");
        if (c.ctx) {
            call_end(&c);
        } else {
            buf_release(&c.sent);
            arena_release(&c.arena);
        }
    }
    struct grpc_call c;
    fake.status.is_learner = true;
    call_init(&c, "/etcdserverpb.KV/Range");
    Pb__RangeRequest q = PB__RANGE_REQUEST__INIT;
    call_pb(&c, &q); /* even without a key */
    expect(&c, 9, "etcdserver: rpc not supported for learner");
    call_end(&c);
}

static void leaderless_streams_end(void **state)
{
    struct grpc_call c, plain;
    call_init(&c, "/etcdserverpb.Watch/Watch");
    c.metadata[0] = "hasleader";
    c.metadata[1] = "true";
    assert_true(api_intercept(fake.api, &c));
    stream_begin(&plain, "/etcdserverpb.Watch/Watch");
    fake.leaderless_ms = 2999;
    tick(100);
    assert_false(c.finished);
    fake.leaderless_ms = 3000;
    tick(100);
    assert_true(c.finished);
    assert_int_equal(c.code, 14);
    assert_string_equal(c.text, "etcdserver: no leader");
    assert_false(plain.finished);
    call_end(&c);
    call_end(&plain);
}

/* ---- the rest ---- */
static void member_list(void **state)
{
    struct grpc_call c;
    Pb__MemberListRequest q = PB__MEMBER_LIST_REQUEST__INIT;
    q.linearizable = true;
    call_init(&c, "/etcdserverpb.Cluster/MemberList");
    call_pb(&c, &q);
    assert_false(c.finished);
    confirm_reads(0);
    Pb__MemberListResponse *r =
        call_answer(&c, 0, &pb__member_list_response__descriptor);
    check_header(r->header, 0);
    assert_int_equal(r->n_members, 2);
    assert_string_equal(r->members[0]->name, "n7");
    assert_true(r->members[1]->islearner);
    assert_int_equal(r->members[1]->n_clienturls, 0);
    FREE(r);
    call_end(&c);
    q.linearizable = false;
    call_init(&c, "/etcdserverpb.Cluster/MemberList");
    call_pb(&c, &q);
    expect(&c, GRPC_OK, "");
    call_end(&c);
}

static void status_and_alarms(void **state)
{
    struct grpc_call c;
    Pb__AlarmRequest a = PB__ALARM_REQUEST__INIT;
    a.action = PB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE;
    a.memberid = 123;
    a.alarm = PB__ALARM_TYPE__NOSPACE;
    call_init(&c, "/etcdserverpb.Maintenance/Alarm");
    call_pb(&c, &a);
    commit();
    Pb__AlarmResponse *ar = call_answer(&c, 0, &pb__alarm_response__descriptor);
    assert_int_equal(ar->n_alarms, 1);
    check_header(ar->header, 1);
    FREE(ar);
    call_end(&c);
    a.action = 3;
    call_init(&c, "/etcdserverpb.Maintenance/Alarm");
    call_pb(&c, &a);
    assert_int_equal(c.code, 3);
    assert_true(list_empty(&fake.proposals));
    call_end(&c);
    fake.status.leader = 0;
    call_init(&c, "/etcdserverpb.Maintenance/Status");
    call_message(&c, (struct slice){NULL, 0});
    Pb__StatusResponse *s =
        call_answer(&c, 0, &pb__status_response__descriptor);
    check_header(s->header, 1);
    assert_string_equal(s->version, "3.7.1");
    assert_string_equal(s->storageversion, "3.7.0");
    assert_int_equal(s->dbsizequota, 64 << 20);
    assert_int_equal(s->n_errors, 2);
    assert_string_equal(s->errors[0], "etcdserver: no leader");
    assert_string_equal(s->errors[1], "memberID:123 alarm:NOSPACE");
    assert_non_null(s->downgradeinfo);
    FREE(s);
    call_end(&c);
}

static void move_leader(void **state)
{
    static const struct {
        enum raft_role role;
        uint64_t target;
        enum grpc_code code;
        const char *text;
    } rows[] = {
        {RAFT_FOLLOWER, 7, 9, "etcdserver: not leader"},
        {RAFT_LEADER, 0, 9, "etcdserver: bad leader transferee"},
        {RAFT_LEADER, 55, 9, "etcdserver: bad leader transferee"},
        {RAFT_LEADER, 8, 9, "etcdserver: bad leader transferee"},
        {RAFT_LEADER, 7, 0, ""},
    };
    struct grpc_call c;
    Pb__MoveLeaderRequest q = PB__MOVE_LEADER_REQUEST__INIT;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fake.status.role = rows[i].role;
        q.targetid = rows[i].target;
        call_init(&c, "/etcdserverpb.Maintenance/MoveLeader");
        call_pb(&c, &q);
        expect(&c, rows[i].code, rows[i].text);
        call_end(&c);
    }
    fake.members.list[1].is_learner = false;
    q.targetid = 8;
    call_init(&c, "/etcdserverpb.Maintenance/MoveLeader");
    call_pb(&c, &q);
    assert_int_equal(fake.transferred_to, 8);
    tick(100);
    assert_false(c.finished);
    fake.status.leader = 8;
    tick(100);
    expect(&c, GRPC_OK, "");
    assert_int_equal(call_sent(&c, 0).size, 0);
    call_end(&c);
}

static void health(void **state)
{
    struct grpc_call c;
    Pbh__HealthCheckRequest q = PBH__HEALTH_CHECK_REQUEST__INIT;
    call_init(&c, "/grpc.health.v1.Health/Check");
    call_pb(&c, &q);
    expect(&c, GRPC_OK, "");
    assert_true(slice_eq_str(call_sent(&c, 0), "\x08\x01"));
    call_end(&c);
    q.service = (char *)(uintptr_t) "x";
    call_init(&c, "/grpc.health.v1.Health/Check");
    call_pb(&c, &q);
    expect(&c, 5, "unknown service");
    call_end(&c);
    stream_begin(&c, "/grpc.health.v1.Health/Watch");
    call_pb(&c, &q);
    assert_true(slice_eq_str(call_sent(&c, 0), "\x08\x03"));
    assert_false(c.finished);
    call_end(&c);
    call_init(&c, "/grpc.health.v1.Health/List");
    call_message(&c, (struct slice){NULL, 0});
    /* The entry of a map has its key also where that is empty. */
    static const uint8_t list[] = {0x0a, 6, 0x0a, 0, 0x12, 2, 0x08, 1};
    assert_true(slice_eq(call_sent(&c, 0), slice_of(list, sizeof list)));
    call_end(&c);
}

static void hash_kv(void **state)
{
    struct grpc_call c;
    put("a", "1");
    Pb__HashKVRequest q = PB__HASH_KVREQUEST__INIT;
    q.revision = -1;
    call_init(&c, "/etcdserverpb.Maintenance/HashKV");
    call_pb(&c, &q);
    expect(&c, 11, "etcdserver: mvcc: required revision is a future revision");
    call_end(&c);
    q.revision = 0;
    call_init(&c, "/etcdserverpb.Maintenance/HashKV");
    call_pb(&c, &q);
    for (int i = 0; i < 20000 && !c.finished; i++) {
        kvdb_poll(fake.store.db);
        usleep(200);
    }
    expect(&c, GRPC_OK, "");
    Pb__HashKVResponse *r =
        call_answer(&c, 0, &pb__hash_kvresponse__descriptor);
    assert_int_equal(r->hash_revision, 2);
    assert_int_equal(r->compact_revision, -1);
    assert_true(r->hash != 0);
    FREE(r);
    call_end(&c);
}

static void utf8(void **state)
{
    static const struct {
        const char *text;
        bool want;
    } rows[] = {
        {"", true},
        {"3.5", true},
        {"\xc3\xa9", true},
        {"\xe2\x82\xac", true},
        {"\xf0\x9f\x98\x80", true},
        {"\xc0\x80", false},
        {"\xc3", false},
        {"\x80", false},
        {"\xed\xa0\x80", false},
        {"\xe0\x80\x80", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xe2\x82", false},
        {"\xc3(", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(text_is_utf8(slice_str(rows[i].text)), rows[i].want);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_new, world_free)
    const struct CMUnitTest tests[] = {
        TEST(intercepts),  TEST(leaderless_streams_end),
        TEST(member_list), TEST(status_and_alarms),
        TEST(move_leader), TEST(health),
        TEST(hash_kv),     cmocka_unit_test(utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
