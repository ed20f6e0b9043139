/* Request messages: bytes of a stream to the method's on_message. */
#include "base/err.h"
#include "grpc/internal.h"

static bool is_single(const struct grpc_call *c)
{
    return c->method->kind != GRPC_BIDI_STREAM;
}

static void hand_over(struct grpc_call *c, struct slice message,
                      bool is_lasting)
{
    struct grpc_server_stats *stats = &c->server->stats;
    stats->bytes_received += message.size;
    stats->messages_received++;
    c->server->method_stats[c->method - c->server->config.methods].received++;
    c->has_message = true;
    if (is_single(c) && !grpc_call_begin(c)) {
        return;
    }
    c->message = message;
    c->message_is_lasting = is_lasting;
    c->method->on_message(c, message);
    c->message = (struct slice){NULL, 0};
}

static void hand_over_inflated(struct grpc_call *c, struct slice message)
{
    const char *why = NULL;
    uint32_t max = c->server->config.message_bytes_max;
    buf_release(&c->inflated);
    c->inflated.max = max;
    int err = grpc_gzip_unpack(message, &c->inflated, &why);
    if (err == ERR_TOO_LARGE) {
        grpc_finish(c, GRPC_RESOURCE_EXHAUSTED,
                    arena_printf(&c->arena,
                                 "grpc: received message after "
                                 "decompression larger than max %u",
                                 max));
    } else if (err != 0) {
        grpc_finish(c, GRPC_INTERNAL,
                    arena_printf(&c->arena,
                                 "grpc: failed to decompress the message: %s",
                                 why));
    } else {
        hand_over(c, buf_slice(&c->inflated), is_single(c));
    }
}

static void deliver(struct grpc_call *c, uint8_t flag, struct slice message)
{
    bool is_borrowed = message.data != c->reader.body.data;
    if (c->scratch.head) {
        arena_reset(&c->scratch);
    }
    if (flag == 0) {
        hand_over(c, message, is_single(c) && !is_borrowed);
    } else if (flag > 1) {
        grpc_finish(c, GRPC_INTERNAL,
                    arena_printf(&c->arena,
                                 "grpc: received unexpected payload format "
                                 "%d",
                                 flag));
    } else if (!c->is_gzip) {
        grpc_finish(c, GRPC_INTERNAL,
                    "grpc: compressed flag set with identity or empty "
                    "encoding");
    } else {
        hand_over_inflated(c, message);
    }
}

void grpc_receive_data(struct h2_stream *st, struct slice data)
{
    struct grpc_call *c = grpc_call_of(st);
    uint32_t max = c->server->config.message_bytes_max;
    while (data.size && !c->is_finished && c->method &&
           !(c->has_message && is_single(c))) {
        uint8_t flag = 0;
        struct slice message;
        int rc = grpc_reader_next(&c->reader, &data, max, &flag, &message);
        if (rc == ERR_TOO_LARGE) {
            grpc_finish(c, GRPC_RESOURCE_EXHAUSTED,
                        arena_printf(&c->arena,
                                     "grpc: received message larger than max "
                                     "(%u vs. %u)",
                                     c->reader.length, max));
            return;
        }
        if (c->reader.body.capacity != c->partial_bytes) {
            grpc_call_count_partial(c);
        }
        if (rc == 0) {
            break;
        }
        deliver(c, flag, message);
    }
    if (c->server->partial_bytes > GRPC_PARTIAL_BYTES_MAX &&
        grpc_reader_is_cut(&c->reader)) {
        grpc_finish(c, GRPC_RESOURCE_EXHAUSTED,
                    "grpc: too many bytes of incomplete messages");
        buf_release(&c->reader.body);
        grpc_call_count_partial(c);
    }
}

void grpc_receive_end(struct h2_stream *st)
{
    struct grpc_call *c = grpc_call_of(st);
    if (c->is_finished || !c->method) {
        return;
    }
    if (grpc_reader_is_cut(&c->reader)) {
        grpc_finish(c, GRPC_UNKNOWN, "unexpected EOF");
    } else if (is_single(c)) {
        if (!c->has_message) {
            grpc_finish(c, GRPC_UNKNOWN, "EOF");
        }
    } else if (c->is_begun && c->method->on_half_close) {
        c->method->on_half_close(c);
    }
}
