/* The log in memory (dissertation 3.5), bounded from below by compaction. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum { LOG_CAPACITY_LEAST = 64 };

void raft_log_init(struct raft_log *l, uint64_t base_index, uint64_t base_term)
{
    *l = (struct raft_log){0};
    raft_log_restart(l, base_index, base_term);
}

static void drop_data(struct raft_log *l, uint64_t from, uint64_t count)
{
    for (uint64_t i = from; i < from + count; i++) {
        struct bytes *data = l->items[l->head + i].data;
        if (data) {
            l->bytes -= data->size;
            bytes_unref(data);
        }
    }
}

void raft_log_release(struct raft_log *l)
{
    drop_data(l, 0, l->count);
    free(l->items);
    *l = (struct raft_log){0};
}

uint64_t raft_log_last(const struct raft_log *l)
{
    return l->base_index + l->count;
}

const struct raft_entry *raft_log_at(const struct raft_log *l, uint64_t index)
{
    assert(index > l->base_index && index <= raft_log_last(l) + 1);
    return l->items + l->head + (index - l->base_index - 1);
}

uint64_t raft_log_last_term(const struct raft_log *l)
{
    return l->count ? l->items[l->head + l->count - 1].term : l->base_term;
}

bool raft_log_term(const struct raft_log *l, uint64_t index, uint64_t *ret_term)
{
    if (index < l->base_index || index > raft_log_last(l)) {
        return false;
    }
    *ret_term =
        index == l->base_index ? l->base_term : raft_log_at(l, index)->term;
    return true;
}

bool raft_log_matches(const struct raft_log *l, uint64_t index, uint64_t term)
{
    uint64_t own;
    return raft_log_term(l, index, &own) && own == term;
}

/* Room for one more at the end: what compaction left free in front is used
 * again when it is at least half, so that an append stays O(1) amortised. */
static void make_room(struct raft_log *l)
{
    if (l->head + l->count < l->capacity) {
        return;
    }
    if (l->head > 0 && l->head >= l->capacity / 2) {
        memmove(l->items, l->items + l->head, l->count * sizeof *l->items);
        l->head = 0;
        return;
    }
    l->capacity = l->capacity ? l->capacity * 2 : LOG_CAPACITY_LEAST;
    l->items = mem_realloc(l->items, l->capacity * sizeof *l->items);
}

void raft_log_append(struct raft_log *l, const struct raft_entry *e)
{
    assert(e->index == raft_log_last(l) + 1);
    make_room(l);
    l->items[l->head + l->count++] = *e;
    l->bytes += e->data ? e->data->size : 0;
}

void raft_log_truncate(struct raft_log *l, uint64_t index)
{
    assert(index > l->commit && index > l->base_index);
    if (index > raft_log_last(l)) {
        return;
    }
    uint64_t keep = index - l->base_index - 1;
    drop_data(l, keep, l->count - keep);
    l->count = keep;
    if (l->written >= index) {
        l->written = index - 1;
    }
    if (l->stable >= index) {
        l->stable = index - 1;
    }
}

/* A burst must not hold its memory for ever. */
static void shrink(struct raft_log *l)
{
    if (l->capacity <= LOG_CAPACITY_LEAST || l->count >= l->capacity / 8) {
        return;
    }
    uint64_t capacity = l->capacity / 4;
    if (capacity < LOG_CAPACITY_LEAST) {
        capacity = LOG_CAPACITY_LEAST;
    }
    if (l->count) {
        memmove(l->items, l->items + l->head, l->count * sizeof *l->items);
    }
    l->head = 0;
    l->capacity = capacity;
    l->items = mem_realloc(l->items, capacity * sizeof *l->items);
}

void raft_log_compact(struct raft_log *l, uint64_t index)
{
    assert(index <= l->applied);
    if (index <= l->base_index) {
        return;
    }
    uint64_t gone = index - l->base_index;
    l->base_term = raft_log_at(l, index)->term;
    drop_data(l, 0, gone);
    l->base_index = index;
    l->head += gone;
    l->count -= gone;
    if (l->count == 0) {
        l->head = 0;
    }
    shrink(l);
}

void raft_log_restart(struct raft_log *l, uint64_t index, uint64_t term)
{
    drop_data(l, 0, l->count);
    l->head = 0;
    l->count = 0;
    l->base_index = index;
    l->base_term = term;
    l->commit = index;
    l->handed = index;
    l->written = index;
    l->stable = index;
}

/* Terms never fall along a log, so this is a binary search. */
uint64_t raft_log_find_term(const struct raft_log *l, uint64_t index,
                            uint64_t term)
{
    uint64_t low = l->base_index;
    uint64_t high = index < raft_log_last(l) ? index : raft_log_last(l);
    if (high < low) {
        return index;
    }
    while (low < high) {
        uint64_t middle = low + (high - low + 1) / 2;
        if (raft_log_at(l, middle)->term <= term) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

bool raft_log_up_to_date(const struct raft_log *l, uint64_t index,
                         uint64_t term)
{
    uint64_t own = raft_log_last_term(l);
    return term > own || (term == own && index >= raft_log_last(l));
}
