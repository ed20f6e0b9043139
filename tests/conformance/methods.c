/* Every RPC, with the messages it takes and gives. */
#include "table.h"

#define KV "/etcdserverpb.KV/"
#define LEASE "/etcdserverpb.Lease/"
#define CLUSTER "/etcdserverpb.Cluster/"
#define MAINTENANCE "/etcdserverpb.Maintenance/"
#define AUTH "/etcdserverpb.Auth/"
#define LOCK "/v3lockpb.Lock/"
#define ELECTION "/v3electionpb.Election/"
#define HEALTH "/grpc.health.v1.Health/"

#define RPC(service, name, package, message, kind)                         \
    {                                                                      \
#name, service #name, &package##__##message##_request__descriptor, \
            &package##__##message##_response__descriptor, kind             \
    }

const struct method methods[] = {
    RPC(KV, Range, pb, range, UNARY),
    {"RangeStream", KV "RangeStream", &pb__range_request__descriptor,
     &pb__range_stream_response__descriptor, SERVER},
    RPC(KV, Put, pb, put, UNARY),
    RPC(KV, DeleteRange, pb, delete_range, UNARY),
    RPC(KV, Txn, pb, txn, UNARY),
    RPC(KV, Compact, pb, compaction, UNARY),
    RPC("/etcdserverpb.Watch/", Watch, pb, watch, BIDI),
    RPC(LEASE, LeaseGrant, pb, lease_grant, UNARY),
    RPC(LEASE, LeaseRevoke, pb, lease_revoke, UNARY),
    RPC(LEASE, LeaseKeepAlive, pb, lease_keep_alive, BIDI),
    RPC(LEASE, LeaseTimeToLive, pb, lease_time_to_live, UNARY),
    RPC(LEASE, LeaseLeases, pb, lease_leases, UNARY),
    RPC(CLUSTER, MemberAdd, pb, member_add, UNARY),
    RPC(CLUSTER, MemberRemove, pb, member_remove, UNARY),
    RPC(CLUSTER, MemberUpdate, pb, member_update, UNARY),
    RPC(CLUSTER, MemberList, pb, member_list, UNARY),
    RPC(CLUSTER, MemberPromote, pb, member_promote, UNARY),
    RPC(MAINTENANCE, Alarm, pb, alarm, UNARY),
    RPC(MAINTENANCE, Status, pb, status, UNARY),
    RPC(MAINTENANCE, Defragment, pb, defragment, UNARY),
    RPC(MAINTENANCE, Hash, pb, hash, UNARY),
    {"HashKV", MAINTENANCE "HashKV", &pb__hash_kvrequest__descriptor,
     &pb__hash_kvresponse__descriptor, UNARY},
    RPC(MAINTENANCE, Snapshot, pb, snapshot, SERVER),
    RPC(MAINTENANCE, MoveLeader, pb, move_leader, UNARY),
    RPC(MAINTENANCE, Downgrade, pb, downgrade, UNARY),
    RPC(AUTH, AuthEnable, pb, auth_enable, UNARY),
    RPC(AUTH, AuthDisable, pb, auth_disable, UNARY),
    RPC(AUTH, AuthStatus, pb, auth_status, UNARY),
    RPC(AUTH, Authenticate, pb, authenticate, UNARY),
    RPC(AUTH, UserAdd, pb, auth_user_add, UNARY),
    RPC(AUTH, UserGet, pb, auth_user_get, UNARY),
    RPC(AUTH, UserList, pb, auth_user_list, UNARY),
    RPC(AUTH, UserDelete, pb, auth_user_delete, UNARY),
    RPC(AUTH, UserChangePassword, pb, auth_user_change_password, UNARY),
    RPC(AUTH, UserGrantRole, pb, auth_user_grant_role, UNARY),
    RPC(AUTH, UserRevokeRole, pb, auth_user_revoke_role, UNARY),
    RPC(AUTH, RoleAdd, pb, auth_role_add, UNARY),
    RPC(AUTH, RoleGet, pb, auth_role_get, UNARY),
    RPC(AUTH, RoleList, pb, auth_role_list, UNARY),
    RPC(AUTH, RoleDelete, pb, auth_role_delete, UNARY),
    RPC(AUTH, RoleGrantPermission, pb, auth_role_grant_permission, UNARY),
    RPC(AUTH, RoleRevokePermission, pb, auth_role_revoke_permission, UNARY),
    RPC(LOCK, Lock, pbl, lock, UNARY),
    RPC(LOCK, Unlock, pbl, unlock, UNARY),
    RPC(ELECTION, Campaign, pbe, campaign, UNARY),
    RPC(ELECTION, Proclaim, pbe, proclaim, UNARY),
    RPC(ELECTION, Leader, pbe, leader, UNARY),
    {"Observe", ELECTION "Observe", &pbe__leader_request__descriptor,
     &pbe__leader_response__descriptor, SERVER},
    RPC(ELECTION, Resign, pbe, resign, UNARY),
    {"Health.Check", HEALTH "Check", &pbh__health_check_request__descriptor,
     &pbh__health_check_response__descriptor, UNARY},
    {"Health.Watch", HEALTH "Watch", &pbh__health_check_request__descriptor,
     &pbh__health_check_response__descriptor, SERVER},
    {"Health.List", HEALTH "List", &pbh__health_list_request__descriptor,
     &pbh__health_list_response__descriptor, UNARY},
};
const int method_count = sizeof methods / sizeof *methods;

const struct method *method_find(const char *name)
{
    size_t size = strcspn(name, " @");
    for (int i = 0; i < method_count; i++) {
        if (strlen(methods[i].name) == size &&
            memcmp(methods[i].name, name, size) == 0) {
            return &methods[i];
        }
    }
    return NULL;
}

bool method_is_auth(const struct method *m)
{
    return strncmp(m->path, AUTH, sizeof AUTH - 1) == 0;
}
