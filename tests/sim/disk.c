/*
 * The disk under the log. What was written and not synced may be lost by a
 * crash, sector by sector and in any order; a failed sync has lost it, too,
 * and says so once. The store's file keeps what LMDB committed: a crash
 * falls between its commits.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "sim.h"
#include "wal/io.h"

enum { SECTOR = 512 };

/* What stood there before a write. */
struct sim_undo {
    struct sim_undo *next;
    int fd;
    off_t offset;
    size_t size;
    uint8_t before[];
};

static ssize_t write_noting(int fd, const struct iovec *iov, int count,
                            off_t offset)
{
    struct sim *s = sim_world();
    struct sim_member *m = s->running;
    if (m == NULL || !m->alive) {
        errno = EIO; /* the process has ended; nothing leaves it */
        return -1;
    }
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        size += iov[i].iov_len;
    }
    struct sim_undo *u = mem_zalloc(sizeof *u + size);
    *u = (struct sim_undo){m->undo, fd, offset, size};
    if (pread(fd, u->before, size, offset) < 0) {
        abort();
    }
    m->undo = u;
    return pwritev(fd, iov, count, offset);
}

/* Some sectors of what was not synced become what they were. */
static void lose(struct sim *s, const struct sim_undo *u)
{
    size_t at = 0;
    while (at < u->size) {
        size_t size = SECTOR - (size_t)(u->offset + (off_t)at) % SECTOR;
        size = size < u->size - at ? size : u->size - at;
        if (sim_chance(&s->disk, 500) &&
            pwrite(u->fd, u->before + at, size, u->offset + (off_t)at) < 0) {
            abort();
        }
        at += size;
    }
}

static int sync_noting(int fd)
{
    struct sim *s = sim_world();
    struct sim_member *m = s->running;
    if (m == NULL || !m->alive) {
        errno = EIO;
        return -1;
    }
    bool fails = !s->is_calm && !(s->no_faults & SIM_NO_DISK) &&
                 sim_chance(&s->disk, s->weather.sync_fails_permille);
    struct sim_undo **at = &m->undo;
    while (*at) {
        struct sim_undo *u = *at;
        if (u->fd != fd) {
            at = &u->next;
            continue;
        }
        if (fails) {
            lose(s, u);
        }
        *at = u->next;
        free(u);
    }
    errno = EIO;
    s->sync_failures += fails;
    return fails ? -1 : 0;
}

static int reserve(int fd, off_t offset, off_t size)
{
    return ftruncate(fd, offset + size) == 0 ? 0 : errno;
}

void sim_disk_use(void)
{
    static const struct wal_io faulty = {
        .pwritev = write_noting,
        .fdatasync = sync_noting,
        .fallocate = reserve,
    };
    wal_io = &faulty;
}

void sim_disk_forget(struct sim_member *m)
{
    while (m->undo) {
        struct sim_undo *u = m->undo;
        m->undo = u->next;
        free(u);
    }
}

void sim_disk_crash(struct sim *s, struct sim_member *m)
{
    if (sim_chance(&s->disk, 700)) {
        for (struct sim_undo *u = m->undo; u; u = u->next) {
            lose(s, u);
        }
    } /* else the process alone has died, and the kernel writes on */
    sim_disk_forget(m);
}
