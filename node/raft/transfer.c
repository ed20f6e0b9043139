/* Leadership transfer (dissertation 3.10). */
#include <inttypes.h>

#include "internal.h"

static void send_timeout_now(struct raft *r, uint64_t to)
{
    struct raft_message m = {
        .type = RAFT_MSG_TIMEOUT_NOW, .to = to, .term = r->term};
    raft_message_send(r, &m);
}

static void start(struct raft *r, uint64_t to)
{
    struct raft_peer *p = raft_progress_find(r, to);
    if (to == r->config.id || to == r->transferee || p == NULL ||
        p->is_learner) {
        return;
    }
    raft_note(r,
              "%" PRIx64 " [term %" PRIu64
              "] starts to transfer leadership to %" PRIx64,
              r->config.id, r->term, to);
    r->transferee = to;
    r->election_elapsed = 0; /* the time it has */
    if (p->match == raft_log_last(&r->log)) {
        raft_note(r,
                  "%" PRIx64 " sends MsgTimeoutNow to %" PRIx64
                  " immediately as %" PRIx64 " already has up-to-date log",
                  r->config.id, to, to);
        send_timeout_now(r, to);
    } else {
        p->forced = true;
        r->flush = true;
    }
}

void raft_transfer_away(struct raft *r)
{
    struct raft_peer *best = NULL;
    for (uint32_t i = 0; i < r->peer_count; i++) {
        struct raft_peer *p = &r->peers[i];
        if (!p->is_learner && (best == NULL || p->match > best->match)) {
            best = p;
        }
    }
    if (best) {
        r->transferee = 0;
        start(r, best->id);
    }
}

void raft_transfer_requested(struct raft *r, uint64_t to)
{
    if (r->role == RAFT_LEADER) {
        start(r, to);
    } else if (r->leader != 0 && r->leader != r->config.id) {
        struct raft_message m = {.type = RAFT_MSG_TRANSFER_LEADER,
                                 .to = r->leader,
                                 .from = to,
                                 .term = r->term};
        raft_message_send(r, &m);
    }
}

void raft_transfer_leader(struct raft *r, uint64_t to)
{
    raft_transfer_requested(r, to);
}

void raft_transfer_check(struct raft *r, struct raft_peer *p)
{
    if (r->transferee == p->id && p->match == raft_log_last(&r->log)) {
        send_timeout_now(r, p->id);
    }
}
