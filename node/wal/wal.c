/* Create, open, close; the directory's lock; what went wrong. */
#include "wal/wal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/thread.h"
#include "wal/state.h"

#define SEGMENT_BYTES_DEFAULT 64000000u
#define SEGMENT_BYTES_MIN 4096u

static _Thread_local char error_text[PATH_MAX + 512];

const char *wal_error_text(void)
{
    return error_text;
}

int wal_fail(int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error_text, sizeof error_text, format, args);
    va_end(args);
    return err;
}

static int fail_errno(int err, const char *what, const char *path)
{
    return wal_fail(err, "cannot %s %s: %s%s", what, path, strerror(errno),
                    err == ERR_NO_SPACE ? "; free space on that disk" : "");
}

/* What a failed system call on a path means here. */
static int path_error(void)
{
    return errno == ENOSPC || errno == EDQUOT ? ERR_NO_SPACE : ERR_IO;
}

static struct wal *wal_new(const struct wal_config *config)
{
    assert(config->dir && config->fatal);
    struct wal *w = mem_zalloc(sizeof *w);
    w->config = *config;
    w->config.dir = NULL; /* the caller's; ours is w->dir */
    if (w->config.segment_bytes == 0) {
        w->config.segment_bytes = SEGMENT_BYTES_DEFAULT;
    }
    if (w->config.segment_bytes < SEGMENT_BYTES_MIN) {
        w->config.segment_bytes = SEGMENT_BYTES_MIN;
    }
    w->dir = mem_strdup(config->dir);
    w->dir_fd = w->lock_fd = w->writer.fd = w->writer.next_fd = -1;
    buf_init(&w->writer.conf, WAL_CONF_SIZE_MAX);
    mailbox_init(&w->inbox, NULL, NULL);
    mailbox_init(&w->returned, NULL, NULL);
    return w;
}

void wal_run(struct wal *w)
{
    wal_post(w);
    struct letter *first = mailbox_take(&w->inbox);
    if (first) {
        wal_writer_turn(w, first);
    }
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

void wal_close(struct wal *w)
{
    if (w == NULL) {
        return;
    }
    if (w->config.no_thread) {
        wal_run(w);
    } else if (w->running) {
        wal_post(w);
        mailbox_close(&w->inbox);
        pthread_join(w->thread, NULL);
    }
    if (w->writer.next_fd >= 0) {
        unlinkat(w->dir_fd, WAL_SEGMENT_PREPARED, 0);
    }
    close_fd(w->writer.next_fd);
    close_fd(w->writer.fd);
    close_fd(w->dir_fd);
    close_fd(w->lock_fd); /* last: it holds the lock */
    if (w->building) {
        wal_batch_free(w->building);
    }
    wal_batches_free(w->spare);
    wal_batches_free(mailbox_take(&w->returned));
    mailbox_release(&w->returned);
    mailbox_release(&w->inbox);
    wal_segments_release(&w->writer.segments);
    buf_release(&w->writer.conf);
    free(w->dir);
    free(w);
}

static int start(struct wal *w)
{
    w->tail = w->writer.tail;
    atomic_store(&w->segment_count, w->writer.segments.count);
    if (w->config.no_thread) {
        return 0;
    }
    int failed = thread_start(&w->thread, "wal", wal_writer_main, w);
    if (failed) {
        return wal_fail(ERR_IO, "cannot start the log's thread: %s",
                        strerror(failed));
    }
    w->running = true;
    return 0;
}

static int open_directory(struct wal *w)
{
    w->dir_fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (w->dir_fd < 0) {
        return errno == ENOENT
                   ? wal_fail(ERR_NOT_FOUND, "there is no log in %s", w->dir)
                   : fail_errno(ERR_IO, "open the log directory", w->dir);
    }
    return 0;
}

/* A file of its own: not every file system can lock a directory. */
static int lock_directory(struct wal *w)
{
    w->lock_fd = openat(w->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (w->lock_fd < 0) {
        return fail_errno(path_error(), "make the lock file in", w->dir);
    }
    int failed;
    do {
        failed = flock(w->lock_fd, LOCK_EX | LOCK_NB);
    } while (failed && errno == EINTR);
    if (failed && errno == EWOULDBLOCK) {
        return wal_fail(ERR_BUSY,
                        "the log in %s is in use by another process; stop "
                        "it, or use another data directory",
                        w->dir);
    }
    return failed ? fail_errno(ERR_IO, "lock", w->dir) : 0;
}

/* Makes the directory, and its name durable. */
static int make_directory(const struct wal *w)
{
    if (mkdir(w->dir, 0700) < 0) {
        return errno == EEXIST
                   ? 0
                   : fail_errno(path_error(), "make the log directory", w->dir);
    }
    if (w->config.no_fsync) {
        return 0;
    }
    char *parent = mem_printf("%s/..", w->dir);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(parent);
    int err = fd < 0 || fsync(fd) < 0
                  ? fail_errno(path_error(), "sync the folder above", w->dir)
                  : 0;
    close_fd(fd);
    return err;
}

static int first_segment(struct wal *w)
{
    struct wal_writer *wr = &w->writer;
    int err =
        wal_segment_prepare(w->dir_fd, w->config.segment_bytes, &wr->next_fd);
    if (err < 0) {
        return fail_errno(err, "reserve room for the log in", w->dir);
    }
    const struct wal_header header = {
        .identity = w->identity, .sequence = 0, .frame_number = 1};
    err = wal_segment_begin(w->dir_fd, wr->next_fd, &header, w->config.no_fsync,
                            &wr->end);
    if (err < 0) {
        return fail_errno(err, "begin the log in", w->dir);
    }
    wr->fd = wr->next_fd;
    wr->next_fd = -1;
    wr->file_bytes = w->config.segment_bytes;
    wr->frame_number = 1;
    wal_segments_add(&wr->segments, (struct wal_segment){0, 1});
    return 0;
}

static int list_segments(struct wal *w)
{
    int err = wal_segments_list(w->dir_fd, &w->writer.segments);
    return err < 0 ? fail_errno(err, "list", w->dir) : 0;
}

static int create(struct wal *w)
{
    int err = make_directory(w);
    if (err == 0) {
        err = open_directory(w);
    }
    if (err == 0) {
        err = lock_directory(w);
    }
    if (err == 0) {
        err = list_segments(w);
    }
    if (err < 0) {
        return err;
    }
    if (w->writer.segments.count) {
        return wal_fail(ERR_EXISTS, "there is a log in %s already", w->dir);
    }
    err = first_segment(w);
    return err < 0 ? err : start(w);
}

int wal_create(const struct wal_config *config,
               const struct wal_identity *identity, struct wal **ret_wal)
{
    struct wal *w = wal_new(config);
    w->identity = *identity;
    int err = create(w);
    if (err < 0) {
        wal_close(w);
        return err;
    }
    *ret_wal = w;
    return 0;
}

static int open_log(struct wal *w, const struct wal_replay *replay)
{
    int err = open_directory(w);
    if (err < 0) {
        return err;
    }
    err = list_segments(w);
    if (err == 0 && w->writer.segments.count == 0) {
        return wal_fail(ERR_NOT_FOUND, "there is no log in %s", w->dir);
    }
    if (err == 0) {
        err = lock_directory(w);
    }
    if (err < 0) {
        return err;
    }
    /* Again, now that nobody adds or removes any. */
    wal_segments_release(&w->writer.segments);
    err = list_segments(w);
    if (err < 0) {
        return err;
    }
    unlinkat(w->dir_fd, WAL_SEGMENT_PREPARED, 0);
    err = wal_replay_segments(w, replay);
    return err < 0 ? err : start(w);
}

int wal_open(const struct wal_config *config, const struct wal_replay *replay,
             struct wal_identity *ret_identity, struct wal **ret_wal)
{
    struct wal *w = wal_new(config);
    int err = open_log(w, replay);
    if (err < 0) {
        wal_close(w);
        return err;
    }
    *ret_identity = w->identity;
    *ret_wal = w;
    return 0;
}

bool wal_exists(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    struct wal_segments found = {0};
    bool exists = wal_segments_list(fd, &found) == 0 && found.count > 0;
    wal_segments_release(&found);
    close(fd);
    return exists;
}

void wal_get_stats(struct wal *w, struct wal_stats *ret_stats)
{
    *ret_stats = (struct wal_stats){
        .fsync_count = atomic_load(&w->fsync_count),
        .fsync_ns_total = atomic_load(&w->fsync_ns_total),
        .fsync_ns_last = atomic_load(&w->fsync_ns_last),
        .bytes_written = atomic_load(&w->bytes_written),
        .segment_count = atomic_load(&w->segment_count),
        .torn_bytes_cut = w->torn_bytes_cut,
    };
}
