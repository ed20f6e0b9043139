#include "delta.h"

#include <stdlib.h>

#include "base/mem.h"

/* What the allocator adds to a record, about. */
enum {
    ALLOC_OVERHEAD = 16,
};

struct mvcc_delta *mvcc_delta_new(void)
{
    struct mvcc_delta *d = mem_alloc(sizeof *d);
    *d = (struct mvcc_delta){0};
    mvcc_tree_init(&d->tree);
    return d;
}

void mvcc_delta_free(struct mvcc_delta *d)
{
    if (d == NULL) {
        return;
    }
    for (size_t i = 0; i < d->rec_count; i++) {
        bytes_unref(mvcc_delta_rec(d, i)->record);
    }
    for (size_t i = 0; i * MVCC_CHUNK_RECS < d->rec_count; i++) {
        free(d->chunks[i]);
    }
    free(d->chunks);
    mvcc_tree_release(&d->tree);
    free(d);
}

static void remember(struct mvcc_delta *d, struct slice key)
{
    d->path_fresh = key.size <= MVCC_HINT_SIZE_MAX;
    if (d->path_fresh) {
        d->hint_size = (uint32_t)key.size;
        memcpy(d->hint, key.data, key.size);
    }
}

static void find_path(struct mvcc_delta *d, struct slice key)
{
    if (d->path_fresh && slice_eq(key, slice_of(d->hint, d->hint_size))) {
        return;
    }
    mvcc_tree_find(&d->tree, key, &d->path);
    remember(d, key);
}

struct mvcc_rec *mvcc_rec_at(struct mvcc_rec *newest, int64_t revision)
{
    while (newest && newest->main > revision) {
        newest = newest->prev;
    }
    return newest;
}

struct mvcc_rec *mvcc_delta_find(struct mvcc_delta *d, struct slice key,
                                 int64_t revision)
{
    if (d->rec_count == 0) {
        return NULL;
    }
    find_path(d, key);
    if (!d->path.found) {
        return NULL;
    }
    int leaf = d->path.depth - 1;
    return mvcc_rec_at(d->path.node[leaf]->rec[d->path.pos[leaf]], revision);
}

static struct mvcc_rec *next_slot(struct mvcc_delta *d)
{
    size_t chunk = d->rec_count / MVCC_CHUNK_RECS;
    if (d->rec_count % MVCC_CHUNK_RECS == 0) {
        if (chunk == d->chunk_capacity) {
            d->chunk_capacity = chunk ? chunk * 2 : 16;
            d->chunks =
                mem_realloc(d->chunks, d->chunk_capacity * sizeof d->chunks[0]);
        }
        d->chunks[chunk] = mem_alloc(MVCC_CHUNK_RECS * sizeof(struct mvcc_rec));
    }
    return mvcc_delta_rec(d, d->rec_count++);
}

struct mvcc_rec *mvcc_delta_append(struct mvcc_delta *d,
                                   const struct mvcc_rec *rec)
{
    struct mvcc_rec *slot = next_slot(d);
    *slot = *rec;
    slot->prev = NULL;
    if (rec->key_size) {
        find_path(d, mvcc_rec_key(slot));
        if (d->path.found) {
            int leaf = d->path.depth - 1;
            slot->prev = d->path.node[leaf]->rec[d->path.pos[leaf]];
        }
        d->bytes -= d->tree.bytes;
        mvcc_tree_insert(&d->tree, &d->path, slot);
        d->bytes += d->tree.bytes;
        d->path_fresh = false;
    }
    d->bytes += sizeof *slot + sizeof(struct bytes) + rec->record->size +
                ALLOC_OVERHEAD;
    d->revision = rec->main;
    return slot;
}

size_t mvcc_delta_lower(const struct mvcc_delta *d, int64_t revision)
{
    size_t low = 0;
    size_t high = d->rec_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (mvcc_delta_rec(d, mid)->main < revision) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

void mvcc_rec_version(const struct mvcc_rec *rec,
                      struct mvcc_version *ret_version)
{
    *ret_version = (struct mvcc_version){
        .main = rec->main,
        .sub = rec->sub,
        .tombstone = rec->tombstone,
        .create_revision = rec->create_revision,
        .version = rec->version,
        .lease = rec->lease,
    };
}
