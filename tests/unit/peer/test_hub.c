#include "pair.h"

static uint32_t wanted_a, wanted_b;

static bool all_came(void)
{
    return a.got_count >= wanted_a && b.got_count >= wanted_b;
}

static struct raft_message to_b(enum raft_message_type type)
{
    return (struct raft_message){
        .type = type, .to = b.id, .from = a.id, .term = 5};
}

static struct raft_message copies[200];

/* Sends random messages of all types from `from` to `to`. */
static uint32_t send_all_types(struct side *from, struct side *to,
                               uint64_t seed)
{
    static const enum raft_message_type types[] = {
        RAFT_MSG_PROP,
        RAFT_MSG_APP,
        RAFT_MSG_APP_RESP,
        RAFT_MSG_VOTE,
        RAFT_MSG_VOTE_RESP,
        RAFT_MSG_HEARTBEAT,
        RAFT_MSG_HEARTBEAT_RESP,
        RAFT_MSG_TRANSFER_LEADER,
        RAFT_MSG_TIMEOUT_NOW,
        RAFT_MSG_READ_INDEX,
        RAFT_MSG_READ_INDEX_RESP,
        RAFT_MSG_PRE_VOTE,
        RAFT_MSG_PRE_VOTE_RESP,
    };
    struct rng r = {seed};
    uint32_t count = sizeof types / sizeof *types;
    struct raft_message sent[sizeof types / sizeof *types];
    for (uint32_t i = 0; i < count; i++) {
        struct raft_message m = random_message(&r);
        free(m.snapshot);
        m.snapshot = NULL;
        m.type = types[i];
        m.to = to->id;
        m.from = from->id;
        if (m.type == RAFT_MSG_HEARTBEAT_RESP) {
            bytes_unref(m.context);
            m.context = bytes_copy(slice_str("12345678"));
        }
        copies[i] = copy_message(&m);
        sent[i] = m;
    }
    peer_send(from->hub, sent, count);
    return count;
}

/* Two ways lead there, so the order between types is free. */
static void check_all_types(struct side *to, uint32_t count)
{
    assert_int_equal(to->got_count, count);
    for (uint32_t i = 0; i < count; i++) {
        bool found = false;
        for (uint32_t j = 0; j < count && !found; j++) {
            found = to->got[j].type == copies[i].type;
            if (found) {
                assert_same_message(&to->got[j], &copies[i]);
            }
        }
        assert_true(found);
        raft_message_release(&copies[i]);
    }
}

static void test_all_types_by_streams(void **state)
{
    pair_attach();
    wanted_b = send_all_types(&a, &b, 7);
    wait_for(all_came);
    check_all_types(&b, wanted_b);
    wanted_b = 0;
    side_forget(&b);
    wanted_a = send_all_types(&b, &a, 8);
    wait_for(all_came);
    check_all_types(&a, wanted_a);
    wanted_a = 0;
    struct peer_stats stats[2];
    assert_int_equal(peer_get_stats(a.hub, stats, 2), 1);
    assert_true(stats[0].active && stats[0].sent_bytes > 0 &&
                stats[0].received_bytes > 0);
    assert_int_equal(stats[0].id, b.id);
}

/* b does not dial a, so there is no stream to write on; its answers go to
 * the address that a has told. */
static void test_all_types_by_post(void **state)
{
    side_knows(&a, &b);
    wanted_b = send_all_types(&a, &b, 9);
    wait_for(all_came);
    check_all_types(&b, wanted_b);
    wanted_b = 0;
    wanted_a = send_all_types(&b, &a, 10);
    wait_for(all_came);
    check_all_types(&a, wanted_a);
    wanted_a = 0;
    struct peer_stats stats;
    assert_int_equal(peer_get_stats(b.hub, &stats, 1), 0);
    assert_int_equal(peer_get_stats(a.hub, &stats, 1), 1);
    assert_true(stats.active);
}

/* ---- volume ---- */

enum { APPENDS = 40000, BATCH = 100, ENTRY_BYTES = 300 };

static uint64_t expected_index;

static void check_next(struct side *s, struct raft_message *m)
{
    assert_int_equal(m->type, RAFT_MSG_APP);
    assert_int_equal(m->index, expected_index);
    assert_int_equal(m->log_term, 5);
    assert_int_equal(m->entry_count, 1);
    assert_int_equal(m->entries[0].index, expected_index + 1);
    assert_int_equal(m->entries[0].data->size, ENTRY_BYTES);
    expected_index++;
}

static uint64_t next_index;

static void send_batch(void *ctx)
{
    struct raft_message batch[BATCH];
    for (int i = 0; i < BATCH; i++) {
        struct raft_message m = to_b(RAFT_MSG_APP);
        m.log_term = 5;
        m.index = next_index++;
        m.entry_count = 1;
        m.entries = mem_zalloc(sizeof *m.entries);
        m.entries[0] = (struct raft_entry){
            .term = 5, .index = next_index, .data = bytes_new(ENTRY_BYTES)};
        memset(m.entries[0].data->data, i, ENTRY_BYTES);
        batch[i] = m;
    }
    peer_send(a.hub, batch, BATCH);
    if (next_index >= APPENDS) {
        timer_stop(*(struct timer **)ctx);
    }
}

static void test_volume(void **state)
{
    pair_attach();
    b.keeps = false;
    b.on_message = check_next;
    expected_index = next_index = 0;
    struct timer *t = NULL;
    t = timer_new(loop, send_batch, &t);
    timer_start(t, 0, 1);
    wanted_b = APPENDS;
    wait_for(all_came);
    timer_free(t);
    assert_int_equal(b.got_count, APPENDS);
    assert_int_equal(a.unreachable, 0);
    wanted_b = 0;
}

/* Big messages, many chunks and reads each. */
static void test_big_messages(void **state)
{
    pair_attach();
    for (int i = 0; i < 8; i++) {
        struct raft_message m = to_b(RAFT_MSG_PROP);
        m.entry_count = 1;
        m.entries = mem_zalloc(sizeof *m.entries);
        m.entries[0].data = bytes_new(3 << 20);
        memset(m.entries[0].data->data, i, 3 << 20);
        peer_send(a.hub, &m, 1);
    }
    wanted_b = 8;
    wait_for(all_came);
    for (int i = 0; i < 8; i++) {
        const struct bytes *data = b.got[i].entries[0].data;
        assert_int_equal(data->size, 3 << 20);
        assert_int_equal(data->data[0], i);
        assert_int_equal(data->data[data->size - 1], i);
    }
    wanted_b = 0;
}

/* ---- limits ---- */

static bool told_unreachable(void)
{
    return a.unreachable > 0;
}

/* Without a pass in between: one below, at and above the queue's limit. */
static void test_stream_queue_limit(void **state)
{
    pair_attach();
    for (int i = 0; i < PEER_STREAM_MESSAGES_MAX; i++) {
        struct raft_message m = to_b(RAFT_MSG_VOTE_RESP);
        peer_send(a.hub, &m, 1);
    }
    came_within(never, 50);
    assert_int_equal(a.unreachable, 0);
    assert_int_equal(b.got_count, PEER_STREAM_MESSAGES_MAX);
    for (int i = 0; i <= PEER_STREAM_MESSAGES_MAX; i++) {
        struct raft_message m = to_b(RAFT_MSG_VOTE_RESP);
        peer_send(a.hub, &m, 1);
    }
    wait_for(told_unreachable);
    wanted_b = 2 * PEER_STREAM_MESSAGES_MAX;
    wait_for(all_came);
    came_within(never, 50);
    assert_int_equal(b.got_count, wanted_b);
    wanted_b = 0;
}

static void test_post_queue_limit(void **state)
{
    side_knows(&a, &b);
    for (int i = 0; i < PEER_POSTS_MAX + PEER_POST_QUEUE_MAX; i++) {
        struct raft_message m = to_b(RAFT_MSG_VOTE_RESP);
        peer_send(a.hub, &m, 1);
    }
    wanted_b = PEER_POSTS_MAX + PEER_POST_QUEUE_MAX;
    wait_for(all_came);
    assert_int_equal(a.unreachable, 0);
    for (int i = 0; i <= PEER_POSTS_MAX + PEER_POST_QUEUE_MAX; i++) {
        struct raft_message m = to_b(RAFT_MSG_VOTE_RESP);
        peer_send(a.hub, &m, 1);
    }
    wanted_b *= 2;
    wait_for(told_unreachable);
    wait_for(all_came);
    came_within(never, 50);
    assert_int_equal(b.got_count, wanted_b);
    wanted_b = 0;
}

static struct raft_message sized(struct bytes *data)
{
    struct raft_message m = to_b(RAFT_MSG_PROP);
    m.entry_count = 1;
    m.entries = mem_zalloc(sizeof *m.entries);
    m.entries[0].data = bytes_ref(data);
    return m;
}

/* Seven fill the queue but for `room`; what is one byte larger than that
 * does not go in any more. */
static void test_stream_bytes_limit(void **state)
{
    pair_attach();
    struct bytes *eighth = bytes_new(PEER_STREAM_BYTES_MAX / 8);
    memset(eighth->data, 0, eighth->size);
    size_t room = PEER_STREAM_BYTES_MAX;
    for (int i = 0; i < 7; i++) {
        struct raft_message m = sized(eighth);
        room -= peer_frame_size_max(&m);
        peer_send(a.hub, &m, 1);
    }
    const struct peer_outstream *s = peer_hub_find(a.hub, b.id)->out[1];
    assert_int_equal(s->bytes, PEER_STREAM_BYTES_MAX - room);
    struct raft_message m = sized(eighth);
    size_t around = peer_frame_size_max(&m) - eighth->size;
    raft_message_release(&m);
    bytes_unref(eighth);
    for (int more = 1; more >= 0; more--) {
        struct bytes *rest = bytes_new(room - around + (size_t)more);
        memset(rest->data, 0, rest->size);
        m = sized(rest);
        bytes_unref(rest);
        peer_send(a.hub, &m, 1);
        assert_int_equal(s->count, more ? 7 : 8);
    }
    wanted_b = 8;
    wait_for(all_came);
    assert_int_equal(a.unreachable, 1);
    wanted_b = 0;
}

static bool reader_gave_up(void)
{
    return !peer_hub_find(a.hub, b.id)->in[PEER_MSGAPP].is_attached;
}

/* Link heartbeats come each 1.7 s: with less patience they are too late. */
static void test_silent_stream_is_dropped(void **state)
{
    a.hub->config.read_timeout_ms = 300;
    pair_attach();
    wait_for(reader_gave_up);
    wait_for(both_attached);
    a.hub->config.read_timeout_ms = 5000;
}

/* ---- cuts ---- */

static bool b_is_inactive(void)
{
    struct peer_stats stats = {.active = true};
    peer_get_stats(a.hub, &stats, 1);
    return !stats.active;
}

static void test_restart_of_the_other(void **state)
{
    pair_attach();
    for (int round = 0; round < 3; round++) {
        side_stop(&b);
        wait_for(b_is_inactive);
        /* nobody there: lost, and said so */
        a.unreachable = 0;
        struct raft_message lost = to_b(RAFT_MSG_APP);
        peer_send(a.hub, &lost, 1);
        wait_for(told_unreachable);
        side_start(&b);
        side_knows(&b, &a);
        wait_for(both_attached);
        side_forget(&b);
        struct raft_message m = to_b(RAFT_MSG_APP);
        peer_send(a.hub, &m, 1);
        wanted_b = 1;
        wait_for(all_came);
        wanted_b = 0;
    }
}

static void cut(struct side *s, uint64_t id, struct rng *r)
{
    struct peer *p = peer_hub_find(s->hub, id);
    enum peer_kind kind = (enum peer_kind)rng_below(r, PEER_KINDS);
    if (p->out[kind]) {
        peer_server_close(p->out[kind]->server);
    }
}

static uint32_t came_since;

static void count_one(struct side *s, struct raft_message *m)
{
    came_since++;
}

static void test_cuts_under_load(void **state)
{
    struct rng r = {11};
    pair_attach();
    b.keeps = false;
    b.on_message = count_one;
    next_index = 0;
    struct timer *t = NULL;
    t = timer_new(loop, send_batch, &t);
    timer_start(t, 0, 1);
    for (int i = 0; i < 20; i++) {
        came_within(never, 20);
        struct side *s = rng_below(&r, 2) ? &a : &b;
        cut(s, s == &a ? b.id : a.id, &r);
    }
    timer_free(t);
    wait_for(both_attached);
    assert_true(came_since > BATCH);
    came_since = 0;
    struct raft_message m = to_b(RAFT_MSG_APP);
    uint32_t before = b.got_count;
    peer_send(a.hub, &m, 1);
    wanted_b = before + 1;
    wait_for(all_came);
    wanted_b = 0;
}

/* ---- the edges of membership ---- */

static bool told_removed(void)
{
    return a.removed > 0;
}

static void test_removed_member_is_told(void **state)
{
    b.removed_id = a.id;
    side_knows(&a, &b);
    wait_for(told_removed);
    came_within(never, 500); /* both streams are refused, again and again */
    assert_int_equal(a.removed, 1);
    assert_int_equal(b.got_count, 0);
}

static bool b_lost_a(void)
{
    const struct peer *p = peer_hub_find(b.hub, a.id);
    return p && !p->out[0] && !p->out[1] && !p->in[0].is_attached &&
           !p->in[1].is_attached;
}

static void test_removing_a_peer(void **state)
{
    pair_attach();
    /* What was sent before still arrives: it says so. */
    struct raft_message m[2] = {to_b(RAFT_MSG_APP), to_b(RAFT_MSG_VOTE)};
    peer_send(a.hub, m, 2);
    peer_hub_remove(a.hub, b.id);
    assert_null(peer_hub_find(a.hub, b.id));
    struct raft_message late = to_b(RAFT_MSG_APP);
    peer_send(a.hub, &late, 1); /* dropped in silence */
    wait_for(b_lost_a);
    assert_int_equal(b.got_count, 2);
    side_knows(&a, &b);
    wait_for(both_attached);
    assert_int_equal(b.got_count, 2);
    assert_int_equal(a.unreachable, 0);
}

static void remove_sender(struct side *s, struct raft_message *m)
{
    peer_hub_remove(s->hub, m->from);
}

/* Several messages in one read, the first of which removes their sender. */
static void test_removing_from_inside(void **state)
{
    pair_attach();
    b.on_message = remove_sender;
    struct raft_message m[3] = {to_b(RAFT_MSG_VOTE), to_b(RAFT_MSG_VOTE),
                                to_b(RAFT_MSG_VOTE)};
    peer_send(a.hub, m, 3);
    wanted_b = 1;
    wait_for(all_came);
    came_within(never, 50);
    assert_int_equal(b.got_count, 1);
    wanted_b = 0;
}

static bool one_url_works(void)
{
    return is_attached(&a, b.id);
}

static void test_urls_are_tried_in_turn(void **state)
{
    side_knows(&b, &a);
    char dead[] = "http://127.0.0.1:1", https[] = "https://127.0.0.1:1",
         junk[] = "gopher://x";
    char *urls[] = {junk, dead, https, b.url};
    peer_hub_put(a.hub, b.id, urls, 4);
    wait_for(one_url_works);
}

/* ---- what must not be stepped ---- */

static void test_unfit_messages_are_dropped(void **state)
{
    pair_attach();
    struct raft_message m[] = {
        to_b(RAFT_MSG_HUP),
        to_b(RAFT_MSG_BEAT),
        to_b(RAFT_MSG_SNAP),
        to_b(RAFT_MSG_UNREACHABLE),
        to_b(RAFT_MSG_SNAP_STATUS),
        to_b(RAFT_MSG_CHECK_QUORUM),
        to_b(RAFT_MSG_HEARTBEAT_RESP),
        to_b(RAFT_MSG_HEARTBEAT_RESP),
        to_b(RAFT_MSG_HEARTBEAT_RESP),
        to_b(RAFT_MSG_HEARTBEAT_RESP),
    };
    uint32_t count = sizeof m / sizeof *m;
    m[count - 4].context = bytes_copy(slice_str("1"));
    m[count - 3].context = bytes_copy(slice_str("1234567"));
    m[count - 2].context = bytes_copy(slice_str("12345678"));
    m[count - 1].context = NULL;
    peer_send(a.hub, m, count);
    wanted_b = 2;
    wait_for(all_came);
    came_within(never, 50);
    assert_int_equal(b.got_count, 2);
    assert_int_equal(b.hub->refused_messages, 8);
    wanted_b = 0;
}

static bool b_probed(void)
{
    struct peer_stats stats = {0};
    peer_get_stats(a.hub, &stats, 1);
    return stats.rtt_ns > 0;
}

static void test_probing(void **state)
{
    side_knows(&a, &b);
    wait_for(b_probed);
}

#define pair_test(f) \
    cmocka_unit_test_setup_teardown(f, pair_setup, pair_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pair_test(test_all_types_by_streams),
        pair_test(test_all_types_by_post),
        pair_test(test_volume),
        pair_test(test_big_messages),
        pair_test(test_stream_queue_limit),
        pair_test(test_stream_bytes_limit),
        pair_test(test_post_queue_limit),
        pair_test(test_silent_stream_is_dropped),
        pair_test(test_restart_of_the_other),
        pair_test(test_cuts_under_load),
        pair_test(test_removed_member_is_told),
        pair_test(test_removing_a_peer),
        pair_test(test_removing_from_inside),
        pair_test(test_urls_are_tried_in_turn),
        pair_test(test_unfit_messages_are_dropped),
        pair_test(test_probing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
