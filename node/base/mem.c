#include "mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *check(void *p)
{
    if (p == NULL) {
        fputs("cofre: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size)
{
    return check(malloc(size ? size : 1));
}

void *mem_zalloc(size_t size)
{
    return check(calloc(1, size ? size : 1));
}

void *mem_realloc(void *old, size_t size)
{
    return check(realloc(old, size ? size : 1));
}

void *mem_dup(const void *data, size_t size)
{
    void *copy = mem_alloc(size);
    if (size) {
        memcpy(copy, data, size);
    }
    return copy;
}

char *mem_strdup(const char *text)
{
    return mem_dup(text, strlen(text) + 1);
}

char *mem_printf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    return n < 0 ? check(NULL) : text;
}

enum {
    KEPT_BYTES_MAX = 64 << 20,  /* free at the heap's end, between two trims */
    MAPPED_BYTES_MIN = 4 << 20, /* larger pieces come from the system, and go */
};

void mem_keep_freed(void)
{
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES_MAX);
    mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
}

void mem_trim(void)
{
    malloc_trim(0);
}
