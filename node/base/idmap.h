/*
 * Open-addressing map from a non-zero 64-bit id to a pointer. Grows and
 * shrinks with its content.
 */
#ifndef BASE_IDMAP_H
#define BASE_IDMAP_H

#include <stddef.h>
#include <stdint.h>

struct idmap_slot {
    uint64_t id; /* 0: free */
    void *value;
};

struct idmap {
    struct idmap_slot *slots;
    size_t capacity; /* power of two, or 0 */
    size_t count;
};

void idmap_release(struct idmap *m);
/* Replaces the value of a known id. */
void idmap_put(struct idmap *m, uint64_t id, void *value);
void *idmap_get(const struct idmap *m, uint64_t id); /* NULL: none */
void *idmap_take(struct idmap *m, uint64_t id);      /* get and remove */

#endif
