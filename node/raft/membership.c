/*
 * Membership (dissertation 4). A configuration holds from the moment its
 * entry is applied. One change at a time, and a candidate that has a
 * committed change still to apply waits (election.c): so the majorities of
 * any two configurations in use share a member.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "internal.h"

static bool contains(const uint64_t *ids, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

static void insert(uint64_t *ids, uint32_t *count, uint64_t id)
{
    uint32_t at = *count;
    for (; at > 0 && ids[at - 1] > id; at--) {
        ids[at] = ids[at - 1];
    }
    ids[at] = id;
    (*count)++;
}

static void take_out(uint64_t *ids, uint32_t *count, uint64_t id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++) {
        if (ids[i] != id) {
            ids[kept++] = ids[i];
        }
    }
    *count = kept;
}

bool raft_membership_votes(const struct raft_conf_state *conf, uint64_t id)
{
    return contains(conf->voters, conf->voter_count, id);
}

bool raft_membership_has(const struct raft_conf_state *conf, uint64_t id)
{
    return raft_membership_votes(conf, id) ||
           contains(conf->learners, conf->learner_count, id);
}

static bool ascending(const uint64_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == 0 || (i > 0 && ids[i - 1] >= ids[i])) {
            return false;
        }
    }
    return true;
}

bool raft_membership_valid(const struct raft_conf_state *conf)
{
    if (conf->voter_count > RAFT_MEMBERS_MAX ||
        conf->learner_count > RAFT_MEMBERS_MAX ||
        conf->voter_count + conf->learner_count > RAFT_MEMBERS_MAX ||
        !ascending(conf->voters, conf->voter_count) ||
        !ascending(conf->learners, conf->learner_count)) {
        return false;
    }
    for (uint32_t i = 0; i < conf->learner_count; i++) {
        if (raft_membership_votes(conf, conf->learners[i])) {
            return false;
        }
    }
    return true;
}

/* ---- the peers ---- */

static void add_peer(struct raft *r, struct raft_peer *to, uint64_t id,
                     bool is_learner)
{
    struct raft_peer *known = raft_progress_find(r, id);
    if (known) {
        *to = *known;
        known->inflight = NULL; /* moved */
        to->is_learner = is_learner;
        return;
    }
    raft_progress_init(to, id, is_learner, raft_log_last(&r->log) + 1,
                       r->config.inflight_max);
    if (id == r->config.id) {
        to->match = r->log.stable;
        to->state = RAFT_REPLICATE;
    }
}

static void rebuild_peers(struct raft *r)
{
    const struct raft_conf_state *c = &r->conf;
    uint32_t count = c->voter_count + c->learner_count;
    struct raft_peer *peers = mem_zalloc((count + 1) * sizeof *peers);
    uint32_t v = 0;
    uint32_t l = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool voter = l == c->learner_count ||
                     (v < c->voter_count && c->voters[v] < c->learners[l]);
        add_peer(r, &peers[i], voter ? c->voters[v] : c->learners[l], !voter);
        v += voter;
        l += !voter;
    }
    for (uint32_t i = 0; i < r->peer_count; i++) {
        raft_progress_release(&r->peers[i]);
    }
    free(r->peers);
    r->peers = peers;
    r->peer_count = count;
}

static void print_ids(struct buf *b, const char *name, const uint64_t *ids,
                      uint32_t count)
{
    buf_printf(b, "%s=(", name);
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(b, i ? " %" PRIx64 : "%" PRIx64, ids[i]);
    }
    buf_append_byte(b, ')');
}

static void note_switch(struct raft *r)
{
    struct buf b = BUF_INIT(4096);
    print_ids(&b, "voters", r->conf.voters, r->conf.voter_count);
    if (r->conf.learner_count) {
        buf_append_byte(&b, ' ');
        print_ids(&b, "learners", r->conf.learners, r->conf.learner_count);
    }
    raft_note(r, "%" PRIx64 " switched to configuration %.*s", r->config.id,
              (int)b.size, (const char *)b.data);
    buf_release(&b);
}

/*
 * What the change means for a leader: its majority may be smaller now. One
 * that was removed itself goes on, taking no more requests, until the others
 * know of the commit and one of them took over (4.2.2). If it stopped at
 * once, those left might need its vote for ever: they would count by the
 * old configuration, and a member that is out cannot lead.
 */
static void lead_on(struct raft *r)
{
    r->flush = true;
    if (!raft_membership_votes(&r->conf, r->transferee)) {
        r->transferee = 0;
    }
    if (!raft_membership_votes(&r->conf, r->config.id)) {
        r->leaving = true;
        raft_read_drop_all(r);
        raft_transfer_away(r);
        return;
    }
    raft_replication_commit(r);
    raft_read_confirm(r);
}

void raft_membership_switch(struct raft *r, const struct raft_conf_state *conf)
{
    r->conf = *conf;
    rebuild_peers(r);
    note_switch(r);
    if (r->role == RAFT_LEADER) {
        lead_on(r);
    } else if (r->role != RAFT_FOLLOWER &&
               !raft_membership_votes(&r->conf, r->config.id)) {
        raft_election_become_follower(r, r->term, 0);
    }
}

int raft_membership_init(struct raft *r, const struct raft_conf_state *conf)
{
    if (!raft_membership_valid(conf)) {
        return ERR_INVALID;
    }
    r->conf = *conf;
    rebuild_peers(r);
    return 0;
}

/* ---- changes ---- */

/* False when it changes nothing, or must not: the last voter stays. */
static bool change(struct raft_conf_state *c, enum raft_conf_change_type type,
                   uint64_t id)
{
    bool votes = raft_membership_votes(c, id);
    bool learns = contains(c->learners, c->learner_count, id);
    bool full = c->voter_count + c->learner_count == RAFT_MEMBERS_MAX;
    bool last_voter = votes && c->voter_count == 1;
    switch (type) {
    case RAFT_CONF_ADD_NODE:
        if (votes || (full && !learns)) {
            return false;
        }
        take_out(c->learners, &c->learner_count, id);
        insert(c->voters, &c->voter_count, id);
        return true;
    case RAFT_CONF_ADD_LEARNER:
        if (learns || last_voter || (full && !votes)) {
            return false;
        }
        take_out(c->voters, &c->voter_count, id);
        insert(c->learners, &c->learner_count, id);
        return true;
    case RAFT_CONF_REMOVE_NODE:
        if (!(votes || learns) || last_voter) {
            return false;
        }
        take_out(c->voters, &c->voter_count, id);
        take_out(c->learners, &c->learner_count, id);
        return true;
    case RAFT_CONF_UPDATE_NODE:
        break;
    }
    return false;
}

void raft_apply_conf_change(struct raft *r, enum raft_conf_change_type type,
                            uint64_t node_id, struct raft_conf_state *ret_conf)
{
    struct raft_conf_state next = r->conf;
    if (node_id != 0 && change(&next, type, node_id)) {
        raft_membership_switch(r, &next);
    }
    *ret_conf = r->conf;
}
