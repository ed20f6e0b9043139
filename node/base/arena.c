#include "arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "mem.h"

enum { ARENA_BLOCK = 4096 - 64, ARENA_ALIGN = 16 };

struct arena_block {
    struct arena_block *older;
    size_t size;
    _Alignas(ARENA_ALIGN) char data[];
};

void arena_init(struct arena *a)
{
    *a = (struct arena){0};
}

static void use(struct arena *a, struct arena_block *b)
{
    a->head = b;
    a->next = b ? b->data : NULL;
    a->end = b ? b->data + b->size : NULL;
}

void arena_release(struct arena *a)
{
    while (a->head) {
        struct arena_block *older = a->head->older;
        free(a->head);
        a->head = older;
    }
    arena_init(a);
}

void arena_reset(struct arena *a)
{
    struct arena_block *b = a->head;
    while (b && b->older) {
        struct arena_block *older = b->older;
        free(b);
        b = older;
    }
    if (b && b->size > ARENA_BLOCK) {
        free(b);
        b = NULL;
    }
    use(a, b);
    a->used = 0;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if ((size_t)(a->end - a->next) < size) {
        size_t block = size > ARENA_BLOCK ? size : ARENA_BLOCK;
        struct arena_block *b = mem_alloc(sizeof *b + block);
        b->size = block;
        b->older = a->head;
        use(a, b);
    }
    void *p = a->next;
    a->next += size;
    a->used += size;
    return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    return memset(arena_alloc(a, size), 0, size);
}

void *arena_dup(struct arena *a, const void *data, size_t size)
{
    void *copy = arena_alloc(a, size);
    if (size) {
        memcpy(copy, data, size);
    }
    return copy;
}

char *arena_strdup(struct arena *a, const char *text)
{
    return arena_dup(a, text, strlen(text) + 1);
}

struct slice arena_slice(struct arena *a, struct slice s)
{
    return slice_of(arena_dup(a, s.data, s.size), s.size);
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) {
        va_end(again);
        abort();
    }
    char *text = arena_alloc(a, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}
