/*
 * Linearizable reads (dissertation 6.4): all that came in one pass share a
 * read index; they are served when this member has applied up to it.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "base/err.h"
#include "internal.h"

static struct read_batch *batch_of(struct list *link)
{
    return container_of(link, struct read_batch, link);
}

static struct replica_read *read_of(struct list *link)
{
    return container_of(link, struct replica_read, link);
}

static void finish_all(struct list *reads, int err)
{
    while (!list_empty(reads)) {
        struct replica_read *rd = read_of(reads->next);
        list_remove(&rd->link);
        rd->done(rd, err);
    }
}

static void batch_free(struct read_batch *b)
{
    list_remove(&b->link);
    free(b);
}

void replica_read(struct replica *r, struct replica_read *rd)
{
    rd->deadline_ms = r->now_ms + r->config.request_timeout_ms;
    list_init(&rd->link);
    if (r->stopping) {
        rd->done(rd, ERR_CLOSED);
        return;
    }
    list_append(&r->new_reads, &rd->link);
}

void replica_read_cancel(struct replica *r, struct replica_read *rd)
{
    list_remove(&rd->link);
}

static void ask(struct replica *r, struct read_batch *b)
{
    b->request = ++r->next_request;
    b->asked_ms = r->now_ms;
    if (raft_read_index(r->raft, b->request) != 0) {
        b->request = 0; /* nobody to ask: again at the next tick */
    }
}

static void open_batch(struct replica *r)
{
    struct read_batch *b = mem_zalloc(sizeof *b);
    list_init(&b->reads);
    while (!list_empty(&r->new_reads)) {
        struct list *link = r->new_reads.next;
        list_remove(link);
        list_append(&b->reads, link);
    }
    list_append(&r->batches, &b->link);
    ask(r, b);
}

void replica_reads_ask(struct replica *r)
{
    if (!list_empty(&r->new_reads)) {
        open_batch(r);
    }
}

void replica_reads_answered(struct replica *r,
                            const struct raft_read_state *states,
                            uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        list_each(link, next, &r->batches)
        {
            struct read_batch *b = batch_of(link);
            if (b->request == states[i].request && b->index == 0) {
                b->index = states[i].index;
            }
        }
    }
}

void replica_reads_serve(struct replica *r)
{
    struct raft_status now;
    if (list_empty(&r->batches)) {
        return;
    }
    raft_get_status(r->raft, &now);
    list_each(link, next, &r->batches)
    {
        struct read_batch *b = batch_of(link);
        if (b->index != 0 &&
            (b->index <= now.applied || HAS_BUG(READ_UNAPPLIED))) {
            finish_all(&b->reads, 0);
            batch_free(b);
        }
    }
}

void replica_reads_expire(struct replica *r)
{
    list_each(link, next, &r->batches)
    {
        struct read_batch *b = batch_of(link);
        while (!list_empty(&b->reads)) {
            struct replica_read *rd = read_of(b->reads.next);
            if (rd->deadline_ms > r->now_ms) {
                break;
            }
            list_remove(&rd->link);
            r->stats.reads_failed++;
            rd->done(rd, ERR_TIMEOUT);
        }
        if (list_empty(&b->reads)) {
            batch_free(b);
        } else if (b->index == 0 &&
                   (b->request == 0 ||
                    r->now_ms - b->asked_ms >= READ_RETRY_MS)) {
            ask(r, b);
        }
    }
}

/* Batches that have their index stay: it remains a valid one. Who is told may
 * ask again, and is not told again. */
void replica_reads_fail(struct replica *r, int err)
{
    struct list unasked;
    list_init(&unasked);
    while (!list_empty(&r->new_reads)) {
        struct list *link = r->new_reads.next;
        list_remove(link);
        list_append(&unasked, link);
    }
    list_each(link, next, &r->batches)
    {
        struct read_batch *b = batch_of(link);
        if (b->index == 0 || err == ERR_CLOSED) {
            finish_all(&b->reads, err);
            batch_free(b);
        }
    }
    finish_all(&unasked, err);
}
