#include "grpc/wheel.h"

static uint64_t tick_of(uint64_t at_ms)
{
    return (at_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
}

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    for (int i = 0; i < WHEEL_SLOTS; i++) {
        list_init(&w->slots[i]);
    }
    w->tick = now_ms / WHEEL_TICK_MS;
    w->count = 0;
}

void wheel_add(struct wheel *w, struct wheel_node *n, uint64_t at_ms)
{
    uint64_t tick = tick_of(at_ms);
    if (tick <= w->tick) {
        tick = w->tick + 1; /* past: the next tick */
    }
    n->at_ms = tick * WHEEL_TICK_MS;
    list_append(&w->slots[tick % WHEEL_SLOTS], &n->link);
    w->count++;
}

void wheel_remove(struct wheel *w, struct wheel_node *n)
{
    if (!list_empty(&n->link)) {
        list_remove(&n->link);
        w->count--;
    }
}

static struct wheel_node *due_in(struct wheel *w, uint64_t slot,
                                 uint64_t now_ms)
{
    list_each(it, safe, &w->slots[slot % WHEEL_SLOTS])
    {
        struct wheel_node *n = container_of(it, struct wheel_node, link);
        if (n->at_ms <= now_ms) {
            wheel_remove(w, n);
            return n;
        }
    }
    return NULL;
}

struct wheel_node *wheel_expire(struct wheel *w, uint64_t now_ms)
{
    uint64_t now = now_ms / WHEEL_TICK_MS;
    if (w->count && now > w->tick + WHEEL_SLOTS) {
        w->tick = now - WHEEL_SLOTS; /* one turn looks into every slot */
    }
    while (w->count && w->tick < now) {
        struct wheel_node *n = due_in(w, w->tick + 1, now_ms);
        if (n) {
            return n;
        }
        w->tick++;
    }
    if (!w->count && w->tick < now) {
        w->tick = now;
    }
    return NULL;
}

uint64_t wheel_next_ms(const struct wheel *w)
{
    for (uint64_t i = 1; w->count && i <= WHEEL_SLOTS; i++) {
        if (!list_empty(&w->slots[(w->tick + i) % WHEEL_SLOTS])) {
            return (w->tick + i) * WHEEL_TICK_MS;
        }
    }
    return UINT64_MAX;
}
