/*
 * Segment files: <sequence>-<first index>.wal, both 16 hex digits. A
 * segment is prepared under another name and gets its own when its header
 * is durable, so a file with a segment's name has a whole header.
 */
#ifndef WAL_SEGMENT_H
#define WAL_SEGMENT_H

#include <stdbool.h>

#include "wal/codec.h"

#define WAL_SEGMENT_PREPARED "next.tmp"

enum { WAL_SEGMENT_NAME_SIZE = 40 };

struct wal_segment {
    uint64_t sequence;
    uint64_t first_index; /* entries in older segments are below it */
};

struct wal_segments {
    struct wal_segment *items; /* by sequence */
    size_t count;
    size_t capacity;
};

void wal_segment_name(char to[WAL_SEGMENT_NAME_SIZE],
                      const struct wal_segment *segment);

void wal_segments_add(struct wal_segments *s, struct wal_segment segment);
void wal_segments_drop_first(struct wal_segments *s);
void wal_segments_release(struct wal_segments *s);

/* Every segment of the directory. ERR_IO, errno set. */
int wal_segments_list(int dir_fd, struct wal_segments *ret_segments);

/* A file of `bytes` bytes, all zero, reserved on the disk. ERR_NO_SPACE,
 * ERR_IO, errno set. */
int wal_segment_prepare(int dir_fd, uint64_t bytes, int *ret_fd);

/* Makes the prepared file the segment that `header` says. As above;
 * *ret_end is where its first frame goes. */
int wal_segment_begin(int dir_fd, int fd, const struct wal_header *header,
                      bool no_fsync, uint64_t *ret_end);

/* Makes names in the directory durable. */
int wal_directory_sync(int dir_fd, bool no_fsync);

#endif
