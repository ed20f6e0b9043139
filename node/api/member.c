/*
 * MemberAdd, MemberRemove, MemberUpdate, MemberPromote: checked here, one
 * conf change through the log, checked again where it is applied. Answers
 * carry the members after the change.
 */
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "net/net.h"
#include "proto/proto.h"
#include "state.h"

enum {
    IN_SYNC_PERCENT = 90, /* of the leader's log, to be promoted */
};

/* What these errors mean here; others keep their meaning. */
static int error_of(int err)
{
    switch (err) {
    case ERR_NOT_FOUND:
        return API_MEMBER_NOT_FOUND;
    case ERR_EXISTS:
        return API_MEMBER_EXISTS;
    case ERR_REFUSED:
        return API_PEER_URL_EXISTS;
    case ERR_TOO_LARGE:
        return API_TOO_MANY_LEARNERS;
    case ERR_INVALID:
        return API_NOT_A_LEARNER;
    case ERR_AGAIN:
        return API_LEARNER_NOT_READY;
    case ERR_NO_SPACE:
        return API_TOO_MANY_MEMBERS;
    case ERR_UNAVAILABLE:
        return API_UNHEALTHY;
    case ERR_BUSY:
        return API_NOT_ENOUGH_STARTED;
    default:
        return err;
    }
}

static void log_rejected(const struct api *a, const struct member_change *c,
                         int err)
{
    const char *text = c->type == RAFT_CONF_REMOVE_NODE
                           ? "rejecting member remove request; not enough "
                             "healthy members"
                       : c->promote ? "rejecting member promote request; not "
                                      "enough healthy members"
                                    : "rejecting member add request; not "
                                      "enough healthy members";
    log_warn(text, LOG_ID("local-member-id", a->config.member_id),
             LOG_ID("requested-member-id", c->member.id),
             LOG_STR("error", api_status_of(error_of(err)).text));
}

static int check_strict(struct api *a, const struct member_change *c)
{
    if (!a->config.strict_reconfig) {
        return 0;
    }
    int err = member_change_check_strict(
        a->config.members, c, a->config.member_id, a->config.rim.connected_ms,
        a->config.rim.ctx);
    if (err) {
        log_rejected(a, c, err);
    }
    return err;
}

/* ---- the entry ---- */

static void add_promotion(struct buf *json, uint64_t id)
{
    buf_printf(json, "{\"id\":%llu,\"peerURLs\":null,\"isPromote\":true}",
               (unsigned long long)id);
}

static struct bytes *entry_of(const struct member_change *c, uint64_t id)
{
    struct buf json = BUF_INIT(1 << 20);
    struct member m = c->member;
    m.is_learner = c->type == RAFT_CONF_ADD_LEARNER;
    if (c->promote) {
        add_promotion(&json, m.id);
    } else if (c->type != RAFT_CONF_REMOVE_NODE) {
        member_to_json(&m, false, &json);
    }
    struct bytes *data =
        proto_conf_change(id, (int)c->type, m.id, buf_slice(&json));
    buf_release(&json);
    return data;
}

static void propose(struct api *a, const struct member_change *change,
                    struct replica_proposal *p)
{
    p->id = a->config.rim.next_request_id(a->config.rim.ctx);
    p->type = RAFT_ENTRY_CONF_CHANGE;
    p->data = entry_of(change, p->id);
    /* An update that came again late could take back a later one. */
    p->repeats = change->type != RAFT_CONF_UPDATE_NODE;
    replica_propose(a->config.replica, p);
}

/* ---- answers: header = 1, of an added one member = 2, then members ---- */

static void answer(struct api_call *c)
{
    struct api *a = c->api;
    Pb__ResponseHeader header;
    api_header_pb(a, 0, &header);
    Pb__Member **list = api_members(a, grpc_call_arena(c->call));
    size_t count = a->config.members->count;
    if (c->reconfig.answer == &pb__member_add_response__descriptor) {
        Pb__MemberAddResponse r = PB__MEMBER_ADD_RESPONSE__INIT;
        r.header = &header;
        r.members = list;
        r.n_members = count;
        for (size_t i = 0; i < count; i++) {
            if (list[i]->id == c->reconfig.member) {
                r.member = list[i];
            }
        }
        grpc_reply(c->call, &r.base);
        return;
    }
    /* The other three are alike. */
    Pb__MemberRemoveResponse r = PB__MEMBER_REMOVE_RESPONSE__INIT;
    r.header = &header;
    r.members = list;
    r.n_members = count;
    grpc_reply(c->call, &r.base);
}

static void applied(struct replica_proposal *p, int err)
{
    struct api_call *c = container_of(p, struct api_call, proposal);
    c->waiting = API_IDLE;
    if (err == 0) {
        err = error_of(c->out.err);
    } else if (err == ERR_NO_LEADER) {
        err = API_NO_LEADER_DEADLINE;
    }
    if (err) {
        api_fail(c->call, err);
    } else {
        answer(c);
    }
}

static void begin(struct grpc_call *call, const struct member_change *change,
                  const ProtobufCMessageDescriptor *kind)
{
    struct api *a = api_of(call);
    int err = check_strict(a, change);
    if (err) {
        api_fail(call, error_of(err));
        return;
    }
    struct api_call *c = api_call_new(call);
    c->reconfig.answer = kind;
    c->reconfig.member = change->member.id;
    c->proposal.out = &c->out;
    c->proposal.done = applied;
    c->waiting = API_PROPOSED;
    propose(a, change, &c->proposal);
}

/* ---- the RPCs ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts them, as members keep them. */
static bool take_urls(struct arena *arena, char **urls, size_t count,
                      struct member *ret)
{
    struct url url;
    if (count == 0 || count > MEMBER_URLS_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (url_parse(urls[i], &url) != 0) {
            return false;
        }
        urls[i] = arena_strdup(arena, url.text); /* without blanks around */
    }
    qsort(urls, count, sizeof *urls, by_text);
    ret->peer_urls = urls;
    ret->peer_url_count = (uint32_t)count;
    return true;
}

void api_member_add(struct grpc_call *call, struct slice message)
{
    Pb__MemberAddRequest *rq =
        grpc_unpack(call, &pb__member_add_request__descriptor, message);
    if (!rq) {
        return;
    }
    struct member_change c = {.type = rq->islearner ? RAFT_CONF_ADD_LEARNER
                                                    : RAFT_CONF_ADD_NODE};
    if (!take_urls(grpc_call_arena(call), rq->peerurls, rq->n_peerurls,
                   &c.member)) {
        api_fail(call, API_BAD_MEMBER_URLS);
        return;
    }
    char now[32];
    snprintf(now, sizeof now, "%lld", (long long)time(NULL));
    c.member.id =
        member_id_of(c.member.peer_urls, c.member.peer_url_count, now);
    begin(call, &c, &pb__member_add_response__descriptor);
}

void api_member_remove(struct grpc_call *call, struct slice message)
{
    Pb__MemberRemoveRequest *rq =
        grpc_unpack(call, &pb__member_remove_request__descriptor, message);
    if (rq) {
        struct member_change c = {.type = RAFT_CONF_REMOVE_NODE,
                                  .member = {.id = rq->id}};
        begin(call, &c, &pb__member_remove_response__descriptor);
    }
}

void api_member_update(struct grpc_call *call, struct slice message)
{
    Pb__MemberUpdateRequest *rq =
        grpc_unpack(call, &pb__member_update_request__descriptor, message);
    if (!rq) {
        return;
    }
    struct member_change c = {.type = RAFT_CONF_UPDATE_NODE,
                              .member = {.id = rq->id}};
    /* A bad list in the log would end members of another make. */
    if (!take_urls(grpc_call_arena(call), rq->peerurls, rq->n_peerurls,
                   &c.member)) {
        api_fail(call, API_BAD_MEMBER_URLS);
        return;
    }
    begin(call, &c, &pb__member_update_response__descriptor);
}

/* ---- promotion: the leader alone knows how far a learner is ---- */

static int check_in_sync(struct api *a, uint64_t id)
{
    struct raft_progress all[MEMBERS_MAX];
    uint32_t count = replica_progress(a->config.replica, all, MEMBERS_MAX);
    uint64_t lead = 0, match = 0;
    bool found = false;
    for (uint32_t i = 0; i < count && i < MEMBERS_MAX; i++) {
        if (all[i].id == a->config.member_id) {
            lead = all[i].match;
        }
        if (all[i].id == id) {
            found = true;
            match = all[i].match;
        }
    }
    if (!found) {
        return ERR_NOT_FOUND;
    }
    return match * 100 < lead * IN_SYNC_PERCENT ? ERR_AGAIN : 0;
}

static int check_promotion(struct api *a, const struct member_change *c)
{
    if (!api_is_leader(a)) {
        return ERR_NOT_LEADER;
    }
    int err = check_in_sync(a, c->member.id);
    return err ? err : check_strict(a, c);
}

/* Outlives the call that asked for it. */
struct promotion {
    struct replica_proposal proposal;
    struct apply_out out;
    void (*done)(void *ctx, int err);
    void *ctx;
};

static void promoted(struct replica_proposal *proposal, int err)
{
    struct promotion *p = container_of(proposal, struct promotion, proposal);
    p->done(p->ctx, err ? err : p->out.err);
    apply_out_release(&p->out);
    free(p);
}

void api_promote(struct api *a, uint64_t member,
                 void (*done)(void *done_ctx, int err), void *done_ctx)
{
    struct member_change c = {
        .type = RAFT_CONF_ADD_NODE, .promote = true, .member = {.id = member}};
    int err = check_promotion(a, &c);
    if (err) {
        done(done_ctx, err);
        return;
    }
    struct promotion *p = mem_zalloc(sizeof *p);
    apply_out_init(&p->out);
    p->done = done;
    p->ctx = done_ctx;
    p->proposal.out = &p->out;
    p->proposal.done = promoted;
    propose(a, &c, &p->proposal);
}

/* Here it may not have been applied yet. */
static bool is_promoted(struct api_wait *w)
{
    struct api_call *c = container_of(w, struct api_call, wait);
    const struct member *m =
        members_find(c->api->config.members, c->reconfig.member);
    if (m && m->is_learner) {
        return false; /* the caller's deadline ends it otherwise */
    }
    answer(c);
    return true;
}

static void promotion_done(void *ctx, int err)
{
    struct api_call *c = ctx;
    struct grpc_call *call = c->call;
    if (!grpc_call_alive(call)) {
        /* nobody listens any more */
    } else if (err) {
        api_fail(call, err == ERR_NO_LEADER ? API_TIMEOUT : error_of(err));
    } else if (!is_promoted(&c->wait)) {
        api_wait_for(c->api, &c->wait, is_promoted);
    }
    grpc_call_unref(call);
}

/* The leader was asked for it, or there was none. */
static void forwarded(void *ctx, int err)
{
    promotion_done(ctx, err == ERR_NO_LEADER ? API_NO_LEADER : err);
}

void api_member_promote(struct grpc_call *call, struct slice message)
{
    Pb__MemberPromoteRequest *rq =
        grpc_unpack(call, &pb__member_promote_request__descriptor, message);
    if (!rq) {
        return;
    }
    struct api *a = api_of(call);
    struct api_call *c = api_call_new(call);
    c->reconfig.answer = &pb__member_promote_response__descriptor;
    c->reconfig.member = rq->id;
    grpc_call_ref(call);
    if (api_is_leader(a)) {
        api_promote(a, rq->id, promotion_done, c);
    } else {
        a->config.rim.forward_promote(a->config.rim.ctx, rq->id, forwarded, c);
    }
}
