#include "fakes.h"

static void put_ok(const char *key, const char *value, int64_t revision)
{
    struct grpc_call c;
    call_init(&c, "/etcdserverpb.KV/Put");
    Pb__PutRequest put = PB__PUT_REQUEST__INIT;
    put.key = data_of(key);
    put.value = data_of(value);
    call_pb(&c, &put);
    assert_false(c.finished);
    assert_int_equal(count_of(&fake.proposals), 1);
    commit();
    expect(&c, GRPC_OK, "");
    Pb__PutResponse *r = call_answer(&c, 0, &pb__put_response__descriptor);
    check_header(r->header, revision);
    assert_null(r->prev_kv);
    FREE(r);
    call_end(&c);
}

static void put_entry_is_canonical(void **state)
{
    struct grpc_call c;
    call_init(&c, "/etcdserverpb.KV/Put");
    static const uint8_t message[] = {0x0a, 1, 'k', 0x12, 1, 'v'};
    call_message(&c, slice_of(message, sizeof message));
    struct replica_proposal *p =
        container_of(fake.proposals.next, struct replica_proposal, link);
    static const uint8_t want[] = {0x22, 6,    0x0a, 1, 'k',  0x12, 1,
                                   'v',  0xa2, 0x06, 2, 0x08, 1};
    assert_int_equal(p->data->size, sizeof want);
    assert_memory_equal(p->data->data, want, sizeof want);
    assert_int_equal(p->type, RAFT_ENTRY_NORMAL);
    call_end(&c); /* the client went away: nothing waits any more */
    assert_true(list_empty(&fake.proposals));
}

static void put_prev_kv(void **state)
{
    put_ok("a", "1", 2);
    struct grpc_call c;
    call_init(&c, "/etcdserverpb.KV/Put");
    Pb__PutRequest put = PB__PUT_REQUEST__INIT;
    put.key = data_of("a");
    put.prev_kv = true;
    call_pb(&c, &put);
    commit();
    expect(&c, GRPC_OK, "");
    Pb__PutResponse *r = call_answer(&c, 0, &pb__put_response__descriptor);
    check_header(r->header, 3);
    assert_int_equal(r->prev_kv->mod_revision, 2);
    FREE(r);
    call_end(&c);
}

#define BAD(path, message, want_code, want_text)  \
    do {                                          \
        struct grpc_call bad;                     \
        call_init(&bad, path);                    \
        call_pb(&bad, message);                   \
        expect(&bad, want_code, want_text);       \
        assert_true(list_empty(&fake.proposals)); \
        call_end(&bad);                           \
    } while (0)

static void put_checks(void **state)
{
    static const char path[] = "/etcdserverpb.KV/Put";
    Pb__PutRequest p = PB__PUT_REQUEST__INIT;
    p.value = data_of("v");
    p.lease = 5;
    p.ignore_value = p.ignore_lease = true;
    BAD(path, &p, 3, "etcdserver: key is not provided");
    p.key = data_of("k");
    BAD(path, &p, 3, "etcdserver: value is provided");
    p.value.len = 0;
    BAD(path, &p, 3, "etcdserver: lease is provided");
    p = (Pb__PutRequest)PB__PUT_REQUEST__INIT;
    p.key = data_of("k");
    static char big[2001];
    p.value = (ProtobufCBinaryData){2000 - 13, (uint8_t *)big};
    BAD(path, &p, 3, "etcdserver: request is too large");
    struct grpc_call c;
    call_init(&c, path);
    p.value.len--;
    call_pb(&c, &p);
    assert_false(c.finished); /* exactly the limit */
    struct replica_proposal *proposal =
        container_of(fake.proposals.next, struct replica_proposal, link);
    assert_int_equal(proposal->data->size, 2000);
    call_end(&c);
    fake.status.commit = fake.status.applied + 5001;
    p.value.len = 0;
    BAD(path, &p, 2, "etcdserver: too many requests");
}

static void put_refused_at_apply(void **state)
{
    struct grpc_call c;
    call_init(&c, "/etcdserverpb.KV/Put");
    Pb__PutRequest p = PB__PUT_REQUEST__INIT;
    p.key = data_of("k");
    p.lease = 123;
    call_pb(&c, &p);
    commit();
    expect(&c, 5, "etcdserver: requested lease not found");
    call_end(&c);
}

static void proposal_failures(void **state)
{
    static const struct {
        int err;
        enum grpc_code code;
        const char *text;
    } rows[] = {
        {ERR_NO_LEADER, 4, "context deadline exceeded"},
        {ERR_TIMEOUT, 14, "etcdserver: request timed out"},
        {ERR_CLOSED, 14, "etcdserver: server stopped"},
        {ERR_DROPPED, 2, "raft proposal dropped"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct grpc_call c;
        call_init(&c, "/etcdserverpb.KV/DeleteRange");
        Pb__DeleteRangeRequest d = PB__DELETE_RANGE_REQUEST__INIT;
        d.key = data_of("k");
        call_pb(&c, &d);
        fail_proposals(rows[i].err);
        expect(&c, rows[i].code, rows[i].text);
        call_end(&c);
    }
}

static void range_checks(void **state)
{
    static const char path[] = "/etcdserverpb.KV/Range";
    Pb__RangeRequest r = PB__RANGE_REQUEST__INIT;
    r.sort_order = (Pb__RangeRequest__SortOrder)7;
    BAD(path, &r, 3, "etcdserver: key is not provided");
    r.key = data_of("k");
    BAD(path, &r, 3, "etcdserver: invalid sort option");
    r.sort_order = 0;
    r.sort_target = (Pb__RangeRequest__SortTarget)5;
    BAD(path, &r, 3, "etcdserver: invalid sort option");
    r.sort_target = 0;
    r.serializable = true;
    r.revision = 2;
    BAD(path, &r, 11,
        "etcdserver: mvcc: required revision is a future revision");
    struct grpc_call c;
    call_init(&c, path);
    call_message(&c, slice_str("\xff\xff"));
    expect(&c, 13,
           "grpc: error unmarshalling request: proto:\xc2\xa0"
           "cannot parse invalid wire-format data");
    call_end(&c);
}

static void range_reads(void **state)
{
    put_ok("a", "1", 2);
    put_ok("b", "2", 3);
    struct grpc_call c;
    call_init(&c, "/etcdserverpb.KV/Range");
    Pb__RangeRequest q = PB__RANGE_REQUEST__INIT;
    q.key = data_of("a");
    q.range_end = data_of("z");
    q.revision = 2;
    call_pb(&c, &q);
    assert_false(c.finished);
    assert_int_equal(count_of(&fake.reads), 1);
    confirm_reads(0);
    expect(&c, GRPC_OK, "");
    Pb__RangeResponse *r = call_answer(&c, 0, &pb__range_response__descriptor);
    check_header(r->header, 3); /* the store's, not the one asked for */
    assert_int_equal(r->count, 1);
    FREE(r);
    call_end(&c);
    /* serializable: at once */
    call_init(&c, "/etcdserverpb.KV/Range");
    q.revision = 0;
    q.serializable = true;
    call_pb(&c, &q);
    expect(&c, GRPC_OK, "");
    r = call_answer(&c, 0, &pb__range_response__descriptor);
    assert_int_equal(r->n_kvs, 2);
    FREE(r);
    call_end(&c);
    /* failures */
    q.serializable = false;
    call_init(&c, "/etcdserverpb.KV/Range");
    call_pb(&c, &q);
    confirm_reads(ERR_LEADER_CHANGED);
    expect(&c, 14, "etcdserver: leader changed");
    call_end(&c);
    call_init(&c, "/etcdserverpb.KV/Range");
    call_pb(&c, &q);
    call_end(&c);
    assert_true(list_empty(&fake.reads));
}

/* An answer larger than what is copied goes out whole, too. */
static void range_large(void **state)
{
    static char value[1500];
    memset(value, 'x', sizeof value - 1);
    static const int counts[] = {1, 3, 10, API_SCRATCH_KEEP / 1500 + 1, 200};
    int have = 0;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (; have < counts[i]; have++) {
            char key[16];
            snprintf(key, sizeof key, "k%03d", have);
            put_ok(key, value, 2 + have);
        }
        struct grpc_call c;
        call_init(&c, "/etcdserverpb.KV/Range");
        Pb__RangeRequest q = PB__RANGE_REQUEST__INIT;
        q.key = data_of("a");
        q.range_end = data_of("z");
        q.serializable = true;
        call_pb(&c, &q);
        Pb__RangeResponse *r =
            call_answer(&c, 0, &pb__range_response__descriptor);
        check_header(r->header, 1 + have);
        assert_int_equal(r->n_kvs, have);
        assert_int_equal(r->count, have);
        assert_int_equal(r->kvs[have - 1]->value.len, 1499);
        FREE(r);
        call_end(&c);
    }
}

static void steps(struct grpc_call *c, int *ret_steps)
{
    for (*ret_steps = 0; !c->finished && *ret_steps < 1000; ++*ret_steps) {
        /* writes go on between, and do not show */
        mvcc_begin(fake.store.mvcc);
        assert_int_equal(mvcc_put(fake.store.mvcc, slice_str("k000000x"),
                                  slice_str("new"), 0, NULL),
                         0);
        mvcc_end(fake.store.mvcc, ++fake.index, 1);
        api_later_fire(fake.api);
    }
}

/* A long list is made in slices, at one revision. */
_Static_assert(3 * APPLY_STEP_KEYS + 500 < APPLY_STEP_COUNTS,
               "what the row with a limit of 1 expects");
static void range_in_slices(void **state)
{
    enum { COUNT = 3 * APPLY_STEP_KEYS + 500 };
    mvcc_begin(fake.store.mvcc);
    for (int i = 0; i < COUNT; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%06d", i);
        assert_int_equal(
            mvcc_put(fake.store.mvcc, slice_str(key), slice_str("v"), 0, NULL),
            0);
    }
    mvcc_end(fake.store.mvcc, ++fake.index, 1);
    static const struct {
        int64_t limit, max_mod;
        bool keys_only, serializable;
        int want_kvs, want_steps_min;
        bool want_more;
    } rows[] = {
        {0, 0, false, true, COUNT, 3, false},
        {0, 0, false, false, COUNT, 3, false},
        {0, 0, true, true, COUNT, 3, false},
        {COUNT, 0, false, true, COUNT, 3, false},
        {COUNT - 1, 0, false, true, COUNT - 1, 3, true},
        {1, 0, false, true, 1, 0, true}, /* one key, the rest counted */
        {0, 1, false, true, 0, 3, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct grpc_call c;
        call_init(&c, "/etcdserverpb.KV/Range");
        Pb__RangeRequest q = PB__RANGE_REQUEST__INIT;
        q.key = data_of("k");
        q.range_end = data_of("l");
        q.limit = rows[i].limit;
        q.max_mod_revision = rows[i].max_mod;
        q.keys_only = rows[i].keys_only;
        q.serializable = rows[i].serializable;
        q.revision = 2;
        call_pb(&c, &q);
        confirm_reads(0);
        int64_t revision = mvcc_revision(fake.store.mvcc);
        int taken;
        steps(&c, &taken);
        assert_true(taken >= rows[i].want_steps_min);
        expect(&c, GRPC_OK, "");
        Pb__RangeResponse *r =
            call_answer(&c, 0, &pb__range_response__descriptor);
        check_header(r->header, revision);
        assert_int_equal(r->count, COUNT);
        assert_int_equal(r->more, rows[i].want_more);
        assert_int_equal(r->n_kvs, rows[i].want_kvs);
        for (size_t k = 0; k < r->n_kvs; k++) {
            char key[16];
            snprintf(key, sizeof key, "k%06d", (int)k);
            assert_memory_equal(r->kvs[k]->key.data, key, 7);
            assert_int_equal(r->kvs[k]->value.len, !rows[i].keys_only);
        }
        FREE(r);
        call_end(&c);
    }
    /* compacted while under way; and a client that leaves */
    for (int leaves = 0; leaves < 2; leaves++) {
        struct grpc_call c;
        call_init(&c, "/etcdserverpb.KV/Range");
        Pb__RangeRequest q = PB__RANGE_REQUEST__INIT;
        q.key = data_of("k");
        q.range_end = data_of("l");
        q.revision = mvcc_revision(fake.store.mvcc) - !leaves;
        q.serializable = true;
        call_pb(&c, &q);
        api_later_fire(fake.api);
        assert_false(c.finished);
        if (!leaves) {
            mvcc_begin(fake.store.mvcc);
            assert_int_equal(
                mvcc_compact(fake.store.mvcc, q.revision + 1, NULL, NULL), 0);
            mvcc_end(fake.store.mvcc, ++fake.index, 1);
            api_later_fire(fake.api);
            expect(&c, 11,
                   "etcdserver: mvcc: required revision has been compacted");
        }
        call_end(&c);
        assert_true(list_empty(&fake.api->slices));
    }
}

/* The newest is still the newest; an old revision is gone. */
static void range_newest_and_compaction(void **state)
{
    enum { COUNT = APPLY_STEP_KEYS + 500 };
    mvcc_begin(fake.store.mvcc);
    for (int i = 0; i < COUNT; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%06d", i);
        assert_int_equal(
            mvcc_put(fake.store.mvcc, slice_str(key), slice_str("v"), 0, NULL),
            0);
    }
    mvcc_end(fake.store.mvcc, ++fake.index, 1);
    struct grpc_call c;
    call_init(&c, "/etcdserverpb.KV/Range");
    Pb__RangeRequest q = PB__RANGE_REQUEST__INIT;
    q.key = data_of("k");
    q.range_end = data_of("l");
    q.serializable = true;
    call_pb(&c, &q);
    assert_false(c.finished);
    put_ok("kk", "new", 3);
    mvcc_begin(fake.store.mvcc);
    assert_int_equal(mvcc_compact(fake.store.mvcc, 3, NULL, NULL), 0);
    mvcc_end(fake.store.mvcc, ++fake.index, 1);
    while (!list_empty(&fake.api->slices)) {
        api_later_fire(fake.api);
    }
    expect(&c, GRPC_OK, "");
    Pb__RangeResponse *r = call_answer(&c, 0, &pb__range_response__descriptor);
    check_header(r->header, 3);
    assert_int_equal(r->n_kvs, COUNT + 1);
    assert_int_equal(r->count, COUNT + 1);
    FREE(r);
    call_end(&c);
}

static void quota_first(void **state)
{
    struct grpc_call c;
    fake.api->config.quota_bytes = 1000;
    call_init(&c, "/etcdserverpb.KV/Put");
    Pb__PutRequest p = PB__PUT_REQUEST__INIT; /* no key: would be 3 */
    tick(100);
    call_pb(&c, &p);
    expect(&c, 8, "etcdserver: mvcc: database space exceeded");
    call_end(&c);
    /* one alarm is on its way, not two */
    call_init(&c, "/etcdserverpb.KV/Put");
    call_pb(&c, &p);
    assert_int_equal(count_of(&fake.proposals), 1);
    call_end(&c);
    commit();
    assert_true(apply_alarm_active(fake.apply, PB__ALARM_TYPE__NOSPACE));
    size_t count;
    assert_int_equal(apply_alarms(fake.apply, &count)->member_id, 7);
    /* and none again while it stands */
    call_init(&c, "/etcdserverpb.KV/Put");
    call_pb(&c, &p);
    assert_true(list_empty(&fake.proposals));
    call_end(&c);
}

static void compact_physical(void **state)
{
    put_ok("a", "1", 2);
    put_ok("a", "2", 3);
    struct grpc_call c;
    call_init(&c, "/etcdserverpb.KV/Compact");
    Pb__CompactionRequest q = PB__COMPACTION_REQUEST__INIT;
    q.revision = 3;
    q.physical = true;
    call_pb(&c, &q);
    commit();
    assert_false(c.finished);
    for (int i = 0; i < 20000 && !c.finished; i++) {
        kvdb_poll(fake.store.db);
        usleep(200);
    }
    expect(&c, GRPC_OK, "");
    Pb__CompactionResponse *r =
        call_answer(&c, 0, &pb__compaction_response__descriptor);
    check_header(r->header, 3);
    FREE(r);
    call_end(&c);
    call_init(&c, "/etcdserverpb.KV/Compact");
    call_pb(&c, &q);
    commit();
    expect(&c, 11, "etcdserver: mvcc: required revision has been compacted");
    call_end(&c);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_new, world_free)
    const struct CMUnitTest tests[] = {
        TEST(put_entry_is_canonical),
        TEST(put_prev_kv),
        TEST(put_checks),
        TEST(put_refused_at_apply),
        TEST(proposal_failures),
        TEST(range_checks),
        TEST(range_reads),
        TEST(range_large),
        TEST(range_in_slices),
        TEST(range_newest_and_compaction),
        TEST(quota_first),
        TEST(compact_physical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
