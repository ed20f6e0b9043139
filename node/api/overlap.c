/*
 * Whether a Txn would write a key twice. Nested branches of one Txn exclude
 * each other, so a key may stand in both; what a nested Txn deletes counts
 * only against puts that come later in the list. A deletion up to "\0"
 * never counts, since its end is taken literally: as the reference does.
 */
#include <stdlib.h>

#include "base/table.h"
#include "state.h"

struct put_key {
    struct table_link link;
    struct slice key;
};

struct deletion {
    struct slice key;
    struct slice end; /* empty: one key */
};

struct writes {
    struct table puts;
    struct deletion *deletions;
    size_t deletion_count;
    size_t deletion_capacity;
};

static void release(struct writes *w)
{
    for (size_t i = 0; i < w->puts.slot_count; i++) {
        struct table_link *link = w->puts.slots[i];
        while (link) {
            struct table_link *next = link->next;
            free(container_of(link, struct put_key, link));
            link = next;
        }
    }
    table_release(&w->puts);
    free(w->deletions);
}

static struct slice bytes_of(ProtobufCBinaryData b)
{
    return slice_of(b.data, b.len);
}

static bool has_put(const struct writes *w, struct slice key)
{
    struct table_link *t = table_find(&w->puts, table_hash(key));
    for (; t; t = table_next(t)) {
        if (slice_eq(container_of(t, struct put_key, link)->key, key)) {
            return true;
        }
    }
    return false;
}

static bool is_deleted(const struct writes *w, struct slice key)
{
    for (size_t i = 0; i < w->deletion_count; i++) {
        const struct deletion *d = &w->deletions[i];
        if (d->end.size == 0
                ? slice_eq(d->key, key)
                : slice_cmp(d->key, key) <= 0 && slice_cmp(key, d->end) < 0) {
            return true;
        }
    }
    return false;
}

static int add_put(struct writes *w, struct slice key)
{
    if (has_put(w, key) || is_deleted(w, key)) {
        return API_DUPLICATE_KEY;
    }
    struct put_key *k = mem_alloc(sizeof *k);
    k->key = key;
    table_add(&w->puts, &k->link, table_hash(key));
    return 0;
}

static void add_deletion(struct writes *w, struct deletion d)
{
    if (w->deletion_count == w->deletion_capacity) {
        w->deletion_capacity =
            w->deletion_capacity ? w->deletion_capacity * 2 : 8;
        w->deletions = mem_realloc(w->deletions,
                                   w->deletion_capacity * sizeof *w->deletions);
    }
    w->deletions[w->deletion_count++] = d;
}

/* `other`: the branch that excludes this one, its keys are safe. */
static int add_puts_of(struct writes *w, const struct writes *nested,
                       const struct writes *other)
{
    for (size_t i = 0; i < nested->puts.slot_count; i++) {
        struct table_link *link = nested->puts.slots[i];
        for (; link; link = link->next) {
            struct slice key = container_of(link, struct put_key, link)->key;
            if (other && has_put(other, key)) {
                continue;
            }
            int err = add_put(w, key);
            if (err) {
                return err;
            }
        }
    }
    return 0;
}

static int collect(Pb__RequestOp **ops, size_t count, struct writes *w);

static int add_nested(struct writes *w, const Pb__TxnRequest *txn)
{
    struct writes success = {0}, failure = {0};
    int err = collect(txn->success, txn->n_success, &success);
    err = err ? err : collect(txn->failure, txn->n_failure, &failure);
    err = err ? err : add_puts_of(w, &success, NULL);
    err = err ? err : add_puts_of(w, &failure, &success);
    for (size_t i = 0; i < success.deletion_count && err == 0; i++) {
        add_deletion(w, success.deletions[i]);
    }
    for (size_t i = 0; i < failure.deletion_count && err == 0; i++) {
        add_deletion(w, failure.deletions[i]);
    }
    release(&success);
    release(&failure);
    return err;
}

static int collect(Pb__RequestOp **ops, size_t count, struct writes *w)
{
    int err = 0;
    for (size_t i = 0; i < count; i++) {
        if (ops[i]->request_case ==
            PB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE) {
            const Pb__DeleteRangeRequest *d = ops[i]->request_delete_range;
            add_deletion(
                w, (struct deletion){bytes_of(d->key), bytes_of(d->range_end)});
        }
    }
    for (size_t i = 0; i < count && err == 0; i++) {
        if (ops[i]->request_case == PB__REQUEST_OP__REQUEST_REQUEST_TXN) {
            err = add_nested(w, ops[i]->request_txn);
        }
    }
    for (size_t i = 0; i < count && err == 0; i++) {
        if (ops[i]->request_case == PB__REQUEST_OP__REQUEST_REQUEST_PUT) {
            err = add_put(w, bytes_of(ops[i]->request_put->key));
        }
    }
    return err;
}

int api_check_overlap(Pb__RequestOp **ops, size_t count)
{
    struct writes w = {0};
    int err = collect(ops, count, &w);
    release(&w);
    return err;
}
