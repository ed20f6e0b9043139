/* Calls of the Maintenance, Cluster and Health services, and of none. */
#include "diff.h"

#define MAINTENANCE "/etcdserverpb.Maintenance/"
#define CLUSTER "/etcdserverpb.Cluster/"

static void put_probe(struct gen *g)
{
    Pb__PutRequest *p = GEN_NEW(g, Pb__PutRequest, PB__PUT_REQUEST__INIT);
    p->key = gen_key(g);
    gen_add(g, STEP_CALL, "/etcdserverpb.KV/Put", p,
            &pb__put_response__descriptor);
    g->revisions++;
}

static void raise_alarm(struct gen *g, int action, int type, uint64_t member)
{
    Pb__AlarmRequest *r = GEN_NEW(g, Pb__AlarmRequest, PB__ALARM_REQUEST__INIT);
    r->action = (Pb__AlarmRequest__AlarmAction)action;
    r->alarm = (Pb__AlarmType)type;
    r->memberid = member;
    gen_add(g, STEP_CALL, MAINTENANCE "Alarm", r,
            &pb__alarm_response__descriptor);
}

/* Raised, seen, and taken back. */
static void alarms(struct gen *g)
{
    int type = gen_chance(g, 70) ? 1 : 2;
    uint64_t member =
        gen_chance(g, 80) ? (uint64_t)MARK_MEMBER + gen_below(g, 3) : 5;
    raise_alarm(g, 0, (int)gen_below(g, 3), gen_chance(g, 50) ? member : 0);
    if (gen_chance(g, 60)) {
        return;
    }
    raise_alarm(g, 1, type, member);
    for (uint64_t i = 0, n = 1 + gen_below(g, 6); i < n; i++) {
        switch (gen_below(g, 4)) {
        case 0:
            put_probe(g);
            break;
        case 1:
            gen_txn(g);
            break;
        case 2:
            gen_lease_call(g);
            break;
        default:
            gen_kv(g);
        }
    }
    raise_alarm(g, 0, 0, 0);
    raise_alarm(g, 2, type, member);
    raise_alarm(g, 0, 0, 0);
}

static void downgrade(struct gen *g)
{
    static const char *const versions[] = {
        "3.6", "3.6.0", "3.5.0", "3.7.0", "3.8.0", "",
        "x",   "3",     "3.6.x", "v3.6",  "4.0.0", "3.6.0-rc"};
    Pb__DowngradeRequest *r =
        GEN_NEW(g, Pb__DowngradeRequest, PB__DOWNGRADE_REQUEST__INIT);
    r->version = (char *)(uintptr_t)
        versions[gen_below(g, sizeof versions / sizeof *versions)];
    if (gen_chance(g, 25)) {
        r->action =
            (Pb__DowngradeRequest__DowngradeAction)(2 + gen_below(g, 3));
    }
    gen_add(g, STEP_CALL, MAINTENANCE "Downgrade", r,
            &pb__downgrade_response__descriptor);
}

static void move_leader(struct gen *g)
{
    Pb__MoveLeaderRequest *r =
        GEN_NEW(g, Pb__MoveLeaderRequest, PB__MOVE_LEADER_REQUEST__INIT);
    r->targetid = gen_below(g, 9);
    if (gen_chance(g, 10)) {
        r->targetid =
            (uint64_t)MARK_MEMBER + gen_below(g, (uint64_t)g->members);
        gen_sync_all(g);
    }
    gen_add(g, STEP_CALL, MAINTENANCE "MoveLeader", r,
            &pb__move_leader_response__descriptor);
    gen_add(g, STEP_SETTLE, MAINTENANCE "Status", NULL, NULL);
}

static void hash(struct gen *g)
{
    Pb__HashKVRequest *r =
        GEN_NEW(g, Pb__HashKVRequest, PB__HASH_KVREQUEST__INIT);
    r->revision = gen_revision(g);
    gen_add(g, STEP_CALL, MAINTENANCE "HashKV", r,
            &pb__hash_kvresponse__descriptor);
}

static void maintenance(struct gen *g)
{
    switch (gen_below(g, 9)) {
    case 0:
        gen_add(g, STEP_CALL, MAINTENANCE "Status",
                GEN_NEW(g, Pb__StatusRequest, PB__STATUS_REQUEST__INIT),
                &pb__status_response__descriptor);
        break;
    case 1:
        gen_add(g, STEP_CALL, MAINTENANCE "Hash",
                GEN_NEW(g, Pb__HashRequest, PB__HASH_REQUEST__INIT),
                &pb__hash_response__descriptor);
        break;
    case 2:
        if (gen_chance(g, 10)) {
            gen_add(
                g, STEP_CALL, MAINTENANCE "Defragment",
                GEN_NEW(g, Pb__DefragmentRequest, PB__DEFRAGMENT_REQUEST__INIT),
                &pb__defragment_response__descriptor);
        }
        break;
    case 3:
        downgrade(g);
        break;
    case 4:
        move_leader(g);
        break;
    case 5:
        alarms(g);
        break;
    case 6:
        if (gen_chance(g, 20)) {
            gen_add(g, STEP_CALL, MAINTENANCE "Snapshot",
                    GEN_NEW(g, Pb__SnapshotRequest, PB__SNAPSHOT_REQUEST__INIT),
                    &pb__snapshot_response__descriptor);
        }
        break;
    default:
        hash(g);
    }
}

/* ---- Cluster: the list, and changes that are refused ---- */

static size_t urls(struct gen *g, char ***ret_urls)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "127.0.0.1:1",
                                      "http://",
                                      "http://127.0.0.1",
                                      "ftp://127.0.0.1:9",
                                      "http://127.0.0.1:9/path",
                                      "http://127.0.0.1:port",

                                      ":",
                                      "http://[::1:9"};
    size_t n = gen_below(g, 3);
    *ret_urls = arena_alloc(&g->run->arena, (n + 1) * sizeof(char *));
    for (size_t i = 0; i < n; i++) {
        (*ret_urls)[i] =
            (char *)(uintptr_t)bad[gen_below(g, sizeof bad / sizeof *bad)];
    }
    return n;
}

static void change(struct gen *g)
{
    switch (gen_below(g, 4)) {
    case 0: {
        Pb__MemberAddRequest *r =
            GEN_NEW(g, Pb__MemberAddRequest, PB__MEMBER_ADD_REQUEST__INIT);
        r->n_peerurls = urls(g, &r->peerurls);
        r->islearner = gen_chance(g, 50);
        gen_add(g, STEP_CALL, CLUSTER "MemberAdd", r,
                &pb__member_add_response__descriptor);
        break;
    }
    case 1: {
        Pb__MemberRemoveRequest *r = GEN_NEW(g, Pb__MemberRemoveRequest,
                                             PB__MEMBER_REMOVE_REQUEST__INIT);
        r->id = gen_below(g, 5);
        gen_add(g, STEP_CALL, CLUSTER "MemberRemove", r,
                &pb__member_remove_response__descriptor);
        break;
    }
    case 2: {
        Pb__MemberPromoteRequest *r = GEN_NEW(g, Pb__MemberPromoteRequest,
                                              PB__MEMBER_PROMOTE_REQUEST__INIT);
        r->id = gen_chance(g, 50) ? gen_below(g, 5)
                                  : (uint64_t)MARK_MEMBER +
                                        gen_below(g, (uint64_t)g->members);
        gen_add(g, STEP_CALL, CLUSTER "MemberPromote", r,
                &pb__member_promote_response__descriptor);
        break;
    }
    default: {
        static char *good[] = {(char *)(uintptr_t) "http://127.0.0.1:9"};
        Pb__MemberUpdateRequest *r = GEN_NEW(g, Pb__MemberUpdateRequest,
                                             PB__MEMBER_UPDATE_REQUEST__INIT);
        r->id = gen_below(g, 5);
        r->n_peerurls = 1;
        r->peerurls = good;
        gen_add(g, STEP_CALL, CLUSTER "MemberUpdate", r,
                &pb__member_update_response__descriptor);
    }
    }
}

static void cluster(struct gen *g)
{
    if (gen_chance(g, 50)) {
        Pb__MemberListRequest *r =
            GEN_NEW(g, Pb__MemberListRequest, PB__MEMBER_LIST_REQUEST__INIT);
        r->linearizable = gen_chance(g, 50);
        gen_add(g, STEP_CALL, CLUSTER "MemberList", r,
                &pb__member_list_response__descriptor);
    } else {
        change(g);
    }
}

/* ---- the rest ---- */

static void other(struct gen *g)
{
    static const char *const paths[] = {
        "/etcdserverpb.KV/Nothing",
        "/etcdserverpb.Nothing/Range",
        "/nothing",
        "/etcdserverpb.KV/Range/x",
        "//",
    };
    Pbh__HealthCheckRequest *h =
        GEN_NEW(g, Pbh__HealthCheckRequest, PBH__HEALTH_CHECK_REQUEST__INIT);
    switch (gen_below(g, 3)) {
    case 0:
        h->service = (char *)(uintptr_t)(gen_chance(g, 60) ? "" : "etcd");
        gen_add(g, STEP_CALL, "/grpc.health.v1.Health/Check", h,
                &pbh__health_check_response__descriptor);
        break;
    case 1:
        gen_add(
            g, STEP_CALL, "/grpc.health.v1.Health/List",
            GEN_NEW(g, Pbh__HealthListRequest, PBH__HEALTH_LIST_REQUEST__INIT),
            &pbh__health_list_response__descriptor);
        break;
    default:
        gen_add(g, STEP_CALL, paths[gen_below(g, sizeof paths / sizeof *paths)],
                h, &pbh__health_check_response__descriptor);
    }
}

void gen_admin(struct gen *g)
{
    uint64_t dice = gen_below(g, 100);
    if (dice < 55) {
        maintenance(g);
    } else if (dice < 80) {
        cluster(g);
    } else {
        other(g);
    }
}
