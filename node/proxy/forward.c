/* Calls of one request: bytes on to a member, its answers and status back. */
#include "internal.h"

struct proxy *proxy_of(const struct grpc_call *call)
{
    struct proxy_method *m = grpc_call_user(call);
    return m->proxy;
}

void proxy_metadata_read(struct grpc_call *call, struct proxy_metadata *ret)
{
    static const char *const names[PROXY_METADATA_MAX] = {
        "token", "authorization", "hasleader", "client-api-version"};
    struct arena *a = grpc_call_arena(call);
    struct proxy_metadata m = {0};
    size_t n = 0;
    for (size_t i = 0; i < PROXY_METADATA_MAX; i++) {
        struct slice value = grpc_call_metadata(call, names[i]);
        if (value.data) {
            m.list[n++] = names[i];
            m.list[n++] = arena_printf(a, "%.*s", (int)value.size,
                                       (const char *)value.data);
        }
    }
    struct slice token = grpc_call_metadata(call, "token");
    struct slice other = grpc_call_metadata(call, "authorization");
    if (token.data || other.data) {
        m.token = slice_str(arena_printf(
            a, "%.*s\n%.*s", (int)token.size, (const char *)token.data,
            (int)other.size, (const char *)other.data));
    }
    m.has_leader = slice_eq_str(grpc_call_metadata(call, "hasleader"), "true");
    *ret = m;
}

void proxy_fail_unmarshal(struct grpc_call *call)
{
    bool unary = grpc_call_method(call)->kind == GRPC_UNARY;
    grpc_finish(call, GRPC_INTERNAL,
                unary ? "grpc: error unmarshalling request: proto:\xc2\xa0"
                        "cannot parse invalid wire-format data"
                      : "grpc: failed to unmarshal the received message: "
                        "proto:\xc2\xa0"
                        "cannot parse invalid wire-format data");
}

static void go_on(struct grpc_call *call)
{
    struct proxy_forward *f = grpc_call_ctx(call);
    if (f->up && f->is_paused) {
        f->is_paused = false;
        upstream_pause(f->up, false);
    }
}

/* The client will get another status than the member's. */
static void give_up(struct proxy_forward *f)
{
    if (f->up == NULL) {
        return;
    }
    upstream_cancel(f->up);
    f->up = NULL;
    if (f->settled) {
        f->settled(f, GRPC_CANCELED);
    }
}

static bool is_too_large(struct proxy_forward *f, struct slice answer)
{
    uint64_t max = f->proxy->config->receive_bytes_max;
    if (answer.size <= max) {
        return false;
    }
    give_up(f);
    grpc_finish(f->call, GRPC_RESOURCE_EXHAUSTED,
                arena_printf(grpc_call_arena(f->call),
                             "grpc: received message larger than max (%zu "
                             "vs. %llu)",
                             answer.size, (unsigned long long)max));
    return true;
}

static void on_message(void *ctx, struct slice answer)
{
    struct proxy_forward *f = ctx;
    if (is_too_large(f, answer)) {
        return;
    }
    f->has_answer = true;
    const char *why = f->to_client ? f->to_client(f, answer) : NULL;
    if (why) {
        give_up(f);
        grpc_finish(f->call, GRPC_INTERNAL, why);
        return;
    }
    if (f->answer) {
        grpc_send_bytes(f->call, slice_of(NULL, 0), f->answer);
        bytes_unref(f->answer);
        f->answer = NULL;
    } else {
        grpc_send_bytes(f->call, answer, NULL);
    }
    if (grpc_call_method(f->call)->kind != GRPC_UNARY && !f->is_paused &&
        grpc_call_queued(f->call) > PROXY_STREAM_QUEUE_BYTES) {
        f->is_paused = true;
        upstream_pause(f->up, true);
        grpc_call_on_drain(f->call, PROXY_STREAM_DRAINED_BYTES, go_on);
    }
}

static void on_status(void *ctx, enum grpc_code code, const char *text)
{
    struct proxy_forward *f = ctx;
    f->up = NULL;
    if (code == GRPC_OK && !f->has_answer &&
        grpc_call_method(f->call)->kind == GRPC_UNARY) {
        code = GRPC_INTERNAL;
        text = "the member answered without a message";
    }
    if (f->settled) {
        f->settled(f, code);
    }
    grpc_finish(f->call, code, text);
}

struct proxy_forward *proxy_forward_new(struct grpc_call *call)
{
    struct proxy_forward *f = arena_zalloc(grpc_call_arena(call), sizeof *f);
    f->proxy = proxy_of(call);
    f->call = call;
    buf_init(&f->rewritten, UINT32_MAX);
    proxy_metadata_read(call, &f->metadata);
    grpc_call_set_ctx(call, f);
    return f;
}

void proxy_forward_start(struct proxy_forward *f, struct slice message)
{
    static const struct grpc_client_handler handler = {on_message, on_status};
    const struct proxy_method *m = grpc_call_user(f->call);
    struct upstream_ask ask = {
        .path = m->route->path,
        .metadata = f->metadata.list,
        .message = message,
        .deadline_ns = grpc_call_deadline_ns(f->call),
        .waits = m->route->waits,
        .repeats = m->route->repeats,
        .is_stream = m->route->kind != GRPC_UNARY,
    };
    f->up = upstream_start(f->proxy->upstream, &ask, &handler, f);
}

void proxy_forward_message(struct grpc_call *call, struct slice message)
{
    message = grpc_call_keep_message(call);
    proxy_forward_start(proxy_forward_new(call), message);
}

void proxy_forward_end(struct grpc_call *call)
{
    struct proxy_forward *f = grpc_call_ctx(call);
    if (f == NULL) {
        return; /* refused before it began */
    }
    give_up(f);
    buf_release(&f->rewritten);
    bytes_unref(f->answer);
}
