/* Lock and Election. */
#include "fakes.h"
#include "proto/election.pb-c.h"
#include "proto/lock.pb-c.h"

static void grant(int64_t id)
{
    int64_t ttl;
    assert_int_equal(lease_grant(fake.lessor, id, 60, fake.now_ms, &ttl), 0);
}

/* Until nothing moves any more. */
static void settle(void)
{
    do {
        commit();
        confirm_reads(0);
        while (!list_empty(&fake.api->slices)) {
            api_later_fire(fake.api);
        }
        if (watch_wants_catch_up(fake.hub)) {
            api_later_fire(fake.api);
        }
    } while (!list_empty(&fake.proposals) || !list_empty(&fake.reads) ||
             !list_empty(&fake.api->slices));
}

static bool has_key(const char *key)
{
    struct mvcc_stat stat;
    return mvcc_stat(fake.store.mvcc, slice_str(key), &stat) == 0;
}

static void delete_key(const char *key)
{
    struct grpc_call c;
    call_init(&c, "/etcdserverpb.KV/DeleteRange");
    Pb__DeleteRangeRequest d = PB__DELETE_RANGE_REQUEST__INIT;
    d.key = data_of(key);
    call_pb(&c, &d);
    commit();
    call_end(&c);
}

static void failed(const struct grpc_call *c, enum grpc_code code,
                   const char *text)
{
    assert_true(c->finished);
    assert_string_equal(c->text, text);
    assert_int_equal(c->code, code);
}

/* ---- Lock ---- */
static void lock_begin(struct grpc_call *c, const char *name, int64_t lease)
{
    call_init(c, "/v3lockpb.Lock/Lock");
    Pbl__LockRequest q = PBL__LOCK_REQUEST__INIT;
    q.name = data_of(name);
    q.lease = lease;
    call_pb(c, &q);
    settle();
}

static void locked(const struct grpc_call *c, const char *key, int64_t revision)
{
    expect(c, GRPC_OK, "");
    Pbl__LockResponse *r = call_answer(c, 0, &pbl__lock_response__descriptor);
    check_header(r->header, revision);
    assert_int_equal(r->key.len, strlen(key));
    assert_memory_equal(r->key.data, key, r->key.len);
    FREE(r);
}

static void unlock(const char *key, int64_t revision)
{
    struct grpc_call c;
    call_init(&c, "/v3lockpb.Lock/Unlock");
    Pbl__UnlockRequest q = PBL__UNLOCK_REQUEST__INIT;
    q.key = data_of(key);
    call_pb(&c, &q);
    commit();
    expect(&c, GRPC_OK, "");
    Pbl__UnlockResponse *r =
        call_answer(&c, 0, &pbl__unlock_response__descriptor);
    check_header(r->header, revision);
    FREE(r);
    call_end(&c);
    settle();
}

static void lock_goes_round(void **state)
{
    struct grpc_call a, b, d;
    grant(0x1a);
    grant(-255);
    grant(3);
    lock_begin(&a, "m", 0x1a);
    locked(&a, "m/1a", 2);
    lock_begin(&b, "m", -255);
    lock_begin(&d, "m", 3);
    assert_false(b.finished || d.finished);
    assert_true(has_key("m/-ff"));
    /* again by who has it: at once */
    struct grpc_call again;
    lock_begin(&again, "m", 0x1a);
    locked(&again, "m/1a", 4);
    call_end(&again);
    /* another name, and one that begins alike */
    struct grpc_call other;
    lock_begin(&other, "m2", 3);
    locked(&other, "m2/3", 5);
    call_end(&other);
    unlock("m/1a", 6);
    locked(&b, "m/-ff", 6);
    assert_false(d.finished);
    unlock("m/-ff", 7);
    locked(&d, "m/3", 7);
    unlock("m/3", 8);
    unlock("m/3", 8); /* not there: fine, too */
    call_end(&a);
    call_end(&b);
    call_end(&d);
    assert_true(list_empty(&fake.proposals)); /* keys of holders stay */
}

static void lock_with_a_lease_of_its_own(void **state)
{
    struct grpc_call c;
    lock_begin(&c, "", 0);
    expect(&c, GRPC_OK, "");
    Pbl__LockResponse *r = call_answer(&c, 0, &pbl__lock_response__descriptor);
    char key[32] = "";
    memcpy(key, r->key.data, r->key.len);
    int64_t lease = strtoll(key + 1, NULL, 16);
    assert_int_equal(key[0], '/');
    FREE(r);
    struct lease_info info;
    assert_int_equal(lease_get(fake.lessor, lease, fake.now_ms, &info), 0);
    assert_int_equal(info.ttl_s, 60);
    call_end(&c);
}

static void one_who_gives_up_leaves_the_queue(void **state)
{
    struct grpc_call a, b, d;
    grant(1);
    grant(2);
    grant(3);
    lock_begin(&a, "m", 1);
    lock_begin(&b, "m", 2);
    lock_begin(&d, "m", 3);
    call_end(&b);
    settle();
    assert_false(has_key("m/2"));
    assert_false(d.finished); /* who was waited for changed, not the holder */
    unlock("m/1", 6);
    locked(&d, "m/3", 6);
    call_end(&a);
    call_end(&d);
    struct watch_stats stats;
    watch_get_stats(fake.hub, &stats);
    assert_int_equal(stats.stream_count, 0);
}

static void lock_failures(void **state)
{
    struct grpc_call a, b;
    lock_begin(&a, "m", 77);
    failed(&a, 2, "etcdserver: requested lease not found");
    call_end(&a);
    /* the own key went while it waited */
    grant(1);
    grant(2);
    lock_begin(&a, "m", 1);
    lock_begin(&b, "m", 2);
    delete_key("m/2");
    settle();
    assert_false(b.finished);
    unlock("m/1", 5);
    failed(&b, 2, "mutex: session is expired");
    call_end(&a);
    call_end(&b);
    /* no leader for the transaction; for the read after the wait */
    call_init(&a, "/v3lockpb.Lock/Lock");
    Pbl__LockRequest q = PBL__LOCK_REQUEST__INIT;
    q.lease = 1;
    call_pb(&a, &q);
    fail_proposals(ERR_NO_LEADER);
    failed(&a, 4, "context deadline exceeded");
    call_end(&a);
    call_init(&a, "/v3lockpb.Lock/Lock");
    q.lease = 0;
    call_pb(&a, &q);
    fail_proposals(ERR_TIMEOUT);
    failed(&a, 2, "etcdserver: request timed out");
    call_end(&a);
    lock_begin(&a, "r", 1);
    lock_begin(&b, "r", 2);
    delete_key("r/1");
    api_later_fire(fake.api);
    confirm_reads(ERR_TIMEOUT);
    failed(&b, 2, "etcdserver: request timed out");
    call_end(&b);
    call_end(&a);
    settle();
    assert_false(has_key("r/2"));
    call_init(&a, "/v3lockpb.Lock/Unlock");
    Pbl__UnlockRequest u = PBL__UNLOCK_REQUEST__INIT;
    call_pb(&a, &u);
    failed(&a, 2, "etcdserver: key is not provided");
    call_end(&a);
    call_init(&a, "/v3lockpb.Lock/Lock");
    call_message(&a, slice_str("\xff\xff"));
    assert_int_equal(a.code, 13);
    call_end(&a);
    /* larger than a request may be */
    static char big[2100];
    memset(big, 'n', sizeof big - 1);
    call_init(&a, "/v3lockpb.Lock/Lock");
    q.lease = 1;
    q.name = data_of(big);
    call_pb(&a, &q);
    failed(&a, 2, "etcdserver: request is too large");
    call_end(&a);
}

/* ---- Election ---- */
static void campaign_begin(struct grpc_call *c, int64_t lease,
                           const char *value)
{
    call_init(c, "/v3electionpb.Election/Campaign");
    Pbe__CampaignRequest q = PBE__CAMPAIGN_REQUEST__INIT;
    q.name = data_of("e");
    q.lease = lease;
    q.value = data_of(value);
    call_pb(c, &q);
    settle();
}

/* "name key rev lease @header" */
static const char *campaigned(const struct grpc_call *c)
{
    static char text[128];
    expect(c, GRPC_OK, "");
    Pbe__CampaignResponse *r =
        call_answer(c, 0, &pbe__campaign_response__descriptor);
    snprintf(text, sizeof text, "%.*s %.*s %lld %lld @%lld",
             (int)r->leader->name.len, (char *)r->leader->name.data,
             (int)r->leader->key.len, (char *)r->leader->key.data,
             (long long)r->leader->rev, (long long)r->leader->lease,
             (long long)r->header->revision);
    FREE(r);
    return text;
}

static Pbe__LeaderKey leader_key(const char *key, int64_t rev, int64_t lease)
{
    Pbe__LeaderKey l = PBE__LEADER_KEY__INIT;
    l.name = data_of("e");
    l.key = data_of(key);
    l.rev = rev;
    l.lease = lease;
    return l;
}

static void proclaim(struct grpc_call *c, Pbe__LeaderKey *leader,
                     const char *value)
{
    call_init(c, "/v3electionpb.Election/Proclaim");
    Pbe__ProclaimRequest q = PBE__PROCLAIM_REQUEST__INIT;
    q.leader = leader;
    q.value = data_of(value);
    call_pb(c, &q);
    settle();
}

static void resign(struct grpc_call *c, Pbe__LeaderKey *leader)
{
    call_init(c, "/v3electionpb.Election/Resign");
    Pbe__ResignRequest q = PBE__RESIGN_REQUEST__INIT;
    q.leader = leader;
    call_pb(c, &q);
    settle();
}

/* "value rev @header" of the n-th LeaderResponse. */
static const char *told(const struct grpc_call *c, uint32_t n)
{
    static char text[128];
    Pbe__LeaderResponse *r =
        call_answer(c, n, &pbe__leader_response__descriptor);
    check_header(r->header, r->header->revision);
    snprintf(text, sizeof text, "%.*s=%.*s %lld @%lld", (int)r->kv->key.len,
             (char *)r->kv->key.data, (int)r->kv->value.len,
             (char *)r->kv->value.data, (long long)r->kv->mod_revision,
             (long long)r->header->revision);
    FREE(r);
    return text;
}

static void leader(struct grpc_call *c)
{
    call_init(c, "/v3electionpb.Election/Leader");
    Pbe__LeaderRequest q = PBE__LEADER_REQUEST__INIT;
    q.name = data_of("e");
    call_pb(c, &q);
    assert_int_equal(count_of(&fake.reads), 1);
    settle();
}

static void election_goes_round(void **state)
{
    struct grpc_call a, b, c;
    grant(1);
    grant(2);
    leader(&c);
    failed(&c, 2, "election: no leader");
    call_end(&c);
    campaign_begin(&a, 1, "one");
    assert_string_equal(campaigned(&a), "e e/1 2 1 @2");
    campaign_begin(&b, 2, "two");
    assert_false(b.finished);
    leader(&c);
    assert_string_equal(told(&c, 0), "e/1=one 2 @3");
    call_end(&c);
    Pbe__LeaderKey first = leader_key("e/1", 2, 1);
    proclaim(&c, &first, "uno");
    expect(&c, GRPC_OK, "");
    call_end(&c);
    leader(&c);
    assert_string_equal(told(&c, 0), "e/1=uno 4 @4");
    call_end(&c);
    resign(&c, &first);
    expect(&c, GRPC_OK, "");
    Pbe__ResignResponse *r =
        call_answer(&c, 0, &pbe__resign_response__descriptor);
    check_header(r->header, 5);
    FREE(r);
    call_end(&c);
    assert_string_equal(campaigned(&b), "e e/2 3 2 @3");
    /* no leader any more: without effect, and refused */
    resign(&c, &first);
    expect(&c, GRPC_OK, "");
    call_end(&c);
    proclaim(&c, &first, "uno");
    failed(&c, 2, "election: not leader");
    call_end(&c);
    call_end(&a);
    call_end(&b);
}

static void campaigning_again_proclaims(void **state)
{
    struct grpc_call a, b;
    grant(1);
    grant(2);
    campaign_begin(&a, 1, "one");
    call_end(&a);
    campaign_begin(&a, 1, "one");
    assert_string_equal(campaigned(&a), "e e/1 2 1 @2");
    call_end(&a);
    campaign_begin(&a, 1, "uno");
    /* the header of the first transaction, which only read */
    assert_string_equal(campaigned(&a), "e e/1 2 1 @2");
    call_end(&a);
    campaign_begin(&b, 2, "two");
    call_end(&b); /* gives up: its key goes */
    settle();
    assert_true(has_key("e/1"));
    assert_false(has_key("e/2"));
}

static void election_failures(void **state)
{
    struct grpc_call c;
    proclaim(&c, NULL, "x");
    failed(&c, 2, "\"leader\" field must be provided");
    call_end(&c);
    resign(&c, NULL);
    failed(&c, 2, "\"leader\" field must be provided");
    call_end(&c);
    grant(1);
    Pbe__LeaderKey nobody = leader_key("", 2, 1);
    proclaim(&c, &nobody, "x");
    failed(&c, 2, "etcdserver: key is not provided");
    call_end(&c);
    resign(&c, &nobody);
    failed(&c, 2, "etcdserver: key is not provided");
    call_end(&c);
    campaign_begin(&c, 99, "x");
    failed(&c, 2, "etcdserver: requested lease not found");
    call_end(&c);
    /* Proclaim under lease 0 moves the key to a new lease */
    campaign_begin(&c, 1, "x");
    call_end(&c);
    Pbe__LeaderKey moved = leader_key("e/1", 2, 0);
    proclaim(&c, &moved, "y");
    expect(&c, GRPC_OK, "");
    call_end(&c);
    struct mvcc_stat stat;
    assert_int_equal(mvcc_stat(fake.store.mvcc, slice_str("e/1"), &stat), 0);
    assert_true(stat.lease != 0 && stat.lease != 1);
    assert_true(lease_exists(fake.lessor, stat.lease));
    call_init(&c, "/v3electionpb.Election/Leader");
    Pbe__LeaderRequest q = PBE__LEADER_REQUEST__INIT;
    q.name = data_of("e");
    call_pb(&c, &q);
    confirm_reads(ERR_TIMEOUT);
    failed(&c, 2, "etcdserver: request timed out");
    call_end(&c);
}

/* ---- Observe ---- */
static void observe(struct grpc_call *c)
{
    call_init(c, "/v3electionpb.Election/Observe");
    assert_true(api_intercept(fake.api, c));
    Pbe__LeaderRequest q = PBE__LEADER_REQUEST__INIT;
    q.name = data_of("e");
    call_pb(c, &q);
    settle();
}

static void observing(void **state)
{
    struct grpc_call o, late, a, b, c;
    grant(1);
    grant(2);
    observe(&o);
    assert_int_equal(o.count, 0); /* nobody yet */
    campaign_begin(&a, 1, "one");
    assert_int_equal(o.count, 1);
    assert_string_equal(told(&o, 0), "e/1=one 2 @2");
    campaign_begin(&b, 2, "two");
    assert_int_equal(o.count, 1); /* not the leader */
    observe(&late);
    assert_string_equal(told(&late, 0), "e/1=one 2 @3");
    Pbe__LeaderKey first = leader_key("e/1", 2, 1);
    proclaim(&c, &first, "uno");
    call_end(&c);
    assert_string_equal(told(&o, 1), "e/1=uno 4 @4");
    assert_string_equal(told(&late, 1), "e/1=uno 4 @4");
    resign(&c, &first);
    call_end(&c);
    assert_string_equal(told(&o, 2), "e/2=two 3 @5");
    delete_key("e/2");
    settle();
    assert_int_equal(o.count, 3);
    campaign_begin(&c, 1, "again");
    call_end(&c);
    assert_string_equal(told(&o, 3), "e/1=again 7 @7");
    assert_int_equal(o.count, 4);
    assert_false(o.finished);
    call_end(&o);
    call_end(&late);
    call_end(&a);
    call_end(&b);
    struct watch_stats stats;
    watch_get_stats(fake.hub, &stats);
    assert_int_equal(stats.stream_count, 0);
}

/* The first put after a pause and what follows it before the observer has
 * turned to the key: all told, once. */
static void observing_a_burst(void **state)
{
    struct grpc_call o;
    observe(&o);
    for (int i = 0; i < 3; i++) {
        mvcc_begin(fake.store.mvcc);
        struct mvcc_stat stat = {2, 1 + i, 0, i, 0};
        mvcc_put(fake.store.mvcc, slice_str("e/5"), slice_str("v"), 0,
                 i ? &stat : NULL);
        mvcc_end(fake.store.mvcc, ++fake.index, 1);
        watch_notify(fake.hub);
    }
    settle();
    assert_int_equal(o.count, 3);
    assert_string_equal(told(&o, 0), "e/5=v 2 @2");
    assert_string_equal(told(&o, 1), "e/5=v 3 @3");
    assert_string_equal(told(&o, 2), "e/5=v 4 @4");
    call_end(&o);
    call_init(&o, "/v3electionpb.Election/Observe");
    assert_true(api_intercept(fake.api, &o));
    Pbe__LeaderRequest q = PBE__LEADER_REQUEST__INIT;
    call_pb(&o, &q);
    confirm_reads(ERR_TIMEOUT);
    failed(&o, 2, "election: observe closed early");
    call_end(&o);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_new, world_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lock_goes_round),
        TEST(lock_with_a_lease_of_its_own),
        TEST(one_who_gives_up_leaves_the_queue),
        TEST(lock_failures),
        TEST(election_goes_round),
        TEST(campaigning_again_proclaims),
        TEST(election_failures),
        TEST(observing),
        TEST(observing_a_burst),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
