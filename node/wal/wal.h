/*
 * The write-ahead log: what Raft must find again after a crash. Records go
 * into preallocated segment files, chained by CRC-32C; one writer thread
 * appends what the loop hands over and calls fdatasync once a batch
 * (group commit: everything that came while the last one ran).
 *
 * On the way of a Put: replica -> wal_entry() ... wal_submit() on the loop
 * thread -> writer thread: write, fdatasync -> `notify` -> loop reads
 * wal_durable(). The loop never waits here.
 *
 * A torn tail (a crash in the middle of a write) is cut at open. A bad
 * record with good ones after it is ERR_CORRUPT, with file and offset in
 * wal_error_text(), never skipped. A failed write or fdatasync is final:
 * the writer calls `fatal` and writes nothing more; fsync is not retried
 * (the kernel may have dropped the pages).
 */
#ifndef WAL_WAL_H
#define WAL_WAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct wal;

struct wal_config {
    const char *dir;        /* created with mode 0700 when missing */
    uint64_t segment_bytes; /* 0: 64,000,000 */
    bool no_fsync;          /* --unsafe-no-fsync */
    bool no_thread;         /* wal_run() does the writer's work */
    /* Both run on the writer thread, or in wal_run(). */
    void (*notify)(void *ctx); /* wal_durable() has moved; may be NULL */
    /* Once; nothing becomes durable any more. ERR_IO or ERR_NO_SPACE, and
     * `text`, borrowed for the call, for the operator. */
    void (*fatal)(void *ctx, int err, const char *text);
    void *ctx;
};

/* What a log of one member of one cluster begins with, in each segment. */
struct wal_identity {
    uint64_t member_id;
    uint64_t cluster_id;
};

/* Called by wal_open() on the calling thread, in log order. A later entry
 * with a known index (or a lower one) replaces it and all behind it. What a
 * snapshot does to the entries before it, its mark says; it may lie below all
 * of them, and they below the last one: what was released goes by whole
 * segments. A callback's error ends the replay and is returned. */
struct wal_replay {
    int (*entry)(void *ctx, uint64_t term, uint64_t index, uint32_t type,
                 struct slice data);
    int (*hard_state)(void *ctx, uint64_t term, uint64_t vote, uint64_t commit);
    int (*snapshot)(void *ctx, uint64_t index, uint64_t term,
                    struct slice conf);
    void *ctx;
};

struct wal_stats {
    uint64_t fsync_count;
    uint64_t fsync_ns_total;
    uint64_t fsync_ns_last;
    uint64_t bytes_written;
    uint64_t segment_count;
    uint64_t torn_bytes_cut; /* at open; flips behind the end count too */
};

/* True when `dir` holds a log. */
bool wal_exists(const char *dir);

/* Makes a new log. It appears whole or not at all (written aside, synced,
 * renamed). ERR_EXISTS, ERR_IO, ERR_NO_SPACE. */
int wal_create(const struct wal_config *config,
               const struct wal_identity *identity, struct wal **ret_wal);

/* Opens, repairs a torn tail, replays, locks the directory (ERR_BUSY when
 * another process has it). ERR_CORRUPT, ERR_IO, ERR_NOT_FOUND (no log in
 * there), ERR_UNSUPPORTED (of a newer version), or a callback's error. */
int wal_open(const struct wal_config *config, const struct wal_replay *replay,
             struct wal_identity *ret_identity, struct wal **ret_wal);

/* What the last failed wal_create/wal_open of this thread ran into:
 * path, offset and what to do. Never NULL. */
const char *wal_error_text(void);

/* Waits for what was submitted, then closes. NULL is fine. */
void wal_close(struct wal *w);

/* Loop thread: encode into the batch being built. `data` is copied. */
void wal_entry(struct wal *w, uint64_t term, uint64_t index, uint32_t type,
               struct slice data);
void wal_hard_state(struct wal *w, uint64_t term, uint64_t vote,
                    uint64_t commit);
/* The store holds everything up to index; `conf` is opaque here. Those who
 * write and read it begin it with one of these. */
enum wal_mark {
    WAL_MARK_FLUSH = 'F',   /* the store was written, as every few seconds */
    WAL_MARK_INSTALL = 'I', /* the store came as an image: the log is new */
};
void wal_snapshot(struct wal *w, uint64_t index, uint64_t term,
                  struct slice conf);

/* Hands the batch to the writer. Returns its sequence number, ascending
 * from 1: it is durable when wal_durable() >= that number. `sync` false
 * lets it wait for the next batch that must sync (only a commit index). */
uint64_t wal_submit(struct wal *w, bool sync);
uint64_t wal_durable(struct wal *w);

/* Segments wholly below `index` (and below the last wal_snapshot) may go;
 * keeps at least the one in use. Done by the writer thread. */
void wal_release(struct wal *w, uint64_t index);

/* With no_thread: writes what was submitted, as the writer would when it
 * finds all of it in its box. For the simulator. */
void wal_run(struct wal *w);

void wal_get_stats(struct wal *w, struct wal_stats *ret_stats);

#endif
