/* From text: requests, as bytes on the wire. */
#include <ctype.h>
#include <stdlib.h>

#include "table.h"

enum { DEPTH_MAX = 300, NESTED_BYTES_MAX = 64 << 20 };

static const char *skip(const char *at)
{
    return at + strspn(at, " :");
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("_-./@+*#", c));
}

static const char *escaped(const char *at, uint8_t *ret)
{
    if (*at == 'x' && isxdigit((unsigned char)at[1]) &&
        isxdigit((unsigned char)at[2])) {
        char hex[3] = {at[1], at[2], 0};
        *ret = (uint8_t)strtol(hex, NULL, 16);
        return at + 3;
    }
    if (isdigit((unsigned char)*at)) {
        char octal[4] = {0};
        size_t n = 0;
        for (; n < 3 && at[n] >= '0' && at[n] <= '7'; n++) {
            octal[n] = at[n];
        }
        *ret = (uint8_t)strtol(octal, NULL, 8);
        return at + n;
    }
    *ret = (uint8_t)*at;
    return at + 1;
}

const char *text_literal(const char *at, struct buf *out)
{
    size_t start = out->size;
    at = skip(at);
    if (*at == '"') {
        for (at++; *at && *at != '"';) {
            uint8_t byte = (uint8_t)*at++;
            if (byte == '\\') {
                at = escaped(at, &byte);
            }
            buf_append_byte(out, byte);
        }
        if (*at++ != '"') {
            return NULL;
        }
    } else if (is_word(*at)) {
        while (is_word(*at)) {
            buf_append_byte(out, (uint8_t)*at++);
        }
        return at;
    } else {
        return NULL;
    }
    if (*at == '*' && isdigit((unsigned char)at[1])) {
        size_t size = out->size - start;
        for (long n = strtol(at + 1, (char **)(uintptr_t)&at, 10); n > 1; n--) {
            buf_reserve(out, size);
            buf_append(out, out->data + start, size);
        }
    }
    return at;
}

static uint64_t member_id(const struct side *s, int role)
{
    return s->members[s->roles[role % s->member_count]].id;
}

const char *text_number(struct side *s, int member, const char *at,
                        uint64_t *ret)
{
    char *end;
    at = skip(at);
    if (*at == '@') {
        *ret = (uint64_t)(s->base + strtoll(at + 1, &end, 10));
    } else if (strncmp(at, "member", 6) == 0) {
        int role = (int)strtol(at + 6, &end, 10);
        *ret = role == MEMBER_ADDED ? text_added() : member_id(s, role);
    } else if (strncmp(at, "lease", 5) == 0) {
        int i = (int)strtol(at + 5, &end, 10);
        *ret = i < s->drawn_count ? (uint64_t)s->drawn[i] : 4711;
    } else if (strncmp(at, "me", 2) == 0) {
        *ret = s->members[member].id;
        return at + 2;
    } else if (*at == '-') {
        *ret = (uint64_t)strtoll(at, &end, 10);
    } else {
        *ret = strtoull(at, &end, 10);
    }
    return end == at ? NULL : end;
}

/* ---- protobuf ---- */

static void put_varint(struct buf *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) {
        buf_append_byte(out, (uint8_t)(v | 0x80));
    }
    buf_append_byte(out, (uint8_t)v);
}

static void put_bytes(struct buf *out, unsigned id, const struct buf *b)
{
    put_varint(out, id << 3 | 2);
    put_varint(out, b->size);
    buf_append_slice(out, buf_slice(b));
}

struct encoding {
    struct side *side;
    int member;
    int depth;
    const char *at;
    const char *wrong;
};

static void encode(struct encoding *e, const ProtobufCMessageDescriptor *d,
                   struct buf *out);

static const ProtobufCEnumValue *find_enum(const char *at, size_t size,
                                           const ProtobufCFieldDescriptor *f)
{
    const ProtobufCEnumDescriptor *d = f->descriptor;
    for (unsigned i = 0; i < d->n_values; i++) {
        if (strlen(d->values[i].name) == size &&
            memcmp(d->values[i].name, at, size) == 0) {
            return &d->values[i];
        }
    }
    return NULL;
}

static void encode_number(struct encoding *e, const ProtobufCFieldDescriptor *f,
                          struct buf *out)
{
    uint64_t v = 0;
    const char *at = skip(e->at), *end = at;
    while (is_word(*end)) {
        end++;
    }
    const ProtobufCEnumValue *name = NULL;
    if (f->type == PROTOBUF_C_TYPE_ENUM) {
        name = find_enum(at, (size_t)(end - at), f);
    }
    if (name) {
        v = (uint64_t)name->value;
    } else if (text_number(e->side, e->member, at, &v) != end) {
        e->wrong = at;
    }
    e->at = end;
    put_varint(out, f->id << 3);
    put_varint(out, v);
}

static void encode_value(struct encoding *e, const ProtobufCFieldDescriptor *f,
                         struct buf *out)
{
    struct buf inner = BUF_INIT(NESTED_BYTES_MAX);
    const char *at = e->at;
    switch (f->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        if (*skip(at) != '{' || e->depth == DEPTH_MAX) {
            e->wrong = at;
            return;
        }
        e->at = skip(at) + 1;
        e->depth++;
        encode(e, f->descriptor, &inner);
        e->depth--;
        put_bytes(out, f->id, &inner);
        break;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
        e->at = text_literal(at, &inner);
        e->wrong = e->at ? NULL : at;
        put_bytes(out, f->id, &inner);
        break;
    default:
        encode_number(e, f, out);
    }
    buf_release(&inner);
}

/* Fields up to the closing brace, or the end. */
static void encode(struct encoding *e, const ProtobufCMessageDescriptor *d,
                   struct buf *out)
{
    while (!e->wrong) {
        char name[64] = "";
        const char *at = e->at = skip(e->at);
        size_t size = 0;
        if (*at == 0 || *at == '}') {
            e->wrong = (*at == 0) == (e->depth == 0) ? NULL : at;
            e->at += *at != 0;
            return;
        }
        while (is_word(at[size]) && size < sizeof name - 1) {
            name[size] = at[size];
            size++;
        }
        e->at = at + size;
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field_by_name(d, name);
        if (strcmp(name, "raw") == 0) {
            e->at = text_literal(e->at, out);
            e->wrong = e->at ? NULL : at;
        } else if (f) {
            encode_value(e, f, out);
        } else {
            e->wrong = at;
        }
    }
}

const char *text_encode(struct side *s, int member, const char *text,
                        const ProtobufCMessageDescriptor *d, struct buf *out)
{
    struct encoding e = {.side = s, .member = member, .at = text};
    encode(&e, d, out);
    return e.wrong;
}

/* ---- (..)*N ---- */

/* From behind the bracket to the one that closes it; NULL: none. */
static const char *closing(const char *at)
{
    bool quoted = false;
    for (int depth = 1; *at; at++) {
        quoted ^= *at == '"';
        depth += quoted ? 0 : (*at == '(') - (*at == ')');
        if (depth == 0) {
            return at;
        }
    }
    return NULL;
}

static void repeat(const char *at, const char *end, long n, struct buf *out)
{
    for (long i = 0; i < n; i++) {
        for (const char *p = at; p < end; p++) {
            if (p[0] == '%' && p[1] == 'd') {
                buf_printf(out, "%ld", i);
                p++;
            } else {
                buf_append_byte(out, (uint8_t)*p);
            }
        }
        buf_append_byte(out, ' ');
    }
}

void text_expand(const char *text, struct buf *out)
{
    bool quoted = false;
    for (; *text; text++) {
        quoted ^= *text == '"';
        const char *end = *text == '(' && !quoted ? closing(text + 1) : NULL;
        if (end && end[1] == '*') {
            char *next;
            long n = strtol(end + 2, &next, 10);
            repeat(text + 1, end, n, out);
            text = next - 1;
        } else if (strncmp(text, "$peer", 5) == 0) {
            const char *url = getenv("SPARE_PEER");
            buf_printf(out, "\"%s\"", url ? url : "");
            text += 4;
        } else {
            buf_append_byte(out, (uint8_t)*text);
        }
    }
    buf_append_byte(out, 0);
}
