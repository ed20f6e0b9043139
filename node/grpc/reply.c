/* Answers: messages, status, and the header blocks around them. */
#include <assert.h>
#include <stdlib.h>

#include "base/endian.h"
#include "grpc/internal.h"

static const nghttp2_nv status_200 = GRPC_NV(":status", "200");
static const nghttp2_nv plain_type =
    GRPC_NV("content-type", "application/grpc");
static const nghttp2_nv encoding_gzip = GRPC_NV("grpc-encoding", "gzip");

static const nghttp2_nv code_headers[] = {
    GRPC_NV("grpc-status", "0"),  GRPC_NV("grpc-status", "1"),
    GRPC_NV("grpc-status", "2"),  GRPC_NV("grpc-status", "3"),
    GRPC_NV("grpc-status", "4"),  GRPC_NV("grpc-status", "5"),
    GRPC_NV("grpc-status", "6"),  GRPC_NV("grpc-status", "7"),
    GRPC_NV("grpc-status", "8"),  GRPC_NV("grpc-status", "9"),
    GRPC_NV("grpc-status", "10"), GRPC_NV("grpc-status", "11"),
    GRPC_NV("grpc-status", "12"), GRPC_NV("grpc-status", "13"),
    GRPC_NV("grpc-status", "14"), GRPC_NV("grpc-status", "15"),
    GRPC_NV("grpc-status", "16"),
};

static nghttp2_nv type_of(const struct grpc_call *c)
{
    return c->is_plain_type || !c->content_type.name ? plain_type
                                                     : c->content_type;
}

static void send_head(struct grpc_call *c)
{
    nghttp2_nv nv[3] = {status_200, type_of(c), encoding_gzip};
    h2_stream_respond(&c->stream, nv, c->is_gzip ? 3 : 2, false);
}

/* The tail of `c`'s status: one or two headers. */
static size_t put_status(struct grpc_call *c, enum grpc_code code,
                         const char *text, nghttp2_nv *nv)
{
    assert((unsigned)code <= GRPC_UNAUTHENTICATED);
    nv[0] = code_headers[code];
    if (!text || !text[0]) {
        return 1;
    }
    struct slice value = grpc_status_encode(&c->arena, text);
    nv[1] = (nghttp2_nv)GRPC_NV("grpc-message", "");
    nv[1].value = (uint8_t *)(uintptr_t)value.data;
    nv[1].valuelen = value.size;
    return 2;
}

/* Where the queue's memory comes from: a unary call's answer lives in its
 * arena, a stream's messages must go when they are sent. */
static struct h2_chunk *chunk_new(struct grpc_call *c, size_t size)
{
    return h2_chunk_new(grpc_call_is_unary(c) ? &c->arena : NULL,
                        GRPC_PREFIX_BYTES + size);
}

static void put_prefix(struct h2_chunk *chunk, bool is_compressed, size_t size)
{
    assert(size <= UINT32_MAX - GRPC_PREFIX_BYTES);
    chunk->data[0] = is_compressed;
    put_be32(chunk->data + 1, (uint32_t)size);
}

static void write_chunk(struct grpc_call *c, struct h2_chunk *chunk,
                        size_t message_size)
{
    struct grpc_server_stats *stats = &c->server->stats;
    stats->bytes_sent += message_size;
    stats->messages_sent++;
    c->server->method_stats[c->method - c->server->config.methods].sent++;
    if (!c->stream.is_responded) {
        send_head(c);
    }
    h2_stream_write(&c->stream, chunk);
}

static void write_gzipped(struct grpc_call *c, const struct slice *parts,
                          size_t count)
{
    struct buf packed = BUF_INIT(UINT32_MAX - GRPC_PREFIX_BYTES);
    if (grpc_gzip_pack(parts, count, &packed) != 0) {
        grpc_finish(c, GRPC_RESOURCE_EXHAUSTED,
                    "grpc: message too large to compress");
    } else {
        struct h2_chunk *chunk = chunk_new(c, packed.size);
        put_prefix(chunk, true, packed.size);
        memcpy(chunk->data + GRPC_PREFIX_BYTES, packed.data, packed.size);
        write_chunk(c, chunk, packed.size);
    }
    buf_release(&packed);
}

void grpc_send(struct grpc_call *c, const ProtobufCMessage *message)
{
    if (!grpc_call_alive(c)) {
        return;
    }
    size_t size = protobuf_c_message_get_packed_size(message);
    struct h2_chunk *chunk = chunk_new(c, size);
    protobuf_c_message_pack(message, chunk->data + GRPC_PREFIX_BYTES);
    if (c->is_gzip) {
        struct slice part = slice_of(chunk->data + GRPC_PREFIX_BYTES, size);
        write_gzipped(c, &part, 1);
        h2_chunk_free(chunk);
        return;
    }
    put_prefix(chunk, false, size);
    write_chunk(c, chunk, size);
}

static void send_gzipped(struct grpc_call *c, struct slice head,
                         struct bytes *const *parts, size_t count)
{
    struct slice *slices = mem_alloc((count + 1) * sizeof *slices);
    slices[0] = head;
    for (size_t i = 0; i < count; i++) {
        slices[i + 1] = bytes_slice(parts[i]);
    }
    write_gzipped(c, slices, count + 1);
    free(slices);
}

void grpc_send_bytes(struct grpc_call *c, struct slice head, struct bytes *tail)
{
    grpc_send_parts(c, head, &tail, tail ? 1 : 0);
}

void grpc_send_parts(struct grpc_call *c, struct slice head,
                     struct bytes *const *parts, size_t count)
{
    if (!grpc_call_alive(c)) {
        return;
    }
    if (c->is_gzip) {
        send_gzipped(c, head, parts, count);
        return;
    }
    size_t size = head.size;
    for (size_t i = 0; i < count; i++) {
        size += parts[i]->size;
    }
    struct h2_chunk *chunk = chunk_new(c, head.size);
    put_prefix(chunk, false, size);
    if (head.size) {
        memcpy(chunk->data + GRPC_PREFIX_BYTES, head.data, head.size);
    }
    chunk->tail = bytes_ref(count ? parts[0] : NULL);
    write_chunk(c, chunk, size);
    for (size_t i = 1; i < count; i++) {
        struct h2_chunk *more =
            h2_chunk_new(grpc_call_is_unary(c) ? &c->arena : NULL, 0);
        more->tail = bytes_ref(parts[i]);
        h2_stream_write(&c->stream, more);
    }
}

void grpc_finish(struct grpc_call *c, enum grpc_code code, const char *text)
{
    if (!grpc_call_alive(c)) {
        return;
    }
    grpc_call_settle(c, code);
    if (c->stream.is_responded) {
        if (code == GRPC_OK) {
            h2_stream_end(&c->stream, code_headers, 1);
            return;
        }
        nghttp2_nv *nv = arena_alloc(&c->arena, 2 * sizeof *nv);
        size_t n = put_status(c, code, text, nv);
        h2_stream_end(&c->stream, nv, n);
        return;
    }
    assert(code != GRPC_OK || !grpc_call_is_unary(c));
    nghttp2_nv nv[4] = {status_200, type_of(c)};
    size_t n = put_status(c, code, text, nv + 2);
    h2_stream_respond(&c->stream, nv, 2 + n, true);
}

void grpc_reply(struct grpc_call *c, const ProtobufCMessage *message)
{
    grpc_send(c, message);
    grpc_finish(c, GRPC_OK, NULL);
}

void grpc_reply_refuse(struct grpc_call *c, const char *http_status,
                       enum grpc_code code, const char *text)
{
    grpc_call_settle(c, code);
    nghttp2_nv nv[4] = {status_200, type_of(c)};
    nv[0].value = (uint8_t *)(uintptr_t)http_status;
    size_t n = put_status(c, code, text, nv + 2);
    h2_stream_respond(&c->stream, nv, 2 + n, true);
}
