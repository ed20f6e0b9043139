/* Damaged images: an error or other records, never a crash or no end. */
#include "helper.h"

#include "image/format.h"

static struct buf image = BUF_INIT(1 << 24);
static struct buf twisted = BUF_INIT(1 << 24);

static const struct content_bucket buckets[] = {
    {"alarm", 0, 8, 0},     {"deep", 6, 9000, 100}, {"key", 150, 40, 200},
    {"large", 3, 20, 9000}, {"meta", 3, 10, 30},
};
enum { BUCKETS = sizeof buckets / sizeof *buckets };

static int make(void **state)
{
    (void)state;
    struct content c = {.buckets = buckets, .bucket_count = BUCKETS};
    const struct image_source source = content_source(&c);
    write_image(&source, &image);
    content_release(&c);
    return 0;
}

static int release_all(void **state)
{
    (void)state;
    buf_release(&image);
    buf_release(&twisted);
    return 0;
}

static void twist_none(void)
{
    buf_reset(&twisted, SIZE_MAX);
    buf_append_slice(&twisted, buf_slice(&image));
}

/* Everything in the file; the sum of what was read so that it is used. */
static int read_all(uint64_t *ret_records)
{
    file_write("twisted.db", twisted.data, twisted.size);
    struct image_reader *r;
    int err = image_reader_open("twisted.db", &r);
    if (err < 0) {
        assert_true(strlen(image_error_text()) > 0);
        return err;
    }
    uint64_t records = 0, sum = 0;
    for (int i = 0; err == 0 && i < BUCKETS; i++) {
        err = image_reader_bucket(r, buckets[i].name);
        struct slice key, value;
        while (err == 0 && (err = image_reader_next(r, &key, &value)) == 0) {
            records++;
            for (size_t j = 0; j < value.size; j += 97) {
                sum += value.data[j] + key.data[0];
            }
        }
        if (err == ERR_CORRUPT) {
            struct slice again;
            assert_int_equal(image_reader_next(r, &again, &again), ERR_CORRUPT);
        }
        if (err == ERR_NOT_FOUND) {
            err = 0;
        }
    }
    image_reader_close(r);
    *ret_records = records + (sum & 0);
    return err;
}

static void expect(int want, const char *words)
{
    uint64_t records;
    int err = read_all(&records);
    if (err != want) {
        print_error("%d: %s\n", err, err ? image_error_text() : "");
    }
    assert_int_equal(err, want);
    if (words) {
        assert_non_null(strstr(image_error_text(), words));
    }
}

static void test_whole(void **state)
{
    (void)state;
    uint64_t records = 0;
    twist_none();
    assert_int_equal(read_all(&records), 0);
    assert_int_equal(records, 6 + 150 + 3 + 3);
}

static void test_cut_short(void **state)
{
    (void)state;
    for (size_t size = 0; size < image.size; size += 509) {
        twist_none();
        twisted.size = size;
        expect(ERR_CORRUPT, NULL);
    }
    twist_none();
    twisted.size--;
    expect(ERR_CORRUPT, "shorter");
    twist_none();
    buf_append_str(&twisted, "what stands behind is ignored");
    expect(0, NULL);
}

/* Either header alone is enough. */
static void test_metas(void **state)
{
    (void)state;
    for (size_t k = 0; k < IMAGE_META_SIZE; k++) {
        twist_none();
        twisted.data[IMAGE_HEADER_SIZE + k] ^= 8;
        expect(0, NULL);
        twisted.data[IMAGE_PAGE_SIZE + IMAGE_HEADER_SIZE + k] ^= 8;
        expect(ERR_CORRUPT, "headers");
        twist_none();
        twisted.data[IMAGE_PAGE_SIZE + IMAGE_HEADER_SIZE + k] ^= 8;
        expect(0, NULL);
    }
}

static void put_metas(const struct image_meta *meta)
{
    image_meta_encode(twisted.data + IMAGE_HEADER_SIZE, meta);
    image_meta_encode(twisted.data + IMAGE_PAGE_SIZE + IMAGE_HEADER_SIZE, meta);
}

static void test_meta_content(void **state)
{
    (void)state;
    uint64_t pages = image.size / IMAGE_PAGE_SIZE;
    const struct image_meta good = {IMAGE_PAGE_SIZE, pages - 1, pages, 3};
    struct image_meta m = good;
    twist_none();
    put_metas(&m);
    expect(0, NULL);
    for (uint64_t root = 0; root < pages - 1; root++) {
        m.root = root;
        put_metas(&m);
        if (root == 2) { /* the empty bucket's leaf: a list of none */
            expect(0, NULL);
            continue;
        }
        expect(ERR_CORRUPT, NULL);
    }
    m.root = pages;
    put_metas(&m);
    expect(ERR_CORRUPT, "outside");
    m = good;
    m.high_water = pages + 1;
    put_metas(&m);
    expect(ERR_CORRUPT, "shorter");
    m.high_water = 1;
    put_metas(&m);
    expect(ERR_CORRUPT, NULL);
    m = good;
    m.page_size = 4095;
    put_metas(&m);
    expect(ERR_CORRUPT, NULL);
    m.page_size = 0;
    put_metas(&m);
    expect(ERR_CORRUPT, NULL);
}

/* The first page of a kind from page `from` on. */
static uint8_t *find_page(uint16_t flags, uint64_t from)
{
    for (uint64_t p = from; p < twisted.size / IMAGE_PAGE_SIZE; p++) {
        uint8_t *page = twisted.data + p * IMAGE_PAGE_SIZE;
        if (get_le64(page) == p && get_le16(page + 8) == flags) {
            return page;
        }
    }
    return NULL;
}

static void test_pages(void **state)
{
    (void)state;
    twist_none();
    uint8_t *branch = find_page(IMAGE_PAGE_BRANCH, 2);
    assert_non_null(branch);
    put_le64(branch + 24, get_le64(branch)); /* its own child */
    expect(ERR_CORRUPT, "twice");

    twist_none();
    branch = find_page(IMAGE_PAGE_BRANCH, 2);
    put_le64(branch + 40, get_le64(branch + 24)); /* one child twice */
    expect(ERR_CORRUPT, NULL);

    twist_none();
    branch = find_page(IMAGE_PAGE_BRANCH, 2);
    put_le16(branch + 10, 0);
    expect(ERR_CORRUPT, "empty");

    twist_none();
    uint8_t *leaf = find_page(IMAGE_PAGE_LEAF, 3);
    put_le64(leaf, 2);
    expect(ERR_CORRUPT, "number");

    twist_none();
    leaf = find_page(IMAGE_PAGE_LEAF, 3);
    put_le16(leaf + 8, IMAGE_PAGE_META);
    expect(ERR_CORRUPT, "kind");

    twist_none();
    leaf = find_page(IMAGE_PAGE_LEAF, 3);
    put_le32(leaf + 12, 0xffffffff);
    expect(ERR_CORRUPT, "behind the end");

    twist_none();
    leaf = find_page(IMAGE_PAGE_LEAF, 3);
    put_le32(leaf + 16 + 4, 0xfffffff0); /* pos */
    expect(ERR_CORRUPT, "inside");

    twist_none();
    leaf = find_page(IMAGE_PAGE_LEAF, 3);
    put_le32(leaf + 16, 1); /* a bucket in a bucket */
    expect(ERR_CORRUPT, "bucket");

    twist_none(); /* the list of buckets: two with one root */
    uint8_t *root = twisted.data + twisted.size - IMAGE_PAGE_SIZE;
    struct image_page_head head = image_head_decode(root);
    struct image_element a, b;
    struct slice page = slice_of(root, IMAGE_PAGE_SIZE);
    assert_true(image_element_decode(page, &head, 1, &a));
    assert_true(image_element_decode(page, &head, 2, &b));
    memcpy(root + (b.value.data - root), a.value.data, 8);
    expect(ERR_CORRUPT, "twice");
}

/* A file that a live store left: an inline bucket, another page size. */
static void test_inline_bucket(void **state)
{
    (void)state;
    enum { SIZE = 16384 };
    twist_none();
    buf_reset(&twisted, SIZE_MAX);
    assert_int_equal(buf_reserve(&twisted, 3 * SIZE), 0);
    memset(twisted.data, 0, 3 * SIZE);
    twisted.size = 3 * SIZE;
    uint8_t *p = twisted.data + 2 * SIZE;
    image_meta_encode(twisted.data + SIZE + IMAGE_HEADER_SIZE,
                      &(struct image_meta){SIZE, 2, 3, 9});
    image_head_encode(p, &(struct image_page_head){2, 2, 1, 0});
    put_le32(p + 16, 1);
    put_le32(p + 20, 16);
    put_le32(p + 24, 4);
    put_le32(p + 28, 16 + 16 + 16 + 5);
    memcpy(p + 32, "meta", 4);
    uint8_t *in = p + 36 + 16;
    image_head_encode(in, &(struct image_page_head){0, 2, 1, 0});
    put_le32(in + 20, 16);
    put_le32(in + 24, 2);
    put_le32(in + 28, 3);
    memcpy(in + 32, "kkvvv", 5);
    file_write("inline.db", twisted.data, twisted.size);
    struct image_reader *r;
    struct slice key, value;
    assert_int_equal(image_reader_open("inline.db", &r), 0);
    assert_int_equal(image_reader_bucket(r, "meta"), 0);
    assert_int_equal(image_reader_next(r, &key, &value), 0);
    assert_true(slice_eq_str(key, "kk") && slice_eq_str(value, "vvv"));
    assert_int_equal(image_reader_next(r, &key, &value), ERR_NOT_FOUND);
    image_reader_close(r);
    for (size_t size = 0; size < 16 + 16 + 16 + 5; size++) {
        put_le32(p + 28, (uint32_t)size);
        expect(ERR_CORRUPT, NULL);
    }
}

/* Every byte of the pages' headers and elements, some bits each. */
static void test_flips(void **state)
{
    (void)state;
    int found = 0, tries = 0;
    for (size_t page = 2; page < image.size / IMAGE_PAGE_SIZE; page++) {
        for (size_t k = 0; k < 64; k += 3) {
            uint64_t records;
            twist_none();
            twisted.data[page * IMAGE_PAGE_SIZE + k] ^= 1 << (k % 8);
            int err = read_all(&records);
            assert_true(err == 0 || err == ERR_CORRUPT || err == ERR_NOT_FOUND);
            found += err != 0;
            tries++;
        }
    }
    assert_true(tries > 300 && found > 0);
}

/* Seeded nonsense where it hurts: sizes, numbers, whole pages. */
static void test_mutations(void **state)
{
    (void)state;
    struct rng rng = {99};
    uint64_t pages = image.size / IMAGE_PAGE_SIZE;
    int good = 0;
    for (int i = 0; i < 2000; i++) {
        twist_none();
        for (uint64_t n = rng_below(&rng, 3) + 1; n; n--) {
            size_t page = (2 + rng_below(&rng, pages - 2)) * IMAGE_PAGE_SIZE;
            size_t at = page + rng_below(&rng, rng_below(&rng, 2) ? 128 : 4090);
            switch (rng_below(&rng, 5)) {
            case 0:
                twisted.data[at] = (uint8_t)rng_next(&rng);
                break;
            case 1:
                put_le32(twisted.data + at, (uint32_t)rng_next(&rng));
                break;
            case 2:
                put_le16(twisted.data + at, (uint16_t)rng_below(&rng, 4));
                break;
            case 3:
                memmove(twisted.data + page,
                        twisted.data + rng_below(&rng, pages) * IMAGE_PAGE_SIZE,
                        IMAGE_PAGE_SIZE);
                break;
            case 4:
                put_le64(twisted.data + (at & ~(size_t)7),
                         rng_below(&rng, pages + 1));
                break;
            }
        }
        uint64_t records;
        int err = read_all(&records);
        assert_true(err == 0 || err == ERR_CORRUPT || err == ERR_NOT_FOUND);
        good += err == 0;
    }
    assert_true(good > 100 && good < 1900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole), cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_metas), cmocka_unit_test(test_meta_content),
        cmocka_unit_test(test_pages), cmocka_unit_test(test_inline_bucket),
        cmocka_unit_test(test_flips), cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, make, release_all);
}
