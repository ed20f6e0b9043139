/* Groups: watchers of the same key, or of the same range, stand together. */
#include <stdlib.h>

#include "state.h"

static struct watch_group *group_new(struct slice key, struct slice end)
{
    struct watch_group *g = mem_zalloc(sizeof *g + key.size + end.size);
    uint8_t *bytes = (uint8_t *)(g + 1);
    if (key.size) {
        memcpy(bytes, key.data, key.size);
    }
    if (end.size) {
        memcpy(bytes + key.size, end.data, end.size);
    }
    g->key = slice_of(bytes, key.size);
    g->end = slice_of(bytes + key.size, end.size);
    list_init(&g->watchers);
    return g;
}

static struct watch_group *find_key(struct watch_hub *h, struct slice key,
                                    uint64_t hash)
{
    struct table_link *t = table_find(&h->groups, hash);
    for (; t; t = table_next(t)) {
        struct watch_group *g = container_of(t, struct watch_group, link);
        if (slice_eq(g->key, key)) {
            return g;
        }
    }
    return NULL;
}

struct watch_group *watch_group_get(struct watch_hub *h, struct slice key,
                                    struct slice end)
{
    struct watch_group *g;
    if (end.size == 0) {
        uint64_t hash = table_hash(key);
        g = find_key(h, key, hash);
        if (!g) {
            g = group_new(key, end);
            table_add(&h->groups, &g->link, hash);
        }
        return g;
    }
    g = watch_tree_find(h->ranges, key, end);
    if (!g) {
        g = group_new(key, end);
        h->ranges = watch_tree_insert(h->ranges, g);
    }
    return g;
}

void watch_group_put(struct watch_hub *h, struct watch_group *g)
{
    if (!list_empty(&g->watchers)) {
        return;
    }
    if (g->end.size == 0) {
        table_remove(&h->groups, &g->link);
    } else {
        h->ranges = watch_tree_remove(h->ranges, g);
    }
    free(g);
}

void watch_groups_of(struct watch_hub *h, struct slice key,
                     void (*found)(void *ctx, struct watch_group *g), void *ctx)
{
    if (h->groups.count) {
        struct watch_group *g = find_key(h, key, table_hash(key));
        if (g) {
            found(ctx, g);
        }
    }
    watch_tree_stab(h->ranges, key, found, ctx);
}
