/* MemberList: a client that follows the member list shall stay with the
 * proxy, so that is the one member it names. */
#include <unistd.h>

#include "internal.h"
#include "proto/rpc.pb-c.h"

void proxy_memberlist_message(struct grpc_call *call, struct slice message)
{
    char host[256] = "";
    struct proxy *p = proxy_of(call);
    if (p->config->advertise[0] == '\0') {
        proxy_forward_message(call, message);
        return;
    }
    gethostname(host, sizeof host - 1);
    char *url = (char *)(uintptr_t)p->config->advertise;
    Pb__Member member = PB__MEMBER__INIT, *members = &member;
    member.name = host;
    member.clienturls = &url;
    member.n_clienturls = 1;
    Pb__MemberListResponse answer = PB__MEMBER_LIST_RESPONSE__INIT;
    answer.members = &members;
    answer.n_members = 1;
    grpc_reply(call, &answer.base);
}
