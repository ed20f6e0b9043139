#include "client.h"

int cofre_lease_grant(struct cofre *c, int64_t ttl_s, int64_t id,
                      int64_t *ret_id, int64_t *ret_ttl_s)
{
    struct cofre_reply *reply = NULL;
    Pb__LeaseGrantRequest request;
    pb__lease_grant_request__init(&request);
    request.ttl = ttl_s;
    request.id = id;
    int code = cofre_call(c, "/etcdserverpb.Lease/LeaseGrant", &request.base,
                          &pb__lease_grant_response__descriptor, &reply);
    if (code != COFRE_OK) {
        return code;
    }
    const Pb__LeaseGrantResponse *answer =
        (const Pb__LeaseGrantResponse *)(const void *)reply->message;
    *ret_id = answer->id;
    if (ret_ttl_s) {
        *ret_ttl_s = answer->ttl;
    }
    cofre_reply_free(reply);
    return code;
}

int cofre_lease_revoke(struct cofre *c, int64_t id)
{
    struct cofre_reply *reply = NULL;
    Pb__LeaseRevokeRequest request;
    pb__lease_revoke_request__init(&request);
    request.id = id;
    int code = cofre_call(c, "/etcdserverpb.Lease/LeaseRevoke", &request.base,
                          &pb__lease_revoke_response__descriptor, &reply);
    cofre_reply_free(reply);
    return code;
}

static bool take_ttl(void *ctx, const ProtobufCMessage *m)
{
    *(int64_t *)ctx =
        ((const Pb__LeaseKeepAliveResponse *)(const void *)m)->ttl;
    return false;
}

int cofre_lease_keep_alive(struct cofre *c, int64_t id, int64_t *ret_ttl_s)
{
    int64_t ttl_s = 0;
    Pb__LeaseKeepAliveRequest request;
    pb__lease_keep_alive_request__init(&request);
    request.id = id;
    int code = cofre_stream(
        c, "/etcdserverpb.Lease/LeaseKeepAlive", &request.base, false, true,
        &pb__lease_keep_alive_response__descriptor, take_ttl, &ttl_s);
    if (code == COFRE_OK) {
        *ret_ttl_s = ttl_s;
    }
    return code;
}

int cofre_lease_time_to_live(struct cofre *c, int64_t id, int64_t *ret_ttl_s,
                             int64_t *ret_granted_ttl_s)
{
    struct cofre_reply *reply = NULL;
    Pb__LeaseTimeToLiveRequest request;
    pb__lease_time_to_live_request__init(&request);
    request.id = id;
    int code =
        cofre_call(c, "/etcdserverpb.Lease/LeaseTimeToLive", &request.base,
                   &pb__lease_time_to_live_response__descriptor, &reply);
    if (code != COFRE_OK) {
        return code;
    }
    const Pb__LeaseTimeToLiveResponse *answer =
        (const Pb__LeaseTimeToLiveResponse *)(const void *)reply->message;
    *ret_ttl_s = answer->ttl;
    if (ret_granted_ttl_s) {
        *ret_granted_ttl_s = answer->grantedttl;
    }
    cofre_reply_free(reply);
    return code;
}
