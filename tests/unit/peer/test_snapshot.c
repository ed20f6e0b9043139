#include "pair.h"

#include <dirent.h>
#include <sys/resource.h>

#include "base/endian.h"
#include "image/image.h"

/* Memory is measured below; freed memory must not be kept for long. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=1:thread_local_quarantine_size_kb=64";
}

/* ---- a store of `records` records of 4 KiB ---- */

enum { VALUE_BYTES = 4096 };

struct store {
    uint64_t records;
    uint64_t fails_at; /* 0: never */
    uint64_t at;
    int buckets;
    uint8_t key[8];
    uint8_t value[VALUE_BYTES];
};

static int store_rewind(void *ctx)
{
    struct store *s = ctx;
    s->at = 0;
    s->buckets = 0;
    return 0;
}

static int store_bucket(void *ctx, struct slice *ret_name)
{
    struct store *s = ctx;
    if (s->buckets++) {
        return ERR_NOT_FOUND;
    }
    *ret_name = slice_str("key");
    return 0;
}

static int store_record(void *ctx, struct slice *ret_key,
                        struct slice *ret_value)
{
    struct store *s = ctx;
    if (s->at == s->records) {
        return ERR_NOT_FOUND;
    }
    if (s->fails_at && s->at >= s->fails_at) {
        return ERR_IO;
    }
    s->at++;
    put_be64(s->key, s->at);
    memset(s->value, (int)s->at, sizeof s->value);
    *ret_key = slice_of(s->key, sizeof s->key);
    *ret_value = slice_of(s->value, sizeof s->value);
    return 0;
}

static struct image_source source_of(struct store *s)
{
    return (struct image_source){store_rewind, store_bucket, store_record, s};
}

static uint64_t measure(struct store *s)
{
    struct image_source source = source_of(s);
    uint64_t bytes;
    assert_int_equal(image_measure(&source, &bytes), 0);
    return bytes;
}

static int compare(void *ctx, struct slice bytes)
{
    uint8_t *there = mem_alloc(bytes.size);
    assert_int_equal(fread(there, 1, bytes.size, ctx), bytes.size);
    assert_memory_equal(there, bytes.data, bytes.size);
    free(there);
    return 0;
}

static void expect_file(const char *path, struct store *s, uint64_t bytes)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    struct image_source source = source_of(s);
    struct image_sink sink = {compare, f};
    assert_int_equal(image_write(&source, bytes, &sink), 0);
    assert_int_equal(fgetc(f), EOF);
    fclose(f);
}

static uint32_t count_files(void)
{
    uint32_t count = 0;
    DIR *d = opendir(".");
    for (const struct dirent *e; (e = readdir(d));) {
        count += strncmp(e->d_name, "tmp-snapshot-", 13) == 0;
    }
    closedir(d);
    return count;
}

static bool no_files(void)
{
    return count_files() == 0;
}

/* ---- sending ---- */

static void send_snapshot(struct store *s, uint64_t bytes, uint64_t to)
{
    struct raft_message m = {
        .type = RAFT_MSG_SNAP, .to = to, .from = a.id, .term = 4};
    m.snapshot = mem_zalloc(sizeof *m.snapshot);
    m.snapshot->index = 77;
    m.snapshot->term = 3;
    m.snapshot->conf.voter_count = 2;
    m.snapshot->conf.voters[0] = a.id;
    m.snapshot->conf.voters[1] = b.id;
    struct image_source source = source_of(s);
    peer_send_snapshot(a.hub, &m, &source, bytes, side_source_closed, &a);
    assert_int_equal(a.sent_ok + a.sent_failed + a.sources_closed, 0);
}

static bool is_over(void)
{
    return a.sent_ok + a.sent_failed > 0;
}

static void expect_over(bool is_ok)
{
    wait_for(is_over);
    assert_int_equal(a.sent_ok, is_ok);
    assert_int_equal(a.sent_failed, !is_ok);
    assert_int_equal(a.sources_closed, 1);
    assert_int_equal(!b.snapshot_path, !is_ok);
}

static long peak_kib(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

static void test_fifty_megabytes(void **state)
{
    struct store s = {.records = 50 * 256};
    uint64_t bytes = measure(&s);
    assert_true(bytes > 50 << 20);
    side_knows(&a, &b);
    came_within(never, 50);
    long before = peak_kib();
    send_snapshot(&s, bytes, b.id);
    expect_over(true);
    assert_in_range(peak_kib() - before, 0, 40 << 10);
    assert_int_equal(b.snapshot_bytes, bytes);
    assert_int_equal(b.snapshot.type, RAFT_MSG_SNAP);
    assert_int_equal(b.snapshot.term, 4);
    assert_int_equal(b.snapshot.snapshot->index, 77);
    assert_int_equal(b.snapshot.snapshot->conf.voter_count, 2);
    expect_file(b.snapshot_path, &s, bytes);
    assert_int_equal(count_files(), 1);
    assert_int_equal(b.hub->snapshots_in, 0);
}

static void test_small_one(void **state)
{
    struct store s = {.records = 1};
    uint64_t bytes = measure(&s);
    side_knows(&a, &b);
    send_snapshot(&s, bytes, b.id);
    expect_over(true);
    expect_file(b.snapshot_path, &s, bytes);
}

static void test_unknown_peer(void **state)
{
    struct store s = {.records = 1};
    send_snapshot(&s, measure(&s), 0x77);
    expect_over(false);
}

static void test_source_fails(void **state)
{
    struct store s = {.records = 1000};
    uint64_t bytes = measure(&s);
    s.fails_at = 500;
    side_knows(&a, &b);
    send_snapshot(&s, bytes, b.id);
    expect_over(false);
    wait_for(no_files);
}

static void test_source_is_not_as_measured(void **state)
{
    struct store s = {.records = 1000};
    uint64_t bytes = measure(&s);
    s.records = 1001;
    side_knows(&a, &b);
    send_snapshot(&s, bytes, b.id);
    expect_over(false);
    wait_for(no_files);
}

static void test_no_room_there(void **state)
{
    struct store s = {.records = 1000};
    b.hub->config.snapshot_dir =
        (free((void *)(uintptr_t)b.hub->config.snapshot_dir),
         mem_strdup("/nonexistent"));
    side_knows(&a, &b);
    send_snapshot(&s, measure(&s), b.id);
    expect_over(false);
    assert_int_equal(b.hub->snapshots_in, 0);
}

static bool has_begun(void)
{
    return count_files() > 0;
}

static void test_receiver_ends_midway(void **state)
{
    struct store s = {.records = 20000};
    uint64_t bytes = measure(&s);
    side_knows(&a, &b);
    send_snapshot(&s, bytes, b.id);
    wait_for(has_begun);
    side_stop(&b);
    expect_over(false);
    wait_for(no_files);
    side_start(&b);
}

static bool source_is_closed(void)
{
    return a.sources_closed == 1;
}

static void test_sender_ends_midway(void **state)
{
    struct store s = {.records = 20000};
    uint64_t bytes = measure(&s);
    side_knows(&a, &b);
    send_snapshot(&s, bytes, b.id);
    wait_for(has_begun);
    side_stop(&a);
    wait_for(source_is_closed);
    wait_for(no_files);
    assert_int_equal(a.sent_ok + a.sent_failed, 0);
    assert_null(b.snapshot_path);
    side_start(&a);
}

static void test_peer_removed_midway(void **state)
{
    struct store s = {.records = 20000};
    uint64_t bytes = measure(&s);
    side_knows(&a, &b);
    send_snapshot(&s, bytes, b.id);
    wait_for(has_begun);
    peer_hub_remove(a.hub, b.id);
    expect_over(false);
    wait_for(no_files);
}

static void test_left_overs_are_swept(void **state)
{
    side_stop(&b);
    fclose(fopen("tmp-snapshot-abcdef", "w"));
    fclose(fopen("db", "w"));
    side_start(&b);
    assert_int_equal(count_files(), 0);
    assert_int_equal(access("db", F_OK), 0);
    unlink("db");
}

/* ---- bad senders: what POST /raft/snapshot answers ---- */

static int status;
static char text[256];
static bool is_answered;

static void on_answer(void *ctx, int err, int got_status,
                      const char *cluster_id, struct slice body)
{
    status = got_status;
    snprintf(text, sizeof text, "%.*s", (int)body.size,
             (const char *)body.data);
    is_answered = true;
}

static bool answered(void)
{
    return is_answered;
}

static void post_to(const void *body, size_t size, const char *hash_field,
                    int want, const char *want_text)
{
    struct url url;
    assert_int_equal(url_parse(b.url, &url), 0);
    is_answered = false;
    struct peer_exchange *x =
        peer_fetch(loop, &url, "POST", "/raft/snapshot", "x/x",
                   slice_of(body, size), 3000, on_answer, NULL);
    assert_int_equal(peer_fetch_field(x, "X-Server-From", "a"), 0);
    assert_int_equal(peer_fetch_field(x, "X-Server-Version", "3.7.1"), 0);
    assert_int_equal(peer_fetch_field(x, "X-Etcd-Cluster-ID", "c1"), 0);
    if (hash_field) {
        assert_int_equal(peer_fetch_field(x, PEER_HASH_FIELD, hash_field), 0);
    }
    wait_for(answered);
    assert_int_equal(status, want);
    assert_string_equal(text, want_text);
    assert_int_equal(!b.snapshot_path, want != 204);
}

static void post(const void *body, size_t size, int want, const char *want_text)
{
    post_to(body, size, NULL, want, want_text);
}

#define SNAP_TO(to) \
    "\0\0\0\0\0\0\0\x0e\x08\7\x10" to "\x18\x0a\x4a\6\x12\4\x10\5\x18\1"

static void test_bad_senders(void **state)
{
    post("", 0, 400, "failed to decode raft message (unexpected EOF)\n");
    post("\0\0\0", 3, 400, "failed to decode raft message (unexpected EOF)\n");
    uint8_t length[8];
    put_be64(length, PEER_SNAPSHOT_HEAD_BYTES_MAX + 1);
    post(length, 8, 400,
         "failed to decode raft message (larger than its limit)\n");
    put_be64(length, PEER_SNAPSHOT_HEAD_BYTES_MAX);
    post(length, 8, 400, "failed to decode raft message (unexpected EOF)\n");
    memset(length, 0xff, 8);
    post(length, 8, 400,
         "failed to decode raft message (larger than its limit)\n");
    post("\0\0\0\0\0\0\0\1\x0f", 9, 400,
         "failed to decode raft message (protocol error)\n");
    post("\0\0\0\0\0\0\0\6\x08\3\x10\x0b\x18\x0aimage", 19, 400,
         "wrong raft message type\n");
    post("\0\0\0\0\0\0\0\6\x08\7\x10\x0b\x18\x0aimage", 19, 400,
         "failed to decode raft message (no snapshot in it)\n");
    post(SNAP_TO("\x0c") "image", 27, 500,
         "failed to process raft message (wrong receiver or removed "
         "sender)\n");
    post(SNAP_TO("\x0b"), 22, 500,
         "failed to save KV snapshot (it is empty)\n");
    wait_for(no_files);
    assert_int_equal(b.hub->snapshots_in, 0);
}

/* ---- the hash behind the image ---- */

#define SNAP_TO_B SNAP_TO("\x0b")

enum { SNAP_SIZE = sizeof SNAP_TO_B - 1 };

/* A body of `size` image bytes and their hash; returns its size. */
static size_t hashed(uint8_t *to, size_t size)
{
    memcpy(to, SNAP_TO_B, SNAP_SIZE);
    memset(to + SNAP_SIZE, 'i', size);
    struct image_hash *h = image_hash_new();
    image_hash_add(h, slice_of(to + SNAP_SIZE, size));
    image_hash_end(h, to + SNAP_SIZE + size);
    image_hash_free(h);
    return SNAP_SIZE + size + IMAGE_HASH_SIZE;
}

static void test_hash(void **state)
{
    static const size_t sizes[] = {1, 31, 32, 33, 5000, 3 << 20};
    uint8_t *body = mem_alloc(4 << 20);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = hashed(body, sizes[i]);
        post_to(body, size, "sha256", 204, "");
        FILE *f = fopen(b.snapshot_path, "rb");
        for (size_t at = 0; at < sizes[i]; at++) {
            assert_int_equal(fgetc(f), 'i');
        }
        assert_int_equal(fgetc(f), EOF);
        fclose(f);
        side_forget_snapshot(&b);
    }
    free(body);
}

static void test_flipped_bits(void **state)
{
    uint8_t body[SNAP_SIZE + 100 + IMAGE_HASH_SIZE];
    for (size_t at = SNAP_SIZE; at < sizeof body; at++) {
        size_t size = hashed(body, 100);
        body[at] ^= 1u << at % 8;
        post_to(body, size, "sha256", 500,
                "failed to save KV snapshot (it does not fit its hash)\n");
    }
    hashed(body, 100);
    post_to(body, sizeof body - 1, "sha256", 500,
            "failed to save KV snapshot (it does not fit its hash)\n");
    post_to(body, SNAP_SIZE + IMAGE_HASH_SIZE, "sha256", 500,
            "failed to save KV snapshot (it is empty)\n");
    wait_for(no_files);
}

static void test_no_hash_that_is_known(void **state)
{
    uint8_t body[SNAP_SIZE + 100 + IMAGE_HASH_SIZE];
    post_to(body, hashed(body, 100), "sha1024", 204, "");
    assert_int_equal(b.snapshot_bytes, 100 + IMAGE_HASH_SIZE);
    side_forget_snapshot(&b);
}

#define pair_test(f) \
    cmocka_unit_test_setup_teardown(f, pair_setup, pair_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pair_test(test_fifty_megabytes),
        pair_test(test_small_one),
        pair_test(test_unknown_peer),
        pair_test(test_source_fails),
        pair_test(test_source_is_not_as_measured),
        pair_test(test_no_room_there),
        pair_test(test_receiver_ends_midway),
        pair_test(test_sender_ends_midway),
        pair_test(test_peer_removed_midway),
        pair_test(test_left_overs_are_swept),
        pair_test(test_bad_senders),
        pair_test(test_hash),
        pair_test(test_flipped_bits),
        pair_test(test_no_hash_that_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
