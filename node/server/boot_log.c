#include <stdlib.h>

#include "base/err.h"
#include "boot.h"

void boot_log_init(struct boot_log *log, uint64_t keep_entries,
                   uint64_t keep_bytes)
{
    *log = (struct boot_log){.keep_entries = keep_entries,
                             .keep_bytes = keep_bytes};
}

void boot_log_release(struct boot_log *log)
{
    for (uint64_t i = log->first; i < log->count; i++) {
        bytes_unref(log->entries[i].data);
    }
    free(log->entries);
    *log = (struct boot_log){0};
}

static uint64_t last_index(const struct boot_log *log)
{
    return log->first < log->count ? log->entries[log->count - 1].index
                                   : log->base_index;
}

static void drop_last(struct boot_log *log)
{
    struct raft_entry *e = &log->entries[--log->count];
    log->bytes -= bytes_slice(e->data).size;
    bytes_unref(e->data);
}

static void drop_first(struct boot_log *log)
{
    struct raft_entry *e = &log->entries[log->first++];
    log->base_index = e->index;
    log->base_term = e->term;
    log->bytes -= bytes_slice(e->data).size;
    bytes_unref(e->data);
}

/* Old entries that the store has go while reading, so that a long log does
 * not have to fit in memory. */
static void trim(struct boot_log *log)
{
    while (log->first < log->count &&
           log->entries[log->first].index <= log->flushed &&
           (log->count - log->first > log->keep_entries ||
            log->bytes > log->keep_bytes)) {
        drop_first(log);
    }
}

static void make_room(struct boot_log *log)
{
    if (log->count < log->capacity) {
        return;
    }
    uint64_t live = log->count - log->first;
    if (log->first > log->capacity / 2) {
        memmove(log->entries, log->entries + log->first,
                live * sizeof *log->entries);
    } else {
        log->capacity = log->capacity ? log->capacity * 2 : 64;
        struct raft_entry *wider =
            mem_alloc(log->capacity * sizeof *log->entries);
        if (live) {
            memcpy(wider, log->entries + log->first, live * sizeof *wider);
        }
        free(log->entries);
        log->entries = wider;
    }
    log->first = 0;
    log->count = live;
}

int boot_log_append(struct boot_log *log, uint64_t term, uint64_t index,
                    uint32_t type, struct slice data)
{
    while (log->first < log->count && last_index(log) >= index) {
        drop_last(log);
    }
    bool empty = log->first == log->count;
    if (empty && log->base_index == 0 && log->base_term == 0) {
        log->base_index = index - 1; /* its term comes with the store */
    }
    if (index <= log->base_index) {
        return 0; /* rewritten below what the store has: cannot be newer */
    }
    if (index != last_index(log) + 1) {
        return ERR_CORRUPT;
    }
    make_room(log);
    log->entries[log->count++] = (struct raft_entry){
        .term = term,
        .index = index,
        .type = (enum raft_entry_type)type,
        .data = data.size ? bytes_copy(data) : NULL,
    };
    log->bytes += data.size;
    trim(log);
    return 0;
}

static int on_entry(void *ctx, uint64_t term, uint64_t index, uint32_t type,
                    struct slice data)
{
    return boot_log_append(ctx, term, index, type, data);
}

static int on_hard_state(void *ctx, uint64_t term, uint64_t vote,
                         uint64_t commit)
{
    struct boot_log *log = ctx;
    log->hard = (struct raft_hard_state){term, vote, commit};
    return 0;
}

static int on_snapshot(void *ctx, uint64_t index, uint64_t term,
                       struct slice mark)
{
    struct boot_log *log = ctx;
    if (mark.size && mark.data[0] == BOOT_MARK_INSTALL) {
        while (log->first < log->count) {
            drop_last(log);
        }
        log->base_index = index;
        log->base_term = term;
        log->installed = index;
    }
    if (index > log->flushed) {
        log->flushed = index;
    }
    trim(log);
    return 0;
}

void boot_log_replay(struct boot_log *log, struct wal_replay *ret_replay)
{
    *ret_replay = (struct wal_replay){
        .entry = on_entry,
        .hard_state = on_hard_state,
        .snapshot = on_snapshot,
        .ctx = log,
    };
}

int boot_log_restore(struct boot_log *log, const struct node *n,
                     struct raft_restore *ret_restore)
{
    uint64_t applied = mvcc_durable_index(n->mvcc);
    uint64_t last = last_index(log);
    if (applied < log->base_index) {
        return ERR_CORRUPT; /* the log begins behind the store */
    }
    if (applied > last) {
        /* The store is ahead of a log that lost its tail to a crash; what
         * it holds was committed. */
        while (log->first < log->count) {
            drop_last(log);
        }
        log->base_index = applied;
        log->base_term = mvcc_durable_term(n->mvcc);
        log->begins_anew = true;
    } else if (log->base_index > 0 && log->base_term == 0) {
        if (log->base_index == applied) {
            log->base_term = mvcc_durable_term(n->mvcc);
        } else {
            drop_first(log);
        }
    }
    *ret_restore = (struct raft_restore){
        .hard = log->hard,
        .snapshot = {.index = log->base_index, .term = log->base_term},
        .applied = applied,
        .entries = log->entries + log->first,
        .entry_count = log->count - log->first,
    };
    node_conf_of_members(n, &ret_restore->snapshot.conf);
    if (ret_restore->hard.commit < applied) {
        ret_restore->hard.commit = applied;
    }
    if (ret_restore->hard.term < log->base_term) {
        ret_restore->hard.term = log->base_term;
        ret_restore->hard.vote = 0; /* none was given in that term */
    }
    return 0;
}

bool boot_log_is_empty(const struct boot_log *log)
{
    return log->first == log->count && log->base_index == 0 &&
           log->flushed == 0 && log->hard.term == 0;
}
