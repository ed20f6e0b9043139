/* Status, Alarm, HashKV, Defragment, MoveLeader. */
#include "proto/proto.h"
#include "state.h"

/* ---- Status ---- */
static const char *alarm_name(int32_t type)
{
    switch (type) {
    case PB__ALARM_TYPE__NOSPACE:
        return "NOSPACE";
    case PB__ALARM_TYPE__CORRUPT:
        return "CORRUPT";
    default:
        return NULL;
    }
}

static char *alarm_text(struct arena *arena, const struct apply_alarm *alarm)
{
    unsigned long long member = alarm->member_id;
    const char *name = alarm_name(alarm->type);
    return name ? arena_printf(arena, "memberID:%llu alarm:%s", member, name)
                : arena_printf(arena, "memberID:%llu alarm:%d", member,
                               alarm->type);
}

static void add_errors(struct grpc_call *call, Pb__StatusResponse *r)
{
    struct api *a = api_of(call);
    struct arena *arena = grpc_call_arena(call);
    size_t count;
    const struct apply_alarm *alarms = apply_alarms(a->config.apply, &count);
    r->errors = arena_alloc(arena, (count + 1) * sizeof *r->errors);
    if (r->leader == 0) {
        r->errors[r->n_errors++] =
            arena_strdup(arena, api_status_of(API_NO_LEADER).text);
    }
    for (size_t i = 0; i < count; i++) {
        r->errors[r->n_errors++] = alarm_text(arena, &alarms[i]);
    }
}

void api_status_rpc(struct grpc_call *call, struct slice message)
{
    if (!grpc_unpack(call, &pb__status_request__descriptor, message)) {
        return;
    }
    struct api *a = api_of(call);
    struct arena *arena = grpc_call_arena(call);
    const struct raft_status *s = replica_status(a->config.replica);
    struct kvdb_stats stats;
    kvdb_get_stats(a->db, &stats);
    const char *storage = a->config.rim.cluster_version(a->config.rim.ctx);
    Pb__ResponseHeader header;
    api_header_pb(a, mvcc_revision(a->mvcc), &header);
    Pb__DowngradeInfo downgrade = PB__DOWNGRADE_INFO__INIT;
    const char *target;
    downgrade.enabled = a->config.rim.downgrade(a->config.rim.ctx, &target);
    downgrade.targetversion = arena_strdup(arena, target);
    Pb__StatusResponse r = PB__STATUS_RESPONSE__INIT;
    r.header = &header;
    r.version = arena_strdup(arena, API_SERVER_VERSION);
    r.dbsize = (int64_t)stats.file_bytes;
    r.dbsizeinuse = (int64_t)stats.used_bytes;
    r.dbsizequota = a->config.quota_bytes ? (int64_t)a->config.quota_bytes : -1;
    r.leader = s->leader;
    r.raftindex = s->commit;
    r.raftterm = s->term;
    r.raftappliedindex = s->applied;
    r.islearner = s->is_learner;
    r.storageversion = arena_strdup(arena, storage ? storage : "");
    r.downgradeinfo = &downgrade;
    add_errors(call, &r);
    grpc_reply(call, &r.base);
}

/* ---- Alarm: reads go through the log, too ---- */
void api_alarm_rpc(struct grpc_call *call, struct slice message)
{
    uint64_t numbers[4] = {0}; /* action = 1, memberID = 2, alarm = 3 */
    struct slice rest = message;
    struct proto_field f;
    int more;
    while ((more = proto_next(&rest, &f)) > 0) {
        if (f.wire == PROTO_VARINT && f.number < 4) {
            numbers[f.number] = f.value;
        }
    }
    if (more < 0) {
        api_fail_unmarshal(call);
    } else if (numbers[1] > PB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE ||
               numbers[3] > PB__ALARM_TYPE__CORRUPT) {
        api_fail(call, API_BAD_ALARM);
    } else {
        api_propose(api_call_new(call), API_ENTRY_ALARM, message,
                    api_respond_applied);
    }
}

/* ---- HashKV ---- */
static void hashed(void *ctx, int err, const struct mvcc_hash *hash)
{
    struct api_call *c = ctx;
    struct grpc_call *call = c->call;
    if (!grpc_call_alive(call)) {
        /* nobody listens any more */
    } else if (err) {
        api_fail(call, err);
    } else {
        Pb__ResponseHeader header;
        api_header_pb(c->api, mvcc_revision(c->api->mvcc), &header);
        Pb__HashKVResponse r = PB__HASH_KVRESPONSE__INIT;
        r.header = &header;
        r.hash = hash->hash;
        r.compact_revision = hash->compact_revision;
        r.hash_revision = hash->hash_revision;
        grpc_reply(call, &r.base);
    }
    grpc_call_unref(call);
}

void api_hash_kv(struct grpc_call *call, struct slice message)
{
    struct proto_field f;
    int64_t revision = 0;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.number == 1 && f.wire == PROTO_VARINT) {
            revision = (int64_t)f.value;
        }
    }
    if (more < 0) {
        api_fail_unmarshal(call);
        return;
    }
    struct api_call *c = api_call_new(call);
    if (revision < 0) {
        api_fail(call, API_FUTURE);
        return;
    }
    grpc_call_ref(call);
    int err = mvcc_hash_kv(c->api->mvcc, revision, hashed, c);
    if (err) {
        api_fail(call, err);
        grpc_call_unref(call);
    }
}

/* ---- Defragment: of this member, in the background ---- */
static void defragmented(void *ctx, int err)
{
    struct grpc_call *call = ctx;
    if (!grpc_call_alive(call)) {
        /* nobody listens any more */
    } else if (err) {
        grpc_finish(call, GRPC_UNKNOWN, err_text(err));
    } else {
        Pb__DefragmentResponse r = PB__DEFRAGMENT_RESPONSE__INIT;
        grpc_reply(call, &r.base);
    }
    grpc_call_unref(call);
}

void api_defragment(struct grpc_call *call, struct slice message)
{
    if (!grpc_unpack(call, &pb__defragment_request__descriptor, message)) {
        return;
    }
    kvdb_defragment(api_of(call)->db, defragmented, grpc_call_ref(call));
}

/* ---- MoveLeader ---- */
static bool leader_moved(struct api_wait *w)
{
    struct api_call *c = container_of(w, struct api_call, wait);
    const struct raft_status *s = replica_status(c->api->config.replica);
    if (s->leader != c->target) {
        return false; /* the caller's deadline ends it otherwise */
    }
    Pb__MoveLeaderResponse r = PB__MOVE_LEADER_RESPONSE__INIT;
    grpc_reply(c->call, &r.base);
    return true;
}

void api_move_leader(struct grpc_call *call, struct slice message)
{
    struct proto_field f;
    uint64_t target = 0;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.number == 1 && f.wire == PROTO_VARINT) {
            target = f.value;
        }
    }
    if (more < 0) {
        api_fail_unmarshal(call);
        return;
    }
    struct api *a = api_of(call);
    const struct member *m = members_find(a->config.members, target);
    if (!api_is_leader(a)) {
        api_fail(call, API_NOT_LEADER);
    } else if (!m || m->is_learner) {
        api_fail(call, API_BAD_TRANSFEREE);
    } else {
        struct api_call *c = api_call_new(call);
        c->target = target;
        if (!leader_moved(&c->wait)) {
            replica_transfer(a->config.replica, target);
            api_wait_for(a, &c->wait, leader_moved);
        }
    }
}
