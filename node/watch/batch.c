/*
 * A batch: the events of one transaction, or of one catch-up pass, and for
 * each watcher concerned the list of those it gets. An event is encoded at
 * most twice (with and without prev_kv) however many watch it.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "proto/proto.h"
#include "state.h"

enum {
    FIELD_EVENTS = 11,    /* WatchResponse */
    FIELD_EVENT_TYPE = 1, /* Event */
    FIELD_EVENT_KV = 2,
    FIELD_EVENT_PREV_KV = 3,
    EVENT_DELETE = 1,
    /* Header, ids and flags of a response, at most. */
    RESPONSE_OVERHEAD = 96,
};

static void *grow(void *items, uint32_t *capacity, size_t item_size)
{
    *capacity = *capacity ? *capacity * 2 : 64;
    return mem_realloc(items, *capacity * item_size);
}

static void drop_events(struct watch_batch *b)
{
    for (uint32_t i = 0; i < b->event_count; i++) {
        bytes_unref(b->events[i].record);
        bytes_unref(b->events[i].plain);
        bytes_unref(b->events[i].with_prev);
    }
    b->event_count = 0;
}

void watch_batch_reset(struct watch_batch *b)
{
    drop_events(b);
    for (uint32_t i = 0; i < b->slot_count; i++) {
        if (b->slots[i].watcher) {
            b->slots[i].watcher->batch = WATCH_NO_BATCH;
        }
    }
    b->pair_count = b->slot_count = 0;
    b->bytes = 0;
}

void watch_batch_release(struct watch_batch *b)
{
    watch_batch_reset(b);
    free(b->events);
    free(b->pairs);
    free(b->slots);
    *b = (struct watch_batch){0};
}

static struct watch_slot *slot_of(struct watch_batch *b, struct watcher *w)
{
    if (w->batch == WATCH_NO_BATCH) {
        if (b->slot_count == b->slot_capacity) {
            b->slots = grow(b->slots, &b->slot_capacity, sizeof *b->slots);
        }
        b->slots[b->slot_count++] = (struct watch_slot){.watcher = w};
        w->batch = b->slot_count;
    }
    return &b->slots[w->batch - 1];
}

static void pair_up(struct watch_batch *b, struct watcher *w, uint32_t event)
{
    if (b->pair_count == b->pair_capacity) {
        b->pairs = grow(b->pairs, &b->pair_capacity, sizeof *b->pairs);
    }
    b->pairs[b->pair_count++] = (struct watch_pair){.event = event};
    struct watch_slot *slot = slot_of(b, w);
    if (slot->last) {
        b->pairs[slot->last - 1].next = b->pair_count;
    } else {
        slot->first = b->pair_count;
    }
    slot->last = b->pair_count;
    slot->count++;
}

static uint32_t keep_event(struct watch_batch *b, const struct mvcc_event *e)
{
    if (b->event_count == b->event_capacity) {
        b->events = grow(b->events, &b->event_capacity, sizeof *b->events);
    }
    b->events[b->event_count] = (struct watch_event){
        .record = bytes_ref(e->record),
        .mod_revision = e->mod_revision,
        .tombstone = e->tombstone,
        .created = !e->tombstone && e->create_revision == e->mod_revision,
    };
    b->bytes += e->record->size;
    return b->event_count++;
}

struct finding {
    struct watch_hub *hub;
    const struct mvcc_event *event;
    bool (*wants)(const struct watcher *w, const struct mvcc_event *event);
    bool kept;
    uint32_t index;
};

static bool filtered(const struct watcher *w, const struct mvcc_event *e)
{
    return e->tombstone ? w->no_delete : w->no_put;
}

static void found(void *ctx, struct watch_group *g)
{
    struct finding *f = ctx;
    list_each(it, next, &g->watchers)
    {
        struct watcher *w = container_of(it, struct watcher, in_group);
        if (filtered(w, f->event) || !f->wants(w, f->event)) {
            continue;
        }
        if (!f->kept) {
            f->index = keep_event(&f->hub->batch, f->event);
            f->kept = true;
        }
        pair_up(&f->hub->batch, w, f->index);
    }
}

void watch_batch_add(struct watch_hub *h, const struct mvcc_event *event,
                     bool (*wants)(const struct watcher *w,
                                   const struct mvcc_event *event))
{
    struct finding f = {.hub = h, .event = event, .wants = wants};
    watch_groups_of(h, event->key, found, &f);
}

/* The key inside a record: field 1, which is always its first. */
static struct slice key_of(const struct bytes *record)
{
    struct slice rest = bytes_slice(record);
    struct proto_field f;
    while (proto_next(&rest, &f) > 0) {
        if (f.number == 1 && f.wire == PROTO_BYTES) {
            return f.bytes;
        }
    }
    return (struct slice){NULL, 0};
}

static struct bytes *encode(const struct watch_event *e, struct slice prev)
{
    size_t size =
        proto_head_size(FIELD_EVENT_KV, e->record->size) + e->record->size;
    size += e->tombstone ? 2 : 0;
    if (prev.data) {
        size += proto_head_size(FIELD_EVENT_PREV_KV, prev.size) + prev.size;
    }
    struct bytes *b = bytes_new(proto_head_size(FIELD_EVENTS, size) + size);
    uint8_t *to = proto_head(b->data, FIELD_EVENTS, size);
    to = proto_u64(to, FIELD_EVENT_TYPE, e->tombstone ? EVENT_DELETE : 0);
    to = proto_head(to, FIELD_EVENT_KV, e->record->size);
    to = proto_copy(to, bytes_slice(e->record));
    if (prev.data) {
        to = proto_head(to, FIELD_EVENT_PREV_KV, prev.size);
        to = proto_copy(to, prev);
    }
    assert(to == b->data + b->size);
    return b;
}

/* Borrowed from the event. */
static struct bytes *encoded(struct watch_hub *h, struct watch_event *e,
                             bool prev_kv)
{
    if (!prev_kv || e->created) {
        if (!e->plain) {
            e->plain = encode(e, (struct slice){NULL, 0});
        }
        return e->plain;
    }
    if (!e->with_prev) {
        struct mvcc_kv kv;
        struct slice prev = {NULL, 0};
        /* Compacted or absent: the event goes without it. */
        if (mvcc_get_at(h->mvcc, key_of(e->record), e->mod_revision - 1, &kv) ==
            0) {
            prev = kv.encoded;
        }
        e->with_prev = encode(e, prev);
    }
    return e->with_prev;
}

struct part {
    uint32_t first; /* pair index + 1 */
    uint32_t count;
    uint64_t bytes;
};

/* As many events from `pair` on as stay below the limit, at least one. */
static struct part cut(struct watch_hub *h, const struct watcher *w,
                       uint32_t pair)
{
    struct watch_batch *b = &h->batch;
    struct part part = {.first = pair};
    uint64_t limit = w->fragment ? h->config.response_bytes_max : 0;
    while (pair) {
        const struct watch_pair *p = &b->pairs[pair - 1];
        struct bytes *e = encoded(h, &b->events[p->event], w->prev_kv);
        uint64_t more = part.bytes + e->size;
        if (limit && part.count && more + RESPONSE_OVERHEAD >= limit) {
            break;
        }
        part.bytes = more;
        part.count++;
        pair = p->next;
    }
    return part;
}

/* One reference for the caller. */
static struct bytes *join(struct watch_hub *h, const struct watcher *w,
                          const struct part *part)
{
    struct watch_batch *b = &h->batch;
    uint32_t pair = part->first;
    if (part->count == 1) {
        return bytes_ref(
            encoded(h, &b->events[b->pairs[pair - 1].event], w->prev_kv));
    }
    struct bytes *all = bytes_new(part->bytes);
    uint8_t *to = all->data;
    for (uint32_t i = 0; i < part->count; i++) {
        const struct watch_pair *p = &b->pairs[pair - 1];
        struct bytes *e = encoded(h, &b->events[p->event], w->prev_kv);
        to = proto_copy(to, bytes_slice(e));
        pair = p->next;
    }
    return all;
}

static uint32_t skip(const struct watch_batch *b, const struct part *part)
{
    uint32_t pair = part->first;
    for (uint32_t i = 0; i < part->count; i++) {
        pair = b->pairs[pair - 1].next;
    }
    return pair;
}

bool watch_batch_emit(struct watch_hub *h, const struct watch_slot *slot,
                      int64_t revision)
{
    struct watcher *w = slot->watcher;
    bool room = true;
    uint32_t pair = slot->first;
    /* Fragments go out together whatever the stream says: a response begun
     * is a response ended. */
    while (pair) {
        struct part part = cut(h, w, pair);
        pair = skip(&h->batch, &part);
        struct watch_response r = {
            .revision = revision,
            .watch_id = w->id,
            .fragment = pair != 0,
            .events = join(h, w, &part),
            .event_count = part.count,
        };
        room = w->stream->emit(w->stream->ctx, &r) && room;
        bytes_unref(r.events);
        h->stats.events_total += part.count;
    }
    w->told = true;
    return room;
}
