#include "bytes.h"

#include <assert.h>
#include <stdlib.h>

#include "mem.h"

struct bytes *bytes_new(size_t size)
{
    assert(size <= UINT32_MAX);
    struct bytes *b = mem_alloc(sizeof *b + size);
    atomic_init(&b->refs, 1);
    b->size = (uint32_t)size;
    return b;
}

struct bytes *bytes_copy(struct slice s)
{
    struct bytes *b = bytes_new(s.size);
    if (s.size) {
        memcpy(b->data, s.data, s.size);
    }
    return b;
}

void bytes_unref(struct bytes *b)
{
    if (b &&
        atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1) {
        free(b);
    }
}
