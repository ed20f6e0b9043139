#include <stdlib.h>
#include <string.h>

#include "srv/internal.h"

static void move_to_front(struct srv_record *list, uint32_t at)
{
    struct srv_record moved = list[at];
    memmove(&list[1], &list[0], at * sizeof *list);
    list[0] = moved;
}

static void sort_by_priority(struct srv_record *list, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        uint32_t at = i;
        while (at > 0 && list[at - 1].priority > list[i].priority) {
            at--;
        }
        move_to_front(&list[at], i - at);
    }
}

/* The record that a number below the sum of all weights falls on. */
static uint32_t at_weight(const struct srv_record *list, uint64_t number)
{
    uint32_t i = 0;
    while (number >= list[i].weight) {
        number -= list[i++].weight;
    }
    return i;
}

static void draw_by_weight(struct srv_record *list, uint32_t count,
                           struct rng *rng)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += list[i].weight;
    }
    for (; sum > 0; list++) {
        move_to_front(list, at_weight(list, rng_below(rng, sum)));
        sum -= list[0].weight;
    }
}

void srv_order(struct srv_record *list, uint32_t count, struct rng *rng)
{
    sort_by_priority(list, count);
    for (uint32_t first = 0, end; first < count; first = end) {
        end = first + 1;
        while (end < count && list[end].priority == list[first].priority) {
            end++;
        }
        draw_by_weight(&list[first], end - first, rng);
    }
}
