/* What goes into an image comes out again, here and with etcd's tool. */
#include "helper.h"

#include <sys/stat.h>

#include <openssl/sha.h>

static struct buf out = BUF_INIT(1 << 28);

static int release_all(void **state)
{
    (void)state;
    buf_release(&out);
    return 0;
}

/* Reads bucket `i` and compares each record with the content's. */
static void check_bucket(struct image_reader *r, struct content *c, int i)
{
    struct slice name, key, value, want_key, want_value;
    content_rewind(c);
    while (c->bucket < i) {
        assert_int_equal(content_bucket(c, &name), 0);
    }
    assert_int_equal(image_reader_bucket(r, c->buckets[i].name), 0);
    while (content_record(c, &want_key, &want_value) == 0) {
        assert_int_equal(image_reader_next(r, &key, &value), 0);
        assert_true(slice_eq(key, want_key));
        assert_true(slice_eq(value, want_value));
    }
    assert_int_equal(image_reader_next(r, &key, &value), ERR_NOT_FOUND);
    assert_int_equal(image_reader_next(r, &key, &value), ERR_NOT_FOUND);
}

static void round_trip(const struct content_bucket *buckets, int count)
{
    struct content c = {.buckets = buckets, .bucket_count = count};
    const struct image_source source = content_source(&c);
    write_image(&source, &out);
    file_write("image.db", out.data, out.size);
    struct image_reader *r;
    int err = image_reader_open("image.db", &r);
    if (err < 0) {
        print_error("%s\n", image_error_text());
    }
    assert_int_equal(err, 0);
    for (int i = 0; i < count; i++) {
        check_bucket(r, &c, i);
    }
    for (int i = count - 1; i >= 0; i--) { /* any order, and again */
        check_bucket(r, &c, i);
    }
    assert_int_equal(image_reader_bucket(r, "none"), ERR_NOT_FOUND);
    image_reader_close(r);
    content_release(&c);
}

static void test_no_bucket(void **state)
{
    (void)state;
    round_trip(NULL, 0);
    assert_int_equal(out.size, 3 * IMAGE_PAGE_SIZE);
}

static void test_small(void **state)
{
    (void)state;
    for (uint64_t count = 0; count < 4; count++) {
        const struct content_bucket buckets[] = {
            {"a", count, 8, 10}, {"b", 0, 8, 0}, {"c", count, 20, 0}};
        round_trip(buckets, 3);
        assert_int_equal(out.size, 6 * IMAGE_PAGE_SIZE);
    }
}

/* One below, at and above what a page holds. */
static void test_page_edges(void **state)
{
    (void)state;
    for (size_t size = 4030; size < 4070; size++) {
        const struct content_bucket buckets[] = {{"edge", 3, 8, size}};
        round_trip(buckets, 1);
    }
    const struct content_bucket fits[] = {{"edge", 1, 8, 4096 - 40}};
    round_trip(fits, 1);
    assert_int_equal(out.size, 4 * IMAGE_PAGE_SIZE);
    const struct content_bucket over[] = {{"edge", 1, 8, 4096 - 39}};
    round_trip(over, 1);
    assert_int_equal(out.size, 5 * IMAGE_PAGE_SIZE);
}

static void test_many(void **state)
{
    (void)state;
    const struct content_bucket buckets[] = {
        {"key", 60000, 30, 100}, {"lease", 5000, 8, 24}, {"meta", 3, 9, 40}};
    round_trip(buckets, 3);
}

static void test_long_keys(void **state)
{
    (void)state;
    const struct content_bucket buckets[] = {
        {"key", 300, IMAGE_KEY_SIZE_MAX, 300}, {"mid", 500, 3000, 100}};
    round_trip(buckets, 2);
}

static void test_large_values(void **state)
{
    (void)state;
    const struct content_bucket buckets[] = {{"key", 12, 20, 5000000},
                                             {"more", 300, 17, 20000}};
    round_trip(buckets, 2);
}

/* Pieces are as promised, and together the same as image_write makes. */
static void test_pull(void **state)
{
    (void)state;
    const struct content_bucket buckets[] = {
        {"key", 400, IMAGE_KEY_SIZE_MAX, 200000}};
    struct content c = {.buckets = buckets, .bucket_count = 1};
    const struct image_source source = content_source(&c);
    write_image(&source, &out);
    struct image_writer *w = image_writer_new(&source, out.size);
    size_t done = 0;
    struct slice chunk;
    int err;
    while ((err = image_writer_next(w, &chunk)) == 0) {
        assert_true(chunk.size > 0 && chunk.size <= IMAGE_CHUNK_SIZE);
        assert_true(chunk.size <= out.size - done);
        assert_memory_equal(chunk.data, out.data + done, chunk.size);
        done += chunk.size;
    }
    assert_int_equal(err, ERR_NOT_FOUND);
    assert_int_equal(image_writer_next(w, &chunk), ERR_NOT_FOUND);
    assert_int_equal(done, out.size);
    image_writer_free(w);
    /* Given up in the middle. */
    w = image_writer_new(&source, out.size);
    assert_int_equal(image_writer_next(w, &chunk), 0);
    image_writer_free(w);
    image_writer_free(NULL);
    content_release(&c);
}

static int refuse(void *ctx, struct slice bytes)
{
    (void)bytes;
    return --*(int *)ctx < 0 ? ERR_NOT_FOUND : 0;
}

static void test_sink_fails(void **state)
{
    (void)state;
    const struct content_bucket buckets[] = {{"key", 5000, 30, 50}};
    struct content c = {.buckets = buckets, .bucket_count = 1};
    const struct image_source source = content_source(&c);
    uint64_t bytes;
    assert_int_equal(image_measure(&source, &bytes), 0);
    int chunks = (int)((bytes + IMAGE_CHUNK_SIZE - 1) / IMAGE_CHUNK_SIZE);
    for (int good = 0; good <= chunks; good++) {
        int left = good;
        const struct image_sink sink = {.write = refuse, .ctx = &left};
        assert_int_equal(image_write(&source, bytes, &sink),
                         good < chunks ? ERR_NOT_FOUND : 0);
    }
    content_release(&c);
}

/* The second pass gives more or less than the first. */
static void test_source_lies(void **state)
{
    (void)state;
    const struct content_bucket buckets[] = {{"key", 100, 30, 50}};
    const struct image_sink sink = {.write = to_buf, .ctx = &out};
    struct content c = {.buckets = buckets, .bucket_count = 1};
    const struct image_source source = content_source(&c);
    uint64_t bytes;
    assert_int_equal(image_measure(&source, &bytes), 0);
    for (int off = -2; off <= 2; off++) {
        buf_reset(&out, SIZE_MAX);
        uint64_t wrong = bytes + (uint64_t)(off * IMAGE_PAGE_SIZE);
        assert_int_equal(image_write(&source, wrong, &sink),
                         off ? ERR_CORRUPT : 0);
    }
    c.lie_at = 70;
    assert_int_equal(image_write(&source, bytes, &sink), ERR_CORRUPT);
    assert_int_equal(image_write(&source, 0, &sink), ERR_CORRUPT);
    content_release(&c);
}

/* --- sources that are wrong --- */

struct list_source {
    const struct slice *names;
    int name_count;
    const struct slice *keys; /* of each bucket */
    int key_count;
    struct slice value;
    int name;
    int key;
};

static int list_rewind(void *ctx)
{
    ((struct list_source *)ctx)->name = 0;
    return 0;
}

static int list_bucket(void *ctx, struct slice *ret_name)
{
    struct list_source *l = ctx;
    if (l->name == l->name_count) {
        return ERR_NOT_FOUND;
    }
    l->key = 0;
    *ret_name = l->names[l->name++];
    return 0;
}

static int list_record(void *ctx, struct slice *ret_key,
                       struct slice *ret_value)
{
    struct list_source *l = ctx;
    if (l->key == l->key_count) {
        return ERR_NOT_FOUND;
    }
    *ret_key = l->keys[l->key++];
    *ret_value = l->value;
    return 0;
}

static int measure_list(struct list_source l)
{
    const struct image_source source = {list_rewind, list_bucket, list_record,
                                        &l};
    uint64_t bytes;
    return image_measure(&source, &bytes);
}

static void test_bad_sources(void **state)
{
    (void)state;
    uint8_t *big = mem_zalloc(IMAGE_KEY_SIZE_MAX + 1);
    const struct slice a = slice_str("a"), b = slice_str("b");
    const struct slice none = slice_of("", 0);
    const struct slice longest = slice_of(big, IMAGE_KEY_SIZE_MAX);
    const struct slice longer = slice_of(big, IMAGE_KEY_SIZE_MAX + 1);
#define MEASURE(names_, keys_)                                                \
    measure_list(                                                             \
        (struct list_source){.names = names_,                                 \
                             .name_count = sizeof(names_) / sizeof *(names_), \
                             .keys = keys_,                                   \
                             .key_count = sizeof(keys_) / sizeof *(keys_)})
    const struct slice good[] = {a, b}, twice[] = {a, a}, back[] = {b, a};
    const struct slice empty[] = {none}, at_limit[] = {longest};
    const struct slice over_limit[] = {longer};
    assert_int_equal(MEASURE(good, good), 0);
    assert_int_equal(MEASURE(good, twice), ERR_INVALID);
    assert_int_equal(MEASURE(good, back), ERR_INVALID);
    assert_int_equal(MEASURE(good, empty), ERR_INVALID);
    assert_int_equal(MEASURE(good, at_limit), 0);
    assert_int_equal(MEASURE(good, over_limit), ERR_TOO_LARGE);
    assert_int_equal(MEASURE(twice, good), ERR_INVALID);
    assert_int_equal(MEASURE(back, good), ERR_INVALID);
    assert_int_equal(MEASURE(empty, good), ERR_INVALID);
    assert_int_equal(MEASURE(at_limit, good), ERR_TOO_LARGE);
    free(big);

    /* As many buckets as one page lists, and one more. */
    struct slice names[120];
    char text[120][12];
    for (int i = 0; i < 120; i++) {
        snprintf(text[i], sizeof text[i], "%03d", i);
        names[i] = slice_str(text[i]);
    }
    struct list_source l = {.names = names, .name_count = 4080 / 35};
    assert_int_equal(measure_list(l), 0);
    l.name_count++;
    assert_int_equal(measure_list(l), ERR_TOO_LARGE);
}

static void test_hash(void **state)
{
    (void)state;
    const struct content_bucket buckets[] = {{"key", 5000, 30, 100}};
    struct content c = {.buckets = buckets, .bucket_count = 1};
    const struct image_source source = content_source(&c);
    uint8_t expected[32], actual[32], hash[32];
    write_image(&source, &out);
    file_write("hash.db", out.data, out.size);
    assert_int_equal(image_check_hash("hash.db", expected, actual),
                     ERR_NOT_FOUND);
    assert_int_equal(image_check_hash("none.db", expected, actual), ERR_IO);
    SHA256(out.data, out.size, hash);
    buf_append(&out, hash, sizeof hash);
    file_write("hash.db", out.data, out.size);
    assert_int_equal(image_check_hash("hash.db", expected, actual), 0);
    assert_memory_equal(expected, hash, 32);
    assert_memory_equal(actual, hash, 32);
    out.data[777] ^= 1;
    file_write("hash.db", out.data, out.size);
    assert_int_equal(image_check_hash("hash.db", expected, actual),
                     ERR_CORRUPT);
    assert_memory_equal(expected, hash, 32);
    assert_memory_not_equal(actual, hash, 32);
    content_release(&c);
}

static uint64_t bytes_in(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static bool can_punch_holes(void)
{
    int fd = open("hole.db", O_WRONLY | O_CREAT, 0600);
    int rc = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
    close(fd);
    return rc == 0;
}

static void test_consume(void **state)
{
    (void)state;
    static const struct content_bucket buckets[] = {
        {"key", 30000, 30, 900}, {"meta", 3, 20, 20}, {"other", 3000, 20, 100}};
    struct content c = {.buckets = buckets, .bucket_count = 3};
    const struct image_source source = content_source(&c);
    write_image(&source, &out);
    file_write("image.db", out.data, out.size);
    struct image_reader *r;
    assert_int_equal(image_reader_open("image.db", &r), 0);
    image_reader_consume(r, "image.db");
    uint64_t before = bytes_in("image.db");
    assert_true(before > 10 << 20);
    for (int i = 0; i < 3; i++) {
        check_bucket(r, &c, i);
    }
    if (can_punch_holes()) {
        assert_true(bytes_in("image.db") < before / 10);
    }
    image_reader_close(r);
    content_release(&c);
}

/* Who may only read the file reads it. */
static void test_consume_what_is_not_ours(void **state)
{
    (void)state;
    static const struct content_bucket buckets[] = {{"key", 300, 30, 900}};
    struct content c = {.buckets = buckets, .bucket_count = 1};
    const struct image_source source = content_source(&c);
    write_image(&source, &out);
    file_write("image.db", out.data, out.size);
    struct image_reader *r;
    assert_int_equal(image_reader_open("image.db", &r), 0);
    image_reader_consume(r, "none.db");
    check_bucket(r, &c, 0);
    check_bucket(r, &c, 0);
    image_reader_close(r);
    content_release(&c);
}

/* --- an image as a running node makes it, for etcd's own tool --- */

struct node_source {
    int bucket;
    uint64_t record;
    uint64_t revisions;
    uint8_t key[64];
    uint8_t value[512];
};

static const char *const node_buckets[] = {
    "alarm", "auth",  "authRoles", "authUsers",       "cluster",
    "key",   "lease", "members",   "members_removed", "meta"};

static int node_rewind(void *ctx)
{
    ((struct node_source *)ctx)->bucket = -1;
    return 0;
}

static int node_bucket(void *ctx, struct slice *ret_name)
{
    struct node_source *n = ctx;
    if (++n->bucket == 10) {
        return ERR_NOT_FOUND;
    }
    n->record = 0;
    *ret_name = slice_str(node_buckets[n->bucket]);
    return 0;
}

/* mvccpb.KeyValue with a one-byte key counter and a value of 100 bytes. */
static struct slice key_value(struct node_source *n, uint64_t revision)
{
    uint8_t *p = n->value;
    size_t size = 0;
    p[size++] = 0x0a;
    p[size++] = 11;
    size +=
        (size_t)snprintf((char *)p + size, 12, "key%08u", (unsigned)revision);
    for (uint8_t tag = 0x10; tag <= 0x20; tag += 8) {
        uint64_t v = tag == 0x20 ? 1 : revision;
        p[size++] = tag;
        for (; v >= 0x80; v >>= 7) {
            p[size++] = (uint8_t)(v | 0x80);
        }
        p[size++] = (uint8_t)v;
    }
    p[size++] = 0x2a;
    p[size++] = 100;
    memset(p + size, 'v', 100);
    return slice_of(p, size + 100);
}

static int node_record(void *ctx, struct slice *ret_key,
                       struct slice *ret_value)
{
    static const struct {
        const char *bucket, *key;
        struct slice value;
    } fixed[] = {
        {"auth", "authEnabled", {(const uint8_t *)"\0", 1}},
        {"auth", "authRevision", {(const uint8_t *)"\0\0\0\0\0\0\0\1", 8}},
        {"cluster", "clusterVersion", {(const uint8_t *)"3.7.0", 5}},
        {"members",
         "8e9e05c52164694d",
         {(const uint8_t *)"{\"id\":10276657743932975437,\"peerURLs\":"
                           "[\"http://localhost:2380\"],\"name\":\"n\"}",
          76}},
        {"meta",
         "confState",
         {(const uint8_t *)"{\"voters\":[10276657743932975437],"
                           "\"auto_leave\":false}",
          52}},
        {"meta", "consistent_index", {(const uint8_t *)"\0\0\0\0\0\0\1\0", 8}},
        {"meta", "storageVersion", {(const uint8_t *)"3.7.0", 5}},
        {"meta", "term", {(const uint8_t *)"\0\0\0\0\0\0\0\2", 8}},
    };
    struct node_source *n = ctx;
    const char *bucket = node_buckets[n->bucket];
    if (strcmp(bucket, "key") == 0) {
        if (n->record == n->revisions) {
            return ERR_NOT_FOUND;
        }
        uint64_t revision = 2 + n->record++;
        put_be64(n->key, revision);
        n->key[8] = '_';
        put_be64(n->key + 9, 0);
        *ret_key = slice_of(n->key, 17);
        *ret_value = key_value(n, revision);
        return 0;
    }
    uint64_t nth = 0;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        if (strcmp(fixed[i].bucket, bucket) == 0 && nth++ == n->record) {
            n->record++;
            *ret_key = slice_str(fixed[i].key);
            *ret_value = fixed[i].value;
            return 0;
        }
    }
    return ERR_NOT_FOUND;
}

/* ETCDUTL names etcd's offline tool; without it that half is not run. */
static void test_node_image(void **state)
{
    (void)state;
    struct node_source n = {.revisions = 20000};
    const struct image_source source = {node_rewind, node_bucket, node_record,
                                        &n};
    write_image(&source, &out);
    uint8_t hash[32], expected[32], actual[32];
    SHA256(out.data, out.size, hash);
    buf_append(&out, hash, sizeof hash);
    file_write("node.db", out.data, out.size);
    assert_int_equal(image_check_hash("node.db", expected, actual), 0);

    struct image_reader *r;
    struct slice key, value;
    assert_int_equal(image_reader_open("node.db", &r), 0);
    uint64_t records = 0;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(image_reader_bucket(r, node_buckets[i]), 0);
        while (image_reader_next(r, &key, &value) == 0) {
            records++;
        }
    }
    assert_int_equal(records, 20000 + 8);
    image_reader_close(r);

    const char *tool = getenv("ETCDUTL");
    if (tool == NULL) {
        skip();
    }
    char line[1024];
    char *command = mem_printf("%s snapshot status node.db -w json", tool);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(line, sizeof line, pipe));
    assert_int_equal(pclose(pipe), 0);
    free(command);
    print_message("%s", line);
    assert_non_null(strstr(line, "\"revision\":20001"));
    assert_non_null(strstr(line, "\"totalKey\":20000"));
    assert_non_null(strstr(line, "\"version\":\"3.7.0\""));
    command = mem_printf("%s snapshot restore node.db --data-dir restored"
                         " >restore.log 2>&1",
                         tool);
    assert_int_equal(system(command), 0);
    free(command);
    assert_int_equal(system("rm -rf restored restore.log"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_bucket),
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_page_edges),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_long_keys),
        cmocka_unit_test(test_large_values),
        cmocka_unit_test(test_pull),
        cmocka_unit_test(test_sink_fails),
        cmocka_unit_test(test_source_lies),
        cmocka_unit_test(test_bad_sources),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_node_image),
        cmocka_unit_test(test_consume),
        cmocka_unit_test(test_consume_what_is_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, release_all);
}
