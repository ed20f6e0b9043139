/* Out of one store as an image, into another: nothing may be lost. */
#include <fcntl.h>

#include "fixture.h"

#include "mvcc/private.h"

#define IMAGE_PATH "image.db"
#define COPY_PATH "copy.db"

struct writing {
    int fd;
    uint64_t size;
};

static int write_chunk(void *ctx, struct slice bytes)
{
    struct writing *w = ctx;
    w->size += bytes.size;
    return write(w->fd, bytes.data, bytes.size) == (ssize_t)bytes.size ? 0
                                                                       : ERR_IO;
}

static void on_image(void *ctx, struct mvcc_image *image, int err)
{
    assert_int_equal(err, 0);
    *(struct mvcc_image **)ctx = image;
}

static void on_no_image(void *ctx, struct mvcc_image *image, int err)
{
    assert_null(image);
    *(int *)ctx = err;
}

static struct mvcc_image *open_image(struct fixture *f)
{
    struct mvcc_image *image = NULL;
    mvcc_image_open(f->m, on_image, &image);
    kvdb_drain(f->db);
    assert_non_null(image);
    return image;
}

static void write_image(struct mvcc_image *image)
{
    uint64_t bytes;
    const struct image_source *source = mvcc_image_source(image);
    assert_int_equal(image_measure(source, &bytes), 0);
    struct writing w = {
        .fd = open(IMAGE_PATH, O_CREAT | O_TRUNC | O_WRONLY, 0600)};
    assert_true(w.fd >= 0);
    struct image_sink sink = {write_chunk, &w};
    assert_int_equal(image_write(source, bytes, &sink), 0);
    close(w.fd);
    assert_int_equal(w.size, bytes);
}

static struct slice long_key(char text[900], int number)
{
    memset(text, 'k', 900);
    text[899] = (char)number;
    return slice_of(text, 900);
}

static void fill(struct fixture *f)
{
    char text[900];
    for (int i = 0; i < 400; i++) {
        char key[32];
        char value[32];
        snprintf(key, sizeof key, "key-%d", i % 50);
        snprintf(value, sizeof value, "value-%d", i);
        mvcc_begin(f->m);
        fixture_put_one(f, slice_str(key), slice_str(value), i % 5);
        if (i % 10 == 0) {
            fixture_put_one(f, long_key(text, i % 7), slice_str(value), 0);
        }
        mvcc_end(f->m, ++f->index, 4);
        if (i % 60 == 59) {
            fixture_delete(f, key);
        }
    }
    kvdb_stage_put(f->db, KVDB_LEASE, slice_str("lease-id"),
                   slice_str("lease"));
    kvdb_stage_put(f->db, KVDB_ALARM, slice_str("alarm"), (struct slice){0});
    kvdb_stage_put(f->db, KVDB_AUTH_USERS, slice_str("root"),
                   slice_str("user"));
    kvdb_stage_put(f->db, KVDB_MEMBERS, slice_str("1f"), slice_str("{}"));
}

static bool count_visit(void *ctx, const struct mvcc_kv *kv)
{
    return true;
}

struct both {
    struct mvcc *other;
    uint64_t seen;
};

static bool same_kv(void *ctx, const struct mvcc_kv *kv)
{
    struct both *b = ctx;
    struct mvcc_kv there;
    struct mvcc_stat stat;
    assert_int_equal(mvcc_get(b->other, kv->key, &there), 0);
    assert_true(slice_eq(kv->encoded, there.encoded));
    assert_int_equal(mvcc_stat(b->other, kv->key, &stat), 0);
    assert_int_equal(stat.version, kv->version);
    assert_int_equal(stat.lease, kv->lease);
    b->seen++;
    return true;
}

struct record_list {
    struct bytes *records[1000];
    int count;
};

static bool list_event(void *ctx, const struct mvcc_event *e)
{
    struct record_list *l = ctx;
    l->records[l->count++] = bytes_ref(e->record);
    return true;
}

static void same_history(struct mvcc *a, struct mvcc *b, int64_t from)
{
    struct record_list la = {0};
    struct record_list lb = {0};
    assert_int_equal(mvcc_history(a, from, list_event, &la), 0);
    assert_int_equal(mvcc_history(b, from, list_event, &lb), 0);
    assert_int_equal(la.count, lb.count);
    assert_true(la.count > 0);
    for (int i = 0; i < la.count; i++) {
        assert_true(
            slice_eq(bytes_slice(la.records[i]), bytes_slice(lb.records[i])));
        bytes_unref(la.records[i]);
        bytes_unref(lb.records[i]);
    }
}

static void on_hash(void *ctx, int err, const struct mvcc_hash *hash)
{
    assert_int_equal(err, 0);
    *(struct mvcc_hash *)ctx = *hash;
}

static struct mvcc_hash hash_of(struct kvdb *db, struct mvcc *m)
{
    struct mvcc_hash hash;
    assert_int_equal(mvcc_hash_kv(m, 0, on_hash, &hash), 0);
    kvdb_drain(db);
    return hash;
}

static void count_leased(void *ctx, int64_t lease, struct slice key)
{
    (*(int *)ctx)++;
}

static void expect_row(struct kvdb *db, enum kvdb_table table, const char *key,
                       const char *value)
{
    struct slice found;
    assert_int_equal(kvdb_get(db, table, slice_str(key), &found), 0);
    assert_true(slice_eq_str(found, value));
}

static void compare_stores(struct fixture *f, struct kvdb *db, struct mvcc *m)
{
    assert_int_equal(mvcc_revision(m), mvcc_revision(f->m));
    assert_int_equal(mvcc_compact_revision(m), mvcc_compact_revision(f->m));
    assert_int_equal(mvcc_applied_index(m), f->index);
    assert_int_equal(mvcc_durable_index(m), f->index);
    struct mvcc_range all = {.key = slice_of("\0", 1),
                             .end = slice_of("\0", 1)};
    int64_t here;
    int64_t there;
    assert_int_equal(mvcc_range(f->m, &all, count_visit, NULL, &here), 0);
    assert_int_equal(mvcc_range(m, &all, count_visit, NULL, &there), 0);
    assert_int_equal(here, there);
    struct both b = {.other = m};
    assert_int_equal(mvcc_range(f->m, &all, same_kv, &b, NULL), 0);
    assert_int_equal(b.seen, here);
    same_history(f->m, m, mvcc_compact_revision(m));
    struct mvcc_hash ha = hash_of(f->db, f->m);
    struct mvcc_hash hb = hash_of(db, m);
    assert_int_equal(ha.hash, hb.hash);
    int leased_here = 0;
    int leased_there = 0;
    mvcc_each_leased(f->m, count_leased, &leased_here);
    mvcc_each_leased(m, count_leased, &leased_there);
    assert_true(leased_here > 0);
    assert_int_equal(leased_here, leased_there);
    expect_row(db, KVDB_LEASE, "lease-id", "lease");
    expect_row(db, KVDB_ALARM, "alarm", "");
    expect_row(db, KVDB_AUTH_USERS, "root", "user");
    expect_row(db, KVDB_MEMBERS, "1f", "{}");
}

static void test_round_trip(void **state)
{
    struct fixture f;
    fixture_new(&f);
    fill(&f);
    assert_int_equal(fixture_compact(&f, 300), 0);
    struct mvcc_image *image = open_image(&f);
    assert_int_equal(mvcc_image_index(image), f.index);
    assert_int_equal(mvcc_image_term(image), 1);
    write_image(image);
    mvcc_image_close(image);
    unlink(COPY_PATH);
    uint64_t index = 0;
    uint64_t term = 0;
    assert_int_equal(
        mvcc_install(IMAGE_PATH, COPY_PATH, f.index, &index, &term), 0);
    assert_int_equal(index, f.index);
    assert_int_equal(term, 1);
    assert_int_equal(access(COPY_PATH "-lock", F_OK), -1);
    struct kvdb *db;
    struct mvcc *m;
    assert_int_equal(kvdb_open(&(struct kvdb_config){.path = COPY_PATH}, &db),
                     0);
    assert_int_equal(mvcc_open(&(struct mvcc_config){.db = db}, &m), 0);
    compare_stores(&f, db, m);
    mvcc_close(m);
    kvdb_close(db);
    fixture_close(&f);
}

/* Runs when a flush is done, before the image's own callback: its flush is
 * then in the middle of its steps when the image's job comes. */
static void start_next_flush(void *ctx, int err)
{
    struct fixture *f = ctx;
    char text[900];
    assert_int_equal(err, 0);
    for (int i = 0; i < 100; i++) {
        mvcc_begin(f->m);
        fixture_put_one(f, long_key(text, i), slice_str("later"), 7);
        mvcc_end(f->m, ++f->index, 1);
    }
    kvdb_stage_put(f->db, KVDB_MEMBERS, slice_str("1f"), slice_str("new"));
    mvcc_flush(f->m, NULL, NULL);
}

/* What a flush has half written is not in the image. */
static void test_amid_flush(void **state)
{
    struct fixture f;
    struct mvcc_image *image = NULL;
    fixture_new_stepped(&f);
    fill(&f);
    mvcc_flush_limits.pages_max = 2;
    mvcc_begin(f.m);
    mvcc_flush(f.m, start_next_flush, &f);
    mvcc_image_open(f.m, on_image, &image);
    mvcc_end(f.m, ++f.index, 1);
    uint64_t index = f.index;
    int64_t revision = mvcc_revision(f.m);
    kvdb_drain(f.db);
    mvcc_flush_limits.pages_max = 2048;
    assert_int_equal(mvcc_durable_index(f.m), index + 100);
    assert_int_equal(mvcc_image_index(image), index);
    write_image(image);
    mvcc_image_close(image);
    unlink(COPY_PATH);
    uint64_t got;
    uint64_t term;
    assert_int_equal(mvcc_install(IMAGE_PATH, COPY_PATH, index, &got, &term),
                     0);
    assert_int_equal(got, index);
    struct fixture g = {0};
    assert_int_equal(kvdb_open(&(struct kvdb_config){.path = COPY_PATH}, &g.db),
                     0);
    assert_int_equal(mvcc_open(&(struct mvcc_config){.db = g.db}, &g.m), 0);
    assert_int_equal(mvcc_revision(g.m), revision);
    expect_row(g.db, KVDB_MEMBERS, "1f", "{}");
    fixture_close(&g);
    fixture_close(&f);
}

static void test_refused(void **state)
{
    struct fixture f;
    fixture_new(&f);
    fill(&f);
    struct mvcc_image *image = open_image(&f);
    write_image(image);
    mvcc_image_close(image);
    uint64_t index;
    uint64_t term;
    unlink(COPY_PATH);
    assert_int_equal(
        mvcc_install(IMAGE_PATH, COPY_PATH, f.index + 1, &index, &term),
        ERR_CORRUPT);
    assert_int_equal(access(COPY_PATH, F_OK), -1);
    assert_int_equal(mvcc_install(IMAGE_PATH, FIXTURE_PATH, 0, &index, &term),
                     ERR_EXISTS);
    assert_int_equal(truncate(IMAGE_PATH, 3 * 4096), 0);
    assert_true(mvcc_install(IMAGE_PATH, COPY_PATH, 0, &index, &term) < 0);
    assert_int_equal(access(COPY_PATH, F_OK), -1);
    fixture_close(&f);
}

/* An image that was only asked for when the store goes down. */
static void test_closed_before(void **state)
{
    struct fixture f;
    fixture_new(&f);
    fixture_put(&f, "a", "1");
    int err = 1;
    mvcc_begin(f.m);
    mvcc_image_open(f.m, on_no_image, &err);
    mvcc_close(f.m);
    assert_int_equal(err, ERR_CANCELED);
    kvdb_close(f.db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_amid_flush),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_closed_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
