/*
 * Replication (dissertation 3.5, 3.6, 10.2). The leader appends at once and
 * makes the messages when raft_ready() collects: what was proposed in one
 * pass leaves in one MSG_APP a follower, together with the commit index.
 */
#include <assert.h>
#include <inttypes.h>

#include "base/err.h"
#include "internal.h"

static uint64_t data_size(const struct raft_entry *e)
{
    return e->data ? e->data->size : 0;
}

/* ---- proposing ---- */

static bool fits(const struct raft *r, const struct raft_entry *entries,
                 uint32_t count)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        size += data_size(&entries[i]);
    }
    return r->config.uncommitted_bytes_max == 0 || size == 0 ||
           r->uncommitted_bytes == 0 ||
           r->uncommitted_bytes + size <= r->config.uncommitted_bytes_max;
}

/* One at a time (4.1): what comes too early turns into an empty entry, so
 * that the log is the same for members that would have taken it. */
static void admit_conf_change(struct raft *r, struct raft_entry *e)
{
    if (e->type == RAFT_ENTRY_NORMAL) {
        return;
    }
    if (r->conf_index > r->log.applied && !HAS_BUG(CONF_TWO)) {
        bytes_unref(e->data);
        /* The tag stays: so its proposer learns of it. */
        *e = (struct raft_entry){.term = e->term,
                                 .index = e->index,
                                 .type = RAFT_ENTRY_NORMAL,
                                 .cookie = e->cookie};
    } else {
        r->conf_index = e->index;
    }
}

/* Takes over the data of each entry when it returns 0. */
int raft_replication_propose(struct raft *r, struct raft_entry *entries,
                             uint32_t count)
{
    if (r->transferee || r->leaving || !fits(r, entries, count)) {
        return ERR_DROPPED;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct raft_entry e = entries[i];
        e.term = r->term;
        e.index = raft_log_last(&r->log) + 1;
        admit_conf_change(r, &e);
        r->uncommitted_bytes += data_size(&e);
        raft_log_append(&r->log, &e);
        entries[i].data = NULL;
    }
    r->flush = true;
    if (HAS_BUG(EARLY_ACK)) {
        raft_progress_find(r, r->config.id)->match = raft_log_last(&r->log);
    }
    return 0;
}

/* ---- sending ---- */

static uint32_t count_fitting(const struct raft *r, uint64_t from)
{
    uint64_t last = raft_log_last(&r->log);
    uint64_t size = 0;
    uint32_t count = 0;
    for (uint64_t i = from; i <= last; i++) {
        size += data_size(raft_log_at(&r->log, i));
        if (count > 0 && size > r->config.message_bytes_max) {
            break;
        }
        count++;
    }
    return count;
}

static struct raft_entry *copy_entries(const struct raft *r, uint64_t from,
                                       uint32_t count)
{
    if (count == 0) {
        return NULL;
    }
    struct raft_entry *copy =
        mem_dup(raft_log_at(&r->log, from), count * sizeof *copy);
    for (uint32_t i = 0; i < count; i++) {
        bytes_ref(copy[i].data);
        copy[i].cookie = 0;
    }
    return copy;
}

/* False when nothing was sent. */
static bool send_append(struct raft *r, struct raft_peer *p, bool with_entries)
{
    uint64_t prev = p->next - 1;
    struct raft_message m = {
        .type = RAFT_MSG_APP,
        .to = p->id,
        .term = r->term,
        .index = prev,
        .commit = r->log.commit,
    };
    if (!raft_log_term(&r->log, prev, &m.log_term)) {
        return raft_install_send(r, p);
    }
    if (with_entries) {
        m.entry_count = count_fitting(r, p->next);
        m.entries = copy_entries(r, p->next, m.entry_count);
    }
    raft_message_send(r, &m);
    p->sent_commit = r->log.commit;
    raft_progress_sent(p, m.entry_count ? prev + m.entry_count : 0);
    return true;
}

static void flush_peer(struct raft *r, struct raft_peer *p)
{
    for (;;) {
        bool more = p->next <= raft_log_last(&r->log);
        bool news = more || p->sent_commit < r->log.commit;
        if (p->state == RAFT_SNAPSHOT) {
            return;
        }
        if (raft_progress_blocked(p)) {
            /* Empty, it shows whether the window was lost on the way. */
            if (p->forced && p->state == RAFT_REPLICATE) {
                send_append(r, p, false);
            }
            return;
        }
        if (!(news || p->forced) || !send_append(r, p, more)) {
            return;
        }
    }
}

void raft_replication_flush(struct raft *r)
{
    r->flush = false;
    if (r->role != RAFT_LEADER) {
        return;
    }
    for (uint32_t i = 0; i < r->peer_count; i++) {
        if (r->peers[i].id != r->config.id) {
            flush_peer(r, &r->peers[i]);
        }
    }
}

void raft_replication_send_heartbeats(struct raft *r)
{
    for (uint32_t i = 0; i < r->peer_count; i++) {
        const struct raft_peer *p = &r->peers[i];
        if (p->id == r->config.id) {
            continue;
        }
        struct raft_message m = {
            .type = RAFT_MSG_HEARTBEAT,
            .to = p->id,
            .term = r->term,
            .commit = p->match < r->log.commit ? p->match : r->log.commit,
            .context = raft_read_context(r),
        };
        raft_message_send(r, &m);
    }
}

/* ---- committing ---- */

static void release_uncommitted(struct raft *r, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i <= to && r->uncommitted_bytes; i++) {
        uint64_t size = data_size(raft_log_at(&r->log, i));
        r->uncommitted_bytes -=
            size < r->uncommitted_bytes ? size : r->uncommitted_bytes;
    }
}

void raft_replication_commit_to(struct raft *r, uint64_t index)
{
    assert(index <= raft_log_last(&r->log));
    if (index > r->log.commit) {
        release_uncommitted(r, r->log.commit + 1, index);
        r->log.commit = index;
    }
}

/* Only an entry of the own term is committed by counting (3.6.2); what is
 * before it goes along. */
void raft_replication_commit(struct raft *r)
{
    uint64_t index = raft_quorum_match(r);
    if (index <= r->log.commit || index > raft_log_last(&r->log)) {
        return;
    }
    if (!raft_log_matches(&r->log, index, r->term) && !HAS_BUG(OLD_TERM)) {
        return;
    }
    raft_replication_commit_to(r, index);
    r->flush = true;
    raft_read_confirm(r);
}

/* ---- the follower's side ---- */

static bool well_formed(const struct raft_message *m)
{
    uint64_t term = m->log_term;
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const struct raft_entry *e = &m->entries[i];
        if (e->index != m->index + 1 + i || e->term < term ||
            e->term > m->term) {
            return false;
        }
        term = e->term;
    }
    return m->log_term <= m->term;
}

/* Appends what the log has not; ERR_PROTOCOL when that would take back
 * something committed. */
static int merge(struct raft *r, struct raft_message *m)
{
    struct raft_log *l = &r->log;
    uint32_t i = 0;
    while (i < m->entry_count && m->entries[i].index <= raft_log_last(l) &&
           (raft_log_matches(l, m->entries[i].index, m->entries[i].term) ||
            HAS_BUG(KEEP_CONFLICT))) {
        i++;
    }
    if (i == m->entry_count) {
        return 0;
    }
    if (m->entries[i].index <= l->commit) {
        return ERR_PROTOCOL;
    }
    if (m->entries[i].index <= raft_log_last(l)) {
        raft_log_truncate(l, m->entries[i].index);
        raft_ready_cut(r, m->entries[i].index);
    }
    for (; i < m->entry_count; i++) {
        m->entries[i].cookie = 0;
        raft_log_append(l, &m->entries[i]);
        m->entries[i].data = NULL;
    }
    return 0;
}

static void acknowledge(struct raft *r, uint64_t to, uint64_t index)
{
    struct raft_message m = {
        .type = RAFT_MSG_APP_RESP, .to = to, .term = r->term, .index = index};
    raft_message_send_persisted(r, &m);
}

static void refuse(struct raft *r, const struct raft_message *m)
{
    uint64_t last = raft_log_last(&r->log);
    struct raft_message answer = {
        .type = RAFT_MSG_APP_RESP,
        .to = m->from,
        .term = r->term,
        .index = m->index,
        .reject = true,
    };
    answer.reject_hint = raft_log_find_term(
        &r->log, m->index < last ? m->index : last, m->log_term);
    raft_log_term(&r->log, answer.reject_hint, &answer.log_term);
    raft_message_send(r, &answer);
}

int raft_replication_append(struct raft *r, struct raft_message *m)
{
    raft_election_heard(r, m->from);
    if (!well_formed(m)) {
        return ERR_PROTOCOL;
    }
    if (m->index < r->log.commit) {
        acknowledge(r, m->from, r->log.commit);
        return 0;
    }
    if (!raft_log_matches(&r->log, m->index, m->log_term) &&
        !(HAS_BUG(APPEND_UNMATCHED) && m->index <= raft_log_last(&r->log))) {
        refuse(r, m);
        return 0;
    }
    uint64_t last = m->index + m->entry_count;
    int err = merge(r, m);
    if (err) {
        return err;
    }
    raft_replication_commit_to(r, m->commit < last ? m->commit : last);
    acknowledge(r, m->from, last);
    return 0;
}

void raft_replication_heartbeat(struct raft *r, const struct raft_message *m)
{
    raft_election_heard(r, m->from);
    /* It is at most what we acknowledged; a member that lost its log must
     * not take it for its own. */
    if (m->commit <= raft_log_last(&r->log)) {
        raft_replication_commit_to(r, m->commit);
    }
    struct raft_message answer = {
        .type = RAFT_MSG_HEARTBEAT_RESP,
        .to = m->from,
        .term = r->term,
        .context = bytes_ref(m->context),
    };
    raft_message_send(r, &answer);
}

/* ---- the leader's side of the answers ---- */

static void rejected(struct raft *r, struct raft_peer *p,
                     const struct raft_message *m)
{
    uint64_t hint = m->reject_hint;
    if (m->log_term > 0) {
        hint = raft_log_find_term(&r->log, hint, m->log_term);
    }
    if (!raft_progress_rejected(p, m->index, hint)) {
        return;
    }
    if (p->state == RAFT_REPLICATE) {
        raft_progress_to_probe(p);
    }
    p->forced = true;
    r->flush = true;
}

static void accepted(struct raft *r, struct raft_peer *p, uint64_t index)
{
    if (index > raft_log_last(&r->log) || !raft_progress_accepted(p, index)) {
        return;
    }
    if (p->state == RAFT_PROBE ||
        (p->state == RAFT_SNAPSHOT && p->match >= r->log.base_index)) {
        raft_progress_to_replicate(p);
    }
    raft_replication_commit(r);
    r->flush = true;
    raft_transfer_check(r, p);
}

void raft_replication_answered(struct raft *r, const struct raft_message *m)
{
    struct raft_peer *p = raft_progress_find(r, m->from);
    if (r->role != RAFT_LEADER || p == NULL) {
        return;
    }
    p->recent_active = true;
    if (m->reject) {
        rejected(r, p, m);
    } else {
        accepted(r, p, m->index);
    }
}

void raft_replication_heartbeat_answered(struct raft *r,
                                         const struct raft_message *m)
{
    struct raft_peer *p = raft_progress_find(r, m->from);
    if (r->role != RAFT_LEADER || p == NULL) {
        return;
    }
    p->recent_active = true;
    p->paused = false;
    if (p->match < raft_log_last(&r->log) || p->state == RAFT_PROBE) {
        p->forced = true;
        r->flush = true;
    }
    raft_read_heard(r, m);
}

void raft_replication_tick(struct raft *r)
{
    r->election_elapsed++;
    r->heartbeat_elapsed++;
    if (r->election_elapsed >= r->config.election_ticks) {
        r->election_elapsed = 0;
        r->transferee = 0; /* it had its time */
        if (r->config.check_quorum && !r->leaving && !raft_quorum_active(r)) {
            raft_note(r,
                      "%" PRIx64
                      " stepped down to follower since quorum is not active",
                      r->config.id);
            raft_election_become_follower(r, r->term, 0);
            return;
        }
        for (uint32_t i = 0; i < r->peer_count; i++) {
            r->peers[i].was_active = r->peers[i].recent_active;
            r->peers[i].recent_active = false;
        }
    }
    if (r->heartbeat_elapsed >= r->config.heartbeat_ticks) {
        r->heartbeat_elapsed = 0;
        raft_replication_send_heartbeats(r);
        if (r->leaving) {
            raft_transfer_away(r); /* it may not have been ready before */
        }
    }
}
