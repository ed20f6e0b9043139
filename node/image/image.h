/*
 * The store as one file, in the format of etcd's snapshots (a bbolt
 * database): written front to back in bounded memory, one page per tree
 * level, so that it can be streamed; read with random access from a file.
 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include <stdint.h>

#include "base/slice.h"

enum {
    IMAGE_PAGE_SIZE = 4096,
    IMAGE_KEY_SIZE_MAX = 32768,
    IMAGE_CHUNK_SIZE = 32768,
    IMAGE_HASH_SIZE = 32,
};

/* Gives the content, twice over (a size pass, then the real one), the same
 * both times: bucket by bucket in name order, records in key order. */
struct image_source {
    /* Restarts at the first bucket. */
    int (*rewind)(void *ctx);
    /* Next bucket name; ERR_NOT_FOUND after the last. Borrowed until the
     * next call. */
    int (*next_bucket)(void *ctx, struct slice *ret_name);
    /* Next record of that bucket; ERR_NOT_FOUND after the last. */
    int (*next_record)(void *ctx, struct slice *ret_key,
                       struct slice *ret_value);
    void *ctx;
};

struct image_sink {
    int (*write)(void *ctx, struct slice bytes); /* error ends the writing */
    void *ctx;
};

/* Size in bytes of the image that `source` makes (the size pass). ERR_* of
 * the source; ERR_TOO_LARGE for a key over IMAGE_KEY_SIZE_MAX, a value of
 * 2 GiB or more buckets than a page can list (100 with short names),
 * ERR_INVALID for an empty key or keys out of order. */
int image_measure(const struct image_source *source, uint64_t *ret_bytes);

/* Writes exactly `bytes` bytes, as measured. ERR_CORRUPT when the source
 * gave something else the second time. */
int image_write(const struct image_source *source, uint64_t bytes,
                const struct image_sink *sink);

/* The same by pulling, for whoever must not block: the image comes in
 * pieces of at most IMAGE_CHUNK_SIZE. The callbacks run inside
 * image_writer_next() only; `source` is copied, its ctx must stay. */
struct image_writer;

struct image_writer *image_writer_new(const struct image_source *source,
                                      uint64_t bytes);
/* NULL is fine; the source is not touched. */
void image_writer_free(struct image_writer *w);

/* The next piece, borrowed until the next call; ERR_NOT_FOUND after the
 * last. Errors as image_write, and final. */
int image_writer_next(struct image_writer *w, struct slice *ret_chunk);

struct image_reader;

/* What the last failed call of this thread on a reader ran into. Borrowed,
 * static; never NULL. */
const char *image_error_text(void);

/* Checks the metas, takes the newer good one, reads the list of buckets.
 * ERR_NOT_FOUND (no such file), ERR_CORRUPT, ERR_IO. */
int image_reader_open(const char *path, struct image_reader **ret_reader);
void image_reader_close(struct image_reader *r);

/* From here on what was read leaves the file at `path`, the same one, where the
 * file system can punch holes: for who reads an image once and fills another
 * file of its size from it. No bucket can be read again. */
void image_reader_consume(struct image_reader *r, const char *path);

/* Bytes of the image by its header; the file may be longer. */
uint64_t image_reader_bytes(const struct image_reader *r);
/* The name of the i-th bucket, in the image's order; borrowed. */
uint32_t image_reader_bucket_count(const struct image_reader *r);
const char *image_reader_bucket_name(const struct image_reader *r, uint32_t i);

/* Goes to the start of a bucket; ERR_NOT_FOUND when there is none of that
 * name, ERR_CORRUPT, ERR_IO. In any order, and again. */
int image_reader_bucket(struct image_reader *r, const char *name);

/* Records in key order; ERR_NOT_FOUND after the last; ERR_CORRUPT for
 * pages that contradict each other. Borrowed until the next call. */
int image_reader_next(struct image_reader *r, struct slice *ret_key,
                      struct slice *ret_value);

/* The SHA-256 of an image that goes by. */
struct image_hash;

struct image_hash *image_hash_new(void);
void image_hash_free(struct image_hash *h); /* NULL is fine */
void image_hash_add(struct image_hash *h, struct slice bytes);
/* Once, after the last byte. */
void image_hash_end(struct image_hash *h, uint8_t ret_hash[IMAGE_HASH_SIZE]);

/* The last 32 bytes of a file of size % 512 == 32 are its SHA-256;
 * ERR_NOT_FOUND when there are none, ERR_CORRUPT when they do not fit (both are
 * then set as well), ERR_IO. */
int image_check_hash(const char *path, uint8_t ret_expected[IMAGE_HASH_SIZE],
                     uint8_t ret_actual[IMAGE_HASH_SIZE]);

#endif
