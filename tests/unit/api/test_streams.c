/* Watch and leases. */
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

/* "id rev created canceled compact events reason" */
static const char *watched(const struct grpc_call *c, uint32_t n)
{
    static char text[256];
    Pb__WatchResponse *r = call_answer(c, n, &pb__watch_response__descriptor);
    snprintf(text, sizeof text, "%lld %lld%s%s %lld %zu %s",
             (long long)r->watch_id, (long long)r->header->revision,
             r->created ? " created" : "", r->canceled ? " canceled" : "",
             (long long)r->compact_revision, r->n_events, r->cancel_reason);
    assert_int_equal(r->header->cluster_id, 99);
    assert_int_equal(r->header->raft_term, 3);
    FREE(r);
    return text;
}

static void create(struct grpc_call *c, Pb__WatchCreateRequest *create)
{
    Pb__WatchRequest r = PB__WATCH_REQUEST__INIT;
    r.request_union_case = PB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    r.create_request = create;
    call_pb(c, &r);
}

static void watch_stream(void **state)
{
    struct grpc_call c;
    stream_begin(&c, "/etcdserverpb.Watch/Watch");
    Pb__WatchCreateRequest q = PB__WATCH_CREATE_REQUEST__INIT;
    q.key = data_of("a");
    create(&c, &q);
    assert_string_equal(watched(&c, 0), "0 1 created 0 0 ");
    put("a", "1");
    put("b", "1");
    assert_int_equal(c.count, 2);
    assert_string_equal(watched(&c, 1), "0 2 0 1 ");
    /* history; filters packed as most clients write them */
    Pb__WatchCreateRequest__FilterType filters[] = {
        PB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE, 77};
    q.filters = filters;
    q.n_filters = 2;
    q.range_end = (ProtobufCBinaryData){1, (uint8_t *)(uintptr_t) "\0"};
    q.start_revision = 1;
    create(&c, &q);
    assert_string_equal(watched(&c, 2), "1 3 created 0 0 ");
    api_later_fire(fake.api);
    assert_string_equal(watched(&c, 3), "1 3 0 2 ");
    struct grpc_call d;
    call_init(&d, "/etcdserverpb.KV/DeleteRange");
    Pb__DeleteRangeRequest del = PB__DELETE_RANGE_REQUEST__INIT;
    del.key = data_of("b");
    call_pb(&d, &del);
    commit();
    call_end(&d);
    assert_int_equal(c.count, 4); /* filtered out whole */
    /* refusals */
    q.start_revision = -1;
    create(&c, &q);
    assert_string_equal(watched(&c, 4),
                        "-1 4 created canceled 0 0 etcdserver: mvcc: "
                        "required revision has been compacted");
    /* progress, cancel, unknown ids, nothing at all */
    Pb__WatchRequest r = PB__WATCH_REQUEST__INIT;
    Pb__WatchProgressRequest progress = PB__WATCH_PROGRESS_REQUEST__INIT;
    r.request_union_case = PB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    r.progress_request = &progress;
    call_pb(&c, &r);
    assert_string_equal(watched(&c, 5), "-1 4 0 0 ");
    Pb__WatchCancelRequest cancel = PB__WATCH_CANCEL_REQUEST__INIT;
    cancel.watch_id = 55;
    r.request_union_case = PB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST;
    r.cancel_request = &cancel;
    call_pb(&c, &r);
    cancel.watch_id = 1;
    call_pb(&c, &r);
    call_message(&c, (struct slice){NULL, 0});
    assert_int_equal(c.count, 7);
    assert_string_equal(watched(&c, 6), "1 4 canceled 0 0 ");
    assert_false(c.finished);
    call_message(&c, slice_str("\x0a\x05x"));
    assert_int_equal(c.code, 13);
    call_end(&c);
    struct watch_stats stats;
    watch_get_stats(fake.hub, &stats);
    assert_int_equal(stats.stream_count + stats.watcher_count, 0);
}

static void slow_watch_stream(void **state)
{
    struct grpc_call c;
    stream_begin(&c, "/etcdserverpb.Watch/Watch");
    Pb__WatchCreateRequest q = PB__WATCH_CREATE_REQUEST__INIT;
    q.key = data_of("a");
    create(&c, &q);
    c.queued = API_WATCH_QUEUE_BYTES;
    put("a", "1");
    assert_null(c.resume);
    c.queued++;
    put("a", "2");
    assert_non_null(c.resume);
    put("a", "3");
    put("a", "4");
    assert_int_equal(c.count, 3);
    c.queued = 0;
    c.resume(&c);
    api_later_fire(fake.api);
    assert_int_equal(c.count, 4);
    assert_string_equal(watched(&c, 3), "0 5 0 2 ");
    put("a", "5");
    assert_string_equal(watched(&c, 4), "0 6 0 1 ");
    call_end(&c);
}

/* Who asks and asks and never reads is cut off. */
static void unread_answers(void **state)
{
    struct grpc_call c;
    stream_begin(&c, "/etcdserverpb.Watch/Watch");
    c.queued = API_WATCH_QUEUE_BYTES + 1;
    c.discards = true;
    Pb__WatchCreateRequest q = PB__WATCH_CREATE_REQUEST__INIT;
    q.start_revision = -1;
    for (int i = 0; i <= API_WATCH_UNREAD_MAX; i++) {
        create(&c, &q);
        assert_false(c.finished);
    }
    create(&c, &q);
    assert_string_equal(c.text, "etcdserver: too many requests");
    call_end(&c);
    stream_begin(&c, "/etcdserverpb.Lease/LeaseKeepAlive");
    Pb__LeaseKeepAliveRequest k = PB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    c.queued = API_KEEPALIVE_UNREAD_BYTES;
    call_pb(&c, &k);
    assert_false(c.finished);
    c.queued++;
    call_pb(&c, &k);
    assert_string_equal(c.text, "etcdserver: too many requests");
    call_end(&c);
    /* and requests that wait for the leader do not pile up either */
    lease_demote(fake.lessor);
    fake.status.role = RAFT_FOLLOWER;
    stream_begin(&c, "/etcdserverpb.Lease/LeaseKeepAlive");
    for (int i = 0; i < API_KEEPALIVE_QUEUE_MAX; i++) {
        call_pb(&c, &k);
        assert_false(c.finished);
    }
    call_pb(&c, &k);
    assert_string_equal(c.text, "etcdserver: too many requests");
    call_end(&c);
    fake.keepalive_done(fake.done_ctx, 0, 1);
}

/* ---- leases ---- */
static void grant(int64_t id, int64_t ttl)
{
    struct grpc_call c;
    call_init(&c, "/etcdserverpb.Lease/LeaseGrant");
    Pb__LeaseGrantRequest q = PB__LEASE_GRANT_REQUEST__INIT;
    q.id = id;
    q.ttl = ttl;
    call_pb(&c, &q);
    commit();
    expect(&c, GRPC_OK, "");
    Pb__LeaseGrantResponse *r =
        call_answer(&c, 0, &pb__lease_grant_response__descriptor);
    assert_int_equal(r->ttl, ttl);
    assert_true(id ? r->id == id : r->id > 0);
    FREE(r);
    call_end(&c);
}

static void lease_errors(void **state)
{
    struct grpc_call c;
    Pb__LeaseGrantRequest q = PB__LEASE_GRANT_REQUEST__INIT;
    grant(5, 60);
    grant(0, 60);
    q.id = 5;
    call_init(&c, "/etcdserverpb.Lease/LeaseGrant");
    call_pb(&c, &q);
    commit();
    expect(&c, 9, "etcdserver: lease already exists");
    call_end(&c);
    q.ttl = LEASE_TTL_MAX + 1;
    call_init(&c, "/etcdserverpb.Lease/LeaseGrant");
    call_pb(&c, &q);
    commit();
    expect(&c, 11, "etcdserver: too large lease TTL");
    call_end(&c);
    Pb__LeaseRevokeRequest v = PB__LEASE_REVOKE_REQUEST__INIT;
    v.id = 6;
    call_init(&c, "/etcdserverpb.Lease/LeaseRevoke");
    call_pb(&c, &v);
    commit();
    expect(&c, 5, "etcdserver: requested lease not found");
    call_end(&c);
}

static void keep(struct grpc_call *c, int64_t id)
{
    Pb__LeaseKeepAliveRequest q = PB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    q.id = id;
    call_pb(c, &q);
}

static void kept(const struct grpc_call *c, uint32_t n, int64_t id, int64_t ttl)
{
    Pb__LeaseKeepAliveResponse *r =
        call_answer(c, n, &pb__lease_keep_alive_response__descriptor);
    assert_int_equal(r->id, id);
    assert_int_equal(r->ttl, ttl);
    assert_int_equal(r->header->member_id, 7);
    FREE(r);
}

static void keepalive_leader(void **state)
{
    struct grpc_call c;
    tick(0);
    grant(5, 60);
    grant(6, 2);
    stream_begin(&c, "/etcdserverpb.Lease/LeaseKeepAlive");
    keep(&c, 5);
    keep(&c, 0);
    keep(&c, 77);
    assert_int_equal(c.count, 0); /* does a majority follow us? */
    assert_int_equal(count_of(&fake.reads), 1);
    confirm_reads(0);
    kept(&c, 0, 5, 60);
    kept(&c, 1, 0, 0);
    kept(&c, 2, 77, 0);
    /* unknown, but the log is ahead: it may be granted in there */
    fake.status.commit++;
    keep(&c, 78);
    keep(&c, 5);
    confirm_reads(0);
    assert_int_equal(c.count, 3);
    tick(500);
    assert_int_equal(c.count, 3);
    fake.status.applied++;
    api_applied(fake.api);
    api_later_fire(fake.api);
    confirm_reads(0);
    kept(&c, 3, 78, 0);
    kept(&c, 4, 5, 60);
    /* expired: answered when the revocation is applied */
    fake.now_ms += 5000;
    fake.api->tick_ms = fake.now_ms;
    keep(&c, 6);
    confirm_reads(0);
    assert_int_equal(c.count, 5);
    tick(100);
    assert_int_equal(count_of(&fake.proposals), 1);
    commit_all();
    kept(&c, 5, 6, 0);
    assert_false(lease_exists(fake.lessor, 6));
    c.method->on_half_close(&c);
    assert_true(c.finished);
    assert_int_equal(c.code, GRPC_OK);
    call_end(&c);
}

/* The remainder goes through the log; a renewal takes it back, each one, even
 * when another one's is still under way. */
static void checkpoints_go_through_the_log(void **state)
{
    struct grpc_call c;
    struct lease_info info;
    fake.api->config.lease_checkpoints = true;
    tick(0);
    grant(5, 1000);
    grant(6, 1000);
    tick(400000);
    assert_int_equal(count_of(&fake.proposals), 1); /* both in one */
    tick(1000);
    assert_int_equal(count_of(&fake.proposals), 1);
    commit_all();
    lease_demote(fake.lessor);
    lease_promote(fake.lessor, fake.now_ms, 0);
    assert_int_equal(lease_get(fake.lessor, 5, fake.now_ms, &info), 0);
    assert_int_equal(info.remaining_s, 600);
    stream_begin(&c, "/etcdserverpb.Lease/LeaseKeepAlive");
    keep(&c, 5);
    keep(&c, 6);
    confirm_reads(0);
    assert_int_equal(count_of(&fake.proposals), 2);
    commit_all();
    lease_demote(fake.lessor);
    lease_promote(fake.lessor, fake.now_ms, 0);
    for (int64_t id = 5; id <= 6; id++) {
        assert_int_equal(lease_get(fake.lessor, id, fake.now_ms, &info), 0);
        assert_int_equal(info.remaining_s, 1000);
    }
    call_end(&c);
    /* Without the gate nothing is said. */
    fake.api->config.lease_checkpoints = false;
    tick(400000);
    assert_int_equal(count_of(&fake.proposals), 0);
}

static void keepalive_wait_is_bounded(void **state)
{
    struct grpc_call c;
    tick(0);
    stream_begin(&c, "/etcdserverpb.Lease/LeaseKeepAlive");
    fake.status.commit++;
    keep(&c, 78);
    confirm_reads(0);
    tick(999);
    assert_false(c.finished);
    tick(1);
    assert_int_equal(c.code, 14);
    assert_string_equal(c.text,
                        "etcdserver: request timed out, waiting for the "
                        "applied index took too long");
    call_end(&c);
}

/* It thinks that it leads, and does not any more. */
static void keepalive_deposed(void **state)
{
    struct grpc_call c;
    tick(0);
    grant(5, 60);
    stream_begin(&c, "/etcdserverpb.Lease/LeaseKeepAlive");
    keep(&c, 5);
    keep(&c, 6);
    confirm_reads(ERR_LEADER_CHANGED); /* and the lessor hears of it then */
    lease_demote(fake.lessor);
    fake.status.role = RAFT_FOLLOWER;
    fake.status.leader = 8;
    api_later_fire(fake.api);
    assert_int_equal(fake.forwarded, 5);
    assert_int_equal(c.count, 0);
    /* back in the office before the other's answer: asked anew */
    fake.status.role = RAFT_LEADER;
    lease_promote(fake.lessor, fake.now_ms, 0);
    fake.keepalive_done(fake.done_ctx, 0, 44);
    kept(&c, 0, 5, 44);
    assert_int_equal(c.count, 1);
    confirm_reads(ERR_TIMEOUT);
    assert_int_equal(c.code, 14);
    assert_string_equal(c.text, "etcdserver: request timed out");
    call_end(&c);
    /* another one led for a moment, and it is us again */
    stream_begin(&c, "/etcdserverpb.Lease/LeaseKeepAlive");
    keep(&c, 5);
    confirm_reads(ERR_LEADER_CHANGED);
    api_later_fire(fake.api);
    assert_int_equal(count_of(&fake.reads), 1);
    confirm_reads(0);
    kept(&c, 0, 5, 60);
    call_end(&c);
    /* one that leaves while we ask */
    stream_begin(&c, "/etcdserverpb.Lease/LeaseKeepAlive");
    keep(&c, 5);
    call_end(&c);
    assert_int_equal(count_of(&fake.reads), 0);
}

/* The lessor is told with the pass, but Raft has stepped down already. */
static void deposed_it_ends_no_lease(void **state)
{
    tick(0);
    grant(5, 2);
    fake.status.role = RAFT_FOLLOWER;
    tick(5000);
    assert_int_equal(count_of(&fake.proposals), 0);
    fake.status.role = RAFT_LEADER;
    tick(20000);
    assert_int_equal(count_of(&fake.proposals), 1);
    commit_all();
    assert_false(lease_exists(fake.lessor, 5));
}

static void keepalive_follower(void **state)
{
    struct grpc_call c;
    lease_demote(fake.lessor);
    fake.status.role = RAFT_FOLLOWER;
    fake.status.leader = 8;
    stream_begin(&c, "/etcdserverpb.Lease/LeaseKeepAlive");
    keep(&c, 5);
    keep(&c, 6);
    assert_int_equal(fake.forwarded, 5);
    c.method->on_half_close(&c);
    assert_false(c.finished);
    fake.keepalive_done(fake.done_ctx, 0, 44);
    kept(&c, 0, 5, 44);
    assert_int_equal(fake.forwarded, 6);
    fake.keepalive_done(fake.done_ctx, ERR_LEASE_NOT_FOUND, 0);
    kept(&c, 1, 6, 0);
    assert_true(c.finished && c.code == GRPC_OK);
    call_end(&c);
    /* the leader does not answer; and one that leaves meanwhile */
    stream_begin(&c, "/etcdserverpb.Lease/LeaseKeepAlive");
    keep(&c, 5);
    keep(&c, 6);
    fake.keepalive_done(fake.done_ctx, ERR_NO_LEADER, 0);
    assert_string_equal(c.text, "etcdserver: no leader");
    assert_int_equal(c.code, 14);
    call_end(&c);
    stream_begin(&c, "/etcdserverpb.Lease/LeaseKeepAlive");
    keep(&c, 5);
    keep(&c, 6);
    call_end(&c);
    fake.keepalive_done(fake.done_ctx, 0, 44);
}

static void time_to_live(void **state)
{
    struct grpc_call c;
    tick(0);
    grant(5, 60);
    mvcc_begin(fake.store.mvcc);
    mvcc_end(fake.store.mvcc, ++fake.index, 1);
    assert_int_equal(lease_attach(fake.lessor, 5, slice_str("k")), 0);
    Pb__LeaseTimeToLiveRequest q = PB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
    q.id = 5;
    q.keys = true;
    tick(1);
    call_init(&c, "/etcdserverpb.Lease/LeaseTimeToLive");
    call_pb(&c, &q);
    Pb__LeaseTimeToLiveResponse *r =
        call_answer(&c, 0, &pb__lease_time_to_live_response__descriptor);
    assert_int_equal(r->ttl, 59);
    assert_int_equal(r->grantedttl, 60);
    assert_int_equal(r->n_keys, 1);
    check_header(r->header, 1);
    FREE(r);
    call_end(&c);
    q.id = 6;
    call_init(&c, "/etcdserverpb.Lease/LeaseTimeToLive");
    call_pb(&c, &q);
    r = call_answer(&c, 0, &pb__lease_time_to_live_response__descriptor);
    assert_int_equal(r->id, 6);
    assert_int_equal(r->ttl, -1);
    assert_int_equal(r->grantedttl + (int64_t)r->n_keys, 0);
    FREE(r);
    call_end(&c);
    /* a follower asks; the answer's header is ours */
    lease_demote(fake.lessor);
    fake.status.role = RAFT_FOLLOWER;
    call_init(&c, "/etcdserverpb.Lease/LeaseTimeToLive");
    call_pb(&c, &q);
    assert_int_equal(fake.forwarded, 6);
    assert_int_equal(c.refs, 1);
    Pb__LeaseTimeToLiveResponse theirs = PB__LEASE_TIME_TO_LIVE_RESPONSE__INIT;
    theirs.id = 6;
    theirs.ttl = 3;
    fake.ttl_done(fake.done_ctx, 0, &theirs);
    r = call_answer(&c, 0, &pb__lease_time_to_live_response__descriptor);
    check_header(r->header, 1);
    assert_int_equal(r->ttl, 3);
    FREE(r);
    call_end(&c);
    call_init(&c, "/etcdserverpb.Lease/LeaseLeases");
    call_message(&c, (struct slice){NULL, 0});
    Pb__LeaseLeasesResponse *l =
        call_answer(&c, 0, &pb__lease_leases_response__descriptor);
    assert_int_equal(l->n_leases, 1);
    assert_int_equal(l->leases[0]->id, 5);
    FREE(l);
    call_end(&c);
}

static void expiry_is_paced(void **state)
{
    tick(0);
    for (int64_t i = 1; i <= 40; i++) {
        grant(i, 2);
    }
    tick(1999);
    assert_int_equal(count_of(&fake.proposals), 0);
    tick(1);
    assert_int_equal(count_of(&fake.proposals), API_REVOKES_MAX);
    fail_proposals(ERR_TIMEOUT);
    assert_int_equal(lease_count(fake.lessor), 40);
    tick(100);
    commit_all(); /* each one done starts the next */
    assert_int_equal(lease_count(fake.lessor), API_REVOKES_MAX);
    tick(7000); /* the failed ones again */
    commit_all();
    assert_int_equal(lease_count(fake.lessor), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_new, world_free)
    const struct CMUnitTest tests[] = {
        TEST(watch_stream),
        TEST(slow_watch_stream),
        TEST(unread_answers),
        TEST(lease_errors),
        TEST(keepalive_leader),
        TEST(keepalive_wait_is_bounded),
        TEST(keepalive_deposed),
        TEST(deposed_it_ends_no_lease),
        TEST(checkpoints_go_through_the_log),
        TEST(keepalive_follower),
        TEST(time_to_live),
        TEST(expiry_is_paced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
