/* Calls of many messages: /v3/watch, /v3/lease/keepalive, and those that
 * only answer with many, /v3/maintenance/snapshot. */
#include "base/err.h"
#include "internal.h"

/* The rest of a keep-alive's body is no JSON: the client has nothing more to
 * say. A watch would go on with what it has; with nothing, it is refused,
 * since it would wait for nothing. */
static void bad_body(struct gateway_call *c, const char *why)
{
    bool is_watch = strcmp(c->route->path, "/v3/watch") == 0;
    c->is_body_bad = true;
    buf_release(&c->body);
    if (is_watch && c->rpc == NULL) {
        c->early = GRPC_INVALID_ARGUMENT;
        c->early_text = arena_strdup(&c->metadata.arena, why);
    }
}

/* Sends the first value of the body, if it is there: 1. */
static int send_next(struct gateway_call *c, bool is_end, struct buf *why)
{
    struct slice value;
    size_t next = 0;
    struct buf *wire = &c->gateway->wire;
    int rc = pbjson_scan(buf_slice(&c->body), is_end, &value, &next, why);
    if (rc != 1) {
        return rc;
    }
    wire->size = 0;
    rc = pbjson_to_proto(c->route->request, value, wire, why);
    if (rc < 0) {
        return rc;
    }
    if (c->rpc == NULL) {
        gateway_call_open(c);
    }
    grpc_client_send_bytes(c->rpc, buf_slice(wire));
    buf_consume(&c->body, next);
    return 1;
}

void gateway_stream_body(struct gateway_call *c, bool is_end)
{
    struct buf why = BUF_INIT(64 << 10);
    int rc = 1;
    while (rc == 1 && !c->is_body_bad && !c->is_too_large) {
        rc = send_next(c, is_end, &why);
    }
    if (rc < 0 || (c->is_too_large && !c->is_body_bad)) {
        if (why.size == 0) {
            buf_append_str(&why, "the request is too large");
        }
        buf_append_byte(&why, 0);
        bad_body(c, (const char *)why.data);
    }
    buf_release(&why);
    if (!is_end) {
        return;
    }
    if (c->early) {
        gateway_call_fail(c, c->early, c->early_text);
        return;
    }
    if (c->rpc == NULL) {
        gateway_call_open(c);
    }
    grpc_client_half_close(c->rpc); /* a watch does not end by it */
}

void gateway_stream_message(struct gateway_call *c, struct slice message)
{
    struct buf *out = &c->answer;
    out->size = 0;
    buf_append_str(out, "{\"result\":");
    int err = pbjson_from_proto(c->route->response, message, out);
    if (err == 0) {
        err = buf_append_str(out, "}\n");
    }
    if (err) {
        grpc_client_cancel(c->rpc);
        c->rpc = NULL;
        gateway_stream_status(c, GRPC_INTERNAL,
                              "the answer could not be shown as JSON");
        return;
    }
    if (!c->has_head) {
        gateway_call_head(c, GRPC_OK, "", true, true);
    }
    c->handler->body(c->ctx, buf_slice(out));
    buf_reset(out, GATEWAY_KEEP_BYTES);
}

void gateway_stream_status(struct gateway_call *c, enum grpc_code code,
                           const char *text)
{
    if (!c->has_head && code != GRPC_OK) {
        gateway_call_fail(c, code, text);
        return;
    }
    if (!c->has_head) { /* ended in peace without a word */
        gateway_call_head(c, GRPC_OK, "", true, false);
    } else if (code != GRPC_OK) {
        c->answer.size = 0;
        buf_append_str(&c->answer, "{\"error\":");
        gateway_error_json(&c->answer, code, text);
        buf_append_str(&c->answer, "}\n");
        c->handler->body(c->ctx, buf_slice(&c->answer));
    }
    gateway_call_end(c);
}
