/* Grant, revoke, time to live, list. */
#include <stdlib.h>

#include "proto/proto.h"
#include "state.h"

enum { ENTRY_LEASE_GRANT = 8, ENTRY_LEASE_REVOKE = 9 };

/* Fields 1 and 2 as numbers. */
static int decode_two(struct slice message, uint64_t ret_numbers[3])
{
    struct proto_field f;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.wire == PROTO_VARINT && f.number < 3) {
            ret_numbers[f.number] = f.value;
        }
    }
    return more;
}

/* ERR_* of a grant that mean something else elsewhere. */
static void grant_applied(struct api_call *c)
{
    if (c->out.err == ERR_TOO_LARGE) {
        api_fail(c->call, API_LEASE_TTL_TOO_LARGE);
    } else if (c->out.err) {
        api_fail(c->call, c->out.err);
    } else {
        api_respond_applied(c);
    }
}

void api_lease_grant(struct grpc_call *call, struct slice message)
{
    struct api *a = api_of(call);
    uint64_t numbers[3] = {0}; /* TTL = 1, ID = 2 */
    if (decode_two(message, numbers)) {
        api_fail_unmarshal(call);
        return;
    }
    int err = api_check_quota(a, APPLY_COST_LEASE);
    if (err) {
        api_fail(call, err);
        return;
    }
    while (numbers[2] == 0) {
        numbers[2] =
            a->config.rim.next_request_id(a->config.rim.ctx) & INT64_MAX;
    }
    uint8_t request[2 * (1 + PROTO_VARINT_MAX)];
    uint8_t *end = proto_u64(request, 1, numbers[1]);
    end = proto_u64(end, 2, numbers[2]);
    struct api_call *c = api_call_new(call);
    c->own_errors = true;
    api_propose(c, ENTRY_LEASE_GRANT,
                slice_of(request, (size_t)(end - request)), grant_applied);
}

void api_lease_revoke(struct grpc_call *call, struct slice message)
{
    uint64_t numbers[3] = {0};
    if (decode_two(message, numbers)) {
        api_fail_unmarshal(call);
        return;
    }
    api_propose(api_call_new(call), ENTRY_LEASE_REVOKE, message,
                api_respond_applied);
}

/* ---- time to live ---- */
static int add_keys(struct api *a, int64_t id, struct buf *body)
{
    struct slice *keys;
    size_t count;
    int err = lease_keys(a->config.lessor, id, &keys, &count);
    if (err) {
        return err;
    }
    for (size_t i = 0; i < count && err == 0; i++) {
        err = proto_add_message(body, 5, keys[i]);
    }
    free(keys);
    return err;
}

static void answer_ttl(struct api_call *c)
{
    struct api *a = c->api;
    struct buf *body = &a->scratch;
    buf_reset(body, API_SCRATCH_KEEP);
    int64_t id = c->ttl.id;
    struct lease_info info = {.ttl_s = 0, .remaining_s = -1};
    int found = lease_get(a->config.lessor, id, api_now_ms(a), &info);
    int err = proto_add_u64(body, 2, (uint64_t)id);
    err = err ? err : proto_add_u64(body, 3, (uint64_t)info.remaining_s);
    err = err ? err : proto_add_u64(body, 4, (uint64_t)info.ttl_s);
    if (err == 0 && found == 0 && c->ttl.keys) {
        err = add_keys(a, id, body);
    }
    if (err) {
        api_fail(c->call, err);
    } else {
        api_respond(a, c->call, mvcc_revision(a->mvcc), buf_slice(body));
    }
}

static void forwarded(void *ctx, int err, Pb__LeaseTimeToLiveResponse *r)
{
    struct api_call *c = ctx;
    struct grpc_call *call = c->call;
    if (!grpc_call_alive(call)) {
        /* nobody listens any more */
    } else if (err) {
        api_fail(call, err);
    } else {
        Pb__ResponseHeader header;
        api_header_pb(c->api, mvcc_revision(c->api->mvcc), &header);
        Pb__ResponseHeader *theirs = r->header;
        r->header = &header;
        grpc_reply(call, &r->base);
        r->header = theirs;
    }
    grpc_call_unref(call);
}

/* Answers as soon as this member is sure: a leader that has applied all it
 * has committed, or that has the lease. */
static bool try_ttl(struct api_call *c)
{
    struct api *a = c->api;
    const struct raft_status *s = replica_status(a->config.replica);
    if (lease_is_primary(a->config.lessor)) {
        if (!lease_exists(a->config.lessor, c->ttl.id) &&
            s->applied < s->commit) {
            return false;
        }
        answer_ttl(c);
        return true;
    }
    if (s->role == RAFT_LEADER) {
        return false; /* its first entry is not applied yet */
    }
    grpc_call_ref(c->call);
    a->config.rim.forward_timetolive(a->config.rim.ctx, c->ttl.id, c->ttl.keys,
                                     forwarded, c);
    return true;
}

static bool poll_ttl(struct api_wait *w)
{
    struct api_call *c = container_of(w, struct api_call, wait);
    if (try_ttl(c)) {
        return true;
    }
    if (api_now_ms(c->api) < c->deadline_ms) {
        return false;
    }
    api_fail(c->call, API_TIMEOUT_APPLY);
    return true;
}

void api_lease_time_to_live(struct grpc_call *call, struct slice message)
{
    uint64_t numbers[3] = {0};
    if (decode_two(message, numbers)) {
        api_fail_unmarshal(call);
        return;
    }
    struct api_call *c = api_call_new(call);
    c->ttl.id = (int64_t)numbers[1];
    c->ttl.keys = numbers[2] != 0;
    c->deadline_ms = api_now_ms(c->api) + API_APPLIED_WAIT_MS;
    if (!try_ttl(c)) {
        api_wait_for(c->api, &c->wait, poll_ttl);
    }
}

/* ---- list ---- */
void api_lease_leases(struct grpc_call *call, struct slice message)
{
    if (!grpc_unpack(call, &pb__lease_leases_request__descriptor, message)) {
        return;
    }
    struct api *a = api_of(call);
    struct buf *body = &a->scratch;
    buf_reset(body, API_SCRATCH_KEEP);
    int64_t *ids;
    size_t count = lease_list(a->config.lessor, &ids);
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        uint8_t status[1 + PROTO_VARINT_MAX];
        uint8_t *end = proto_u64(status, 1, (uint64_t)ids[i]);
        err = proto_add_message(body, 2,
                                slice_of(status, (size_t)(end - status)));
    }
    free(ids);
    if (err) {
        api_fail(call, err);
    } else {
        api_respond(a, call, mvcc_revision(a->mvcc), buf_slice(body));
    }
}
