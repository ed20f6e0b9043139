/* The Election service but for Observe: the oldest key below the name is
 * the leader's, its value what the leader proclaims. */
#include "proto/election.pb-c.h"
#include "session.h"

static struct slice slice_from_pb(ProtobufCBinaryData b)
{
    return slice_of(b.data, b.len);
}

static ProtobufCBinaryData data_of(struct slice s)
{
    return (ProtobufCBinaryData){s.size, (uint8_t *)(uintptr_t)s.data};
}

/* ---- "if the key is still the one created at rev, then" ---- */
struct resumed {
    const Pbe__LeaderKey *leader;
    struct slice value;
};

static void compare_rev(const Pbe__LeaderKey *leader, Pb__Compare *ret)
{
    pb__compare__init(ret);
    ret->target = PB__COMPARE__COMPARE_TARGET__CREATE;
    ret->target_union_case = PB__COMPARE__TARGET_UNION_CREATE_REVISION;
    ret->create_revision = leader->rev;
    ret->key = leader->key;
}

static void if_leader(struct api_session *s, const Pbe__LeaderKey *leader,
                      Pb__RequestOp *then, uint64_t cost,
                      void (*proceed)(struct api_call *c))
{
    Pb__Compare mine;
    compare_rev(leader, &mine);
    Pb__TxnRequest txn = PB__TXN_REQUEST__INIT;
    txn.compare = (Pb__Compare *[]){&mine};
    txn.success = &then;
    txn.n_compare = txn.n_success = 1;
    api_session_txn(s, &txn, cost, proceed);
}

static void put_if_leader(struct api_session *s, const Pbe__LeaderKey *leader,
                          struct slice value,
                          void (*proceed)(struct api_call *c))
{
    Pb__PutRequest put = PB__PUT_REQUEST__INIT;
    put.key = leader->key;
    put.value = data_of(value);
    put.lease = s->lease;
    Pb__RequestOp then = PB__REQUEST_OP__INIT;
    then.request_case = PB__REQUEST_OP__REQUEST_REQUEST_PUT;
    then.request_put = &put;
    if_leader(s, leader, &then,
              apply_cost_put(slice_from_pb(leader->key), value), proceed);
}

/* ---- Campaign ---- */
static void won(struct api_session *s)
{
    Pb__ResponseHeader header;
    api_header_pb(s->c->api, s->header_revision, &header);
    Pbe__LeaderKey leader = PBE__LEADER_KEY__INIT;
    leader.name = data_of(s->name);
    leader.key = data_of(s->key);
    leader.rev = s->create_revision;
    leader.lease = s->lease;
    Pbe__CampaignResponse r = PBE__CAMPAIGN_RESPONSE__INIT;
    r.header = &header;
    r.leader = &leader;
    s->queued = false;
    grpc_reply(s->c->call, &r.base);
}

static void reproclaimed(struct api_call *c)
{
    if (api_txn_succeeded(c)) {
        api_session_wait(c->session, won);
    } else {
        api_session_fail(c, API_ELECTION_NOT_LEADER);
    }
}

static void in_queue(struct api_session *s)
{
    const struct resumed *want = s->c->resumed;
    if (!s->existed || slice_eq(s->old_value, want->value)) {
        api_session_wait(s, won);
        return;
    }
    s->queued = true;
    Pbe__LeaderKey own = PBE__LEADER_KEY__INIT;
    own.key = data_of(s->key);
    own.rev = s->create_revision;
    put_if_leader(s, &own, want->value, reproclaimed);
}

static void campaign(struct api_session *s)
{
    api_session_enter(s, s->name, s->c->resumed->value, in_queue);
}

static struct resumed *keep(struct api_session *s, const Pbe__LeaderKey *leader,
                            struct slice value)
{
    struct resumed *k = arena_alloc(grpc_call_arena(s->c->call), sizeof *k);
    *k = (struct resumed){leader, value};
    s->c->resumed = k;
    return k;
}

void api_campaign(struct grpc_call *call, struct slice message)
{
    const Pbe__CampaignRequest *q =
        grpc_unpack(call, &pbe__campaign_request__descriptor, message);
    if (q) {
        struct api_session *s = api_session_new(call);
        s->name = slice_from_pb(q->name);
        keep(s, NULL, slice_from_pb(q->value));
        api_session_begin(s, q->lease, campaign);
    }
}

/* ---- Proclaim ---- */
static void proclaimed(struct api_call *c)
{
    if (!api_txn_succeeded(c)) {
        api_session_fail(c, API_ELECTION_NOT_LEADER);
        return;
    }
    Pb__ResponseHeader header;
    api_header_pb(c->api, c->out.revision, &header);
    Pbe__ProclaimResponse r = PBE__PROCLAIM_RESPONSE__INIT;
    r.header = &header;
    grpc_reply(c->call, &r.base);
}

static void proclaim(struct api_session *s)
{
    const struct resumed *k = s->c->resumed;
    put_if_leader(s, k->leader, k->value, proclaimed);
}

void api_proclaim(struct grpc_call *call, struct slice message)
{
    const Pbe__ProclaimRequest *q =
        grpc_unpack(call, &pbe__proclaim_request__descriptor, message);
    if (!q) {
        return;
    }
    struct api_session *s = api_session_new(call);
    if (!q->leader) {
        api_session_fail(s->c, API_LEADER_MISSING);
        return;
    }
    keep(s, q->leader, slice_from_pb(q->value));
    api_session_begin(s, q->leader->lease, proclaim);
}

/* ---- Resign ---- */
static void resigned(struct api_call *c)
{
    Pb__ResponseHeader header;
    api_header_pb(c->api, c->out.revision, &header);
    Pbe__ResignResponse r = PBE__RESIGN_RESPONSE__INIT;
    r.header = &header;
    grpc_reply(c->call, &r.base);
}

static void resign(struct api_session *s)
{
    const Pbe__LeaderKey *leader = s->c->resumed->leader;
    Pb__DeleteRangeRequest del = PB__DELETE_RANGE_REQUEST__INIT;
    del.key = leader->key;
    Pb__RequestOp then = PB__REQUEST_OP__INIT;
    then.request_case = PB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
    then.request_delete_range = &del;
    if_leader(s, leader, &then, 0, resigned);
}

void api_resign(struct grpc_call *call, struct slice message)
{
    const Pbe__ResignRequest *q =
        grpc_unpack(call, &pbe__resign_request__descriptor, message);
    if (!q) {
        return;
    }
    struct api_session *s = api_session_new(call);
    if (!q->leader) {
        api_session_fail(s->c, API_LEADER_MISSING);
        return;
    }
    keep(s, q->leader, (struct slice){NULL, 0});
    api_session_begin(s, q->leader->lease, resign);
}

/* ---- Leader ---- */
static void tell_leader(struct api_call *c)
{
    struct mvcc_kv kv;
    int err =
        api_session_find(c->api, c->session->prefix, INT64_MAX, true, &kv);
    if (err) {
        api_session_fail(c, err == ERR_KEY_NOT_FOUND ? API_ELECTION_NO_LEADER
                                                     : err);
        return;
    }
    struct buf *body = &c->api->scratch;
    buf_reset(body, API_SCRATCH_KEEP);
    err = proto_add_message(body, 2, kv.encoded);
    if (err) {
        api_session_fail(c, err);
    } else {
        api_respond(c->api, c->call, mvcc_revision(c->api->mvcc),
                    buf_slice(body));
    }
}

void api_leader(struct grpc_call *call, struct slice message)
{
    const Pbe__LeaderRequest *q =
        grpc_unpack(call, &pbe__leader_request__descriptor, message);
    if (q) {
        struct api_session *s = api_session_new(call);
        s->prefix =
            api_session_prefix(grpc_call_arena(call), slice_from_pb(q->name));
        api_read(s->c, tell_leader);
    }
}
