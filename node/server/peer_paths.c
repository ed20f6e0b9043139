/* The small HTTP paths that members ask each other for. */
#include <stdlib.h>

#include "base/err.h"
#include "base/text.h"
#include "corruption.h"
#include "proto/lease.pb-c.h"

enum { BODY_MAX = 64 << 10 };

#define PROMOTE_PREFIX "/members/promote/"

struct renewal {
    struct node *node;
    struct peer_request *rq;
    int64_t id;
    struct replica_read read;
};

struct promotion {
    struct node *node;
    struct peer_request *rq;
};

static const char text_plain[] = "text/plain; charset=utf-8";
static const char protobuf[] = "application/protobuf";

void node_members_json(void *ctx, struct buf *out)
{
    struct node *n = ctx;
    /* One that has just joined knows of the others from them. */
    const struct members *ms = n->members.count ? &n->members : &n->joined;
    buf_append_byte(out, '[');
    for (uint32_t i = 0; i < ms->count; i++) {
        if (i) {
            buf_append_byte(out, ',');
        }
        member_to_json(&ms->list[i], true, out);
    }
    buf_append_str(out, "]\n");
}

void node_version_json(void *ctx, struct buf *out)
{
    struct node *n = ctx;
    buf_printf(out,
               "{\"etcdserver\":\"" SERVER_API_VERSION
               "\",\"etcdcluster\":\"%s\",\"storage\":\"%s\"}",
               n->cluster_version ? n->cluster_version : "not_decided",
               n->cluster_version ? n->cluster_version : "unknown");
}

static void answer_error(struct peer_request *rq, int status, const char *text)
{
    peer_answer(rq, status, text_plain, slice_str(text));
}

static void answer_message(struct peer_request *rq,
                           const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = mem_alloc(size);
    protobuf_c_message_pack(message, bytes);
    peer_answer(rq, 200, protobuf, slice_of(bytes, size));
    free(bytes);
}

static void answer_renewal(struct peer_request *rq, int64_t id, int64_t ttl,
                           int err)
{
    if (err == ERR_LEASE_NOT_FOUND || err == ERR_AGAIN) {
        answer_error(rq, 404, "lease not found\n");
    } else if (err) {
        answer_error(rq, 400, "not a primary lessor\n");
    } else {
        Pb__LeaseKeepAliveResponse answer = PB__LEASE_KEEP_ALIVE_RESPONSE__INIT;
        answer.id = id;
        answer.ttl = ttl;
        answer_message(rq, &answer.base);
    }
}

static void renew(struct replica_read *rd, int err)
{
    struct renewal *r = container_of(rd, struct renewal, read);
    int64_t ttl = 0;
    if (err == 0) {
        err = api_renew(r->node->api, r->id, &ttl);
    }
    answer_renewal(r->rq, r->id, ttl, err);
    free(r);
}

/* A follower passes a keep-alive on; a renewal goes through here when this
 * member leads, and a majority follows it still. */
static void keepalive(struct node *n, struct slice body,
                      struct peer_request *rq)
{
    Pb__LeaseKeepAliveRequest *ask =
        pb__lease_keep_alive_request__unpack(NULL, body.size, body.data);
    if (ask == NULL) {
        answer_error(rq, 400, "error unmarshalling request\n");
        return;
    }
    int64_t id = ask->id;
    pb__lease_keep_alive_request__free_unpacked(ask, NULL);
    if (!lease_is_primary(n->lessor)) {
        answer_renewal(rq, id, 0, ERR_NOT_LEADER);
        return;
    }
    struct renewal *r = mem_zalloc(sizeof *r);
    *r = (struct renewal){
        .node = n, .rq = rq, .id = id, .read = {.done = renew}};
    replica_read(n->replica, &r->read);
}

static void answer_timetolive(struct node *n, int64_t id, bool keys,
                              struct peer_request *rq)
{
    Pb__ResponseHeader header = PB__RESPONSE_HEADER__INIT;
    Pb__LeaseTimeToLiveResponse ttl = PB__LEASE_TIME_TO_LIVE_RESPONSE__INIT;
    Pb__LeaseInternalResponse answer = PB__LEASE_INTERNAL_RESPONSE__INIT;
    struct lease_info info;
    struct slice *list = NULL;
    ProtobufCBinaryData *copies = NULL;
    size_t count = 0;
    ttl.header = &header;
    ttl.id = id;
    ttl.ttl = -1;
    if (lease_get(n->lessor, id, loop_now_ms(n->loop), &info) == 0) {
        ttl.ttl = info.remaining_s;
        ttl.grantedttl = info.ttl_s;
        if (keys && lease_keys(n->lessor, id, &list, &count) == 0) {
            copies = mem_alloc(count * sizeof *copies);
            for (size_t i = 0; i < count; i++) {
                copies[i].len = list[i].size;
                copies[i].data = (uint8_t *)(uintptr_t)list[i].data;
            }
            ttl.keys = copies;
            ttl.n_keys = count;
        }
    }
    answer.leasetimetoliveresponse = &ttl;
    answer_message(rq, &answer.base);
    free(copies);
    free(list);
}

static void timetolive(struct node *n, struct slice body,
                       struct peer_request *rq)
{
    Pb__LeaseInternalRequest *ask =
        pb__lease_internal_request__unpack(NULL, body.size, body.data);
    if (ask == NULL || ask->leasetimetoliverequest == NULL) {
        answer_error(rq, 400, "error unmarshalling request\n");
    } else if (!lease_is_primary(n->lessor)) {
        answer_error(rq, 500, "not a primary lessor\n");
    } else {
        answer_timetolive(n, ask->leasetimetoliverequest->id,
                          ask->leasetimetoliverequest->keys, rq);
    }
    if (ask) {
        pb__lease_internal_request__free_unpacked(ask, NULL);
    }
}

/* ---- promotion ---- */

static void promoted(void *ctx, int err)
{
    struct promotion *p = ctx;
    struct buf body = BUF_INIT(1 << 20);
    switch (err) {
    case 0:
        node_members_json(p->node, &body);
        peer_answer(p->rq, 200, "application/json", buf_slice(&body));
        break;
    case ERR_NOT_FOUND:
        answer_error(p->rq, 404, "membership: ID not found\n");
        break;
    case ERR_INVALID:
        answer_error(p->rq, 412,
                     "membership: can only promote a learner member\n");
        break;
    case ERR_AGAIN:
        answer_error(p->rq, 412,
                     "etcdserver: can only promote a learner member which is "
                     "in sync with leader\n");
        break;
    case ERR_BUSY:
        peer_answer(p->rq, 500, "application/json",
                    slice_str("{\"message\":\"etcdserver: re-configuration "
                              "failed due to not enough started members\"}"));
        break;
    default:
        peer_answer(p->rq, 500, "application/json",
                    slice_str("{\"message\":\"Internal Server Error\"}"));
    }
    buf_release(&body);
    free(p);
}

static void promote(struct node *n, const char *text, struct peer_request *rq)
{
    uint64_t id;
    if (text_parse_u64(text, 10, &id) != 0) {
        char *why = mem_printf("member %s not found in cluster\n", text);
        answer_error(rq, 404, why);
        free(why);
        return;
    }
    struct promotion *p = mem_alloc(sizeof *p);
    *p = (struct promotion){n, rq};
    api_promote(n->api, id, promoted, p);
}

uint64_t node_connected_ms(void *ctx, uint64_t id)
{
    struct node *n = ctx;
    struct peer_stats all[MEMBERS_MAX];
    uint32_t count = peer_get_stats(n->peers, all, MEMBERS_MAX);
    uint64_t now = loop_now_ms(n->loop);
    for (uint32_t i = 0; i < count && i < MEMBERS_MAX; i++) {
        if (all[i].id == id && all[i].active) {
            uint64_t since = now - all[i].active_since_ms;
            return since ? since : 1;
        }
    }
    return 0;
}

void node_peer_request(void *ctx, const char *method, const char *path,
                       struct slice body, struct peer_request *rq)
{
    struct node *n = ctx;
    bool post = strcmp(method, "POST") == 0;
    bool leases = strcmp(path, "/leases") == 0;
    bool internal = strcmp(path, "/leases/internal") == 0;
    if (leases || internal) {
        if (!post) {
            answer_error(rq, 405, "Method Not Allowed\n");
        } else if (body.size > BODY_MAX) {
            answer_error(rq, 413, "request body too large\n");
        } else if (leases) {
            keepalive(n, body, rq);
        } else {
            timetolive(n, body, rq);
        }
    } else if (post &&
               strncmp(path, PROMOTE_PREFIX, sizeof PROMOTE_PREFIX - 1) == 0) {
        promote(n, path + sizeof PROMOTE_PREFIX - 1, rq);
    } else if (strcmp(path, "/members/hashkv") == 0 && !post) {
        peer_hash_answer(n, body, rq);
    } else if (strcmp(path, "/downgrade/enabled") == 0 && !post) {
        peer_answer(rq, 200, text_plain, slice_str("false"));
    } else {
        answer_error(rq, 404, "404 page not found\n");
    }
}
