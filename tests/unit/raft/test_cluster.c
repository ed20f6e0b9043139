/* Elections, replication, persistence, snapshots, reads, transfer and
 * membership of small clusters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/endian.h"
#include "base/err.h"
#include "cluster.h"

static struct cluster *three(void)
{
    struct cluster *c = cluster_new();
    cluster_bootstrap(c, 3, 0, NULL);
    cluster_elect(c, 1);
    assert_int_equal(cluster_status(c, 1).role, RAFT_LEADER);
    return c;
}

static void put(struct cluster *c, uint64_t id, const char *text)
{
    assert_int_equal(cluster_propose(c, id, text), 0);
    cluster_settle(c);
}

static void test_single(void **state)
{
    struct cluster *c = cluster_new();
    cluster_bootstrap(c, 1, 0, NULL);
    cluster_tick(c, 1, 20);
    assert_int_equal(cluster_status(c, 1).role, RAFT_LEADER);
    put(c, 1, "a");
    assert_string_equal(cluster_applied(c, 1), "1 -\n2 a\n");
    c->nodes[1].disk_held = true;
    put(c, 1, "b");
    assert_int_equal(cluster_status(c, 1).commit, 2);
    c->nodes[1].disk_held = false;
    cluster_settle(c);
    assert_string_equal(cluster_applied(c, 1), "1 -\n2 a\n3 b\n");
    cluster_free(c);
}

/* The own vote counts only when it is durable. */
static void test_own_vote_waits(void **state)
{
    struct cluster *c = cluster_new();
    cluster_bootstrap(c, 1, 1, NULL);
    c->nodes[1].disk_held = true;
    cluster_elect(c, 1);
    assert_int_equal(cluster_status(c, 1).role, RAFT_CANDIDATE);
    c->nodes[1].disk_held = false;
    cluster_settle(c);
    assert_int_equal(cluster_status(c, 1).role, RAFT_LEADER);
    assert_string_equal(cluster_applied(c, 2), "1 -\n");
    cluster_free(c);
}

static void test_replicate(void **state)
{
    struct cluster *c = three();
    put(c, 1, "a");
    put(c, 2, "b"); /* forwarded */
    for (uint64_t id = 1; id <= 3; id++) {
        assert_string_equal(cluster_applied(c, id), "1 -\n2 a\n3 b\n");
        assert_int_equal(cluster_status(c, id).leader, 1);
    }
    cluster_free(c);
}

/* Committed by the others, handed out only when durable here too. */
static void test_slow_leader_disk(void **state)
{
    struct cluster *c = three();
    c->nodes[1].disk_held = true;
    put(c, 1, "a");
    assert_int_equal(cluster_status(c, 1).commit, 2);
    assert_int_equal(cluster_status(c, 1).applied, 1);
    c->nodes[1].disk_held = false;
    cluster_settle(c);
    assert_int_equal(cluster_status(c, 1).applied, 2);
    cluster_free(c);
}

static void test_slow_follower_disks(void **state)
{
    struct cluster *c = three();
    c->nodes[2].disk_held = true;
    c->nodes[3].disk_held = true;
    put(c, 1, "a");
    assert_int_equal(cluster_status(c, 1).commit, 1);
    cluster_crash(c, 2);
    cluster_restart(c, 2);
    c->nodes[2].disk_held = false;
    cluster_tick(c, 1, 2);
    assert_int_equal(cluster_status(c, 1).commit, 2);
    assert_int_equal(cluster_status(c, 2).last_index, 2);
    cluster_free(c);
}

static void test_conflict(void **state)
{
    struct cluster *c = three();
    cluster_isolate(c, 1);
    put(c, 1, "lost 1");
    put(c, 1, "lost 2");
    cluster_tick(c, 2, 30);
    cluster_tick(c, 3, 30);
    uint64_t leader = cluster_status(c, 2).leader;
    assert_true(leader == 2 || leader == 3);
    put(c, leader, "kept");
    assert_int_equal(cluster_status(c, 1).last_index, 3);
    cluster_heal(c);
    cluster_tick(c, leader, 3);
    assert_string_equal(cluster_applied(c, 1), "1 -\n2 -\n3 kept\n");
    assert_int_equal(cluster_status(c, 1).leader, leader);
    cluster_free(c);
}

/* Writes that were replaced while under way do not count: the same entry
 * came back, but on disk another one stands between. */
static void test_overwritten_write(void **state)
{
    struct cluster *c = three();
    struct cluster_node *n = &c->nodes[3];
    cluster_isolate(c, 3);
    n->disk_held = true;
    uint64_t term = cluster_status(c, 3).term;
    for (int i = 0; i < 3; i++) {
        struct raft_message m = {.type = RAFT_MSG_APP,
                                 .from = i == 1 ? 2 : 1,
                                 .to = 3,
                                 .term = term + (uint64_t)i,
                                 .index = 1,
                                 .log_term = term,
                                 .entry_count = 1,
                                 .entries = mem_zalloc(sizeof *m.entries)};
        m.entries[0].index = 2;
        m.entries[0].term = i == 1 ? term + 1 : term;
        assert_int_equal(raft_step(n->raft, &m), 0);
        assert_true(cluster_pass(c, 3));
    }
    cluster_write_one(c, 3);
    struct raft_message m = {.type = RAFT_MSG_HEARTBEAT,
                             .from = 1,
                             .to = 3,
                             .term = term + 2,
                             .commit = 2};
    assert_int_equal(raft_step(n->raft, &m), 0);
    cluster_pass(c, 3);
    assert_int_equal(cluster_status(c, 3).commit, 2);
    assert_int_equal(cluster_status(c, 3).applied, 1);
    n->disk_held = false;
    cluster_settle(c);
    assert_int_equal(cluster_status(c, 3).applied, 2);
    cluster_free(c);
}

static void test_pre_vote_keeps_term(void **state)
{
    struct cluster *c = three();
    uint64_t term = cluster_status(c, 1).term;
    cluster_isolate(c, 3);
    cluster_tick(c, 3, 100);
    assert_int_equal(cluster_status(c, 3).term, term);
    cluster_heal(c);
    cluster_tick(c, 0, 5);
    assert_int_equal(cluster_status(c, 1).role, RAFT_LEADER);
    assert_int_equal(cluster_status(c, 3).leader, 1);
    cluster_free(c);
}

static void test_check_quorum(void **state)
{
    struct cluster *c = three();
    cluster_isolate(c, 1);
    cluster_tick(c, 1, 25);
    assert_int_equal(cluster_status(c, 1).role, RAFT_FOLLOWER);
    assert_int_equal(cluster_status(c, 1).leader, 0);
    assert_int_equal(cluster_propose(c, 1, "x"), ERR_DROPPED);
    assert_int_equal(raft_read_index(c->nodes[1].raft, 1), ERR_NO_LEADER);
    cluster_free(c);
}

/* No vote while a leader was heard of, but at its own wish. */
static void test_lease(void **state)
{
    struct cluster *c = cluster_new();
    struct raft_config config = cluster_config(1);
    config.pre_vote = false;
    cluster_bootstrap(c, 3, 0, &config);
    cluster_elect(c, 1);
    cluster_elect(c, 2);
    assert_int_equal(cluster_status(c, 2).role, RAFT_CANDIDATE);
    assert_int_equal(cluster_status(c, 3).leader, 1);
    cluster_free(c);

    c = three();
    raft_transfer_leader(c->nodes[1].raft, 3);
    cluster_settle(c);
    assert_int_equal(cluster_status(c, 3).role, RAFT_LEADER);
    assert_int_equal(cluster_status(c, 1).leader, 3);
    cluster_free(c);
}

static void test_transfer(void **state)
{
    struct cluster *c = three();
    cluster_isolate(c, 3);
    put(c, 1, "a");
    raft_transfer_leader(c->nodes[1].raft, 3);
    cluster_settle(c);
    assert_int_equal(cluster_status(c, 1).transferee, 3);
    assert_int_equal(cluster_propose(c, 1, "b"), ERR_DROPPED);
    cluster_heal(c);
    cluster_tick(c, 1, 2);
    assert_int_equal(cluster_status(c, 3).role, RAFT_LEADER);

    /* Asked of a follower; one that cannot: given up after a while. */
    cluster_isolate(c, 1);
    raft_transfer_leader(c->nodes[2].raft, 1);
    cluster_settle(c);
    assert_int_equal(cluster_status(c, 3).transferee, 1);
    cluster_tick(c, 3, 11);
    assert_int_equal(cluster_status(c, 3).transferee, 0);
    assert_int_equal(cluster_propose(c, 3, "c"), 0);
    cluster_free(c);
}

static void test_snapshot(void **state)
{
    struct cluster *c = three();
    cluster_isolate(c, 3);
    put(c, 1, "a");
    put(c, 1, "b");
    raft_compact(c->nodes[1].raft, 3);
    assert_int_equal(cluster_status(c, 1).first_index, 4);
    cluster_heal(c);
    cluster_tick(c, 1, 2);
    assert_int_equal(cluster_status(c, 3).applied, 1); /* nothing to send */
    cluster_snapshot(c, 1);
    cluster_tick(c, 1, 2);
    put(c, 1, "c");
    assert_string_equal(cluster_applied(c, 3), "image 3\n4 c\n");
    cluster_crash(c, 3);
    cluster_restart(c, 3);
    put(c, 1, "d");
    cluster_tick(c, 1, 2);
    assert_string_equal(cluster_applied(c, 3), "image 3\n4 c\n5 d\n");
    cluster_free(c);
}

static void expect_read(struct cluster *c, uint64_t id, uint64_t request,
                        uint64_t index)
{
    struct cluster_node *n = &c->nodes[id];
    assert_true(n->read_count > 0);
    assert_int_equal(n->reads[0].request, request);
    assert_int_equal(n->reads[0].index, index);
    n->read_count--;
    memmove(n->reads, n->reads + 1, n->read_count * sizeof n->reads[0]);
}

static void test_read_index(void **state)
{
    struct cluster *c = three();
    put(c, 1, "a");
    assert_int_equal(raft_read_index(c->nodes[1].raft, 7), 0);
    assert_int_equal(raft_read_index(c->nodes[1].raft, 8), 0);
    cluster_pass(c, 1);
    assert_int_equal(c->net_count, 2); /* one round for both */
    assert_int_equal(c->net[0].message.type, RAFT_MSG_HEARTBEAT);
    assert_int_equal(c->net[0].message.context->size, 8);
    assert_int_equal(get_le64(c->net[0].message.context->data), 1);
    cluster_settle(c);
    expect_read(c, 1, 7, 2);
    expect_read(c, 1, 8, 2);
    assert_int_equal(raft_read_index(c->nodes[2].raft, 0x0102), 0);
    cluster_pass(c, 2);
    assert_int_equal(c->net[0].message.type, RAFT_MSG_READ_INDEX);
    assert_int_equal(c->net[0].message.entry_count, 1);
    assert_int_equal(get_be64(c->net[0].message.entries[0].data->data), 0x0102);
    cluster_settle(c);
    expect_read(c, 2, 0x0102, 2);
    cluster_free(c);
}

/* Cut off, a leader answers nobody. */
static void test_read_needs_quorum(void **state)
{
    struct cluster *c = three();
    cluster_isolate(c, 1);
    assert_int_equal(raft_read_index(c->nodes[1].raft, 7), 0);
    cluster_tick(c, 1, 5);
    assert_int_equal(c->nodes[1].read_count, 0);
    cluster_heal(c);
    cluster_tick(c, 1, 1); /* the periodic heartbeat carries the round */
    expect_read(c, 1, 7, 1);
    cluster_free(c);
}

/* A new leader does not know yet what is committed. */
static void test_read_waits_for_own_term(void **state)
{
    struct cluster *c = three();
    raft_transfer_leader(c->nodes[1].raft, 2);
    while (cluster_status(c, 2).role != RAFT_LEADER) {
        for (uint64_t id = 1; id <= 3; id++) {
            cluster_pass(c, id);
            cluster_write_one(c, id);
        }
        cluster_deliver_one(c);
    }
    c->nodes[1].disk_held = c->nodes[3].disk_held = true;
    assert_int_equal(raft_read_index(c->nodes[2].raft, 5), 0);
    cluster_settle(c);
    assert_int_equal(cluster_status(c, 2).commit, 1);
    assert_int_equal(c->nodes[2].read_count, 0);
    c->nodes[1].disk_held = c->nodes[3].disk_held = false;
    cluster_settle(c);
    expect_read(c, 2, 5, 2);
    cluster_free(c);
}

static void test_add_and_remove(void **state)
{
    struct cluster *c = three();
    cluster_start_empty(c, 4);
    cluster_snapshot(c, 1);
    raft_compact(c->nodes[1].raft, 1);
    assert_int_equal(cluster_propose_conf(c, 1, RAFT_CONF_ADD_LEARNER, 4), 0);
    cluster_settle(c);
    /* That image does not know it. */
    assert_int_equal(cluster_status(c, 4).last_index, 0);
    cluster_snapshot(c, 1);
    cluster_tick(c, 1, 2);
    assert_int_equal(cluster_status(c, 4).last_index, 2);
    assert_true(cluster_status(c, 4).is_learner);
    assert_int_equal(raft_conf(c->nodes[4].raft)->voter_count, 3);
    assert_int_equal(cluster_propose_conf(c, 1, RAFT_CONF_ADD_NODE, 4), 0);
    cluster_settle(c);
    assert_int_equal(raft_conf(c->nodes[1].raft)->voter_count, 4);
    assert_int_equal(cluster_propose_conf(c, 1, RAFT_CONF_REMOVE_NODE, 1), 0);
    cluster_settle(c);
    assert_int_equal(raft_conf(c->nodes[2].raft)->voter_count, 3);
    /* It handed over, and finds out with its next heartbeat. */
    assert_int_equal(cluster_status(c, 2).role, RAFT_LEADER);
    assert_int_equal(cluster_propose(c, 1, "x"), ERR_DROPPED);
    cluster_tick(c, 1, 1);
    assert_int_equal(cluster_status(c, 1).role, RAFT_FOLLOWER);
    cluster_tick(c, 1, 100);
    assert_int_equal(cluster_status(c, 1).leader, 0);
    assert_int_equal(cluster_status(c, 2).role, RAFT_LEADER);
    cluster_free(c);
}

static void test_one_conf_change_at_a_time(void **state)
{
    struct cluster *c = three();
    assert_int_equal(cluster_propose_conf(c, 1, RAFT_CONF_ADD_LEARNER, 4), 0);
    assert_int_equal(cluster_propose_conf(c, 1, RAFT_CONF_ADD_LEARNER, 5), 0);
    cluster_settle(c);
    assert_string_equal(cluster_applied(c, 2), "1 -\n2 conf 3 4\n3 -\n");
    assert_int_equal(cluster_propose_conf(c, 1, RAFT_CONF_ADD_LEARNER, 5), 0);
    cluster_settle(c);
    assert_int_equal(raft_conf(c->nodes[2].raft)->learner_count, 2);
    cluster_free(c);
}

static void test_last_voter_stays(void **state)
{
    struct cluster *c = cluster_new();
    cluster_bootstrap(c, 1, 0, NULL);
    cluster_elect(c, 1);
    cluster_propose_conf(c, 1, RAFT_CONF_REMOVE_NODE, 1);
    cluster_settle(c);
    assert_int_equal(raft_conf(c->nodes[1].raft)->voter_count, 1);
    assert_int_equal(cluster_status(c, 1).role, RAFT_LEADER);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single),
        cmocka_unit_test(test_own_vote_waits),
        cmocka_unit_test(test_replicate),
        cmocka_unit_test(test_slow_leader_disk),
        cmocka_unit_test(test_slow_follower_disks),
        cmocka_unit_test(test_conflict),
        cmocka_unit_test(test_overwritten_write),
        cmocka_unit_test(test_pre_vote_keeps_term),
        cmocka_unit_test(test_check_quorum),
        cmocka_unit_test(test_lease),
        cmocka_unit_test(test_transfer),
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_read_index),
        cmocka_unit_test(test_read_needs_quorum),
        cmocka_unit_test(test_read_waits_for_own_term),
        cmocka_unit_test(test_add_and_remove),
        cmocka_unit_test(test_one_conf_change_at_a_time),
        cmocka_unit_test(test_last_voter_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
