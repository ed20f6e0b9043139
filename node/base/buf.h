/*
 * Owned, growing bytes with a maximum set at birth. Idiom: init, append,
 * release; detach hands the memory out, attach takes some over.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "slice.h"

struct buf {
    uint8_t *data;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
    size_t max;      /* size never passes this */
};

#define BUF_INIT(limit) \
    {                   \
        .max = (limit)  \
    }

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b);

/* Forgets the content, keeps the memory unless it is more than `keep`. */
void buf_reset(struct buf *b, size_t keep);

/* Room for `more` bytes behind the content; the caller writes at
 * data + size and then adds to size. ERR_TOO_LARGE past the maximum. */
int buf_reserve(struct buf *b, size_t more);

/* ERR_TOO_LARGE past the maximum; then nothing is appended. */
int buf_append(struct buf *b, const void *data, size_t size);
int buf_append_slice(struct buf *b, struct slice s);
int buf_append_str(struct buf *b, const char *text);
int buf_append_byte(struct buf *b, uint8_t byte);
int buf_printf(struct buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Drops `size` bytes at the front (moves the rest down). */
void buf_consume(struct buf *b, size_t size);

/* Hands the memory to the caller, who frees it with free(). */
uint8_t *buf_detach(struct buf *b, size_t *ret_size);

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->data, b->size);
}

#endif
