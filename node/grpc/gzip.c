#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/err.h"
#include "grpc/internal.h"

enum { GZIP_WINDOW = 15 + 16, GROW = 16 << 10 };

int grpc_gzip_pack(const struct slice *parts, size_t count, struct buf *out)
{
    z_stream z = {0};
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += parts[i].size;
    }
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        abort(); /* out of memory */
    }
    int err = buf_reserve(out, deflateBound(&z, size));
    if (err == 0) {
        z.next_out = out->data + out->size;
        z.avail_out = (uInt)(out->capacity - out->size);
        for (size_t i = 0; i < count; i++) {
            z.next_in = (Bytef *)(uintptr_t)parts[i].data;
            z.avail_in = (uInt)parts[i].size;
            deflate(&z, i + 1 < count ? Z_NO_FLUSH : Z_FINISH);
        }
        out->size += z.total_out;
    }
    deflateEnd(&z);
    return err;
}

static const char *why(const z_stream *z, bool is_at_start)
{
    const char *msg = z->msg ? z->msg : "";
    if (!strcmp(msg, "incorrect header check") ||
        !strcmp(msg, "unknown compression method") ||
        !strcmp(msg, "unknown header flags set") || is_at_start) {
        return "gzip: invalid header";
    }
    if (!strcmp(msg, "incorrect data check") ||
        !strcmp(msg, "incorrect length check")) {
        return "gzip: invalid checksum";
    }
    return "flate: corrupt input";
}

/* One call of inflate(); grows `out` by what it needs. ERR_AGAIN: a member
 * has ended. */
static int inflate_some(z_stream *z, struct buf *out, const char **ret_why)
{
    size_t room = out->max - out->size;
    if (room > GROW && out->capacity == out->size) {
        room = GROW;
    }
    if (room == 0) {
        return ERR_TOO_LARGE;
    }
    if (out->capacity == out->size) {
        buf_reserve(out, room);
    }
    room = out->capacity - out->size;
    z->next_out = out->data + out->size;
    z->avail_out = (uInt)room;
    int rc = inflate(z, Z_NO_FLUSH);
    out->size += room - z->avail_out;
    if (rc == Z_STREAM_END) {
        return ERR_AGAIN;
    }
    if (rc == Z_OK && (z->avail_in || !z->avail_out)) {
        return 0;
    }
    *ret_why = rc == Z_OK || rc == Z_BUF_ERROR
                   ? "unexpected EOF"
                   : why(z, z->total_out == 0 && z->total_in < 10);
    return ERR_CORRUPT;
}

int grpc_gzip_unpack(struct slice in, struct buf *out, const char **ret_why)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in.data,
                  .avail_in = (uInt)in.size};
    if (in.size == 0) {
        *ret_why = "EOF";
        return ERR_CORRUPT;
    }
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK) {
        abort(); /* out of memory */
    }
    int err = 0;
    /* One byte more than allowed tells a full message from one too big. */
    out->max++;
    while (err == 0) {
        err = inflate_some(&z, out, ret_why);
        if (err == ERR_AGAIN && z.avail_in) {
            inflateReset(&z); /* members may follow one another */
            err = 0;
        }
    }
    out->max--;
    inflateEnd(&z);
    if (err == ERR_TOO_LARGE || (err == ERR_AGAIN && out->size > out->max)) {
        return ERR_TOO_LARGE;
    }
    return err == ERR_AGAIN ? 0 : err;
}
