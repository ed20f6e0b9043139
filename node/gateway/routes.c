/* The paths of the gateway and what stands behind each. */
#include "internal.h"
#include "proto/election.pb-c.h"
#include "proto/lock.pb-c.h"
#include "proto/rpc.pb-c.h"

/* protoc-gen-c takes KV for no word of its own. */
#define pb__hash_kv_request__descriptor pb__hash_kvrequest__descriptor
#define pb__hash_kv_response__descriptor pb__hash_kvresponse__descriptor

#define ROW(path, rpc, prefix, name, kind)                  \
    {                                                       \
        path, rpc, &prefix##__##name##_request__descriptor, \
            &prefix##__##name##_response__descriptor, kind  \
    }
/* Most of them. */
#define UNARY(path, rpc, name) \
    ROW("/v3/" path, "/etcdserverpb." rpc, pb, name, GRPC_UNARY)

static const struct gateway_route routes[] = {
    UNARY("kv/range", "KV/Range", range),
    UNARY("kv/put", "KV/Put", put),
    UNARY("kv/deleterange", "KV/DeleteRange", delete_range),
    UNARY("kv/txn", "KV/Txn", txn),
    UNARY("kv/compaction", "KV/Compact", compaction),
    ROW("/v3/watch", "/etcdserverpb.Watch/Watch", pb, watch, GRPC_BIDI_STREAM),
    UNARY("lease/grant", "Lease/LeaseGrant", lease_grant),
    UNARY("lease/revoke", "Lease/LeaseRevoke", lease_revoke),
    UNARY("kv/lease/revoke", "Lease/LeaseRevoke", lease_revoke),
    ROW("/v3/lease/keepalive", "/etcdserverpb.Lease/LeaseKeepAlive", pb,
        lease_keep_alive, GRPC_BIDI_STREAM),
    UNARY("lease/timetolive", "Lease/LeaseTimeToLive", lease_time_to_live),
    UNARY("kv/lease/timetolive", "Lease/LeaseTimeToLive", lease_time_to_live),
    UNARY("lease/leases", "Lease/LeaseLeases", lease_leases),
    UNARY("kv/lease/leases", "Lease/LeaseLeases", lease_leases),
    UNARY("cluster/member/add", "Cluster/MemberAdd", member_add),
    UNARY("cluster/member/remove", "Cluster/MemberRemove", member_remove),
    UNARY("cluster/member/update", "Cluster/MemberUpdate", member_update),
    UNARY("cluster/member/list", "Cluster/MemberList", member_list),
    UNARY("cluster/member/promote", "Cluster/MemberPromote", member_promote),
    UNARY("maintenance/alarm", "Maintenance/Alarm", alarm),
    UNARY("maintenance/status", "Maintenance/Status", status),
    UNARY("maintenance/defragment", "Maintenance/Defragment", defragment),
    UNARY("maintenance/hash", "Maintenance/Hash", hash),
    UNARY("maintenance/hashkv", "Maintenance/HashKV", hash_kv),
    ROW("/v3/maintenance/snapshot", "/etcdserverpb.Maintenance/Snapshot", pb,
        snapshot, GRPC_SERVER_STREAM),
    UNARY("maintenance/transfer-leadership", "Maintenance/MoveLeader",
          move_leader),
    UNARY("maintenance/downgrade", "Maintenance/Downgrade", downgrade),
    UNARY("auth/enable", "Auth/AuthEnable", auth_enable),
    UNARY("auth/disable", "Auth/AuthDisable", auth_disable),
    UNARY("auth/status", "Auth/AuthStatus", auth_status),
    UNARY("auth/authenticate", "Auth/Authenticate", authenticate),
    UNARY("auth/user/add", "Auth/UserAdd", auth_user_add),
    UNARY("auth/user/get", "Auth/UserGet", auth_user_get),
    UNARY("auth/user/list", "Auth/UserList", auth_user_list),
    UNARY("auth/user/delete", "Auth/UserDelete", auth_user_delete),
    UNARY("auth/user/changepw", "Auth/UserChangePassword",
          auth_user_change_password),
    UNARY("auth/user/grant", "Auth/UserGrantRole", auth_user_grant_role),
    UNARY("auth/user/revoke", "Auth/UserRevokeRole", auth_user_revoke_role),
    UNARY("auth/role/add", "Auth/RoleAdd", auth_role_add),
    UNARY("auth/role/get", "Auth/RoleGet", auth_role_get),
    UNARY("auth/role/list", "Auth/RoleList", auth_role_list),
    UNARY("auth/role/delete", "Auth/RoleDelete", auth_role_delete),
    UNARY("auth/role/grant", "Auth/RoleGrantPermission",
          auth_role_grant_permission),
    UNARY("auth/role/revoke", "Auth/RoleRevokePermission",
          auth_role_revoke_permission),
    ROW("/v3/election/campaign", "/v3electionpb.Election/Campaign", pbe,
        campaign, GRPC_UNARY),
    ROW("/v3/election/proclaim", "/v3electionpb.Election/Proclaim", pbe,
        proclaim, GRPC_UNARY),
    ROW("/v3/election/leader", "/v3electionpb.Election/Leader", pbe, leader,
        GRPC_UNARY),
    ROW("/v3/election/observe", "/v3electionpb.Election/Observe", pbe, leader,
        GRPC_SERVER_STREAM),
    ROW("/v3/election/resign", "/v3electionpb.Election/Resign", pbe, resign,
        GRPC_UNARY),
    ROW("/v3/lock/lock", "/v3lockpb.Lock/Lock", pbl, lock, GRPC_UNARY),
    ROW("/v3/lock/unlock", "/v3lockpb.Lock/Unlock", pbl, unlock, GRPC_UNARY),
};

const struct gateway_route *gateway_route_find(const char *path)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(routes[i].path, path) == 0) {
            return &routes[i];
        }
    }
    return NULL;
}
