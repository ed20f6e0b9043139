/*
 * Range. Most are over in one go; a large one, or the count of a large one,
 * is done in slices between which everybody else is served, all of it at
 * the revision that it began at.
 */
#include "proto/proto.h"
#include "state.h"

static void respond(struct api_call *c, int err, int64_t revision,
                    struct buf *body)
{
    if (err) {
        api_fail(c->call, err);
    } else {
        api_respond(c->api, c->call, revision, buf_slice(body));
    }
}

static void serve_whole(struct api_call *c)
{
    struct api *a = c->api;
    struct buf *body = &a->scratch;
    buf_reset(body, API_SCRATCH_KEEP);
    int err = apply_range(a->config.apply, &c->range, body);
    respond(c, err, mvcc_revision(a->mvcc), body);
    buf_reset(body, API_SCRATCH_KEEP);
}

static int step(struct api_call *c, struct buf *body)
{
    struct apply *apply = c->api->config.apply;
    int err =
        apply_scan_step(apply, c->scan, API_SLICE_KEYS, API_SLICE_BYTES, body);
    return err ? err : apply_scan_finish(c->scan, body);
}

/* Its revision was compacted away between two slices. Who asked for the
 * newest gets the newest: nothing was answered yet. */
static int begin_again(struct api_call *c)
{
    if (c->scan->range.revision > 0) {
        return ERR_COMPACTED;
    }
    struct proto_range range = c->scan->range;
    range.key = c->range.key;
    buf_reset(&c->out.body, API_SCRATCH_KEEP);
    apply_scan_end(c->scan);
    int err = apply_scan_begin(c->api->config.apply, &range, c->scan);
    return err ? err : ERR_AGAIN;
}

static bool slice(struct api_wait *w)
{
    struct api_call *c = container_of(w, struct api_call, wait);
    int err = step(c, &c->out.body);
    if (err == ERR_COMPACTED) {
        err = begin_again(c);
    }
    if (err == ERR_AGAIN) {
        return false;
    }
    respond(c, err, c->scan->header_revision, &c->out.body);
    return true;
}

/* The request's bytes must outlive the message; what is there of the answer
 * goes from the common buffer to the call. */
static void settle(struct api_call *c)
{
    struct api *a = c->api;
    struct buf own = c->out.body;
    c->out.body = a->scratch;
    a->scratch = own;
    c->range.key = arena_slice(grpc_call_arena(c->call), c->range.key);
    c->range.end = arena_slice(grpc_call_arena(c->call), c->range.end);
    c->scan->range.key = c->range.key;
    c->scan->range.end = c->range.end;
}

static void serve(struct api_call *c)
{
    struct api *a = c->api;
    if (!apply_scan_can(&c->range)) {
        serve_whole(c);
        return;
    }
    struct apply_scan *scan =
        arena_alloc(grpc_call_arena(c->call), sizeof *scan);
    int err = apply_scan_begin(a->config.apply, &c->range, scan);
    if (err) {
        api_fail(c->call, err);
        return;
    }
    c->scan = scan;
    buf_reset(&a->scratch, API_SCRATCH_KEEP);
    err = step(c, &a->scratch);
    if (err == ERR_AGAIN) {
        settle(c);
        api_slice(a, &c->wait, slice);
        return;
    }
    respond(c, err, scan->header_revision, &a->scratch);
    buf_reset(&a->scratch, API_SCRATCH_KEEP);
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
        serve(c);
        return;
    }
    /* The slices must outlive this call: decode again where they stay. */
    struct slice kept = grpc_call_keep_message(call);
    if (proto_decode_range(kept, &c->range)) {
        api_fail_unmarshal(call);
        return;
    }
    api_read(c, serve);
}
