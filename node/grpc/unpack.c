/* Protobuf messages out of bytes, into a call's memory. */
#include <stdio.h>

#include "base/text.h"
#include "grpc/internal.h"

/* 128 Txns in each other, two levels each, and what is in the last. */
enum { DEPTH_MAX = 300 };

static void *arena_get(void *ctx, size_t size)
{
    return arena_alloc(ctx, size);
}

static void arena_put(void *ctx, void *p)
{
}

ProtobufCAllocator grpc_arena_allocator(struct arena *a)
{
    return (ProtobufCAllocator){
        .alloc = arena_get, .free = arena_put, .allocator_data = a};
}

/* ---- nesting: protobuf-c recurses, so the input must not decide ---- */

/* 0 and the value; false: cut off or too long. */
static bool take_varint(struct slice *s, uint64_t *ret_value)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70 && s->size; shift += 7) {
        uint8_t b = s->data[0];
        *s = slice_from(*s, 1);
        v |= shift < 64 ? (uint64_t)(b & 0x7f) << shift : 0;
        if (!(b & 0x80)) {
            *ret_value = v;
            return true;
        }
    }
    return false;
}

/* Takes one field; `ret_body` is set for length-delimited ones. */
static bool take_field(struct slice *s, uint32_t *ret_id,
                       struct slice *ret_body)
{
    uint64_t tag = 0, n = 0;
    *ret_body = (struct slice){NULL, 0};
    if (!take_varint(s, &tag)) {
        return false;
    }
    *ret_id = (uint32_t)(tag >> 3);
    switch (tag & 7) {
    case 0:
        return take_varint(s, &n);
    case 1:
        n = 8;
        break;
    case 5:
        n = 4;
        break;
    case 2:
        if (!take_varint(s, &n)) {
            return false;
        }
        if (n <= s->size) {
            *ret_body = slice_of(s->data, (size_t)n);
        }
        break;
    default:
        return false;
    }
    if (n > s->size) {
        return false;
    }
    *s = slice_from(*s, (size_t)n);
    return true;
}

static bool has_messages(const ProtobufCMessageDescriptor *d)
{
    for (unsigned i = 0; i < d->n_fields; i++) {
        if (d->fields[i].type == PROTOBUF_C_TYPE_MESSAGE) {
            return true;
        }
    }
    return false;
}

/* Recursion is bounded by `levels`. What cannot be parsed is fine here: the
 * real parser will say so. */
static bool is_shallow(const ProtobufCMessageDescriptor *d, struct slice s,
                       unsigned levels)
{
    if (s.size < 2 * levels || !has_messages(d)) {
        return true; /* a level takes two bytes at least */
    }
    if (levels == 0) {
        return false;
    }
    uint32_t id = 0;
    struct slice body;
    while (s.size && take_field(&s, &id, &body)) {
        if (body.size == 0) {
            continue;
        }
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field(d, id);
        if (f && f->type == PROTOBUF_C_TYPE_MESSAGE &&
            !is_shallow(f->descriptor, body, levels - 1)) {
            return false;
        }
    }
    return true;
}

/* ---- strings must be UTF-8 ---- */

static bool is_message_utf8(const ProtobufCMessage *m);

static bool is_value_utf8(const ProtobufCFieldDescriptor *f, const void *v)
{
    const void *p = *(const void *const *)v;
    if (!p) {
        return true;
    }
    return f->type == PROTOBUF_C_TYPE_MESSAGE ? is_message_utf8(p)
                                              : text_is_utf8(slice_str(p));
}

static bool is_field_utf8(const ProtobufCFieldDescriptor *f, const char *m)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t n = *(const size_t *)(m + f->quantifier_offset);
        const char *const *values =
            *(const char *const *const *)(m + f->offset);
        for (size_t i = 0; i < n; i++) {
            if (!is_value_utf8(f, &values[i])) {
                return false;
            }
        }
        return true;
    }
    bool is_other = (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
                    *(const uint32_t *)(m + f->quantifier_offset) != f->id;
    return is_other || is_value_utf8(f, m + f->offset);
}

/* As deep as is_shallow() allows. */
static bool is_message_utf8(const ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if ((f->type == PROTOBUF_C_TYPE_STRING ||
             f->type == PROTOBUF_C_TYPE_MESSAGE) &&
            !is_field_utf8(f, (const char *)m)) {
            return false;
        }
    }
    return true;
}

static void fail(struct grpc_call *c, const char *why)
{
    const char *what = grpc_call_is_unary(c)
                           ? "grpc: error unmarshalling request: "
                           : "grpc: failed to unmarshal the received "
                             "message: ";
    grpc_finish(c, GRPC_INTERNAL, arena_printf(&c->arena, "%s%s", what, why));
}

void *grpc_unpack(struct grpc_call *c, const ProtobufCMessageDescriptor *d,
                  struct slice message)
{
    bool is_stream = c->method->kind == GRPC_BIDI_STREAM;
    ProtobufCAllocator a =
        grpc_arena_allocator(is_stream ? &c->scratch : &c->arena);
    void *m = NULL;
    if (is_shallow(d, message, DEPTH_MAX)) {
        m = protobuf_c_message_unpack(d, &a, message.size, message.data);
    }
    if (!m) {
        fail(c, "proto:\xc2\xa0"
                "cannot parse invalid wire-format data");
    } else if (!is_message_utf8(m)) {
        fail(c, "string field contains invalid UTF-8");
        m = NULL;
    }
    return m;
}
