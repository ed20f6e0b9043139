#include "idmap.h"

#include <assert.h>
#include <stdlib.h>

#include "mem.h"

enum { CAPACITY_MIN = 16 };

static size_t home(const struct idmap *m, uint64_t id)
{
    return (size_t)((id * 0x9e3779b97f4a7c15u) >> 20) & (m->capacity - 1);
}

static struct idmap_slot *find(const struct idmap *m, uint64_t id)
{
    size_t i = home(m, id);
    while (m->slots[i].id != 0 && m->slots[i].id != id) {
        i = (i + 1) & (m->capacity - 1);
    }
    return &m->slots[i];
}

static void resize(struct idmap *m, size_t capacity)
{
    struct idmap old = *m;
    m->slots = mem_zalloc(capacity * sizeof *m->slots);
    m->capacity = capacity;
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].id != 0) {
            *find(m, old.slots[i].id) = old.slots[i];
        }
    }
    free(old.slots);
}

void idmap_release(struct idmap *m)
{
    free(m->slots);
    *m = (struct idmap){0};
}

void idmap_put(struct idmap *m, uint64_t id, void *value)
{
    assert(id != 0);
    if ((m->count + 1) * 2 > m->capacity) {
        resize(m, m->capacity ? m->capacity * 2 : CAPACITY_MIN);
    }
    struct idmap_slot *s = find(m, id);
    m->count += s->id == 0;
    *s = (struct idmap_slot){id, value};
}

void *idmap_get(const struct idmap *m, uint64_t id)
{
    if (m->count == 0 || id == 0) {
        return NULL;
    }
    struct idmap_slot *s = find(m, id);
    return s->id ? s->value : NULL;
}

void *idmap_take(struct idmap *m, uint64_t id)
{
    if (m->count == 0 || id == 0) {
        return NULL;
    }
    struct idmap_slot *s = find(m, id);
    if (s->id == 0) {
        return NULL;
    }
    void *value = s->value;
    size_t hole = (size_t)(s - m->slots), mask = m->capacity - 1;
    for (size_t i = (hole + 1) & mask; m->slots[i].id; i = (i + 1) & mask) {
        size_t wanted = home(m, m->slots[i].id);
        if (((i - wanted) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct idmap_slot){0};
    m->count--;
    if (m->capacity > CAPACITY_MIN * 4 && m->count * 8 < m->capacity) {
        resize(m, m->capacity / 2);
    }
    return value;
}
