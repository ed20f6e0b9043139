/* The loop's side: encoding into the batch being built, handing it over. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "wal/state.h"

void wal_batch_free(struct wal_batch *b)
{
    buf_release(&b->records);
    buf_release(&b->conf);
    free(b);
}

void wal_batches_free(struct letter *first)
{
    while (first) {
        struct letter *next = first->next;
        wal_batch_free(container_of(first, struct wal_batch, letter));
        first = next;
    }
}

static struct wal_batch *batch_get(struct wal *w)
{
    if (w->spare == NULL) {
        w->spare = mailbox_take(&w->returned);
    }
    struct wal_batch *b;
    if (w->spare) {
        b = container_of(w->spare, struct wal_batch, letter);
        w->spare = b->letter.next;
        atomic_fetch_sub(&w->spare_count, 1);
    } else {
        b = mem_zalloc(sizeof *b);
        buf_init(&b->records,
                 (size_t)WAL_RECORD_SIZE_MAX + WAL_BATCH_BYTES_MAX);
        buf_init(&b->conf, WAL_CONF_SIZE_MAX);
    }
    b->has_conf = false;
    b->before = w->tail;
    return b;
}

void wal_post(struct wal *w)
{
    struct wal_batch *b = w->building;
    if (b == NULL) {
        return;
    }
    w->building = NULL;
    b->number = w->submitted;
    b->after = w->tail;
    mailbox_post(&w->inbox, &b->letter);
}

static void add(struct wal *w, const struct wal_record *record)
{
    /* A batch promises order, not that it is written in one piece. */
    if (w->building && w->building->records.size > WAL_BATCH_BYTES_MAX) {
        wal_post(w);
    }
    if (w->building == NULL) {
        w->building = batch_get(w);
    }
    int err = wal_record_encode(&w->building->records, record, &w->tail.chain);
    if (err < 0) {
        fputs("wal: a record is larger than its limit\n", stderr);
        abort(); /* the caller's bug: requests have a far smaller limit */
    }
    wal_tail_step(&w->tail, record);
}

void wal_entry(struct wal *w, uint64_t term, uint64_t index, uint32_t type,
               struct slice data)
{
    assert(index > 0);
    add(w, &(struct wal_record){.type = WAL_ENTRY,
                                .entry_type = type,
                                .term = term,
                                .index = index,
                                .data = data});
}

void wal_hard_state(struct wal *w, uint64_t term, uint64_t vote,
                    uint64_t commit)
{
    add(w, &(struct wal_record){.type = WAL_HARD_STATE,
                                .term = term,
                                .vote = vote,
                                .commit = commit});
}

void wal_snapshot(struct wal *w, uint64_t index, uint64_t term,
                  struct slice conf)
{
    assert(conf.size <= WAL_CONF_SIZE_MAX);
    add(w,
        &(struct wal_record){
            .type = WAL_SNAPSHOT, .term = term, .index = index, .data = conf});
    struct wal_batch *b = w->building;
    b->has_conf = true;
    buf_reset(&b->conf, WAL_CONF_SIZE_MAX);
    buf_append_slice(&b->conf, conf);
}

uint64_t wal_submit(struct wal *w, bool sync)
{
    if (w->building) {
        w->submitted++;
    }
    if (sync ||
        (w->building && w->building->records.size > WAL_WAITING_BYTES_MAX)) {
        wal_post(w);
    }
    return w->submitted;
}

uint64_t wal_durable(struct wal *w)
{
    return atomic_load_explicit(&w->durable, memory_order_acquire);
}

void wal_release(struct wal *w, uint64_t index)
{
    struct wal_batch *b = mem_zalloc(sizeof *b);
    b->releases = true;
    b->release_index = index;
    mailbox_post(&w->inbox, &b->letter);
}
