/*
 * Intrusive hash table: chains of links that stand inside the caller's
 * structs. The caller hashes and compares; the table only finds candidates
 * of the same hash.
 *
 *   for (struct table_link *t = table_find(&m, hash); t; t = table_next(t))
 *       if (same(container_of(t, struct thing, link), key)) ...
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include <stdint.h>

#include "mem.h"
#include "slice.h"

struct table_link {
    struct table_link *next;
    uint64_t hash;
};

struct table {
    struct table_link **slots;
    size_t slot_count; /* power of two, or 0 */
    size_t count;
};

/* Frees the slots, not what was linked. */
void table_release(struct table *t);
void table_add(struct table *t, struct table_link *link, uint64_t hash);
/* The link must be in the table. */
void table_remove(struct table *t, struct table_link *link);
/* First link of that hash, NULL: none; table_next() gives the others. */
struct table_link *table_find(const struct table *t, uint64_t hash);
struct table_link *table_next(const struct table_link *link);

uint64_t table_hash(struct slice s);
uint64_t table_hash_u64(uint64_t a, uint64_t b);

#endif
