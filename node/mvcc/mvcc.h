/*
 * The multi-version store: revisions, key index, ranges, compaction. An
 * applied entry changes an in-memory ordered delta; reads merge the active
 * delta, the frozen one that the store thread is committing, and LMDB.
 * All calls on the loop thread.
 *
 * On the way of a Put: apply -> mvcc_begin, mvcc_stat, mvcc_put, mvcc_end
 * (the reply may leave) -> watch sees mvcc_events() -> later mvcc_flush():
 * the delta frozen, sorted by key, committed to LMDB with the applied index.
 *
 * Revisions are (main, sub): one main per changing transaction, sub counts
 * its changes. Main of an empty store is 1. A record is the KeyValue as it
 * goes on the wire (field order and omission canonical, so that HashKV
 * agrees with etcd's), a tombstone one with only the key.
 */
#ifndef MVCC_MVCC_H
#define MVCC_MVCC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/slice.h"
#include "image/image.h"
#include "kvdb/kvdb.h"

struct mvcc;

/* Borrowed: valid until the next write, flush or kvdb_poll(). */
struct mvcc_kv {
    struct slice key;
    struct slice value;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    int64_t lease;
    struct slice encoded; /* the KeyValue message */
};

/* What the index knows of a key's newest state, without its value. */
struct mvcc_stat {
    int64_t create_revision;
    int64_t mod_revision;
    int64_t sub;
    int64_t version;
    int64_t lease;
};

struct mvcc_config {
    struct kvdb *db;
    /* Delta size that asks for a flush, at most; 0: 10 MiB. Half of it where
     * the records come to few pages of the index. */
    uint64_t flush_bytes_max;
};

/* Reads revision, compact revision, applied index; scans nothing but what a
 * flush cut off by a crash has left. Resumes an interrupted compaction in
 * the background. ERR_CORRUPT, ERR_IO. */
int mvcc_open(const struct mvcc_config *config, struct mvcc **ret_mvcc);
/* Does not flush. Ends what runs (kvdb_drain()); who waits is told
 * ERR_CANCELED. Images must be closed before the kvdb is. */
void mvcc_close(struct mvcc *m);

int64_t mvcc_revision(const struct mvcc *m);
int64_t mvcc_compact_revision(const struct mvcc *m); /* -1: never */

/* ---- reading ---- */
struct mvcc_range {
    struct slice key;
    struct slice end; /* empty: one key; "\0": all >= key */
    int64_t revision; /* <= 0: newest (inside a transaction: its view) */
    int64_t limit;    /* records handed to the visitor; <= 0: all */
    bool keys_only;   /* value and encoded stay empty, index only */
    bool count_only;  /* no visitor */
    /* With the visitor's ctx, for each key that is in the range but not at
     * the revision (deleted, or younger); false ends the scan. NULL: they
     * are passed over. */
    bool (*skip)(void *ctx, struct slice key);
};
/* Calls `visit` in key order until it returns false; *ret_count is the
 * number of keys in the range at that revision whatever the limit (NULL:
 * not wanted, then the scan ends with the limit). ERR_COMPACTED,
 * ERR_FUTURE, ERR_CORRUPT (a record's checksum), ERR_IO. */
int mvcc_range(struct mvcc *m, const struct mvcc_range *range,
               bool (*visit)(void *ctx, const struct mvcc_kv *kv), void *ctx,
               int64_t *ret_count);
/* One key, newest. ERR_KEY_NOT_FOUND. */
int mvcc_get(struct mvcc *m, struct slice key, struct mvcc_kv *ret_kv);
/* One key at a revision (for a watcher's prev_kv). ERR_KEY_NOT_FOUND,
 * ERR_COMPACTED. */
int mvcc_get_at(struct mvcc *m, struct slice key, int64_t revision,
                struct mvcc_kv *ret_kv);
int mvcc_stat(struct mvcc *m, struct slice key, struct mvcc_stat *ret_stat);
/* 0 when [.., revision] can be read, ERR_COMPACTED or ERR_FUTURE. */
int mvcc_check_revision(const struct mvcc *m, int64_t revision);

/* ---- writing: between begin and end, one raft entry ---- */
void mvcc_begin(struct mvcc *m);
/* Revision that the open transaction reads at: begin's, or one more after
 * the first change. */
int64_t mvcc_txn_revision(const struct mvcc *m);
bool mvcc_txn_changed(const struct mvcc *m);
/* `prev` is what mvcc_stat() said just before, NULL for a new key. */
int mvcc_put(struct mvcc *m, struct slice key, struct slice value,
             int64_t lease, const struct mvcc_stat *prev);
/* Deletes every key of the range, ascending, one sub revision each;
 * `deleted` (may be NULL) sees each before it goes (value included when
 * `values`). */
int mvcc_delete_range(struct mvcc *m, struct slice key, struct slice end,
                      bool values,
                      void (*deleted)(void *ctx, const struct mvcc_kv *kv),
                      void *ctx, int64_t *ret_count);
/* Closes the transaction: the revision advances if anything changed.
 * Every entry, also one that changes nothing, ends with it, so that the
 * applied index moves. */
void mvcc_end(struct mvcc *m, uint64_t raft_index, uint64_t raft_term);

/* An event of a closed transaction. */
struct mvcc_event {
    bool tombstone;
    struct slice key;
    int64_t mod_revision;
    int64_t create_revision; /* 0 for a tombstone */
    struct bytes *record;    /* encoded KeyValue; for a tombstone key and
                                mod_revision, as a DELETE event carries it */
};
/* Of the transaction that mvcc_end() closed last, in sub order; borrowed
 * until the next mvcc_begin(). */
const struct mvcc_event *mvcc_events(const struct mvcc *m, uint32_t *ret_count);
/* History in (main, sub) order from revision `from` on (>= compact
 * revision, else ERR_COMPACTED); `visit` false ends it. record is borrowed
 * for the call (ref it to keep it). */
int mvcc_history(struct mvcc *m, int64_t from,
                 bool (*visit)(void *ctx, const struct mvcc_event *event),
                 void *ctx);

/* ---- background ---- */
/* Applied index and term as of the last LMDB commit: a restart replays the
 * log from here. */
uint64_t mvcc_durable_index(const struct mvcc *m);
uint64_t mvcc_durable_term(const struct mvcc *m);
uint64_t mvcc_applied_index(const struct mvcc *m); /* last mvcc_end */
uint64_t mvcc_applied_term(const struct mvcc *m);
uint64_t mvcc_delta_bytes(const struct mvcc *m);
/* True when the delta has grown enough and no flush runs. */
bool mvcc_wants_flush(const struct mvcc *m);
/* Freezes delta and staged rows and commits them in the background; `done`
 * (may be NULL) runs on the loop when durable. A call while one runs is
 * queued behind it (a further one joins the queued one). */
void mvcc_flush(struct mvcc *m, void (*done)(void *ctx, int err), void *ctx);
/* Reads below `revision` are refused from now on; old records go in small
 * batches in the background, after a flush. `done` (may be NULL): when all
 * are gone. ERR_COMPACTED (<= the last one), ERR_FUTURE. Inside a
 * transaction (before mvcc_end). */
int mvcc_compact(struct mvcc *m, int64_t revision,
                 void (*done)(void *ctx, int err), void *ctx);

/* The store as an image, consistent at mvcc_image_index: flushes first,
 * then hands out a source over a read transaction of its own, to be used
 * on any one thread, and closed. `ready` runs on the loop. */
struct mvcc_image;
void mvcc_image_open(struct mvcc *m,
                     void (*ready)(void *ctx, struct mvcc_image *image,
                                   int err),
                     void *ctx);
const struct image_source *mvcc_image_source(struct mvcc_image *image);
uint64_t mvcc_image_index(const struct mvcc_image *image);
uint64_t mvcc_image_term(const struct mvcc_image *image);
void mvcc_image_close(struct mvcc_image *image);

/* Makes a store file at `db_path`, where none may be, from an etcd image;
 * then the caller swaps files. Done on the calling thread, streamed, in
 * bounded memory; the image's file is empty of what was read, so that both
 * need the room of one; what fails leaves no store behind. The image's
 * consistent index must be >= least_index. ERR_CORRUPT, ERR_IO, ERR_NO_SPACE,
 * ERR_EXISTS, ERR_UNSUPPORTED (a user, role ... name over KVDB_KEY_SIZE_MAX).
 */
int mvcc_install(const char *image_path, const char *db_path,
                 uint64_t least_index, uint64_t *ret_index, uint64_t *ret_term);

/* The same for a new cluster that begins with the image: its own applied
 * index and term instead of the image's, the rest as it is. `bump_revision`
 * > 0 raises the revision behind the last record's by as much, and all
 * history up to there counts as compacted. Errors as mvcc_install(), and
 * ERR_TOO_LARGE for a revision over 2^63 - 1. */
struct mvcc_restore {
    uint64_t index;
    uint64_t term;
    int64_t bump_revision;
};
int mvcc_restore(const char *image_path, const char *db_path,
                 const struct mvcc_restore *restore, int64_t *ret_revision);

/* CRC-32C over the history as etcd's HashKV defines it. `done` on the loop,
 * also before this returns: each of the last compactions (since the start)
 * has left the hash of its revision as it was before, which answers for
 * that revision when it is named. revision 0: current. ERR_COMPACTED,
 * ERR_FUTURE at once. */
struct mvcc_hash {
    uint32_t hash;
    int64_t compact_revision;
    int64_t hash_revision;
};
int mvcc_hash_kv(struct mvcc *m, int64_t revision,
                 void (*done)(void *ctx, int err, const struct mvcc_hash *hash),
                 void *ctx);

/* The hashes that compactions have left, newest first: at most `capacity`
 * are written. Returns how many. */
enum { MVCC_HASHES_KEPT = 10 };
uint32_t mvcc_kept_hashes(const struct mvcc *m, struct mvcc_hash *ret,
                          uint32_t capacity);

/* Keys under a lease at start: calls `attach` for each (lease, key). */
int mvcc_each_leased(struct mvcc *m,
                     void (*attach)(void *ctx, int64_t lease, struct slice key),
                     void *ctx);

struct mvcc_stats {
    uint64_t put_total, delete_total, range_total, txn_total;
    uint64_t compacted_total;
    uint64_t delta_bytes;
};
void mvcc_get_stats(const struct mvcc *m, struct mvcc_stats *ret_stats);

#endif
