/* JSON out of a message's wire form, in one walk over its fields. */
#include <inttypes.h>

#include "base/text.h"
#include "internal.h"

static int put_message(const ProtobufCMessageDescriptor *d, struct slice rest,
                       struct buf *out, uint32_t depth);

static uint32_t wire_of(ProtobufCType t)
{
    return t == PROTOBUF_C_TYPE_STRING || t == PROTOBUF_C_TYPE_BYTES ||
                   t == PROTOBUF_C_TYPE_MESSAGE
               ? PROTO_BYTES
               : PROTO_VARINT;
}

static int put_base64(struct buf *out, struct slice s)
{
    size_t before = out->size;
    size_t need = 2 + (s.size + 2) / 3 * 4;
    int err = buf_reserve(out, need);
    if (err) {
        return err;
    }
    buf_append_byte(out, '"');
    text_base64(out, s);
    buf_append_byte(out, '"');
    return out->size - before == need ? 0 : ERR_TOO_LARGE;
}

static int put_enum(struct buf *out, const ProtobufCFieldDescriptor *f,
                    int32_t v)
{
    const ProtobufCEnumValue *e =
        protobuf_c_enum_descriptor_get_value(f->descriptor, v);
    return e ? buf_printf(out, "\"%s\"", e->name)
             : buf_printf(out, "%" PRId32, v);
}

static int put_value(const ProtobufCFieldDescriptor *f,
                     const struct proto_field *v, struct buf *out,
                     uint32_t depth)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return buf_append_str(out, v->value ? "true" : "false");
    case PROTOBUF_C_TYPE_INT32:
        return buf_printf(out, "%" PRId32, (int32_t)v->value);
    case PROTOBUF_C_TYPE_UINT32:
        return buf_printf(out, "%" PRIu32, (uint32_t)v->value);
    case PROTOBUF_C_TYPE_INT64:
        return buf_printf(out, "\"%" PRId64 "\"", (int64_t)v->value);
    case PROTOBUF_C_TYPE_UINT64:
        return buf_printf(out, "\"%" PRIu64 "\"", v->value);
    case PROTOBUF_C_TYPE_ENUM:
        return put_enum(out, f, (int32_t)v->value);
    case PROTOBUF_C_TYPE_STRING: {
        int err = buf_reserve(out, v->bytes.size * 6 + 2);
        if (err == 0) {
            text_json_string(out, v->bytes);
        }
        return err;
    }
    case PROTOBUF_C_TYPE_BYTES:
        return put_base64(out, v->bytes);
    case PROTOBUF_C_TYPE_MESSAGE:
        return put_message(f->descriptor, v->bytes, out, depth + 1);
    default:
        return ERR_UNSUPPORTED;
    }
}

static bool is_zero(const ProtobufCFieldDescriptor *f,
                    const struct proto_field *v)
{
    if (f->type == PROTOBUF_C_TYPE_MESSAGE ||
        (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)) {
        return false;
    }
    return wire_of(f->type) == PROTO_BYTES ? v->bytes.size == 0 : v->value == 0;
}

struct place {
    uint32_t last;  /* number of the field before */
    bool is_listed; /* and its list is open */
    bool is_first;  /* nothing was written yet */
};

static int put_name(struct place *at, const ProtobufCFieldDescriptor *f,
                    struct buf *out)
{
    bool is_list = f->label == PROTOBUF_C_LABEL_REPEATED;
    if (f->id == at->last) {
        return is_list ? buf_append_byte(out, ',') : ERR_INVALID;
    }
    if (f->id < at->last) {
        return ERR_INVALID;
    }
    int err = buf_printf(out, "%s%s\"%s\":%s", at->is_listed ? "]" : "",
                         at->is_first ? "" : ",", f->name, is_list ? "[" : "");
    *at = (struct place){.last = f->id, .is_listed = is_list};
    return err;
}

/* Scalars of a list may stand in one field, without tags between them. */
static int put_packed(struct place *at, const ProtobufCFieldDescriptor *f,
                      struct slice rest, struct buf *out)
{
    int err = 0;
    while (rest.size && err == 0) {
        struct proto_field v = {.number = f->id, .wire = PROTO_VARINT};
        unsigned shift = 0;
        uint8_t byte;
        do {
            if (rest.size == 0 || shift > 63) {
                return ERR_INVALID;
            }
            byte = rest.data[0];
            rest = slice_from(rest, 1);
            v.value |= (uint64_t)(byte & 0x7f) << shift;
            shift += 7;
        } while (byte & 0x80);
        err = put_name(at, f, out);
        if (err == 0) {
            err = put_value(f, &v, out, 0);
        }
    }
    return err;
}

static int put_field(struct place *at, const ProtobufCFieldDescriptor *f,
                     const struct proto_field *v, struct buf *out,
                     uint32_t depth)
{
    bool is_list = f->label == PROTOBUF_C_LABEL_REPEATED;
    uint32_t wire = wire_of(f->type);
    if (is_list && wire == PROTO_VARINT && v->wire == PROTO_BYTES) {
        return put_packed(at, f, v->bytes, out);
    }
    if (v->wire != wire || (!is_list && is_zero(f, v))) {
        return 0;
    }
    int err = put_name(at, f, out);
    return err ? err : put_value(f, v, out, depth);
}

static int put_message(const ProtobufCMessageDescriptor *d, struct slice rest,
                       struct buf *out, uint32_t depth)
{
    if (depth == PBJSON_MESSAGES_MAX) {
        return ERR_INVALID;
    }
    struct place at = {.is_first = true};
    struct proto_field v;
    int err = buf_append_byte(out, '{');
    while (err == 0) {
        int rc = proto_next(&rest, &v);
        if (rc <= 0) {
            err = rc;
            break;
        }
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field(d, v.number);
        if (f) {
            err = put_field(&at, f, &v, out, depth);
        }
    }
    return err ? err : buf_append_str(out, at.is_listed ? "]}" : "}");
}

int pbjson_from_proto(const ProtobufCMessageDescriptor *d, struct slice message,
                      struct buf *out)
{
    return put_message(d, message, out, 0);
}
