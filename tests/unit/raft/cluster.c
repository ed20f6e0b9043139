#include "cluster.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/endian.h"

const char *const cluster_role_names[] = {"follower", "pre-candidate",
                                          "candidate", "leader"};

struct cluster *cluster_new(void)
{
    struct cluster *c = mem_zalloc(sizeof *c);
    for (uint64_t i = 0; i <= CLUSTER_MAX; i++) {
        c->nodes[i].id = i;
        buf_init(&c->nodes[i].applied, 1 << 20);
    }
    return c;
}

static void entries_free(struct raft_entry *entries, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        bytes_unref(entries[i].data);
    }
    free(entries);
}

static void write_free(struct cluster_write *w)
{
    entries_free(w->entries, w->entry_count);
    for (uint32_t i = 0; i < w->message_count; i++) {
        raft_message_release(&w->messages[i]);
    }
    free(w->messages);
    free(w);
}

static void writes_drop(struct cluster_node *n)
{
    while (n->writes) {
        struct cluster_write *w = n->writes;
        n->writes = w->next;
        write_free(w);
    }
}

void cluster_drop_messages(struct cluster *c)
{
    for (uint32_t i = 0; i < c->net_count; i++) {
        raft_message_release(&c->net[i].message);
    }
    c->net_count = 0;
}

void cluster_free(struct cluster *c)
{
    cluster_drop_messages(c);
    free(c->net);
    for (uint64_t i = 0; i <= CLUSTER_MAX; i++) {
        struct cluster_node *n = &c->nodes[i];
        writes_drop(n);
        entries_free(n->entries, n->entry_count);
        buf_release(&n->applied);
        raft_free(n->raft);
    }
    free(c);
}

struct raft_config cluster_config(uint64_t id)
{
    return (struct raft_config){
        .id = id,
        .election_ticks = 10,
        .heartbeat_ticks = 1,
        .pre_vote = true,
        .check_quorum = true,
        .message_bytes_max = 1 << 20,
        .inflight_max = 16,
        .seed = 1,
    };
}

static void start(struct cluster_node *n)
{
    struct raft_restore restore = {
        .hard = n->hard,
        .snapshot = n->base,
        .applied = n->applied_index,
        .entries = n->entries,
        .entry_count = n->entry_count,
    };
    restore.snapshot.conf = n->conf;
    int err = raft_new(&n->config, &restore, &n->raft);
    assert(err == 0);
    (void)err;
}

void cluster_bootstrap(struct cluster *c, uint32_t voters, uint32_t learners,
                       const struct raft_config *config)
{
    for (uint32_t id = 1; id <= voters + learners; id++) {
        struct cluster_node *n = &c->nodes[id];
        n->config = config ? *config : cluster_config(id);
        n->config.id = id;
        for (uint32_t v = 1; v <= voters; v++) {
            n->conf.voters[n->conf.voter_count++] = v;
        }
        for (uint32_t l = 1; l <= learners; l++) {
            n->conf.learners[n->conf.learner_count++] = voters + l;
        }
        start(n);
    }
}

void cluster_start_empty(struct cluster *c, uint64_t id)
{
    c->nodes[id].config = cluster_config(id);
    start(&c->nodes[id]);
}

void cluster_crash(struct cluster *c, uint64_t id)
{
    struct cluster_node *n = &c->nodes[id];
    raft_free(n->raft);
    n->raft = NULL;
    n->read_count = 0;
    writes_drop(n);
}

void cluster_restart(struct cluster *c, uint64_t id)
{
    start(&c->nodes[id]);
}

/* ---- messages ---- */

void cluster_print_message(struct buf *b, const struct raft_message *m)
{
    static const char *const names[] = {"HUP",
                                        "BEAT",
                                        "PROP",
                                        "APP",
                                        "APP_RESP",
                                        "VOTE",
                                        "VOTE_RESP",
                                        "SNAP",
                                        "HEARTBEAT",
                                        "HEARTBEAT_RESP",
                                        "UNREACHABLE",
                                        "SNAP_STATUS",
                                        "CHECK_QUORUM",
                                        "TRANSFER_LEADER",
                                        "TIMEOUT_NOW",
                                        "READ_INDEX",
                                        "READ_INDEX_RESP",
                                        "PRE_VOTE",
                                        "PRE_VOTE_RESP"};
    buf_printf(b, "%" PRIu64 "->%" PRIu64 " %s term %" PRIu64, m->from, m->to,
               names[m->type], m->term);
    if (m->index || m->log_term) {
        buf_printf(b, " index %" PRIu64 "/%" PRIu64, m->index, m->log_term);
    }
    if (m->commit) {
        buf_printf(b, " commit %" PRIu64, m->commit);
    }
    if (m->reject) {
        buf_printf(b, " reject hint %" PRIu64, m->reject_hint);
    }
    if (m->context && m->context->size == 8) {
        buf_printf(b, " round %" PRIu64, get_le64(m->context->data));
    } else if (m->context) {
        buf_printf(b, " %.*s", (int)m->context->size,
                   (const char *)m->context->data);
    }
    if (m->snapshot) {
        buf_printf(b, " snapshot %" PRIu64 "/%" PRIu64, m->snapshot->index,
                   m->snapshot->term);
    }
    if (m->entry_count) {
        buf_append_str(b, " [");
        for (uint32_t i = 0; i < m->entry_count; i++) {
            const struct raft_entry *e = &m->entries[i];
            buf_printf(b, "%s%" PRIu64 "/%" PRIu64, i ? " " : "", e->index,
                       e->term);
        }
        buf_append_str(b, "]");
    }
}

static void send_all(struct cluster *c, uint64_t sender,
                     struct raft_message *messages, uint32_t count)
{
    if (c->net_count + count > c->net_capacity) {
        c->net_capacity = (c->net_count + count) * 2;
        c->net = mem_realloc(c->net, c->net_capacity * sizeof *c->net);
    }
    for (uint32_t i = 0; i < count; i++) {
        c->net[c->net_count++] = (struct cluster_mail){sender, messages[i]};
    }
}

bool cluster_deliver_one(struct cluster *c)
{
    if (c->net_count == 0) {
        return false;
    }
    uint64_t sender = c->net[0].sender;
    struct raft_message m = c->net[0].message;
    c->net_count--;
    memmove(c->net, c->net + 1, c->net_count * sizeof *c->net);
    struct cluster_node *to = &c->nodes[m.to];
    bool image = m.type == RAFT_MSG_SNAP;
    bool lost =
        c->cut[sender][m.to] || to->raft == NULL || (image && c->images_lost);
    if (c->trace) {
        cluster_print_message(c->trace, &m);
        buf_append_str(c->trace, lost ? " (lost)\n" : "\n");
    }
    if (lost) {
        raft_message_release(&m);
    } else {
        raft_step(to->raft, &m);
    }
    if (image && c->nodes[sender].raft) {
        raft_report_snapshot(c->nodes[sender].raft, to->id, !lost);
    }
    return true;
}

/* ---- one member's work ---- */

static struct raft_entry *entries_copy(const struct raft_entry *entries,
                                       uint64_t count)
{
    struct raft_entry *copy = mem_alloc((count + 1) * sizeof *copy);
    for (uint64_t i = 0; i < count; i++) {
        copy[i] = entries[i];
        bytes_ref(copy[i].data);
    }
    return copy;
}

static void apply(struct cluster_node *n, const struct raft_entry *e)
{
    assert(e->index == n->applied_index + 1);
    struct slice s = bytes_slice(e->data);
    if (e->type == RAFT_ENTRY_CONF_CHANGE) {
        raft_apply_conf_change(n->raft, s.data[0], s.data[1], &n->conf);
        buf_printf(&n->applied, "%" PRIu64 " conf %u %u\n", e->index, s.data[0],
                   s.data[1]);
    } else {
        buf_printf(&n->applied, "%" PRIu64 " %.*s\n", e->index,
                   s.data ? (int)s.size : 1,
                   s.data ? (const char *)s.data : "-");
    }
    n->applied_index = e->index;
    n->applied_term = e->term;
    raft_applied(n->raft, e->index);
}

/* The image holds what the sender had applied; here its text is not moved. */
static void install(struct cluster_node *n,
                    const struct raft_snapshot_meta *meta)
{
    buf_reset(&n->applied, 1 << 20);
    buf_printf(&n->applied, "image %" PRIu64 "\n", meta->index);
    n->applied_index = meta->index;
    n->applied_term = meta->term;
    n->conf = meta->conf;
    raft_applied(n->raft, meta->index);
}

static void queue_write(struct cluster_node *n, const struct raft_ready *ready)
{
    struct cluster_write *w = mem_zalloc(sizeof *w);
    w->hard = ready->hard_state;
    w->has_hard = ready->hard_state_changed;
    w->entries = entries_copy(ready->entries, ready->entry_count);
    w->entry_count = ready->entry_count;
    w->message_count = ready->after_persist_count;
    w->messages =
        mem_dup(ready->after_persist, w->message_count * sizeof *w->messages);
    w->term = w->hard.term;
    if (ready->snapshot) {
        w->snapshot = *ready->snapshot;
        w->index = w->snapshot.index;
        w->term = w->snapshot.term;
    }
    if (w->entry_count) {
        w->index = w->entries[w->entry_count - 1].index;
        w->term = w->entries[w->entry_count - 1].term;
    }
    struct cluster_write **end = &n->writes;
    while (*end) {
        end = &(*end)->next;
    }
    *end = w;
}

static void take_notes(struct cluster *c, struct cluster_node *n)
{
    for (char *note; (note = raft_take_note(n->raft)); free(note)) {
        if (c->trace && c->notes) {
            buf_printf(c->trace, "note %s\n", note);
        }
    }
}

bool cluster_pass(struct cluster *c, uint64_t id)
{
    struct cluster_node *n = &c->nodes[id];
    if (n->raft == NULL || !raft_has_ready(n->raft)) {
        return false;
    }
    struct raft_ready ready;
    raft_ready(n->raft, &ready);
    for (uint32_t i = 0; i < ready.read_count && n->read_count < 16; i++) {
        n->reads[n->read_count++] = ready.reads[i];
    }
    send_all(c, id, ready.messages, ready.message_count);
    if (ready.entry_count || ready.hard_state_changed || ready.snapshot ||
        ready.after_persist_count) {
        queue_write(n, &ready);
    }
    struct raft_entry *committed =
        entries_copy(ready.committed, ready.committed_count);
    uint64_t count = ready.committed_count;
    if (ready.snapshot) {
        struct raft_snapshot_meta meta = *ready.snapshot;
        install(n, &meta);
    }
    for (uint64_t i = 0; i < count; i++) {
        apply(n, &committed[i]);
    }
    entries_free(committed, count);
    take_notes(c, n);
    return true;
}

static void disk_cut(struct cluster_node *n, uint64_t index)
{
    while (n->entry_count && n->entries[n->entry_count - 1].index >= index) {
        bytes_unref(n->entries[--n->entry_count].data);
    }
}

static void disk_write(struct cluster_node *n, struct cluster_write *w)
{
    if (w->has_hard) {
        n->hard = w->hard;
    }
    if (w->snapshot.index) {
        disk_cut(n, 0);
        n->base = w->snapshot;
    }
    if (w->entry_count == 0) {
        return;
    }
    disk_cut(n, w->entries[0].index);
    n->entries = mem_realloc(n->entries, (n->entry_count + w->entry_count) *
                                             sizeof *n->entries);
    for (uint64_t i = 0; i < w->entry_count; i++) {
        n->entries[n->entry_count++] = w->entries[i];
        bytes_ref(w->entries[i].data);
    }
}

bool cluster_write_one(struct cluster *c, uint64_t id)
{
    struct cluster_node *n = &c->nodes[id];
    struct cluster_write *w = n->writes;
    if (w == NULL) {
        return false;
    }
    n->writes = w->next;
    disk_write(n, w);
    send_all(c, id, w->messages, w->message_count);
    w->message_count = 0;
    raft_persisted(n->raft, w->index, w->term);
    write_free(w);
    take_notes(c, n);
    return true;
}

void cluster_settle(struct cluster *c)
{
    for (bool busy = true; busy;) {
        busy = false;
        for (uint64_t id = 1; id <= CLUSTER_MAX; id++) {
            busy |= cluster_pass(c, id);
            while (!c->nodes[id].disk_held && cluster_write_one(c, id)) {
                busy = true;
            }
        }
        busy |= cluster_deliver_one(c);
    }
}

void cluster_tick(struct cluster *c, uint64_t id, uint32_t ticks)
{
    for (uint32_t t = 0; t < ticks; t++) {
        for (uint64_t i = 1; i <= CLUSTER_MAX; i++) {
            if (c->nodes[i].raft && (id == 0 || id == i)) {
                raft_tick(c->nodes[i].raft);
            }
        }
        cluster_settle(c);
    }
}

/* ---- faults and clients ---- */

void cluster_isolate(struct cluster *c, uint64_t id)
{
    for (uint64_t i = 1; i <= CLUSTER_MAX; i++) {
        c->cut[i][id] = c->cut[id][i] = true;
    }
}

void cluster_heal(struct cluster *c)
{
    memset(c->cut, 0, sizeof c->cut);
}

void cluster_snapshot(struct cluster *c, uint64_t id)
{
    struct cluster_node *n = &c->nodes[id];
    struct raft_snapshot_meta meta = {
        .index = n->applied_index, .term = n->applied_term, .conf = n->conf};
    raft_set_snapshot(n->raft, &meta);
}

int cluster_propose(struct cluster *c, uint64_t id, const char *text)
{
    struct bytes *data = bytes_copy(slice_str(text));
    int err = raft_propose(c->nodes[id].raft, RAFT_ENTRY_NORMAL, data, 0);
    bytes_unref(data);
    return err;
}

int cluster_propose_conf(struct cluster *c, uint64_t id,
                         enum raft_conf_change_type type, uint64_t node_id)
{
    uint8_t text[2] = {(uint8_t)type, (uint8_t)node_id};
    struct bytes *data = bytes_copy(slice_of(text, sizeof text));
    int err = raft_propose(c->nodes[id].raft, RAFT_ENTRY_CONF_CHANGE, data, 0);
    bytes_unref(data);
    return err;
}

void cluster_elect(struct cluster *c, uint64_t id)
{
    raft_campaign(c->nodes[id].raft);
    cluster_settle(c);
}

struct raft_status cluster_status(const struct cluster *c, uint64_t id)
{
    struct raft_status s;
    raft_get_status(c->nodes[id].raft, &s);
    return s;
}

const char *cluster_applied(struct cluster *c, uint64_t id)
{
    struct buf *b = &c->nodes[id].applied;
    buf_append_byte(b, 0);
    b->size--;
    return (const char *)b->data;
}
