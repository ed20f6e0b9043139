#include <stdlib.h>

#include "hub_state.h"

enum { CREATE = 1, CANCEL = 2, PROGRESS = 3 };

static const char duplicate_id[] =
    "mvcc: duplicate watch ID provided on the WatchStream";

struct hub *hub_new(const struct hub_config *config)
{
    struct hub *h = mem_zalloc(sizeof *h);
    h->config = *config;
    list_init(&h->links);
    list_init(&h->slow);
    return h;
}

void hub_free(struct hub *h)
{
    free(h);
}

/* ---- watchers ---- */

static struct hub_watcher *find(const struct hub_stream *s, int64_t id)
{
    uint64_t hash = table_hash_u64((uint64_t)id, 0);
    struct table_link *t = table_find(&s->by_id, hash);
    for (; t; t = table_next(t)) {
        struct hub_watcher *w = container_of(t, struct hub_watcher, table);
        if (w->id == id) {
            return w;
        }
    }
    return NULL;
}

static void put_id(struct hub_watcher *w, int64_t id)
{
    w->id = id;
    w->has_id = true;
    table_add(&w->stream->by_id, &w->table, table_hash_u64((uint64_t)id, 0));
}

void hub_watcher_name(struct hub_watcher *w)
{
    struct hub_stream *s = w->stream;
    if (!w->has_id) {
        while (find(s, s->next_id)) {
            s->next_id++;
        }
        put_id(w, s->next_id++);
    }
}

void hub_watcher_free(struct hub_watcher *w)
{
    if (w->has_id) {
        table_remove(&w->stream->by_id, &w->table);
    }
    w->stream->untold -= !w->is_told;
    list_remove(&w->in_stream);
    list_remove(&w->in_broadcast);
    w->stream->count--;
    free(w);
}

/* ---- requests ---- */

static struct hub_watcher *watcher_new(struct hub_stream *s,
                                       const struct proto_watch_create *c)
{
    const struct name_space *ns = s->hub->config.name_space;
    struct buf range = BUF_INIT(UINT32_MAX);
    name_space_key(ns, c->key, &range);
    size_t key_size = range.size;
    name_space_range_end(ns, c->end, &range);
    struct hub_watcher *w = mem_zalloc(sizeof *w + range.size);
    uint8_t *at = (uint8_t *)(w + 1);
    memcpy(at, range.data, range.size);
    w->key = slice_of(at, key_size);
    w->end = slice_of(at + key_size, range.size - key_size);
    buf_release(&range);
    w->stream = s;
    w->next = c->start_revision;
    w->progress = c->progress_notify;
    w->prev_kv = c->prev_kv;
    w->no_put = c->no_put;
    w->no_delete = c->no_delete;
    w->fragment = c->fragment;
    list_init(&w->in_broadcast);
    list_append(&s->watchers, &w->in_stream);
    s->count++;
    s->untold++;
    return w;
}

static bool range_is_empty(struct slice key, struct slice end)
{
    bool endless = end.size == 1 && end.data[0] == 0;
    return end.size && !endless && slice_cmp(key, end) >= 0;
}

static int create(struct hub_stream *s, struct slice message)
{
    struct proto_watch_create c;
    int err = proto_decode_watch_create(message, &c);
    if (err) {
        return err;
    }
    if (c.key.size == 0) {
        c.key = slice_of("", 1); /* the smallest key, "\0" */
    }
    bool is_taken = c.watch_id && find(s, c.watch_id);
    /* Of what is wrong beside the id a member says which counts. */
    if (is_taken && c.start_revision >= 0 && !range_is_empty(c.key, c.end)) {
        struct hub_say say = {.header = &s->link->header,
                              .watch_id = -1,
                              .created = true,
                              .canceled = true,
                              .reason = slice_str(duplicate_id)};
        hub_tell(s, &say, NULL);
        return 0;
    }
    struct hub_watcher *w = watcher_new(s, &c);
    if (c.watch_id && !is_taken) {
        put_id(w, c.watch_id);
    }
    if (!s->is_slow) {
        hub_subscribe(w);
    }
    return 0;
}

static int cancel(struct hub_stream *s, struct slice message)
{
    struct proto_field f;
    int64_t id = 0;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.number == 1 && f.wire == PROTO_VARINT) {
            id = (int64_t)f.value;
        }
    }
    struct hub_watcher *w = more == 0 ? find(s, id) : NULL;
    if (w) {
        struct hub_say say = {
            .header = &s->link->header, .watch_id = id, .canceled = true};
        hub_unsubscribe(w);
        hub_watcher_free(w);
        hub_tell(s, &say, NULL);
    }
    return more;
}

int hub_stream_message(struct hub_stream *s, struct slice message)
{
    struct proto_field f, request = {0};
    int more;
    /* One of a oneof; of several the last counts. */
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.wire == PROTO_BYTES && f.number <= PROGRESS) {
            request = f;
        }
    }
    int err = more;
    if (s->link == NULL) {
        return 0; /* it has been told its end */
    }
    if (err == 0 && request.number == CREATE) {
        err = create(s, request.bytes);
    } else if (err == 0 && request.number == CANCEL) {
        err = cancel(s, request.bytes);
    } else if (err == 0 && request.number == PROGRESS && s->count) {
        s->asks_progress = true;
        hub_ask_progress(s->link);
    }
    hub_settle(s->hub);
    return err;
}

/* ---- slow readers ---- */

void hub_settle(struct hub *h)
{
    while (!list_empty(&h->slow)) {
        struct hub_stream *s =
            container_of(h->slow.next, struct hub_stream, in_slow);
        list_remove(&s->in_slow);
        list_each(it, safe, &s->watchers)
        {
            hub_unsubscribe(container_of(it, struct hub_watcher, in_stream));
        }
    }
}

void hub_stream_resume(struct hub_stream *s)
{
    if (!s->is_slow || s->link == NULL) {
        return;
    }
    s->is_slow = false;
    list_remove(&s->in_slow);
    list_each(it, safe, &s->watchers)
    {
        struct hub_watcher *w = container_of(it, struct hub_watcher, in_stream);
        if (w->broadcast == NULL) {
            hub_subscribe(w);
        }
    }
    hub_settle(s->hub);
}

/* ---- streams ---- */

struct hub_stream *hub_stream_new(struct hub *h, const struct credentials *c,
                                  void *ctx)
{
    struct hub_stream *s = mem_zalloc(sizeof *s);
    s->hub = h;
    s->ctx = ctx;
    list_init(&s->watchers);
    list_init(&s->in_slow);
    s->link = hub_link_get(h, c);
    list_append(&s->link->streams, &s->in_link);
    return s;
}

void hub_stream_free(struct hub_stream *s)
{
    struct hub_link *l = s->link;
    while (!list_empty(&s->watchers)) {
        struct hub_watcher *w =
            container_of(s->watchers.next, struct hub_watcher, in_stream);
        hub_unsubscribe(w);
        hub_watcher_free(w);
    }
    list_remove(&s->in_link);
    list_remove(&s->in_slow);
    table_release(&s->by_id);
    free(s);
    if (l) {
        hub_link_release(l);
    }
}

void hub_get_stats(const struct hub *h, struct hub_stats *ret)
{
    struct hub_stats stats = {.events_coalesced = h->events_coalesced};
    list_each(it, safe, &h->links)
    {
        struct hub_link *l = container_of(it, struct hub_link, link);
        list_each(st, next, &l->streams)
        {
            stats.watchers +=
                container_of(st, struct hub_stream, in_link)->count;
        }
        list_each(gr, after, &l->groups)
        {
            struct hub_group *g = container_of(gr, struct hub_group, link);
            list_each(br, following, &g->broadcasts)
            {
                uint32_t count =
                    container_of(br, struct hub_broadcast, in_group)->count;
                stats.broadcasts++;
                stats.coalesced += count > 1 ? count - 1 : 0;
            }
        }
    }
    *ret = stats;
}
