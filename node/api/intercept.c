/*
 * Before every method, in this order: a learner serves little; the client's
 * version must be text; who asks for a leader gets none without. Streams
 * get their context here, so that they can be ended from outside.
 */
#include "base/text.h"
#include "state.h"

static bool learner_may(const struct grpc_method *m)
{
    if (m->kind != GRPC_UNARY) {
        return strcmp(m->path, "/etcdserverpb.Maintenance/Snapshot") == 0;
    }
    /* Of Range only serializable ones; its handler looks. */
    return strcmp(m->path, "/etcdserverpb.Maintenance/Status") == 0 ||
           strcmp(m->path, "/etcdserverpb.KV/Range") == 0;
}

static int judge(struct api *a, const struct grpc_call *call, bool wants_leader)
{
    if (replica_status(a->config.replica)->is_learner &&
        !learner_may(grpc_call_method(call))) {
        return API_LEARNER;
    }
    if (!text_is_utf8(grpc_call_metadata(call, "client-api-version"))) {
        return API_BAD_API_VERSION;
    }
    if (wants_leader && !replica_has_leader(a->config.replica)) {
        return API_NO_LEADER;
    }
    return 0;
}

bool api_intercept(void *ctx, struct grpc_call *call)
{
    struct api *a = ctx;
    bool wants_leader =
        slice_eq_str(grpc_call_metadata(call, "hasleader"), "true");
    int err = judge(a, call, wants_leader);
    if (err) {
        api_fail(call, err);
        return false;
    }
    if (grpc_call_method(call)->kind != GRPC_UNARY) {
        struct api_stream *s = arena_zalloc(grpc_call_arena(call), sizeof *s);
        s->api = a;
        s->call = call;
        s->has_leader = wants_leader;
        list_append(&a->streams, &s->link);
        grpc_call_set_ctx(call, s);
    }
    return true;
}

void api_stream_end(struct grpc_call *call)
{
    struct api_stream *s = grpc_call_ctx(call);
    list_remove(&s->link);
}
