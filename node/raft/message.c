/* Messages on their way out. */
#include <assert.h>
#include <stdlib.h>

#include "internal.h"

void raft_message_release(struct raft_message *m)
{
    for (uint32_t i = 0; i < m->entry_count; i++) {
        bytes_unref(m->entries[i].data);
    }
    free(m->entries);
    bytes_unref(m->context);
    free(m->snapshot);
    m->entry_count = 0;
    m->entries = NULL;
    m->context = NULL;
    m->snapshot = NULL;
}

static void push(struct raft *r, struct raft_messages *q,
                 const struct raft_message *m)
{
    assert(m->to != 0 && m->to != r->config.id);
    if (q->count == q->capacity) {
        q->capacity = q->capacity ? q->capacity * 2 : 8;
        q->items = mem_realloc(q->items, q->capacity * sizeof *q->items);
    }
    struct raft_message *copy = &q->items[q->count++];
    *copy = *m;
    if (copy->from == 0) {
        copy->from = r->config.id;
    }
}

void raft_message_send(struct raft *r, const struct raft_message *m)
{
    push(r, &r->out[r->filling], m);
}

/* Of several acknowledgements to one leader in one ready the last says it
 * all. */
static bool merged(struct raft_messages *q, const struct raft_message *m)
{
    struct raft_message *last = q->count ? &q->items[q->count - 1] : NULL;
    if (last == NULL || m->type != RAFT_MSG_APP_RESP || last->type != m->type ||
        last->to != m->to || last->term != m->term) {
        return false;
    }
    if (last->index < m->index) {
        last->index = m->index;
    }
    return true;
}

void raft_message_send_persisted(struct raft *r, const struct raft_message *m)
{
    struct raft_messages *q = &r->out_persist[r->filling];
    if (HAS_BUG(EARLY_ACK)) {
        q = &r->out[r->filling];
    }
    if (!merged(q, m)) {
        push(r, q, m);
    }
}

void raft_message_queue_release(struct raft_messages *q)
{
    for (uint32_t i = 0; i < q->count; i++) {
        raft_message_release(&q->items[i]);
    }
    free(q->items);
    *q = (struct raft_messages){0};
}
