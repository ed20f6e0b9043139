#include "table.h"

#include <assert.h>
#include <stdlib.h>

enum { TABLE_SLOTS_MIN = 16 };

void table_release(struct table *t)
{
    free(t->slots);
    *t = (struct table){0};
}

static void resize(struct table *t, size_t slot_count)
{
    struct table_link **slots = mem_zalloc(slot_count * sizeof *slots);
    for (size_t i = 0; i < t->slot_count; i++) {
        struct table_link *link = t->slots[i];
        while (link) {
            struct table_link *next = link->next;
            struct table_link **slot = &slots[link->hash & (slot_count - 1)];
            link->next = *slot;
            *slot = link;
            link = next;
        }
    }
    free(t->slots);
    t->slots = slots;
    t->slot_count = slot_count;
}

void table_add(struct table *t, struct table_link *link, uint64_t hash)
{
    if (t->count >= t->slot_count) {
        resize(t, t->slot_count ? t->slot_count * 2 : TABLE_SLOTS_MIN);
    }
    struct table_link **slot = &t->slots[hash & (t->slot_count - 1)];
    link->hash = hash;
    link->next = *slot;
    *slot = link;
    t->count++;
}

void table_remove(struct table *t, struct table_link *link)
{
    struct table_link **at = &t->slots[link->hash & (t->slot_count - 1)];
    while (*at != link) {
        assert(*at);
        at = &(*at)->next;
    }
    *at = link->next;
    t->count--;
    if (t->slot_count > TABLE_SLOTS_MIN && t->count < t->slot_count / 8) {
        resize(t, t->slot_count / 2);
    }
}

struct table_link *table_find(const struct table *t, uint64_t hash)
{
    if (t->slot_count == 0) {
        return NULL;
    }
    struct table_link *link = t->slots[hash & (t->slot_count - 1)];
    while (link && link->hash != hash) {
        link = link->next;
    }
    return link;
}

struct table_link *table_next(const struct table_link *link)
{
    uint64_t hash = link->hash;
    struct table_link *next = link->next;
    while (next && next->hash != hash) {
        next = next->next;
    }
    return next;
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t table_hash(struct slice s)
{
    uint64_t hash = 0x9e3779b97f4a7c15u ^ s.size;
    while (s.size >= 8) {
        uint64_t word;
        memcpy(&word, s.data, 8);
        hash = mix(hash ^ word);
        s = slice_from(s, 8);
    }
    uint64_t tail = 0;
    if (s.size) {
        memcpy(&tail, s.data, s.size);
    }
    return mix(hash ^ tail);
}

uint64_t table_hash_u64(uint64_t a, uint64_t b)
{
    return mix(mix(a + 0x9e3779b97f4a7c15u) ^ b);
}
