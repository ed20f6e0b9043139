/* The SHA-256 that ends an image which came out of a snapshot stream. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/error.h"
#include "image/image.h"

enum { SECTOR_SIZE = 512, PIECE_SIZE = 64 * 1024 };

/* OpenSSL fails here only for want of memory. */
static void must(int ok)
{
    if (ok != 1) {
        abort();
    }
}

struct image_hash *image_hash_new(void)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    must(md && EVP_DigestInit_ex(md, EVP_sha256(), NULL));
    return (struct image_hash *)md;
}

void image_hash_free(struct image_hash *h)
{
    EVP_MD_CTX_free((EVP_MD_CTX *)h);
}

void image_hash_add(struct image_hash *h, struct slice bytes)
{
    must(EVP_DigestUpdate((EVP_MD_CTX *)h, bytes.data, bytes.size));
}

void image_hash_end(struct image_hash *h, uint8_t ret_hash[IMAGE_HASH_SIZE])
{
    must(EVP_DigestFinal_ex((EVP_MD_CTX *)h, ret_hash, NULL));
}

/* Reads `size` bytes at the file's position. */
static int read_whole(int fd, uint8_t *to, size_t size)
{
    while (size) {
        ssize_t n = read(fd, to, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return image_fail(ERR_IO, "the image can not be read");
        }
        to += n;
        size -= (size_t)n;
    }
    return 0;
}

static int digest(int fd, uint64_t size, uint8_t ret_hash[IMAGE_HASH_SIZE])
{
    uint8_t *piece = mem_alloc(PIECE_SIZE);
    struct image_hash *h = image_hash_new();
    int err = 0;
    while (err == 0 && size) {
        size_t n = size < PIECE_SIZE ? (size_t)size : PIECE_SIZE;
        err = read_whole(fd, piece, n);
        if (err == 0) {
            image_hash_add(h, slice_of(piece, n));
        }
        size -= n;
    }
    if (err == 0) {
        image_hash_end(h, ret_hash);
    }
    image_hash_free(h);
    free(piece);
    return err;
}

static int check(int fd, uint8_t ret_expected[IMAGE_HASH_SIZE],
                 uint8_t ret_actual[IMAGE_HASH_SIZE])
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return image_fail(ERR_IO, "the image is not a file");
    }
    if (st.st_size % SECTOR_SIZE != IMAGE_HASH_SIZE) {
        return image_fail(ERR_NOT_FOUND, "the image has no hash at its end");
    }
    uint8_t actual[IMAGE_HASH_SIZE], expected[IMAGE_HASH_SIZE];
    int err = digest(fd, (uint64_t)st.st_size - IMAGE_HASH_SIZE, actual);
    if (err == 0) {
        err = read_whole(fd, expected, IMAGE_HASH_SIZE);
    }
    if (err < 0) {
        return err;
    }
    memcpy(ret_expected, expected, IMAGE_HASH_SIZE);
    memcpy(ret_actual, actual, IMAGE_HASH_SIZE);
    return memcmp(expected, actual, IMAGE_HASH_SIZE) == 0
               ? 0
               : image_fail(ERR_CORRUPT, "the image does not fit its hash");
}

int image_check_hash(const char *path, uint8_t ret_expected[32],
                     uint8_t ret_actual[32])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return image_fail(ERR_IO, "the image can not be opened");
    }
    int err = check(fd, ret_expected, ret_actual);
    close(fd);
    return err;
}
