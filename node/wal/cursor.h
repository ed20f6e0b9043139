/*
 * Reads one segment through a window, so that a replay costs no more memory
 * than its largest frame, and skips what was never written.
 */
#ifndef WAL_CURSOR_H
#define WAL_CURSOR_H

#include <stddef.h>
#include <stdint.h>

enum { WAL_WINDOW_SIZE = 1024 * 1024 };

struct wal_cursor {
    int fd;
    uint64_t file_bytes;
    uint8_t *window;
    size_t capacity;
    uint64_t start; /* offset of the window */
    size_t filled;
};

/* All zero is a cursor with no file; the window is kept between files. */
void wal_cursor_set(struct wal_cursor *c, int fd, uint64_t file_bytes);
void wal_cursor_release(struct wal_cursor *c);

/* `size` bytes at `offset`, which the file has; borrowed until the next
 * call. ERR_IO, errno set. */
int wal_cursor_need(struct wal_cursor *c, uint64_t offset, size_t size,
                    const uint8_t **ret_bytes);

/* The first offset at or behind `offset` that may hold anything but zeros;
 * the file's size when there is none. */
uint64_t wal_cursor_skip_hole(struct wal_cursor *c, uint64_t offset);

/* The offset behind the last byte that is not zero, at or behind `from`;
 * `from` when all are zero. ERR_IO, errno set. */
int wal_cursor_used(struct wal_cursor *c, uint64_t from, uint64_t *ret_end);

#endif
