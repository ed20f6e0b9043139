/* One value of a scalar field, from its token to the wire. */
#include "base/text.h"
#include "internal.h"

static const char *type_name(ProtobufCType t)
{
    switch (t) {
    case PROTOBUF_C_TYPE_BOOL:
        return "bool";
    case PROTOBUF_C_TYPE_INT32:
        return "int32";
    case PROTOBUF_C_TYPE_UINT32:
        return "uint32";
    case PROTOBUF_C_TYPE_INT64:
        return "int64";
    case PROTOBUF_C_TYPE_UINT64:
        return "uint64";
    case PROTOBUF_C_TYPE_ENUM:
        return "enum";
    case PROTOBUF_C_TYPE_STRING:
        return "string";
    default:
        return "bytes";
    }
}

/* The next letter of the camel spelling; moves `name`. */
static char camel(const char **name)
{
    char c = *(*name)++;
    if (c == '_') {
        c = *(*name)++;
        c = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    return c;
}

bool pbjson_is_camel(const char *name, struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (*name == '\0' || camel(&name) != (char)text.data[i]) {
            return false;
        }
    }
    return *name == '\0';
}

static int invalid(struct pbjson_reader *r, const ProtobufCFieldDescriptor *f,
                   struct pbjson_token t)
{
    char name[64];
    size_t n = 0;
    for (const char *p = f->name; *p && n < sizeof name - 1;) {
        name[n++] = camel(&p);
    }
    name[n] = '\0';
    return pbjson_fail(r, t, "invalid value for %s field %s: %.*s",
                       type_name(f->type), name, (int)t.raw.size,
                       (const char *)t.raw.data);
}

static int put_varint(struct pbjson_reader *r,
                      const ProtobufCFieldDescriptor *f, uint64_t v,
                      bool keep_zero)
{
    uint8_t bytes[2 * PROTO_VARINT_MAX];
    if (v == 0 && !keep_zero) {
        return 0;
    }
    uint8_t *end = proto_varint(bytes, (uint64_t)f->id << 3 | PROTO_VARINT);
    end = proto_varint(end, v);
    return buf_append(r->out, bytes, (size_t)(end - bytes));
}

static bool fits(ProtobufCType type, bool negative, uint64_t v,
                 uint64_t *ret_wire)
{
    uint64_t most = type == PROTOBUF_C_TYPE_UINT64   ? UINT64_MAX
                    : type == PROTOBUF_C_TYPE_UINT32 ? UINT32_MAX
                    : type == PROTOBUF_C_TYPE_INT64  ? INT64_MAX
                                                     : INT32_MAX;
    bool is_signed =
        type != PROTOBUF_C_TYPE_UINT64 && type != PROTOBUF_C_TYPE_UINT32;
    if (negative && v) {
        *ret_wire = -v;
        return is_signed && v <= most + 1;
    }
    *ret_wire = v;
    return v <= most;
}

/* A number, or a string that holds nothing but one. */
static int put_integer(struct pbjson_reader *r,
                       const ProtobufCFieldDescriptor *f, struct pbjson_token t,
                       bool keep_zero)
{
    struct slice digits = t.raw;
    struct buf text = BUF_INIT(t.raw.size);
    bool ok = t.kind == PBJSON_NUMBER || t.kind == PBJSON_STRING;
    if (t.kind == PBJSON_STRING) {
        int err = pbjson_string(r, t, &text);
        if (err) {
            buf_release(&text);
            return err;
        }
        digits = buf_slice(&text);
    }
    bool negative = false;
    uint64_t v = 0;
    ok = ok && pbjson_integer(digits, &negative, &v) &&
         fits(f->type, negative, v, &v);
    buf_release(&text);
    return ok ? put_varint(r, f, v, keep_zero) : invalid(r, f, t);
}

/* An unknown name is no value at all, an unknown number is passed on. */
static int put_enum(struct pbjson_reader *r, const ProtobufCFieldDescriptor *f,
                    struct pbjson_token t, bool keep_zero)
{
    if (t.kind == PBJSON_NUMBER) {
        return put_integer(r, f, t, keep_zero);
    }
    if (t.kind != PBJSON_STRING) {
        return invalid(r, f, t);
    }
    struct buf name = BUF_INIT(t.raw.size + 1);
    int err = pbjson_string(r, t, &name);
    if (err == 0 && !memchr(name.data ? (void *)name.data : "", 0, name.size)) {
        buf_append_byte(&name, 0);
        const ProtobufCEnumValue *v =
            protobuf_c_enum_descriptor_get_value_by_name(
                f->descriptor, (const char *)name.data);
        err = v ? put_varint(r, f, (uint64_t)(int64_t)v->value, keep_zero) : 0;
    }
    buf_release(&name);
    return err;
}

static int put_bytes(struct pbjson_reader *r, const ProtobufCFieldDescriptor *f,
                     struct slice s, bool keep_zero)
{
    return s.size || keep_zero ? proto_add_message(r->out, f->id, s) : 0;
}

/* Go's decoder skips line ends; whether there is padding it sees from the
 * length with them. */
static int decode_base64(struct buf *text, struct buf *to)
{
    bool has_padding = text->size % 4 == 0;
    size_t kept = 0;
    bool url = false, plain = false;
    for (size_t i = 0; i < text->size; i++) {
        uint8_t c = text->data[i];
        url |= c == '-' || c == '_';
        plain |= c == '+' || c == '/';
        if (c == '=' && !has_padding) {
            return ERR_INVALID;
        }
        if (c != '\r' && c != '\n') {
            text->data[kept++] = c;
        }
    }
    text->size = kept;
    if ((url && plain) || (has_padding && kept % 4 != 0)) {
        return ERR_INVALID;
    }
    return text_parse_base64(buf_slice(text), to);
}

static int put_text(struct pbjson_reader *r, const ProtobufCFieldDescriptor *f,
                    struct pbjson_token t, bool keep_zero)
{
    if (t.kind != PBJSON_STRING) {
        return invalid(r, f, t);
    }
    struct buf text = BUF_INIT(t.raw.size), bytes = BUF_INIT(t.raw.size);
    int err = pbjson_string(r, t, &text);
    if (err == 0 && f->type == PROTOBUF_C_TYPE_STRING) {
        err = put_bytes(r, f, buf_slice(&text), keep_zero);
    } else if (err == 0) {
        err = decode_base64(&text, &bytes);
        err = err ? invalid(r, f, t)
                  : put_bytes(r, f, buf_slice(&bytes), keep_zero);
    }
    buf_release(&text);
    buf_release(&bytes);
    return err;
}

int pbjson_scalar(struct pbjson_reader *r, const ProtobufCFieldDescriptor *f,
                  struct pbjson_token t, bool keep_zero)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_BOOL:
        if (t.kind != PBJSON_TRUE && t.kind != PBJSON_FALSE) {
            return invalid(r, f, t);
        }
        return put_varint(r, f, t.kind == PBJSON_TRUE, keep_zero);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return put_integer(r, f, t, keep_zero);
    case PROTOBUF_C_TYPE_ENUM:
        return put_enum(r, f, t, keep_zero);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
        return put_text(r, f, t, keep_zero);
    default:
        return pbjson_fail(r, t, "no JSON for the type of field %s", f->name);
    }
}
