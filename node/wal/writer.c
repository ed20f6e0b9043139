/*
 * The writer thread: takes everything that is queued, writes it as one
 * frame, calls fdatasync once, says so. It also makes segments and removes
 * old ones. After a failed write or sync it writes nothing more.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/mem.h"
#include "wal/io.h"
#include "wal/state.h"

/* What goes into one write. */
struct group {
    struct wal_batch *batches[WAL_GROUP_BATCHES_MAX];
    int count;
    size_t bytes; /* of the records */
};

static size_t frame_bytes(size_t records_bytes)
{
    return WAL_FRAME_SIZE + records_bytes + WAL_TRAILER_SIZE;
}

/* Only this thread reads and writes errno between a failure and here. */
static void fail(struct wal *w, int err, const char *what)
{
    char name[WAL_SEGMENT_NAME_SIZE];
    struct wal_segments *s = &w->writer.segments;
    wal_segment_name(name, &s->items[s->count - 1]);
    char *text =
        err == ERR_NO_SPACE
            ? mem_printf("disk full: %s in the log directory %s failed at "
                         "segment %s: %s; free space on that disk and "
                         "start again, nothing acknowledged is lost",
                         what, w->dir, name, strerror(errno))
            : mem_printf("%s in the log directory %s failed at segment %s: "
                         "%s; the disk can not be trusted with more, check "
                         "it and start again",
                         what, w->dir, name, strerror(errno));
    w->writer.failed = true;
    w->config.fatal(w->config.ctx, err, text);
    free(text);
}

/* --- segments --- */

static int prepare(struct wal *w, uint64_t bytes)
{
    struct wal_writer *wr = &w->writer;
    int err = wal_segment_prepare(w->dir_fd, bytes, &wr->next_fd);
    if (err == 0) {
        wr->next_bytes = bytes;
    }
    wr->next_failed = err < 0;
    return err;
}

/* A prepared segment that can take `need` bytes behind its header. */
static int prepare_for(struct wal *w, uint64_t need)
{
    struct wal_writer *wr = &w->writer;
    uint64_t bytes = wal_header_size(wr->conf.size) + need;
    if (bytes < w->config.segment_bytes) {
        bytes = w->config.segment_bytes;
    }
    if (wr->next_fd < 0) {
        return prepare(w, bytes);
    }
    if (wr->next_bytes < bytes) {
        int err = wal_io_reserve(wr->next_fd, bytes);
        if (err < 0) {
            return err;
        }
        wr->next_bytes = bytes;
    }
    return 0;
}

static int switch_segment(struct wal *w, uint64_t need)
{
    struct wal_writer *wr = &w->writer;
    int err = prepare_for(w, need);
    if (err < 0) {
        fail(w, err, "reserving room for the next segment");
        return err;
    }
    const struct wal_header header = {
        .identity = w->identity,
        .sequence = wr->segments.items[wr->segments.count - 1].sequence + 1,
        .frame_number = wr->frame_number,
        .tail = wr->tail,
        .conf = buf_slice(&wr->conf),
    };
    uint64_t end;
    err = wal_segment_begin(w->dir_fd, wr->next_fd, &header, w->config.no_fsync,
                            &end);
    if (err < 0) {
        fail(w, err, "beginning the next segment");
        return err;
    }
    close(wr->fd);
    wr->fd = wr->next_fd;
    wr->next_fd = -1;
    wr->end = end;
    wr->file_bytes = wr->next_bytes;
    wal_segments_add(
        &wr->segments,
        (struct wal_segment){header.sequence, header.tail.last_index + 1});
    atomic_store(&w->segment_count, wr->segments.count);
    return 0;
}

/* The next segment is made when nobody waits, so that a Put does not. A
 * failure is not yet one: there is room in the one in use. */
static void prepare_ahead(struct wal *w)
{
    struct wal_writer *wr = &w->writer;
    if (wr->next_fd < 0 && !wr->next_failed && wr->end > wr->file_bytes / 2) {
        prepare(w, w->config.segment_bytes);
    }
}

/* Oldest first, and each made durable, so that a crash leaves no gap. */
static void remove_released(struct wal *w)
{
    struct wal_writer *wr = &w->writer;
    uint64_t limit = wr->release_index < wr->tail.snapshot_index
                         ? wr->release_index
                         : wr->tail.snapshot_index;
    while (wr->segments.count > 1 &&
           wr->segments.items[1].first_index <= limit) {
        char name[WAL_SEGMENT_NAME_SIZE];
        wal_segment_name(name, &wr->segments.items[0]);
        if (unlinkat(w->dir_fd, name, 0) < 0 && errno != ENOENT) {
            return; /* it stays, and is tried again with the next frame */
        }
        if (wal_directory_sync(w->dir_fd, w->config.no_fsync) < 0) {
            fail(w, ERR_IO, "removing an old segment");
            return;
        }
        wal_segments_drop_first(&wr->segments);
        atomic_store(&w->segment_count, wr->segments.count);
    }
}

/* --- frames --- */

static int timed_sync(struct wal *w)
{
    if (w->config.no_fsync || HAS_BUG(NO_SYNC)) {
        return 0;
    }
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    int err = wal_io_sync(w->writer.fd);
    int saved = errno;
    clock_gettime(CLOCK_MONOTONIC, &b);
    uint64_t ns = (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000u +
                  (uint64_t)b.tv_nsec - (uint64_t)a.tv_nsec;
    atomic_fetch_add(&w->fsync_count, 1);
    atomic_fetch_add(&w->fsync_ns_total, ns);
    atomic_store(&w->fsync_ns_last, ns);
    errno = saved;
    return err;
}

static int write_frame(struct wal *w, const struct group *g)
{
    struct wal_writer *wr = &w->writer;
    struct iovec iov[WAL_GROUP_BATCHES_MAX + 2];
    uint8_t head[WAL_FRAME_SIZE];
    uint8_t trailer[WAL_TRAILER_SIZE];
    uint32_t zeros = 0;
    uint64_t at = wr->end + WAL_FRAME_SIZE;
    for (int i = 0; i < g->count; i++) {
        struct buf *records = &g->batches[i]->records;
        zeros += wal_zero_sectors(buf_slice(records), at, false);
        iov[i + 1] = (struct iovec){records->data, records->size};
        at += records->size;
    }
    wal_frame_encode(
        head,
        &(struct wal_frame){.size = (uint32_t)g->bytes,
                            .number = wr->frame_number,
                            .zero_sectors = zeros,
                            .chain = wr->tail.chain},
        &(struct wal_place){w->identity.member_id,
                            wr->segments.items[wr->segments.count - 1].sequence,
                            wr->end});
    memcpy(trailer, wal_trailer, sizeof trailer);
    iov[0] = (struct iovec){head, sizeof head};
    iov[g->count + 1] = (struct iovec){trailer, sizeof trailer};
    int err = wal_io_write(wr->fd, iov, g->count + 2, wr->end);
    if (err < 0) {
        fail(w, err, "write");
        return err;
    }
    err = timed_sync(w);
    if (err < 0) {
        fail(w, err, "fdatasync");
    }
    return err;
}

static void advance(struct wal *w, const struct group *g)
{
    struct wal_writer *wr = &w->writer;
    wr->end += frame_bytes(g->bytes);
    wr->frame_number++;
    wr->tail = g->batches[g->count - 1]->after;
    for (int i = 0; i < g->count; i++) {
        struct wal_batch *b = g->batches[i];
        if (b->has_conf) {
            buf_reset(&wr->conf, 0);
            buf_append_slice(&wr->conf, buf_slice(&b->conf));
        }
    }
    atomic_fetch_add(&w->bytes_written, frame_bytes(g->bytes));
    atomic_store_explicit(&w->durable, g->batches[g->count - 1]->number,
                          memory_order_release);
}

static void give_back(struct wal *w, struct wal_batch *b)
{
    buf_reset(&b->records, WAL_SPARE_BYTES_MAX);
    buf_reset(&b->conf, 0);
    if (atomic_load(&w->spare_count) < WAL_SPARE_BATCHES_MAX) {
        atomic_fetch_add(&w->spare_count, 1);
        mailbox_post(&w->returned, &b->letter);
    } else {
        wal_batch_free(b);
    }
}

static void flush(struct wal *w, struct group *g)
{
    if (g->count == 0) {
        return;
    }
    struct wal_writer *wr = &w->writer;
    uint64_t need = frame_bytes(g->bytes);
    if (!wr->failed &&
        (wr->end + need <= wr->file_bytes || switch_segment(w, need) == 0) &&
        write_frame(w, g) == 0) {
        advance(w, g);
        if (w->config.notify) {
            w->config.notify(w->config.ctx);
        }
    }
    for (int i = 0; i < g->count; i++) {
        give_back(w, g->batches[i]);
    }
    g->count = 0;
    g->bytes = 0;
}

/* A frame ends where the segment does: what comes next starts the next. */
static bool fits(const struct wal *w, const struct group *g,
                 const struct wal_batch *b)
{
    size_t bytes = g->bytes + b->records.size;
    return g->count < WAL_GROUP_BATCHES_MAX && bytes < WAL_RECORD_SIZE_MAX &&
           w->writer.end + frame_bytes(bytes) <= w->writer.file_bytes;
}

static void process(struct wal *w, struct letter *first)
{
    struct group g = {.count = 0};
    while (first) {
        struct wal_batch *b = container_of(first, struct wal_batch, letter);
        first = first->next;
        if (b->releases) {
            if (w->writer.release_index < b->release_index) {
                w->writer.release_index = b->release_index;
            }
            wal_batch_free(b);
            continue;
        }
        if (!fits(w, &g, b)) {
            flush(w, &g);
        }
        g.batches[g.count++] = b;
        g.bytes += b->records.size;
    }
    flush(w, &g);
}

void wal_writer_turn(struct wal *w, struct letter *first)
{
    process(w, first);
    if (!w->writer.failed) {
        remove_released(w);
    }
    if (!w->writer.failed) {
        prepare_ahead(w);
    }
}

void *wal_writer_main(void *ctx)
{
    struct wal *w = ctx;
    struct letter *first;
    while ((first = mailbox_wait(&w->inbox)) != NULL) {
        wal_writer_turn(w, first);
    }
    return NULL;
}
