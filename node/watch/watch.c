#include "watch.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/err.h"
#include "state.h"

struct watch_hub *watch_new(const struct watch_config *config)
{
    struct watch_hub *h = mem_zalloc(sizeof *h);
    h->config = *config;
    h->mvcc = config->mvcc;
    h->revision = mvcc_revision(h->mvcc);
    h->rng.state = config->seed;
    list_init(&h->streams);
    list_init(&h->unsynced);
    return h;
}

void watch_free(struct watch_hub *h)
{
    if (h) {
        assert(list_empty(&h->streams));
        watch_batch_release(&h->batch);
        table_release(&h->groups);
        table_release(&h->ids);
        free(h);
    }
}

void watch_get_stats(const struct watch_hub *h, struct watch_stats *ret_stats)
{
    *ret_stats = h->stats;
}

void watch_set_store(struct watch_hub *h, struct mvcc *mvcc)
{
    /* What is synced has seen all of the old store, no more. */
    int64_t next = h->revision + 1;
    h->mvcc = mvcc;
    h->revision = mvcc_revision(mvcc);
    list_each(it, safe, &h->streams)
    {
        struct watch_stream *s = container_of(it, struct watch_stream, in_hub);
        list_each(jt, safer, &s->watchers)
        {
            struct watcher *w = container_of(jt, struct watcher, in_stream);
            if (w->synced && !HAS_BUG(WATCH_GAP)) {
                watch_unsync(w, next);
            }
        }
    }
}

/* ---- live ---- */
static bool wants_live(const struct watcher *w, const struct mvcc_event *e)
{
    return w->synced && e->mod_revision >= w->next_revision;
}

/* False: nothing for this watcher now, it has to read it later. */
static bool hand_over(struct watch_hub *h, struct watch_slot *slot,
                      int64_t revision)
{
    struct watch_stream *s = slot->watcher->stream;
    if (s->blocked) {
        return false;
    }
    if (!watch_batch_emit(h, slot, revision)) {
        watch_stream_block(s);
    }
    return true;
}

void watch_notify(struct watch_hub *h)
{
    uint32_t count;
    const struct mvcc_event *events = mvcc_events(h->mvcc, &count);
    h->revision = mvcc_revision(h->mvcc);
    if (count == 0 || h->stats.watcher_count == 0) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        watch_batch_add(h, &events[i], wants_live);
    }
    int64_t revision = events[0].mod_revision;
    for (uint32_t i = 0; i < h->batch.slot_count; i++) {
        struct watch_slot *slot = &h->batch.slots[i];
        if (!hand_over(h, slot, revision)) {
            watch_unsync(slot->watcher, revision);
        }
    }
    watch_batch_reset(&h->batch);
}

/* ---- catching up ---- */
static bool wants_history(const struct watcher *w, const struct mvcc_event *e)
{
    return w->in_pass && e->mod_revision >= w->next_revision;
}

struct pass {
    struct watch_hub *hub;
    int64_t revision; /* being read */
    uint32_t read;
    uint32_t told;          /* revisions that somebody gets */
    uint32_t events_before; /* in the batch, when it began */
    bool cut;               /* `revision` is the first not read */
};

static bool pass_full(const struct pass *p)
{
    return p->read >= WATCH_PASS_EVENTS_MAX ||
           p->told >= WATCH_PASS_REVISIONS_MAX ||
           p->hub->batch.bytes >= WATCH_PASS_BYTES_MAX;
}

static bool read_event(void *ctx, const struct mvcc_event *event)
{
    struct pass *p = ctx;
    if (event->mod_revision != p->revision) {
        p->told += p->hub->batch.event_count > p->events_before;
        p->events_before = p->hub->batch.event_count;
        p->revision = event->mod_revision;
        if (pass_full(p)) {
            p->cut = true;
            return false;
        }
    }
    p->read++;
    watch_batch_add(p->hub, event, wants_history);
    return true;
}

static void cancel_compacted(struct watcher *w, int64_t compact_revision)
{
    struct watch_response r = {
        .watch_id = w->id,
        .canceled = true,
        .compact_revision = compact_revision,
    };
    struct watch_stream *s = w->stream;
    watch_drop(w);
    s->emit(s->ctx, &r);
}

static void cancel_all_compacted(struct watch_hub *h)
{
    int64_t compact_revision = mvcc_compact_revision(h->mvcc);
    list_each(it, next, &h->unsynced)
    {
        struct watcher *w = container_of(it, struct watcher, in_unsynced);
        if (w->next_revision < compact_revision) {
            cancel_compacted(w, compact_revision);
        }
    }
}

/* The first that can take something sets where the pass begins; those that
 * stand behind that point come along, and everyone goes to the end of the
 * queue, so that an old one does not hold up the nearly synced ones for
 * longer than a pass. */
static bool gather(struct watch_hub *h, int64_t *ret_from)
{
    bool any = false;
    uint32_t count = 0;
    list_each(it, next, &h->unsynced)
    {
        struct watcher *w = container_of(it, struct watcher, in_unsynced);
        if (w->stream->blocked || count == WATCH_PASS_WATCHERS_MAX) {
            continue;
        }
        if (!any) {
            *ret_from = w->next_revision;
            any = true;
        }
        w->in_pass = w->next_revision >= *ret_from;
        count += w->in_pass;
    }
    return any;
}

static void settle(struct watch_hub *h, int64_t next_revision, bool ok)
{
    int64_t current = mvcc_revision(h->mvcc);
    struct list rest;
    list_init(&rest);
    list_each(it, next, &h->unsynced)
    {
        struct watcher *w = container_of(it, struct watcher, in_unsynced);
        if (!w->in_pass) {
            continue;
        }
        w->in_pass = false;
        if (!ok || w->next_revision >= next_revision) {
            /* The pass did not get to it; it may be just before "now". */
            if (ok && w->next_revision > current) {
                watch_sync(w);
            }
            continue;
        }
        struct watch_slot *slot =
            w->batch ? &h->batch.slots[w->batch - 1] : NULL;
        if (slot && !hand_over(h, slot, current)) {
            continue;
        }
        w->next_revision = next_revision;
        if (next_revision > current) {
            watch_sync(w);
        } else {
            list_remove(it);
            list_append(&rest, it);
        }
    }
    while (!list_empty(&rest)) {
        struct list *it = rest.next;
        list_remove(it);
        list_append(&h->unsynced, it);
    }
}

bool watch_wants_catch_up(const struct watch_hub *h)
{
    return h->ready > 0;
}

bool watch_catch_up(struct watch_hub *h, int *ret_err)
{
    *ret_err = 0;
    cancel_all_compacted(h);
    int64_t from = 0;
    if (!gather(h, &from)) {
        return false;
    }
    struct pass p = {.hub = h, .revision = from - 1};
    int err = 0;
    if (from <= mvcc_revision(h->mvcc)) {
        err = mvcc_history(h->mvcc, from, read_event, &p);
    }
    settle(h, p.cut ? p.revision : mvcc_revision(h->mvcc) + 1, err == 0);
    watch_batch_reset(&h->batch);
    *ret_err = err;
    return err == 0 && watch_wants_catch_up(h);
}
