/*
 * Messages as JSON, by their descriptors. The rules are those of Go's
 * encoding/json on the generated structs, which scripts around this command
 * line parse: names as in the .proto files, fields in their order there.
 */
#include "base/text.h"
#include "cli.h"

static const void *member_at(const ProtobufCMessage *m, size_t offset)
{
    return (const char *)m + offset;
}

static bool is_id(const ProtobufCFieldDescriptor *f)
{
    return f->type == PROTOBUF_C_TYPE_UINT64 &&
           (strcmp(f->name, "cluster_id") == 0 ||
            strcmp(f->name, "member_id") == 0 || strcmp(f->name, "ID") == 0);
}

static void number(struct buf *out, const ProtobufCFieldDescriptor *f,
                   const void *at, bool hex_ids)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT64:
        buf_printf(out, "%lld", (long long)*(const int64_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT64:
        buf_printf(out, hex_ids && is_id(f) ? "\"%llx\"" : "%llu",
                   (unsigned long long)*(const uint64_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT32:
        buf_printf(out, "%u", *(const uint32_t *)at);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        buf_append_str(out, *(const protobuf_c_boolean *)at ? "true" : "false");
        break;
    default: /* int32, enum */
        buf_printf(out, "%d", *(const int32_t *)at);
    }
}

static void value(struct buf *out, const ProtobufCFieldDescriptor *f,
                  const void *at, bool hex_ids)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        cli_json_message(out, *(ProtobufCMessage *const *)at, hex_ids);
        break;
    case PROTOBUF_C_TYPE_STRING:
        cli_json_string(out, slice_str(*(char *const *)at));
        break;
    case PROTOBUF_C_TYPE_BYTES:
        buf_append_byte(out, '"');
        text_base64(out, cli_bytes(*(const ProtobufCBinaryData *)at));
        buf_append_byte(out, '"');
        break;
    default:
        number(out, f, at, hex_ids);
    }
}

static size_t value_size(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return 8;
    case PROTOBUF_C_TYPE_MESSAGE:
    case PROTOBUF_C_TYPE_STRING:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

static bool is_zero(const ProtobufCFieldDescriptor *f, const void *at)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(void *const *)at == NULL;
    case PROTOBUF_C_TYPE_STRING:
        return **(char *const *)at == 0;
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len == 0;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return *(const uint64_t *)at == 0;
    default:
        return *(const uint32_t *)at == 0;
    }
}

static void name(struct buf *out, const ProtobufCFieldDescriptor *f,
                 bool *first)
{
    buf_printf(out, "%s\"%s\":", *first ? "" : ",", f->name);
    *first = false;
}

static void repeated(struct buf *out, const ProtobufCMessage *m,
                     const ProtobufCFieldDescriptor *f, bool hex_ids)
{
    size_t count = *(const size_t *)member_at(m, f->quantifier_offset);
    const char *items = *(char *const *)member_at(m, f->offset);
    buf_append_byte(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_append_byte(out, ',');
        }
        value(out, f, items + i * value_size(f), hex_ids);
    }
    buf_append_byte(out, ']');
}

/* The one chosen field of a choice stands in an object of its own:
 * "Response":{"response_put":{...}}. */
static void choice(struct buf *out, const ProtobufCMessage *m,
                   const ProtobufCFieldDescriptor *f, bool *first, bool hex_ids)
{
    if (*(const uint32_t *)member_at(m, f->quantifier_offset) != f->id) {
        return;
    }
    buf_printf(out, "%s\"Response\":{\"%s\":", *first ? "" : ",", f->name);
    value(out, f, member_at(m, f->offset), hex_ids);
    buf_append_byte(out, '}');
    *first = false;
}

void cli_json_body(struct buf *out, const ProtobufCMessage *m, bool hex_ids)
{
    bool first = true;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
            choice(out, m, f, &first, hex_ids);
        } else if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            if (*(const size_t *)member_at(m, f->quantifier_offset) > 0) {
                name(out, f, &first);
                repeated(out, m, f, hex_ids);
            }
        } else if (!is_zero(f, member_at(m, f->offset))) {
            name(out, f, &first);
            value(out, f, member_at(m, f->offset), hex_ids);
        }
    }
}

void cli_json_message(struct buf *out, const ProtobufCMessage *m, bool hex_ids)
{
    buf_append_byte(out, '{');
    cli_json_body(out, m, hex_ids);
    buf_append_byte(out, '}');
}
