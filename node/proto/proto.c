#include "proto.h"

#include "base/endian.h"
#include "base/err.h"

int proto_add_u64(struct buf *b, uint32_t field, uint64_t v)
{
    if (v == 0) {
        return 0;
    }
    int err = buf_reserve(b, 2 * PROTO_VARINT_MAX);
    if (err == 0) {
        b->size = (size_t)(proto_u64(b->data + b->size, field, v) - b->data);
    }
    return err;
}

int proto_add_message(struct buf *b, uint32_t field, struct slice message)
{
    size_t need = proto_head_size(field, message.size) + message.size;
    int err = buf_reserve(b, need);
    if (err == 0) {
        uint8_t *to = proto_head(b->data + b->size, field, message.size);
        proto_copy(to, message);
        b->size += need;
    }
    return err;
}

int proto_add_bytes(struct buf *b, uint32_t field, struct slice bytes)
{
    return bytes.size ? proto_add_message(b, field, bytes) : 0;
}

int proto_begin(struct buf *b, uint32_t field, size_t *ret_mark)
{
    int err = buf_reserve(b, 2 * PROTO_VARINT_MAX);
    if (err == 0) {
        /* One byte for the length; proto_end() makes room for more. */
        uint8_t *to = proto_head(b->data + b->size, field, 0);
        b->size = (size_t)(to - b->data);
        *ret_mark = b->size;
    }
    return err;
}

int proto_end(struct buf *b, size_t mark)
{
    size_t size = b->size - mark;
    size_t more = proto_varint_size(size) - 1;
    int err = buf_reserve(b, more);
    if (err == 0) {
        if (more) {
            memmove(b->data + mark + more, b->data + mark, size);
        }
        proto_varint(b->data + mark - 1, size);
        b->size += more;
    }
    return err;
}

static int take_varint(struct slice *rest, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < rest->size && i < PROTO_VARINT_MAX; i++) {
        uint8_t byte = rest->data[i];
        if (i == PROTO_VARINT_MAX - 1 && byte > 1) {
            return ERR_INVALID;
        }
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *rest = slice_from(*rest, i + 1);
            *ret = v;
            return 0;
        }
    }
    return ERR_INVALID;
}

static int take_bytes(struct slice *rest, uint64_t size, struct slice *ret)
{
    if (size > rest->size) {
        return ERR_INVALID;
    }
    *ret = slice_of(rest->data, (size_t)size);
    *rest = slice_from(*rest, (size_t)size);
    return 0;
}

int proto_next(struct slice *rest, struct proto_field *ret_field)
{
    if (rest->size == 0) {
        return 0;
    }
    uint64_t tag;
    int err = take_varint(rest, &tag);
    if (err || tag >> 3 == 0 || tag >> 3 > 0x1fffffff) {
        return ERR_INVALID;
    }
    struct proto_field f = {.number = (uint32_t)(tag >> 3),
                            .wire = (uint32_t)(tag & 7)};
    uint64_t size = 0;
    switch (f.wire) {
    case PROTO_VARINT:
        err = take_varint(rest, &f.value);
        break;
    case PROTO_FIXED64:
        err = take_bytes(rest, 8, &f.bytes);
        f.value = err ? 0 : get_le64(f.bytes.data);
        break;
    case PROTO_FIXED32:
        err = take_bytes(rest, 4, &f.bytes);
        f.value = err ? 0 : get_le32(f.bytes.data);
        break;
    case PROTO_BYTES:
        err = take_varint(rest, &size);
        err = err ? err : take_bytes(rest, size, &f.bytes);
        break;
    default:
        err = ERR_INVALID;
    }
    if (err) {
        return err;
    }
    *ret_field = f;
    return 1;
}

/* Number and wire type in one, so that a field of another type falls
 * through to "unknown". */
#define KEY(number, wire) ((number) << 3 | (wire))
#define FIELD_KEY(f) ((f)->number << 3 | (f)->wire)

static void put_field(struct proto_put *p, const struct proto_field *f)
{
    switch (FIELD_KEY(f)) {
    case KEY(1, PROTO_BYTES):
        p->key = f->bytes;
        break;
    case KEY(2, PROTO_BYTES):
        p->value = f->bytes;
        break;
    case KEY(3, PROTO_VARINT):
        p->lease = (int64_t)f->value;
        break;
    case KEY(4, PROTO_VARINT):
        p->prev_kv = f->value != 0;
        break;
    case KEY(5, PROTO_VARINT):
        p->ignore_value = f->value != 0;
        break;
    case KEY(6, PROTO_VARINT):
        p->ignore_lease = f->value != 0;
        break;
    default:
        break;
    }
}

int proto_decode_put(struct slice message, struct proto_put *ret)
{
    struct proto_put p = {0};
    struct proto_field f;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        put_field(&p, &f);
    }
    if (more == 0) {
        *ret = p;
    }
    return more;
}

static void range_number(struct proto_range *r, const struct proto_field *f)
{
    int64_t v = (int64_t)f->value;
    switch (f->number) {
    case 3:
        r->limit = v;
        break;
    case 4:
        r->revision = v;
        break;
    case 5:
        r->sort_order = (int32_t)v;
        break;
    case 6:
        r->sort_target = (int32_t)v;
        break;
    case 7:
        r->serializable = v != 0;
        break;
    case 8:
        r->keys_only = v != 0;
        break;
    case 9:
        r->count_only = v != 0;
        break;
    case 10:
        r->min_mod_revision = v;
        break;
    case 11:
        r->max_mod_revision = v;
        break;
    case 12:
        r->min_create_revision = v;
        break;
    case 13:
        r->max_create_revision = v;
        break;
    default:
        break;
    }
}

int proto_decode_range(struct slice message, struct proto_range *ret)
{
    struct proto_range r = {0};
    struct proto_field f;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.wire == PROTO_VARINT) {
            range_number(&r, &f);
        } else if (f.wire == PROTO_BYTES && f.number == 1) {
            r.key = f.bytes;
        } else if (f.wire == PROTO_BYTES && f.number == 2) {
            r.end = f.bytes;
        }
    }
    if (more == 0) {
        *ret = r;
    }
    return more;
}

int proto_decode_delete(struct slice message, struct proto_delete *ret)
{
    struct proto_delete d = {0};
    struct proto_field f;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.wire == PROTO_BYTES && f.number == 1) {
            d.key = f.bytes;
        } else if (f.wire == PROTO_BYTES && f.number == 2) {
            d.end = f.bytes;
        } else if (f.wire == PROTO_VARINT && f.number == 3) {
            d.prev_kv = f.value != 0;
        }
    }
    if (more == 0) {
        *ret = d;
    }
    return more;
}
