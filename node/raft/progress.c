/*
 * What a leader knows of one follower, and how much it may send it.
 *
 *            accepted                 rejected, unreachable
 *   PROBE --------------> REPLICATE -----------------------> PROBE
 *     |                                                        ^
 *     '-- behind the log --> SNAPSHOT -- arrived or failed ----'
 *
 * PROBE: one message, then an answer or a heartbeat's answer is awaited.
 * REPLICATE: messages follow each other up to the window.
 * SNAPSHOT: none until the image is there.
 */
#include <assert.h>
#include <stdlib.h>

#include "internal.h"

void raft_progress_init(struct raft_peer *p, uint64_t id, bool is_learner,
                        uint64_t next, uint32_t inflight_max)
{
    *p = (struct raft_peer){.id = id,
                            .is_learner = is_learner,
                            .recent_active = true,
                            .forced = true,
                            .next = next,
                            .inflight_max = inflight_max};
}

void raft_progress_release(struct raft_peer *p)
{
    free(p->inflight);
    p->inflight = NULL;
}

static void move_to(struct raft_peer *p, enum raft_progress_state state)
{
    p->state = state;
    p->paused = false;
    p->pending_snapshot = 0;
    p->inflight_head = 0;
    p->inflight_count = 0;
    p->sent_commit = 0;
}

void raft_progress_reset(struct raft_peer *p, uint64_t next)
{
    move_to(p, RAFT_PROBE);
    p->match = 0;
    p->next = next;
    p->recent_active = false;
    p->was_active = false;
    p->forced = false;
    p->read_acked = 0;
}

void raft_progress_to_probe(struct raft_peer *p)
{
    uint64_t arrived = p->pending_snapshot;
    move_to(p, RAFT_PROBE);
    p->next = (p->match > arrived ? p->match : arrived) + 1;
}

void raft_progress_to_replicate(struct raft_peer *p)
{
    move_to(p, RAFT_REPLICATE);
    p->next = p->match + 1;
}

void raft_progress_to_snapshot(struct raft_peer *p, uint64_t index)
{
    move_to(p, RAFT_SNAPSHOT);
    p->pending_snapshot = index;
}

bool raft_progress_blocked(const struct raft_peer *p)
{
    switch (p->state) {
    case RAFT_PROBE:
        return p->paused;
    case RAFT_REPLICATE:
        return p->inflight_count >= p->inflight_max;
    case RAFT_SNAPSHOT:
        break;
    }
    return true;
}

static void remember(struct raft_peer *p, uint64_t last)
{
    assert(p->inflight_count < p->inflight_max);
    if (p->inflight == NULL) {
        p->inflight = mem_alloc(p->inflight_max * sizeof *p->inflight);
    }
    uint32_t at = (p->inflight_head + p->inflight_count) % p->inflight_max;
    p->inflight[at] = last;
    p->inflight_count++;
}

static void forget_up_to(struct raft_peer *p, uint64_t index)
{
    while (p->inflight_count && p->inflight[p->inflight_head] <= index) {
        p->inflight_head = (p->inflight_head + 1) % p->inflight_max;
        p->inflight_count--;
    }
}

void raft_progress_sent(struct raft_peer *p, uint64_t last)
{
    p->forced = false;
    if (p->state == RAFT_PROBE) {
        p->paused = true;
        return;
    }
    assert(p->state == RAFT_REPLICATE);
    if (last) {
        p->next = last + 1;
        remember(p, last);
    }
}

bool raft_progress_accepted(struct raft_peer *p, uint64_t index)
{
    bool news = index > p->match;
    if (news) {
        p->match = index;
        p->paused = false;
    }
    if (p->next <= index) {
        p->next = index + 1;
    }
    forget_up_to(p, index);
    return news || (index == p->match && p->state == RAFT_PROBE);
}

bool raft_progress_rejected(struct raft_peer *p, uint64_t index, uint64_t hint)
{
    if (p->state == RAFT_REPLICATE) {
        if (index <= p->match) {
            return false; /* an old answer */
        }
        p->next = p->match + 1;
        return true;
    }
    if (p->next - 1 != index) {
        return false; /* not to the probe that is under way */
    }
    uint64_t next = index < hint + 1 ? index : hint + 1;
    p->next = next > p->match ? next : p->match + 1;
    p->paused = false;
    return true;
}

struct raft_peer *raft_progress_find(const struct raft *r, uint64_t id)
{
    for (uint32_t i = 0; i < r->peer_count; i++) {
        if (r->peers[i].id == id) {
            return &r->peers[i];
        }
    }
    return NULL;
}
