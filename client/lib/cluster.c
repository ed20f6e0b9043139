#include <stdio.h>

#include "base/mem.h"
#include "client.h"

int cofre_member_list(struct cofre *c, struct cofre_reply **ret_reply)
{
    Pb__MemberListRequest request;
    pb__member_list_request__init(&request);
    request.linearizable = true;
    return cofre_call(c, "/etcdserverpb.Cluster/MemberList", &request.base,
                      &pb__member_list_response__descriptor, ret_reply);
}

int cofre_member_add(struct cofre *c, const char *const *peer_urls,
                     size_t peer_url_count, bool as_learner, uint64_t *ret_id)
{
    struct cofre_reply *reply = NULL;
    struct arena arena;
    Pb__MemberAddRequest request;
    pb__member_add_request__init(&request);
    arena_init(&arena);
    request.n_peerurls = peer_url_count;
    request.peerurls =
        arena_alloc(&arena, (peer_url_count + 1) * sizeof(char *));
    for (size_t i = 0; i < peer_url_count; i++) {
        request.peerurls[i] = arena_strdup(&arena, peer_urls[i]);
    }
    request.islearner = as_learner;
    int code = cofre_call(c, "/etcdserverpb.Cluster/MemberAdd", &request.base,
                          &pb__member_add_response__descriptor, &reply);
    if (code == COFRE_OK) {
        const Pb__MemberAddResponse *answer =
            (const Pb__MemberAddResponse *)(const void *)reply->message;
        *ret_id = answer->member ? answer->member->id : 0;
    }
    cofre_reply_free(reply);
    arena_release(&arena);
    return code;
}

int cofre_member_remove(struct cofre *c, uint64_t id)
{
    struct cofre_reply *reply = NULL;
    Pb__MemberRemoveRequest request;
    pb__member_remove_request__init(&request);
    request.id = id;
    int code =
        cofre_call(c, "/etcdserverpb.Cluster/MemberRemove", &request.base,
                   &pb__member_remove_response__descriptor, &reply);
    cofre_reply_free(reply);
    return code;
}

int cofre_member_promote(struct cofre *c, uint64_t id)
{
    struct cofre_reply *reply = NULL;
    Pb__MemberPromoteRequest request;
    pb__member_promote_request__init(&request);
    request.id = id;
    int code =
        cofre_call(c, "/etcdserverpb.Cluster/MemberPromote", &request.base,
                   &pb__member_promote_response__descriptor, &reply);
    cofre_reply_free(reply);
    return code;
}

int cofre_status(struct cofre *c, struct cofre_status *ret_status)
{
    struct cofre_reply *reply = NULL;
    Pb__StatusRequest request;
    pb__status_request__init(&request);
    int code = cofre_call(c, "/etcdserverpb.Maintenance/Status", &request.base,
                          &pb__status_response__descriptor, &reply);
    if (code != COFRE_OK) {
        return code;
    }
    const Pb__StatusResponse *m =
        (const Pb__StatusResponse *)(const void *)reply->message;
    struct cofre_status s = {
        .db_size = m->dbsize,
        .db_size_in_use = m->dbsizeinuse,
        .member_id = client_header(m->header).member_id,
        .leader = m->leader,
        .raft_term = m->raftterm,
        .raft_index = m->raftindex,
        .raft_applied_index = m->raftappliedindex,
        .is_learner = m->islearner,
        .error_count = m->n_errors,
    };
    snprintf(s.version, sizeof s.version, "%s", m->version);
    *ret_status = s;
    cofre_reply_free(reply);
    return code;
}
