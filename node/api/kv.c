/* Range, Put, DeleteRange, Compact. */
#include "proto/proto.h"
#include "state.h"

enum { ENTRY_PUT = 4, ENTRY_DELETE_RANGE = 5, ENTRY_COMPACTION = 7 };

/* ---- Range ---- */
static int answer_parts(struct api_call *c)
{
    uint8_t head[API_HEADER_BYTES_MAX];
    if (c->parts.count == 0) {
        api_respond_body(c->api, c->call, c->out.revision, &c->out.body);
        return 0;
    }
    int err = api_parts_add(&c->parts, &c->out.body);
    if (err == 0) {
        size_t size = api_header(c->api, c->out.revision, head);
        api_parts_send(&c->parts, c->call, slice_of(head, size));
        grpc_finish(c->call, GRPC_OK, NULL);
    }
    return err;
}

/* Its revision was compacted away between two slices. Who asked for the
 * newest gets the newest: nothing was answered yet. */
static int begin_again(struct api_call *c)
{
    if (c->range.revision > 0) {
        return ERR_COMPACTED;
    }
    struct proto_range range = c->job.range;
    range.revision = 0;
    apply_range_end(&c->job);
    api_parts_release(&c->parts);
    api_body_begin(&c->out.body);
    c->out.revision = mvcc_revision(c->api->mvcc);
    return apply_range_begin(c->api->config.apply, &range, &c->job);
}

static bool range_slice(struct api_wait *w)
{
    struct api_call *c = container_of(w, struct api_call, wait);
    int err = api_parts_step(c->api, &c->parts, &c->job, &c->out.body);
    if (err == ERR_COMPACTED) {
        err = begin_again(c);
    }
    if (err == 0 && c->job.done) {
        err = answer_parts(c);
    }
    if (err) {
        api_fail(c->call, err);
    }
    return err || c->job.done;
}

/* The rest is done later, but for what a slice still has room for: the
 * answer so far, and what the request points to, move to where they last. */
static int go_on_later(struct api_call *c)
{
    struct api *a = c->api;
    size_t made = a->scratch.size;
    if (!c->kept) {
        struct proto_range range;
        int err = proto_decode_range(grpc_call_keep_message(c->call), &range);
        if (err) {
            return err;
        }
        c->job.range.key = range.key;
        c->job.range.end = range.end;
    }
    struct buf empty = c->out.body;
    c->out.body = a->scratch;
    a->scratch = empty;
    if (made < APPLY_STEP_BYTES || !range_slice(&c->wait)) {
        api_slice(a, &c->wait, range_slice);
    }
    return 0;
}

static void serve_range(struct api_call *c)
{
    struct api *a = c->api;
    api_body_begin(&a->scratch);
    int err = apply_range_begin(a->config.apply, &c->range, &c->job);
    if (err == 0) {
        c->has_job = true;
        c->out.revision = mvcc_revision(a->mvcc);
        err = apply_range_step(a->config.apply, &c->job, &a->scratch);
    }
    if (err == 0 && c->job.done) {
        api_respond_body(a, c->call, c->out.revision, &a->scratch);
    } else if (err == 0) {
        err = go_on_later(c);
    }
    if (err) {
        api_fail(c->call, err);
    }
}

void api_kv_range(struct grpc_call *call, struct slice message)
{
    struct proto_range range;
    if (proto_decode_range(message, &range)) {
        api_fail_unmarshal(call);
        return;
    }
    struct api *a = api_of(call);
    int err = api_check_range(&range);
    if (!range.serializable && replica_status(a->config.replica)->is_learner) {
        err = API_LEARNER; /* the interceptor's, before the checks */
    }
    if (err) {
        api_fail(call, err);
        return;
    }
    struct api_call *c = api_call_new(call);
    if (range.serializable) {
        c->range = range;
        serve_range(c);
        return;
    }
    /* The slices must outlive this call: decode again where they stay. */
    c->kept = true;
    if (proto_decode_range(grpc_call_keep_message(call), &c->range)) {
        api_fail_unmarshal(call);
        return;
    }
    api_read(c, serve_range);
}

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
