#include "random_message.h"

#include "base/buf.h"
#include "base/err.h"
#include "peer/codec.h"
#include "peer/peer.h"
#include "proto/raft.pb-c.h"

enum { ROUNDS = 3000 };

static struct buf encode(const struct raft_message *m)
{
    struct buf b = BUF_INIT(PEER_MESSAGE_BYTES_MAX + 64);
    peer_encode_message(m, &b);
    assert_int_equal(b.size, peer_message_size(m));
    return b;
}

/* ---- against the generated code ---- */

static void check_entry(const struct raft_entry *e, const Pbr__Entry *p)
{
    assert_int_equal(p->term, e->term);
    assert_int_equal(p->index, e->index);
    assert_int_equal(p->type, e->type);
    assert_true(
        slice_eq(slice_of(p->data.data, p->data.len), bytes_slice(e->data)));
}

static void check_snapshot(const struct raft_snapshot_meta *s,
                           const Pbr__Snapshot *p)
{
    assert_non_null(p->metadata);
    const Pbr__SnapshotMetadata *m = p->metadata;
    assert_int_equal(m->index, s->index);
    assert_int_equal(m->term, s->term);
    assert_int_equal(m->conf_state->n_voters, s->conf.voter_count);
    assert_int_equal(m->conf_state->n_learners, s->conf.learner_count);
    for (uint32_t i = 0; i < s->conf.voter_count; i++) {
        assert_int_equal(m->conf_state->voters[i], s->conf.voters[i]);
    }
    for (uint32_t i = 0; i < s->conf.learner_count; i++) {
        assert_int_equal(m->conf_state->learners[i], s->conf.learners[i]);
    }
    assert_true(m->conf_state->has_auto_leave);
    assert_false(m->conf_state->auto_leave);
}

static void check_message(const struct raft_message *m, const Pbr__Message *p)
{
    assert_int_equal(p->type, m->type);
    assert_int_equal(p->to, m->to);
    assert_int_equal(p->from, m->from);
    assert_int_equal(p->term, m->term);
    assert_int_equal(p->logterm, m->log_term);
    assert_int_equal(p->index, m->index);
    assert_int_equal(p->commit, m->commit);
    assert_int_equal(p->reject, m->reject);
    assert_int_equal(p->rejecthint, m->reject_hint);
    assert_true(slice_eq(slice_of(p->context.data, p->context.len),
                         bytes_slice(m->context)));
    assert_int_equal(p->n_entries, m->entry_count);
    for (uint32_t i = 0; i < m->entry_count; i++) {
        check_entry(&m->entries[i], p->entries[i]);
    }
    assert_int_equal(!p->snapshot, !m->snapshot);
    if (m->snapshot) {
        check_snapshot(m->snapshot, p->snapshot);
    }
}

static void test_agrees_with_generated_code(void **state)
{
    struct rng r = {1};
    for (int i = 0; i < ROUNDS; i++) {
        struct raft_message m = random_message(&r);
        struct buf b = encode(&m);
        Pbr__Message *p = pbr__message__unpack(NULL, b.size, b.data);
        assert_non_null(p);
        check_message(&m, p);
        /* and back: what the generated code writes, we read; both write
         * the same bytes */
        size_t size = pbr__message__get_packed_size(p);
        assert_int_equal(size, b.size);
        uint8_t *packed = mem_alloc(size ? size : 1);
        pbr__message__pack(p, packed);
        assert_memory_equal(packed, b.data, size);
        struct raft_message back;
        assert_int_equal(peer_decode_message(slice_of(packed, size), &back), 0);
        assert_same_message(&m, &back);
        raft_message_release(&back);
        free(packed);
        pbr__message__free_unpacked(p, NULL);
        buf_release(&b);
        raft_message_release(&m);
    }
}

/* ---- known bytes ---- */

static void expect_bytes(const struct raft_message *m, const char *bytes,
                         size_t size)
{
    struct buf b = encode(m);
    assert_int_equal(b.size, size);
    assert_memory_equal(b.data, bytes, size);
    buf_release(&b);
}

static void test_known_bytes(void **state)
{
    struct raft_message beat = {.type = RAFT_MSG_HEARTBEAT};
    expect_bytes(&beat, "\x08\x08", 2);
    struct raft_message resp = {
        .type = RAFT_MSG_APP_RESP, .to = 1, .from = 2, .term = 3, .index = 300};
    expect_bytes(&resp, "\x08\x04\x10\x01\x18\x02\x20\x03\x30\xac\x02", 11);
}

static int decode(const char *bytes, size_t size, struct raft_message *ret)
{
    return peer_decode_message(slice_of(bytes, size), ret);
}

#define DECODE(text, m) decode(text, sizeof(text) - 1, m)

static void test_what_etcd_sends_explicitly(void **state)
{
    struct raft_message m;
    assert_int_equal(DECODE("\x08\x08\x10\x05\x18\x06\x20\x02\x40\x00", &m), 0);
    assert_int_equal(m.type, RAFT_MSG_HEARTBEAT);
    assert_int_equal(m.commit, 0);
    assert_int_equal(m.term, 2);
}

static void test_unknown_fields_are_skipped(void **state)
{
    struct raft_message m;
    /* 15: varint, 16: 64 bit, 17: bytes, 18: 32 bit, 19: nested group */
    assert_int_equal(DECODE("\x78\x01\x81\x01"
                            "12345678"
                            "\x8a\x01\x02hi\x95\x01"
                            "1234"
                            "\x9b\x01\x08\x01\xa3\x01\xa4\x01\x9c\x01\x10\x07",
                            &m),
                     0);
    assert_int_equal(m.to, 7);
    /* a known number of another wire type is unknown too */
    assert_int_equal(DECODE("\x12\x01x\x38\x05\x10\x07", &m), 0);
    assert_int_equal(m.to, 7);
    assert_int_equal(m.entry_count, 0);
}

static void test_last_scalar_counts(void **state)
{
    struct raft_message m;
    assert_int_equal(DECODE("\x10\x01\x10\x02\x62\x01"
                            "a\x62\x02"
                            "bc",
                            &m),
                     0);
    assert_int_equal(m.to, 2);
    assert_true(slice_eq_str(bytes_slice(m.context), "bc"));
    raft_message_release(&m);
}

static void test_embedded_messages_merge(void **state)
{
    struct raft_message m;
    /* snapshot{metadata{conf{voters 1}, index 5}} twice, the second with
     * packed voters 2 3, learner 4 and a term */
    assert_int_equal(DECODE("\x4a\x08\x12\x06\x0a\x02\x08\x01\x10\x05"
                            "\x4a\x0c\x12\x0a\x0a\x06\x0a\x02\x02\x03\x10"
                            "\x04\x18\x09",
                            &m),
                     0);
    const struct raft_snapshot_meta *s = m.snapshot;
    assert_non_null(s);
    assert_int_equal(s->index, 5);
    assert_int_equal(s->term, 9);
    assert_int_equal(s->conf.voter_count, 3);
    assert_int_equal(s->conf.voters[2], 3);
    assert_int_equal(s->conf.learner_count, 1);
    raft_message_release(&m);
}

/* An etcd that was restarted names its members in any order. */
static void test_members_in_order(void **state)
{
    struct raft_message m;
    /* snapshot{metadata{conf{voters 7 3 5, learners 9 4}}} */
    assert_int_equal(DECODE("\x4a\x0e\x12\x0c\x0a\x0a\x08\x07\x08\x03\x08"
                            "\x05\x10\x09\x10\x04",
                            &m),
                     0);
    const struct raft_conf_state *c = &m.snapshot->conf;
    assert_int_equal(c->voter_count, 3);
    assert_int_equal(c->learner_count, 2);
    assert_int_equal(c->voters[0], 3);
    assert_int_equal(c->voters[1], 5);
    assert_int_equal(c->voters[2], 7);
    assert_int_equal(c->learners[0], 4);
    assert_int_equal(c->learners[1], 9);
    raft_message_release(&m);
    /* one twice: as a voter, and as a learner, too */
    assert_int_equal(DECODE("\x4a\x0a\x12\x08\x0a\x06\x08\x07\x08\x03\x08"
                            "\x07",
                            &m),
                     ERR_PROTOCOL);
    assert_int_equal(DECODE("\x4a\x0a\x12\x08\x0a\x06\x08\x07\x08\x03\x10"
                            "\x07",
                            &m),
                     ERR_PROTOCOL);
}

static void test_bad_bytes(void **state)
{
    struct raft_message m;
    assert_int_equal(DECODE("\x10", &m), ERR_PROTOCOL);
    assert_int_equal(DECODE("\x10\x80", &m), ERR_PROTOCOL);
    assert_int_equal(DECODE("\x00\x01", &m), ERR_PROTOCOL); /* field 0 */
    assert_int_equal(DECODE("\x0f", &m), ERR_PROTOCOL);     /* wire type 7 */
    assert_int_equal(DECODE("\x0c", &m), ERR_PROTOCOL); /* end of no group */
    assert_int_equal(DECODE("\x9b\x01\xa4\x01", &m), ERR_PROTOCOL);
    assert_int_equal(DECODE("\x62\x05"
                            "abc",
                            &m),
                     ERR_PROTOCOL);
    assert_int_equal(DECODE("\x3a\x02\x08", &m), ERR_PROTOCOL);
    assert_int_equal(DECODE("\x3a\x01\x08", &m), ERR_PROTOCOL);
    /* beyond 64 bits, and the largest that is not */
    assert_int_equal(DECODE("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", &m),
                     ERR_PROTOCOL);
    assert_int_equal(DECODE("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &m),
                     0);
    assert_int_equal(m.to, UINT64_MAX);
    /* a length beyond the address space */
    assert_int_equal(DECODE("\x62\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &m),
                     ERR_PROTOCOL);
    /* a joint configuration */
    assert_int_equal(DECODE("\x4a\x06\x12\x04\x0a\x02\x18\x01", &m),
                     ERR_PROTOCOL);
}

static void test_group_depth(void **state)
{
    uint8_t bytes[256];
    struct raft_message m;
    for (int depth = 31; depth <= 33; depth++) {
        memset(bytes, 15 << 3 | 3, (size_t)depth);
        memset(bytes + depth, 15 << 3 | 4, (size_t)depth);
        int err = peer_decode_message(slice_of(bytes, 2 * (size_t)depth), &m);
        assert_int_equal(err, depth <= 32 ? 0 : ERR_PROTOCOL);
    }
}

/* ---- limits: one below, at, one above ---- */

static void test_member_limit(void **state)
{
    for (uint32_t n = RAFT_MEMBERS_MAX - 1; n <= RAFT_MEMBERS_MAX + 1; n++) {
        struct buf conf = BUF_INIT(4096), b = BUF_INIT(4096);
        for (uint32_t i = 0; i < n; i++) {
            uint8_t voter[2] = {0x08, (uint8_t)(i + 1)};
            buf_append(&conf, voter, sizeof voter);
        }
        buf_append(&b, "\x4a\x86\x01\x12\x83\x01\x0a\x80\x01", 9);
        size_t size = conf.size; /* lengths below 2^14: two bytes each */
        b.data[1] = (uint8_t)(0x80 | ((size + 6) & 0x7f));
        b.data[2] = (uint8_t)((size + 6) >> 7);
        b.data[4] = (uint8_t)(0x80 | ((size + 3) & 0x7f));
        b.data[5] = (uint8_t)((size + 3) >> 7);
        b.data[7] = (uint8_t)(0x80 | (size & 0x7f));
        b.data[8] = (uint8_t)(size >> 7);
        buf_append_slice(&b, buf_slice(&conf));
        struct raft_message m;
        int err = peer_decode_message(buf_slice(&b), &m);
        assert_int_equal(err, n <= RAFT_MEMBERS_MAX ? 0 : ERR_TOO_LARGE);
        if (err == 0) {
            assert_int_equal(m.snapshot->conf.voter_count, n);
            raft_message_release(&m);
        }
        buf_release(&conf);
        buf_release(&b);
    }
}

static void test_entry_limit(void **state)
{
    for (uint32_t n = PEER_ENTRIES_MAX - 1; n <= PEER_ENTRIES_MAX + 1; n++) {
        uint8_t *bytes = mem_alloc(2 * (size_t)n);
        for (uint32_t i = 0; i < n; i++) {
            memcpy(bytes + 2 * (size_t)i, "\x3a\x00", 2);
        }
        struct raft_message m;
        int err = peer_decode_message(slice_of(bytes, 2 * (size_t)n), &m);
        assert_int_equal(err, n <= PEER_ENTRIES_MAX ? 0 : ERR_TOO_LARGE);
        if (err == 0) {
            assert_int_equal(m.entry_count, n);
            raft_message_release(&m);
        }
        free(bytes);
    }
}

static void test_message_limit(void **state)
{
    for (int more = -1; more <= 1; more++) {
        size_t size = (size_t)(PEER_MESSAGE_BYTES_MAX + more);
        uint8_t *bytes = mem_zalloc(size);
        /* field 15, as long as what is left after tag and length */
        size_t left = size - 5;
        bytes[0] = 15 << 3 | 2;
        for (int i = 0; i < 4; i++) {
            bytes[1 + i] = (uint8_t)(left >> (7 * i) & 0x7f);
            bytes[1 + i] |= i < 3 ? 0x80 : 0;
        }
        struct raft_message m;
        assert_int_equal(peer_decode_message(slice_of(bytes, size), &m),
                         more <= 0 ? 0 : ERR_TOO_LARGE);
        free(bytes);
    }
}

/* ---- cut and changed ---- */

static void decode_any(const uint8_t *data, size_t size)
{
    uint8_t *exact = mem_alloc(size ? size : 1); /* so that ASan sees all */
    memcpy(exact, data, size);
    struct raft_message m;
    int err = peer_decode_message(slice_of(exact, size), &m);
    assert_true(err == 0 || err == ERR_PROTOCOL || err == ERR_TOO_LARGE);
    if (err == 0) {
        raft_message_release(&m);
    }
    free(exact);
}

static void test_cut_anywhere(void **state)
{
    struct rng r = {2};
    for (int i = 0; i < 30; i++) {
        struct raft_message m = random_message(&r);
        struct buf b = encode(&m);
        for (size_t size = 0; size < b.size; size++) {
            decode_any(b.data, size);
        }
        buf_release(&b);
        raft_message_release(&m);
    }
}

static void test_mutations(void **state)
{
    struct rng r = {3};
    for (int i = 0; i < ROUNDS; i++) {
        struct raft_message m = random_message(&r);
        struct buf b = encode(&m);
        for (int turn = 0; turn < 8 && b.size; turn++) {
            uint64_t hits = 1 + rng_below(&r, 4);
            for (uint64_t hit = 0; hit < hits; hit++) {
                b.data[rng_below(&r, b.size)] = (uint8_t)rng_next(&r);
            }
            decode_any(b.data, b.size - rng_below(&r, b.size));
        }
        buf_release(&b);
        raft_message_release(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_generated_code),
        cmocka_unit_test(test_known_bytes),
        cmocka_unit_test(test_what_etcd_sends_explicitly),
        cmocka_unit_test(test_unknown_fields_are_skipped),
        cmocka_unit_test(test_last_scalar_counts),
        cmocka_unit_test(test_embedded_messages_merge),
        cmocka_unit_test(test_members_in_order),
        cmocka_unit_test(test_bad_bytes),
        cmocka_unit_test(test_group_depth),
        cmocka_unit_test(test_member_limit),
        cmocka_unit_test(test_entry_limit),
        cmocka_unit_test(test_message_limit),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
