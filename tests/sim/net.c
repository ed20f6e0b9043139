/* The network: late, lossy, repeating, out of order, cut in one direction
 * or in both. Messages travel encoded, as on the wire. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "sim.h"

static void push(struct sim *s, const struct sim_mail *mail)
{
    if (s->mail_count == s->mail_capacity) {
        s->mail_capacity = s->mail_capacity ? s->mail_capacity * 2 : 64;
        s->mail = mem_realloc(s->mail, s->mail_capacity * sizeof *s->mail);
    }
    s->mail[s->mail_count++] = *mail;
}

static uint64_t due(struct sim *s, uint32_t from, uint32_t to)
{
    uint64_t at = s->now + 1 +
                  sim_pick(&s->net, s->is_calm ? 3 : s->weather.delay_max_ms);
    uint64_t *last = &s->link_due[from][to];
    if (s->is_calm || s->weather.in_order) {
        at = at > *last ? at : *last;
        *last = at;
    } else if (sim_chance(&s->net, 5)) {
        at += sim_pick(&s->net, 50 * SIM_TICK_MS); /* a straggler */
    }
    return at;
}

enum { IMAGE_CUT_PERMILLE = 50, REDIAL_MS = 100 };

static bool is_rough(const struct sim *s)
{
    return !s->is_calm && !(s->no_faults & SIM_NO_LOSS);
}

void sim_net_send(struct sim *s, struct sim_member *from,
                  const struct raft_message *m, char *image,
                  uint64_t image_bytes)
{
    struct sim_member *to = sim_member_of_id(s, m->to);
    if (to == NULL) {
        if (image) {
            unlink(image);
            free(image);
        }
        return;
    }
    struct buf bytes = BUF_INIT(64 << 20);
    peer_encode_message(m, &bytes);
    struct sim_mail mail = {
        .due = due(s, from->place, to->place) + (image ? 50 : 0),
        .from = from->place,
        .from_life = from->life,
        .to = to->place,
        .is_image = image != NULL,
        .is_proposal = m->type == RAFT_MSG_PROP,
        .image = image,
        .image_bytes = image_bytes,
        .bytes = mem_dup(bytes.data, bytes.size),
        .size = bytes.size,
    };
    buf_release(&bytes);
    push(s, &mail);
    /* Not a proposal: nothing tells two of them apart, and no transport of
     * ours sends one twice. */
    if (is_rough(s) && image == NULL && !mail.is_proposal &&
        sim_chance(&s->net, s->weather.duplicate_permille)) {
        mail.bytes = mem_dup(mail.bytes, mail.size);
        mail.due = due(s, from->place, to->place);
        push(s, &mail);
    }
}

bool sim_net_is_up(const struct sim *s, uint32_t a, uint32_t b)
{
    return !s->cut[a][b] && !s->cut[b][a];
}

/* Raft of the sender, when it still is that process. */
static struct raft *sender(struct sim *s, uint32_t from, uint32_t life)
{
    struct sim_member *m = &s->members[from];
    return m->alive && m->life == life ? replica_raft(m->node.replica) : NULL;
}

/* The sender's transport finds out that it is lost, or not. */
static void report_lost(struct sim *s, const struct sim_mail *mail)
{
    struct raft *raft = sender(s, mail->from, mail->from_life);
    uint64_t to = s->members[mail->to].id;
    if (raft && mail->is_image) {
        raft_report_snapshot(raft, to, false);
    } else if (raft && sim_chance(&s->net, 300)) {
        raft_report_unreachable(raft, to);
    }
}

void sim_net_answer(struct sim *s, struct peer_request *rq, bool ok)
{
    struct raft *raft = sender(s, rq->from, rq->from_life);
    if (raft) {
        raft_report_snapshot(raft, s->members[rq->to].id,
                             ok && !s->cut[rq->to][rq->from]);
    }
    free(rq);
}

/* Who is out is told so, as with 410, and its words do not count. */
static bool is_removed(struct sim *s, const struct sim_mail *mail)
{
    struct sim_member *to = &s->members[mail->to];
    struct sim_member *from = &s->members[mail->from];
    if (!members_is_removed(&to->node.members, from->id)) {
        return false;
    }
    if (from->alive && !s->cut[mail->to][mail->from]) {
        node_removed_soon(&from->node);
    }
    return true;
}

/* False: it was not taken. */
static bool take(struct sim *s, struct sim_mail *mail)
{
    struct sim_member *to = &s->members[mail->to];
    struct raft_message m;
    if (is_removed(s, mail)) {
        return false;
    }
    if (peer_decode_message(slice_of(mail->bytes, mail->size), &m) != 0) {
        sim_fail(s, "a message of m%" PRIu32 " cannot be decoded", mail->from);
        return false;
    }
    if (!mail->is_image) {
        replica_step(to->node.replica, &m);
        return true;
    }
    if (is_rough(s) && sim_chance(&s->net, IMAGE_CUT_PERMILLE)) {
        uint32_t bytes = sim_pick(&s->net, (uint32_t)mail->image_bytes - 1);
        sim_trace(s, "the image is cut to %" PRIu32 " bytes", bytes);
        if (truncate(mail->image, bytes) != 0) {
            sim_fail(s, "an image cannot be cut short");
        }
    }
    struct peer_request *rq = mem_zalloc(sizeof *rq);
    *rq = (struct peer_request){mail->from, mail->from_life, mail->to};
    node_image_arrived(&to->node, &m, mail->image, mail->image_bytes, rq);
    free(mail->image);
    mail->image = NULL; /* the member's now */
    return true;
}

static void deliver(struct sim *s, struct sim_mail *mail)
{
    struct sim_member *to = &s->members[mail->to];
    if (to->alive && to->frozen_until > s->now) {
        mail->due = to->frozen_until; /* waits in its socket */
        push(s, mail);
        return;
    }
    bool lost = !to->alive || s->cut[mail->from][mail->to] ||
                (is_rough(s) && sim_chance(&s->net, s->weather.drop_permille));
    sim_trace(s, "m%" PRIu32 " to m%" PRIu32 " %zu bytes %" PRIx64 "%s%s",
              mail->from, mail->to, mail->size,
              (uint64_t)(mail->size ? mail->bytes[mail->size / 2] : 0),
              mail->is_image ? " image" : "", lost ? " LOST" : "");
    s->running = to;
    if (!lost) {
        lost = !take(s, mail);
    }
    s->running = NULL;
    if (lost) {
        report_lost(s, mail);
    }
    if (mail->image) {
        unlink(mail->image);
        free(mail->image);
    }
    free(mail->bytes);
}

/* A member dials those it knows, again and again; who knows that it is out
 * says so, also when it has nothing to send. */
static void redial(struct sim *s, struct sim_member *from)
{
    for (uint32_t i = 0; i < SIM_MEMBERS_MAX && from->alive; i++) {
        struct sim_member *to = &s->members[i];
        if (to->alive && to->frozen_until <= s->now &&
            sim_net_is_up(s, from->place, to->place) &&
            members_find(&from->node.members, to->id) &&
            members_is_removed(&to->node.members, from->id)) {
            node_removed_soon(&from->node);
        }
    }
}

/* What is due is taken out first: a delivery may send. */
void sim_net_step(struct sim *s)
{
    for (uint32_t i = 0; s->now % REDIAL_MS == 0 && i < SIM_MEMBERS_MAX; i++) {
        redial(s, &s->members[i]);
    }
    uint32_t kept = 0, arrived_count = 0, count = s->mail_count;
    struct sim_mail *arrived = mem_alloc((count + 1) * sizeof *arrived);
    for (uint32_t i = 0; i < count; i++) {
        if (s->mail[i].due > s->now) {
            s->mail[kept++] = s->mail[i];
        } else {
            arrived[arrived_count++] = s->mail[i];
        }
    }
    s->mail_count = kept;
    for (uint32_t i = 0; i < arrived_count && !s->failure[0]; i++) {
        deliver(s, &arrived[i]);
    }
    free(arrived);
}

static void isolate(struct sim *s, uint64_t place, bool in, bool out)
{
    for (uint64_t i = 0; i < SIM_MEMBERS_MAX; i++) {
        s->cut[i][place] |= in;
        s->cut[place][i] |= out;
    }
}

static void split(struct sim *s)
{
    uint64_t side = sim_pick(&s->faults, 1u << SIM_MEMBERS_MAX);
    for (uint64_t i = 0; i < SIM_MEMBERS_MAX; i++) {
        for (uint64_t j = 0; j < SIM_MEMBERS_MAX; j++) {
            s->cut[i][j] |= (side >> i & 1) != (side >> j & 1);
        }
    }
}

void sim_net_cut(struct sim *s)
{
    uint64_t place = sim_pick(&s->faults, s->member_count);
    switch (sim_pick(&s->faults, 5)) {
    case 0:
        isolate(s, place, true, true);
        break;
    case 1:
        isolate(s, place, true, false);
        break;
    case 2:
        isolate(s, place, false, true);
        break;
    case 3:
        s->cut[place][sim_pick(&s->faults, s->member_count)] = true;
        break;
    default:
        split(s);
        break;
    }
    s->heal_at = s->now + sim_pick(&s->faults, 80 * SIM_TICK_MS);
    sim_trace(s, "cut until %" PRIu64, s->heal_at);
}

void sim_net_heal(struct sim *s)
{
    memset(s->cut, 0, sizeof s->cut);
    s->heal_at = 0;
    sim_trace(s, "heal");
}
