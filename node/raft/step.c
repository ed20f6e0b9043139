/* A message comes in: terms first (dissertation 3.3), then by type. */
#include <inttypes.h>

#include "base/err.h"
#include "internal.h"

static bool is_vote_request(const struct raft_message *m)
{
    return m->type == RAFT_MSG_VOTE || m->type == RAFT_MSG_PRE_VOTE;
}

static bool is_from_leader(const struct raft_message *m)
{
    return m->type == RAFT_MSG_APP || m->type == RAFT_MSG_HEARTBEAT ||
           m->type == RAFT_MSG_SNAP;
}

/* Types that a member sends to another one. */
static bool travels(enum raft_message_type type)
{
    switch (type) {
    case RAFT_MSG_PROP:
    case RAFT_MSG_APP:
    case RAFT_MSG_APP_RESP:
    case RAFT_MSG_VOTE:
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_SNAP:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_HEARTBEAT_RESP:
    case RAFT_MSG_TRANSFER_LEADER:
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_READ_INDEX:
    case RAFT_MSG_READ_INDEX_RESP:
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_PRE_VOTE_RESP:
        return true;
    case RAFT_MSG_HUP:
    case RAFT_MSG_BEAT:
    case RAFT_MSG_UNREACHABLE:
    case RAFT_MSG_SNAP_STATUS:
    case RAFT_MSG_CHECK_QUORUM:
        break;
    }
    return false;
}

/* Answers mean something only from members: one that was removed must not
 * raise the others' term with them. */
static bool is_answer(const struct raft_message *m)
{
    return m->type == RAFT_MSG_APP_RESP || m->type == RAFT_MSG_VOTE_RESP ||
           m->type == RAFT_MSG_PRE_VOTE_RESP ||
           m->type == RAFT_MSG_HEARTBEAT_RESP;
}

/* A leader was heard not long ago: whoever asks for votes was cut off
 * (4.2.3), unless the leader itself told it to. */
static bool ignored_for_lease(const struct raft *r,
                              const struct raft_message *m)
{
    return is_vote_request(m) &&
           !slice_eq_str(bytes_slice(m->context), "CampaignTransfer") &&
           raft_election_in_lease(r);
}

/* A member with an older term is told so where it could not find out by
 * itself: with pre-vote and leases its term may never catch up otherwise, and
 * without pre-vote two that campaign side by side, one of them with members
 * that are gone, never come to the same term (RequestVote, dissertation
 * figure 3.1: false, and the current term). */
static void answer_old(struct raft *r, const struct raft_message *m)
{
    struct raft_message answer = {.to = m->from, .term = r->term};
    if ((r->config.check_quorum || r->config.pre_vote) &&
        (m->type == RAFT_MSG_HEARTBEAT || m->type == RAFT_MSG_APP)) {
        answer.type = RAFT_MSG_APP_RESP;
        raft_message_send(r, &answer);
    } else if (m->type == RAFT_MSG_PRE_VOTE) {
        answer.type = RAFT_MSG_PRE_VOTE_RESP;
        answer.reject = true;
        raft_message_send(r, &answer);
    } else if (m->type == RAFT_MSG_VOTE) {
        answer.type = RAFT_MSG_VOTE_RESP;
        answer.reject = true;
        raft_message_send(r, &answer);
    }
}

/* True when the message is to be looked at under what is now the term. */
static bool settle_term(struct raft *r, const struct raft_message *m)
{
    if (m->term == 0) {
        return m->type == RAFT_MSG_PROP || m->type == RAFT_MSG_READ_INDEX;
    }
    if (m->term < r->term) {
        answer_old(r, m);
        return false;
    }
    if (m->term == r->term) {
        return true;
    }
    if (ignored_for_lease(r, m)) {
        return false;
    }
    /* A pre-vote asks for, and is granted, a term that nobody has yet. */
    if (m->type != RAFT_MSG_PRE_VOTE &&
        !(m->type == RAFT_MSG_PRE_VOTE_RESP && !m->reject)) {
        raft_election_become_follower(r, m->term,
                                      is_from_leader(m) ? m->from : 0);
    }
    return true;
}

static int propose(struct raft *r, struct raft_message *m)
{
    if (r->role == RAFT_LEADER) {
        return raft_replication_propose(r, m->entries, m->entry_count);
    }
    if (r->leader == 0 || r->leader == m->from) {
        raft_note(
            r, "%" PRIx64 " no leader at term %" PRIu64 "; dropping proposal",
            r->config.id, r->term);
        return ERR_DROPPED;
    }
    struct raft_message on = *m;
    on.to = r->leader;
    raft_message_send(r, &on);
    *m = (struct raft_message){0};
    return 0;
}

static void timeout_now(struct raft *r, const struct raft_message *m)
{
    if (r->role != RAFT_FOLLOWER || m->from != r->leader) {
        return;
    }
    raft_note(r,
              "%" PRIx64 " [term %" PRIu64
              "] received MsgTimeoutNow from %" PRIx64
              " and starts an election to get leadership.",
              r->config.id, r->term, m->from);
    raft_election_start(r, true);
}

static int dispatch(struct raft *r, struct raft_message *m)
{
    switch (m->type) {
    case RAFT_MSG_PROP:
        return propose(r, m);
    case RAFT_MSG_APP:
        return raft_replication_append(r, m);
    case RAFT_MSG_APP_RESP:
        raft_replication_answered(r, m);
        break;
    case RAFT_MSG_VOTE:
    case RAFT_MSG_PRE_VOTE:
        raft_election_vote_requested(r, m);
        break;
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_PRE_VOTE_RESP:
        raft_election_vote_answered(r, m);
        break;
    case RAFT_MSG_SNAP:
        raft_install_receive(r, m);
        break;
    case RAFT_MSG_HEARTBEAT:
        raft_replication_heartbeat(r, m);
        break;
    case RAFT_MSG_HEARTBEAT_RESP:
        raft_replication_heartbeat_answered(r, m);
        break;
    case RAFT_MSG_TRANSFER_LEADER:
        raft_transfer_requested(r, m->from);
        break;
    case RAFT_MSG_TIMEOUT_NOW:
        timeout_now(r, m);
        break;
    case RAFT_MSG_READ_INDEX:
        return raft_read_requested(r, m);
    case RAFT_MSG_READ_INDEX_RESP:
        raft_read_take(r, m);
        break;
    default:
        return ERR_PROTOCOL;
    }
    return 0;
}

int raft_step(struct raft *r, struct raft_message *m)
{
    int err = 0;
    if (!travels(m->type) || m->from == 0 || m->from == r->config.id) {
        /* A transfer request names the transferee as its sender, and that
         * may be the leader itself: nothing to do either. */
        err = ERR_PROTOCOL;
    } else if (is_from_leader(m) && r->role == RAFT_LEADER &&
               m->term == r->term) {
        err = ERR_PROTOCOL; /* two leaders in a term: not by our rules */
    } else if (is_answer(m) && raft_progress_find(r, m->from) == NULL) {
        err = 0; /* dropped, as said */
    } else if (settle_term(r, m)) {
        err = dispatch(r, m);
    }
    raft_message_release(m);
    return err;
}
