/*
 * Memory. Sizes that come from outside are checked against a limit before
 * memory is asked for; then running out of it is fatal and aborts, so no
 * caller tests for NULL.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
void *mem_realloc(void *old, size_t size);
void *mem_dup(const void *data, size_t size);
char *mem_strdup(const char *text);
/* printf into fresh memory; the caller frees it with free(). */
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For a server: freed memory is kept for the next to ask, until mem_trim()
 * gives back what nobody uses. Any thread. */
void mem_keep_freed(void);
void mem_trim(void);

#define container_of(ptr, type, member) \
    ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
