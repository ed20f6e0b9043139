/*
 * One side of an HTTP/1.1 connection, pure: bytes in, events out, on top of
 * llhttp. A server reads requests with it, a client answers.
 */
#ifndef PEER_HTTP_H
#define PEER_HTTP_H

#include <llhttp.h>
#include <stdbool.h>
#include <time.h>

#include "base/buf.h"

enum {
    PEER_HEAD_BYTES_MAX = 32 << 10, /* target and header fields */
    PEER_TARGET_BYTES_MAX = 4 << 10,
};

struct peer_http_events {
    /* The head is whole. Each event returns 0 or an ERR_* that ends the
     * reading. */
    int (*head)(void *ctx);
    int (*body)(void *ctx, struct slice bytes);
    /* After it the reader is paused until peer_http_resume(). */
    int (*complete)(void *ctx);
};

struct peer_http {
    llhttp_t parser;
    struct buf target; /* of a request, NUL-terminated when whole */
    struct buf fields; /* name NUL value NUL ... */
    bool is_head_whole;
    int err;
    const struct peer_http_events *events;
    void *ctx;
};

void peer_http_init(struct peer_http *h, bool is_server,
                    const struct peer_http_events *events, void *ctx);
void peer_http_release(struct peer_http *h);
/* Reads up to the end of a message; writes how much that was.
 * ERR_PROTOCOL, ERR_TOO_LARGE (the head), or what an event returned. */
int peer_http_read(struct peer_http *h, struct slice bytes, size_t *ret_used);
void peer_http_resume(struct peer_http *h);
/* The connection has ended: ends an answer that has no other end.
 * ERR_PROTOCOL when it was cut. */
int peer_http_finish(struct peer_http *h);

/* "" when there is no such field; the first of several. */
const char *peer_http_field(const struct peer_http *h, const char *name);
bool peer_http_has_field(const struct peer_http *h, const char *name);
const char *peer_http_method(const struct peer_http *h);
int peer_http_status(const struct peer_http *h);
bool peer_http_keeps_alive(const struct peer_http *h);

/* "OK", "Not Found" ... */
const char *peer_http_reason(int status);
/* Appends `Date: ...` with its line end. */
void peer_http_date(struct buf *out);

#endif
