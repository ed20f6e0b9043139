/* A log on disk: what has been written is what a restart finds. */
#include <stdlib.h>

#include "sim.h"

static struct raft_entry *entries_copy(const struct raft_entry *entries,
                                       uint64_t count)
{
    struct raft_entry *copy = mem_alloc((count + 1) * sizeof *copy);
    for (uint64_t i = 0; i < count; i++) {
        copy[i] = entries[i];
        bytes_ref(copy[i].data);
    }
    return copy;
}

struct sim_write *sim_disk_write_of(const struct raft_ready *ready)
{
    struct sim_write *w = mem_zalloc(sizeof *w);
    /* The commit index alone is not written, as the replica driver does. */
    w->reaches_disk = ready->must_sync || ready->entry_count;
    w->has_hard = ready->hard_state_changed;
    w->hard = ready->hard_state;
    w->term = ready->hard_state.term;
    w->entries = entries_copy(ready->entries, ready->entry_count);
    w->entry_count = ready->entry_count;
    if (ready->snapshot) {
        w->snapshot = *ready->snapshot;
        w->index = ready->snapshot->index;
        w->term = ready->snapshot->term;
    }
    if (w->entry_count) {
        w->index = w->entries[w->entry_count - 1].index;
        w->term = w->entries[w->entry_count - 1].term;
    }
    w->message_count = ready->after_persist_count;
    w->messages = mem_alloc((w->message_count + 1) * sizeof *w->messages);
    for (uint32_t i = 0; i < w->message_count; i++) {
        w->messages[i] = ready->after_persist[i];
    }
    return w;
}

void sim_disk_write_free(struct sim_write *w)
{
    for (uint64_t i = 0; i < w->entry_count; i++) {
        bytes_unref(w->entries[i].data);
    }
    for (uint32_t i = 0; i < w->message_count; i++) {
        raft_message_release(&w->messages[i]);
    }
    free(w->entries);
    free(w->messages);
    free(w);
}

uint64_t sim_disk_last(const struct sim_disk *d)
{
    return d->base_index + d->entry_count;
}

static void cut(struct sim_disk *d, uint64_t index)
{
    while (d->entry_count && sim_disk_last(d) >= index) {
        bytes_unref(d->entries[--d->entry_count].data);
    }
}

void sim_disk_append(struct sim_disk *d, const struct raft_entry *e)
{
    if (d->entry_count == d->entry_capacity) {
        d->entry_capacity = d->entry_capacity ? d->entry_capacity * 2 : 64;
        d->entries =
            mem_realloc(d->entries, d->entry_capacity * sizeof *d->entries);
    }
    d->entries[d->entry_count] = *e;
    d->entries[d->entry_count++].cookie = 0;
    bytes_ref(e->data);
}

void sim_disk_restart(struct sim_disk *d, uint64_t index, uint64_t term)
{
    cut(d, 0);
    d->base_index = index;
    d->base_term = term;
}

void sim_disk_write(struct sim_disk *d, const struct sim_write *w)
{
    if (!w->reaches_disk) {
        return;
    }
    if (w->snapshot.index) {
        sim_disk_restart(d, w->snapshot.index, w->snapshot.term);
    }
    if (w->entry_count) {
        cut(d, w->entries[0].index);
    }
    for (uint64_t i = 0; i < w->entry_count; i++) {
        sim_disk_append(d, &w->entries[i]);
    }
    if (w->has_hard) {
        d->hard = w->hard;
    }
}

void sim_disk_compact(struct sim_disk *d, uint64_t index)
{
    if (index <= d->base_index || index > sim_disk_last(d)) {
        return;
    }
    uint64_t gone = index - d->base_index;
    d->base_term = d->entries[gone - 1].term;
    d->base_index = index;
    for (uint64_t i = 0; i < gone; i++) {
        bytes_unref(d->entries[i].data);
    }
    d->entry_count -= gone;
    memmove(d->entries, d->entries + gone, d->entry_count * sizeof *d->entries);
}

void sim_disk_release(struct sim_disk *d)
{
    cut(d, 0);
    free(d->entries);
    d->entries = NULL;
}
