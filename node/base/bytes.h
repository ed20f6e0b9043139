/*
 * Shared, immutable, reference-counted bytes: one allocation, header and
 * content together. Counting is atomic, because the WAL and store threads
 * drop references that the loop took.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdatomic.h>

#include "slice.h"

struct bytes {
    atomic_uint refs;
    uint32_t size; /* bytes; a wire size, never near 4 GiB */
    uint8_t data[];
};

/* One reference, uninitialised content of `size` bytes to fill before
 * anyone else sees it. */
struct bytes *bytes_new(size_t size);
struct bytes *bytes_copy(struct slice s);

static inline struct bytes *bytes_ref(struct bytes *b)
{
    if (b) {
        atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    }
    return b;
}

/* NULL is fine. */
void bytes_unref(struct bytes *b);

static inline struct slice bytes_slice(const struct bytes *b)
{
    return b ? slice_of(b->data, b->size) : (struct slice){NULL, 0};
}

#endif
