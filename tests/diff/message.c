#include <inttypes.h>

#include "base/crc32c.h"
#include "diff.h"

enum { SHOWN_BYTES = 96 };

static size_t size_of(ProtobufCType t)
{
    switch (t) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

static bool is_set(const ProtobufCFieldDescriptor *d, const void *value)
{
    switch (d->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(void *const *)value != NULL;
    case PROTOBUF_C_TYPE_STRING:
        return *(char *const *)value && **(char *const *)value;
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)value)->len != 0;
    default:
        if (size_of(d->type) == 8) {
            return *(const uint64_t *)value != 0;
        }
        return *(const uint32_t *)value != 0;
    }
}

/* Elements of a field: 0 or 1, or those of a repeated one. */
static size_t elements(const ProtobufCMessage *m,
                       const ProtobufCFieldDescriptor *d, char **ret_first)
{
    char *at = (char *)(uintptr_t)m + d->offset;
    const char *quantifier = (const char *)m + d->quantifier_offset;
    if (d->label == PROTOBUF_C_LABEL_REPEATED) {
        *ret_first = *(char **)at;
        return *(const size_t *)quantifier;
    }
    *ret_first = at;
    if (d->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        return *(const uint32_t *)quantifier == d->id;
    }
    return is_set(d, at);
}

static void print_bytes(struct buf *out, const uint8_t *data, size_t size)
{
    buf_append_byte(out, '"');
    for (size_t i = 0; i < size && i < SHOWN_BYTES; i++) {
        if (data[i] < ' ' || data[i] > '~' || data[i] == '"' ||
            data[i] == '\\') {
            buf_printf(out, "\\%03o", data[i]);
        } else {
            buf_append_byte(out, data[i]);
        }
    }
    buf_append_byte(out, '"');
    if (size > SHOWN_BYTES) {
        buf_printf(out, "(%zu bytes, crc %08x)", size, crc32c(0, data, size));
    }
}

static void print_signed(struct buf *out, int64_t v)
{
    if (v >= MARK_MEMBER && v < MARK_MEMBER + MARK_SPAN) {
        buf_printf(out, "<member %" PRId64 ">", v - MARK_MEMBER);
    } else if (v >= MARK_LEASE && v < MARK_LEASE + MARK_SPAN) {
        buf_printf(out, "<lease %" PRId64 ">", v - MARK_LEASE);
    } else if (v > MARK_REVISION - MARK_SPAN && v < MARK_REVISION + MARK_SPAN) {
        buf_printf(out, "<first%+" PRId64 ">", v - MARK_REVISION);
    } else {
        buf_printf(out, "%" PRId64, v);
    }
}

static void print_value(struct buf *out, const ProtobufCFieldDescriptor *d,
                        const void *value, message_instead *instead)
{
    const ProtobufCBinaryData *bytes = value;
    switch (d->type) {
    case PROTOBUF_C_TYPE_STRING:
        print_bytes(out, *(uint8_t *const *)value,
                    strlen(*(char *const *)value));
        break;
    case PROTOBUF_C_TYPE_BYTES:
        print_bytes(out, bytes->data, bytes->len);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        buf_append_str(out, "{ ");
        message_print_with(out, *(ProtobufCMessage *const *)value, instead);
        buf_append_byte(out, '}');
        break;
    default:
        if (size_of(d->type) == 8) {
            print_signed(out, *(const int64_t *)value);
        } else if (d->type == PROTOBUF_C_TYPE_UINT32) {
            buf_printf(out, "%" PRIu32, *(const uint32_t *)value);
        } else {
            buf_printf(out, "%" PRId32, *(const int32_t *)value);
        }
    }
}

void message_print(struct buf *out, const ProtobufCMessage *m)
{
    message_print_with(out, m, NULL);
}

void message_print_with(struct buf *out, const ProtobufCMessage *m,
                        message_instead *instead)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *d = &m->descriptor->fields[i];
        char *at;
        size_t n = elements(m, d, &at);
        for (size_t k = 0; k < n; k++, at += size_of(d->type)) {
            if (instead && d->type == PROTOBUF_C_TYPE_MESSAGE &&
                instead(out, d->name, *(ProtobufCMessage **)(void *)at)) {
                continue;
            }
            buf_printf(out, "%s: ", d->name);
            print_value(out, d, at, instead);
            buf_append_byte(out, ' ');
        }
    }
    for (unsigned i = 0; i < m->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *u = &m->unknown_fields[i];
        buf_printf(out, "UNKNOWN %u (%zu bytes) ", u->tag, u->len);
    }
}

void message_walk(ProtobufCMessage *m,
                  void (*each)(void *ctx, const struct field *f), void *ctx)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *d = &m->descriptor->fields[i];
        char *at;
        size_t n = elements(m, d, &at);
        for (size_t k = 0; k < n; k++, at += size_of(d->type)) {
            if (d->type == PROTOBUF_C_TYPE_MESSAGE) {
                message_walk(*(ProtobufCMessage **)(void *)at, each, ctx);
            } else {
                each(ctx, &(struct field){m, d, at});
            }
        }
    }
}

bool message_is(const ProtobufCMessage *m, const char *name)
{
    return strcmp(m->descriptor->short_name, name) == 0;
}
