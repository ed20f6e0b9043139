#include "wal/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "wal/io.h"

void wal_segment_name(char to[WAL_SEGMENT_NAME_SIZE],
                      const struct wal_segment *segment)
{
    snprintf(to, WAL_SEGMENT_NAME_SIZE, "%016" PRIx64 "-%016" PRIx64 ".wal",
             segment->sequence, segment->first_index);
}

static bool parse_name(const char *name, struct wal_segment *ret_segment)
{
    struct wal_segment segment;
    char again[WAL_SEGMENT_NAME_SIZE];
    if (sscanf(name, "%16" SCNx64 "-%16" SCNx64 ".wal", &segment.sequence,
               &segment.first_index) != 2) {
        return false;
    }
    wal_segment_name(again, &segment);
    *ret_segment = segment;
    return strcmp(again, name) == 0;
}

void wal_segments_add(struct wal_segments *s, struct wal_segment segment)
{
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 8;
        s->items = mem_realloc(s->items, s->capacity * sizeof *s->items);
    }
    s->items[s->count++] = segment;
}

void wal_segments_drop_first(struct wal_segments *s)
{
    s->count--;
    memmove(s->items, s->items + 1, s->count * sizeof *s->items);
}

void wal_segments_release(struct wal_segments *s)
{
    free(s->items);
    *s = (struct wal_segments){0};
}

static int by_sequence(const void *a, const void *b)
{
    const struct wal_segment *x = a, *y = b;
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

int wal_segments_list(int dir_fd, struct wal_segments *ret_segments)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        int saved = errno;
        if (fd >= 0) {
            close(fd);
        }
        errno = saved;
        return ERR_IO;
    }
    struct wal_segments found = {0};
    struct wal_segment segment;
    struct dirent *item;
    while (errno = 0, (item = readdir(dir)) != NULL) {
        if (parse_name(item->d_name, &segment)) {
            wal_segments_add(&found, segment);
        }
    }
    int saved = errno;
    closedir(dir);
    if (saved) {
        wal_segments_release(&found);
        errno = saved;
        return ERR_IO;
    }
    if (found.count) {
        qsort(found.items, found.count, sizeof *found.items, by_sequence);
    }
    *ret_segments = found;
    return 0;
}

int wal_segment_prepare(int dir_fd, uint64_t bytes, int *ret_fd)
{
    int fd = openat(dir_fd, WAL_SEGMENT_PREPARED,
                    O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return wal_io_error(errno);
    }
    int err = wal_io_reserve(fd, bytes);
    if (err < 0) {
        /* What was reserved is given back: a full disk has better uses. */
        int saved = errno;
        close(fd);
        unlinkat(dir_fd, WAL_SEGMENT_PREPARED, 0);
        errno = saved;
        return err;
    }
    *ret_fd = fd;
    return 0;
}

int wal_directory_sync(int dir_fd, bool no_fsync)
{
    return no_fsync || fsync(dir_fd) == 0 ? 0 : wal_io_error(errno);
}

int wal_segment_begin(int dir_fd, int fd, const struct wal_header *header,
                      bool no_fsync, uint64_t *ret_end)
{
    struct buf bytes;
    buf_init(&bytes, wal_header_size(WAL_CONF_SIZE_MAX));
    wal_header_encode(&bytes, header);
    struct iovec iov = {bytes.data, bytes.size};
    uint64_t end = bytes.size;
    int err = wal_io_write(fd, &iov, 1, 0);
    int saved = errno;
    buf_release(&bytes);
    errno = saved;
    if (err < 0) {
        return err;
    }
    err = no_fsync ? 0 : wal_io_sync(fd);
    if (err < 0) {
        return err;
    }
    char name[WAL_SEGMENT_NAME_SIZE];
    wal_segment_name(name, &(struct wal_segment){header->sequence,
                                                 header->tail.last_index + 1});
    if (renameat(dir_fd, WAL_SEGMENT_PREPARED, dir_fd, name) < 0) {
        return wal_io_error(errno);
    }
    err = wal_directory_sync(dir_fd, no_fsync);
    if (err == 0) {
        *ret_end = end;
    }
    return err;
}
