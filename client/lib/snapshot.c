/*
 * The store's image as the server streams it: any number of blobs, whose
 * last 32 bytes are the SHA-256 of all before. The blobs' borders mean
 * nothing, so the last 32 bytes seen are always held back from the hash.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "client.h"

enum { SUM_SIZE = 32 };

struct download {
    int fd;
    int error; /* errno of a failed write */
    uint64_t size;
    EVP_MD_CTX *hash;
    uint8_t tail[SUM_SIZE];
    size_t tail_size;
    char version[32];
};

static int write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? errno : EIO;
        }
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

static void hash_but_tail(struct download *d, const uint8_t *data, size_t size)
{
    if (size >= SUM_SIZE) {
        EVP_DigestUpdate(d->hash, d->tail, d->tail_size);
        EVP_DigestUpdate(d->hash, data, size - SUM_SIZE);
        memcpy(d->tail, data + size - SUM_SIZE, SUM_SIZE);
        d->tail_size = SUM_SIZE;
        return;
    }
    size_t total = d->tail_size + size;
    size_t out = total > SUM_SIZE ? total - SUM_SIZE : 0;
    EVP_DigestUpdate(d->hash, d->tail, out);
    memmove(d->tail, d->tail + out, d->tail_size - out);
    memcpy(d->tail + d->tail_size - out, data, size);
    d->tail_size = total - out;
}

static bool take_blob(void *ctx, const ProtobufCMessage *message)
{
    struct download *d = ctx;
    const Pb__SnapshotResponse *m =
        (const Pb__SnapshotResponse *)(const void *)message;
    if (*m->version) {
        snprintf(d->version, sizeof d->version, "%s", m->version);
    }
    if (m->blob.len > 0) {
        d->error = write_all(d->fd, m->blob.data, m->blob.len);
        if (d->error != 0) {
            return false;
        }
        d->size += m->blob.len;
        hash_but_tail(d, m->blob.data, m->blob.len);
    }
    return true;
}

static bool sum_fits(struct download *d)
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    return EVP_DigestFinal_ex(d->hash, sum, &size) == 1 && size == SUM_SIZE &&
           d->tail_size == SUM_SIZE && memcmp(sum, d->tail, SUM_SIZE) == 0;
}

int cofre_snapshot(struct cofre *c, int fd, void (*opened)(void *ctx),
                   void *ctx, struct cofre_snapshot *ret_snapshot)
{
    struct download d = {.fd = fd, .hash = EVP_MD_CTX_new()};
    Pb__SnapshotRequest request;
    pb__snapshot_request__init(&request);
    if (!d.hash || EVP_DigestInit_ex(d.hash, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(d.hash);
        return client_error(c, COFRE_INTERNAL, "SHA-256 is not available");
    }
    int code = cofre_login(c);
    if (code == COFRE_OK) {
        if (opened) {
            opened(ctx);
        }
        code = cofre_stream(c, "/etcdserverpb.Maintenance/Snapshot",
                            &request.base, true, true,
                            &pb__snapshot_response__descriptor, take_blob, &d);
    }
    if (code == COFRE_OK && d.error != 0) {
        code = client_error(c, COFRE_UNKNOWN, strerror(d.error));
    } else if (code == COFRE_OK && !sum_fits(&d)) {
        code = client_error(c, COFRE_DATA_LOSS,
                            "the snapshot's SHA-256 does not fit its content");
    }
    EVP_MD_CTX_free(d.hash);
    if (code == COFRE_OK) {
        ret_snapshot->size = d.size;
        memcpy(ret_snapshot->version, d.version, sizeof d.version);
    }
    return code;
}
