#include "keeper.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/list.h"
#include "base/table.h"
#include "proto/proto.h"

static const char path[] = "/etcdserverpb.Lease/LeaseKeepAlive";

struct keeper {
    struct keeper_config config;
    struct list links;
    struct keeper_stats stats;
};

/* A stream upstream, for one set of credentials. */
struct link {
    struct keeper *keeper;
    struct list link;
    struct slice token;
    bool has_leader;
    void *uplink;
    bool is_up;
    struct list streams;
    struct list asks; /* in the order they were sent */
    struct table by_id;
};

/* A lease whose answer is awaited. */
struct ask {
    struct table_link table;
    struct list in_link;
    int64_t id;
    struct list waiters;
};

struct waiter {
    struct list in_ask;
    struct list in_stream;
    struct keeper_stream *stream;
};

struct keeper_stream {
    struct keeper *keeper;
    struct link *link; /* NULL: ended */
    struct list in_link;
    struct list waiters;
    uint32_t count;
    bool is_half_closed;
    void *ctx;
};

/* ---- asks ---- */

static struct ask *find(const struct link *l, int64_t id)
{
    struct table_link *t =
        table_find(&l->by_id, table_hash_u64((uint64_t)id, 0));
    for (; t; t = table_next(t)) {
        struct ask *a = container_of(t, struct ask, table);
        if (a->id == id) {
            return a;
        }
    }
    return NULL;
}

static void send_ask(struct link *l, const struct ask *a)
{
    struct buf b = BUF_INIT(64);
    proto_add_u64(&b, 1, (uint64_t)a->id);
    l->keeper->config.door.send(l->uplink, buf_slice(&b));
    l->keeper->stats.sent++;
    buf_release(&b);
}

static void waiter_free(struct waiter *w)
{
    list_remove(&w->in_ask);
    list_remove(&w->in_stream);
    w->stream->count--;
    free(w);
}

static void ask_free(struct link *l, struct ask *a)
{
    while (!list_empty(&a->waiters)) {
        waiter_free(container_of(a->waiters.next, struct waiter, in_ask));
    }
    table_remove(&l->by_id, &a->table);
    list_remove(&a->in_link);
    free(a);
}

static void end_if_done(struct keeper_stream *s)
{
    if (s->is_half_closed && s->count == 0) {
        s->keeper->config.end(s->ctx, GRPC_OK, NULL);
    }
}

/* ---- the uplink's events ---- */

static void on_up(void *ctx)
{
    struct link *l = ctx;
    l->is_up = true;
    list_each(it, safe, &l->asks)
    {
        send_ask(l, container_of(it, struct ask, in_link));
    }
}

static int read_id(struct slice message, uint32_t number, int64_t *ret)
{
    struct proto_field f;
    int more;
    int64_t id = 0;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.number == number && f.wire == PROTO_VARINT) {
            id = (int64_t)f.value;
        }
    }
    *ret = id;
    return more;
}

static void on_message(void *ctx, struct slice message)
{
    struct link *l = ctx;
    int64_t id;
    struct ask *a = read_id(message, 2, &id) == 0 ? find(l, id) : NULL;
    if (a == NULL) {
        return;
    }
    while (!list_empty(&a->waiters)) {
        struct waiter *w = container_of(a->waiters.next, struct waiter, in_ask);
        struct keeper_stream *s = w->stream;
        waiter_free(w);
        l->keeper->config.emit(s->ctx, message);
        end_if_done(s);
    }
    ask_free(l, a);
}

static void link_free(struct link *l)
{
    while (!list_empty(&l->asks)) {
        ask_free(l, container_of(l->asks.next, struct ask, in_link));
    }
    list_remove(&l->link);
    table_release(&l->by_id);
    free((void *)(uintptr_t)l->token.data);
    free(l);
}

/* A renewal may be asked twice without harm, so what waits is sent again. */
static bool on_down(void *ctx, enum grpc_code code, const char *text)
{
    struct link *l = ctx;
    struct keeper *k = l->keeper;
    l->is_up = false;
    if (uplink_may_resume(code, text, l->has_leader)) {
        return true;
    }
    while (!list_empty(&l->streams)) {
        struct keeper_stream *s =
            container_of(l->streams.next, struct keeper_stream, in_link);
        list_remove(&s->in_link);
        s->link = NULL;
        k->config.end(s->ctx, code, text);
    }
    link_free(l);
    return false;
}

static struct link *link_get(struct keeper *k, const struct credentials *c)
{
    static const struct uplink_handler handler = {on_up, on_message, on_down};
    list_each(it, safe, &k->links)
    {
        struct link *l = container_of(it, struct link, link);
        if (slice_eq(l->token, c->token) && l->has_leader == c->has_leader) {
            return l;
        }
    }
    struct link *l = mem_zalloc(sizeof *l);
    l->keeper = k;
    l->token =
        slice_of(c->token.size ? mem_dup(c->token.data, c->token.size) : NULL,
                 c->token.size);
    l->has_leader = c->has_leader;
    list_init(&l->streams);
    list_init(&l->asks);
    list_append(&k->links, &l->link);
    l->uplink =
        k->config.door.open(k->config.door.ctx, path, c->metadata, &handler, l);
    return l;
}

/* ---- the door ---- */

struct keeper *keeper_new(const struct keeper_config *config)
{
    struct keeper *k = mem_zalloc(sizeof *k);
    k->config = *config;
    list_init(&k->links);
    return k;
}

void keeper_free(struct keeper *k)
{
    free(k);
}

struct keeper_stream *keeper_stream_new(struct keeper *k,
                                        const struct credentials *c, void *ctx)
{
    struct keeper_stream *s = mem_zalloc(sizeof *s);
    s->keeper = k;
    s->ctx = ctx;
    list_init(&s->waiters);
    s->link = link_get(k, c);
    list_append(&s->link->streams, &s->in_link);
    return s;
}

void keeper_stream_free(struct keeper_stream *s)
{
    struct link *l = s->link;
    while (!list_empty(&s->waiters)) {
        waiter_free(container_of(s->waiters.next, struct waiter, in_stream));
    }
    list_remove(&s->in_link);
    free(s);
    if (l && list_empty(&l->streams)) {
        l->keeper->config.door.close(l->uplink);
        link_free(l);
    }
}

int keeper_stream_message(struct keeper_stream *s, struct slice message)
{
    struct link *l = s->link;
    int64_t id;
    int err = read_id(message, 1, &id);
    if (err || l == NULL) {
        return err;
    }
    if (s->count == KEEPER_WAITING_MAX) {
        return ERR_TOO_LARGE;
    }
    struct ask *a = find(l, id);
    bool is_first = a == NULL;
    if (is_first) {
        a = mem_zalloc(sizeof *a);
        a->id = id;
        list_init(&a->waiters);
        list_append(&l->asks, &a->in_link);
        table_add(&l->by_id, &a->table, table_hash_u64((uint64_t)id, 0));
    }
    struct waiter *w = mem_zalloc(sizeof *w);
    w->stream = s;
    list_append(&a->waiters, &w->in_ask);
    list_append(&s->waiters, &w->in_stream);
    s->count++;
    s->keeper->stats.asked++;
    if (is_first && l->is_up) {
        send_ask(l, a);
    }
    return 0;
}

void keeper_stream_half_close(struct keeper_stream *s)
{
    s->is_half_closed = true;
    end_if_done(s);
}

void keeper_get_stats(const struct keeper *k, struct keeper_stats *ret)
{
    *ret = k->stats;
}
