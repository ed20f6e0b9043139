/* The door's beginnings and ends, and what only looks. */
#include "raft.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "internal.h"

static bool config_valid(const struct raft_config *c)
{
    return c->id != 0 && c->election_ticks > c->heartbeat_ticks &&
           c->heartbeat_ticks > 0 && c->inflight_max > 0;
}

static int restore_log(struct raft *r, const struct raft_restore *s)
{
    struct raft_log *l = &r->log;
    uint64_t term = s->snapshot.term;
    raft_log_init(l, s->snapshot.index, term);
    for (uint64_t i = 0; i < s->entry_count; i++) {
        struct raft_entry e = s->entries[i];
        if (e.index != s->snapshot.index + 1 + i || e.term < term) {
            return ERR_INVALID;
        }
        term = e.term;
        bytes_ref(e.data);
        raft_log_append(l, &e);
    }
    uint64_t last = raft_log_last(l);
    if (s->applied < s->snapshot.index || s->applied > last ||
        s->hard.commit > last || s->hard.term < term) {
        return ERR_INVALID;
    }
    l->written = last;
    l->stable = last;
    l->applied = s->applied;
    l->handed = s->applied;
    /* The commit index alone need not have been written. */
    l->commit = s->applied > s->hard.commit ? s->applied : s->hard.commit;
    r->term = s->hard.term;
    r->vote = s->hard.vote;
    r->handed_hard = s->hard;
    r->handed_hard.commit = l->commit;
    r->synced_hard = s->hard;
    return 0;
}

static void note_start(struct raft *r)
{
    struct buf peers = BUF_INIT(4096);
    for (uint32_t i = 0; i < r->conf.voter_count; i++) {
        buf_printf(&peers, i ? ",%" PRIx64 : "%" PRIx64, r->conf.voters[i]);
    }
    raft_note(r,
              "newRaft %" PRIx64 " [peers: [%.*s], term: %" PRIu64
              ", commit: %" PRIu64 ", applied: %" PRIu64 ", lastindex: %" PRIu64
              ", lastterm: %" PRIu64 "]",
              r->config.id, (int)peers.size,
              peers.data ? (const char *)peers.data : "", r->term,
              r->log.commit, r->log.applied, raft_log_last(&r->log),
              raft_log_last_term(&r->log));
    buf_release(&peers);
}

int raft_new(const struct raft_config *config,
             const struct raft_restore *restore, struct raft **ret_raft)
{
    if (!config_valid(config)) {
        return ERR_INVALID;
    }
    struct raft *r = mem_zalloc(sizeof *r);
    r->config = *config;
    /* Members of equal seeds must not time out together. */
    r->rng.state = config->seed ^ (config->id * 0x9e3779b97f4a7c15u);
    int err = restore_log(r, restore);
    if (err == 0) {
        err = raft_membership_init(r, &restore->snapshot.conf);
    }
    if (err) {
        raft_free(r);
        return err;
    }
    raft_election_become_follower(r, r->term, 0);
    raft_note(r, "%" PRIx64 " became follower at term %" PRIu64, r->config.id,
              r->term);
    note_start(r);
    *ret_raft = r;
    return 0;
}

void raft_free(struct raft *r)
{
    if (r == NULL) {
        return;
    }
    raft_read_drop_all(r);
    free(r->reads);
    for (uint32_t i = 0; i < r->peer_count; i++) {
        raft_progress_release(&r->peers[i]);
    }
    free(r->peers);
    /* What was lent out is the caller's already. */
    r->out[1 - r->filling].count = 0;
    r->out_persist[1 - r->filling].count = 0;
    for (int i = 0; i < 2; i++) {
        raft_message_queue_release(&r->out[i]);
        raft_message_queue_release(&r->out_persist[i]);
        free(r->states[i]);
    }
    free(r->writes);
    for (char *note; (note = raft_take_note(r));) {
        free(note);
    }
    raft_log_release(&r->log);
    free(r);
}

void raft_tick(struct raft *r)
{
    if (r->role == RAFT_LEADER) {
        raft_replication_tick(r);
    } else {
        raft_election_tick(r);
    }
}

void raft_campaign(struct raft *r)
{
    raft_election_start(r, false);
}

int raft_propose(struct raft *r, enum raft_entry_type type, struct bytes *data,
                 uint64_t cookie)
{
    struct raft_entry e = {.type = type, .data = data, .cookie = cookie};
    if (r->role == RAFT_LEADER) {
        bytes_ref(data);
        int err = raft_replication_propose(r, &e, 1);
        if (err) {
            bytes_unref(data);
        }
        return err;
    }
    if (r->leader == 0) {
        return ERR_DROPPED;
    }
    e.cookie = 0;
    bytes_ref(data);
    struct raft_message m = {
        .type = RAFT_MSG_PROP,
        .to = r->leader,
        .entry_count = 1,
        .entries = mem_dup(&e, sizeof e),
    };
    raft_message_send(r, &m);
    return 0;
}

void raft_report_unreachable(struct raft *r, uint64_t id)
{
    struct raft_peer *p = raft_progress_find(r, id);
    if (r->role == RAFT_LEADER && p && p->state == RAFT_REPLICATE &&
        id != r->config.id) {
        raft_progress_to_probe(p);
        /* The next answer to a heartbeat shows that it is back. */
        p->paused = true;
    }
}

void raft_get_status(const struct raft *r, struct raft_status *ret_status)
{
    *ret_status = (struct raft_status){
        .id = r->config.id,
        .leader = r->leader,
        .term = r->term,
        .vote = r->vote,
        .commit = r->log.commit,
        .applied = r->log.applied,
        .last_index = raft_log_last(&r->log),
        .first_index = r->log.base_index + 1,
        .role = r->role,
        .transferee = r->transferee,
        .is_learner = raft_membership_has(&r->conf, r->config.id) &&
                      !raft_membership_votes(&r->conf, r->config.id),
    };
}

uint32_t raft_get_progress(const struct raft *r, struct raft_progress *ret,
                           uint32_t capacity)
{
    if (r->role != RAFT_LEADER) {
        return 0;
    }
    for (uint32_t i = 0; i < r->peer_count && i < capacity; i++) {
        const struct raft_peer *p = &r->peers[i];
        ret[i] = (struct raft_progress){
            .id = p->id,
            .match = p->match,
            .next =
                p->id == r->config.id ? raft_log_last(&r->log) + 1 : p->next,
            .pending_snapshot =
                p->state == RAFT_SNAPSHOT ? p->pending_snapshot : 0,
            .state = p->state,
            .recent_active = p->recent_active || p->id == r->config.id,
            .is_learner = p->is_learner,
        };
    }
    return r->peer_count;
}

const struct raft_conf_state *raft_conf(const struct raft *r)
{
    return &r->conf;
}

uint64_t raft_term_at(const struct raft *r, uint64_t index)
{
    uint64_t term;
    return raft_log_term(&r->log, index, &term) ? term : 0;
}

uint64_t raft_log_bytes(const struct raft *r)
{
    return r->log.bytes;
}
