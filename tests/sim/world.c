/* One run: weather by the seed, then calm, in which all must agree. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/table.h"
#include "sim.h"

enum {
    CALM_MS_MAX = 60000,
    CALM_WRITES = 4, /* acknowledged, before all must agree */
    SEED_STREAMS = 4,
};

static struct sim *world;

struct sim *sim_world(void)
{
    return world;
}

uint64_t sim_pick(struct rng *r, uint64_t n)
{
    return rng_below(r, n ? n : 1);
}

bool sim_chance(struct rng *r, uint32_t permille)
{
    return sim_pick(r, 1000) < permille;
}

void sim_trace(struct sim *s, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    s->hash = table_hash_u64(s->hash ^ s->now, table_hash(slice_str(text)));
    if (s->verbose) {
        printf("%6" PRIu64 " %s\n", s->now, text);
    }
}

void sim_fail(struct sim *s, const char *format, ...)
{
    va_list args;
    if (s->failure[0]) {
        return;
    }
    va_start(args, format);
    vsnprintf(s->failure, sizeof s->failure, format, args);
    va_end(args);
    sim_trace(s, "FAILED %s", s->failure);
}

/* ---- weather ---- */

static uint32_t one_of(struct sim *s, uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t values[] = {a, b, c};
    return values[sim_pick(&s->faults, 3)];
}

static void draw_weather(struct sim *s)
{
    s->weather = (struct sim_weather){
        .drop_permille = one_of(s, 0, 20, 100),
        .duplicate_permille = one_of(s, 0, 20, 100),
        .delay_max_ms = one_of(s, 3, 10, 50),
        .in_order = sim_chance(&s->faults, 500),
        .write_delay_max_ms = one_of(s, 2, 8, 60),
        .pass_permille = one_of(s, 1000, 500, 200),
        .store_permille = one_of(s, 1000, 100, 20),
        .crash_permille = one_of(s, 0, 10, 30),
        .voter_permille = one_of(s, 0, 100, 400),
        .cut_permille = one_of(s, 0, 10, 30),
        .stop_permille = one_of(s, 0, 3, 10),
        .freeze_permille = one_of(s, 0, 5, 20),
        .conf_permille = one_of(s, 0, 20, 150),
        .transfer_permille = one_of(s, 0, 5, 20),
        .write_permille = one_of(s, 30, 100, 300),
        .read_permille = one_of(s, 10, 50, 100),
        .sync_fails_permille = one_of(s, 0, 0, 5),
        .flush_permille = one_of(s, 2, 20, 100),
    };
    static const struct {
        uint32_t bit;
        size_t at;
    } left_out[] = {
        {SIM_NO_CRASH, offsetof(struct sim_weather, crash_permille)},
        {SIM_NO_CRASH, offsetof(struct sim_weather, stop_permille)},
        {SIM_NO_CRASH, offsetof(struct sim_weather, freeze_permille)},
        {SIM_NO_CRASH, offsetof(struct sim_weather, voter_permille)},
        {SIM_NO_CUT, offsetof(struct sim_weather, cut_permille)},
        {SIM_NO_CONF, offsetof(struct sim_weather, conf_permille)},
        {SIM_NO_TRANSFER, offsetof(struct sim_weather, transfer_permille)},
    };
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
        if (s->no_faults & left_out[i].bit) {
            *(uint32_t *)(void *)((char *)&s->weather + left_out[i].at) = 0;
        }
    }
}

static void crash_someone(struct sim *s)
{
    struct sim_member *m = &s->members[sim_pick(&s->faults, s->member_count)];
    bool all = sim_chance(&s->faults, 100); /* the power fails for all */
    for (uint32_t i = 0; i < s->member_count; i++) {
        struct sim_member *it = &s->members[i];
        if (it->alive && (all || it == m)) {
            sim_member_crash(s, it);
        }
    }
}

static void transfer(struct sim *s)
{
    struct sim_member *m = sim_member_random(s, &s->faults);
    struct sim_member *to = sim_member_random(s, &s->faults);
    if (m && to && m != to) {
        replica_transfer(m->node.replica, to->id);
    }
}

/* Often the leader: it matters most when it is away without knowing. */
static void freeze(struct sim *s)
{
    struct sim_member *m = sim_member_random(s, &s->faults);
    for (uint32_t i = 0; i < s->member_count && sim_chance(&s->faults, 700);
         i++) {
        if (s->members[i].alive && s->members[i].seen.role == RAFT_LEADER) {
            m = &s->members[i];
        }
    }
    if (m) {
        m->frozen_until = s->now + sim_pick(&s->faults, 50 * SIM_TICK_MS);
        sim_trace(s, "m%" PRIu32 " frozen until %" PRIu64, m->place,
                  m->frozen_until);
    }
}

static void faults(struct sim *s)
{
    const struct sim_weather *w = &s->weather;
    if (s->now % SIM_TICK_MS != 0) {
        return;
    }
    if (sim_chance(&s->faults, w->crash_permille)) {
        crash_someone(s);
    }
    if (sim_chance(&s->faults, w->stop_permille)) {
        struct sim_member *m = sim_member_random(s, &s->faults);
        if (m) {
            sim_member_stop(s, m);
        }
    }
    if (sim_chance(&s->faults, w->freeze_permille)) {
        freeze(s);
    }
    if (s->heal_at && s->heal_at <= s->now) {
        sim_net_heal(s);
    }
    if (sim_chance(&s->faults, w->cut_permille)) {
        sim_net_cut(s);
    }
    if (sim_chance(&s->faults, w->transfer_permille)) {
        transfer(s);
    }
    if (sim_chance(&s->faults, w->conf_permille)) {
        do {
            sim_client_conf(s);
        } while (sim_chance(&s->faults, 400));
    }
}

/* ---- time ---- */

static void members_step(struct sim *s)
{
    for (uint32_t i = 0; i < s->member_count && !s->failure[0]; i++) {
        struct sim_member *m = &s->members[i];
        if (m->exists && !m->alive && !m->is_gone && m->restart_at <= s->now) {
            sim_member_start(s, m);
        }
        if (m->frozen_until > s->now) {
            continue;
        }
        if (m->alive && m->is_leaving && m->leave_at <= s->now) {
            sim_member_stop(s, m);
            m->is_gone = !m->alive;
        }
        if (m->alive && !s->failure[0]) {
            sim_member_step(s, m);
        }
    }
}

static void step(struct sim *s)
{
    s->now++;
    if (!s->is_calm) {
        faults(s);
    }
    sim_client_step(s);
    sim_watchers_step(s);
    sim_net_step(s);
    sim_tasks_run(s);
    members_step(s);
}

/* ---- calm ---- */

static bool is_member(const struct sim *s, const struct sim_member *m,
                      bool voters)
{
    /* Of the newest configuration that anybody has. */
    const struct sim_member *newest = NULL;
    for (uint32_t i = 0; i < s->member_count; i++) {
        const struct sim_member *it = &s->members[i];
        if (it->alive &&
            (newest == NULL || mvcc_applied_index(it->node.mvcc) >
                                   mvcc_applied_index(newest->node.mvcc))) {
            newest = it;
        }
    }
    const struct member *found =
        newest ? members_find(&newest->node.members, m->id) : NULL;
    return found && !(voters && found->is_learner);
}

static bool agreed(struct sim *s)
{
    for (uint32_t i = 0; i < s->member_count; i++) {
        struct sim_member *m = &s->members[i];
        if (!is_member(s, m, false)) {
            continue;
        }
        if (!m->alive || m->seen.leader == 0 ||
            mvcc_applied_index(m->node.mvcc) != s->model.applied) {
            return false;
        }
    }
    return s->waiting == 0 && sim_watchers_done(s);
}

/*
 * The one way in which a cluster may come to a stop: the newest change
 * removed a member, and only members that are out know of its commit. The
 * others still count by the old configuration. (Raft with configurations
 * that hold from their application on has this hole: a removed leader that
 * crashes before it told anyone.)
 */
static bool is_stranded(const struct sim *s)
{
    uint64_t conf = 0;
    for (uint64_t i = 0; i < s->op_count; i++) {
        const struct sim_op *op = s->ops[i];
        if (op->kind == SIM_CONF && op->index > conf) {
            conf = op->index;
        }
    }
    for (uint32_t i = 0; i < s->member_count; i++) {
        const struct sim_member *m = &s->members[i];
        if (m->alive && !m->is_leaving && is_member(s, m, true) &&
            mvcc_applied_index(m->node.mvcc) >= conf) {
            return false;
        }
    }
    return conf > 0;
}

static void end_storm(struct sim *s)
{
    s->is_calm = true;
    sim_net_heal(s);
    s->weather.write_permille = 30;
    s->weather.read_permille = 20;
    for (uint32_t i = 0; i < s->member_count; i++) {
        s->members[i].restart_at = s->members[i].frozen_until = s->now;
    }
    sim_trace(s, "calm");
}

static void run_calm(struct sim *s)
{
    end_storm(s);
    uint64_t limit = s->now + CALM_MS_MAX;
    uint64_t acked = s->acked;
    while (s->now < limit && !s->failure[0]) {
        step(s);
        if (s->acked > acked + CALM_WRITES) {
            s->weather.write_permille = 0;
            if (agreed(s)) {
                return;
            }
        }
    }
    s->is_stranded = is_stranded(s);
    if (!s->is_stranded) {
        sim_fail(s, "no agreement after the storm: %" PRIu64 " new writes",
                 s->acked - acked);
    }
}

/* ---- the same hash on all ---- */

struct hashing {
    bool is_done;
    int err;
    struct mvcc_hash hash;
};

static void hashed(void *ctx, int err, const struct mvcc_hash *hash)
{
    struct hashing *h = ctx;
    h->is_done = true;
    h->err = err;
    if (err == 0) {
        h->hash = *hash;
    }
}

static void compare_hashes(struct sim *s)
{
    struct hashing first = {0};
    for (uint32_t i = 0; i < s->member_count && !s->failure[0]; i++) {
        struct sim_member *m = &s->members[i];
        struct hashing h = {0};
        if (!m->alive || !is_member(s, m, false)) {
            continue;
        }
        sim_model_compare(s, m);
        s->running = m;
        mvcc_hash_kv(m->node.mvcc, 0, hashed, &h);
        kvdb_drain(m->node.db);
        s->running = NULL;
        if (!h.is_done || h.err) {
            sim_fail(s, "m%" PRIu32 " has no hash: %s", i, err_name(h.err));
        } else if (first.is_done &&
                   (first.hash.hash != h.hash.hash ||
                    first.hash.hash_revision != h.hash.hash_revision)) {
            sim_fail(s, "m%" PRIu32 " has another hash", i);
        }
        first = h;
    }
}

/* ---- begin, end ---- */

static void bootstrap(struct sim *s)
{
    uint32_t count = 1 + (uint32_t)sim_pick(&s->faults, 5);
    struct buf text = BUF_INIT(1 << 16);
    struct members *all = &s->founders;
    const char *why = NULL;
    for (uint32_t i = 0; i < count; i++) {
        struct sim_member *m = sim_member_new(s);
        buf_printf(&text, "%s%s=%s", i ? "," : "", m->config.name, m->url);
    }
    buf_append_byte(&text, '\0');
    if (members_parse((const char *)text.data, "sim", all, &why) != 0) {
        sim_fail(s, "members: %s", why);
        return;
    }
    s->cluster_id = all->cluster_id;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < all->count; j++) {
            if (strcmp(all->list[j].name, s->members[i].config.name) == 0) {
                s->members[i].id = all->list[j].id;
            }
        }
    }
    for (uint32_t i = 0; i < count && !s->failure[0]; i++) {
        sim_member_bootstrap(s, &s->members[i], all);
    }
    buf_release(&text);
}

static void seed_streams(struct sim *s)
{
    struct rng *streams[SEED_STREAMS] = {&s->net, &s->disk, &s->clients,
                                         &s->faults};
    for (uint64_t i = 0; i < SEED_STREAMS; i++) {
        streams[i]->state =
            (s->seed * SEED_STREAMS + i) * 0x9e3779b97f4a7c15u + 1;
    }
}

int sim_run(struct sim *s)
{
    world = s;
    seed_streams(s);
    sim_model_init(&s->model);
    sim_disk_use();
    draw_weather(s);
    bootstrap(s);
    while (s->now < s->storm_ms && !s->failure[0]) {
        step(s);
    }
    if (!s->failure[0]) {
        run_calm(s);
    }
    if (!s->failure[0] && !s->is_stranded) {
        compare_hashes(s);
    }
    return s->failure[0] ? 1 : 0;
}
