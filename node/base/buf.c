#include "buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "err.h"
#include "mem.h"

enum { BUF_MIN = 64 };

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf)BUF_INIT(max);
}

void buf_release(struct buf *b)
{
    free(b->data);
    *b = (struct buf)BUF_INIT(b->max);
}

void buf_reset(struct buf *b, size_t keep)
{
    if (b->capacity > keep) {
        buf_release(b);
    }
    b->size = 0;
}

int buf_reserve(struct buf *b, size_t more)
{
    if (more > b->max || b->size > b->max - more) {
        return ERR_TOO_LARGE;
    }
    size_t need = b->size + more;
    if (need <= b->capacity) {
        return 0;
    }
    size_t capacity = b->capacity ? b->capacity : BUF_MIN;
    while (capacity < need) {
        capacity *= 2;
    }
    if (capacity > b->max) {
        capacity = b->max;
    }
    b->data = mem_realloc(b->data, capacity);
    b->capacity = capacity;
    return 0;
}

int buf_append(struct buf *b, const void *data, size_t size)
{
    int err = buf_reserve(b, size);
    if (err == 0 && size) {
        memcpy(b->data + b->size, data, size);
        b->size += size;
    }
    return err;
}

int buf_append_slice(struct buf *b, struct slice s)
{
    return buf_append(b, s.data, s.size);
}

int buf_append_str(struct buf *b, const char *text)
{
    return buf_append(b, text, strlen(text));
}

int buf_append_byte(struct buf *b, uint8_t byte)
{
    return buf_append(b, &byte, 1);
}

int buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    int err = n < 0 ? ERR_INVALID : buf_reserve(b, (size_t)n + 1);
    if (err == 0) {
        vsnprintf((char *)b->data + b->size, (size_t)n + 1, format, again);
        b->size += (size_t)n;
    }
    va_end(again);
    return err;
}

void buf_consume(struct buf *b, size_t size)
{
    assert(size <= b->size);
    b->size -= size;
    if (b->size && size) {
        memmove(b->data, b->data + size, b->size);
    }
}

uint8_t *buf_detach(struct buf *b, size_t *ret_size)
{
    uint8_t *data = b->data;
    *ret_size = b->size;
    *b = (struct buf)BUF_INIT(b->max);
    return data;
}
