/* The driver over a real Raft core, with a rim that only takes notes. */
#include <stdlib.h>

#include "../test.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "replica/replica.h"

enum { SELF = 1, OTHER = 2, TICK_MS = 100, TIMEOUT_MS = 7000 };

static struct {
    struct replica *r;
    uint64_t now_ms;
    uint64_t written; /* sequence of the last write */
    uint64_t applied_index;
    uint32_t apply_count;
    struct replica_proposal *last_applied;
    uint32_t sent_count;
    enum raft_message_type sent[64];
    uint64_t sent_index[64];
    struct raft_snapshot_meta installing;
} rig;

static uint64_t on_persist(void *ctx, const struct raft_ready *ready)
{
    return ++rig.written;
}

static void on_send(void *ctx, struct raft_message *messages, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (rig.sent_count < 64) {
            rig.sent[rig.sent_count] = messages[i].type;
            rig.sent_index[rig.sent_count++] = messages[i].index;
        }
        raft_message_release(&messages[i]);
    }
}

static void on_apply(void *ctx, const struct raft_entry *e,
                     struct replica_proposal *p)
{
    assert_int_equal(e->index, rig.applied_index + 1);
    rig.applied_index = e->index;
    rig.apply_count++;
    rig.last_applied = p;
}

static void on_applied(void *ctx)
{
}

static void on_install(void *ctx, const struct raft_snapshot_meta *meta)
{
    rig.installing = *meta;
}

static void on_changed(void *ctx, const struct raft_status *before,
                       const struct raft_status *now)
{
}

static void on_note(void *ctx, const char *text)
{
}

static uint64_t on_request_id(void *ctx, const struct raft_entry *e)
{
    return e->data && e->data->size == 8 ? get_be64(e->data->data) : 0;
}

static void start(uint32_t voters)
{
    memset(&rig, 0, sizeof rig);
    const struct replica_rim rim = {
        .persist = on_persist,
        .send = on_send,
        .apply = on_apply,
        .applied = on_applied,
        .install = on_install,
        .changed = on_changed,
        .note = on_note,
        .request_id = on_request_id,
    };
    const struct replica_config config = {
        .raft = {.id = SELF,
                 .election_ticks = 10,
                 .heartbeat_ticks = 1,
                 .pre_vote = true,
                 .check_quorum = true,
                 .message_bytes_max = 1 << 20,
                 .inflight_max = 64,
                 .seed = 1},
        .tick_ms = TICK_MS,
        .request_timeout_ms = TIMEOUT_MS,
    };
    const struct raft_restore restore = {
        .hard = {.term = 1},
        .snapshot = {.conf = {.voter_count = voters, .voters = {SELF, OTHER}}},
    };
    assert_int_equal(replica_new(&config, &restore, &rim, &rig.r), 0);
}

static void pass(void)
{
    replica_pass(rig.r, rig.now_ms);
}

static void sync_log(void)
{
    replica_persisted(rig.r, rig.written);
    pass();
}

static void tick(int times)
{
    for (int i = 0; i < times; i++) {
        rig.now_ms += TICK_MS;
        replica_tick(rig.r, rig.now_ms);
        pass();
    }
}

static void lead_alone(void)
{
    start(1);
    pass();
    raft_campaign(replica_raft(rig.r));
    pass();
    sync_log(); /* the own vote */
    sync_log(); /* the term's first entry */
    assert_int_equal(replica_status(rig.r)->role, RAFT_LEADER);
}

static void finish(void)
{
    replica_free(rig.r);
}

struct asked {
    struct replica_proposal base;
    int err;
    int calls;
};

static void asked_done(struct replica_proposal *p, int err)
{
    struct asked *a = container_of(p, struct asked, base);
    a->err = err;
    a->calls++;
}

static void ask_init(struct asked *a, uint64_t id)
{
    *a = (struct asked){
        .base = {.id = id, .data = bytes_new(8), .done = asked_done}};
    put_be64(a->base.data->data, id);
}

static void ask(struct asked *a, uint64_t id)
{
    ask_init(a, id);
    replica_propose(rig.r, &a->base);
}

struct read {
    struct replica_read base;
    int err;
    int calls;
};

static void read_done(struct replica_read *rd, int err)
{
    struct read *r = container_of(rd, struct read, base);
    r->err = err;
    r->calls++;
}

static void ask_read(struct read *r)
{
    *r = (struct read){.base = {.done = read_done}};
    replica_read(rig.r, &r->base);
}

static void a_proposal_is_answered_when_it_is_durable(void **state)
{
    struct asked a;
    lead_alone();
    ask(&a, 77);
    pass();
    assert_int_equal(a.calls, 0); /* written, but not synced */
    sync_log();
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.err, 0);
    assert_ptr_equal(rig.last_applied, &a.base);
    assert_int_equal(replica_pending(rig.r), 0);
    finish();
}

/* Raft takes one change at a time and empties the next; who asked for that
 * one neither hears of it as done nor waits in vain. */
static void a_conf_change_that_came_too_early_is_asked_again(void **state)
{
    struct asked a[2];
    lead_alone();
    for (int i = 0; i < 2; i++) {
        a[i] = (struct asked){.base = {.id = 80 + (uint64_t)i,
                                       .data = bytes_new(8),
                                       .type = RAFT_ENTRY_CONF_CHANGE,
                                       .done = asked_done}};
        put_be64(a[i].base.data->data, a[i].base.id);
        replica_propose(rig.r, &a[i].base);
    }
    pass();
    uint32_t before = rig.apply_count;
    sync_log();
    assert_int_equal(rig.apply_count, before + 2);
    assert_int_equal(a[0].calls, 1);
    assert_int_equal(a[1].calls, 0);
    assert_int_equal(replica_pending(rig.r), 1);
    tick(1);
    sync_log();
    assert_int_equal(a[1].calls, 1);
    assert_int_equal(a[1].err, 0);
    assert_ptr_equal(rig.last_applied, &a[1].base);
    assert_int_equal(replica_pending(rig.r), 0);
    finish();
}

static void a_cancelled_one_is_applied_and_not_called(void **state)
{
    struct asked a;
    lead_alone();
    ask(&a, 78);
    pass();
    uint32_t before = rig.apply_count;
    replica_propose_cancel(rig.r, &a.base);
    sync_log();
    assert_int_equal(a.calls, 0);
    assert_int_equal(rig.apply_count, before + 1);
    assert_null(rig.last_applied);
    finish();
}

static struct raft_message from_leader(enum raft_message_type type)
{
    return (struct raft_message){
        .type = type, .from = OTHER, .to = SELF, .term = 5};
}

static void without_a_leader_it_waits_and_then_says_so(void **state)
{
    struct asked a;
    struct read rd;
    start(2);
    pass();
    ask(&a, 79);
    ask_read(&rd);
    tick(TIMEOUT_MS / TICK_MS - 1);
    assert_int_equal(a.calls, 0);
    assert_int_equal(rd.calls, 0);
    tick(1);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.err, ERR_NO_LEADER);
    assert_int_equal(rd.calls, 1);
    assert_int_equal(rd.err, ERR_TIMEOUT);
    finish();
}

static void one_that_waited_is_proposed_to_the_new_leader(void **state)
{
    struct asked a;
    start(1);
    pass();
    ask(&a, 80);
    pass();
    assert_int_equal(a.calls, 0);
    raft_campaign(replica_raft(rig.r));
    pass();
    sync_log();
    sync_log();
    sync_log();
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.err, 0);
    finish();
}

/* Not without a leader, not through another one, and not later. */
static void what_only_a_leader_may_say_waits_for_no_other(void **state)
{
    struct asked a, b;
    start(1);
    pass();
    ask_init(&a, 83);
    assert_int_equal(replica_propose_leading(rig.r, &a.base), ERR_NOT_LEADER);
    raft_campaign(replica_raft(rig.r));
    pass();
    sync_log();
    sync_log();
    assert_int_equal(replica_status(rig.r)->role, RAFT_LEADER);
    ask_init(&b, 84);
    assert_int_equal(replica_propose_leading(rig.r, &b.base), 0);
    pass();
    sync_log();
    assert_int_equal(b.calls, 1);
    assert_int_equal(b.err, 0);
    finish();
    start(2);
    pass();
    struct raft_message m = from_leader(RAFT_MSG_HEARTBEAT);
    replica_step(rig.r, &m);
    pass();
    assert_int_equal(replica_status(rig.r)->leader, OTHER);
    ask_init(&b, 85);
    assert_int_equal(replica_propose_leading(rig.r, &b.base), ERR_NOT_LEADER);
    pass();
    tick(TIMEOUT_MS / TICK_MS);
    assert_int_equal(a.calls + b.calls, 0);
    for (uint32_t i = 0; i < rig.sent_count; i++) {
        assert_int_not_equal(rig.sent[i], RAFT_MSG_PROP);
    }
    finish();
}

static void a_read_waits_until_it_is_applied(void **state)
{
    struct read rd;
    lead_alone();
    ask_read(&rd);
    pass();
    assert_int_equal(rd.calls, 1);
    assert_int_equal(rd.err, 0);
    finish();
}

static void asks_again(struct replica_read *rd, int err)
{
    struct read *r = container_of(rd, struct read, base);
    r->err = err;
    r->calls++;
    if (err == ERR_LEADER_CHANGED) {
        replica_read(rig.r, rd);
    }
}

/* Under way, and not asked yet. */
static void a_read_that_fails_may_ask_again(void **state)
{
    struct read a = {.base = {.done = asks_again}}, b = a;
    start(2);
    pass();
    replica_read(rig.r, &a.base);
    pass(); /* nobody to ask */
    struct raft_message m = from_leader(RAFT_MSG_HEARTBEAT);
    replica_step(rig.r, &m);
    replica_read(rig.r, &b.base);
    pass();
    assert_int_equal(a.calls + b.calls, 2);
    tick(TIMEOUT_MS / TICK_MS);
    assert_int_equal(a.calls + b.calls, 4);
    assert_int_equal(a.err, ERR_TIMEOUT);
    finish();
}

static void stopping_answers_everyone(void **state)
{
    struct asked a, late;
    struct read rd;
    start(2);
    pass();
    ask(&a, 81);
    ask_read(&rd);
    replica_stop(rig.r);
    ask(&late, 82);
    assert_int_equal(a.err, ERR_CLOSED);
    assert_int_equal(rd.err, ERR_CLOSED);
    assert_int_equal(late.err, ERR_CLOSED);
    assert_int_equal(a.calls + rd.calls + late.calls, 3);
    finish();
}

static bool acknowledged(uint64_t index)
{
    for (uint32_t i = 0; i < rig.sent_count; i++) {
        if (rig.sent[i] == RAFT_MSG_APP_RESP && rig.sent_index[i] == index) {
            return true;
        }
    }
    return false;
}

static void an_append_is_acknowledged_only_when_synced(void **state)
{
    start(2);
    pass();
    struct raft_message m = from_leader(RAFT_MSG_APP);
    m.entry_count = 1;
    m.entries = mem_zalloc(sizeof *m.entries);
    m.entries[0] = (struct raft_entry){.term = 5, .index = 1};
    replica_step(rig.r, &m);
    pass();
    assert_false(acknowledged(1));
    sync_log();
    assert_true(acknowledged(1));
    finish();
}

static void an_image_is_acknowledged_only_when_installed(void **state)
{
    start(2);
    pass();
    struct raft_message m = from_leader(RAFT_MSG_SNAP);
    m.snapshot = mem_zalloc(sizeof *m.snapshot);
    *m.snapshot = (struct raft_snapshot_meta){
        .index = 50,
        .term = 4,
        .conf = {.voter_count = 2, .voters = {SELF, OTHER}}};
    replica_step(rig.r, &m);
    pass();
    sync_log();
    tick(2);
    assert_int_equal(rig.installing.index, 50);
    assert_false(acknowledged(50));
    rig.applied_index = 50;
    replica_installed(rig.r, &rig.installing);
    pass();
    sync_log();
    assert_true(acknowledged(50));
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proposal_is_answered_when_it_is_durable),
        cmocka_unit_test(a_conf_change_that_came_too_early_is_asked_again),
        cmocka_unit_test(a_cancelled_one_is_applied_and_not_called),
        cmocka_unit_test(without_a_leader_it_waits_and_then_says_so),
        cmocka_unit_test(one_that_waited_is_proposed_to_the_new_leader),
        cmocka_unit_test(what_only_a_leader_may_say_waits_for_no_other),
        cmocka_unit_test(a_read_waits_until_it_is_applied),
        cmocka_unit_test(a_read_that_fails_may_ask_again),
        cmocka_unit_test(stopping_answers_everyone),
        cmocka_unit_test(an_append_is_acknowledged_only_when_synced),
        cmocka_unit_test(an_image_is_acknowledged_only_when_installed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
