#include "lease.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "state.h"

struct lessor *lease_new(const struct lessor_config *config)
{
    struct lessor *l = mem_zalloc(sizeof *l);
    l->config = *config;
    return l;
}

struct lease *lease_find(const struct lessor *l, int64_t id)
{
    return id ? idmap_get(&l->leases, (uint64_t)id) : NULL;
}

static void clear(struct lessor *l)
{
    lease_heap_release(&l->heap);
    for (size_t i = 0; i < l->leases.capacity; i++) {
        if (l->leases.slots[i].id) {
            struct lease *lease = l->leases.slots[i].value;
            lease_drop_keys(l, lease);
            free(lease);
        }
    }
    idmap_release(&l->leases);
    l->leases = (struct idmap){0};
    table_release(&l->keys);
    l->primary = false;
}

void lease_free(struct lessor *l)
{
    if (l) {
        clear(l);
        free(l);
    }
}

static struct lease *add(struct lessor *l, int64_t id, int64_t ttl_s,
                         int64_t remaining_s)
{
    struct lease *lease = mem_zalloc(sizeof *lease);
    lease->id = id;
    lease->ttl_s = ttl_s < l->config.ttl_min_s ? l->config.ttl_min_s : ttl_s;
    lease->remaining_s = remaining_s;
    lease->slot = LEASE_NO_SLOT;
    list_init(&lease->keys);
    idmap_put(&l->leases, (uint64_t)id, lease);
    return lease;
}

static int load_row(void *ctx, struct slice key, struct slice value)
{
    struct lessor *l = ctx;
    int64_t id, ttl_s, remaining_s;
    int err = lease_row_decode(value, &id, &ttl_s, &remaining_s);
    if (err == 0 && !lease_find(l, id)) {
        add(l, id, ttl_s, remaining_s);
    }
    return err;
}

int lease_load(struct lessor *l, struct kvdb *db)
{
    clear(l);
    l->config.db = db;
    return kvdb_each(db, KVDB_LEASE, load_row, l);
}

uint64_t lease_span_ms(const struct lease *lease)
{
    int64_t s = lease->remaining_s > 0 ? lease->remaining_s : lease->ttl_s;
    return (uint64_t)s * 1000;
}

void lease_set_expiry(struct lessor *l, struct lease *lease, uint64_t expiry_ms)
{
    lease->expiry_ms = expiry_ms;
    lease->due_ms = expiry_ms;
    if (lease->slot == LEASE_NO_SLOT) {
        lease_heap_push(&l->heap, lease);
    } else {
        lease_heap_moved(&l->heap, lease);
    }
}

int lease_grant(struct lessor *l, int64_t id, int64_t ttl_s, uint64_t now_ms,
                int64_t *ret_ttl_s)
{
    if (id == 0) {
        return ERR_LEASE_NOT_FOUND;
    }
    if (ttl_s > LEASE_TTL_MAX) {
        return ERR_TOO_LARGE;
    }
    if (lease_find(l, id)) {
        return ERR_EXISTS;
    }
    struct lease *lease = add(l, id, ttl_s, 0);
    if (l->primary) {
        lease_set_expiry(l, lease, now_ms + lease_span_ms(lease));
    }
    lease_row_store(l, lease);
    l->stats.granted_total++;
    *ret_ttl_s = lease->ttl_s;
    return 0;
}

int lease_revoke(struct lessor *l, int64_t id)
{
    struct lease *lease = lease_find(l, id);
    if (!lease) {
        return ERR_LEASE_NOT_FOUND;
    }
    lease_drop_keys(l, lease);
    lease_heap_remove(&l->heap, lease);
    idmap_take(&l->leases, (uint64_t)id);
    lease_row_drop(l, id);
    free(lease);
    l->stats.revoked_total++;
    return 0;
}

bool lease_exists(const struct lessor *l, int64_t id)
{
    return lease_find(l, id) != NULL;
}

bool lease_is_primary(const struct lessor *l)
{
    return l->primary;
}

size_t lease_count(const struct lessor *l)
{
    return l->leases.count;
}

void lease_get_stats(const struct lessor *l, struct lease_stats *ret_stats)
{
    *ret_stats = l->stats;
}

static int by_expiry(const void *a, const void *b)
{
    const struct lease *x = *(struct lease *const *)a;
    const struct lease *y = *(struct lease *const *)b;
    if (x->expiry_ms != y->expiry_ms) {
        return x->expiry_ms < y->expiry_ms ? -1 : 1;
    }
    return x->id < y->id ? -1 : x->id > y->id;
}

/* An array of all, to free(), in by_expiry order. */
static struct lease **sorted(const struct lessor *l)
{
    struct lease **all = mem_alloc((l->leases.count + 1) * sizeof *all);
    size_t count = 0;
    for (size_t i = 0; i < l->leases.capacity; i++) {
        if (l->leases.slots[i].id) {
            all[count++] = l->leases.slots[i].value;
        }
    }
    assert(count == l->leases.count);
    qsort(all, count, sizeof *all, by_expiry);
    return all;
}

/* Many leases that were granted over hours must not all fall due in the one
 * second after a change of leader: each waits for the one that stands
 * LEASE_SPREAD_PER_SECOND places before it. */
static void spread(struct lease **all, size_t count)
{
    if (count < LEASE_SPREAD_FROM) {
        return;
    }
    for (size_t i = LEASE_SPREAD_PER_SECOND; i < count; i++) {
        uint64_t least = all[i - LEASE_SPREAD_PER_SECOND]->expiry_ms + 1000;
        if (all[i]->expiry_ms < least) {
            all[i]->expiry_ms = least;
        }
    }
}

void lease_promote(struct lessor *l, uint64_t now_ms, uint64_t extend_ms)
{
    for (size_t i = 0; i < l->leases.capacity; i++) {
        if (l->leases.slots[i].id) {
            struct lease *lease = l->leases.slots[i].value;
            lease->expiry_ms = now_ms + extend_ms + lease_span_ms(lease);
        }
    }
    struct lease **all = sorted(l);
    spread(all, l->leases.count);
    lease_heap_release(&l->heap);
    for (size_t i = 0; i < l->leases.count; i++) {
        lease_set_expiry(l, all[i], all[i]->expiry_ms);
    }
    free(all);
    l->primary = true;
}

void lease_demote(struct lessor *l)
{
    lease_heap_release(&l->heap);
    for (size_t i = 0; i < l->leases.capacity; i++) {
        if (l->leases.slots[i].id) {
            ((struct lease *)l->leases.slots[i].value)->expiry_ms = 0;
        }
    }
    l->primary = false;
}

int lease_renew(struct lessor *l, int64_t id, uint64_t now_ms,
                int64_t *ret_ttl_s, bool *ret_checkpoint)
{
    if (!l->primary) {
        return ERR_NOT_LEADER;
    }
    struct lease *lease = lease_find(l, id);
    if (!lease) {
        return ERR_LEASE_NOT_FOUND;
    }
    if (lease->expiry_ms <= now_ms) {
        return ERR_AGAIN;
    }
    *ret_checkpoint = lease->remaining_s > 0;
    lease->remaining_s = 0;
    lease_set_expiry(l, lease, now_ms + lease_span_ms(lease));
    l->stats.renewed_total++;
    *ret_ttl_s = lease->ttl_s;
    return 0;
}

size_t lease_expired(struct lessor *l, uint64_t now_ms, int64_t *ret_ids,
                     size_t capacity)
{
    size_t count = 0;
    while (count < capacity && l->heap.count > 0) {
        struct lease *lease = l->heap.slots[0];
        if (lease->due_ms > now_ms) {
            break;
        }
        ret_ids[count++] = lease->id;
        lease->due_ms = now_ms + l->config.retry_ms;
        lease_heap_moved(&l->heap, lease);
    }
    return count;
}

int lease_get(const struct lessor *l, int64_t id, uint64_t now_ms,
              struct lease_info *ret_info)
{
    const struct lease *lease = lease_find(l, id);
    if (!lease) {
        return ERR_LEASE_NOT_FOUND;
    }
    ret_info->ttl_s = lease->ttl_s;
    ret_info->remaining_s = lease->ttl_s;
    if (l->primary) {
        uint64_t left =
            lease->expiry_ms > now_ms ? lease->expiry_ms - now_ms : 0;
        ret_info->remaining_s = (int64_t)(left / 1000);
    }
    return 0;
}

size_t lease_list(const struct lessor *l, int64_t **ret_ids)
{
    struct lease **all = sorted(l);
    size_t count = l->leases.count;
    int64_t *ids = mem_alloc((count + 1) * sizeof *ids);
    for (size_t i = 0; i < count; i++) {
        ids[i] = all[i]->id;
    }
    free(all);
    *ret_ids = ids;
    return count;
}
