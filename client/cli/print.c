/* Answers of the key-value commands, in every format but tables. */
#include <inttypes.h>

#include "cli.h"

void cli_print_buf(struct buf *b)
{
    fwrite(b->data, 1, b->size, stdout);
    buf_release(b);
}

static void print_packed(const ProtobufCMessage *m)
{
    struct buf out = BUF_INIT(SIZE_MAX);
    size_t size = protobuf_c_message_get_packed_size(m);
    buf_reserve(&out, size + 1);
    out.size = protobuf_c_message_pack(m, out.data);
    cli_print_buf(&out);
}

bool cli_print_raw(struct cli *x, const ProtobufCMessage *m)
{
    if (x->format == CLI_PROTOBUF) {
        print_packed(m);
        return true;
    }
    if (x->format == CLI_JSON) {
        struct buf out = BUF_INIT(SIZE_MAX);
        cli_json_message(&out, m, false);
        buf_append_byte(&out, '\n');
        cli_print_buf(&out);
        return true;
    }
    return false;
}

void cli_print_header_protobuf(const Pb__ResponseHeader *h)
{
    if (h) {
        print_packed(&h->base);
    }
}

void cli_print_flat_json(const Pb__ResponseHeader *h, const char *rest)
{
    struct buf out = BUF_INIT(SIZE_MAX);
    buf_append_byte(&out, '{');
    if (h) {
        cli_json_body(&out, &h->base, false);
        buf_append_byte(&out, ',');
    }
    buf_printf(&out, "%s}\n", rest);
    cli_print_buf(&out);
}

static void print_text(struct cli *x, ProtobufCBinaryData b)
{
    struct buf out = BUF_INIT(SIZE_MAX);
    if (x->hex) {
        cli_hex(&out, cli_bytes(b));
    } else {
        buf_append(&out, b.data, b.len);
    }
    buf_append_byte(&out, '\n');
    cli_print_buf(&out);
}

void cli_print_simple_kv(struct cli *x, const Pb__KeyValue *kv, bool keys,
                         bool values)
{
    if (keys) {
        print_text(x, kv->key);
    }
    if (values) {
        print_text(x, kv->value);
    }
}

void cli_print_range(struct cli *x, const Pb__RangeResponse *m,
                     bool values_only)
{
    if (x->format == CLI_SIMPLE) {
        for (size_t i = 0; i < m->n_kvs; i++) {
            cli_print_simple_kv(x, m->kvs[i], !values_only, true);
        }
        return;
    }
    cli_fields_header(x, m->header);
    for (size_t i = 0; i < m->n_kvs; i++) {
        cli_field_kv(x, "", m->kvs[i]);
    }
    cli_field_bool("More", m->more);
    cli_field_i64("Count", m->count);
}

void cli_print_put(struct cli *x, const Pb__PutResponse *m)
{
    if (x->format == CLI_SIMPLE) {
        puts("OK");
        if (m->prev_kv) {
            cli_print_simple_kv(x, m->prev_kv, true, true);
        }
        return;
    }
    cli_fields_header(x, m->header);
    if (m->prev_kv) {
        cli_field_kv(x, "Prev", m->prev_kv);
    }
}

void cli_print_delete(struct cli *x, const Pb__DeleteRangeResponse *m)
{
    if (x->format == CLI_SIMPLE) {
        printf("%" PRId64 "\n", m->deleted);
        for (size_t i = 0; i < m->n_prev_kvs; i++) {
            cli_print_simple_kv(x, m->prev_kvs[i], true, true);
        }
        return;
    }
    cli_fields_header(x, m->header);
    cli_field_i64("Deleted", m->deleted);
    for (size_t i = 0; i < m->n_prev_kvs; i++) {
        cli_field_kv(x, "Prev", m->prev_kvs[i]);
    }
}
