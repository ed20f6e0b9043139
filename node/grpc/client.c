#include "grpc/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/endian.h"
#include "base/err.h"
#include "grpc/internal.h"

static const char lost_text[] = "error reading from server: EOF";

static struct grpc_client_call *call_of(struct h2_stream *st)
{
    return container_of(st, struct grpc_client_call, stream);
}

static void free_call(struct grpc_client_call *c)
{
    while (c->stream.first) { /* waited in vain */
        struct h2_chunk *chunk = c->stream.first;
        c->stream.first = chunk->next;
        h2_chunk_free(chunk);
    }
    buf_release(&c->reader.body);
    arena_release(&c->arena);
    free(c);
}

/* The owner hears no more of it. */
static void forget(struct grpc_client_call *c)
{
    list_remove(&c->link);
    timer_free(c->deadline);
    c->deadline = NULL;
    c->channel = NULL;
    if (!c->is_open) {
        free_call(c);
    } else if (!c->stream.is_ended || !c->stream.is_remote_done) {
        h2_stream_reset(&c->stream, NGHTTP2_CANCEL);
    } /* and freed when it is closed */
}

void grpc_client_tell(struct grpc_client_call *c, enum grpc_code code,
                      const char *text)
{
    if (!c->channel) {
        return;
    }
    c->channel = NULL;
    list_remove(&c->link);
    c->handler->on_status(c->ctx, code, text);
    forget(c);
}

/* ---- events ---- */

void grpc_client_header(struct h2_stream *st, struct slice name,
                        struct slice value)
{
    struct grpc_client_call *c = call_of(st);
    char number[16] = "";
    snprintf(number, sizeof number, "%.*s", (int)value.size, value.data);
    if (slice_eq_str(name, ":status")) {
        c->http_status = atoi(number);
    } else if (slice_eq_str(name, "grpc-status")) {
        unsigned code = (unsigned)atoi(number);
        c->has_status = true;
        c->code =
            code <= GRPC_UNAUTHENTICATED ? (enum grpc_code)code : GRPC_UNKNOWN;
    } else if (slice_eq_str(name, "grpc-message")) {
        c->text = arena_alloc(&c->arena, value.size + 1);
        memcpy(c->text, value.data, value.size);
        c->text[grpc_status_decode(c->text, value.size)] = 0;
    }
}

void grpc_client_head(struct h2_stream *st, bool is_trailers)
{
}

void grpc_client_data(struct h2_stream *st, struct slice data)
{
    struct grpc_client_call *c = call_of(st);
    while (c->channel) {
        uint8_t flag = 0;
        struct slice message;
        int rc =
            grpc_reader_next(&c->reader, &data, INT32_MAX, &flag, &message);
        if (rc == 0) {
            return;
        }
        if (rc < 0 || flag != 0) {
            grpc_client_tell(c, GRPC_INTERNAL,
                             rc < 0 ? "grpc: received message larger than "
                                      "max"
                                    : "grpc: compressed flag set with "
                                      "identity or empty encoding");
            return;
        }
        c->handler->on_message(c->ctx, message);
        if (data.size == 0) {
            return;
        }
    }
}

static enum grpc_code code_of_http(int status)
{
    switch (status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

static void tell_answer(struct grpc_client_call *c)
{
    char text[80];
    if (c->has_status) {
        grpc_client_tell(c, c->code, c->text ? c->text : "");
    } else if (c->http_status != 200) {
        snprintf(text, sizeof text,
                 "unexpected HTTP status code received from server: %d",
                 c->http_status);
        grpc_client_tell(c, code_of_http(c->http_status), text);
    } else {
        grpc_client_tell(c, GRPC_INTERNAL,
                         "server closed the stream without sending trailers");
    }
}

void grpc_client_end(struct h2_stream *st)
{
    struct grpc_client_call *c = call_of(st);
    if (c->channel) {
        tell_answer(c);
    }
}

static enum grpc_code code_of_reset(uint32_t code)
{
    switch (code) {
    case NGHTTP2_REFUSED_STREAM:
        return GRPC_UNAVAILABLE;
    case NGHTTP2_CANCEL:
        return GRPC_CANCELED;
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return GRPC_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY:
        return GRPC_PERMISSION_DENIED;
    default:
        return GRPC_INTERNAL;
    }
}

void grpc_client_close(struct h2_stream *st, uint32_t code)
{
    struct grpc_client_call *c = call_of(st);
    c->is_open = false;
    if (!c->channel) {
        free_call(c);
        return;
    }
    if (code == H2_LOST) {
        grpc_client_tell(c, GRPC_UNAVAILABLE, lost_text);
        return;
    }
    char text[96];
    snprintf(text, sizeof text,
             "stream terminated by RST_STREAM with error code: %u", code);
    grpc_client_tell(c, code_of_reset(code), text);
}

/* ---- the door ---- */

enum { TIMEOUT_COUNT_MAX = 99999999 };

static void add_header(struct grpc_client_call *c, const char *name,
                       const char *value)
{
    if (c->nv_count == GRPC_CLIENT_HEADERS_MAX) {
        abort(); /* the caller's bug */
    }
    nghttp2_nv nv = GRPC_NV("", "");
    nv.name = (uint8_t *)arena_strdup(&c->arena, name);
    nv.namelen = strlen(name);
    nv.value = (uint8_t *)arena_strdup(&c->arena, value);
    nv.valuelen = strlen(value);
    c->nv[c->nv_count++] = nv;
}

/* Eight digits at most, so the unit grows. */
static const char *timeout_text(struct arena *arena, uint64_t ms)
{
    static const struct {
        char letter;
        uint32_t of_last;
    } units[] = {{'m', 1}, {'S', 1000}, {'M', 60}, {'H', 60}};
    uint64_t count = ms;
    size_t i = 0;
    while (count > TIMEOUT_COUNT_MAX && i + 1 < sizeof units / sizeof *units) {
        count /= units[++i].of_last;
    }
    count = count < TIMEOUT_COUNT_MAX ? count : TIMEOUT_COUNT_MAX;
    return arena_printf(arena, "%llu%c", (unsigned long long)count,
                        units[i].letter);
}

static void add_headers(struct grpc_client_call *c, const char *path,
                        const char *const *metadata, uint64_t deadline_ms)
{
    add_header(c, ":method", "POST");
    add_header(c, ":scheme", "http");
    add_header(c, ":path", path);
    add_header(c, ":authority", c->channel->authority);
    add_header(c, "content-type", "application/grpc");
    add_header(c, "te", "trailers");
    add_header(c, "user-agent", "cofre/" COFRE_VERSION);
    if (deadline_ms) {
        add_header(c, "grpc-timeout", timeout_text(&c->arena, deadline_ms));
    }
    for (size_t i = 0; metadata && metadata[i]; i += 2) {
        add_header(c, metadata[i], metadata[i + 1]);
    }
}

void grpc_client_open(struct grpc_client_call *c)
{
    struct grpc_channel *ch = c->channel;
    int err = h2_stream_request(&c->stream, ch->link->h2, c->nv, c->nv_count);
    c->is_open = err == 0;
    if (err != 0) { /* used up: go on with another connection */
        grpc_channel_retire(ch);
        grpc_channel_connect(ch);
    }
}

static void on_deadline(void *ctx)
{
    grpc_client_tell(ctx, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
}

struct grpc_client_call *
grpc_client_start(struct grpc_channel *ch, const char *path,
                  const char *const *metadata, uint64_t deadline_ms,
                  const struct grpc_client_handler *h, void *ctx)
{
    struct grpc_client_call *c = mem_zalloc(sizeof *c);
    c->channel = ch;
    c->handler = h;
    c->ctx = ctx;
    h2_stream_init(&c->stream);
    list_append(&ch->calls, &c->link);
    add_headers(c, path, metadata, deadline_ms);
    if (deadline_ms) {
        c->deadline = timer_new(ch->loop, on_deadline, c);
        timer_start(c->deadline, deadline_ms, 0);
    }
    if (ch->link && ch->link->greeting) {
        return c; /* opened when the server has spoken */
    }
    if (ch->link) {
        grpc_client_open(c);
    } else {
        grpc_channel_connect(ch);
    }
    return c;
}

void grpc_client_send(struct grpc_client_call *c,
                      const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    struct h2_chunk *chunk = h2_chunk_new(NULL, GRPC_PREFIX_BYTES + size);
    chunk->data[0] = 0;
    put_be32(chunk->data + 1, (uint32_t)size);
    protobuf_c_message_pack(message, chunk->data + GRPC_PREFIX_BYTES);
    h2_stream_write(&c->stream, chunk);
}

void grpc_client_send_bytes(struct grpc_client_call *c, struct slice message)
{
    struct h2_chunk *chunk =
        h2_chunk_new(NULL, GRPC_PREFIX_BYTES + message.size);
    chunk->data[0] = 0;
    put_be32(chunk->data + 1, (uint32_t)message.size);
    if (message.size) {
        memcpy(chunk->data + GRPC_PREFIX_BYTES, message.data, message.size);
    }
    h2_stream_write(&c->stream, chunk);
}

void grpc_client_half_close(struct grpc_client_call *c)
{
    h2_stream_end(&c->stream, NULL, 0);
}

void grpc_client_cancel(struct grpc_client_call *c)
{
    forget(c);
}

bool grpc_status_never_sent(enum grpc_code code, const char *text)
{
    return code == GRPC_UNAVAILABLE &&
           strncmp(text, GRPC_CLIENT_UNCONNECTED,
                   sizeof GRPC_CLIENT_UNCONNECTED - 1) == 0;
}

bool grpc_status_lost(enum grpc_code code, const char *text)
{
    return code == GRPC_UNAVAILABLE && strcmp(text, lost_text) == 0;
}
