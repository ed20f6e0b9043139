/* What a majority of the voters agrees on. Learners never count. */
#include "internal.h"

/* The value that a majority of the `count` values reaches. */
static uint64_t majority_value(uint64_t *values, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        uint64_t v = values[i];
        uint32_t at = i;
        for (; at > 0 && values[at - 1] < v; at--) {
            values[at] = values[at - 1];
        }
        values[at] = v;
    }
    return count ? values[count / 2] : 0;
}

uint64_t raft_quorum_match(const struct raft *r)
{
    uint64_t values[RAFT_MEMBERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->peer_count; i++) {
        if (!r->peers[i].is_learner || HAS_BUG(LEARNER_COUNTS)) {
            values[count++] = r->peers[i].match;
        }
    }
    return majority_value(values, count);
}

uint64_t raft_quorum_read(const struct raft *r)
{
    uint64_t values[RAFT_MEMBERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->peer_count; i++) {
        const struct raft_peer *p = &r->peers[i];
        if (!p->is_learner) {
            values[count++] =
                p->id == r->config.id ? r->read_round : p->read_acked;
        }
    }
    return majority_value(values, count);
}

enum raft_vote raft_quorum_vote(const struct raft *r, uint32_t *ret_granted,
                                uint32_t *ret_rejected)
{
    uint32_t granted = 0;
    uint32_t rejected = 0;
    for (uint32_t i = 0; i < r->peer_count; i++) {
        if (!r->peers[i].is_learner) {
            granted += r->peers[i].vote == RAFT_VOTE_GRANTED;
            rejected += r->peers[i].vote == RAFT_VOTE_REJECTED;
        }
    }
    *ret_granted = granted;
    *ret_rejected = rejected;
    uint32_t need = r->conf.voter_count / 2 + 1;
    if (granted >= need) {
        return RAFT_VOTE_GRANTED;
    }
    return rejected > r->conf.voter_count - need ? RAFT_VOTE_REJECTED
                                                 : RAFT_VOTE_NONE;
}

bool raft_quorum_active(const struct raft *r)
{
    uint32_t active = 0;
    for (uint32_t i = 0; i < r->peer_count; i++) {
        const struct raft_peer *p = &r->peers[i];
        active += !p->is_learner && (p->recent_active || p->id == r->config.id);
    }
    return active > r->conf.voter_count / 2;
}
