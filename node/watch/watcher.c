/* Streams, watchers, requests. */
#include <assert.h>
#include <stdlib.h>

#include "state.h"

static const char RANGE_EMPTY[] = "mvcc: watcher range is empty";
static const char DUPLICATE_ID[] =
    "mvcc: duplicate watch ID provided on the WatchStream";
static const char COMPACTED[] =
    "etcdserver: mvcc: required revision has been compacted";

static uint64_t id_hash(const struct watch_stream *s, int64_t id)
{
    return table_hash_u64((uint64_t)(uintptr_t)s, (uint64_t)id);
}

static struct watcher *find(const struct watch_stream *s, int64_t id)
{
    struct table_link *t = table_find(&s->hub->ids, id_hash(s, id));
    for (; t; t = table_next(t)) {
        struct watcher *w = container_of(t, struct watcher, by_id);
        if (w->stream == s && w->id == id) {
            return w;
        }
    }
    return NULL;
}

/* ---- states ---- */
void watch_unsync(struct watcher *w, int64_t next_revision)
{
    if (w->next_revision < next_revision) {
        w->next_revision = next_revision;
    }
    w->future = false;
    if (w->synced) {
        w->synced = false;
        list_append(&w->stream->hub->unsynced, &w->in_unsynced);
        w->stream->unsynced_count++;
        w->stream->hub->stats.unsynced_count++;
        w->stream->hub->ready += !w->stream->blocked;
    }
}

void watch_sync(struct watcher *w)
{
    assert(!w->synced);
    w->synced = true;
    list_remove(&w->in_unsynced);
    w->stream->unsynced_count--;
    w->stream->hub->stats.unsynced_count--;
    w->stream->hub->ready -= !w->stream->blocked;
}

void watch_drop(struct watcher *w)
{
    struct watch_stream *s = w->stream;
    struct watch_hub *h = s->hub;
    assert(w->batch == WATCH_NO_BATCH);
    if (!w->synced) {
        watch_sync(w);
    }
    table_remove(&h->ids, &w->by_id);
    list_remove(&w->in_group);
    list_remove(&w->in_stream);
    watch_group_put(h, w->group);
    s->watcher_count--;
    s->progress_count -= w->progress_notify;
    h->stats.watcher_count--;
    free(w);
}

/* ---- streams ---- */
static void schedule_progress(struct watch_stream *s, uint64_t now_ms)
{
    struct watch_hub *h = s->hub;
    uint64_t interval = h->config.progress_interval_ms;
    uint64_t jitter = interval * WATCH_PROGRESS_JITTER / 100;
    s->progress_due_ms = now_ms + interval + rng_below(&h->rng, jitter + 1);
}

struct watch_stream *watch_stream_new(struct watch_hub *h, uint64_t now_ms,
                                      watch_emit *emit, void *ctx)
{
    struct watch_stream *s = mem_zalloc(sizeof *s);
    s->hub = h;
    s->emit = emit;
    s->ctx = ctx;
    list_init(&s->watchers);
    list_append(&h->streams, &s->in_hub);
    schedule_progress(s, now_ms);
    h->stats.stream_count++;
    return s;
}

void watch_stream_free(struct watch_stream *s)
{
    list_each(it, next, &s->watchers)
    {
        watch_drop(container_of(it, struct watcher, in_stream));
    }
    list_remove(&s->in_hub);
    s->hub->stats.stream_count--;
    free(s);
}

void watch_stream_block(struct watch_stream *s)
{
    if (!s->blocked) {
        s->blocked = true;
        s->hub->ready -= s->unsynced_count;
    }
}

void watch_stream_resume(struct watch_stream *s)
{
    if (s->blocked) {
        s->blocked = false;
        s->hub->ready += s->unsynced_count;
    }
}

/* ---- requests ---- */
static void refuse(struct watch_stream *s, const char *reason)
{
    struct watch_response r = {
        .revision = mvcc_revision(s->hub->mvcc),
        .watch_id = -1,
        .created = true,
        .canceled = true,
        .cancel_reason = reason,
    };
    s->emit(s->ctx, &r);
}

static bool range_is_empty(struct slice key, struct slice end)
{
    bool endless = end.size == 1 && end.data[0] == 0;
    return end.size && !endless && slice_cmp(key, end) >= 0;
}

static int64_t pick_id(struct watch_stream *s)
{
    while (find(s, s->next_id)) {
        s->next_id++;
    }
    return s->next_id++;
}

static struct watcher *add(struct watch_stream *s, const struct watch_create *c,
                           struct slice key)
{
    struct watch_hub *h = s->hub;
    struct watcher *w = mem_zalloc(sizeof *w);
    w->stream = s;
    w->id = c->watch_id ? c->watch_id : pick_id(s);
    w->progress_notify = c->progress_notify;
    w->prev_kv = c->prev_kv;
    w->fragment = c->fragment;
    w->no_put = c->no_put;
    w->no_delete = c->no_delete;
    w->synced = true;
    list_init(&w->in_unsynced);
    w->group = watch_group_get(h, key, c->end);
    list_append(&w->group->watchers, &w->in_group);
    list_append(&s->watchers, &w->in_stream);
    table_add(&h->ids, &w->by_id, id_hash(s, w->id));
    s->watcher_count++;
    s->progress_count += w->progress_notify;
    h->stats.watcher_count++;
    return w;
}

void watch_create(struct watch_stream *s, const struct watch_create *create)
{
    struct slice key = create->key;
    if (key.size == 0) {
        key = slice_of("\0", 1);
    }
    if (create->start_revision < 0) {
        refuse(s, COMPACTED);
        return;
    }
    if (range_is_empty(key, create->end)) {
        refuse(s, RANGE_EMPTY);
        return;
    }
    if (create->watch_id && find(s, create->watch_id)) {
        refuse(s, DUPLICATE_ID);
        return;
    }
    struct watcher *w = add(s, create, key);
    int64_t revision = mvcc_revision(s->hub->mvcc);
    if (create->start_revision == 0) {
        w->next_revision = revision + 1;
    } else if (create->start_revision > revision) {
        w->next_revision = create->start_revision;
        w->future = true;
    } else {
        watch_unsync(w, create->start_revision);
    }
    struct watch_response r = {
        .revision = revision,
        .watch_id = w->id,
        .created = true,
    };
    s->emit(s->ctx, &r);
}

void watch_cancel(struct watch_stream *s, int64_t watch_id)
{
    struct watcher *w = find(s, watch_id);
    if (!w) {
        return;
    }
    watch_drop(w);
    struct watch_response r = {
        .revision = mvcc_revision(s->hub->mvcc),
        .watch_id = watch_id,
        .canceled = true,
    };
    s->emit(s->ctx, &r);
}

/* Everything that happened up to now was told to it, and it has begun. */
static bool is_current(const struct watcher *w, int64_t revision)
{
    return w->synced && !(w->future && w->next_revision > revision);
}

void watch_progress(struct watch_stream *s)
{
    int64_t revision = mvcc_revision(s->hub->mvcc);
    if (s->watcher_count == 0 || s->unsynced_count || s->blocked) {
        return;
    }
    list_each(it, next, &s->watchers)
    {
        if (!is_current(container_of(it, struct watcher, in_stream),
                        revision)) {
            return;
        }
    }
    struct watch_response r = {.revision = revision, .watch_id = -1};
    s->emit(s->ctx, &r);
}

static void progress_of(struct watch_stream *s, int64_t revision)
{
    list_each(it, next, &s->watchers)
    {
        struct watcher *w = container_of(it, struct watcher, in_stream);
        if (w->progress_notify && !w->told && is_current(w, revision)) {
            struct watch_response r = {.revision = revision, .watch_id = w->id};
            s->emit(s->ctx, &r);
        }
        w->told = false;
    }
}

void watch_tick(struct watch_hub *h, uint64_t now_ms)
{
    if (h->config.progress_interval_ms == 0) {
        return;
    }
    int64_t revision = mvcc_revision(h->mvcc);
    list_each(it, next, &h->streams)
    {
        struct watch_stream *s = container_of(it, struct watch_stream, in_hub);
        if (now_ms < s->progress_due_ms) {
            continue;
        }
        schedule_progress(s, now_ms);
        if (s->progress_count && !s->blocked) {
            progress_of(s, revision);
        }
    }
}
