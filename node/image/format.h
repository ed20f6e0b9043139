/*
 * The bbolt file format, little endian, as far as it is needed: pure.
 *
 * page  0 u64 id  8 u16 flags  10 u16 count  12 u32 overflow (further pages)
 *       16 elements, then keys and values
 * leaf element    0 u32 flags  4 u32 pos  8 u32 key size  12 u32 value size
 * branch element  0 u32 pos    4 u32 key size             8 u64 child id
 *                 pos counts from the element's own first byte
 * meta  (at 16 of page 0 and 1)
 *       0 u32 magic  4 u32 version  8 u32 page size  12 u32 flags
 *       16 u64 root  24 u64 root's sequence  32 u64 free list
 *       40 u64 high water  48 u64 txid  56 u64 FNV-1a of 0..55
 * bucket (value of an element with flag 1)
 *       0 u64 root  8 u64 sequence  16 when root is 0: a leaf page
 */
#ifndef IMAGE_FORMAT_H
#define IMAGE_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    IMAGE_HEADER_SIZE = 16,  /* of a page */
    IMAGE_ELEMENT_SIZE = 16, /* leaf and branch alike */
    IMAGE_META_SIZE = 64,
    IMAGE_BUCKET_SIZE = 16,
    IMAGE_PAGE_BRANCH = 1,
    IMAGE_PAGE_LEAF = 2,
    IMAGE_PAGE_META = 4,
    IMAGE_ELEMENT_BUCKET = 1,
    IMAGE_FIRST_PAGE = 2,  /* behind the metas */
    IMAGE_LEVELS_MAX = 48, /* two children each: more than any file has */
    IMAGE_COUNT_MAX = 0xfffe,
};

#define IMAGE_VALUE_SIZE_MAX 0x7ffffffeu

struct image_meta {
    uint32_t page_size;
    uint64_t root;
    uint64_t high_water; /* pages of the file */
    uint64_t txid;
};

struct image_page_head {
    uint64_t id;
    uint16_t flags;
    uint16_t count;
    uint32_t overflow;
};

struct image_element {
    bool is_bucket;
    struct slice key;
    struct slice value; /* leaf */
    uint64_t child;     /* branch */
};

/* No free list is stored: what the root does not reach is free. */
void image_meta_encode(uint8_t to[IMAGE_META_SIZE],
                       const struct image_meta *meta);
/* False for another magic, version or checksum. */
bool image_meta_decode(const uint8_t from[IMAGE_META_SIZE],
                       struct image_meta *ret_meta);

void image_head_encode(uint8_t to[IMAGE_HEADER_SIZE],
                       const struct image_page_head *head);
struct image_page_head image_head_decode(const uint8_t from[IMAGE_HEADER_SIZE]);

/* Element `i` of a page of `head`; false when it is not inside the page,
 * or its flags are unknown. */
bool image_element_decode(struct slice page, const struct image_page_head *head,
                          uint32_t i, struct image_element *ret_element);

#endif
