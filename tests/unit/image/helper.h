/* Content made from a seed, an image of it, the way back. */
#ifndef IMAGE_HELPER_H
#define IMAGE_HELPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "image/image.h"

enum { LIE_BYTES = 5000 };

#define HELPER __attribute__((unused)) static

struct content_bucket {
    const char *name;
    uint64_t count;
    size_t key_bytes_max; /* >= 8; keys begin with a counter */
    size_t value_bytes_max;
};

/* Records are the same each time: drawn from the bucket's number. */
struct content {
    const struct content_bucket *buckets;
    int bucket_count;
    int bucket; /* the one being read, or -1 */
    uint64_t record;
    uint64_t lie_at; /* not 0: this record is longer the second time */
    int rewinds;
    uint8_t *key;
    uint8_t *value;
    size_t value_capacity;
    struct rng rng;
};

HELPER int content_rewind(void *ctx)
{
    struct content *c = ctx;
    c->bucket = -1;
    c->rewinds++;
    if (c->key == NULL) {
        c->key = mem_alloc(IMAGE_KEY_SIZE_MAX + 8);
        for (int i = 0; i < c->bucket_count; i++) {
            size_t most = c->buckets[i].value_bytes_max;
            if (most > c->value_capacity) {
                c->value_capacity = most;
            }
        }
        c->value = mem_zalloc(c->value_capacity + LIE_BYTES);
    }
    return 0;
}

HELPER int content_bucket(void *ctx, struct slice *ret_name)
{
    struct content *c = ctx;
    if (++c->bucket == c->bucket_count) {
        return ERR_NOT_FOUND;
    }
    c->record = 0;
    c->rng.state = (uint64_t)c->bucket + 1000;
    *ret_name = slice_str(c->buckets[c->bucket].name);
    return 0;
}

HELPER int content_record(void *ctx, struct slice *ret_key,
                          struct slice *ret_value)
{
    struct content *c = ctx;
    const struct content_bucket *b = &c->buckets[c->bucket];
    if (c->record == b->count) {
        return ERR_NOT_FOUND;
    }
    size_t key_size = 8 + rng_below(&c->rng, b->key_bytes_max - 7);
    size_t value_size = rng_below(&c->rng, b->value_bytes_max + 1);
    if (c->record == 0) { /* one of the largest in each */
        key_size = b->key_bytes_max;
        value_size = b->value_bytes_max;
    }
    memset(c->key, (int)(c->record % 251), key_size);
    put_be64(c->key, c->record++);
    memset(c->value, (int)(c->record % 253), value_size);
    if (c->record == c->lie_at && c->rewinds > 1) {
        value_size += LIE_BYTES;
    }
    *ret_key = slice_of(c->key, key_size);
    *ret_value = slice_of(c->value, value_size);
    return 0;
}

HELPER void content_release(struct content *c)
{
    free(c->key);
    free(c->value);
}

HELPER struct image_source content_source(struct content *c)
{
    return (struct image_source){.rewind = content_rewind,
                                 .next_bucket = content_bucket,
                                 .next_record = content_record,
                                 .ctx = c};
}

HELPER int to_buf(void *ctx, struct slice bytes)
{
    return buf_append_slice(ctx, bytes);
}

HELPER void file_write(const char *path, const void *data, size_t size)
{
    unlink(path); /* some file systems flush a file that was truncated */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

/* The image of `source` into `out`. */
HELPER void write_image(const struct image_source *source, struct buf *out)
{
    uint64_t bytes = 0;
    assert_int_equal(image_measure(source, &bytes), 0);
    assert_int_equal(bytes % IMAGE_PAGE_SIZE, 0);
    const struct image_sink sink = {.write = to_buf, .ctx = out};
    buf_reset(out, SIZE_MAX);
    assert_int_equal(image_write(source, bytes, &sink), 0);
    assert_int_equal(out->size, bytes);
}

#endif
