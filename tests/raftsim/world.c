/* One run: weather by the seed, then calm, in which all must agree. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slice.h"
#include "base/table.h"
#include "sim.h"

enum {
    STORM_STEPS = 400 * SIM_TICK_STEPS,
    CALM_STEPS_MAX = 2000 * SIM_TICK_STEPS, /* a long log may have to move */
};

uint64_t sim_pick(struct sim *s, uint64_t n)
{
    return rng_below(&s->rng, n ? n : 1);
}

bool sim_chance(struct sim *s, uint32_t permille)
{
    return sim_pick(s, 1000) < permille;
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

static uint32_t one_of(struct sim *s, uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t values[] = {a, b, c};
    return values[sim_pick(s, 3)];
}

static void draw_weather(struct sim *s)
{
    s->weather = (struct sim_weather){
        .drop_permille = one_of(s, 0, 20, 150),
        .duplicate_permille = one_of(s, 0, 20, 100),
        .delay_max = one_of(s, 3, 12, 60),
        .in_order = sim_chance(s, 500),
        .write_delay_max = one_of(s, 2, 10, 80),
        .pass_permille = one_of(s, 1000, 500, 100),
        .crash_permille = one_of(s, 0, 10, 40),
        .cut_permille = one_of(s, 0, 10, 30),
        .propose_permille = one_of(s, 20, 100, 300),
        .read_permille = one_of(s, 10, 50, 100),
        .conf_permille = one_of(s, 0, 10, 40),
        .transfer_permille = one_of(s, 0, 5, 30),
        .compact_permille = one_of(s, 0, 20, 100),
    };
}

static void crash_someone(struct sim *s)
{
    struct sim_node *n = &s->nodes[1 + sim_pick(s, s->next_id - 1)];
    if (n->raft == NULL) {
        return;
    }
    sim_node_crash(s, n);
    s->crashes++;
    n->restart_at = s->now + 1 + sim_pick(s, 40 * SIM_TICK_STEPS);
    /* Now and then the power fails for all. */
    if (sim_chance(s, 100)) {
        for (uint64_t id = 1; id < s->next_id; id++) {
            if (s->nodes[id].raft) {
                sim_node_crash(s, &s->nodes[id]);
                s->nodes[id].restart_at = n->restart_at;
            }
        }
    }
}

static void faults(struct sim *s)
{
    if (s->now % SIM_TICK_STEPS != 0) {
        return;
    }
    if (sim_chance(s, s->weather.crash_permille)) {
        crash_someone(s);
    }
    if (s->heal_at && s->heal_at <= s->now) {
        sim_net_heal(s);
    }
    if (sim_chance(s, s->weather.cut_permille)) {
        sim_net_cut(s);
    }
    struct sim_node *n = &s->nodes[1 + sim_pick(s, s->next_id - 1)];
    if (n->raft && sim_chance(s, s->weather.compact_permille)) {
        sim_node_compact(s, n);
    }
}

static void step(struct sim *s)
{
    s->now++;
    if (!s->calm) {
        faults(s);
    }
    sim_client_step(s);
    sim_net_step(s);
    for (uint64_t id = 1; id < s->next_id && !s->failure[0]; id++) {
        struct sim_node *n = &s->nodes[id];
        if (n->raft == NULL && n->restart_at <= s->now) {
            sim_node_start(s, n);
        }
        if (n->raft && !s->failure[0]) {
            sim_node_step(s, n);
        }
    }
}

/* All members of the newest configuration have applied everything, which is
 * at least all that was ever acknowledged. */
static bool agreed(struct sim *s)
{
    struct raft_conf_state conf;
    uint64_t goal = oracle_committed_max(s);
    oracle_conf_at(s, goal, &conf);
    for (uint64_t id = 1; id < s->next_id; id++) {
        bool member = false;
        for (uint32_t i = 0; i < conf.voter_count; i++) {
            member |= conf.voters[i] == id;
        }
        for (uint32_t i = 0; i < conf.learner_count; i++) {
            member |= conf.learners[i] == id;
        }
        struct sim_node *n = &s->nodes[id];
        if (member && (n->applied != goal || n->seen.leader == 0)) {
            return false;
        }
    }
    return goal >= oracle_acked_max(s);
}

/*
 * The one way in which a cluster may come to a stop: the newest change
 * removed a member, and only members that are out know of its commit. The
 * others still count by the old configuration. (Raft with configurations
 * that hold from their application on has this hole: a removed leader that
 * crashes before it told anyone.)
 */
static bool stranded(struct sim *s)
{
    struct raft_conf_state conf;
    uint64_t index = oracle_conf_at(s, oracle_committed_max(s), &conf);
    for (uint32_t i = 0; i < conf.voter_count; i++) {
        if (s->nodes[conf.voters[i]].applied >= index) {
            return false;
        }
    }
    return true;
}

static void end_storm(struct sim *s)
{
    s->calm = true;
    sim_net_heal(s);
    s->weather.propose_permille = 30;
    s->weather.read_permille = 20;
    for (uint64_t id = 1; id < s->next_id; id++) {
        s->nodes[id].restart_at = s->now;
    }
}

static void compact_all(struct sim *s)
{
    for (uint64_t id = 1; id < s->next_id; id++) {
        if (s->nodes[id].raft) {
            sim_node_compact(s, &s->nodes[id]);
        }
    }
}

/* Writes go through again, and then everyone catches up. */
static void run_calm(struct sim *s)
{
    end_storm(s);
    uint64_t limit = s->now + CALM_STEPS_MAX;
    uint64_t acked = s->acked;
    while (s->now < limit && !s->failure[0]) {
        step(s);
        if (s->now % (4 * SIM_TICK_STEPS) == 0) {
            compact_all(s);
        }
        if (s->acked > acked + 3) {
            s->weather.propose_permille = 0;
            if (agreed(s)) {
                return;
            }
        }
    }
    if (stranded(s)) {
        s->stranded++;
        return;
    }
    sim_fail(s, "no agreement after the storm: %" PRIu64 " new writes",
             s->acked - acked);
}

static void begin(struct sim *s, uint64_t seed, bool verbose)
{
    *s = (struct sim){.seed = seed, .verbose = verbose};
    s->rng.state = seed * 0x9e3779b97f4a7c15u + 1;
    s->oracle = oracle_new();
    draw_weather(s);
    uint32_t members = 1 + (uint32_t)sim_pick(s, 5);
    s->next_id = members + 1;
    for (uint64_t id = 0; id < SIM_IDS_MAX; id++) {
        s->nodes[id].id = id;
    }
    for (uint64_t id = 1; id <= members; id++) {
        sim_node_bootstrap(s, &s->nodes[id], members);
    }
}

int sim_run(struct sim *s, uint64_t seed, bool verbose)
{
    begin(s, seed, verbose);
    while (s->now < STORM_STEPS && !s->failure[0]) {
        step(s);
    }
    if (!s->failure[0]) {
        run_calm(s);
    }
    sim_net_release(s);
    for (uint64_t id = 1; id < SIM_IDS_MAX; id++) {
        sim_node_release(&s->nodes[id]);
    }
    oracle_free(s->oracle);
    return s->failure[0] ? 1 : 0;
}
