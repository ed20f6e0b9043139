/*
 * What is in a struct wal, by the thread that owns it; private to the
 * module. The loop encodes into a batch; batches go to the writer through
 * `inbox` and come back empty through `returned`.
 */
#ifndef WAL_STATE_H
#define WAL_STATE_H

#include <stdatomic.h>

#include "base/mailbox.h"
#include "wal/codec.h"
#include "wal/segment.h"
#include "wal/wal.h"

enum {
    WAL_GROUP_BATCHES_MAX = 256,            /* batches that one write takes */
    WAL_SPARE_BATCHES_MAX = 4,              /* empty ones kept */
    WAL_SPARE_BYTES_MAX = 128 * 1024,       /* memory kept by each of them */
    WAL_BATCH_BYTES_MAX = 64 * 1024 * 1024, /* handed over early beyond */
    WAL_WAITING_BYTES_MAX = 64 * 1024,      /* of batches that need no sync */
};

/* One letter to the writer: records, or the wish to release. */
struct wal_batch {
    struct letter letter;
    struct buf records;
    struct wal_tail before; /* the first record */
    struct wal_tail after;  /* the last one */
    uint64_t number;        /* durable with this batch */
    bool has_conf;          /* holds a snapshot record, its last one's conf: */
    struct buf conf;
    bool releases; /* nothing but release_index */
    uint64_t release_index;
};

struct wal_writer {
    struct wal_segments segments; /* the last one is in use */
    int fd;
    uint64_t end;        /* where the next frame goes */
    uint64_t file_bytes; /* of the segment in use */
    int next_fd;         /* prepared segment, or -1 */
    uint64_t next_bytes;
    bool next_failed; /* try again only when it is needed */
    uint64_t frame_number;
    struct wal_tail tail;
    struct buf conf; /* of tail's snapshot */
    uint64_t release_index;
    bool failed;
};

struct wal {
    /* Fixed before the writer starts. */
    struct wal_config config;
    struct wal_identity identity;
    char *dir;
    int dir_fd;
    int lock_fd;

    /* Loop thread. */
    struct wal_batch *building;
    struct letter *spare;
    struct wal_tail tail;
    uint64_t submitted;

    struct wal_writer writer; /* writer thread, once it runs */

    /* Shared. */
    struct mailbox inbox;
    struct mailbox returned;
    atomic_uint spare_count; /* batches in `returned` and `spare` */
    atomic_uint_fast64_t durable;
    atomic_uint_fast64_t fsync_count;
    atomic_uint_fast64_t fsync_ns_total;
    atomic_uint_fast64_t fsync_ns_last;
    atomic_uint_fast64_t bytes_written;
    atomic_uint_fast64_t segment_count;
    uint64_t torn_bytes_cut; /* fixed at open */
    pthread_t thread;
    bool running;
};

/* Sets wal_error_text() and returns `err`. */
int wal_fail(int err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Reads and repairs every segment of w->writer.segments, and leaves the
 * writer's half of `w` ready to append. ERR_CORRUPT, ERR_IO,
 * ERR_UNSUPPORTED, or what a callback returned. */
int wal_replay_segments(struct wal *w, const struct wal_replay *replay);

/* The writer thread's body. */
void *wal_writer_main(void *w);
/* Writes the batches that were taken out of the box. */
void wal_writer_turn(struct wal *w, struct letter *first);

/* Loop thread: a batch is freed, or kept for later. */
void wal_batch_free(struct wal_batch *b);
void wal_batches_free(struct letter *first);

/* Loop thread: hands over what is being built, if anything. */
void wal_post(struct wal *w);

#endif
