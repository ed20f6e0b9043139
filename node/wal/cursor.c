#include "wal/cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "wal/codec.h"

void wal_cursor_set(struct wal_cursor *c, int fd, uint64_t file_bytes)
{
    c->fd = fd;
    c->file_bytes = file_bytes;
    c->filled = 0;
}

void wal_cursor_release(struct wal_cursor *c)
{
    free(c->window);
    *c = (struct wal_cursor){.fd = -1};
}

static int fill(struct wal_cursor *c, uint64_t offset, size_t size)
{
    size_t most = size < WAL_WINDOW_SIZE ? WAL_WINDOW_SIZE : size;
    if (c->capacity < most) {
        free(c->window);
        c->window = mem_alloc(most);
        c->capacity = most;
    }
    c->start = offset;
    c->filled = 0;
    while (c->filled < size) {
        ssize_t n = pread(c->fd, c->window + c->filled, most - c->filled,
                          (off_t)(offset + c->filled));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return ERR_IO;
        }
        c->filled += (size_t)n;
    }
    return 0;
}

int wal_cursor_need(struct wal_cursor *c, uint64_t offset, size_t size,
                    const uint8_t **ret_bytes)
{
    if (offset < c->start || offset + size > c->start + c->filled) {
        int err = fill(c, offset, size);
        if (err < 0) {
            return err;
        }
    }
    *ret_bytes = c->window + (offset - c->start);
    return 0;
}

uint64_t wal_cursor_skip_hole(struct wal_cursor *c, uint64_t offset)
{
    off_t data = lseek(c->fd, (off_t)offset, SEEK_DATA);
    if (data >= 0) {
        return (uint64_t)data;
    }
    return errno == ENXIO ? c->file_bytes : offset;
}

int wal_cursor_used(struct wal_cursor *c, uint64_t from, uint64_t *ret_end)
{
    uint64_t end = from;
    uint64_t at = from;
    while ((at = wal_cursor_skip_hole(c, at)) < c->file_bytes) {
        uint64_t rest = c->file_bytes - at;
        size_t size = rest < WAL_WINDOW_SIZE ? (size_t)rest : WAL_WINDOW_SIZE;
        const uint8_t *p;
        int err = wal_cursor_need(c, at, size, &p);
        if (err < 0) {
            return err;
        }
        if (!wal_is_zero(slice_of(p, size))) {
            size_t used = size;
            while (p[used - 1] == 0) {
                used--;
            }
            end = at + used;
        }
        at += size;
    }
    *ret_end = end;
    return 0;
}
