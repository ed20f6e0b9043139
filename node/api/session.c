#include "session.h"

#include <inttypes.h>

#include "proto/proto.h"

enum { ENTRY_TXN = 6, ENTRY_LEASE_GRANT = 8 };

/* ---- failures ---- */
void api_session_fail(struct api_call *c, int err)
{
    struct api_status s = api_status_of(err);
    bool deadline = s.code == GRPC_DEADLINE_EXCEEDED;
    grpc_finish(c->call, deadline ? s.code : GRPC_UNKNOWN, s.text);
}

struct api_session *api_session_new(struct grpc_call *call)
{
    struct api_call *c = api_call_new(call);
    struct api_session *s = arena_zalloc(grpc_call_arena(call), sizeof *s);
    list_init(&s->wake.link);
    s->c = c;
    c->session = s;
    c->failed = api_session_fail;
    return s;
}

/* ---- proposals ---- */
static bool go_on(struct api_wait *w)
{
    struct api_session *s = container_of(w, struct api_session, wake);
    s->proceed(s->c);
    return true;
}

/* The next step may propose, which is not done while entries are applied. */
static void applied(struct api_call *c)
{
    api_slice(c->api, &c->session->wake, go_on);
}

static void propose(struct api_session *s, uint32_t field, struct slice message,
                    void (*proceed)(struct api_call *c))
{
    s->proceed = proceed;
    api_propose(s->c, field, message, applied);
}

/* ---- the lease ---- */
static void granted(struct api_call *c)
{
    c->session->next(c->session);
}

static void grant(struct api_session *s)
{
    struct api *a = s->c->api;
    int err = api_check_quota(a, APPLY_COST_LEASE);
    if (err) {
        api_session_fail(s->c, err);
        return;
    }
    while (s->lease == 0) {
        s->lease = (int64_t)(a->config.rim.next_request_id(a->config.rim.ctx) &
                             INT64_MAX);
    }
    uint8_t message[2 * (1 + PROTO_VARINT_MAX)];
    uint8_t *end = proto_u64(message, 1, API_SESSION_TTL_S);
    end = proto_u64(end, 2, (uint64_t)s->lease);
    propose(s, ENTRY_LEASE_GRANT, slice_of(message, (size_t)(end - message)),
            granted);
}

void api_session_begin(struct api_session *s, int64_t lease,
                       void (*next)(struct api_session *s))
{
    s->lease = lease;
    s->next = next;
    if (lease) {
        next(s);
    } else {
        grant(s);
    }
}

/* ---- transactions ---- */
static struct slice pack(struct api_call *c, const ProtobufCMessage *m)
{
    size_t size = protobuf_c_message_get_packed_size(m);
    uint8_t *data = arena_alloc(grpc_call_arena(c->call), size);
    protobuf_c_message_pack(m, data);
    return slice_of(data, size);
}

void api_session_txn(struct api_session *s, const Pb__TxnRequest *txn,
                     uint64_t cost, void (*proceed)(struct api_call *c))
{
    struct api_call *c = s->c;
    int err = api_check_quota(c->api, cost);
    err = err ? err : api_check_txn(txn, c->api->config.txn_ops_max);
    if (err) {
        api_session_fail(c, err);
        return;
    }
    apply_out_release(&c->out);
    apply_out_init(&c->out);
    propose(s, ENTRY_TXN, pack(c, &txn->base), proceed);
}

/* A field of a message, the last of its number. */
static struct proto_field field_of(struct slice message, uint32_t number)
{
    struct proto_field f, found = {0};
    while (proto_next(&message, &f) > 0) {
        if (f.number == number) {
            found = f;
        }
    }
    return found;
}

bool api_txn_succeeded(const struct api_call *c)
{
    return field_of(buf_slice(&c->out.body), 2).value != 0;
}

/* ---- the key ---- */
struct slice api_session_prefix(struct arena *arena, struct slice name)
{
    uint8_t *text = arena_alloc(arena, name.size + 1);
    *proto_copy(text, name) = '/';
    return slice_of(text, name.size + 1);
}

static struct slice key_of(const struct api_session *s)
{
    struct arena *arena = grpc_call_arena(s->c->call);
    bool minus = s->lease < 0;
    uint64_t size = minus ? 0 - (uint64_t)s->lease : (uint64_t)s->lease;
    char hex[24];
    int n = snprintf(hex, sizeof hex, "%s%" PRIx64, minus ? "-" : "", size);
    uint8_t *text = arena_alloc(arena, s->prefix.size + (size_t)n);
    proto_copy(proto_copy(text, s->prefix), slice_of(hex, (size_t)n));
    return slice_of(text, s->prefix.size + (size_t)n);
}

static ProtobufCBinaryData data_of(struct slice s)
{
    return (ProtobufCBinaryData){s.size, (uint8_t *)(uintptr_t)s.data};
}

/* TxnResponse.responses[0].response_range.kvs[0], the key as it was. */
static void found_there(struct api_session *s)
{
    struct slice op = field_of(buf_slice(&s->c->out.body), 3).bytes;
    struct slice kv = field_of(field_of(op, 1).bytes, 2).bytes;
    s->existed = true;
    s->create_revision = (int64_t)field_of(kv, 2).value;
    s->old_value =
        arena_slice(grpc_call_arena(s->c->call), field_of(kv, 5).bytes);
}

static void entered(struct api_call *c)
{
    struct api_session *s = c->session;
    s->header_revision = s->create_revision = c->out.revision;
    if (!api_txn_succeeded(c)) {
        found_there(s);
    }
    s->next(s);
}

void api_session_enter(struct api_session *s, struct slice name,
                       struct slice value, void (*next)(struct api_session *s))
{
    s->name = name;
    s->prefix = api_session_prefix(grpc_call_arena(s->c->call), name);
    s->key = key_of(s);
    s->next = next;
    Pb__Compare absent = PB__COMPARE__INIT;
    absent.target = PB__COMPARE__COMPARE_TARGET__CREATE;
    absent.target_union_case = PB__COMPARE__TARGET_UNION_CREATE_REVISION;
    absent.key = data_of(s->key);
    Pb__PutRequest put = PB__PUT_REQUEST__INIT;
    put.key = data_of(s->key);
    put.value = data_of(value);
    put.lease = s->lease;
    Pb__RangeRequest get = PB__RANGE_REQUEST__INIT;
    get.key = data_of(s->key);
    Pb__RequestOp then = PB__REQUEST_OP__INIT, other = PB__REQUEST_OP__INIT;
    then.request_case = PB__REQUEST_OP__REQUEST_REQUEST_PUT;
    then.request_put = &put;
    other.request_case = PB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    other.request_range = &get;
    Pb__TxnRequest txn = PB__TXN_REQUEST__INIT;
    txn.compare = (Pb__Compare *[]){&absent};
    txn.success = (Pb__RequestOp *[]){&then};
    txn.failure = (Pb__RequestOp *[]){&other};
    txn.n_compare = txn.n_success = txn.n_failure = 1;
    api_session_txn(s, &txn, apply_cost_put(s->key, value), entered);
}
