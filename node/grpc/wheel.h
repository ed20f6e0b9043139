/*
 * Deadlines, most of which never come: adding and removing is O(1). A hashed
 * wheel: slot = tick % slots; a deadline further off than one turn waits in
 * its slot for its turn to come.
 */
#ifndef GRPC_WHEEL_H
#define GRPC_WHEEL_H

#include <stdint.h>

#include "base/list.h"

enum { WHEEL_SLOTS = 256, WHEEL_TICK_MS = 16 };

struct wheel_node {
    struct list link;
    uint64_t at_ms;
};

struct wheel {
    struct list slots[WHEEL_SLOTS];
    uint64_t tick; /* done up to here */
    uint32_t count;
};

void wheel_init(struct wheel *w, uint64_t now_ms);
static inline void wheel_node_init(struct wheel_node *n)
{
    list_init(&n->link);
}
void wheel_add(struct wheel *w, struct wheel_node *n, uint64_t at_ms);
/* Harmless for a node that is not in. */
void wheel_remove(struct wheel *w, struct wheel_node *n);
/* Takes one due node out; NULL: no more up to now_ms. Never early, late by
 * less than a tick. */
struct wheel_node *wheel_expire(struct wheel *w, uint64_t now_ms);
/* When to look again; UINT64_MAX: nothing waits. */
uint64_t wheel_next_ms(const struct wheel *w);

#endif
