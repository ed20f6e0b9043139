/* Snapshots (dissertation 5.3): the meta here, the image beside it. */
#include <inttypes.h>

#include "internal.h"

bool raft_install_send(struct raft *r, struct raft_peer *p)
{
    const struct raft_snapshot_meta *s = &r->snapshot;
    /* It must close the gap to the log and know the follower, or it would be
     * asked for again at once. */
    if (!p->recent_active || s->index == 0 || s->index < r->log.base_index ||
        !raft_membership_has(&s->conf, p->id)) {
        return false;
    }
    struct raft_message m = {
        .type = RAFT_MSG_SNAP,
        .to = p->id,
        .term = r->term,
        .snapshot = mem_dup(s, sizeof *s),
    };
    raft_progress_to_snapshot(p, s->index);
    raft_message_send(r, &m);
    return true;
}

static void take_over(struct raft *r, const struct raft_snapshot_meta *s)
{
    raft_log_restart(&r->log, s->index, s->term);
    raft_ready_cut(r, 0);
    r->incoming = *s;
    r->incoming_new = true;
    r->snapshot = (struct raft_snapshot_meta){0};
    raft_membership_switch(r, &s->conf);
}

/* It leads beyond what is committed here, and to a configuration of ours. */
static bool leads_on(const struct raft *r, const struct raft_snapshot_meta *s)
{
    return (s->index > r->log.commit || HAS_BUG(IMAGE_OVER_NEWER)) &&
           raft_membership_valid(&s->conf) &&
           raft_membership_has(&s->conf, r->config.id);
}

static bool is_in_log(const struct raft *r, const struct raft_snapshot_meta *s)
{
    return r->incoming.index == 0 &&
           raft_log_matches(&r->log, s->index, s->term);
}

bool raft_wants_snapshot(const struct raft *r, const struct raft_message *m)
{
    return m->snapshot && m->term >= r->term && leads_on(r, m->snapshot) &&
           !is_in_log(r, m->snapshot);
}

/* True when the image is needed; where the log already leads there, the
 * commit index is enough. */
static bool wanted(struct raft *r, const struct raft_snapshot_meta *s)
{
    if (!leads_on(r, s)) {
        return false;
    }
    if (is_in_log(r, s)) {
        raft_replication_commit_to(r, s->index);
        return false;
    }
    return true;
}

void raft_install_receive(struct raft *r, const struct raft_message *m)
{
    raft_election_heard(r, m->from);
    if (m->snapshot == NULL) {
        return;
    }
    if (wanted(r, m->snapshot)) {
        take_over(r, m->snapshot);
    }
    struct raft_message answer = {
        .type = RAFT_MSG_APP_RESP,
        .to = m->from,
        .term = r->term,
        .index = r->log.commit,
    };
    raft_message_send_persisted(r, &answer);
}

uint64_t raft_incoming(const struct raft *r)
{
    return r->incoming.index;
}

void raft_report_snapshot(struct raft *r, uint64_t id, bool ok)
{
    struct raft_peer *p = raft_progress_find(r, id);
    if (r->role != RAFT_LEADER || p == NULL || p->state != RAFT_SNAPSHOT) {
        return;
    }
    if (!ok) {
        p->pending_snapshot = 0;
    }
    raft_progress_to_probe(p);
    /* Its own answer, or that to a heartbeat, sets it going again. */
    p->paused = true;
}

/* Called often: only who waits for an image is worth another look. */
void raft_set_snapshot(struct raft *r, const struct raft_snapshot_meta *meta)
{
    r->snapshot = *meta;
    for (uint32_t i = 0; i < r->peer_count && r->role == RAFT_LEADER; i++) {
        const struct raft_peer *p = &r->peers[i];
        r->flush |= p->id != r->config.id && p->next <= r->log.base_index &&
                    p->state != RAFT_SNAPSHOT;
    }
}
