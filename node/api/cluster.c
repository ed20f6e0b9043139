/* MemberList. Headers of this service have revision 0. */
#include "proto/proto.h"
#include "state.h"

static void fill(struct arena *arena, const struct member *from, Pb__Member *to)
{
    pb__member__init(to);
    to->id = from->id;
    to->name = arena_strdup(arena, from->name);
    to->peerurls = from->peer_urls;
    to->n_peerurls = from->peer_url_count;
    to->clienturls = from->client_urls;
    to->n_clienturls = from->client_url_count;
    to->islearner = from->is_learner;
}

Pb__Member **api_members(struct api *a, struct arena *arena)
{
    const struct members *ms = a->config.members;
    Pb__Member *members = arena_alloc(arena, (ms->count + 1) * sizeof *members);
    Pb__Member **list = arena_alloc(arena, (ms->count + 1) * sizeof *list);
    for (uint32_t i = 0; i < ms->count; i++) {
        fill(arena, &ms->list[i], &members[i]);
        list[i] = &members[i];
    }
    return list;
}

static void serve(struct api_call *c)
{
    Pb__ResponseHeader header;
    api_header_pb(c->api, 0, &header);
    Pb__MemberListResponse r = PB__MEMBER_LIST_RESPONSE__INIT;
    r.header = &header;
    r.members = api_members(c->api, grpc_call_arena(c->call));
    r.n_members = c->api->config.members->count;
    grpc_reply(c->call, &r.base);
}

void api_member_list(struct grpc_call *call, struct slice message)
{
    struct proto_field f;
    bool linearizable = false;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.number == 1 && f.wire == PROTO_VARINT) {
            linearizable = f.value != 0;
        }
    }
    if (more < 0) {
        api_fail_unmarshal(call);
        return;
    }
    struct api_call *c = api_call_new(call);
    if (linearizable) {
        api_read(c, serve);
    } else {
        serve(c);
    }
}
