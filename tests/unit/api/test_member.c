/* Changes of the membership: checks, the entry, the answer. */
#include "fakes.h"
#include "proto/raft.pb-c.h"

static struct replica_proposal *proposed(void)
{
    assert_int_equal(count_of(&fake.proposals), 1);
    struct replica_proposal *p =
        container_of(fake.proposals.next, struct replica_proposal, link);
    assert_int_equal(p->type, RAFT_ENTRY_CONF_CHANGE);
    return p;
}

/* Looks at the entry, then has it applied with this outcome. */
static void conclude(int type, uint64_t id, const char *context, int err)
{
    struct replica_proposal *p = proposed();
    Pbr__ConfChange *cc =
        pbr__conf_change__unpack(NULL, p->data->size, p->data->data);
    assert_non_null(cc);
    assert_int_equal(cc->type, type);
    assert_true(id == 0 || cc->node_id == id);
    assert_int_equal(cc->id, p->id);
    char *want = context ? mem_printf("{\"id\":%llu%s",
                                      (unsigned long long)cc->node_id, context)
                         : mem_strdup("");
    assert_int_equal(cc->context.len, strlen(want));
    assert_memory_equal(cc->context.data ? cc->context.data
                                         : (const uint8_t *)"",
                        want, strlen(want));
    free(want);
    list_remove(&p->link);
    ((struct apply_out *)p->out)->err = err;
    bytes_unref(p->data);
    pbr__conf_change__free_unpacked(cc, NULL);
    p->done(p, 0);
}

static void refused(struct grpc_call *c, enum grpc_code code, const char *text)
{
    assert_true(list_empty(&fake.proposals));
    expect(c, code, text);
    call_end(c);
}

static void begin_add(struct grpc_call *c, const char *url, bool learner)
{
    Pb__MemberAddRequest q = PB__MEMBER_ADD_REQUEST__INIT;
    char *urls[] = {(char *)(uintptr_t)url};
    q.peerurls = urls;
    q.n_peerurls = url ? 1 : 0;
    q.islearner = learner;
    call_init(c, "/etcdserverpb.Cluster/MemberAdd");
    call_pb(c, &q);
}

static void add(void **state)
{
    static const char *const bad[] = {
        NULL, "", "x:1", "http://x", "http://x:1/path", "ftp://x:1"};
    struct grpc_call c;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin_add(&c, bad[i], false);
        refused(&c, 3, "etcdserver: given member URLs are invalid");
    }
    begin_add(&c, " http://y:1 ", false);
    conclude(0, 0, ",\"peerURLs\":[\"http://y:1\"]}", 0);
    Pb__MemberAddResponse *r =
        call_answer(&c, 0, &pb__member_add_response__descriptor);
    check_header(r->header, 0);
    assert_int_equal(r->n_members, 2);
    FREE(r);
    call_end(&c);
    begin_add(&c, "http://y:1", true);
    conclude(3, 0, ",\"peerURLs\":[\"http://y:1\"],\"isLearner\":true}",
             ERR_TOO_LARGE);
    refused(&c, 9, "etcdserver: too many learner members in cluster");
    begin_add(&c, "http://x:1", false);
    conclude(0, 0, ",\"peerURLs\":[\"http://x:1\"]}", ERR_REFUSED);
    refused(&c, 9, "etcdserver: Peer URLs already exists");
}

static void begin_remove(struct grpc_call *c, uint64_t id)
{
    Pb__MemberRemoveRequest q = PB__MEMBER_REMOVE_REQUEST__INIT;
    q.id = id;
    call_init(c, "/etcdserverpb.Cluster/MemberRemove");
    call_pb(c, &q);
}

static void remove_one(void **state)
{
    struct grpc_call c;
    begin_remove(&c, 7);
    refused(&c, 2,
            "etcdserver: re-configuration failed due to not enough started "
            "members");
    begin_remove(&c, 99);
    conclude(1, 99, NULL, ERR_NOT_FOUND);
    refused(&c, 5, "etcdserver: member not found");
    begin_remove(&c, 8);
    conclude(1, 8, NULL, 0);
    expect(&c, GRPC_OK, "");
    call_end(&c);
    /* The caller goes away before it is decided. */
    begin_remove(&c, 8);
    call_end(&c);
    assert_true(list_empty(&fake.proposals));
}

static void update(void **state)
{
    Pb__MemberUpdateRequest q = PB__MEMBER_UPDATE_REQUEST__INIT;
    struct grpc_call c;
    q.id = 8;
    call_init(&c, "/etcdserverpb.Cluster/MemberUpdate");
    call_pb(&c, &q);
    refused(&c, 3, "etcdserver: given member URLs are invalid");
    char *urls[] = {(char *)(uintptr_t) "http://z:2",
                    (char *)(uintptr_t) "http://a:1"};
    q.peerurls = urls;
    q.n_peerurls = 2;
    call_init(&c, "/etcdserverpb.Cluster/MemberUpdate");
    call_pb(&c, &q);
    assert_false(proposed()->repeats);
    conclude(2, 8, ",\"peerURLs\":[\"http://a:1\",\"http://z:2\"]}", 0);
    expect(&c, GRPC_OK, "");
    call_end(&c);
}

static void begin_promote(struct grpc_call *c, uint64_t id)
{
    Pb__MemberPromoteRequest q = PB__MEMBER_PROMOTE_REQUEST__INIT;
    q.id = id;
    call_init(c, "/etcdserverpb.Cluster/MemberPromote");
    call_pb(c, &q);
}

static void promote_on_the_leader(void **state)
{
    static const char in_sync[] =
        "etcdserver: can only promote a learner member which is in sync with "
        "leader";
    struct grpc_call c;
    fake.progress_count = 2;
    fake.progress[0] = (struct raft_progress){.id = 7, .match = 100};
    fake.progress[1] = (struct raft_progress){.id = 8, .match = 89};
    begin_promote(&c, 8);
    refused(&c, 9, in_sync);
    begin_promote(&c, 99);
    refused(&c, 5, "etcdserver: member not found");
    begin_promote(&c, 7);
    conclude(0, 7, ",\"peerURLs\":null,\"isPromote\":true}", ERR_INVALID);
    refused(&c, 9, "etcdserver: can only promote a learner member");
    fake.progress[1].match = 90;
    begin_promote(&c, 8);
    fake.members.list[1].is_learner = false;
    conclude(0, 8, ",\"peerURLs\":null,\"isPromote\":true}", 0);
    expect(&c, GRPC_OK, "");
    call_end(&c);
    /* The caller goes away: the promotion goes on, unheard. */
    begin_promote(&c, 8);
    struct replica_proposal *p = proposed();
    c.over = true;
    list_remove(&p->link);
    bytes_unref(p->data);
    p->done(p, ERR_TIMEOUT);
    assert_false(c.finished);
    call_end(&c);
}

static void promote_on_a_follower(void **state)
{
    struct grpc_call c;
    fake.status.role = RAFT_FOLLOWER;
    begin_promote(&c, 8);
    assert_int_equal(fake.promoting, 8);
    fake.promote_done(fake.done_ctx, ERR_BUSY);
    refused(&c, 2,
            "etcdserver: re-configuration failed due to not enough started "
            "members");
    begin_promote(&c, 8);
    fake.promote_done(fake.done_ctx, ERR_NO_LEADER);
    refused(&c, 14, "etcdserver: no leader");
    begin_promote(&c, 8);
    fake.promote_done(fake.done_ctx, 0);
    assert_false(c.finished); /* not applied here yet */
    fake.members.list[1].is_learner = false;
    api_applied(fake.api);
    api_later_fire(fake.api);
    expect(&c, GRPC_OK, "");
    call_end(&c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_new, world_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(add),
        TEST(remove_one),
        TEST(update),
        TEST(promote_on_the_leader),
        TEST(promote_on_a_follower),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
