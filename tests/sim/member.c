/* One simulated member: server/'s wiring around real modules, started,
 * driven a millisecond at a time, and ended in all the ways there are. */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/err.h"
#include "sim.h"

struct sim_member *sim_member_of_id(struct sim *s, uint64_t id)
{
    for (uint32_t i = 0; i < s->member_count; i++) {
        if (s->members[i].id == id) {
            return &s->members[i];
        }
    }
    return NULL;
}

struct sim_member *sim_member_random(struct sim *s, struct rng *r)
{
    uint32_t first = (uint32_t)sim_pick(r, s->member_count);
    for (uint32_t i = 0; i < s->member_count; i++) {
        struct sim_member *m = &s->members[(first + i) % s->member_count];
        if (m->alive && !m->is_leaving) {
            return m;
        }
    }
    return NULL;
}

static void configure(struct sim *s, struct sim_member *m)
{
    static const uint64_t keeps[] = {3, 20, 100, 5000};
    m->config = (struct config){
        .name = mem_printf("m%" PRIu32, m->place),
        .data_dir = m->dir,
        .snapshot_count = s->seed % 3 ? CONFIG_SNAPSHOT_COUNT : 40,
        .snapshot_catchup_entries = keeps[s->seed / 3 % 4],
        .heartbeat_interval_ms = SIM_TICK_MS,
        .election_timeout_ms = SIM_TICK_MS * SIM_ELECTION_TICKS,
        .pre_vote = s->seed % 3 != 0,
        .max_learners = 2,
        .strict_reconfig_check = s->seed % 4 != 0,
    };
}

struct sim_member *sim_member_new(struct sim *s)
{
    struct sim_member *m = &s->members[s->member_count];
    m->place = s->member_count++;
    m->dir = mem_printf("%s/m%" PRIu32, s->dir, m->place);
    m->url = mem_printf("http://h%" PRIu32 ":2380", m->place);
    m->loop.member = m->hub.member = m->api.member = m;
    mkdir(m->dir, 0700);
    configure(s, m);
    return m;
}

static void prepare(struct sim *s, struct sim_member *m)
{
    struct node *n = &m->node;
    *n = (struct node){
        .config = &m->config,
        .loop = &m->loop,
        .peers = &m->hub,
        .api = &m->api,
        .id = m->id,
        .cluster_id = s->cluster_id,
        .paths =
            {
                .member = m->dir,
                .wal = mem_printf("%s/wal", m->dir),
                .store = mem_printf("%s/store.mdb", m->dir),
                .incoming = mem_printf("%s/store.new.mdb", m->dir),
                .snap = m->dir,
            },
    };
    m->seen = (struct raft_status){0};
    m->write_due = 0;
    m->has_voted = false;
    m->last_conf = 0;
    m->life++;
    m->alive = true;
    m->next_tick = s->now + 1 + sim_pick(&s->faults, SIM_TICK_MS);
}

/* ---- between the replica and the wiring ---- */

static struct sim_member *member_of(void *node)
{
    return container_of((struct node *)node, struct sim_member, node);
}

/* One change at a time (dissertation 4.1): a leader takes none before it has
 * applied the one before. */
static void see_changes(struct sim *s, struct sim_member *m,
                        const struct raft_ready *ready)
{
    struct raft_status now = *replica_status(m->node.replica);
    for (uint64_t i = 0; i < ready->entry_count; i++) {
        const struct raft_entry *e = &ready->entries[i];
        if (e->index <= m->last_conf) {
            m->last_conf = 0; /* replaced */
        }
        if (e->type == RAFT_ENTRY_NORMAL) {
            continue;
        }
        if (now.role == RAFT_LEADER && e->term == now.term &&
            m->last_conf > now.applied) {
            sim_fail(s,
                     "m%" PRIu32 " takes a change at %" PRIu64
                     " and has not applied the one at %" PRIu64,
                     m->place, e->index, m->last_conf);
        }
        m->last_conf = e->index;
    }
}

static uint64_t persist(void *ctx, const struct raft_ready *ready)
{
    struct sim_member *m = member_of(ctx);
    struct sim *s = sim_world();
    sim_model_see_log(s, m, ready->entries, ready->entry_count);
    see_changes(s, m, ready);
    const struct raft_hard_state *hard = &ready->hard_state;
    if (hard->vote && hard->vote != m->id && hard->term != m->vote_term) {
        m->vote_term = hard->term;
        m->has_voted = true;
    }
    if (m->write_due == 0) {
        uint32_t delay = s->is_calm ? 2 : s->weather.write_delay_max_ms;
        m->write_due = s->now + 1 + sim_pick(&s->disk, delay);
    }
    return m->rim.persist(m->rim.ctx, ready);
}

static void apply(void *ctx, const struct raft_entry *e,
                  struct replica_proposal *p)
{
    struct sim_member *m = member_of(ctx);
    struct sim *s = sim_world();
    sim_model_apply(s, m, e);
    if (s->failure[0]) {
        return;
    }
    m->rim.apply(m->rim.ctx, e, p);
    sim_model_applied(s, m, e);
}

static void install(void *ctx, const struct raft_snapshot_meta *meta)
{
    struct sim_member *m = member_of(ctx);
    sim_trace(sim_world(), "m%" PRIu32 " takes an image of %" PRIu64, m->place,
              meta->index);
    m->rim.install(m->rim.ctx, meta);
}

static void note(void *ctx, const char *text)
{
    struct sim_member *m = member_of(ctx);
    sim_trace(sim_world(), "m%" PRIu32 " %s", m->place, text);
}

/* ---- start ---- */

static struct wal_config log_config(struct node *n)
{
    return (struct wal_config){
        .dir = n->paths.wal,
        .segment_bytes = 4096,
        .no_thread = true,
        .fatal = boot_kvdb_config(n).fatal,
        .ctx = n,
    };
}

static int open_log(struct node *n, struct boot_log *log)
{
    struct wal_config wc = log_config(n);
    struct wal_identity who = {n->id, n->cluster_id};
    struct wal_replay replay;
    if (!wal_exists(n->paths.wal)) {
        return wal_create(&wc, &who, &n->wal);
    }
    boot_log_replay(log, &replay);
    return wal_open(&wc, &replay, &who, &n->wal);
}

static int open_replica(struct sim *s, struct sim_member *m,
                        struct boot_log *log)
{
    struct replica_config rc;
    boot_replica_config(&m->node, sim_pick(&s->faults, UINT32_MAX), &rc);
    rc.raft.message_bytes_max = 64u << s->seed % 9;
    rc.raft.inflight_max = 1 + (uint32_t)(s->seed % 17);
    rc.raft.check_quorum = s->seed % 5 != 0; /* safe without, too */
    rc.request_timeout_ms = 1500;
    node_replica_rim(&m->node, &m->rim);
    struct replica_rim rim = m->rim; /* what is watched goes through here */
    rim.persist = persist;
    rim.apply = apply;
    rim.install = install;
    rim.note = note;
    return boot_replica(&m->node, log, &rc, &rim);
}

static int boot(struct sim *s, struct sim_member *m)
{
    struct node *n = &m->node;
    const struct members *all = m->founders;
    struct boot_log log;
    boot_log_init(&log, n->config->snapshot_catchup_entries,
                  NODE_LOG_BYTES_MAX);
    int err = open_log(n, &log);
    if (err == 0 && all && boot_log_is_empty(&log)) {
        boot_first_entries(n->wal, all, &log);
    }
    if (err == 0) {
        err = node_image_finish(n, log.installed);
    }
    if (err == 0) {
        err = node_store_open(n);
    }
    if (err == 0) {
        err = open_replica(s, m, &log);
    }
    boot_log_release(&log);
    return err;
}

static void begin(struct sim *s, struct sim_member *m)
{
    struct node *n = &m->node;
    struct watch_config wc = {.mvcc = n->mvcc, .response_bytes_max = 1 << 20};
    n->watch = watch_new(&wc);
    sim_trace(s, "m%" PRIu32 " starts at %" PRIu64, m->place,
              mvcc_applied_index(n->mvcc));
    sim_model_compare(s, m);
    replica_pass(n->replica, s->now);
    node_offer_image(n);
    node_begin(n);
}

static void start(struct sim *s, struct sim_member *m)
{
    uint64_t failures = s->sync_failures;
    prepare(s, m);
    s->running = m;
    if (setjmp(s->process) != 0) {
        sim_member_crash(s, m);
        return;
    }
    int err = boot(s, m);
    if (err == 0) {
        begin(s, m);
        s->running = NULL;
    } else if (s->sync_failures != failures) {
        sim_member_crash(s, m);
    } else {
        sim_fail(s, "m%" PRIu32 " does not start: %s; %s", m->place,
                 err_text(err), wal_error_text());
    }
}

void sim_member_bootstrap(struct sim *s, struct sim_member *m,
                          const struct members *all)
{
    m->exists = true;
    m->founders = all;
    start(s, m);
}

void sim_member_start(struct sim *s, struct sim_member *m)
{
    start(s, m);
}

void sim_member_join(struct sim *s, struct sim_member *m)
{
    m->exists = true;
    start(s, m);
}

/* ---- the end ---- */

static void release(struct sim *s, struct sim_member *m)
{
    struct node *n = &m->node;
    watch_free(n->watch);
    lease_free(n->lessor);
    apply_free(n->apply);
    replica_free(n->replica);
    wal_close(n->wal);
    members_release(&n->members);
    free(n->cluster_version);
    free(n->downgrade_target);
    *n = (struct node){0};
    s->running = NULL;
}

static void leave_others(struct sim *s, struct sim_member *m)
{
    m->node.stopping = true;
    sim_watchers_lost(s, m);
    sim_tasks_drop(s, m);
    if (m->node.replica) {
        replica_stop(m->node.replica);
    }
}

void sim_member_crash(struct sim *s, struct sim_member *m)
{
    struct node *n = &m->node;
    sim_trace(s, "m%" PRIu32 " crashes", m->place);
    s->crashes++;
    s->running = m;
    m->alive = false;
    m->frozen_until = 0;
    /* Some come back before anybody has missed them. */
    m->restart_at =
        s->now + 1 +
        sim_pick(&s->faults,
                 sim_chance(&s->faults, 500) ? SIM_TICK_MS : 40 * SIM_TICK_MS);
    sim_disk_crash(s, m);
    leave_others(s, m);
    if (n->db) {
        kvdb_cancel(n->db);
        if (n->mvcc) {
            mvcc_close(n->mvcc);
        }
        kvdb_close(n->db);
    }
    release(s, m);
}

void sim_member_stop(struct sim *s, struct sim_member *m)
{
    s->running = m;
    if (setjmp(s->process) != 0) {
        sim_member_crash(s, m);
        return;
    }
    sim_trace(s, "m%" PRIu32 " stops", m->place);
    leave_others(s, m);
    node_storage_close(&m->node);
    m->alive = false;
    m->restart_at = s->now + 1 + sim_pick(&s->faults, 40 * SIM_TICK_MS);
    sim_disk_forget(m);
    release(s, m);
}

/* ---- a millisecond ---- */

static void tick(struct sim *s, struct sim_member *m)
{
    struct node *n = &m->node;
    /* Clocks are not quite equal. */
    m->next_tick = s->now + SIM_TICK_MS - 1 + sim_pick(&s->faults, 3);
    replica_tick(n->replica, s->now);
    watch_tick(n->watch, s->now);
    if (lease_is_primary(n->lessor)) {
        sim_client_expire(s, m);
    }
    if (sim_chance(&s->disk, s->weather.flush_permille)) {
        node_flush(n);
    }
    if (sim_chance(&s->disk, 20)) {
        sim_model_compare(s, m);
    }
}

static void write_log(struct sim *s, struct sim_member *m)
{
    m->write_due = 0;
    wal_run(m->node.wal);
    replica_persisted(m->node.replica, wal_durable(m->node.wal));
    if (m->has_voted && !s->is_calm &&
        sim_chance(&s->faults, s->weather.voter_permille)) {
        longjmp(s->process, 1); /* the worst moment: the answer is out */
    }
    m->has_voted = false;
}

static void step(struct sim *s, struct sim_member *m)
{
    struct node *n = &m->node;
    uint32_t always = 1000;
    if (m->next_tick <= s->now) {
        tick(s, m);
    }
    if (m->write_due && m->write_due <= s->now) {
        write_log(s, m);
    }
    if (sim_chance(&s->disk, s->is_calm ? always : s->weather.store_permille)) {
        kvdb_run(n->db);
        kvdb_poll(n->db);
    }
    if (sim_chance(&s->disk, s->is_calm ? always : s->weather.pass_permille)) {
        replica_pass(n->replica, s->now);
    }
    if (watch_wants_catch_up(n->watch) && sim_chance(&s->disk, 300)) {
        int err;
        watch_catch_up(n->watch, &err);
        if (err) {
            sim_fail(s, "m%" PRIu32 ": history: %s", m->place, err_name(err));
        }
    }
}

void sim_member_step(struct sim *s, struct sim_member *m)
{
    s->running = m;
    if (setjmp(s->process) != 0) {
        sim_member_crash(s, m);
        return;
    }
    step(s, m);
    if (!s->failure[0]) {
        sim_model_see_status(s, m);
    }
    s->running = NULL;
}
