/* Which key hangs on which lease. */
#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "state.h"

static struct lease_key *find_key(const struct lessor *l, struct slice key,
                                  uint64_t hash)
{
    struct table_link *t = table_find(&l->keys, hash);
    for (; t; t = table_next(t)) {
        struct lease_key *k = container_of(t, struct lease_key, link);
        if (slice_eq(slice_of(k->data, k->size), key)) {
            return k;
        }
    }
    return NULL;
}

static void drop_key(struct lessor *l, struct lease_key *k)
{
    table_remove(&l->keys, &k->link);
    list_remove(&k->in_lease);
    k->lease->key_count--;
    free(k);
}

int lease_attach(struct lessor *l, int64_t id, struct slice key)
{
    struct lease *lease = lease_find(l, id);
    if (!lease) {
        return ERR_LEASE_NOT_FOUND;
    }
    uint64_t hash = table_hash(key);
    struct lease_key *k = find_key(l, key, hash);
    if (k) {
        list_remove(&k->in_lease);
        k->lease->key_count--;
    } else {
        k = mem_alloc(sizeof *k + key.size);
        k->size = (uint32_t)key.size;
        if (key.size) {
            memcpy(k->data, key.data, key.size);
        }
        table_add(&l->keys, &k->link, hash);
    }
    k->lease = lease;
    list_append(&lease->keys, &k->in_lease);
    lease->key_count++;
    return 0;
}

void lease_attach_row(void *ctx, int64_t lease, struct slice key)
{
    (void)lease_attach(ctx, lease, key);
}

void lease_detach(struct lessor *l, int64_t id, struct slice key)
{
    struct lease_key *k = find_key(l, key, table_hash(key));
    if (k && k->lease->id == id) {
        drop_key(l, k);
    }
}

void lease_drop_keys(struct lessor *l, struct lease *lease)
{
    list_each(it, next, &lease->keys)
    {
        drop_key(l, container_of(it, struct lease_key, in_lease));
    }
    assert(lease->key_count == 0);
}

static int compare_slices(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

int lease_keys(const struct lessor *l, int64_t id, struct slice **ret_keys,
               size_t *ret_count)
{
    struct lease *lease = lease_find(l, id);
    if (!lease) {
        return ERR_LEASE_NOT_FOUND;
    }
    struct slice *keys = mem_alloc((lease->key_count + 1) * sizeof *keys);
    size_t count = 0;
    list_each(it, next, &lease->keys)
    {
        struct lease_key *k = container_of(it, struct lease_key, in_lease);
        keys[count++] = slice_of(k->data, k->size);
    }
    assert(count == lease->key_count);
    qsort(keys, count, sizeof *keys, compare_slices);
    *ret_keys = keys;
    *ret_count = count;
    return 0;
}
