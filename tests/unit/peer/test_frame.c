#include "random_message.h"

#include "base/endian.h"
#include "base/err.h"
#include "peer/frame.h"

enum { SELF = 0xa, PEER = 0xb, GOT_MAX = 256 };

static struct raft_message got[GOT_MAX];
static uint32_t got_count;
static int answer;

static int on_message(void *ctx, struct raft_message *m)
{
    assert_true(got_count < GOT_MAX);
    got[got_count++] = *m;
    return answer;
}

static void forget(void)
{
    for (uint32_t i = 0; i < got_count; i++) {
        raft_message_release(&got[i]);
    }
    got_count = 0;
    answer = 0;
}

/* What a follower is sent: appends that go on, now and then a new start, a
 * new term, an empty one that moves the commit. */
static struct raft_message next_append(struct rng *r, uint64_t *term,
                                       uint64_t *index)
{
    if (rng_below(r, 10) == 0) {
        *term += 1;
    }
    if (rng_below(r, 10) == 0) {
        *index = rng_below(r, 1000);
    }
    struct raft_message m = {
        .type = RAFT_MSG_APP,
        .to = SELF,
        .from = PEER,
        .term = *term,
        .log_term = rng_below(r, 8) ? *term : *term - 1,
        .index = *index,
        .commit = rng_below(r, 1000),
    };
    random_entries(r, &m, (uint32_t)rng_below(r, 4), 200);
    *index += m.entry_count;
    return m;
}

/* Feeds in pieces of random sizes, each in memory of its own. */
static int feed(struct peer_frame_reader *reader, struct slice bytes,
                struct rng *r, uint64_t piece_max)
{
    int err = 0;
    while (bytes.size && err == 0) {
        size_t n = 1 + rng_below(r, piece_max);
        n = n < bytes.size ? n : bytes.size;
        uint8_t *piece = mem_dup(bytes.data, n);
        err = peer_frame_read(reader, slice_of(piece, n));
        free(piece);
        bytes = slice_from(bytes, n);
    }
    return err;
}

static void exchange(enum peer_kind kind, uint64_t seed, uint64_t piece_max)
{
    struct rng r = {seed};
    struct peer_frame_writer w = {.kind = kind};
    struct peer_frame_reader reader;
    peer_frame_reader_init(&reader, kind, PEER, SELF, on_message, NULL);
    struct buf b = BUF_INIT(SIZE_MAX);
    struct raft_message sent[100];
    uint64_t term = 1, index = 0;
    for (int i = 0; i < 100; i++) {
        sent[i] = kind == PEER_MSGAPP ? next_append(&r, &term, &index)
                                      : random_message(&r);
        sent[i].to = SELF;
        size_t before = b.size;
        peer_frame_write(&w, &sent[i], &b);
        assert_true(b.size - before <= peer_frame_size_max(&sent[i]));
        if (rng_below(&r, 5) == 0) {
            peer_frame_write_heartbeat(&w, &b);
        }
    }
    assert_int_equal(feed(&reader, buf_slice(&b), &r, piece_max), 0);
    assert_true(peer_frame_reader_at_rest(&reader));
    assert_int_equal(got_count, 100);
    for (int i = 0; i < 100; i++) {
        assert_same_message(&sent[i], &got[i]);
        raft_message_release(&sent[i]);
    }
    forget();
    buf_release(&b);
    peer_frame_reader_release(&reader);
}

static void test_exchange(void **state)
{
    static const uint64_t pieces[] = {1, 7, 100, 5000, 1 << 20};
    for (uint64_t seed = 1; seed <= 40; seed++) {
        exchange(PEER_MSGAPP, seed, pieces[seed % 5]);
        exchange(PEER_MESSAGE, seed, pieces[seed % 5]);
    }
}

static void expect(const struct buf *b, const char *bytes, size_t size)
{
    assert_int_equal(b->size, size);
    assert_memory_equal(b->data, bytes, size);
}

static void test_known_bytes(void **state)
{
    struct buf b = BUF_INIT(4096);
    struct peer_frame_writer w = {.kind = PEER_MESSAGE};
    peer_frame_write_heartbeat(&w, &b);
    expect(&b, "\0\0\0\0\0\0\0\2\x08\x08", 10);
    b.size = 0;
    w = (struct peer_frame_writer){.kind = PEER_MSGAPP};
    peer_frame_write_heartbeat(&w, &b);
    expect(&b, "\0", 1);
    /* The first append: whole. */
    struct raft_message m = {.type = RAFT_MSG_APP,
                             .to = 1,
                             .from = 2,
                             .term = 3,
                             .log_term = 3,
                             .index = 4};
    b.size = 0;
    peer_frame_write(&w, &m, &b);
    expect(&b,
           "\2\0\0\0\0\0\0\0\x0c"
           "\x08\3\x10\1\x18\2\x20\3\x28\3\x30\4",
           21);
    /* What goes on from there: without its head. */
    struct raft_entry e = {.term = 3, .index = 5};
    m.entry_count = 1;
    m.entries = &e;
    m.commit = 4;
    b.size = 0;
    peer_frame_write(&w, &m, &b);
    expect(&b,
           "\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\4\x10\3\x18\5"
           "\0\0\0\0\0\0\0\4",
           29);
    assert_int_equal(w.index, 5);
    buf_release(&b);
}

/* ---- bad input ---- */

static int read_all(enum peer_kind kind, const char *bytes, size_t size,
                    bool *ret_at_rest)
{
    struct peer_frame_reader reader;
    peer_frame_reader_init(&reader, kind, PEER, SELF, on_message, NULL);
    int err = peer_frame_read(&reader, slice_of(bytes, size));
    *ret_at_rest = peer_frame_reader_at_rest(&reader);
    peer_frame_reader_release(&reader);
    return err;
}

static void test_unknown_type(void **state)
{
    bool rest;
    for (int type = 3; type < 256; type++) {
        char byte = (char)type;
        assert_int_equal(read_all(PEER_MSGAPP, &byte, 1, &rest), ERR_PROTOCOL);
    }
}

static void test_lengths(void **state)
{
    bool rest;
    char bytes[32] = {0};
    for (int more = 0; more <= 1; more++) {
        int want = more ? ERR_TOO_LARGE : 0;
        put_be64(bytes, PEER_MESSAGE_BYTES_MAX + (uint64_t)more);
        assert_int_equal(read_all(PEER_MESSAGE, bytes, 8, &rest), want);
        bytes[0] = 1; /* entries */
        put_be64(bytes + 1, PEER_ENTRIES_MAX + (uint64_t)more);
        assert_int_equal(read_all(PEER_MSGAPP, bytes, 9, &rest), want);
        put_be64(bytes + 1, 1);
        put_be64(bytes + 9, PEER_MESSAGE_BYTES_MAX + (uint64_t)more);
        assert_int_equal(read_all(PEER_MSGAPP, bytes, 17, &rest), want);
        assert_false(rest && want == 0);
        memset(bytes, 0, sizeof bytes);
    }
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(read_all(PEER_MESSAGE, bytes, 8, &rest), ERR_TOO_LARGE);
}

/* The length alone must not cost memory. */
static void test_announced_is_not_allocated(void **state)
{
    struct peer_frame_reader reader;
    peer_frame_reader_init(&reader, PEER_MESSAGE, PEER, SELF, on_message, NULL);
    char bytes[9];
    put_be64(bytes, PEER_MESSAGE_BYTES_MAX);
    bytes[8] = 8;
    assert_int_equal(peer_frame_read(&reader, slice_of(bytes, 9)), 0);
    assert_true(reader.held.capacity < 4096);
    peer_frame_reader_release(&reader);
}

static void test_entries_share_one_limit(void **state)
{
    struct peer_frame_reader reader;
    peer_frame_reader_init(&reader, PEER_MSGAPP, PEER, SELF, on_message, NULL);
    char head[9] = {1}, length[8];
    put_be64(head + 1, 9);
    assert_int_equal(peer_frame_read(&reader, slice_of(head, 9)), 0);
    const size_t size = PEER_MESSAGE_BYTES_MAX / 8;
    uint8_t *data = mem_zalloc(size);
    data[0] = 15 << 3 | 2; /* a field that is skipped */
    for (int i = 0; i < 4; i++) {
        data[1 + i] = (uint8_t)((size - 5) >> (7 * i) & 0x7f);
        data[1 + i] |= i < 3 ? 0x80 : 0;
    }
    put_be64(length, size);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(peer_frame_read(&reader, slice_of(length, 8)), 0);
        assert_int_equal(peer_frame_read(&reader, slice_of(data, size)), 0);
    }
    put_be64(length, 1);
    assert_int_equal(peer_frame_read(&reader, slice_of(length, 8)),
                     ERR_TOO_LARGE);
    free(data);
    peer_frame_reader_release(&reader);
}

static void test_receiver_stops(void **state)
{
    struct raft_message m = {.type = RAFT_MSG_VOTE, .to = SELF};
    struct peer_frame_writer w = {.kind = PEER_MESSAGE};
    struct buf b = BUF_INIT(4096);
    peer_frame_write(&w, &m, &b);
    peer_frame_write(&w, &m, &b);
    bool rest;
    answer = ERR_CLOSED;
    assert_int_equal(
        read_all(PEER_MESSAGE, (const char *)b.data, b.size, &rest),
        ERR_CLOSED);
    assert_int_equal(got_count, 1);
    forget();
    buf_release(&b);
}

static void test_mutations(void **state)
{
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        struct rng r = {seed};
        enum peer_kind kind = (enum peer_kind)(seed & 1);
        struct peer_frame_writer w = {.kind = kind};
        struct buf b = BUF_INIT(SIZE_MAX);
        uint64_t term = 1, index = 0;
        for (int i = 0; i < 10; i++) {
            struct raft_message m = kind == PEER_MSGAPP
                                        ? next_append(&r, &term, &index)
                                        : random_message(&r);
            peer_frame_write(&w, &m, &b);
            raft_message_release(&m);
        }
        for (uint64_t hits = 1 + rng_below(&r, 5); hits; hits--) {
            b.data[rng_below(&r, b.size)] = (uint8_t)rng_next(&r);
        }
        struct peer_frame_reader reader;
        peer_frame_reader_init(&reader, kind, PEER, SELF, on_message, NULL);
        int err = feed(&reader, buf_slice(&b), &r, 500);
        assert_true(err == 0 || err == ERR_PROTOCOL || err == ERR_TOO_LARGE);
        forget();
        buf_release(&b);
        peer_frame_reader_release(&reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_known_bytes),
        cmocka_unit_test(test_unknown_type),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_announced_is_not_allocated),
        cmocka_unit_test(test_entries_share_one_limit),
        cmocka_unit_test(test_receiver_stops),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
