/* A member out of an image, and what an image tells: images of an etcd's
 * shape are made record by record here. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../test.h"

#include "base/buf.h"
#include "base/endian.h"
#include "base/err.h"
#include "image/image.h"
#include "kvdb/kvdb.h"
#include "mvcc/mvcc.h"
#include "restore/restore.h"
#include "wal/wal.h"

#define IMAGE "image.db"
#define CLUSTER "a=http://a:2380,b=http://b:2380,c=http://c:2380"

struct row {
    const char *bucket; /* in name order */
    uint8_t key[32];
    size_t key_size;
    const char *value;
    size_t value_size;
};

struct made {
    const struct row *rows;
    size_t count;
    size_t next;
    const char *bucket;
};

static int made_rewind(void *ctx)
{
    struct made *m = ctx;
    m->next = 0;
    m->bucket = "";
    return 0;
}

static int made_bucket(void *ctx, struct slice *ret_name)
{
    struct made *m = ctx;
    while (m->next < m->count &&
           strcmp(m->rows[m->next].bucket, m->bucket) == 0) {
        m->next++;
    }
    if (m->next == m->count) {
        return ERR_NOT_FOUND;
    }
    m->bucket = m->rows[m->next].bucket;
    *ret_name = slice_str(m->bucket);
    return 0;
}

static int made_record(void *ctx, struct slice *ret_key,
                       struct slice *ret_value)
{
    struct made *m = ctx;
    if (m->next == m->count ||
        strcmp(m->rows[m->next].bucket, m->bucket) != 0) {
        return ERR_NOT_FOUND;
    }
    const struct row *r = &m->rows[m->next++];
    *ret_key = slice_of(r->key, r->key_size);
    *ret_value = slice_of(r->value, r->value_size);
    return 0;
}

static int to_file(void *ctx, struct slice bytes)
{
    return fwrite(bytes.data, 1, bytes.size, ctx) == bytes.size ? 0 : ERR_IO;
}

static void make_image(const struct row *rows, size_t count)
{
    struct made m = {rows, count, 0, ""};
    const struct image_source source = {made_rewind, made_bucket, made_record,
                                        &m};
    uint64_t bytes;
    FILE *f = fopen(IMAGE, "w");
    const struct image_sink sink = {to_file, f};
    assert_int_equal(image_measure(&source, &bytes), 0);
    assert_int_equal(image_write(&source, bytes, &sink), 0);
    assert_int_equal(fclose(f), 0);
}

static struct row text_row(const char *bucket, const char *key,
                           const char *value)
{
    struct row r = {.bucket = bucket,
                    .key_size = strlen(key),
                    .value = value,
                    .value_size = strlen(value)};
    memcpy(r.key, key, r.key_size);
    return r;
}

static struct row rev_row(int64_t main, bool tombstone, const char *kv,
                          size_t size)
{
    struct row r = {.bucket = "key",
                    .key_size = tombstone ? 18 : 17,
                    .value = kv,
                    .value_size = size};
    put_be64(r.key, (uint64_t)main);
    r.key[8] = '_';
    put_be64(r.key + 9, 0);
    r.key[17] = 't';
    return r;
}

static struct row number_row(const char *key, uint64_t number, char bytes[17])
{
    struct row r = text_row("meta", key, "");
    memset(bytes, 0, 17);
    put_be64((uint8_t *)bytes, number);
    bytes[8] = '_';
    r.value = bytes;
    r.value_size = strstr(key, "Compact") ? 17 : 8;
    return r;
}

/* KeyValues: key, create, mod, version. */
#define KV_A2                           \
    "\x0a\x01"                          \
    "a\x10\x02\x18\x02\x20\x01\x2a\x01" \
    "1"
#define KV_A3                           \
    "\x0a\x01"                          \
    "a\x10\x02\x18\x03\x20\x02\x2a\x01" \
    "2"
#define KV_B4  \
    "\x0a\x01" \
    "b\x10\x04\x18\x04\x20\x01"
#define KV_DEL \
    "\x0a\x01" \
    "b"

static char index_bytes[17], scheduled_bytes[17], finished_bytes[17];

/* As etcd 3.4 leaves it: no term, no confState, no storageVersion. Two keys,
 * of which one is deleted again. */
static void make_old_image(void)
{
    const struct row rows[] = {
        text_row("cluster", "clusterVersion", "3.4.0"),
        rev_row(2, false, KV_A2, sizeof KV_A2 - 1),
        rev_row(3, false, KV_A3, sizeof KV_A3 - 1),
        rev_row(4, false, KV_B4, sizeof KV_B4 - 1),
        rev_row(5, true, KV_DEL, sizeof KV_DEL - 1),
        text_row("members", "1", "{\"id\":1,\"peerURLs\":[\"http://o:1\"]}"),
        text_row("members_removed", "2", "removed"),
        number_row("consistent_index", 4711, index_bytes),
    };
    make_image(rows, sizeof rows / sizeof *rows);
}

static struct restore_options options(void)
{
    return (struct restore_options){
        .image = IMAGE,
        .data_dir = "data",
        .name = "b",
        .initial_cluster = CLUSTER,
        .token = "t",
        .advertise_peer_urls = "http://b:2380",
        .skip_hash_check = true,
    };
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static int clean(void **state)
{
    return system("rm -rf data wal wal.part " IMAGE) == 0 ? 0 : -1;
}

/* ---- what is left behind ---- */

struct seen {
    uint64_t index, term, commit;
    char mark;
    int entries;
    int members;
};

static int on_entry(void *ctx, uint64_t term, uint64_t index, uint32_t type,
                    struct slice data)
{
    ((struct seen *)ctx)->entries++;
    return 0;
}

static int on_hard_state(void *ctx, uint64_t term, uint64_t vote,
                         uint64_t commit)
{
    ((struct seen *)ctx)->commit = commit;
    return 0;
}

static int on_snapshot(void *ctx, uint64_t index, uint64_t term,
                       struct slice conf)
{
    struct seen *s = ctx;
    s->index = index;
    s->term = term;
    s->mark = conf.size ? (char)conf.data[0] : 0;
    return 0;
}

static int on_member(void *ctx, struct slice key, struct slice value)
{
    ((struct seen *)ctx)->members++;
    return 0;
}

static void log_fatal_test(void *ctx, int err, const char *text)
{
    fail_msg("%s", text);
}

static void check_log(const char *dir, struct seen *s)
{
    const struct wal_config wc = {.dir = dir, .fatal = log_fatal_test};
    const struct wal_replay replay = {on_entry, on_hard_state, on_snapshot, s};
    struct wal_identity who;
    struct wal *w;
    assert_int_equal(wal_open(&wc, &replay, &who, &w), 0);
    wal_close(w);
    assert_int_equal(s->mark, WAL_MARK_INSTALL);
    /* Behind the three conf changes that a new member would begin with. */
    assert_int_equal(s->index, 4);
    assert_int_equal(s->commit, 4);
    assert_int_equal(s->term, 1);
    assert_int_equal(s->entries, 0);
    assert_true(who.member_id != 0 && who.cluster_id != 0);
}

static void check_store(const char *path, int64_t revision)
{
    struct kvdb *db;
    struct mvcc *m;
    struct seen s = {0};
    struct slice value;
    const struct kvdb_config kc = {.path = path, .no_fsync = true};
    assert_int_equal(kvdb_open(&kc, &db), 0);
    const struct mvcc_config mc = {.db = db};
    assert_int_equal(mvcc_open(&mc, &m), 0);
    assert_int_equal(mvcc_revision(m), revision);
    assert_int_equal(mvcc_applied_index(m), 4);
    struct mvcc_kv kv;
    assert_int_equal(mvcc_get(m, slice_str("a"), &kv), 0);
    assert_true(slice_eq_str(kv.value, "2"));
    assert_int_equal(kv.version, 2);
    assert_int_equal(mvcc_get(m, slice_str("b"), &kv), ERR_KEY_NOT_FOUND);
    assert_int_equal(kvdb_each(db, KVDB_MEMBERS, on_member, &s), 0);
    assert_int_equal(s.members, 3);
    assert_int_equal(kvdb_get(db, KVDB_MEMBERS, slice_str("1"), &value),
                     ERR_NOT_FOUND);
    assert_int_equal(kvdb_get(db, KVDB_MEMBERS_REMOVED, slice_str("2"), &value),
                     ERR_NOT_FOUND);
    /* A version of long ago must not stay: members decide anew. */
    assert_int_equal(
        kvdb_get(db, KVDB_CLUSTER, slice_str("clusterVersion"), &value),
        ERR_NOT_FOUND);
    mvcc_close(m);
    kvdb_close(db);
}

static void test_old_image(void **state)
{
    struct restore_options o = options();
    struct seen s = {0};
    make_old_image();
    assert_int_equal(restore_run(&o), 0);
    assert_false(is_there("data/member.part"));
    check_log("data/member/wal", &s);
    check_store("data/member/store.mdb", 5);
}

static void test_wal_dir_and_leftovers(void **state)
{
    struct restore_options o = options();
    struct seen s = {0};
    make_old_image();
    o.wal_dir = "wal";
    /* One that was cut off. */
    assert_int_equal(system("mkdir -p data/member.part/wal wal.part && "
                            "touch data/member.part/store.mdb wal.part/x"),
                     0);
    assert_int_equal(restore_run(&o), 0);
    check_log("wal", &s);
    check_store("data/member/store.mdb", 5);
    assert_false(is_there("data/member/wal"));
    assert_false(is_there("wal.part"));
}

static void test_bumped(void **state)
{
    struct restore_options o = options();
    make_old_image();
    o.bump_revision = 100;
    assert_int_equal(restore_run(&o), 0);
    check_store("data/member/store.mdb", 105);
    o.data_dir = "data/again";
    o.bump_revision = INT64_MAX;
    assert_int_equal(restore_run(&o), ERR_TOO_LARGE);
}

/* What cannot be done leaves nothing, not even the folder. */
static void test_refused(void **state)
{
    struct restore_options o = options();
    make_old_image();
    o.name = "d";
    assert_int_equal(restore_run(&o), ERR_INVALID);
    assert_string_equal(restore_error_text(),
                        "couldn't find local name \"d\" in the initial "
                        "cluster configuration");
    o = options();
    o.advertise_peer_urls = "http://x:2380";
    assert_int_equal(restore_run(&o), ERR_INVALID);
    o = options();
    o.initial_cluster = "b";
    assert_int_equal(restore_run(&o), ERR_INVALID);
    o = options();
    o.skip_hash_check = false;
    assert_int_equal(restore_run(&o), ERR_INVALID);
    assert_string_equal(restore_error_text(),
                        "snapshot missing hash but --skip-hash-check=false");
    o = options();
    o.image = "nowhere.db";
    assert_int_equal(restore_run(&o), ERR_NOT_FOUND);
    o = options();
    o.wal_dir = ".";
    assert_int_equal(restore_run(&o), ERR_EXISTS);
    assert_false(is_there("data"));
    assert_int_equal(system("mkdir data && touch data/x"), 0);
    o = options();
    assert_int_equal(restore_run(&o), ERR_EXISTS);
    assert_true(is_there("data/x"));
    assert_false(is_there("data/member"));
}

static void test_damaged(void **state)
{
    struct restore_options o = options();
    make_old_image();
    FILE *f = fopen(IMAGE, "r+");
    /* Every page behind the metas. */
    assert_int_equal(fseek(f, 2L * IMAGE_PAGE_SIZE, SEEK_SET), 0);
    for (int i = 0; i < IMAGE_PAGE_SIZE; i++) {
        fputc(0xff, f);
    }
    fclose(f);
    o.wal_dir = "wal";
    assert_int_equal(restore_run(&o), ERR_CORRUPT);
    assert_false(is_there("data"));
    assert_false(is_there("wal"));
    assert_false(is_there("wal.part"));
    struct restore_status st;
    assert_int_equal(restore_status_read(IMAGE, ".", &st), ERR_CORRUPT);
}

/* ---- status and hash ---- */

static void test_status(void **state)
{
    struct restore_status st;
    struct restore_hash h, again;
    make_old_image();
    assert_int_equal(restore_status_read(IMAGE, ".", &st), 0);
    assert_int_equal(st.revision, 5);
    assert_int_equal(st.key_count, 1);
    assert_string_equal(st.version, "");
    struct stat file;
    assert_int_equal(stat(IMAGE, &file), 0);
    assert_int_equal(st.bytes, file.st_size);
    assert_int_equal(restore_hash_kv(IMAGE, ".", 0, &h), 0);
    assert_int_equal(h.revision, 5);
    assert_int_equal(h.compact_revision, -1);
    assert_int_equal(restore_hash_kv(IMAGE, ".", 3, &again), 0);
    assert_true(again.hash != h.hash);
    assert_int_equal(restore_hash_kv(IMAGE, ".", 6, &again), ERR_FUTURE);
    assert_int_equal(restore_status_read("nowhere", ".", &st), ERR_NOT_FOUND);
    assert_string_equal(restore_error_text(),
                        "stat nowhere: no such file or directory");
    assert_int_equal(truncate(IMAGE, 5000), 0);
    assert_int_equal(restore_status_read(IMAGE, ".", &st), ERR_TOO_LARGE);
    assert_string_equal(restore_error_text(), "file size too small 5000");
}

/* Records that a compaction to 4 has left: with it finished they are counted
 * as they are, with it only begun by a store that finishes it. */
static void test_status_compacted(void **state)
{
    struct restore_status st;
    struct restore_hash h;
    for (int finished = 0; finished < 2; finished++) {
        const struct row rows[] = {
            rev_row(3, false, KV_A3, sizeof KV_A3 - 1),
            rev_row(4, false, KV_B4, sizeof KV_B4 - 1),
            rev_row(5, true, KV_DEL, sizeof KV_DEL - 1),
            number_row("consistent_index", 7, index_bytes),
            number_row("finishedCompactRev", finished ? 4 : 1, finished_bytes),
            number_row("scheduledCompactRev", 4, scheduled_bytes),
            text_row("meta", "storageVersion", "3.6.0"),
        };
        make_image(rows, sizeof rows / sizeof *rows);
        assert_int_equal(restore_status_read(IMAGE, ".", &st), 0);
        assert_int_equal(st.key_count, 1);
        assert_string_equal(st.version, "3.6.0");
        assert_int_equal(restore_hash_kv(IMAGE, ".", 0, &h), 0);
        assert_int_equal(h.compact_revision, 4);
        assert_int_equal(restore_hash_kv(IMAGE, ".", 3, &h), ERR_COMPACTED);
    }
    /* Nothing temporary stays. */
    assert_int_equal(system("ls -d cofre-* >/dev/null 2>&1") == 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_old_image, clean),
        cmocka_unit_test_teardown(test_wal_dir_and_leftovers, clean),
        cmocka_unit_test_teardown(test_bumped, clean),
        cmocka_unit_test_teardown(test_refused, clean),
        cmocka_unit_test_teardown(test_damaged, clean),
        cmocka_unit_test_teardown(test_status, clean),
        cmocka_unit_test_teardown(test_status_compacted, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
