/*
 * HTTP/1.1 for people and probes on the client port: /health, /livez,
 * /readyz, /version, /metrics. libmicrohttpd reads and writes on a thread
 * of its own; what a path answers is computed on the loop thread, from
 * pointers that server/ hands over, and travels back.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"

struct admin;

/* All but `wake` run on the loop thread. */
struct admin_rim {
    /* Any thread: make the loop call admin_poll() soon. */
    void (*wake)(void *ctx);
    bool (*has_leader)(void *ctx);
    bool (*is_learner)(void *ctx);
    bool (*alarm_no_space)(void *ctx);
    bool (*alarm_corrupt)(void *ctx);
    /* One read of the store; `done` once with 0 or an error text that
     * lives for the call. */
    void (*read)(void *ctx, bool linearizable,
                 void (*done)(void *done_ctx, const char *error),
                 void *done_ctx);
    void (*version_json)(void *ctx, struct buf *out);
    void (*metrics)(void *ctx, struct buf *out);
    void *ctx;
};

/* Starts the HTTP thread. ERR_IO. */
int admin_new(const struct admin_rim *rim, struct admin **ret_admin);
/* Loop thread. Answers what still waits with 503. */
void admin_free(struct admin *a);
/* Takes over a connected socket nothing was read from. */
void admin_accept(struct admin *a, int fd);
/* Loop thread: answers the requests that came. */
void admin_poll(struct admin *a);

#endif
