/* A stream from one request, for answers that come one after the other. */
#include <stdlib.h>

#include "base/mem.h"
#include "client.h"

enum { REACH_PAUSE_MS = 250 };

struct stream {
    struct cofre *client;
    const ProtobufCMessageDescriptor *answer;
    bool (*on_message)(void *ctx, const ProtobufCMessage *m);
    void *ctx;
    bool declined; /* on_message said no */
    bool over;     /* on_status came */
    int code;
    char *text;
};

static void stream_message(void *ctx, struct slice message)
{
    struct stream *s = ctx;
    if (s->declined) {
        return;
    }
    struct arena arena;
    arena_init(&arena);
    ProtobufCAllocator allocator = grpc_arena_allocator(&arena);
    ProtobufCMessage *m = protobuf_c_message_unpack(s->answer, &allocator,
                                                    message.size, message.data);
    if (!m) {
        s->code = COFRE_INTERNAL;
        s->declined = true;
    } else if (!s->on_message(s->ctx, m)) {
        s->declined = true;
    }
    arena_release(&arena);
    if (s->declined) {
        loop_stop(s->client->loop);
    }
}

static void stream_status(void *ctx, enum grpc_code code, const char *text)
{
    struct stream *s = ctx;
    s->over = true;
    s->code = (int)code;
    free(s->text);
    s->text = mem_strdup(text ? text : "");
    loop_stop(s->client->loop);
}

static void attempt(struct stream *s, const char *path,
                    const ProtobufCMessage *request, bool half_close,
                    uint64_t deadline_ms)
{
    static const struct grpc_client_handler handler = {
        .on_message = stream_message,
        .on_status = stream_status,
    };
    struct cofre *c = s->client;
    const char *metadata[CLIENT_METADATA_COUNT];
    client_metadata(c, true, metadata);
    s->over = false;
    s->code = COFRE_OK;
    struct grpc_client_call *call =
        grpc_client_start(client_channel(c, c->current), path, metadata,
                          deadline_ms, &handler, s);
    grpc_client_send(call, request);
    if (half_close) {
        grpc_client_half_close(call);
    }
    while (!s->over && !s->declined) {
        loop_run(c->loop);
    }
    if (!s->over) {
        grpc_client_cancel(call);
    }
}

int cofre_stream(struct cofre *c, const char *path,
                 const ProtobufCMessage *request, bool half_close, bool timed,
                 const ProtobufCMessageDescriptor *answer,
                 bool (*on_message)(void *ctx, const ProtobufCMessage *m),
                 void *ctx)
{
    struct stream s = {
        .client = c,
        .answer = answer,
        .on_message = on_message,
        .ctx = ctx,
    };
    int code = cofre_login(c);
    if (code != COFRE_OK) {
        return code;
    }
    uint64_t limit_ms = timed ? c->call_timeout_ms : 0;
    uint64_t start_ns = loop_now_ns(c->loop);
    client_error(c, COFRE_OK, "");
    for (;;) {
        uint64_t past = (loop_now_ns(c->loop) - start_ns) / 1000000;
        if (limit_ms > 0 && past >= limit_ms) {
            s.code = COFRE_DEADLINE_EXCEEDED;
            free(s.text);
            s.text = mem_strdup("context deadline exceeded");
            break;
        }
        attempt(&s, path, request, half_close,
                limit_ms > 0 ? limit_ms - past : 0);
        if (s.declined || !client_never_sent(s.code, s.text)) {
            break;
        }
        c->current = (c->current + 1) % c->endpoint_count;
        if (c->current == 0) {
            client_pause(c, REACH_PAUSE_MS);
        }
    }
    code = s.code;
    if (code != COFRE_OK) {
        client_error(c, code, s.text ? s.text : "an answer cannot be read");
    }
    free(s.text);
    return code;
}

int cofre_run(struct cofre *c)
{
    c->stopped = false;
    while (!c->stopped && c->run_code == COFRE_OK) {
        loop_run(c->loop);
    }
    int code = c->run_code;
    c->run_code = COFRE_OK;
    return code;
}

void cofre_stop(struct cofre *c)
{
    c->stopped = true;
    loop_stop(c->loop);
}
