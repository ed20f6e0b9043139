/* Put, DeleteRange, Compact. */
#include "proto/proto.h"
#include "state.h"

enum { ENTRY_PUT = 4, ENTRY_DELETE_RANGE = 5, ENTRY_COMPACTION = 7 };

/* ---- Put ---- */
void api_kv_put(struct grpc_call *call, struct slice message)
{
    struct proto_put put;
    if (proto_decode_put(message, &put)) {
        api_fail_unmarshal(call);
        return;
    }
    int err = api_check_quota(api_of(call), apply_cost_put(put.key, put.value));
    err = err ? err : api_check_put(&put);
    if (err) {
        api_fail(call, err);
        return;
    }
    api_propose(api_call_new(call), ENTRY_PUT, message, api_respond_applied);
}

/* ---- DeleteRange ---- */
void api_kv_delete_range(struct grpc_call *call, struct slice message)
{
    struct proto_delete del;
    if (proto_decode_delete(message, &del)) {
        api_fail_unmarshal(call);
        return;
    }
    int err = api_check_delete(&del);
    if (err) {
        api_fail(call, err);
        return;
    }
    api_propose(api_call_new(call), ENTRY_DELETE_RANGE, message,
                api_respond_applied);
}

/* ---- Compact ---- */

/* The old records are gone. The call may be, too, but not its memory: it is
 * referenced from the moment the entry was applied. */
static void physically_compacted(struct apply_out *out, int err)
{
    struct api_call *c = container_of(out, struct api_call, out);
    if (!c->compact.applied) {
        c->compact.gone = true;
        return;
    }
    if (grpc_call_alive(c->call)) {
        if (err) {
            api_fail(c->call, err);
        } else {
            api_respond_applied(c);
        }
    }
    grpc_call_unref(c->call);
}

static void compaction_applied(struct api_call *c)
{
    if (!c->compact.physical || c->compact.gone) {
        api_respond_applied(c);
        return;
    }
    c->compact.applied = true;
    grpc_call_ref(c->call);
}

void api_kv_compact(struct grpc_call *call, struct slice message)
{
    struct proto_field f;
    struct slice rest = message;
    bool physical = false;
    int more;
    while ((more = proto_next(&rest, &f)) > 0) {
        if (f.number == 2 && f.wire == PROTO_VARINT) {
            physical = f.value != 0;
        }
    }
    if (more < 0) {
        api_fail_unmarshal(call);
        return;
    }
    struct api_call *c = api_call_new(call);
    c->compact.physical = physical;
    if (physical) {
        c->out.compacted = physically_compacted;
    }
    api_propose(c, ENTRY_COMPACTION, message, compaction_applied);
}
