/* Links, and the watches asked for on them. */
#include <stdlib.h>

#include "hub_state.h"

static const char path[] = "/etcdserverpb.Watch/Watch";

/* ---- requests upstream ---- */

static void send_request(struct hub_link *l, uint32_t number,
                         struct slice request)
{
    struct buf b = BUF_INIT(UINT32_MAX);
    proto_add_message(&b, number, request);
    l->hub->config.door.send(l->uplink, buf_slice(&b));
    buf_release(&b);
}

/* All that any watcher may want is asked for; each gets what it asked. */
static void send_create(struct hub_broadcast *b)
{
    struct hub_link *l = b->link;
    struct buf request = BUF_INIT(UINT32_MAX);
    b->id = ++l->last_id;
    proto_add_bytes(&request, 1, b->group->key);
    proto_add_bytes(&request, 2, b->group->end);
    proto_add_u64(&request, 3, (uint64_t)b->next);
    proto_add_u64(&request, 4, true); /* progress_notify */
    proto_add_u64(&request, 6, true); /* prev_kv */
    proto_add_u64(&request, 7, (uint64_t)b->id);
    table_add(&l->by_id, &b->table, table_hash_u64((uint64_t)b->id, 0));
    list_append(&l->pending, &b->in_pending);
    send_request(l, 1, buf_slice(&request));
    buf_release(&request);
}

static void send_cancel(struct hub_broadcast *b)
{
    struct buf request = BUF_INIT(64);
    proto_add_u64(&request, 1, (uint64_t)b->id);
    send_request(b->link, 2, buf_slice(&request));
    buf_release(&request);
}

void hub_ask_progress(struct hub_link *l)
{
    if (l->is_up) {
        send_request(l, 3, slice_of(NULL, 0));
    }
}

/* ---- groups and broadcasts ---- */

static struct hub_group *group_of(struct hub_link *l, struct slice key,
                                  struct slice end)
{
    uint64_t hash = table_hash(key) ^ 31 * table_hash(end);
    struct table_link *t = table_find(&l->by_range, hash);
    for (; t; t = table_next(t)) {
        struct hub_group *g = container_of(t, struct hub_group, table);
        if (slice_eq(g->key, key) && slice_eq(g->end, end)) {
            return g;
        }
    }
    struct hub_group *g = mem_zalloc(sizeof *g + key.size + end.size);
    uint8_t *at = (uint8_t *)(g + 1);
    memcpy(at, key.data, key.size);
    if (end.size) {
        memcpy(at + key.size, end.data, end.size);
    }
    g->key = slice_of(at, key.size);
    g->end = slice_of(at + key.size, end.size);
    list_init(&g->broadcasts);
    list_append(&l->groups, &g->link);
    table_add(&l->by_range, &g->table, hash);
    return g;
}

struct hub_broadcast *hub_broadcast_new(struct hub_link *l, struct hub_group *g,
                                        int64_t start)
{
    struct hub_broadcast *b = mem_zalloc(sizeof *b);
    b->link = l;
    b->group = g;
    b->next = start;
    list_init(&b->in_pending);
    list_init(&b->watchers);
    list_append(&g->broadcasts, &b->in_group);
    list_append(&l->broadcasts, &b->in_link);
    if (l->is_up) {
        send_create(b);
    }
    return b;
}

void hub_broadcast_drop(struct hub_broadcast *b)
{
    struct hub_link *l = b->link;
    struct hub_group *g = b->group;
    if (b->id) {
        table_remove(&l->by_id, &b->table);
    }
    list_remove(&b->in_pending);
    list_remove(&b->in_group);
    list_remove(&b->in_link);
    if (list_empty(&g->broadcasts)) {
        table_remove(&l->by_range, &g->table);
        list_remove(&g->link);
        free(g);
    }
    free(b);
}

/* Whether the watcher, which begins or comes back, may listen to it from now
 * on. One with a token is let in only where a member has yet to answer: then
 * the answer is also about it. One behind another on its stream whose answer
 * is awaited has to ask, since clients are answered in order. */
static bool may_join(const struct hub_watcher *w, const struct hub_broadcast *b)
{
    if (w->stream->untold > !w->is_told) {
        return false;
    }
    if (!b->is_created) {
        return b->next == w->next;
    }
    return b->link->token.size == 0 && b->is_live && w->next > 0 &&
           b->next <= w->next;
}

void hub_subscribe(struct hub_watcher *w)
{
    struct hub_link *l = w->stream->link;
    struct hub_group *g = group_of(l, w->key, w->end);
    struct hub_broadcast *found = NULL;
    list_each(it, safe, &g->broadcasts)
    {
        struct hub_broadcast *b =
            container_of(it, struct hub_broadcast, in_group);
        if (found == NULL && may_join(w, b)) {
            found = b;
        }
    }
    if (found == NULL) {
        found = hub_broadcast_new(l, g, w->next);
    }
    w->broadcast = found;
    found->count++;
    list_append(&found->watchers, &w->in_broadcast);
    if (found->is_created && !w->is_told) {
        hub_tell_created(w, &l->header);
    }
}

void hub_unsubscribe(struct hub_watcher *w)
{
    struct hub_broadcast *b = w->broadcast;
    if (b == NULL) {
        return;
    }
    list_remove(&w->in_broadcast);
    w->broadcast = NULL;
    if (--b->count > 0) {
        return;
    }
    /* One that is pending is dropped when it is answered: the answers come
     * in the order of the creates. */
    if (b->is_created || b->id == 0) {
        if (b->id) {
            send_cancel(b);
        }
        hub_broadcast_drop(b);
    }
}

/* ---- the uplink's events ---- */

static void on_up(void *ctx)
{
    struct hub_link *l = ctx;
    l->is_up = true;
    list_each(it, safe, &l->broadcasts)
    {
        send_create(container_of(it, struct hub_broadcast, in_link));
    }
}

static void on_message(void *ctx, struct slice message)
{
    struct hub_link *l = ctx;
    hub_answer(l, message); /* what is no answer says nothing to anybody */
    hub_settle(l->hub);
}

static void forget_session(struct hub_link *l)
{
    l->is_up = false;
    list_each(it, safe, &l->broadcasts)
    {
        struct hub_broadcast *b =
            container_of(it, struct hub_broadcast, in_link);
        if (b->id) {
            table_remove(&l->by_id, &b->table);
        }
        b->id = 0;
        b->is_created = b->is_live = b->is_ahead = false;
        list_remove(&b->in_pending);
        if (b->count == 0) { /* it waited for its answer */
            hub_broadcast_drop(b);
        }
    }
}

static void link_free(struct hub_link *l)
{
    forget_session(l);
    list_remove(&l->link);
    table_release(&l->by_id);
    table_release(&l->by_range);
    free((void *)(uintptr_t)l->token.data);
    free(l);
}

static bool on_down(void *ctx, enum grpc_code code, const char *text)
{
    struct hub_link *l = ctx;
    struct hub *h = l->hub;
    forget_session(l);
    if (uplink_may_resume(code, text, l->has_leader)) {
        return true;
    }
    while (!list_empty(&l->streams)) {
        struct hub_stream *s =
            container_of(l->streams.next, struct hub_stream, in_link);
        list_remove(&s->in_link);
        list_each(it, safe, &s->watchers)
        {
            hub_unsubscribe(container_of(it, struct hub_watcher, in_stream));
        }
        s->link = NULL;
        h->config.end(s->ctx, code, text);
    }
    link_free(l);
    return false;
}

struct hub_link *hub_link_get(struct hub *h, const struct credentials *c)
{
    static const struct uplink_handler handler = {on_up, on_message, on_down};
    list_each(it, safe, &h->links)
    {
        struct hub_link *l = container_of(it, struct hub_link, link);
        if (slice_eq(l->token, c->token) && l->has_leader == c->has_leader) {
            return l;
        }
    }
    struct hub_link *l = mem_zalloc(sizeof *l);
    l->hub = h;
    l->token =
        slice_of(c->token.size ? mem_dup(c->token.data, c->token.size) : NULL,
                 c->token.size);
    l->has_leader = c->has_leader;
    list_init(&l->streams);
    list_init(&l->groups);
    list_init(&l->broadcasts);
    list_init(&l->pending);
    list_append(&h->links, &l->link);
    l->uplink =
        h->config.door.open(h->config.door.ctx, path, c->metadata, &handler, l);
    return l;
}

void hub_link_release(struct hub_link *l)
{
    if (list_empty(&l->streams)) {
        l->hub->config.door.close(l->uplink);
        link_free(l);
    }
}
