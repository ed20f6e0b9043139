#include "wal/io.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/err.h"

const struct wal_io wal_io_system = {
    .pwritev = pwritev,
    .fdatasync = fdatasync,
    .fallocate = posix_fallocate,
};

const struct wal_io *wal_io = &wal_io_system;

int wal_io_error(int errno_value)
{
    switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_NO_SPACE;
    default:
        return ERR_IO;
    }
}

static void skip(struct iovec **iov, int *count, size_t size)
{
    while (*count > 0 && size >= (*iov)->iov_len) {
        size -= (*iov)->iov_len;
        (*iov)++;
        (*count)--;
    }
    if (*count > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + size;
        (*iov)->iov_len -= size;
    }
}

int wal_io_write(int fd, struct iovec *iov, int count, uint64_t offset)
{
    skip(&iov, &count, 0);
    while (count > 0) {
        ssize_t n = wal_io->pwritev(fd, iov, count, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return wal_io_error(errno);
        }
        offset += (uint64_t)n;
        skip(&iov, &count, (size_t)n);
    }
    return 0;
}

int wal_io_reserve(int fd, uint64_t size)
{
    int failed;
    do {
        failed = wal_io->fallocate(fd, 0, (off_t)size);
    } while (failed == EINTR);
    if (failed) {
        errno = failed;
        return wal_io_error(failed);
    }
    return 0;
}

int wal_io_sync(int fd)
{
    return wal_io->fdatasync(fd) == 0 ? 0 : wal_io_error(errno);
}
