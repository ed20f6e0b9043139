/*
 * Keeping a lease alive over one stream: a request every third of its TTL.
 * A stream that is lost is replaced by one to the next endpoint, for as long
 * as the lease can still be there.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "client.h"

enum {
    TRY_MS = 500,
    FIRST_ANSWER_MS = 1000,
    UNANSWERED_MAX = 4, /* then the stream counts as lost */
};

struct cofre_keeper {
    struct cofre *client;
    int64_t id;
    struct grpc_client_call *call; /* NULL: between two streams */
    struct timer *timer;
    int unanswered;
    uint64_t end_ns; /* the lease is taken to be there until then */
    bool is_over;
    void (*on_answer)(void *ctx, const ProtobufCMessage *m, int64_t ttl_s);
    void (*on_over)(void *ctx, int code, const char *text);
    void *ctx;
};

static void over(struct cofre_keeper *k, int code, const char *text)
{
    if (k->is_over) {
        return;
    }
    k->is_over = true;
    timer_stop(k->timer);
    loop_stop(k->client->loop);
    k->on_over(k->ctx, code, text);
}

static void keeper_message(void *ctx, struct slice message)
{
    struct cofre_keeper *k = ctx;
    struct arena arena;
    arena_init(&arena);
    ProtobufCAllocator allocator = grpc_arena_allocator(&arena);
    Pb__LeaseKeepAliveResponse *m = pb__lease_keep_alive_response__unpack(
        &allocator, message.size, message.data);
    if (!m) {
        over(k, COFRE_INTERNAL, "an answer cannot be read");
    } else if (m->ttl <= 0) {
        over(k, COFRE_NOT_FOUND, "etcdserver: requested lease not found");
    } else if (!k->is_over) {
        uint64_t ttl_ms = (uint64_t)m->ttl * 1000;
        k->unanswered = 0;
        k->end_ns = loop_now_ns(k->client->loop) + ttl_ms * 1000000;
        timer_start(k->timer, ttl_ms / 3, 0);
        k->on_answer(k->ctx, &m->base, m->ttl);
    }
    arena_release(&arena);
}

static void try_next(struct cofre_keeper *k)
{
    struct cofre *c = k->client;
    c->current = (c->current + 1) % c->endpoint_count;
    k->unanswered = 0;
}

static void keeper_status(void *ctx, enum grpc_code code, const char *text)
{
    struct cofre_keeper *k = ctx;
    k->call = NULL;
    if (code != GRPC_UNAVAILABLE && code != GRPC_INTERNAL && code != GRPC_OK) {
        over(k, (int)code, text);
    } else if (!k->is_over) {
        try_next(k);
        timer_start(k->timer, TRY_MS, 0);
    }
}

static void open_stream(struct cofre_keeper *k)
{
    static const struct grpc_client_handler handler = {
        .on_message = keeper_message,
        .on_status = keeper_status,
    };
    const char *metadata[CLIENT_METADATA_COUNT];
    client_metadata(k->client, true, metadata);
    k->call = grpc_client_start(client_channel(k->client, k->client->current),
                                "/etcdserverpb.Lease/LeaseKeepAlive", metadata,
                                0, &handler, k);
}

/* Asks, and again soon if no answer comes. */
static void ask(void *ctx)
{
    struct cofre_keeper *k = ctx;
    Pb__LeaseKeepAliveRequest request;
    if (loop_now_ns(k->client->loop) >= k->end_ns) {
        over(k, COFRE_DEADLINE_EXCEEDED, "the lease's time is over");
        return;
    }
    pb__lease_keep_alive_request__init(&request);
    request.id = k->id;
    if (k->call && k->unanswered >= UNANSWERED_MAX) {
        grpc_client_cancel(k->call);
        k->call = NULL;
        try_next(k);
    }
    if (!k->call) {
        open_stream(k);
    }
    k->unanswered++;
    grpc_client_send(k->call, &request.base);
    timer_start(k->timer, TRY_MS, 0);
}

struct cofre_keeper *
cofre_keeper_new(struct cofre *c, int64_t id, int64_t ttl_s,
                 void (*on_answer)(void *ctx, const struct ProtobufCMessage *m,
                                   int64_t ttl_s),
                 void (*on_over)(void *ctx, int code, const char *text),
                 void *ctx)
{
    struct cofre_keeper *k = mem_zalloc(sizeof *k);
    uint64_t first_ms = ttl_s > 0 ? (uint64_t)ttl_s * 1000
                                  : c->dial_timeout_ms + FIRST_ANSWER_MS;
    k->client = c;
    k->id = id;
    k->on_answer = on_answer;
    k->on_over = on_over;
    k->ctx = ctx;
    k->end_ns = loop_now_ns(c->loop) + first_ms * 1000000;
    k->timer = timer_new(c->loop, ask, k);
    ask(k);
    return k;
}

void cofre_keeper_free(struct cofre_keeper *k)
{
    if (!k) {
        return;
    }
    if (k->call) {
        grpc_client_cancel(k->call);
    }
    timer_free(k->timer);
    free(k);
}
