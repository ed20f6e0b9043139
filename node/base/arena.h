/*
 * One arena a call: everything a request allocates is freed in one go.
 * Blocks are chained; the first is kept over a reset, so that a steady
 * stream of small calls allocates nothing.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "slice.h"

struct arena_block;

struct arena {
    struct arena_block *head; /* block in use, then older ones */
    char *next;
    char *end;
    size_t used; /* bytes handed out since the last reset */
};

void arena_init(struct arena *a);
void arena_release(struct arena *a);
void arena_reset(struct arena *a);

/* Aligned to 16 bytes, uninitialised; lives until reset or release. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_zalloc(struct arena *a, size_t size);
void *arena_dup(struct arena *a, const void *data, size_t size);
char *arena_strdup(struct arena *a, const char *text);
struct slice arena_slice(struct arena *a, struct slice s);
char *arena_printf(struct arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
