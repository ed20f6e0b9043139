/* The Lock service: who created the oldest key below the name holds it. */
#include "proto/lock.pb-c.h"
#include "proto/proto.h"
#include "session.h"

enum { ENTRY_DELETE_RANGE = 5 };

static ProtobufCBinaryData data_of(struct slice s)
{
    return (ProtobufCBinaryData){s.size, (uint8_t *)(uintptr_t)s.data};
}

/* ---- Lock ---- */
static void answer(struct api_session *s, int64_t revision)
{
    Pb__ResponseHeader header;
    api_header_pb(s->c->api, revision, &header);
    Pbl__LockResponse r = PBL__LOCK_RESPONSE__INIT;
    r.header = &header;
    r.key = data_of(s->key);
    s->queued = false;
    grpc_reply(s->c->call, &r.base);
}

/* After a wait the lease may have ended, and the key with it. */
static void still_there(struct api_call *c)
{
    struct api_session *s = c->session;
    struct mvcc_kv kv;
    int err = mvcc_get(c->api->mvcc, s->key, &kv);
    if (err == ERR_KEY_NOT_FOUND) {
        s->queued = false;
        api_session_fail(c, API_SESSION_EXPIRED);
    } else if (err) {
        api_session_fail(c, err);
    } else {
        answer(s, mvcc_revision(c->api->mvcc));
    }
}

static void turn_came(struct api_session *s)
{
    api_read(s->c, still_there);
}

static void in_queue(struct api_session *s)
{
    if (api_session_is_behind(s)) {
        api_session_wait(s, turn_came);
    } else {
        answer(s, s->header_revision);
    }
}

static void with_lease(struct api_session *s)
{
    api_session_enter(s, s->name, (struct slice){NULL, 0}, in_queue);
}

void api_lock(struct grpc_call *call, struct slice message)
{
    struct proto_field f;
    struct slice name = {NULL, 0};
    int64_t lease = 0;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.number == 1 && f.wire == PROTO_BYTES) {
            name = f.bytes;
        } else if (f.number == 2 && f.wire == PROTO_VARINT) {
            lease = (int64_t)f.value;
        }
    }
    if (more < 0) {
        api_fail_unmarshal(call);
        return;
    }
    struct api_session *s = api_session_new(call);
    s->name = arena_slice(grpc_call_arena(call), name);
    api_session_begin(s, lease, with_lease);
}

/* ---- Unlock ---- */
static void unlocked(struct api_call *c)
{
    Pb__ResponseHeader header;
    api_header_pb(c->api, c->out.revision, &header);
    Pbl__UnlockResponse r = PBL__UNLOCK_RESPONSE__INIT;
    r.header = &header;
    grpc_reply(c->call, &r.base);
}

void api_unlock(struct grpc_call *call, struct slice message)
{
    struct proto_field f;
    struct slice key = {NULL, 0}, rest = message;
    int more;
    while ((more = proto_next(&rest, &f)) > 0) {
        if (f.number == 1 && f.wire == PROTO_BYTES) {
            key = f.bytes;
        }
    }
    if (more < 0) {
        api_fail_unmarshal(call);
        return;
    }
    struct api_session *s = api_session_new(call);
    if (key.size == 0) {
        api_session_fail(s->c, API_KEY_EMPTY);
        return;
    }
    struct arena *arena = grpc_call_arena(call);
    uint8_t *del = arena_alloc(arena, 2 * PROTO_VARINT_MAX + key.size);
    uint8_t *end = proto_copy(proto_head(del, 1, key.size), key);
    api_propose(s->c, ENTRY_DELETE_RANGE, slice_of(del, (size_t)(end - del)),
                unlocked);
}
