/*
 * Elections (dissertation 3.4, 4.2.3, 9.6).
 *
 *              timeout               majority           majority
 *   FOLLOWER ----------> PRE_CANDIDATE ------> CANDIDATE ------> LEADER
 *      ^  '--- TimeoutNow (transfer), no pre-vote ---^              |
 *      '---- a newer term, a leader, a lost vote, no quorum --------'
 *
 * The pre-candidate's term is not raised: it only asks for the next one.
 */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "internal.h"

static const char transfer_context[] = "CampaignTransfer";

static void become(struct raft *r, enum raft_role role)
{
    static const bool allowed[4][4] = {
        /* to:               F     P      C      L */
        [RAFT_FOLLOWER] = {true, true, true, false},
        [RAFT_PRE_CANDIDATE] = {true, true, true, false},
        [RAFT_CANDIDATE] = {true, true, true, true},
        [RAFT_LEADER] = {true, false, false, false},
    };
    static const char *const names[] = {
        [RAFT_FOLLOWER] = "follower",
        [RAFT_PRE_CANDIDATE] = "pre-candidate",
        [RAFT_CANDIDATE] = "candidate",
        [RAFT_LEADER] = "leader",
    };
    assert(allowed[r->role][role]);
    r->role = role;
    raft_note(r, "%" PRIx64 " became %s at term %" PRIu64, r->config.id,
              names[role], r->term);
}

static void set_leader(struct raft *r, uint64_t leader)
{
    uint64_t old = r->leader;
    if (old == leader) {
        return;
    }
    r->leader = leader;
    if (old == 0) {
        raft_note(r,
                  "raft.node: %" PRIx64 " elected leader %" PRIx64
                  " at term %" PRIu64,
                  r->config.id, leader, r->term);
    } else if (leader == 0) {
        raft_note(r,
                  "raft.node: %" PRIx64 " lost leader %" PRIx64
                  " at term %" PRIu64,
                  r->config.id, old, r->term);
    } else {
        raft_note(r,
                  "raft.node: %" PRIx64 " changed leader from %" PRIx64
                  " to %" PRIx64 " at term %" PRIu64,
                  r->config.id, old, leader, r->term);
    }
}

/* What belongs to one term or one attempt at it starts anew. */
static void reset(struct raft *r, uint64_t term)
{
    if (r->term != term) {
        r->term = term;
        r->vote = 0;
    }
    r->election_elapsed = 0;
    r->heartbeat_elapsed = 0;
    r->election_timeout =
        r->config.election_ticks +
        (uint32_t)rng_below(&r->rng, r->config.election_ticks);
    r->transferee = 0;
    r->leaving = false;
    r->is_called = false;
    r->uncommitted_bytes = 0;
    r->conf_index = 0;
    r->term_first_index = 0;
    raft_read_drop_all(r);
    for (uint32_t i = 0; i < r->peer_count; i++) {
        raft_progress_reset(&r->peers[i], raft_log_last(&r->log) + 1);
        r->peers[i].vote = RAFT_VOTE_NONE;
    }
}

void raft_election_become_follower(struct raft *r, uint64_t term,
                                   uint64_t leader)
{
    bool news = r->role != RAFT_FOLLOWER || r->term != term;
    reset(r, term);
    if (news) {
        become(r, RAFT_FOLLOWER);
    }
    set_leader(r, leader);
}

void raft_election_heard(struct raft *r, uint64_t leader)
{
    if (r->role != RAFT_FOLLOWER) {
        raft_election_become_follower(r, r->term, leader);
    }
    r->election_elapsed = 0;
    set_leader(r, leader);
}

static void become_leader(struct raft *r)
{
    reset(r, r->term);
    become(r, RAFT_LEADER);
    set_leader(r, r->config.id);
    struct raft_peer *self = raft_progress_find(r, r->config.id);
    self->match = r->log.stable;
    self->state = RAFT_REPLICATE;
    self->recent_active = true;
    /* An older conf change may hide in the log's tail: none is taken up
     * until this term's first entry is applied. */
    r->conf_index = raft_log_last(&r->log) + 1;
    r->term_first_index = r->conf_index;
    struct raft_entry empty = {.type = RAFT_ENTRY_NORMAL};
    int err = raft_replication_propose(r, &empty, 1);
    assert(err == 0);
    (void)err;
}

static void request_votes(struct raft *r, bool pre, bool transfer)
{
    struct raft_message m = {
        .type = pre ? RAFT_MSG_PRE_VOTE : RAFT_MSG_VOTE,
        .term = pre ? r->term + 1 : r->term,
        .index = raft_log_last(&r->log),
        .log_term = raft_log_last_term(&r->log),
    };
    for (uint32_t i = 0; i < r->conf.voter_count; i++) {
        m.to = r->conf.voters[i];
        if (m.to == r->config.id) {
            continue;
        }
        raft_note(r,
                  "%" PRIx64 " [logterm: %" PRIu64 ", index: %" PRIu64
                  "] sent %s request to %" PRIx64 " at term %" PRIu64,
                  r->config.id, m.log_term, m.index,
                  pre ? "MsgPreVote" : "MsgVote", m.to, r->term);
        m.context = transfer ? bytes_copy(slice_str(transfer_context)) : NULL;
        if (pre) {
            raft_message_send(r, &m);
        } else {
            /* The own vote must not be forgotten by a crash once it has
             * helped another's. */
            raft_message_send_persisted(r, &m);
        }
    }
}

static void campaign(struct raft *r, bool transfer)
{
    reset(r, r->term + 1);
    set_leader(r, 0);
    become(r, RAFT_CANDIDATE);
    r->vote = r->config.id;
    request_votes(r, false, transfer);
    /* raft_election_vote_persisted() counts the own vote. */
}

/* A member's last word on a vote: leader, follower again, or wait. */
static void count_votes(struct raft *r, const char *name)
{
    uint32_t granted;
    uint32_t rejected;
    enum raft_vote result = raft_quorum_vote(r, &granted, &rejected);
    raft_note(r,
              "%" PRIx64 " has received %" PRIu32 " %s votes and %" PRIu32
              " vote rejections",
              r->config.id, granted, name, rejected);
    if (result == RAFT_VOTE_REJECTED) {
        raft_election_become_follower(r, r->term, 0);
    } else if (result == RAFT_VOTE_GRANTED) {
        if (r->role == RAFT_PRE_CANDIDATE) {
            campaign(r, false);
        } else {
            become_leader(r);
        }
    }
}

static void count_own_vote(struct raft *r, const char *name)
{
    raft_progress_find(r, r->config.id)->vote = RAFT_VOTE_GRANTED;
    count_votes(r, name);
}

static void pre_campaign(struct raft *r)
{
    reset(r, r->term);
    set_leader(r, 0);
    become(r, RAFT_PRE_CANDIDATE);
    request_votes(r, true, false);
    count_own_vote(r, "MsgPreVoteResp");
}

void raft_election_vote_persisted(struct raft *r)
{
    struct raft_peer *self = raft_progress_find(r, r->config.id);
    if (r->role == RAFT_CANDIDATE && self && !self->is_learner &&
        self->vote == RAFT_VOTE_NONE) {
        count_own_vote(r, "MsgVoteResp");
    }
}

static bool promotable(const struct raft *r)
{
    return raft_membership_votes(&r->conf, r->config.id) &&
           r->incoming.index == 0;
}

/* Majorities are counted by the configuration that was applied: a member
 * that lags behind a committed change would count by one too old. */
static bool conf_change_ahead(const struct raft *r)
{
    for (uint64_t i = r->log.applied + 1; i <= r->log.commit; i++) {
        if (raft_log_at(&r->log, i)->type != RAFT_ENTRY_NORMAL) {
            return true;
        }
    }
    return false;
}

void raft_election_start(struct raft *r, bool transfer)
{
    if (r->role == RAFT_LEADER || !promotable(r)) {
        return;
    }
    if (conf_change_ahead(r)) {
        /* A leader that was removed calls before its removal is applied
         * here; it may not be heard a second time. */
        r->is_called |= transfer;
        return;
    }
    raft_note(r, "%" PRIx64 " is starting a new election at term %" PRIu64,
              r->config.id, r->term);
    if (r->config.pre_vote && !transfer) {
        pre_campaign(r);
    } else {
        campaign(r, transfer);
    }
}

void raft_election_applied(struct raft *r)
{
    if (r->is_called && !conf_change_ahead(r)) {
        r->is_called = false;
        raft_election_start(r, true);
    }
}

void raft_election_tick(struct raft *r)
{
    r->election_elapsed++;
    if (r->election_elapsed >= r->election_timeout && promotable(r)) {
        r->election_elapsed = 0;
        raft_election_start(r, false);
    }
}

bool raft_election_in_lease(const struct raft *r)
{
    return r->config.check_quorum && r->leader != 0 &&
           r->election_elapsed < r->config.election_ticks;
}

static void answer_vote(struct raft *r, const struct raft_message *m,
                        bool granted)
{
    bool pre = m->type == RAFT_MSG_PRE_VOTE;
    struct raft_message answer = {
        .type = pre ? RAFT_MSG_PRE_VOTE_RESP : RAFT_MSG_VOTE_RESP,
        .to = m->from,
        .term = granted ? m->term : r->term,
        .reject = !granted,
    };
    if (pre) {
        raft_message_send(r, &answer);
    } else {
        raft_message_send_persisted(r, &answer);
    }
}

void raft_election_vote_requested(struct raft *r, const struct raft_message *m)
{
    bool pre = m->type == RAFT_MSG_PRE_VOTE;
    bool free_vote = r->vote == m->from || (r->vote == 0 && r->leader == 0) ||
                     (pre && m->term > r->term) || HAS_BUG(VOTE_TWICE);
    bool granted =
        free_vote && (raft_log_up_to_date(&r->log, m->index, m->log_term) ||
                      HAS_BUG(VOTE_FOR_OLDER));
    if (granted && !pre) {
        r->election_elapsed = 0;
        r->vote = m->from;
    }
    answer_vote(r, m, granted);
}

void raft_election_vote_answered(struct raft *r, const struct raft_message *m)
{
    bool pre = m->type == RAFT_MSG_PRE_VOTE_RESP;
    struct raft_peer *p = raft_progress_find(r, m->from);
    if (p == NULL || r->role != (pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE) ||
        p->vote != RAFT_VOTE_NONE) {
        return;
    }
    if (pre && !m->reject && m->term != r->term + 1) {
        return; /* to an earlier attempt */
    }
    const char *name = pre ? "MsgPreVoteResp" : "MsgVoteResp";
    raft_note(r, "%" PRIx64 " received %s%s from %" PRIx64 " at term %" PRIu64,
              r->config.id, name, m->reject ? " rejection" : "", m->from,
              r->term);
    p->vote = m->reject ? RAFT_VOTE_REJECTED : RAFT_VOTE_GRANTED;
    count_votes(r, name);
}
