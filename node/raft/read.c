/*
 * Read index (dissertation 6.4). The leader notes its commit index, asks
 * everyone with a heartbeat whether it still leads, and answers when a
 * majority said so. All that came before one raft_ready() shares a round; a
 * round's number is the heartbeat's context, and an answer to a later round
 * holds for the earlier ones as well.
 */
#include <inttypes.h>
#include <string.h>

#include "base/endian.h"
#include "base/err.h"
#include "internal.h"

static void push_state(struct raft *r, uint64_t index, uint64_t request)
{
    uint32_t at = r->filling;
    if (r->state_count == r->state_capacity[at]) {
        r->state_capacity[at] = r->state_count ? r->state_count * 2 : 8;
        r->states[at] = mem_realloc(r->states[at], r->state_capacity[at] *
                                                       sizeof *r->states[at]);
    }
    r->states[at][r->state_count++] =
        (struct raft_read_state){.index = index, .request = request};
}

/* Takes over `data` when it returns 0. */
int raft_read_add(struct raft *r, uint64_t from, uint64_t request,
                  struct bytes *data)
{
    if (r->read_count == RAFT_READS_MAX || r->leaving) {
        return ERR_AGAIN;
    }
    if (r->read_count == r->read_capacity) {
        r->read_capacity = r->read_capacity ? r->read_capacity * 2 : 8;
        r->reads = mem_realloc(r->reads, r->read_capacity * sizeof *r->reads);
    }
    r->reads[r->read_count++] =
        (struct raft_read){.from = from, .request = request, .data = data};
    r->read_unsent++;
    return 0;
}

static void answer(struct raft *r, struct raft_read *rd)
{
    if (rd->from == r->config.id) {
        push_state(r, rd->index, rd->request);
        return;
    }
    struct raft_message m = {
        .type = RAFT_MSG_READ_INDEX_RESP,
        .to = rd->from,
        .term = r->term,
        .index = rd->index,
        .entry_count = 1,
        .entries = mem_zalloc(sizeof *m.entries),
    };
    m.entries[0].data = rd->data;
    rd->data = NULL;
    raft_message_send(r, &m);
}

static void remove_first(struct raft *r, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bytes_unref(r->reads[i].data);
    }
    r->read_count -= count;
    if (count && r->read_count) {
        memmove(r->reads, r->reads + count, r->read_count * sizeof *r->reads);
    }
}

void raft_read_drop_all(struct raft *r)
{
    remove_first(r, r->read_count);
    r->read_unsent = 0;
}

void raft_read_confirm(struct raft *r)
{
    if (r->read_count == r->read_unsent) {
        return;
    }
    uint64_t confirmed =
        HAS_BUG(READ_ALONE) ? r->read_round : raft_quorum_read(r);
    uint32_t done = 0;
    while (done < r->read_count && r->reads[done].round != 0 &&
           r->reads[done].round <= confirmed) {
        answer(r, &r->reads[done]);
        done++;
    }
    remove_first(r, done);
}

/* Until an entry of this term is committed, the commit index may be behind
 * what an earlier leader has already acknowledged. */
static bool ready_to_answer(const struct raft *r)
{
    return r->role == RAFT_LEADER &&
           (r->log.commit >= r->term_first_index || HAS_BUG(READ_BEFORE_TERM));
}

bool raft_read_flushable(const struct raft *r)
{
    return r->read_unsent > 0 && ready_to_answer(r);
}

void raft_read_flush(struct raft *r)
{
    if (!raft_read_flushable(r)) {
        return;
    }
    r->read_round++;
    for (uint32_t i = r->read_count - r->read_unsent; i < r->read_count; i++) {
        r->reads[i].round = r->read_round;
        r->reads[i].index = r->log.commit;
    }
    r->read_unsent = 0;
    raft_read_confirm(r); /* a majority of one */
    if (r->read_count > 0) {
        raft_replication_send_heartbeats(r);
    }
}

struct bytes *raft_read_context(const struct raft *r)
{
    if (r->read_count == r->read_unsent) {
        return NULL;
    }
    struct bytes *context = bytes_new(sizeof r->read_round);
    put_le64(context->data, r->read_round);
    return context;
}

void raft_read_heard(struct raft *r, const struct raft_message *m)
{
    if (m->context == NULL || m->context->size < sizeof(uint64_t)) {
        return;
    }
    struct raft_peer *p = raft_progress_find(r, m->from);
    uint64_t round = get_le64(m->context->data);
    if (round <= p->read_acked || round > r->read_round) {
        return;
    }
    p->read_acked = round;
    raft_read_confirm(r);
}

/* A follower asks. */
int raft_read_requested(struct raft *r, struct raft_message *m)
{
    if (r->role == RAFT_LEADER) {
        if (m->entry_count != 1) {
            return ERR_PROTOCOL;
        }
        int err = raft_read_add(r, m->from, 0, m->entries[0].data);
        if (err == 0) {
            m->entries[0].data = NULL;
        }
        return err;
    }
    if (r->leader == 0 || r->leader == m->from) {
        raft_note(r,
                  "%" PRIx64 " no leader at term %" PRIu64
                  "; dropping index reading msg",
                  r->config.id, r->term);
        return ERR_DROPPED;
    }
    struct raft_message on = *m;
    on.to = r->leader;
    raft_message_send(r, &on);
    *m = (struct raft_message){0};
    return 0;
}

int raft_read_index(struct raft *r, uint64_t request)
{
    if (r->role == RAFT_LEADER) {
        return raft_read_add(r, r->config.id, request, NULL);
    }
    if (r->leader == 0) {
        return ERR_NO_LEADER;
    }
    struct raft_message m = {
        .type = RAFT_MSG_READ_INDEX,
        .to = r->leader,
        .entry_count = 1,
        .entries = mem_zalloc(sizeof *m.entries),
    };
    m.entries[0].data = bytes_new(sizeof request);
    put_be64(m.entries[0].data->data, request);
    raft_message_send(r, &m);
    return 0;
}

/* The leader answered what raft_read_index() asked it. */
void raft_read_take(struct raft *r, const struct raft_message *m)
{
    if (m->entry_count != 1 || m->entries[0].data == NULL ||
        m->entries[0].data->size != sizeof(uint64_t)) {
        return;
    }
    push_state(r, m->index, get_be64(m->entries[0].data->data));
}
