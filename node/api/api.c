#include "api.h"

#include <stdlib.h>

#include "state.h"

static const struct grpc_method table[] = {
    {.path = "/etcdserverpb.KV/Range",
     .kind = GRPC_UNARY,
     .on_message = api_kv_range,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.KV/RangeStream",
     .kind = GRPC_SERVER_STREAM,
     .on_message = api_kv_range_stream,
     .on_end = api_kv_range_stream_end},
    {.path = "/etcdserverpb.KV/Put",
     .kind = GRPC_UNARY,
     .on_message = api_kv_put,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.KV/DeleteRange",
     .kind = GRPC_UNARY,
     .on_message = api_kv_delete_range,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.KV/Txn",
     .kind = GRPC_UNARY,
     .on_message = api_kv_txn,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.KV/Compact",
     .kind = GRPC_UNARY,
     .on_message = api_kv_compact,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.Watch/Watch",
     .kind = GRPC_BIDI_STREAM,
     .on_message = api_watch_message,
     .on_end = api_watch_end},
    {.path = "/etcdserverpb.Lease/LeaseGrant",
     .kind = GRPC_UNARY,
     .on_message = api_lease_grant,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.Lease/LeaseRevoke",
     .kind = GRPC_UNARY,
     .on_message = api_lease_revoke,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.Lease/LeaseKeepAlive",
     .kind = GRPC_BIDI_STREAM,
     .on_message = api_keepalive_message,
     .on_half_close = api_keepalive_half_close,
     .on_end = api_keepalive_end},
    {.path = "/etcdserverpb.Lease/LeaseTimeToLive",
     .kind = GRPC_UNARY,
     .on_message = api_lease_time_to_live,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.Lease/LeaseLeases",
     .kind = GRPC_UNARY,
     .on_message = api_lease_leases},
    {.path = "/etcdserverpb.Cluster/MemberList",
     .kind = GRPC_UNARY,
     .on_message = api_member_list,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.Cluster/MemberAdd",
     .kind = GRPC_UNARY,
     .on_message = api_member_add,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.Cluster/MemberRemove",
     .kind = GRPC_UNARY,
     .on_message = api_member_remove,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.Cluster/MemberUpdate",
     .kind = GRPC_UNARY,
     .on_message = api_member_update,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.Cluster/MemberPromote",
     .kind = GRPC_UNARY,
     .on_message = api_member_promote,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.Maintenance/Status",
     .kind = GRPC_UNARY,
     .on_message = api_status_rpc},
    {.path = "/etcdserverpb.Maintenance/Alarm",
     .kind = GRPC_UNARY,
     .on_message = api_alarm_rpc,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.Maintenance/HashKV",
     .kind = GRPC_UNARY,
     .on_message = api_hash_kv,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.Maintenance/Hash",
     .kind = GRPC_UNARY,
     .on_message = api_hash},
    {.path = "/etcdserverpb.Maintenance/Defragment",
     .kind = GRPC_UNARY,
     .on_message = api_defragment},
    {.path = "/etcdserverpb.Maintenance/Downgrade",
     .kind = GRPC_UNARY,
     .on_message = api_downgrade,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.Maintenance/MoveLeader",
     .kind = GRPC_UNARY,
     .on_message = api_move_leader,
     .on_end = api_call_end},
    {.path = "/etcdserverpb.Maintenance/Snapshot",
     .kind = GRPC_SERVER_STREAM,
     .on_message = api_snapshot,
     .on_end = api_snapshot_end},
    {.path = "/v3lockpb.Lock/Lock",
     .kind = GRPC_UNARY,
     .on_message = api_lock,
     .on_end = api_session_end},
    {.path = "/v3lockpb.Lock/Unlock",
     .kind = GRPC_UNARY,
     .on_message = api_unlock,
     .on_end = api_session_end},
    {.path = "/v3electionpb.Election/Campaign",
     .kind = GRPC_UNARY,
     .on_message = api_campaign,
     .on_end = api_session_end},
    {.path = "/v3electionpb.Election/Proclaim",
     .kind = GRPC_UNARY,
     .on_message = api_proclaim,
     .on_end = api_session_end},
    {.path = "/v3electionpb.Election/Leader",
     .kind = GRPC_UNARY,
     .on_message = api_leader,
     .on_end = api_session_end},
    {.path = "/v3electionpb.Election/Resign",
     .kind = GRPC_UNARY,
     .on_message = api_resign,
     .on_end = api_session_end},
    {.path = "/v3electionpb.Election/Observe",
     .kind = GRPC_SERVER_STREAM,
     .on_message = api_observe,
     .on_end = api_observe_end},
    {.path = "/grpc.health.v1.Health/Check",
     .kind = GRPC_UNARY,
     .on_message = api_health_check},
    {.path = "/grpc.health.v1.Health/Watch",
     .kind = GRPC_SERVER_STREAM,
     .on_message = api_health_watch,
     .on_end = api_stream_end},
    {.path = "/grpc.health.v1.Health/List",
     .kind = GRPC_UNARY,
     .on_message = api_health_list},
};

enum { METHOD_COUNT = sizeof table / sizeof *table };

struct api *api_new(const struct api_config *config)
{
    struct api *a = mem_zalloc(sizeof *a);
    a->config = *config;
    a->mvcc = config->mvcc;
    a->db = config->db;
    list_init(&a->streams);
    list_init(&a->waits);
    list_init(&a->slices);
    list_init(&a->alone);
    buf_init(&a->scratch, APPLY_BODY_BYTES_MAX);
    if (config->compact_period_ms) {
        api_compactor_init(&a->compactor, API_COMPACT_PERIODIC,
                           (int64_t)config->compact_period_ms);
    } else {
        api_compactor_init(&a->compactor, API_COMPACT_REVISION,
                           config->compact_revisions);
    }
    a->methods = mem_dup(table, sizeof table);
    a->method_count = METHOD_COUNT;
    for (uint32_t i = 0; i < METHOD_COUNT; i++) {
        a->methods[i].user = a;
    }
    if (config->loop) {
        a->later = timer_new(config->loop, api_later_fire, a);
    }
    return a;
}

void api_free(struct api *a)
{
    if (a) {
        api_expire_stop(a);
        api_checkpoint_stop(a);
        api_auto_compact_stop(a);
        api_propose_alone_stop(a);
        timer_free(a->later);
        buf_release(&a->scratch);
        free(a->methods);
        free(a);
    }
}

void api_set_store(struct api *a, struct mvcc *mvcc, struct kvdb *db)
{
    a->mvcc = mvcc;
    a->db = db;
    api_later(a);
}

const struct grpc_method *api_methods(struct api *a, uint32_t *ret_count)
{
    *ret_count = a->method_count;
    return a->methods;
}

/* Each once; what a poll adds or keeps waits for the next time. */
void api_poll_waits(struct api *a)
{
    struct list now;
    list_init(&now);
    while (!list_empty(&a->waits)) {
        struct list *it = a->waits.next;
        list_remove(it);
        list_append(&now, it);
    }
    while (!list_empty(&now)) {
        struct list *it = now.next;
        struct api_wait *w = container_of(it, struct api_wait, link);
        list_remove(it);
        if (!w->poll(w)) {
            list_append(&a->waits, it);
        }
    }
}

static void end_leaderless(struct api *a)
{
    uint64_t most = API_LEADERLESS_ELECTIONS * a->config.election_timeout_ms;
    if (replica_leaderless_ms(a->config.replica) < most) {
        return;
    }
    list_each(it, next, &a->streams)
    {
        struct api_stream *s = container_of(it, struct api_stream, link);
        if (s->has_leader) {
            s->has_leader = false;
            api_fail(s->call, API_NO_LEADER);
        }
    }
}

void api_tick(struct api *a, uint64_t now_ms)
{
    a->tick_ms = now_ms;
    api_measure_store(a);
    end_leaderless(a);
    api_poll_waits(a);
    api_expire_leases(a);
    api_checkpoint_leases(a);
    api_auto_compact(a);
    watch_tick(a->config.watch, now_ms);
    if (watch_wants_catch_up(a->config.watch)) {
        api_later(a);
    }
}

void api_applied(struct api *a)
{
    if (!list_empty(&a->waits) || watch_wants_catch_up(a->config.watch)) {
        api_later(a);
    }
}
