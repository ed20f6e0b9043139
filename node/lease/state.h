/* What the lessor's files share: the structs and the expiry heap. */
#ifndef LEASE_STATE_H
#define LEASE_STATE_H

#include "base/idmap.h"
#include "base/list.h"
#include "base/table.h"
#include "lease.h"

enum { LEASE_NO_SLOT = -1 };

struct lease {
    int64_t id;
    int64_t ttl_s;
    int64_t remaining_s; /* of the last checkpoint; 0: none */
    uint64_t expiry_ms;  /* primary only */
    uint64_t due_ms;     /* when to hand it out: expiry, later a retry */
    ptrdiff_t slot;      /* in the heap; LEASE_NO_SLOT: not there */
    struct list keys;
    size_t key_count;
};

struct lease_key {
    struct table_link link; /* lessor.keys */
    struct list in_lease;
    struct lease *lease;
    uint32_t size;
    uint8_t data[];
};

/* Smallest due_ms first. */
struct lease_heap {
    struct lease **slots;
    size_t count;
    size_t capacity;
};

struct lessor {
    struct lessor_config config;
    struct idmap leases; /* id as u64 -> struct lease */
    struct table keys;
    struct lease_heap heap;
    size_t checkpoint_at; /* place in `leases` where the next look begins */
    bool primary;
    struct lease_stats stats;
};

/* What the log knows to be left of it. */
uint64_t lease_span_ms(const struct lease *lease);
/* The lease falls due at `expiry_ms`. */
void lease_set_expiry(struct lessor *l, struct lease *lease,
                      uint64_t expiry_ms);
struct lease *lease_find(const struct lessor *l, int64_t id);

void lease_heap_release(struct lease_heap *h);
void lease_heap_push(struct lease_heap *h, struct lease *lease);
void lease_heap_remove(struct lease_heap *h, struct lease *lease);
/* due_ms of a lease in the heap changed. */
void lease_heap_moved(struct lease_heap *h, struct lease *lease);

void lease_drop_keys(struct lessor *l, struct lease *lease);

/* `row` parses into id, TTL and remaining TTL. ERR_CORRUPT. */
int lease_row_decode(struct slice row, int64_t *ret_id, int64_t *ret_ttl_s,
                     int64_t *ret_remaining_s);
void lease_row_store(struct lessor *l, const struct lease *lease);
void lease_row_drop(struct lessor *l, int64_t id);

#endif
