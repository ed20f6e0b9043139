/* One simulated member: a core, a disk, a store that knows how far it has
 * applied. Does with a ready what the replica driver does. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/endian.h"
#include "sim.h"

static void configure(struct sim *s, struct sim_node *n)
{
    n->exists = true;
    uint64_t kind = s->seed % 10;
    n->config = (struct raft_config){
        .id = n->id,
        .election_ticks = 10,
        .heartbeat_ticks = 1 + (uint32_t)(s->seed % 3),
        .pre_vote = kind != 0,
        .check_quorum = kind < 1 || kind > 3,
        .message_bytes_max = 16u << s->seed % 9,
        .inflight_max = 1 + (uint32_t)(s->seed % 17),
        .uncommitted_bytes_max = s->seed % 4 ? 0 : 2000,
        .log_bytes_max = s->seed % 5 ? 0 : 1000,
        .log_bytes_waited_max = s->seed % 10 ? 4000 : 1000,
    };
}

void sim_node_bootstrap(struct sim *s, struct sim_node *n, uint32_t members)
{
    configure(s, n);
    for (uint64_t id = 1; id <= members; id++) {
        struct raft_entry e = {
            .term = 1, .index = id, .type = RAFT_ENTRY_CONF_CHANGE};
        uint8_t text[9] = {RAFT_CONF_ADD_NODE};
        put_be64(text + 1, id);
        e.data = bytes_copy(slice_of(text, sizeof text));
        sim_disk_append(&n->disk, &e);
        bytes_unref(e.data);
    }
    n->disk.hard = (struct raft_hard_state){.term = 1, .commit = members};
    oracle_see_entries(s, n, n->disk.entries, members);
    sim_node_start(s, n);
}

void sim_node_join(struct sim *s, struct sim_node *n)
{
    configure(s, n);
    sim_node_start(s, n);
}

/* The image was in place before the log said so, or is older than it. */
static void recover_disk(struct sim *s, struct sim_disk *d)
{
    uint64_t at = d->store_index;
    uint64_t term = oracle_term_of(s, at);
    bool known =
        at >= d->base_index && at <= sim_disk_last(d) &&
        (at == d->base_index ? d->base_term
                             : d->entries[at - d->base_index - 1].term) == term;
    if (!known) {
        sim_disk_restart(d, at, term);
    }
    if (d->hard.term < term) {
        d->hard.term = term;
        d->hard.vote = 0;
    }
    if (d->hard.commit > sim_disk_last(d)) {
        sim_fail(s, "disk: commit %" PRIu64 " past its end %" PRIu64,
                 d->hard.commit, sim_disk_last(d));
    }
}

void sim_node_start(struct sim *s, struct sim_node *n)
{
    struct sim_disk *d = &n->disk;
    recover_disk(s, d);
    n->applied = d->store_index;
    n->config.seed = sim_pick(s, UINT32_MAX);
    struct raft_restore restore = {
        .hard = d->hard,
        .snapshot = {.index = d->base_index, .term = d->base_term},
        .applied = n->applied,
        .entries = d->entries,
        .entry_count = d->entry_count,
    };
    oracle_conf_at(s, n->applied, &restore.snapshot.conf);
    if (n->applied == 0) {
        restore.snapshot.conf = (struct raft_conf_state){0};
    }
    sim_trace(s,
              "%" PRIu64 " start term %" PRIu64 " vote %" PRIu64 " log %" PRIu64
              "..%" PRIu64 " applied %" PRIu64,
              n->id, d->hard.term, d->hard.vote, d->base_index + 1,
              sim_disk_last(d), n->applied);
    if (!s->failure[0] && raft_new(&n->config, &restore, &n->raft) != 0) {
        sim_fail(s, "%" PRIu64 " does not start", n->id);
    }
    n->life++;
    n->next_tick = s->now + 1 + sim_pick(s, SIM_TICK_STEPS);
    n->seen = (struct raft_status){.commit = n->applied};
}

static void drop_writes(struct sim_node *n)
{
    while (n->writes) {
        struct sim_write *w = n->writes;
        n->writes = w->next;
        sim_disk_write_free(w);
    }
    if (n->held) {
        sim_disk_write_free(n->held);
        n->held = NULL;
    }
}

/* Of the writes under way the first few may have reached the disk. */
void sim_node_crash(struct sim *s, struct sim_node *n)
{
    uint64_t lucky = sim_chance(s, 500) ? 0 : sim_pick(s, 4);
    for (struct sim_write *w = n->writes; w && lucky > 0; w = w->next) {
        sim_disk_write(&n->disk, w);
        lucky--;
    }
    drop_writes(n);
    raft_free(n->raft);
    n->raft = NULL;
    n->read_count = 0;
    memset(n->pending, 0, sizeof n->pending);
    sim_trace(s, "%" PRIu64 " crash", n->id);
}

void sim_node_release(struct sim_node *n)
{
    drop_writes(n);
    raft_free(n->raft);
    n->raft = NULL;
    sim_disk_release(&n->disk);
}

/* ---- the state machine ---- */

static void apply_conf(struct sim *s, struct sim_node *n,
                       const struct raft_entry *e)
{
    struct raft_conf_state conf;
    uint64_t id = get_be64(e->data->data + 1);
    enum raft_conf_change_type type = e->data->data[0];
    if (type != RAFT_CONF_REMOVE_NODE && oracle_was_removed(s, id, e->index)) {
        id = 0; /* refused */
    }
    raft_apply_conf_change(n->raft, type, id, &conf);
    oracle_see_conf(s, n, e->index, &conf);
    bool here = false;
    for (uint32_t i = 0; i < conf.voter_count; i++) {
        here |= conf.voters[i] == id;
    }
    if (type == RAFT_CONF_REMOVE_NODE && id != 0 && !here) {
        oracle_see_removed(s, id, e->index);
        n->removed |= id == n->id;
    }
    s->confs_done++;
}

static void apply(struct sim *s, struct sim_node *n, const struct raft_entry *e)
{
    oracle_see_applied(s, n, e);
    if (s->failure[0]) {
        return;
    }
    n->applied = e->index;
    if (e->type == RAFT_ENTRY_CONF_CHANGE) {
        apply_conf(s, n, e);
    }
    sim_client_applied(s, n, e);
    raft_applied(n->raft, e->index);
    /* Now and then the store syncs. */
    if (sim_chance(s, 100)) {
        n->disk.store_index = e->index;
    }
}

/* ---- readies ---- */

static void queue_write(struct sim *s, struct sim_node *n, struct sim_write *w)
{
    struct sim_write **end = &n->writes;
    uint64_t before = 0;
    while (*end) {
        before = (*end)->due;
        end = &(*end)->next;
    }
    uint32_t delay = s->calm ? 2 : s->weather.write_delay_max;
    w->due = s->now + sim_pick(s, delay);
    w->due = w->due > before ? w->due : before;
    *end = w;
}

static void take_ready(struct sim *s, struct sim_node *n)
{
    struct raft_ready ready;
    raft_ready(n->raft, &ready);
    oracle_see_entries(s, n, ready.entries, ready.entry_count);
    for (uint32_t i = 0; i < ready.read_count; i++) {
        sim_client_read_done(s, n, &ready.reads[i]);
    }
    sim_net_send(s, n, ready.messages, ready.message_count);
    uint64_t count = ready.committed_count;
    struct raft_entry *committed = mem_alloc((count + 1) * sizeof *committed);
    for (uint64_t i = 0; i < count; i++) {
        committed[i] = ready.committed[i];
        bytes_ref(committed[i].data);
    }
    if (ready.entry_count || ready.hard_state_changed || ready.snapshot ||
        ready.after_persist_count) {
        struct sim_write *w = sim_disk_write_of(&ready);
        if (ready.snapshot) {
            n->held = w;
            n->install_due = s->now + 1 + sim_pick(s, 3 * SIM_TICK_STEPS);
        } else {
            queue_write(s, n, w);
        }
    }
    for (uint64_t i = 0; i < count; i++) {
        if (!s->failure[0]) {
            apply(s, n, &committed[i]);
        }
        bytes_unref(committed[i].data);
    }
    free(committed);
}

static void install_step(struct sim *s, struct sim_node *n)
{
    if (n->held == NULL || n->install_due > s->now) {
        return;
    }
    struct sim_write *w = n->held;
    n->held = NULL;
    n->applied = w->snapshot.index;
    n->disk.store_index = w->snapshot.index;
    s->installs++;
    sim_trace(s, "%" PRIu64 " installed %" PRIu64, n->id, n->applied);
    raft_applied(n->raft, n->applied);
    queue_write(s, n, w);
}

static void write_step(struct sim *s, struct sim_node *n)
{
    while (n->writes && n->writes->due <= s->now) {
        struct sim_write *w = n->writes;
        n->writes = w->next;
        sim_disk_write(&n->disk, w);
        sim_net_send(s, n, w->messages, w->message_count);
        w->message_count = 0;
        raft_persisted(n->raft, w->index, w->term);
        sim_disk_write_free(w);
        oracle_see_status(s, n);
    }
}

static void drop_notes(struct sim *s, struct sim_node *n)
{
    for (char *note; (note = raft_take_note(n->raft)); free(note)) {
        sim_trace(s, "%s", note);
    }
}

void sim_node_step(struct sim *s, struct sim_node *n)
{
    if (n->next_tick <= s->now) {
        raft_tick(n->raft);
        /* Clocks are not quite equal. */
        n->next_tick = s->now + SIM_TICK_STEPS - 1 + sim_pick(s, 3);
        oracle_see_status(s, n);
    }
    write_step(s, n);
    install_step(s, n);
    uint32_t chance = s->calm ? 1000 : s->weather.pass_permille;
    if (!s->failure[0] && n->held == NULL && sim_chance(s, chance) &&
        raft_has_ready(n->raft)) {
        take_ready(s, n);
        oracle_see_status(s, n);
    }
    drop_notes(s, n);
}

void sim_node_compact(struct sim *s, struct sim_node *n)
{
    if (n->applied == 0 || n->held) {
        return;
    }
    struct raft_snapshot_meta meta = {.index = n->applied,
                                      .term = oracle_term_of(s, n->applied)};
    oracle_conf_at(s, n->applied, &meta.conf);
    raft_set_snapshot(n->raft, &meta);
    uint64_t keep = sim_pick(s, 20);
    if (n->applied > keep) {
        raft_compact(n->raft, n->applied - keep);
    }
    keep = sim_pick(s, 20);
    if (n->disk.store_index > keep) {
        sim_disk_compact(&n->disk, n->disk.store_index - keep);
    }
    sim_trace(s, "%" PRIu64 " compact at %" PRIu64, n->id, n->applied);
}
