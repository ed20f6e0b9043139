/*
 * Intrusive, circular, doubly linked list: a head is a link that stands for
 * itself when the list is empty.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "mem.h"

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

/* Puts `item` at the end of the list of `head`. */
static inline void list_append(struct list *head, struct list *item)
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}

/* Takes `item` out; it is then a list of its own, so a second call is
 * harmless. */
static inline void list_remove(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

/* The loop body may remove `it`. */
#define list_each(it, safe, head)                                        \
    for (struct list *it = (head)->next, *safe = it->next; it != (head); \
         it = safe, safe = it->next)

#endif
