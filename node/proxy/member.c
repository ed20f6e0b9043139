/* MemberList: a client that follows the member list shall stay with the
 * proxies, so those are the members it names: all that are registered below
 * the resolver prefix, or this one alone. */
#include "internal.h"
#include "proto/rpc.pb-c.h"

static void reply(struct grpc_call *call, Pb__Member **members, uint32_t count)
{
    Pb__MemberListResponse answer = PB__MEMBER_LIST_RESPONSE__INIT;
    answer.members = members;
    answer.n_members = count;
    grpc_reply(call, &answer.base);
}

static Pb__Member *member_new(struct arena *a, const char *name,
                              const char *address)
{
    Pb__Member *m = arena_alloc(a, sizeof *m);
    char **urls = arena_alloc(a, sizeof *urls);
    pb__member__init(m);
    m->name = arena_strdup(a, name);
    urls[0] = arena_strdup(a, address);
    m->clienturls = urls;
    m->n_clienturls = 1;
    return m;
}

void proxy_memberlist_message(struct grpc_call *call, struct slice message)
{
    struct proxy *p = proxy_of(call);
    struct arena *a = grpc_call_arena(call);
    if (!p->config->has_advertise) {
        proxy_forward_message(call, message);
        return;
    }
    const struct registry *known =
        p->roster ? roster_registry(p->roster) : NULL;
    uint32_t count = known ? registry_count(known) : 0;
    Pb__Member **members = arena_alloc(a, (count + 1) * sizeof *members);
    for (uint32_t i = 0; i < count; i++) {
        struct registry_entry e = registry_get(known, i);
        members[i] = member_new(a, e.name, e.address);
    }
    if (count == 0) { /* none is known yet, or none registers */
        members[count++] = member_new(a, p->host, p->config->advertise);
    }
    reply(call, members, count);
}
