/*
 * What is done between the passes of the loop, by a timer with no delay:
 * long work in slices (one step of one long range, one catch-up pass of the
 * watchers, then the sockets are read again), and what an applied entry
 * leads to but must not do while entries are being applied: proposing.
 */
#include "state.h"

void api_later(struct api *a)
{
    if (!a->later_armed && a->later) {
        a->later_armed = true;
        timer_start(a->later, 0, 0);
    }
}

void api_slice(struct api *a, struct api_wait *w,
               bool (*slice)(struct api_wait *w))
{
    w->poll = slice;
    list_append(&a->slices, &w->link);
    api_later(a);
}

/* The first in the row; with more to do it keeps its place for some turns,
 * since ten answers half done have their memory all at once and come later
 * than one after the other. True: there are more. */
static bool slice_first(struct api *a)
{
    if (list_empty(&a->slices)) {
        return false;
    }
    struct list *first = a->slices.next;
    struct api_wait *w = container_of(first, struct api_wait, link);
    list_remove(first);
    if (!w->poll(w)) {
        bool stays = ++w->turns < API_SLICE_TURNS;
        w->turns = stays ? w->turns : 0;
        list_append(stays ? a->slices.next : &a->slices, first);
    }
    return !list_empty(&a->slices);
}

void api_later_fire(void *ctx)
{
    struct api *a = ctx;
    a->later_armed = false;
    api_poll_waits(a);
    api_expire_leases(a);
    bool more = slice_first(a);
    int err;
    /* An error of the store leaves the watchers where they are, for the
     * next tick; the store itself reports what it is. */
    more = watch_catch_up(a->config.watch, &err) || more;
    if (more) {
        api_later(a);
    }
}
