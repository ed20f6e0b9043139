/* Clients: they write, read and change the membership through any member. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/endian.h"
#include "sim.h"

static struct sim_node *any_running(struct sim *s)
{
    struct sim_node *n = &s->nodes[1 + sim_pick(s, s->next_id - 1)];
    return n->raft && !n->removed ? n : NULL;
}

void sim_client_propose(struct sim *s, struct sim_node *n)
{
    uint64_t id = ++s->next_proposal;
    struct bytes *data = bytes_new(8 + sim_pick(s, 100));
    memset(data->data, 0, data->size);
    put_be64(data->data, id);
    if (raft_propose(n->raft, RAFT_ENTRY_NORMAL, data, id) == 0) {
        n->pending[id % SIM_PENDING_MAX] = id;
    }
    bytes_unref(data);
}

void sim_client_applied(struct sim *s, struct sim_node *n,
                        const struct raft_entry *e)
{
    if (e->type != RAFT_ENTRY_NORMAL || e->data == NULL) {
        return;
    }
    uint64_t id = get_be64(e->data->data);
    if (e->cookie != 0 && e->cookie != id) {
        sim_fail(s, "%" PRIu64 ": cookie %" PRIu64 " on entry of %" PRIu64,
                 n->id, e->cookie, id);
    }
    if (n->pending[id % SIM_PENDING_MAX] == id) {
        n->pending[id % SIM_PENDING_MAX] = 0;
        oracle_see_acked(s, e->index);
        s->acked++;
    }
}

static void read_index(struct sim *s, struct sim_node *n)
{
    uint64_t request = ++s->next_request;
    if (n->read_count == SIM_READS_MAX) {
        n->read_count = 0; /* given up */
    }
    n->reads[n->read_count++] =
        (struct sim_read){.request = request, .floor = oracle_applied_max(s)};
    if (raft_read_index(n->raft, request) != 0) {
        n->read_count--;
    }
}

void sim_client_read_done(struct sim *s, struct sim_node *n,
                          const struct raft_read_state *state)
{
    for (uint32_t i = 0; i < n->read_count; i++) {
        if (n->reads[i].request != state->request) {
            continue;
        }
        if (state->index < n->reads[i].floor) {
            sim_fail(s,
                     "read at %" PRIu64 " got index %" PRIu64 ", but %" PRIu64
                     " was applied before it",
                     n->id, state->index, n->reads[i].floor);
        }
        n->reads[i] = n->reads[--n->read_count];
        s->reads_done++;
        return;
    }
}

/* Whoever thinks it leads, perhaps no longer rightly. */
static void read_at_leaders(struct sim *s)
{
    for (uint64_t id = 1; id < s->next_id; id++) {
        struct sim_node *n = &s->nodes[id];
        if (n->raft && n->seen.role == RAFT_LEADER) {
            read_index(s, n);
        }
    }
}

static void propose_conf(struct sim *s, struct sim_node *n,
                         enum raft_conf_change_type type, uint64_t id)
{
    uint8_t text[9] = {(uint8_t)type};
    put_be64(text + 1, id);
    struct bytes *data = bytes_copy(slice_of(text, sizeof text));
    raft_propose(n->raft, RAFT_ENTRY_CONF_CHANGE, data, 0);
    bytes_unref(data);
    sim_trace(s, "propose conf %d %" PRIu64 " at %" PRIu64, (int)type, id,
              n->id);
}

static uint64_t some_member(struct sim *s, const struct raft_conf_state *c)
{
    uint32_t count = c->voter_count + c->learner_count;
    if (count == 0) {
        return 0;
    }
    uint64_t at = sim_pick(s, count);
    return at < c->voter_count ? c->voters[at]
                               : c->learners[at - c->voter_count];
}

static void change_members(struct sim *s, struct sim_node *n)
{
    const struct raft_conf_state *conf = raft_conf(n->raft);
    uint64_t kind = sim_pick(s, 4);
    if (kind == 0 && s->next_id < SIM_IDS_MAX) {
        struct sim_node *fresh = &s->nodes[s->next_id++];
        sim_node_join(s, fresh);
        propose_conf(s, n,
                     sim_chance(s, 500) ? RAFT_CONF_ADD_NODE
                                        : RAFT_CONF_ADD_LEARNER,
                     fresh->id);
    } else if (kind == 1) {
        propose_conf(s, n, RAFT_CONF_REMOVE_NODE, some_member(s, conf));
    } else {
        /* Somebody known: promoted, or asked for in vain before. */
        propose_conf(s, n, RAFT_CONF_ADD_NODE, 1 + sim_pick(s, s->next_id - 1));
    }
}

void sim_client_step(struct sim *s)
{
    struct sim_node *n = any_running(s);
    if (n == NULL) {
        return;
    }
    if (sim_chance(s, s->weather.propose_permille)) {
        for (uint64_t i = 1 + sim_pick(s, 4); i > 0; i--) {
            sim_client_propose(s, n);
        }
    }
    if (sim_chance(s, s->weather.read_permille)) {
        read_index(s, n);
        read_at_leaders(s);
    }
    if (s->calm || s->now % SIM_TICK_STEPS != 0) {
        return;
    }
    if (sim_chance(s, s->weather.conf_permille)) {
        change_members(s, n);
        if (sim_chance(s, 300)) {
            change_members(s, n); /* too early for the rules */
        }
    }
    if (sim_chance(s, s->weather.transfer_permille)) {
        raft_transfer_leader(n->raft, 1 + sim_pick(s, s->next_id - 1));
    }
}
