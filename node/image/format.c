#include "image/format.h"

#include "base/endian.h"
#include "image/image.h"

#define MAGIC 0xed0cdaedu
#define VERSION 2u
#define FREE_LIST_NONE UINT64_MAX

static uint64_t fnv1a(const uint8_t *p, size_t size)
{
    uint64_t h = 0xcbf29ce484222325u;
    while (size--) {
        h = (h ^ *p++) * 0x100000001b3u;
    }
    return h;
}

void image_meta_encode(uint8_t to[IMAGE_META_SIZE],
                       const struct image_meta *meta)
{
    memset(to, 0, IMAGE_META_SIZE);
    put_le32(to, MAGIC);
    put_le32(to + 4, VERSION);
    put_le32(to + 8, meta->page_size);
    put_le64(to + 16, meta->root);
    put_le64(to + 32, FREE_LIST_NONE);
    put_le64(to + 40, meta->high_water);
    put_le64(to + 48, meta->txid);
    put_le64(to + 56, fnv1a(to, 56));
}

bool image_meta_decode(const uint8_t from[IMAGE_META_SIZE],
                       struct image_meta *ret_meta)
{
    if (get_le32(from) != MAGIC || get_le32(from + 4) != VERSION ||
        get_le64(from + 56) != fnv1a(from, 56)) {
        return false;
    }
    *ret_meta = (struct image_meta){.page_size = get_le32(from + 8),
                                    .root = get_le64(from + 16),
                                    .high_water = get_le64(from + 40),
                                    .txid = get_le64(from + 48)};
    return true;
}

void image_head_encode(uint8_t to[IMAGE_HEADER_SIZE],
                       const struct image_page_head *head)
{
    put_le64(to, head->id);
    put_le16(to + 8, head->flags);
    put_le16(to + 10, head->count);
    put_le32(to + 12, head->overflow);
}

struct image_page_head image_head_decode(const uint8_t from[IMAGE_HEADER_SIZE])
{
    return (struct image_page_head){.id = get_le64(from),
                                    .flags = get_le16(from + 8),
                                    .count = get_le16(from + 10),
                                    .overflow = get_le32(from + 12)};
}

bool image_element_decode(struct slice page, const struct image_page_head *head,
                          uint32_t i, struct image_element *ret_element)
{
    uint64_t at = IMAGE_HEADER_SIZE + (uint64_t)i * IMAGE_ELEMENT_SIZE;
    uint64_t array_end =
        IMAGE_HEADER_SIZE + (uint64_t)head->count * IMAGE_ELEMENT_SIZE;
    if (i >= head->count || array_end > page.size) {
        return false;
    }
    const uint8_t *e = page.data + at;
    bool leaf = head->flags == IMAGE_PAGE_LEAF;
    uint32_t flags = leaf ? get_le32(e) : 0;
    uint64_t data = at + get_le32(leaf ? e + 4 : e);
    uint64_t key_size = get_le32(leaf ? e + 8 : e + 4);
    uint64_t value_size = leaf ? get_le32(e + 12) : 0;
    if ((flags & ~(uint32_t)IMAGE_ELEMENT_BUCKET) || key_size == 0 ||
        key_size > IMAGE_KEY_SIZE_MAX || data < array_end ||
        data + key_size + value_size > page.size) {
        return false;
    }
    const uint8_t *key = page.data + data;
    *ret_element = (struct image_element){
        .is_bucket = flags == IMAGE_ELEMENT_BUCKET,
        .key = slice_of(key, (size_t)key_size),
        .value = slice_of(key + key_size, (size_t)value_size),
        .child = leaf ? 0 : get_le64(e + 8),
    };
    return true;
}
