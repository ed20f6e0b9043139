/* The network: late, lossy, repeating, out of order, cut in one direction
 * or in both. */
#include <inttypes.h>
#include <stdlib.h>

#include "sim.h"

static void push(struct sim *s, const struct sim_mail *mail)
{
    if (s->mail_count == s->mail_capacity) {
        s->mail_capacity = s->mail_capacity ? s->mail_capacity * 2 : 64;
        s->mail = mem_realloc(s->mail, s->mail_capacity * sizeof *s->mail);
    }
    s->mail[s->mail_count++] = *mail;
}

static uint64_t due(struct sim *s, uint64_t from, uint64_t to)
{
    uint32_t delay = s->calm ? 3 : s->weather.delay_max;
    uint64_t at = s->now + 1 + sim_pick(s, delay);
    uint64_t *last = &s->link_due[from][to];
    if (s->calm || s->weather.in_order) {
        at = at > *last ? at : *last;
        *last = at;
    } else if (sim_chance(s, 5)) {
        at += sim_pick(s, 50 * SIM_TICK_STEPS); /* a straggler */
    }
    return at;
}

static struct raft_message copy_of(const struct raft_message *m)
{
    struct raft_message copy = *m;
    bytes_ref(copy.context);
    if (m->entry_count) {
        copy.entries = mem_dup(m->entries, m->entry_count * sizeof *m->entries);
        for (uint32_t i = 0; i < m->entry_count; i++) {
            bytes_ref(copy.entries[i].data);
        }
    }
    if (m->snapshot) {
        copy.snapshot = mem_dup(m->snapshot, sizeof *m->snapshot);
    }
    return copy;
}

void sim_net_send(struct sim *s, struct sim_node *from,
                  struct raft_message *messages, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct sim_mail mail = {.due = due(s, from->id, messages[i].to),
                                .sender = from->id,
                                .sender_life = from->life,
                                .message = messages[i]};
        push(s, &mail);
        if (!s->calm && sim_chance(s, s->weather.duplicate_permille)) {
            mail.message = copy_of(&messages[i]);
            mail.due = due(s, from->id, messages[i].to);
            push(s, &mail);
        }
    }
}

/* The sender's transport finds out what became of it, or not. */
static void report(struct sim *s, const struct sim_mail *mail, uint64_t to,
                   bool image, bool lost)
{
    struct sim_node *from = &s->nodes[mail->sender];
    if (from->raft == NULL || from->life != mail->sender_life) {
        return;
    }
    if (image) {
        raft_report_snapshot(from->raft, to, !lost);
    } else if (lost && sim_chance(s, 300)) {
        raft_report_unreachable(from->raft, to);
    }
}

static void deliver(struct sim *s, struct sim_mail *mail)
{
    struct raft_message *m = &mail->message;
    struct sim_node *to = &s->nodes[m->to];
    bool lost = to->raft == NULL || s->cut[mail->sender][m->to] ||
                (!s->calm && sim_chance(s, s->weather.drop_permille));
    sim_trace(s,
              "%" PRIu64 "->%" PRIu64 " type %d term %" PRIu64 " index %" PRIu64
              "/%" PRIu64 " commit %" PRIu64 " entries %" PRIu32 "%s%s",
              mail->sender, m->to, (int)m->type, m->term, m->index, m->log_term,
              m->commit, m->entry_count, m->reject ? " reject" : "",
              lost ? " LOST" : "");
    uint64_t to_id = m->to;
    bool image = m->type == RAFT_MSG_SNAP;
    if (lost) {
        raft_message_release(m);
    } else {
        raft_step(to->raft, m);
        oracle_see_status(s, to);
    }
    report(s, mail, to_id, image, lost);
}

/* What is due is taken out first: a delivery may send. */
void sim_net_step(struct sim *s)
{
    uint32_t kept = 0;
    uint32_t count = s->mail_count;
    struct sim_mail *arrived = mem_alloc((count + 1) * sizeof *arrived);
    uint32_t arrived_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (s->mail[i].due > s->now) {
            s->mail[kept++] = s->mail[i];
        } else {
            arrived[arrived_count++] = s->mail[i];
        }
    }
    s->mail_count = kept;
    for (uint32_t i = 0; i < arrived_count; i++) {
        if (s->failure[0]) {
            raft_message_release(&arrived[i].message);
        } else {
            deliver(s, &arrived[i]);
        }
    }
    free(arrived);
}

static void isolate(struct sim *s, uint64_t id, bool in, bool out)
{
    for (uint64_t i = 0; i < SIM_IDS_MAX; i++) {
        s->cut[i][id] |= in;
        s->cut[id][i] |= out;
    }
}

static void split(struct sim *s)
{
    uint64_t side = sim_pick(s, 1u << SIM_IDS_MAX);
    for (uint64_t i = 0; i < SIM_IDS_MAX; i++) {
        for (uint64_t j = 0; j < SIM_IDS_MAX; j++) {
            s->cut[i][j] |= (side >> i & 1) != (side >> j & 1);
        }
    }
}

void sim_net_cut(struct sim *s)
{
    uint64_t id = 1 + sim_pick(s, s->next_id - 1);
    switch (sim_pick(s, 5)) {
    case 0:
        isolate(s, id, true, true);
        break;
    case 1:
        isolate(s, id, true, false);
        break;
    case 2:
        isolate(s, id, false, true);
        break;
    case 3:
        s->cut[id][1 + sim_pick(s, s->next_id - 1)] = true;
        break;
    default:
        split(s);
        break;
    }
    s->heal_at = s->now + sim_pick(s, 80 * SIM_TICK_STEPS);
    sim_trace(s, "cut until %" PRIu64, s->heal_at);
}

void sim_net_heal(struct sim *s)
{
    memset(s->cut, 0, sizeof s->cut);
    s->heal_at = 0;
    sim_trace(s, "heal");
}

void sim_net_release(struct sim *s)
{
    for (uint32_t i = 0; i < s->mail_count; i++) {
        raft_message_release(&s->mail[i].message);
    }
    free(s->mail);
    s->mail = NULL;
    s->mail_count = s->mail_capacity = 0;
}
