/*
 * The system calls that decide whether the log is durable, behind a table
 * so that tests can make them fail; and what is done with their results.
 */
#ifndef WAL_IO_H
#define WAL_IO_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/slice.h"

struct wal_io {
    ssize_t (*pwritev)(int fd, const struct iovec *iov, int count,
                       off_t offset);
    int (*fdatasync)(int fd);
    int (*fallocate)(int fd, off_t offset, off_t size); /* an errno */
};

/* The system's own unless a test has put another here, before it opened
 * its log. */
extern const struct wal_io *wal_io;
extern const struct wal_io wal_io_system;

/* ERR_NO_SPACE for a full disk, quota or size limit, else ERR_IO. */
int wal_io_error(int errno_value);

/* Writes all of it; `iov` is used up. ERR_NO_SPACE, ERR_IO, errno set. */
int wal_io_write(int fd, struct iovec *iov, int count, uint64_t offset);

/* Makes the file `size` bytes long, with the room for them reserved. As
 * wal_io_write. */
int wal_io_reserve(int fd, uint64_t size);

/* ERR_IO, ERR_NO_SPACE, errno set. Never called again after a failure. */
int wal_io_sync(int fd);

#endif
