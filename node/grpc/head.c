/*
 * The request's header block: what the API's clients may send, and the
 * answers that they know for what they must not.
 */
#include <stdio.h>

#include "base/err.h"
#include "base/text.h"
#include "grpc/internal.h"

#define IS(s, text) (memcmp((s).data, text, sizeof(text) - 1) == 0)

static const char plain_type[] = "application/grpc";

static struct slice keep(struct grpc_call *c, struct slice s)
{
    return arena_slice(&c->arena, s);
}

static bool ends_with_bin(struct slice name)
{
    return name.size >= 4 && memcmp(name.data + name.size - 4, "-bin", 4) == 0;
}

/* Offset of the first byte that is no base64; -1: all well. */
static long bad_base64(struct slice v)
{
    size_t size = v.size;
    while (v.size % 4 == 0 && size && v.size - size < 2 &&
           v.data[size - 1] == '=') {
        size--;
    }
    for (size_t i = 0; i < size; i++) {
        uint8_t b = v.data[i];
        bool is_digit = (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z') ||
                        (b >= '0' && b <= '9') || b == '+' || b == '/';
        if (!is_digit) {
            return (long)i;
        }
    }
    return size % 4 == 1 ? (long)size : -1;
}

static bool is_good_name(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t b = name.data[i];
        if ((b >= 'A' && b <= 'Z') || b <= ' ' || b >= 0x7f || b == ':') {
            return false;
        }
    }
    return name.size > 0;
}

static void add_metadata(struct grpc_call *c, struct slice name,
                         struct slice value)
{
    if (!is_good_name(name)) {
        h2_stream_reset(&c->stream, NGHTTP2_PROTOCOL_ERROR);
        return;
    }
    if (ends_with_bin(name) && bad_base64(value) >= 0 && !c->head.bad_binary) {
        c->head.bad_binary = arena_printf(
            &c->arena,
            "malformed binary metadata %s in header %s: illegal base64 data "
            "at input byte %ld",
            grpc_status_quote(&c->arena, value),
            grpc_status_quote(&c->arena, name), bad_base64(value));
    }
    struct grpc_header *h =
        arena_alloc(&c->arena, sizeof *h + name.size + value.size);
    uint8_t *at = (uint8_t *)(h + 1);
    memcpy(at, name.data, name.size);
    memcpy(at + name.size, value.data, value.size);
    h->name = slice_of(at, name.size);
    h->value = slice_of(at + name.size, value.size);
    h->next = c->metadata;
    c->metadata = h;
}

static void take_pseudo(struct grpc_call *c, struct slice name,
                        struct slice value)
{
    struct grpc_head *h = &c->head;
    if (name.size == 5 && IS(name, ":path")) {
        c->method = grpc_methods_find(c->server, value);
        if (!c->method) {
            h->path = keep(c, value);
        }
    } else if (name.size == 7 && IS(name, ":method")) {
        h->has_post = value.size == 4 && IS(value, "POST");
        if (!h->has_post) {
            h->http_method = keep(c, value);
        }
    } else if (name.size == 10 && IS(name, ":authority")) {
        h->authority_count++;
    } else if (name.size != 7 || !IS(name, ":scheme")) {
        h2_stream_reset(&c->stream, NGHTTP2_PROTOCOL_ERROR);
    }
}

static void take_content_type(struct grpc_call *c, struct slice value)
{
    c->head.has_content_type = true;
    c->is_plain_type = slice_eq_str(value, plain_type);
    if (!c->is_plain_type) {
        c->head.content_type = keep(c, value);
    }
}

static void take_encoding(struct grpc_call *c, struct slice value)
{
    c->is_gzip = slice_eq_str(value, "gzip");
    if (!c->is_gzip && value.size && !slice_eq_str(value, "identity")) {
        c->head.encoding = keep(c, value);
    }
}

/* Headers with a meaning here; false: it is metadata. */
static bool take_known(struct grpc_call *c, struct slice name,
                       struct slice value)
{
    switch (name.size) {
    case 2:
        return IS(name, "te");
    case 4:
        c->head.host_count += IS(name, "host");
        return IS(name, "host");
    case 10:
        if (IS(name, "connection")) {
            h2_stream_reset(&c->stream, NGHTTP2_PROTOCOL_ERROR);
            return true;
        }
        return IS(name, "user-agent");
    case 12:
        if (IS(name, "content-type")) {
            take_content_type(c, value);
            return true;
        }
        if (IS(name, "grpc-timeout")) {
            c->head.timeout = keep(c, value);
            return true;
        }
        return false;
    case 13:
        if (IS(name, "grpc-encoding")) {
            take_encoding(c, value);
            return true;
        }
        return false;
    case 14:
        return IS(name, "content-length");
    case 15:
        return IS(name, "accept-encoding");
    case 20:
        return IS(name, "grpc-accept-encoding");
    default:
        return false;
    }
}

void grpc_head_header(struct h2_stream *st, struct slice name,
                      struct slice value)
{
    struct grpc_call *c = grpc_call_of(st);
    if (c->is_begun || c->is_finished) {
        return; /* the client's trailers */
    }
    if (name.size && name.data[0] == ':') {
        take_pseudo(c, name, value);
    } else if (!take_known(c, name, value)) {
        add_metadata(c, name, value);
    }
}

/* ---- judging the whole ---- */

/* "application/grpc", "application/grpc+x", "application/grpc;x"; the
 * answer has the subtype behind a plus. */
static bool accept_type(struct grpc_call *c)
{
    struct slice type = c->head.content_type;
    struct slice plain = slice_of(plain_type, sizeof plain_type - 1);
    if (c->is_plain_type) {
        return true;
    }
    if (type.size <= plain.size || !slice_starts(type, plain)) {
        return false;
    }
    uint8_t mark = type.data[plain.size];
    if (mark != '+' && mark != ';') {
        return false;
    }
    struct slice sub = slice_from(type, plain.size + 1);
    if (sub.size == 0) {
        c->is_plain_type = true;
        return true;
    }
    char *echo =
        arena_printf(&c->arena, "%s+%.*s", plain_type, (int)sub.size, sub.data);
    c->content_type = (nghttp2_nv)GRPC_NV("content-type", "");
    c->content_type.value = (uint8_t *)echo;
    c->content_type.valuelen = plain.size + 1 + sub.size;
    return true;
}

static uint64_t unit_ns(uint8_t unit)
{
    switch (unit) {
    case 'H':
        return 3600000000000u;
    case 'M':
        return 60000000000u;
    case 'S':
        return 1000000000u;
    case 'm':
        return 1000000u;
    case 'u':
        return 1000u;
    case 'n':
        return 1u;
    default:
        return 0;
    }
}

/* NULL: fine; else why not, as Go says it. */
static const char *parse_timeout(struct arena *a, struct slice s,
                                 uint64_t *ret_ns)
{
    if (s.size < 2) {
        return arena_printf(a, "transport: timeout string is too short: %s",
                            grpc_status_quote(a, s));
    }
    if (s.size > 9) {
        return arena_printf(a, "transport: timeout string is too long: %s",
                            grpc_status_quote(a, s));
    }
    uint64_t unit = unit_ns(s.data[s.size - 1]), n = 0;
    if (unit == 0) {
        return arena_printf(a, "transport: timeout unit is not recognized: %s",
                            grpc_status_quote(a, s));
    }
    struct slice digits = slice_of(s.data, s.size - 1);
    for (size_t i = 0; i < digits.size; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') {
            return arena_printf(a,
                                "strconv.ParseUint: parsing %s: invalid syntax",
                                grpc_status_quote(a, digits));
        }
        n = n * 10 + (uint64_t)(digits.data[i] - '0');
    }
    *ret_ns = n > INT64_MAX / unit ? INT64_MAX : n * unit;
    return NULL;
}

static bool check_http(struct grpc_call *c)
{
    struct grpc_head *h = &c->head;
    struct arena *a = &c->arena;
    if (h->authority_count > 1 || h->host_count > 1) {
        const char *text = arena_printf(
            a,
            "num values of :authority: %d, num values of host: %d, both "
            "must only have 1 value as per HTTP/2 spec",
            h->authority_count, h->host_count);
        grpc_reply_refuse(c, "400", GRPC_INTERNAL, text);
        return false;
    }
    if (!accept_type(c)) {
        const char *text =
            arena_printf(a, "invalid gRPC request content-type %s",
                         grpc_status_quote(a, h->content_type));
        c->is_plain_type = true;
        grpc_reply_refuse(c, "415", GRPC_INVALID_ARGUMENT, text);
        return false;
    }
    if (h->bad_binary) {
        grpc_reply_refuse(c, "400", GRPC_INTERNAL, h->bad_binary);
        return false;
    }
    return true;
}

static bool check_timeout(struct grpc_call *c, uint64_t *ret_ns)
{
    struct grpc_head *h = &c->head;
    uint64_t ns = 0;
    if (h->timeout.data) {
        const char *bad = parse_timeout(&c->arena, h->timeout, &ns);
        if (bad) {
            grpc_reply_refuse(
                c, "400", GRPC_INTERNAL,
                arena_printf(&c->arena, "malformed grpc-timeout: %s", bad));
            return false;
        }
    }
    *ret_ns = ns;
    return true;
}

static bool check_method(struct grpc_call *c)
{
    struct grpc_head *h = &c->head;
    struct arena *a = &c->arena;
    if (!h->has_post) {
        const char *text = arena_printf(
            a, "Received a HEADERS frame with :method %s which should be POST",
            grpc_status_quote(a, h->http_method));
        grpc_reply_refuse(c, "405", GRPC_INTERNAL, text);
        return false;
    }
    if (!c->method) {
        grpc_finish(c, GRPC_UNIMPLEMENTED,
                    grpc_methods_missing(c->server, a, h->path));
        return false;
    }
    if (h->encoding.data) {
        const char *text = arena_printf(
            a, "grpc: Decompressor is not installed for grpc-encoding %s",
            grpc_status_quote(a, h->encoding));
        grpc_finish(c, GRPC_UNIMPLEMENTED, text);
        return false;
    }
    return true;
}

void grpc_head_done(struct h2_stream *st, bool is_trailers)
{
    struct grpc_call *c = grpc_call_of(st);
    uint64_t timeout_ns = 0;
    if (is_trailers || c->is_begun || c->is_finished || !check_http(c) ||
        !check_timeout(c, &timeout_ns) || !check_method(c)) {
        return;
    }
    if (c->server->is_stopping || c->conn->is_leaving) {
        h2_stream_reset(st, NGHTTP2_REFUSED_STREAM);
        return;
    }
    if (c->head.timeout.data) {
        if (timeout_ns < 1000) { /* was over before it came */
            grpc_finish(c, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
            return;
        }
        grpc_deadline_set(c, timeout_ns);
    }
    if (!grpc_call_is_unary(c) && c->method->kind == GRPC_BIDI_STREAM) {
        grpc_call_begin(c);
    }
}
