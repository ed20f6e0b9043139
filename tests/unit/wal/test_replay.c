/* Torn tails are cut, damage is found, and nothing ever crashes. */
#include "helper.h"

#include "base/rng.h"

enum { HEAD_SIZE = 112, FRAME_EXTRA = 40 };

static struct buf got = BUF_INIT(1 << 24);
static struct buf whole = BUF_INIT(1 << 24); /* notes of the whole log */
static struct buf less = BUF_INIT(1 << 24);  /* without the last frame */
static struct buf image = BUF_INIT(1 << 24); /* of the last segment */
static struct buf twisted = BUF_INIT(1 << 24);

static int release_all(void **state)
{
    (void)state;
    buf_release(&got);
    buf_release(&whole);
    buf_release(&less);
    buf_release(&image);
    buf_release(&twisted);
    return 0;
}

struct sample {
    struct fixture *f;
    struct last_file file;
    size_t last_start; /* of the last frame */
    size_t end;        /* behind it */
};

/* One segment: some frames, and a last one of three records. */
static struct sample sample_new(size_t last_size, int fill)
{
    struct sample s = {.f = fixture_new(32768)};
    struct wal *w;
    struct wal_stats stats;
    uint8_t data[12000];
    buf_reset(&whole, SIZE_MAX);
    memset(data, fill, sizeof data);
    assert_int_equal(wal_create(&s.f->config, &identity, &w), 0);
    for (uint64_t i = 1; i <= 4; i++) {
        put_entry(w, &whole, 1, i, slice_of("payload!", i * 2));
        put_hard_state(w, &whole, 1, 1, i - 1);
        submit_wait(s.f, w);
    }
    buf_reset(&less, SIZE_MAX);
    buf_append_slice(&less, buf_slice(&whole));
    wal_get_stats(w, &stats);
    s.last_start = HEAD_SIZE + stats.bytes_written;
    put_entry(w, &whole, 2, 5, slice_of(data, last_size));
    put_entry(w, &whole, 2, 6, slice_str("last one"));
    put_hard_state(w, &whole, 2, 2, 4);
    submit_wait(s.f, w);
    wal_get_stats(w, &stats);
    s.end = HEAD_SIZE + stats.bytes_written;
    wal_close(w);
    s.file = last_segment(s.f->dir);
    file_read(s.file.path, &image);
    assert_int_equal(image.size, 32768);
    return s;
}

/* Opens what `twisted` is; appends after a good opening and reads that. */
static int open_twisted(struct sample *s, uint64_t *ret_cut)
{
    file_write(s->file.path, twisted.data, twisted.size);
    struct wal *w;
    int err = open_noting(s->f, &got, &w);
    if (err < 0) {
        return err;
    }
    struct wal_stats stats;
    wal_get_stats(w, &stats);
    *ret_cut = stats.torn_bytes_cut;
    struct buf before = BUF_INIT(1 << 24);
    buf_append_slice(&before, buf_slice(&got));
    put_entry(w, &before, 9, 5, slice_str("goes on"));
    wal_submit(w, true);
    wal_close(w);
    struct buf after = BUF_INIT(1 << 24);
    assert_int_equal(open_noting(s->f, &after, &w), 0);
    assert_text(&after, &before);
    wal_get_stats(w, &stats);
    assert_int_equal(stats.torn_bytes_cut, 0);
    wal_close(w);
    /* A file of our own making may stand behind a shortened one. */
    struct last_file last = last_segment(s->f->dir);
    if (strcmp(last.path, s->file.path) != 0) {
        unlink(last.path);
    }
    got.size = before.size;
    memcpy(got.data, before.data, before.size);
    got.size = strstr(text_of(&got), "e 9 5 ") - (char *)got.data;
    buf_release(&before);
    buf_release(&after);
    return 0;
}

static void twist_none(void)
{
    buf_reset(&twisted, SIZE_MAX);
    buf_append_slice(&twisted, buf_slice(&image));
}

static void expect_cut(struct sample *s, struct buf *want)
{
    uint64_t cut = 0;
    int err = open_twisted(s, &cut);
    if (err < 0) {
        print_error("%s\n", wal_error_text());
    }
    assert_int_equal(err, 0);
    assert_text(&got, want);
}

/* The file ends in the last frame, at each byte. */
static void test_cut_short(void **state)
{
    (void)state;
    struct sample s = sample_new(9, 'x');
    for (size_t k = s.last_start; k <= s.end; k++) {
        twist_none();
        twisted.size = k;
        expect_cut(&s, k == s.end ? &whole : &less);
    }
    fixture_free(s.f);
}

/* Zeros from each byte of the last frame on: the rest never arrived. */
static void test_zero_rest(void **state)
{
    (void)state;
    struct sample s = sample_new(700, 'x');
    for (size_t k = s.last_start; k <= s.end; k++) {
        twist_none();
        memset(twisted.data + k, 0, twisted.size - k);
        expect_cut(&s, k == s.end ? &whole : &less);
    }
    fixture_free(s.f);
}

/* Any one sector never arrived, but later ones of the same write did. Also
 * when the content is zeros itself. */
static void test_zero_sector(void **state)
{
    (void)state;
    for (int fill = 0; fill <= 'x'; fill += 'x') {
        struct sample s = sample_new(5000, fill);
        size_t first = s.last_start / 512, last = (s.end - 1) / 512;
        assert_true(last - first > 8);
        for (size_t sector = first; sector <= last; sector++) {
            twist_none();
            for (size_t k = sector * 512; k < sector * 512 + 512; k++) {
                if (k >= s.last_start && k < s.end) {
                    twisted.data[k] = 0;
                }
            }
            bool same = memcmp(twisted.data, image.data, image.size) == 0;
            expect_cut(&s, same ? &whole : &less);
        }
        fixture_free(s.f);
    }
}

/* Zeros in a value do not make damage look like a torn tail. */
static void test_flip_beside_zeros(void **state)
{
    (void)state;
    struct sample s = sample_new(5000, 0);
    for (size_t k = s.last_start; k < s.end; k += 37) {
        uint64_t cut;
        twist_none();
        twisted.data[k] ^= 0x10;
        assert_int_equal(open_twisted(&s, &cut), ERR_CORRUPT);
    }
    fixture_free(s.f);
}

/* Every bit from the first byte to the end of the last frame. */
static void test_flip_every_bit(void **state)
{
    (void)state;
    struct sample s = sample_new(3, 'x');
    for (size_t k = 0; k < s.end; k++) {
        for (int bit = 0; bit < 8; bit++) {
            uint64_t cut;
            twist_none();
            twisted.data[k] ^= (uint8_t)(1 << bit);
            int err = open_twisted(&s, &cut);
            if (err != ERR_CORRUPT) {
                print_error("byte %zu bit %d: %d\n", k, bit, err);
            }
            assert_int_equal(err, ERR_CORRUPT);
        }
    }
    assert_non_null(strstr(wal_error_text(), s.file.path));
    assert_non_null(strstr(wal_error_text(), "offset"));
    assert_non_null(strstr(wal_error_text(), "snapshot"));
    fixture_free(s.f);
}

/* A flip behind the end loses nothing. */
static void test_flip_behind_end(void **state)
{
    (void)state;
    struct sample s = sample_new(3, 'x');
    for (size_t k = s.end; k < s.end + 2000; k += 7) {
        twist_none();
        twisted.data[k] ^= 4;
        expect_cut(&s, &whole);
    }
    fixture_free(s.f);
}

/* A missing sector with a later frame behind it was durable: damage. */
static void test_hole_in_the_middle(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(65536);
    struct wal *w;
    char data[2000];
    memset(data, 'm', sizeof data);
    assert_int_equal(wal_create(&f->config, &identity, &w), 0);
    for (uint64_t i = 1; i <= 10; i++) {
        wal_entry(w, 1, i, 0, slice_of(data, sizeof data));
        submit_wait(f, w);
    }
    wal_close(w);
    struct sample s = {.f = f, .file = last_segment(f->dir)};
    file_read(s.file.path, &image);
    size_t frame = FRAME_EXTRA + 8 + ((1 + 20 + sizeof data + 7) & ~7u);
    for (size_t sector = 1; sector * 512 + 512 < HEAD_SIZE + 9 * frame;
         sector++) {
        uint64_t cut;
        twist_none();
        memset(twisted.data + sector * 512, 0, 512);
        assert_int_equal(open_twisted(&s, &cut), ERR_CORRUPT);
    }
    fixture_free(f);
}

/* --- several segments --- */

struct twister {
    int skip; /* files to leave alone first */
    void (*twist)(const char *path, struct rng *rng);
    struct rng *rng;
};

static void twist_nth(const char *path, const char *name, void *ctx)
{
    struct twister *t = ctx;
    if (strstr(name, ".wal") && t->skip-- == 0) {
        t->twist(path, t->rng);
    }
}

static struct fixture *several(int *ret_count)
{
    struct fixture *f = fixture_new(4096);
    struct wal *w;
    char data[400];
    memset(data, 's', sizeof data);
    buf_reset(&whole, SIZE_MAX);
    assert_int_equal(wal_create(&f->config, &identity, &w), 0);
    for (uint64_t i = 1; i <= 30; i++) {
        put_entry(w, &whole, 1, i, slice_of(data, sizeof data));
        submit_wait(f, w);
    }
    wal_close(w);
    *ret_count = count_segments(f->dir);
    assert_true(*ret_count >= 4);
    return f;
}

static void drop_file(const char *path, struct rng *rng)
{
    (void)rng;
    char *aside = mem_printf("%s.aside", path);
    assert_int_equal(rename(path, aside), 0);
    free(aside);
}

static void put_back(const char *path, const char *name, void *ctx)
{
    (void)ctx;
    if (strstr(name, ".aside")) {
        char *real = mem_strdup(path);
        real[strlen(real) - strlen(".aside")] = 0;
        assert_int_equal(rename(path, real), 0);
        free(real);
    }
}

static void test_missing_segment(void **state)
{
    (void)state;
    int count;
    struct fixture *f = several(&count);
    struct wal *w;
    char *last = mem_strdup(last_segment(f->dir).path);
    for (int i = 0; i < count; i++) {
        struct twister t = {.skip = i, .twist = drop_file};
        each_file(f->dir, twist_nth, &t);
        /* That the newest is gone can not be known. */
        if (access(last, F_OK) == 0) {
            assert_int_equal(open_noting(f, &got, &w), ERR_CORRUPT);
            assert_non_null(strstr(wal_error_text(), "missing"));
        }
        each_file(f->dir, put_back, NULL);
        assert_int_equal(count_segments(f->dir), count);
    }
    assert_int_equal(open_noting(f, &got, &w), 0);
    assert_text(&got, &whole);
    wal_close(w);
    free(last);
    fixture_free(f);
}

static void flip_in_use(const char *path, struct rng *rng)
{
    file_read(path, &image);
    size_t used = image.size;
    while (used > 0 && image.data[used - 1] == 0) {
        used--;
    }
    image.data[rng_below(rng, used)] ^= (uint8_t)(1u << rng_below(rng, 8));
    file_write(path, image.data, image.size);
}

/* A bit anywhere in any segment; the log must be refused each time. */
static void test_flip_in_segments(void **state)
{
    (void)state;
    int count;
    struct fixture *f = several(&count);
    struct rng rng = {77};
    for (int i = 0; i < 400; i++) {
        struct rng same = rng;
        int which = i % count;
        struct twister t = {which, flip_in_use, &rng};
        each_file(f->dir, twist_nth, &t);
        struct wal *w;
        int err = open_noting(f, &got, &w);
        if (err == 0) {
            wal_close(w);
        }
        assert_int_equal(err, ERR_CORRUPT);
        t = (struct twister){which, flip_in_use, &same}; /* back */
        each_file(f->dir, twist_nth, &t);
    }
    struct wal *w;
    assert_int_equal(open_noting(f, &got, &w), 0);
    assert_text(&got, &whole);
    wal_close(w);
    fixture_free(f);
}

/* --- mutation --- */

static void mutate(struct buf *b, struct rng *rng)
{
    size_t at = rng_below(rng, b->size);
    size_t size = rng_below(rng, 64) + 1;
    if (size > b->size - at) {
        size = b->size - at;
    }
    switch (rng_below(rng, 6)) {
    case 0:
        b->data[at] = (uint8_t)rng_next(rng);
        break;
    case 1:
        memset(b->data + at, (int)rng_below(rng, 2) * 255, size);
        break;
    case 2:
        b->size = at + 1;
        break;
    case 3: /* a piece of itself elsewhere */
        memmove(b->data + at, b->data + rng_below(rng, b->size - size + 1),
                size);
        break;
    case 4:
        for (size_t i = 0; i < size; i++) {
            b->data[at + i] = (uint8_t)rng_next(rng);
        }
        break;
    case 5:
        memset(b->data + at, 0, b->size - at);
        break;
    }
}

/* Seeded nonsense: an answer each time, and what is let through begins as
 * the log did. */
static void test_mutations(void **state)
{
    (void)state;
    struct sample s = sample_new(900, 'x');
    struct rng rng = {2024};
    int opened = 0;
    image.size = s.end + 600; /* mutations where the content is */
    for (int i = 0; i < 1500; i++) {
        twist_none();
        uint64_t times = rng_below(&rng, 3) + 1;
        while (times--) {
            mutate(&twisted, &rng);
        }
        uint64_t cut;
        int err = open_twisted(&s, &cut);
        if (err == 0) {
            opened++;
            const char *text = text_of(&got);
            assert_memory_equal(text, text_of(&whole), got.size);
        } else {
            assert_int_equal(err, ERR_CORRUPT);
            assert_true(strlen(wal_error_text()) > 0);
        }
    }
    assert_true(opened > 20);
    fixture_free(s.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_zero_rest),
        cmocka_unit_test(test_zero_sector),
        cmocka_unit_test(test_flip_beside_zeros),
        cmocka_unit_test(test_flip_every_bit),
        cmocka_unit_test(test_flip_behind_end),
        cmocka_unit_test(test_hole_in_the_middle),
        cmocka_unit_test(test_missing_segment),
        cmocka_unit_test(test_flip_in_segments),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, release_all);
}
