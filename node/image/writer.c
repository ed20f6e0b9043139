/*
 * Front to back, nothing patched: metas first, then pages in the order in
 * which they fill. Each tree level has one open page; a page that is full
 * is written and its first key goes to the level above. The page that lists
 * the buckets is the last one, so that the number of pages is all that the
 * metas need to know beforehand; a pass without output counts them.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "image/format.h"
#include "image/image.h"

enum {
    /* Two children with the longest keys, or a leaf that is full. */
    LEVEL_BYTES_MAX = IMAGE_PAGE_SIZE + 2 * (IMAGE_KEY_SIZE_MAX + 64),
    /* A page may complete one on each level above. */
    OUT_BYTES_MAX = 2 * IMAGE_CHUNK_SIZE + IMAGE_LEVELS_MAX * LEVEL_BYTES_MAX,
};

/* The open page of a level; level 0 is the leaves. */
struct level {
    uint32_t count;
    uint64_t bytes; /* as a page, header included */
    struct buf elements;
    struct buf data;
    struct buf first_key;
};

enum state {
    STATE_METAS,
    STATE_BUCKET, /* about to ask for the next one */
    STATE_RECORDS,
    STATE_VALUE, /* in the middle of one larger than a page */
    STATE_DONE,
};

struct image_writer {
    struct image_source source;
    bool dry; /* counts only */
    int failed;
    enum state state;
    uint64_t page_count; /* as measured */
    uint64_t next;       /* page */
    struct level levels[IMAGE_LEVELS_MAX];
    struct level root; /* the list of buckets */
    struct buf bucket;
    bool any_bucket;
    struct buf last_key;
    bool any_key;
    struct slice value; /* what of it is still to be written */
    size_t padding;     /* behind it */
    uint64_t value_page;
    struct buf out;
    size_t handed_out; /* of `out`, at its front */
};

static void level_init(struct level *l)
{
    buf_init(&l->elements, LEVEL_BYTES_MAX);
    buf_init(&l->data, LEVEL_BYTES_MAX);
    buf_init(&l->first_key, IMAGE_KEY_SIZE_MAX);
    l->count = 0;
    l->bytes = IMAGE_HEADER_SIZE;
}

static void level_reset(struct level *l)
{
    buf_reset(&l->elements, IMAGE_PAGE_SIZE);
    buf_reset(&l->data, IMAGE_PAGE_SIZE);
    l->count = 0;
    l->bytes = IMAGE_HEADER_SIZE;
}

static void level_release(struct level *l)
{
    buf_release(&l->elements);
    buf_release(&l->data);
    buf_release(&l->first_key);
}

struct image_writer *image_writer_new(const struct image_source *source,
                                      uint64_t bytes)
{
    struct image_writer *w = mem_zalloc(sizeof *w);
    w->source = *source;
    w->page_count = bytes / IMAGE_PAGE_SIZE;
    w->next = IMAGE_FIRST_PAGE;
    for (int i = 0; i < IMAGE_LEVELS_MAX; i++) {
        level_init(&w->levels[i]);
    }
    level_init(&w->root);
    buf_init(&w->bucket, IMAGE_KEY_SIZE_MAX);
    buf_init(&w->last_key, IMAGE_KEY_SIZE_MAX);
    buf_init(&w->out, OUT_BYTES_MAX);
    return w;
}

void image_writer_free(struct image_writer *w)
{
    if (w == NULL) {
        return;
    }
    for (int i = 0; i < IMAGE_LEVELS_MAX; i++) {
        level_release(&w->levels[i]);
    }
    level_release(&w->root);
    buf_release(&w->bucket);
    buf_release(&w->last_key);
    buf_release(&w->out);
    free(w);
}

/* --- output --- */

static int put(struct image_writer *w, const void *data, size_t size)
{
    return w->dry ? 0 : buf_append(&w->out, data, size);
}

static int put_zeros(struct image_writer *w, size_t size)
{
    if (w->dry) {
        return 0;
    }
    int err = buf_reserve(&w->out, size);
    if (err == 0 && size) {
        memset(w->out.data + w->out.size, 0, size);
        w->out.size += size;
    }
    return err;
}

static size_t padding_of(uint64_t bytes)
{
    return (size_t)(-bytes % IMAGE_PAGE_SIZE);
}

static int put_meta(struct image_writer *w, uint64_t id)
{
    uint8_t head[IMAGE_HEADER_SIZE];
    uint8_t meta[IMAGE_META_SIZE];
    image_head_encode(
        head, &(struct image_page_head){.id = id, .flags = IMAGE_PAGE_META});
    image_meta_encode(meta, &(struct image_meta){.page_size = IMAGE_PAGE_SIZE,
                                                 .root = w->page_count - 1,
                                                 .high_water = w->page_count,
                                                 .txid = id == 0 ? 2 : 1});
    int err = put(w, head, sizeof head);
    if (err == 0) {
        err = put(w, meta, sizeof meta);
    }
    return err < 0 ? err
                   : put_zeros(w, IMAGE_PAGE_SIZE - sizeof head - sizeof meta);
}

/* Takes the pages of `bytes` bytes and writes the header. The last page is
 * kept for the list of buckets. */
static int put_head(struct image_writer *w, uint16_t flags, uint32_t count,
                    uint64_t bytes, uint64_t *ret_page)
{
    uint64_t pages = (bytes + IMAGE_PAGE_SIZE - 1) / IMAGE_PAGE_SIZE;
    uint64_t limit = w->page_count;
    if (!w->dry && (pages > limit || w->next > limit - pages)) {
        return ERR_CORRUPT; /* more than was measured */
    }
    uint8_t head[IMAGE_HEADER_SIZE];
    image_head_encode(
        head, &(struct image_page_head){.id = w->next,
                                        .flags = flags,
                                        .count = (uint16_t)count,
                                        .overflow = (uint32_t)(pages - 1)});
    *ret_page = w->next;
    w->next += pages;
    return put(w, head, sizeof head);
}

/* Elements were added with pos relative to the start of the data. */
static int put_level(struct image_writer *w, struct level *l, bool leaf,
                     uint64_t *ret_page)
{
    int err = put_head(w, leaf ? IMAGE_PAGE_LEAF : IMAGE_PAGE_BRANCH, l->count,
                       l->bytes, ret_page);
    for (uint32_t i = 0; err == 0 && !w->dry && i < l->count; i++) {
        uint8_t *e = l->elements.data + (size_t)i * IMAGE_ELEMENT_SIZE;
        uint8_t *pos = leaf ? e + 4 : e;
        put_le32(pos, get_le32(pos) + (l->count - i) * IMAGE_ELEMENT_SIZE);
    }
    if (err == 0) {
        err = put(w, l->elements.data, l->elements.size);
    }
    if (err == 0) {
        err = put(w, l->data.data, l->data.size);
    }
    return err < 0 ? err : put_zeros(w, padding_of(l->bytes));
}

/* --- levels --- */

static int level_add(struct image_writer *w, struct level *l,
                     const uint8_t element[IMAGE_ELEMENT_SIZE],
                     struct slice key, struct slice value)
{
    int err = 0;
    if (l->count == 0) {
        buf_reset(&l->first_key, IMAGE_KEY_SIZE_MAX);
        err = buf_append_slice(&l->first_key, key);
    }
    l->count++;
    l->bytes += IMAGE_ELEMENT_SIZE + key.size + value.size;
    if (w->dry || err < 0) {
        return err;
    }
    err = buf_append(&l->elements, element, IMAGE_ELEMENT_SIZE);
    if (err == 0) {
        err = buf_append_slice(&l->data, key);
    }
    return err < 0 ? err : buf_append_slice(&l->data, value);
}

static int leaf_add(struct image_writer *w, struct level *l, uint32_t flags,
                    struct slice key, struct slice value)
{
    uint8_t e[IMAGE_ELEMENT_SIZE];
    put_le32(e, flags);
    put_le32(e + 4, (uint32_t)l->data.size);
    put_le32(e + 8, (uint32_t)key.size);
    put_le32(e + 12, (uint32_t)value.size);
    return level_add(w, l, e, key, value);
}

static int add_child(struct image_writer *w, int at, struct slice key,
                     uint64_t child);

/* Writes the open page of a level and tells the level above. */
static int emit(struct image_writer *w, int at)
{
    struct level *l = &w->levels[at];
    uint64_t page;
    int err = put_level(w, l, at == 0, &page);
    if (err == 0) {
        err = add_child(w, at + 1, buf_slice(&l->first_key), page);
    }
    level_reset(l);
    return err;
}

/* A branch page waits for its second child however long the keys are:
 * with one child each, the levels would never come together. */
static int add_child(struct image_writer *w, int at, struct slice key,
                     uint64_t child)
{
    if (at >= IMAGE_LEVELS_MAX) {
        return ERR_TOO_LARGE;
    }
    struct level *l = &w->levels[at];
    if (l->count >= 2 &&
        l->bytes + IMAGE_ELEMENT_SIZE + key.size > IMAGE_PAGE_SIZE) {
        int err = emit(w, at);
        if (err < 0) {
            return err;
        }
    }
    uint8_t e[IMAGE_ELEMENT_SIZE];
    put_le32(e, (uint32_t)l->data.size);
    put_le32(e + 4, (uint32_t)key.size);
    put_le64(e + 8, child);
    return level_add(w, l, e, key, slice_of(NULL, 0));
}

/* A record larger than a page stands alone; its value goes out in pieces,
 * as it is borrowed until the source is asked again. */
static int begin_large(struct image_writer *w, struct slice key,
                       struct slice value)
{
    uint64_t bytes = IMAGE_HEADER_SIZE + IMAGE_ELEMENT_SIZE + key.size +
                     (uint64_t)value.size;
    uint8_t e[IMAGE_ELEMENT_SIZE];
    uint64_t page = 0;
    put_le32(e, 0);
    put_le32(e + 4, IMAGE_ELEMENT_SIZE);
    put_le32(e + 8, (uint32_t)key.size);
    put_le32(e + 12, (uint32_t)value.size);
    int err = put_head(w, IMAGE_PAGE_LEAF, 1, bytes, &page);
    if (err == 0) {
        err = put(w, e, sizeof e);
    }
    if (err == 0) {
        err = put(w, key.data, key.size);
    }
    w->value = value;
    w->value_page = page;
    w->padding = padding_of(bytes);
    w->state = STATE_VALUE;
    return err;
}

static int add_record(struct image_writer *w, struct slice key,
                      struct slice value)
{
    struct level *leaf = &w->levels[0];
    uint64_t bytes = IMAGE_ELEMENT_SIZE + key.size + (uint64_t)value.size;
    int err = 0;
    if (leaf->count && leaf->bytes + bytes > IMAGE_PAGE_SIZE) {
        err = emit(w, 0);
    }
    if (err < 0) {
        return err;
    }
    return IMAGE_HEADER_SIZE + bytes > IMAGE_PAGE_SIZE
               ? begin_large(w, key, value)
               : leaf_add(w, leaf, 0, key, value);
}

/* --- steps --- */

static int check_key(struct buf *last, bool *any, struct slice key)
{
    if (key.size == 0 || (*any && slice_cmp(buf_slice(last), key) >= 0)) {
        return ERR_INVALID;
    }
    if (key.size > IMAGE_KEY_SIZE_MAX) {
        return ERR_TOO_LARGE;
    }
    *any = true;
    buf_reset(last, IMAGE_KEY_SIZE_MAX);
    return buf_append_slice(last, key);
}

/* The page above which there is nothing: the bucket's root. */
static int close_levels(struct image_writer *w, uint64_t *ret_root)
{
    int err = 0;
    if (w->levels[0].count || w->levels[1].count == 0) {
        if (w->levels[0].count == 0) {
            w->levels[0].first_key.size = 0;
        }
        err = emit(w, 0); /* an empty bucket is an empty leaf */
    }
    int at = 1;
    while (err == 0 &&
           !(w->levels[at].count == 1 &&
             (at + 1 == IMAGE_LEVELS_MAX || w->levels[at + 1].count == 0))) {
        err = emit(w, at++);
    }
    if (err == 0 && !w->dry) {
        *ret_root = get_le64(w->levels[at].elements.data + 8);
    }
    level_reset(&w->levels[at]);
    return err;
}

static int end_bucket(struct image_writer *w)
{
    uint64_t root = 0;
    int err = close_levels(w, &root);
    if (err < 0) {
        return err;
    }
    uint8_t bucket[IMAGE_BUCKET_SIZE];
    put_le64(bucket, root);
    put_le64(bucket + 8, 0);
    uint64_t more = IMAGE_ELEMENT_SIZE + w->bucket.size + sizeof bucket;
    if (w->root.bytes + more > IMAGE_PAGE_SIZE) {
        return ERR_TOO_LARGE;
    }
    w->state = STATE_BUCKET;
    return leaf_add(w, &w->root, IMAGE_ELEMENT_BUCKET, buf_slice(&w->bucket),
                    slice_of(bucket, sizeof bucket));
}

static int end_image(struct image_writer *w)
{
    uint64_t page;
    int err = put_level(w, &w->root, true, &page);
    w->state = STATE_DONE;
    if (err == 0 && !w->dry && w->next != w->page_count) {
        return ERR_CORRUPT; /* less than was measured */
    }
    return err;
}

static int begin_image(struct image_writer *w)
{
    int err = w->source.rewind(w->source.ctx);
    if (err == 0 && !w->dry && w->page_count <= IMAGE_FIRST_PAGE) {
        err = ERR_CORRUPT;
    }
    for (uint64_t id = 0; err == 0 && id < IMAGE_FIRST_PAGE; id++) {
        err = put_meta(w, id);
    }
    w->state = STATE_BUCKET;
    return err;
}

static int next_bucket(struct image_writer *w)
{
    struct slice name;
    int err = w->source.next_bucket(w->source.ctx, &name);
    if (err == ERR_NOT_FOUND) {
        return end_image(w);
    }
    if (err == 0) {
        err = check_key(&w->bucket, &w->any_bucket, name);
    }
    w->any_key = false;
    w->state = STATE_RECORDS;
    return err;
}

static int next_record(struct image_writer *w)
{
    struct slice key, value;
    int err = w->source.next_record(w->source.ctx, &key, &value);
    if (err == ERR_NOT_FOUND) {
        return end_bucket(w);
    }
    if (err == 0) {
        err = check_key(&w->last_key, &w->any_key, key);
    }
    if (err == 0 && value.size > IMAGE_VALUE_SIZE_MAX) {
        err = ERR_TOO_LARGE;
    }
    return err < 0 ? err : add_record(w, key, value);
}

static int next_piece(struct image_writer *w)
{
    size_t size = w->dry || w->value.size < IMAGE_CHUNK_SIZE ? w->value.size
                                                             : IMAGE_CHUNK_SIZE;
    int err = put(w, w->value.data, size);
    w->value.data += size;
    w->value.size -= size;
    if (err == 0 && w->value.size == 0) {
        /* Only now: this may write the page of the level above. */
        w->state = STATE_RECORDS;
        err = put_zeros(w, w->padding);
        if (err == 0) {
            err = add_child(w, 1, buf_slice(&w->last_key), w->value_page);
        }
    }
    return err;
}

static int step(struct image_writer *w)
{
    switch (w->state) {
    case STATE_METAS:
        return begin_image(w);
    case STATE_BUCKET:
        return next_bucket(w);
    case STATE_RECORDS:
        return next_record(w);
    case STATE_VALUE:
        return next_piece(w);
    case STATE_DONE:
        break;
    }
    return ERR_NOT_FOUND;
}

int image_writer_next(struct image_writer *w, struct slice *ret_chunk)
{
    if (w->out.size - w->handed_out < IMAGE_CHUNK_SIZE) {
        buf_consume(&w->out, w->handed_out);
        w->handed_out = 0;
    }
    while (w->failed == 0 && w->state != STATE_DONE &&
           w->out.size - w->handed_out < IMAGE_CHUNK_SIZE) {
        w->failed = step(w);
    }
    if (w->failed < 0) {
        return w->failed;
    }
    size_t size = w->out.size - w->handed_out;
    if (size == 0) {
        return ERR_NOT_FOUND;
    }
    if (size > IMAGE_CHUNK_SIZE) {
        size = IMAGE_CHUNK_SIZE;
    }
    *ret_chunk = slice_of(w->out.data + w->handed_out, size);
    w->handed_out += size;
    return 0;
}

int image_write(const struct image_source *source, uint64_t bytes,
                const struct image_sink *sink)
{
    struct image_writer *w = image_writer_new(source, bytes);
    int err = 0;
    while (err == 0) {
        struct slice chunk;
        err = image_writer_next(w, &chunk);
        if (err == ERR_NOT_FOUND && w->failed == 0) {
            err = 0;
            break;
        }
        if (err == 0) {
            err = sink->write(sink->ctx, chunk);
        }
    }
    image_writer_free(w);
    return err;
}

int image_measure(const struct image_source *source, uint64_t *ret_bytes)
{
    struct image_writer *w = image_writer_new(source, 0);
    w->dry = true;
    int err = 0;
    while (err == 0 && w->state != STATE_DONE) {
        err = step(w);
    }
    if (err == 0) {
        *ret_bytes = w->next * IMAGE_PAGE_SIZE;
    }
    image_writer_free(w);
    return err;
}
