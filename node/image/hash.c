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

enum { HASH_SIZE = 32, SECTOR_SIZE = 512, PIECE_SIZE = 64 * 1024 };

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

static int digest(int fd, uint64_t size, uint8_t ret_hash[HASH_SIZE])
{
    uint8_t *piece = mem_alloc(PIECE_SIZE);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int err = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL)
                  ? 0
                  : image_fail(ERR_NOMEM, "no SHA-256");
    while (err == 0 && size) {
        size_t n = size < PIECE_SIZE ? (size_t)size : PIECE_SIZE;
        err = read_whole(fd, piece, n);
        if (err == 0 && !EVP_DigestUpdate(md, piece, n)) {
            err = image_fail(ERR_NOMEM, "no SHA-256");
        }
        size -= n;
    }
    if (err == 0 && !EVP_DigestFinal_ex(md, ret_hash, NULL)) {
        err = image_fail(ERR_NOMEM, "no SHA-256");
    }
    EVP_MD_CTX_free(md);
    free(piece);
    return err;
}

static int check(int fd, uint8_t ret_expected[HASH_SIZE],
                 uint8_t ret_actual[HASH_SIZE])
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return image_fail(ERR_IO, "the image is not a file");
    }
    if (st.st_size % SECTOR_SIZE != HASH_SIZE) {
        return image_fail(ERR_NOT_FOUND, "the image has no hash at its end");
    }
    uint8_t actual[HASH_SIZE], expected[HASH_SIZE];
    int err = digest(fd, (uint64_t)st.st_size - HASH_SIZE, actual);
    if (err == 0) {
        err = read_whole(fd, expected, HASH_SIZE);
    }
    if (err < 0) {
        return err;
    }
    memcpy(ret_expected, expected, HASH_SIZE);
    memcpy(ret_actual, actual, HASH_SIZE);
    return memcmp(expected, actual, HASH_SIZE) == 0
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
