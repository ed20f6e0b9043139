/*
 * A call's life:
 *   head -> begun -> finished (answered, aborted, too late) -> over (on_end)
 *        -> recycled, when the last reference is gone
 */
#include <assert.h>
#include <stdlib.h>

#include "grpc/internal.h"

struct grpc_call *grpc_call_new(struct grpc_conn *gc)
{
    struct grpc_server *s = gc->server;
    struct grpc_call *c = s->free_calls;
    struct arena arena = {0};
    if (c) {
        s->free_calls = c->next_free;
        s->free_call_count--;
        arena = c->arena;
    } else {
        c = mem_alloc(sizeof *c);
    }
    *c = (struct grpc_call){.server = s, .conn = gc, .arena = arena, .refs = 1};
    h2_stream_init(&c->stream);
    wheel_node_init(&c->deadline);
    s->call_count++;
    return c;
}

static void release_call(struct grpc_call *c)
{
    arena_release(&c->arena);
    free(c);
}

static void recycle(struct grpc_call *c)
{
    struct grpc_server *s = c->server;
    arena_release(&c->scratch);
    buf_release(&c->reader.body);
    buf_release(&c->inflated);
    grpc_call_count_partial(c);
    s->call_count--;
    if (s->free_call_count < GRPC_FREE_CALLS_MAX && !s->is_freed) {
        arena_reset(&c->arena);
        c->next_free = s->free_calls;
        s->free_calls = c;
        s->free_call_count++;
        if (s->free_call_count > GRPC_FREE_CALLS_KEPT && !s->is_trimming) {
            s->is_trimming = true;
            timer_start(s->trim_timer, GRPC_TRIM_MS, 0);
        }
        return;
    }
    release_call(c);
    if (s->is_freed && s->call_count == 0) {
        grpc_server_release(s);
    }
}

void grpc_call_trim(struct grpc_server *s, uint32_t keep)
{
    while (s->free_call_count > keep) {
        struct grpc_call *c = s->free_calls;
        s->free_calls = c->next_free;
        s->free_call_count--;
        release_call(c);
    }
}

/* Halves the store, so that a rush leaves little behind. */
void grpc_call_trim_slowly(void *server)
{
    struct grpc_server *s = server;
    uint32_t half = s->free_call_count / 2;
    grpc_call_trim(s,
                   half > GRPC_FREE_CALLS_KEPT ? half : GRPC_FREE_CALLS_KEPT);
    s->is_trimming = s->free_call_count > GRPC_FREE_CALLS_KEPT;
    if (s->is_trimming) {
        timer_start(s->trim_timer, GRPC_TRIM_MS, 0);
    }
}

void grpc_call_count_partial(struct grpc_call *c)
{
    c->server->partial_bytes += c->reader.body.capacity - c->partial_bytes;
    c->partial_bytes = c->reader.body.capacity;
}

bool grpc_call_begin(struct grpc_call *c)
{
    const struct grpc_server_config *config = &c->server->config;
    if (config->on_handled) {
        c->started_ns = loop_now_ns(c->server->loop);
    }
    if (config->on_started) {
        config->on_started(config->ctx, c->method);
    }
    if (config->intercept && !config->intercept(config->ctx, c)) {
        return false;
    }
    c->is_begun = !c->is_finished;
    return c->is_begun;
}

void grpc_call_settle(struct grpc_call *c, enum grpc_code code)
{
    const struct grpc_server_config *config = &c->server->config;
    if (c->is_finished) {
        return;
    }
    c->is_finished = true;
    wheel_remove(&c->server->wheel, &c->deadline);
    if (c->started_ns) {
        config->on_handled(config->ctx, c->method, code,
                           loop_now_ns(c->server->loop) - c->started_ns);
    }
}

void grpc_call_end(struct grpc_call *c)
{
    if (c->is_begun && !c->is_over) {
        c->is_over = true;
        if (c->method->on_end) {
            c->method->on_end(c);
        }
    }
}

/* ---- the door ---- */

const struct grpc_method *grpc_call_method(const struct grpc_call *c)
{
    return c->method;
}

void *grpc_call_user(const struct grpc_call *c)
{
    return c->method->user;
}

struct arena *grpc_call_arena(struct grpc_call *c)
{
    return &c->arena;
}

void grpc_call_set_ctx(struct grpc_call *c, void *ctx)
{
    c->ctx = ctx;
}

void *grpc_call_ctx(const struct grpc_call *c)
{
    return c->ctx;
}

struct slice grpc_call_metadata(const struct grpc_call *c, const char *key)
{
    struct slice name = slice_str(key);
    struct slice value = {NULL, 0};
    /* The list begins with what came last; the first to come counts. */
    for (const struct grpc_header *h = c->metadata; h; h = h->next) {
        if (slice_eq(h->name, name)) {
            value = h->value;
        }
    }
    return value;
}

const char *grpc_call_remote(const struct grpc_call *c)
{
    return c->conn ? conn_remote(c->conn->conn) : "";
}

uint64_t grpc_call_deadline_ns(const struct grpc_call *c)
{
    return c->deadline_ns;
}

bool grpc_call_alive(const struct grpc_call *c)
{
    return c->conn && !c->is_finished;
}

struct grpc_call *grpc_call_ref(struct grpc_call *c)
{
    c->refs++;
    return c;
}

void grpc_call_unref(struct grpc_call *c)
{
    assert(c->refs > 0);
    if (--c->refs == 0) {
        recycle(c);
    }
}

struct slice grpc_call_keep_message(struct grpc_call *c)
{
    if (!c->message_is_lasting) {
        c->message = arena_slice(&c->arena, c->message);
        c->message_is_lasting = true;
    }
    return c->message;
}

struct loop *grpc_call_loop(const struct grpc_call *c)
{
    return c->server->loop;
}

size_t grpc_call_queued(const struct grpc_call *c)
{
    return c->stream.queued;
}

void grpc_call_on_drain(struct grpc_call *c, size_t low,
                        void (*resume)(struct grpc_call *c))
{
    c->resume = resume;
    h2_stream_watch_drain(&c->stream, low);
}
