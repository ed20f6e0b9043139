#include "cache.h"

#include <stdlib.h>

#include "base/table.h"

struct entry {
    struct table_link link;
    struct list used; /* in order of use, the least first */
    struct slice name;
    struct slice key; /* in `name` */
    struct slice end;
    int64_t revision;
    struct bytes *answer;
};

struct cache {
    struct table table;
    struct list used;
    struct list fills;
    int64_t written; /* highest revision of a write through the proxy */
    struct cache_stats stats;
    struct buf name; /* of what is looked up */
};

/* ---- names: token and canonical request ---- */

static void add_number(struct buf *b, uint64_t v)
{
    uint8_t bytes[PROTO_VARINT_MAX];
    buf_append(b, bytes, (size_t)(proto_varint(bytes, v) - bytes));
}

static void add_slice(struct buf *b, struct slice s)
{
    add_number(b, s.size);
    buf_append_slice(b, s);
}

/* The keys come last, so that an entry finds its own in its name. */
static struct slice name_of(struct cache *c, struct slice token,
                            const struct proto_range *r)
{
    struct buf *b = &c->name;
    b->size = 0;
    add_slice(b, token);
    add_number(b, (uint64_t)r->limit);
    add_number(b, (uint64_t)r->revision);
    add_number(b, (uint64_t)r->sort_order);
    add_number(b, (uint64_t)r->sort_target);
    add_number(b, r->keys_only);
    add_number(b, r->count_only);
    add_number(b, (uint64_t)r->min_mod_revision);
    add_number(b, (uint64_t)r->max_mod_revision);
    add_number(b, (uint64_t)r->min_create_revision);
    add_number(b, (uint64_t)r->max_create_revision);
    add_number(b, r->key.size);
    buf_append_slice(b, r->key);
    buf_append_slice(b, r->end);
    return buf_slice(b);
}

static struct entry *find(struct cache *c, struct slice name)
{
    struct table_link *t = table_find(&c->table, table_hash(name));
    for (; t; t = table_next(t)) {
        struct entry *e = container_of(t, struct entry, link);
        if (slice_eq(e->name, name)) {
            return e;
        }
    }
    return NULL;
}

static size_t bytes_of(const struct entry *e)
{
    return sizeof *e + e->name.size + e->answer->size;
}

static void drop(struct cache *c, struct entry *e)
{
    c->stats.bytes -= bytes_of(e);
    c->stats.count--;
    table_remove(&c->table, &e->link);
    list_remove(&e->used);
    bytes_unref(e->answer);
    free(e);
}

/* ---- overlapping ---- */

static bool is_open_end(struct slice end)
{
    return end.size == 1 && end.data[0] == 0;
}

/* Whether [a, a_end) lies wholly before b. */
static bool is_before(struct slice a, struct slice a_end, struct slice b)
{
    if (a_end.size == 0) { /* one key */
        return slice_cmp(a, b) < 0;
    }
    return !is_open_end(a_end) && slice_cmp(a_end, b) <= 0;
}

static bool overlaps(struct slice a, struct slice a_end, struct slice b,
                     struct slice b_end)
{
    return !is_before(a, a_end, b) && !is_before(b, b_end, a);
}

/* ---- the door ---- */

struct cache *cache_new(void)
{
    struct cache *c = mem_zalloc(sizeof *c);
    list_init(&c->used);
    list_init(&c->fills);
    buf_init(&c->name, UINT32_MAX);
    return c;
}

void cache_clear(struct cache *c)
{
    while (!list_empty(&c->used)) {
        drop(c, container_of(c->used.next, struct entry, used));
    }
    list_each(it, safe, &c->fills)
    {
        container_of(it, struct cache_fill, link)->is_stale = true;
    }
}

void cache_free(struct cache *c)
{
    if (c) {
        cache_clear(c);
        table_release(&c->table);
        buf_release(&c->name);
        free(c);
    }
}

struct bytes *cache_get(struct cache *c, struct slice token,
                        const struct proto_range *range)
{
    struct entry *e = find(c, name_of(c, token, range));
    if (e == NULL) {
        c->stats.misses++;
        return NULL;
    }
    c->stats.hits++;
    list_remove(&e->used);
    list_append(&c->used, &e->used);
    return e->answer;
}

void cache_fill_begin(struct cache *c, struct cache_fill *f, struct slice token,
                      const struct proto_range *range)
{
    f->token = token;
    f->range = *range;
    f->is_stale = false;
    list_append(&c->fills, &f->link);
}

static void put(struct cache *c, struct slice name,
                const struct proto_range *range, struct slice answer)
{
    struct entry *e = mem_alloc(sizeof *e + name.size);
    uint8_t *at = (uint8_t *)(e + 1);
    memcpy(at, name.data, name.size);
    size_t ends = range->key.size + range->end.size;
    *e = (struct entry){
        .name = slice_of(at, name.size),
        .key = slice_of(at + name.size - ends, range->key.size),
        .end = slice_of(at + name.size - range->end.size, range->end.size),
        .revision = range->revision,
        .answer = bytes_copy(answer),
    };
    table_add(&c->table, &e->link, table_hash(e->name));
    list_append(&c->used, &e->used);
    c->stats.count++;
    c->stats.bytes += bytes_of(e);
    while (c->stats.count > CACHE_COUNT_MAX ||
           c->stats.bytes > CACHE_BYTES_MAX) {
        drop(c, container_of(c->used.next, struct entry, used));
    }
}

void cache_fill_end(struct cache *c, struct cache_fill *f, struct slice answer,
                    int64_t revision)
{
    list_remove(&f->link);
    bool is_behind = f->range.revision == 0 && revision < c->written;
    if (answer.data == NULL || f->is_stale || is_behind ||
        answer.size > CACHE_ANSWER_BYTES_MAX) {
        return;
    }
    struct slice name = name_of(c, f->token, &f->range);
    struct entry *old = find(c, name);
    if (old) {
        drop(c, old);
    }
    put(c, name, &f->range, answer);
}

void cache_written(struct cache *c, int64_t revision)
{
    c->written = c->written > revision ? c->written : revision;
}

void cache_invalidate(struct cache *c, struct slice key, struct slice end)
{
    list_each(it, safe, &c->used)
    {
        struct entry *e = container_of(it, struct entry, used);
        if (e->revision == 0 && overlaps(e->key, e->end, key, end)) {
            drop(c, e);
        }
    }
    list_each(it, safe, &c->fills)
    {
        struct cache_fill *f = container_of(it, struct cache_fill, link);
        if (f->range.revision == 0 &&
            overlaps(f->range.key, f->range.end, key, end)) {
            f->is_stale = true;
        }
    }
}

void cache_compact(struct cache *c, int64_t revision)
{
    list_each(it, safe, &c->used)
    {
        struct entry *e = container_of(it, struct entry, used);
        if (e->revision > 0 && e->revision < revision) {
            drop(c, e);
        }
    }
    list_each(it, safe, &c->fills)
    {
        struct cache_fill *f = container_of(it, struct cache_fill, link);
        if (f->range.revision > 0 && f->range.revision < revision) {
            f->is_stale = true;
        }
    }
}

void cache_get_stats(const struct cache *c, struct cache_stats *ret)
{
    *ret = c->stats;
}
