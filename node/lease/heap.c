#include <assert.h>
#include <stdlib.h>

#include "state.h"

enum { HEAP_MIN = 64 };

void lease_heap_release(struct lease_heap *h)
{
    for (size_t i = 0; i < h->count; i++) {
        h->slots[i]->slot = LEASE_NO_SLOT;
    }
    free(h->slots);
    *h = (struct lease_heap){0};
}

static void place(struct lease_heap *h, size_t slot, struct lease *lease)
{
    h->slots[slot] = lease;
    lease->slot = (ptrdiff_t)slot;
}

static void sift_up(struct lease_heap *h, struct lease *lease)
{
    size_t slot = (size_t)lease->slot;
    while (slot > 0) {
        size_t parent = (slot - 1) / 2;
        if (h->slots[parent]->due_ms <= lease->due_ms) {
            break;
        }
        place(h, slot, h->slots[parent]);
        slot = parent;
    }
    place(h, slot, lease);
}

static void sift_down(struct lease_heap *h, struct lease *lease)
{
    size_t slot = (size_t)lease->slot;
    for (;;) {
        size_t child = 2 * slot + 1;
        if (child + 1 < h->count &&
            h->slots[child + 1]->due_ms < h->slots[child]->due_ms) {
            child++;
        }
        if (child >= h->count || h->slots[child]->due_ms >= lease->due_ms) {
            break;
        }
        place(h, slot, h->slots[child]);
        slot = child;
    }
    place(h, slot, lease);
}

void lease_heap_moved(struct lease_heap *h, struct lease *lease)
{
    assert(lease->slot != LEASE_NO_SLOT);
    sift_up(h, lease);
    sift_down(h, lease);
}

void lease_heap_push(struct lease_heap *h, struct lease *lease)
{
    assert(lease->slot == LEASE_NO_SLOT);
    if (h->count == h->capacity) {
        h->capacity = h->capacity ? h->capacity * 2 : HEAP_MIN;
        h->slots = mem_realloc(h->slots, h->capacity * sizeof *h->slots);
    }
    place(h, h->count++, lease);
    sift_up(h, lease);
}

void lease_heap_remove(struct lease_heap *h, struct lease *lease)
{
    if (lease->slot == LEASE_NO_SLOT) {
        return;
    }
    size_t slot = (size_t)lease->slot;
    struct lease *last = h->slots[--h->count];
    lease->slot = LEASE_NO_SLOT;
    if (last != lease) {
        place(h, slot, last);
        lease_heap_moved(h, last);
    }
}
