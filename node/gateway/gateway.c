#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "internal.h"

int gateway_http_status(enum grpc_code code)
{
    static const int statuses[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                                   400, 409, 400, 501, 500, 503, 500, 401};
    return (unsigned)code <= GRPC_UNAUTHENTICATED ? statuses[code] : 500;
}

void gateway_error_json(struct buf *out, enum grpc_code code, const char *text)
{
    buf_printf(out, "{\"code\":%d,\"message\":", code);
    text_json_string(out, slice_str(text));
    buf_append_byte(out, '}');
}

/* ---- the answer ---- */

void gateway_call_head(struct gateway_call *c, enum grpc_code code,
                       const char *text, bool is_stream, bool has_content)
{
    const char *headers[7] = {NULL};
    size_t n = 0;
    if (has_content) {
        headers[n++] = "Content-Type";
        headers[n++] = "application/json";
    }
    if (has_content && code == GRPC_OK) {
        headers[n++] = "Grpc-Metadata-Content-Type";
        headers[n++] = "application/grpc";
    }
    if (code == GRPC_UNAUTHENTICATED) {
        headers[n++] = "WWW-Authenticate";
        headers[n++] = text;
    }
    c->has_head = true;
    c->handler->head(c->ctx, gateway_http_status(code), headers, is_stream);
}

static void free_call(struct gateway_call *c)
{
    if (c->rpc) {
        grpc_client_cancel(c->rpc);
    }
    grpc_channel_free(c->channel);
    gateway_metadata_release(&c->metadata);
    buf_release(&c->body);
    buf_release(&c->answer);
    free(c);
}

void gateway_call_end(struct gateway_call *c)
{
    const struct gateway_handler *h = c->handler;
    void *ctx = c->ctx;
    free_call(c);
    h->end(ctx);
}

void gateway_call_fail(struct gateway_call *c, enum grpc_code code,
                       const char *text)
{
    bool is_wrapped = c->route && c->route->kind != GRPC_UNARY && c->was_asked;
    gateway_call_head(c, code, text, false, true);
    c->answer.size = 0;
    buf_append_str(&c->answer, is_wrapped ? "{\"error\":" : "");
    gateway_error_json(&c->answer, code, text);
    buf_append_str(&c->answer, is_wrapped ? "}" : "");
    c->handler->body(c->ctx, buf_slice(&c->answer));
    gateway_call_end(c);
}

/* ---- the gRPC call behind it ---- */

static void on_message(void *ctx, struct slice message)
{
    struct gateway_call *c = ctx;
    if (c->route->kind != GRPC_UNARY) {
        gateway_stream_message(c, message);
    } else if (pbjson_from_proto(c->route->response, message, &c->answer) !=
               0) {
        c->is_failed = true;
    }
}

static void on_status(void *ctx, enum grpc_code code, const char *text)
{
    struct gateway_call *c = ctx;
    c->rpc = NULL;
    if (c->route->kind != GRPC_UNARY) {
        gateway_stream_status(c, code, text);
        return;
    }
    if (code == GRPC_OK && c->is_failed) {
        code = GRPC_INTERNAL;
        text = "the answer could not be shown as JSON";
    }
    if (code != GRPC_OK) {
        gateway_call_fail(c, code, text);
        return;
    }
    gateway_call_head(c, GRPC_OK, "", false, true);
    c->handler->body(c->ctx, buf_slice(&c->answer));
    gateway_call_end(c);
}

void gateway_call_open(struct gateway_call *c)
{
    static const struct grpc_client_handler handler = {on_message, on_status};
    struct grpc_channel *ch = c->gateway->channel;
    if (c->route->kind != GRPC_UNARY) {
        /* So that its reader's pace is its own. */
        c->channel = grpc_channel_new_local(c->gateway->config.loop,
                                            c->gateway->config.server);
        ch = c->channel;
    }
    c->was_asked = true;
    c->rpc = grpc_client_start(ch, c->route->rpc, c->metadata.list,
                               c->deadline_ms, &handler, c);
}

/* ---- the request ---- */

/* The body as a message; no body is an empty one. */
static int read_body(struct gateway_call *c, struct buf *wire, struct buf *why)
{
    struct slice value;
    size_t next = 0;
    int rc = c->is_too_large
                 ? ERR_TOO_LARGE
                 : pbjson_scan(buf_slice(&c->body), true, &value, &next, why);
    return rc == 1 ? pbjson_to_proto(c->route->request, value, wire, why) : rc;
}

static void send_unary(struct gateway_call *c)
{
    struct gateway *g = c->gateway;
    struct buf why = BUF_INIT(64 << 10);
    g->wire.size = 0;
    int err = read_body(c, &g->wire, &why);
    buf_append_byte(&why, 0);
    if (err == ERR_TOO_LARGE) {
        gateway_call_fail(c, GRPC_RESOURCE_EXHAUSTED,
                          arena_printf(&c->metadata.arena,
                                       "grpc: received message larger than "
                                       "max (%u)",
                                       g->config.message_bytes_max));
    } else if (err) {
        gateway_call_fail(c, GRPC_INVALID_ARGUMENT, (const char *)why.data);
    } else {
        buf_release(&c->body);
        gateway_call_open(c);
        grpc_client_send_bytes(c->rpc, buf_slice(&g->wire));
        grpc_client_half_close(c->rpc);
    }
    buf_release(&why);
    buf_reset(&g->wire, GATEWAY_KEEP_BYTES);
}

void gateway_body(struct gateway_call *c, struct slice data)
{
    if (c->early || c->is_body_bad || c->is_too_large) {
        return;
    }
    if (buf_append_slice(&c->body, data) != 0) {
        buf_release(&c->body);
        c->is_too_large = true;
    }
    if (c->route->kind == GRPC_BIDI_STREAM) {
        gateway_stream_body(c, false);
    }
}

void gateway_body_end(struct gateway_call *c)
{
    if (c->early) {
        gateway_call_fail(c, c->early, c->early_text);
    } else if (c->route->kind == GRPC_BIDI_STREAM) {
        gateway_stream_body(c, true);
    } else {
        send_unary(c);
    }
}

/* A watch whose body is no JSON hangs, as it does over HTTP. */
bool gateway_wants_body(const struct gateway_call *c)
{
    return c->is_body_bad ? strcmp(c->route->path, "/v3/watch") == 0
                          : !c->early;
}

bool gateway_takes_many(const struct gateway_call *c)
{
    return c->route && c->route->kind == GRPC_BIDI_STREAM;
}

/* What is wrong with the head is told when the body is in. */
static void judge_head(struct gateway_call *c, const char *method)
{
    const struct gateway_metadata *m = &c->metadata;
    if (c->route == NULL) {
        c->early = GRPC_NOT_FOUND;
        c->early_text = "Not Found";
    } else if (strcmp(method, "POST") != 0) {
        c->early = GRPC_UNIMPLEMENTED;
        c->early_text = "Method Not Allowed";
    } else if (m->bad_timeout) {
        c->early = GRPC_INVALID_ARGUMENT;
        c->early_text = arena_printf(
            &c->metadata.arena, "invalid grpc-timeout: %s", m->bad_timeout);
    } else if (m->has_timeout && m->timeout_ns < 1000000) {
        c->early = GRPC_DEADLINE_EXCEEDED;
        c->early_text = "context deadline exceeded";
    }
    c->deadline_ms = m->timeout_ns / 1000000;
}

struct gateway_call *gateway_start(struct gateway *g, const char *method,
                                   const char *path, const char *const *headers,
                                   const struct gateway_handler *h, void *ctx)
{
    struct gateway_call *c = mem_zalloc(sizeof *c);
    c->gateway = g;
    c->handler = h;
    c->ctx = ctx;
    c->route = gateway_route_find(path);
    /* Base64 and names make a message longer, never six times. */
    buf_init(&c->body, (size_t)g->config.message_bytes_max * 6);
    buf_init(&c->answer, GATEWAY_JSON_BYTES_MAX);
    gateway_metadata_read(&c->metadata, headers);
    judge_head(c, method);
    return c;
}

void gateway_pause(struct gateway_call *c, bool paused)
{
    if (c->channel) {
        grpc_channel_pause(c->channel, paused);
    }
}

void gateway_cancel(struct gateway_call *c)
{
    free_call(c);
}

struct gateway *gateway_new(const struct gateway_config *config)
{
    struct gateway *g = mem_zalloc(sizeof *g);
    g->config = *config;
    g->channel = grpc_channel_new_local(config->loop, config->server);
    /* One more than fits, so that the server tells what it takes. */
    buf_init(&g->wire, (size_t)config->message_bytes_max * 6);
    return g;
}

void gateway_free(struct gateway *g)
{
    if (g) {
        grpc_channel_free(g->channel);
        buf_release(&g->wire);
        free(g);
    }
}
