#include "grpc/reader.h"

#include "base/endian.h"
#include "base/err.h"

enum {
    PREFIX = 5,
    FIRST_RESERVE = 64 << 10, /* the announced length is only a promise */
    KEEP = 16 << 10,
};

static bool take_prefix(struct grpc_reader *r, struct slice *data)
{
    size_t n = PREFIX - r->prefix_size;
    if (n > data->size) {
        n = data->size;
    }
    memcpy(r->prefix + r->prefix_size, data->data, n);
    r->prefix_size += (uint8_t)n;
    *data = slice_from(*data, n);
    return r->prefix_size == PREFIX;
}

static int begin_body(struct grpc_reader *r, uint32_t max)
{
    r->length = get_be32(r->prefix + 1);
    if (r->length > max) {
        return ERR_TOO_LARGE;
    }
    r->is_in_body = true;
    if (r->body.capacity || r->body.size) {
        buf_reset(&r->body, KEEP);
    }
    r->body.max = r->length;
    return 0;
}

static int finish(struct grpc_reader *r, struct slice message,
                  uint8_t *ret_flag, struct slice *ret_message)
{
    *ret_flag = r->prefix[0];
    *ret_message = message;
    r->is_in_body = false;
    r->prefix_size = 0;
    return 1;
}

int grpc_reader_next(struct grpc_reader *r, struct slice *data, uint32_t max,
                     uint8_t *ret_flag, struct slice *ret_message)
{
    if (!r->is_in_body) {
        if (!take_prefix(r, data)) {
            return 0;
        }
        int err = begin_body(r, max);
        if (err != 0) {
            return err;
        }
    }
    size_t missing = r->length - r->body.size;
    if (r->body.size == 0 && data->size >= missing) {
        struct slice whole = slice_of(data->data, missing);
        *data = slice_from(*data, missing);
        return finish(r, whole, ret_flag, ret_message);
    }
    size_t n = data->size < missing ? data->size : missing;
    if (r->body.capacity == 0 && n) {
        buf_reserve(&r->body,
                    r->length < FIRST_RESERVE ? r->length : FIRST_RESERVE);
    }
    buf_append(&r->body, data->data, n);
    *data = slice_from(*data, n);
    if (r->body.size < r->length) {
        return 0;
    }
    return finish(r, buf_slice(&r->body), ret_flag, ret_message);
}
