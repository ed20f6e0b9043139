/*
 * The changes that LMDB does not have yet: records in order of revision,
 * each linked to the one before it of the same key, and a tree by key to
 * the newest. A frozen delta is read by two threads and changed by none.
 */
#ifndef MVCC_DELTA_H
#define MVCC_DELTA_H

#include "record.h"
#include "tree.h"

enum {
    MVCC_CHUNK_RECS = 256,
    MVCC_HINT_SIZE_MAX = 256,
};

struct mvcc_rec {
    struct bytes *record;
    struct mvcc_rec *prev; /* older one of this key, in this delta */
    int64_t main;
    int64_t create_revision;
    int64_t version;
    int64_t lease;
    uint32_t sub;
    uint32_t key_size : 29;
    uint32_t tombstone : 1;
    /* The version before this one had a lease: its row in KVDB_LEASE_KEY
     * must go. */
    uint32_t prev_leased : 1;
};

struct mvcc_delta {
    struct mvcc_tree tree;
    struct mvcc_rec **chunks;
    size_t rec_count;
    size_t chunk_capacity;
    uint64_t bytes;
    uint64_t index; /* raft's, of the last closed transaction */
    uint64_t term;
    int64_t revision;

    /* The last search: a put follows the stat of its key. */
    struct mvcc_path path;
    bool path_fresh;
    uint32_t hint_size;
    uint8_t hint[MVCC_HINT_SIZE_MAX];
};

struct mvcc_delta *mvcc_delta_new(void);
void mvcc_delta_free(struct mvcc_delta *d);

static inline struct mvcc_rec *mvcc_delta_rec(const struct mvcc_delta *d,
                                              size_t i)
{
    return &d->chunks[i / MVCC_CHUNK_RECS][i % MVCC_CHUNK_RECS];
}

static inline struct slice mvcc_rec_key(const struct mvcc_rec *rec)
{
    return mvcc_record_key(rec->record->data, rec->key_size);
}

/* Newest record of the key with main <= revision, or NULL. Remembers where
 * the key was found (or not) for the append that may follow. */
struct mvcc_rec *mvcc_delta_find(struct mvcc_delta *d, struct slice key,
                                 int64_t revision);
struct mvcc_rec *mvcc_rec_at(struct mvcc_rec *newest, int64_t revision);
/* Takes the record's reference; rec->prev is set here. Not for an empty
 * key, which no request can reach: that is only in the order of revisions
 * (`hidden`). */
struct mvcc_rec *mvcc_delta_append(struct mvcc_delta *d,
                                   const struct mvcc_rec *rec);
/* Index of the first record with main >= revision. */
size_t mvcc_delta_lower(const struct mvcc_delta *d, int64_t revision);

void mvcc_rec_version(const struct mvcc_rec *rec,
                      struct mvcc_version *ret_version);

#endif
