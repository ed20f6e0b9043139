/*
 * Depth first from a root, one page per level in memory. Nothing read is
 * believed: pages say their own number, elements lie inside their page, keys
 * ascend and stay inside their parent's interval, and no page is reached
 * twice (a bitmap; of one pass over the buckets).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "image/error.h"
#include "image/format.h"
#include "image/image.h"

enum {
    BUCKETS_MAX = 1024,
    PAGE_SIZE_MIN = 1024,
    PAGE_SIZE_DOUBLINGS = 14,
    PAGE_KEEP = 64 * 1024,     /* memory a level keeps */
    CONSUME_LEAST = 64 * 1024, /* a hole smaller than this is not worth it */
    CONSUME_MOST = 4 << 20,
};

struct level {
    struct buf page;
    struct image_page_head head;
    uint32_t next; /* element */
};

struct bucket {
    struct buf name;
    struct buf value; /* root and sequence, or an inline page */
    bool visited;
};

struct image_reader {
    int fd;
    uint64_t file_bytes;
    struct image_meta meta;
    uint8_t *seen; /* one bit a page */
    struct bucket *buckets;
    uint32_t bucket_count;
    struct level levels[IMAGE_LEVELS_MAX];
    int depth; /* levels in use; 0: at the end, or in no bucket */
    int failed;
    int hole_fd; /* the file for punching holes; -1: it stays as it is */
    uint64_t consumed_from; /* bytes read one behind the other, */
    uint64_t consumed_to;   /* still in the file */
};

static int damaged(const char *text)
{
    return image_fail(ERR_CORRUPT, text);
}

static int read_at(const struct image_reader *r, uint64_t offset, void *to,
                   size_t size)
{
    uint8_t *p = to;
    while (size) {
        ssize_t n = pread(r->fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return image_fail(ERR_IO, "the image can not be read");
        }
        if (n == 0) {
            return damaged("the file is shorter than its header says");
        }
        p += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

/* --- consuming --- */

static void stop_consuming(struct image_reader *r)
{
    if (r->hole_fd >= 0) {
        close(r->hole_fd);
        r->hole_fd = -1;
    }
}

static void punch(struct image_reader *r)
{
    uint64_t size = r->consumed_to - r->consumed_from;
    if (size >= CONSUME_LEAST &&
        fallocate(r->hole_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  (off_t)r->consumed_from, (off_t)size) != 0) {
        stop_consuming(r);
    }
    r->consumed_from = r->consumed_to;
}

static void consume(struct image_reader *r, uint64_t from, uint64_t size)
{
    if (r->hole_fd < 0) {
        return;
    }
    if (from != r->consumed_to) {
        punch(r);
        r->consumed_from = from;
    }
    r->consumed_to = from + size;
    if (r->consumed_to - r->consumed_from >= CONSUME_MOST) {
        punch(r);
    }
}

/* --- pages --- */

static int mark_seen(struct image_reader *r, uint64_t page, uint64_t count)
{
    for (uint64_t i = page; i < page + count; i++) {
        uint8_t bit = (uint8_t)(1u << (i % 8));
        if (r->seen[i / 8] & bit) {
            return damaged("a page is used twice");
        }
        r->seen[i / 8] |= bit;
    }
    return 0;
}

/* The interval that the levels above leave to the one at `depth`: keys from
 * *ret_least on, and below *ret_limit when that has a size. */
static void interval(const struct image_reader *r, int depth,
                     struct slice *ret_least, struct slice *ret_limit)
{
    struct image_element e;
    *ret_least = *ret_limit = slice_of(NULL, 0);
    if (depth > 0) {
        const struct level *l = &r->levels[depth - 1];
        image_element_decode(buf_slice(&l->page), &l->head, l->next - 1, &e);
        *ret_least = e.key;
    }
    for (int i = depth - 1; i >= 0; i--) {
        const struct level *l = &r->levels[i];
        if (l->next < l->head.count) {
            image_element_decode(buf_slice(&l->page), &l->head, l->next, &e);
            *ret_limit = e.key;
            return;
        }
    }
}

static int check_elements(const struct image_reader *r, int depth,
                          const struct level *l)
{
    struct slice last, limit;
    interval(r, depth, &last, &limit);
    for (uint32_t i = 0; i < l->head.count; i++) {
        struct image_element e;
        if (!image_element_decode(buf_slice(&l->page), &l->head, i, &e)) {
            return damaged("an element is not inside its page");
        }
        int order = slice_cmp(last, e.key);
        if (order > 0 || (i > 0 && order == 0)) {
            return damaged("keys are out of order");
        }
        if (limit.size && slice_cmp(e.key, limit) >= 0) {
            return damaged("a key is outside its page's interval");
        }
        last = e.key;
    }
    return 0;
}

/* Puts the page that is in the level at r->depth on top. */
static int push(struct image_reader *r)
{
    struct level *l = &r->levels[r->depth];
    if (l->head.flags != IMAGE_PAGE_LEAF &&
        l->head.flags != IMAGE_PAGE_BRANCH) {
        return damaged("a page is of another kind than it should be");
    }
    if (l->head.flags == IMAGE_PAGE_BRANCH && l->head.count == 0) {
        return damaged("a branch page is empty");
    }
    if (l->head.count > IMAGE_COUNT_MAX) {
        return damaged("a page has more elements than pages can have");
    }
    l->next = 0;
    int err = check_elements(r, r->depth, l);
    if (err == 0) {
        r->depth++;
    }
    return err;
}

static int push_page(struct image_reader *r, uint64_t page)
{
    uint64_t size = r->meta.page_size;
    uint8_t head_bytes[IMAGE_HEADER_SIZE];
    if (r->depth == IMAGE_LEVELS_MAX) {
        return damaged("the tree is deeper than any");
    }
    if (page < IMAGE_FIRST_PAGE || page >= r->meta.high_water) {
        return damaged("a page number is outside the file");
    }
    int err = read_at(r, page * size, head_bytes, sizeof head_bytes);
    if (err < 0) {
        return err;
    }
    struct level *l = &r->levels[r->depth];
    l->head = image_head_decode(head_bytes);
    uint64_t count = 1 + (uint64_t)l->head.overflow;
    if (l->head.id != page) {
        return damaged("a page has another page's number");
    }
    if (count > r->meta.high_water - page) {
        return damaged("a page goes on behind the end of the file");
    }
    err = mark_seen(r, page, count);
    if (err < 0) {
        return err;
    }
    buf_reset(&l->page, PAGE_KEEP);
    err = buf_reserve(&l->page, (size_t)(count * size));
    if (err < 0) {
        return damaged("a page is larger than pages can be");
    }
    err = read_at(r, page * size, l->page.data, (size_t)(count * size));
    if (err < 0) {
        return err;
    }
    l->page.size = (size_t)(count * size);
    consume(r, page * size, count * size);
    return push(r);
}

static int push_inline(struct image_reader *r, struct slice page)
{
    struct level *l = &r->levels[r->depth];
    if (page.size < IMAGE_HEADER_SIZE) {
        return damaged("a bucket's page is cut short");
    }
    l->head = image_head_decode(page.data);
    if (l->head.flags != IMAGE_PAGE_LEAF) {
        return damaged("a page is of another kind than it should be");
    }
    buf_reset(&l->page, PAGE_KEEP);
    int err = buf_append_slice(&l->page, page);
    return err < 0 ? damaged("a page is larger than pages can be") : push(r);
}

/* The next leaf element; ERR_NOT_FOUND after the last. */
static int next_element(struct image_reader *r,
                        struct image_element *ret_element)
{
    while (r->depth > 0) {
        struct level *l = &r->levels[r->depth - 1];
        if (l->next == l->head.count) {
            r->depth--;
            continue;
        }
        struct image_element e;
        if (!image_element_decode(buf_slice(&l->page), &l->head, l->next, &e)) {
            return damaged("an element is not inside its page");
        }
        l->next++;
        if (l->head.flags == IMAGE_PAGE_LEAF) {
            *ret_element = e;
            return 0;
        }
        int err = push_page(r, e.child);
        if (err < 0) {
            return err;
        }
    }
    return ERR_NOT_FOUND;
}

/* --- opening --- */

static bool meta_at(const struct image_reader *r, uint64_t offset,
                    struct image_meta *ret_meta)
{
    uint8_t bytes[IMAGE_META_SIZE];
    offset += IMAGE_HEADER_SIZE;
    if (offset + sizeof bytes > r->file_bytes ||
        read_at(r, offset, bytes, sizeof bytes) < 0) {
        return false;
    }
    return image_meta_decode(bytes, ret_meta);
}

static bool page_size_fits(uint32_t size)
{
    return size >= PAGE_SIZE_MIN &&
           size <= (uint32_t)PAGE_SIZE_MIN << PAGE_SIZE_DOUBLINGS &&
           (size & (size - 1)) == 0;
}

/* The newer good one. Without the first, the second is searched at every
 * page size there may be. */
static int read_metas(struct image_reader *r)
{
    struct image_meta a, b;
    bool has_a = meta_at(r, 0, &a) && page_size_fits(a.page_size);
    bool has_b = false;
    for (int i = 0; !has_b && i <= PAGE_SIZE_DOUBLINGS; i++) {
        uint64_t size = has_a ? a.page_size : (uint64_t)PAGE_SIZE_MIN << i;
        has_b = meta_at(r, size, &b) && b.page_size == size;
        if (has_a) {
            break;
        }
    }
    if (!has_a && !has_b) {
        return damaged("neither of the two headers is good");
    }
    r->meta = !has_a || (has_b && b.txid > a.txid) ? b : a;
    if (r->meta.high_water <= IMAGE_FIRST_PAGE ||
        r->meta.high_water > r->file_bytes / r->meta.page_size) {
        return damaged("the file is shorter than its header says");
    }
    return 0;
}

static int add_bucket(struct image_reader *r, const struct image_element *e)
{
    if (!e->is_bucket || e->value.size < IMAGE_BUCKET_SIZE) {
        return damaged("the list of buckets holds something else");
    }
    if (r->bucket_count == BUCKETS_MAX) {
        return damaged("there are more buckets than any store has");
    }
    r->buckets =
        mem_realloc(r->buckets, (r->bucket_count + 1) * sizeof *r->buckets);
    struct bucket *b = &r->buckets[r->bucket_count++];
    *b = (struct bucket){0};
    buf_init(&b->name, IMAGE_KEY_SIZE_MAX + 1);
    buf_init(&b->value, e->value.size);
    buf_append_slice(&b->name, e->key);
    buf_append_byte(&b->name, 0);
    b->name.size--; /* a text, too */
    buf_append_slice(&b->value, e->value);
    return 0;
}

static int read_buckets(struct image_reader *r)
{
    struct image_element e;
    int err = push_page(r, r->meta.root);
    while (err == 0) {
        err = next_element(r, &e);
        if (err == 0) {
            err = add_bucket(r, &e);
        }
    }
    return err == ERR_NOT_FOUND ? 0 : err;
}

static int open_file(struct image_reader *r, const char *path)
{
    struct stat st;
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0) {
        return errno == ENOENT
                   ? image_fail(ERR_NOT_FOUND, "there is no such file")
                   : image_fail(ERR_IO, "the image can not be opened");
    }
    if (fstat(r->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return image_fail(ERR_IO, "the image is not a file");
    }
    r->file_bytes = (uint64_t)st.st_size;
    return 0;
}

int image_reader_open(const char *path, struct image_reader **ret_reader)
{
    struct image_reader *r = mem_zalloc(sizeof *r);
    r->hole_fd = -1;
    for (int i = 0; i < IMAGE_LEVELS_MAX; i++) {
        /* A value of the largest size and all around it. */
        buf_init(&r->levels[i].page, (size_t)1 << 32);
    }
    int err = open_file(r, path);
    if (err == 0) {
        err = read_metas(r);
    }
    if (err == 0) {
        r->seen = mem_zalloc((size_t)(r->meta.high_water / 8 + 1));
        err = read_buckets(r);
    }
    if (err < 0) {
        image_reader_close(r);
        return err;
    }
    *ret_reader = r;
    return 0;
}

void image_reader_close(struct image_reader *r)
{
    if (r == NULL) {
        return;
    }
    for (int i = 0; i < IMAGE_LEVELS_MAX; i++) {
        buf_release(&r->levels[i].page);
    }
    for (uint32_t i = 0; i < r->bucket_count; i++) {
        buf_release(&r->buckets[i].name);
        buf_release(&r->buckets[i].value);
    }
    free(r->buckets);
    free(r->seen);
    stop_consuming(r);
    if (r->fd >= 0) {
        close(r->fd);
    }
    free(r);
}

void image_reader_consume(struct image_reader *r, const char *path)
{
    r->hole_fd = open(path, O_WRONLY | O_CLOEXEC);
}

uint64_t image_reader_bytes(const struct image_reader *r)
{
    return r->meta.high_water * r->meta.page_size;
}

uint32_t image_reader_bucket_count(const struct image_reader *r)
{
    return r->bucket_count;
}

const char *image_reader_bucket_name(const struct image_reader *r, uint32_t i)
{
    return (const char *)r->buckets[i].name.data;
}

/* --- reading --- */

/* Seen twice is wrong only within one pass: a bucket that is read again
 * begins another. */
static void visit(struct image_reader *r, struct bucket *b)
{
    if (b->visited) {
        memset(r->seen, 0, (size_t)(r->meta.high_water / 8 + 1));
        for (uint32_t i = 0; i < r->bucket_count; i++) {
            r->buckets[i].visited = false;
        }
    }
    b->visited = true;
}

int image_reader_bucket(struct image_reader *r, const char *name)
{
    r->depth = 0;
    r->failed = 0;
    for (uint32_t i = 0; i < r->bucket_count; i++) {
        struct bucket *b = &r->buckets[i];
        if (!slice_eq_str(buf_slice(&b->name), name)) {
            continue;
        }
        visit(r, b);
        uint64_t root = get_le64(b->value.data);
        r->failed = root ? push_page(r, root)
                         : push_inline(r, slice_from(buf_slice(&b->value),
                                                     IMAGE_BUCKET_SIZE));
        return r->failed;
    }
    return image_fail(ERR_NOT_FOUND, "there is no bucket of that name");
}

int image_reader_next(struct image_reader *r, struct slice *ret_key,
                      struct slice *ret_value)
{
    struct image_element e;
    if (r->failed < 0) {
        return r->failed;
    }
    int err = next_element(r, &e);
    if (err == 0 && e.is_bucket) {
        err = damaged("there is a bucket inside a bucket");
    }
    if (err < 0) {
        r->failed = err == ERR_NOT_FOUND ? 0 : err;
        return err;
    }
    *ret_key = e.key;
    *ret_value = e.value;
    return 0;
}
