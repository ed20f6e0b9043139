/*
 * An image that did not arrive is not sent again at once: making one reads
 * the whole store, and what kept it from arriving (a full disk, a member that
 * keeps crashing) is seldom over within a heartbeat. Until the pause is over
 * Raft does not hear of the failure, and waits.
 */
#include <stdlib.h>

#include "node.h"

enum {
    PAUSE_FIRST_MS = 100,
    PAUSE_DOUBLINGS_MAX = 8, /* 25.6 s */
};

struct node_image_retry {
    struct list link;
    struct node *node;
    uint64_t id; /* of the follower */
    uint32_t failures;
    struct timer *pause;
};

static void report_failure(void *ctx)
{
    struct node_image_retry *t = ctx;
    raft_report_snapshot(replica_raft(t->node->replica), t->id, false);
}

static struct node_image_retry *find(struct node *n, uint64_t id)
{
    list_each(it, safe, &n->image_retries)
    {
        struct node_image_retry *t =
            container_of(it, struct node_image_retry, link);
        if (t->id == id) {
            return t;
        }
    }
    return NULL;
}

static void forget(struct node_image_retry *t)
{
    list_remove(&t->link);
    timer_free(t->pause);
    free(t);
}

static struct node_image_retry *add(struct node *n, uint64_t id)
{
    struct node_image_retry *t = mem_zalloc(sizeof *t);
    t->node = n;
    t->id = id;
    t->pause = timer_new(n->loop, report_failure, t);
    list_append(&n->image_retries, &t->link);
    return t;
}

/* Raft asks again by itself after a change of leaders. */
void node_image_begins(struct node *n, uint64_t id)
{
    struct node_image_retry *t = find(n, id);
    if (t) {
        timer_stop(t->pause);
    }
}

void node_image_sent(struct node *n, uint64_t id, bool ok)
{
    struct node_image_retry *t = find(n, id);
    if (ok) {
        if (t) {
            forget(t);
        }
        raft_report_snapshot(replica_raft(n->replica), id, true);
        return;
    }
    if (t == NULL) {
        t = add(n, id);
    }
    timer_start(t->pause, (uint64_t)PAUSE_FIRST_MS << t->failures, 0);
    if (t->failures < PAUSE_DOUBLINGS_MAX) {
        t->failures++;
    }
}

void node_image_retries_end(struct node *n)
{
    list_each(it, safe, &n->image_retries)
    {
        forget(container_of(it, struct node_image_retry, link));
    }
}
