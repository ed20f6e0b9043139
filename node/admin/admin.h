/*
 * HTTP/1.1 on the client port: /health, /livez, /readyz, /version, /metrics
 * for people and probes, and the JSON gateway's requests. libmicrohttpd
 * reads and writes on a thread of its own; what a path answers is computed
 * on the loop thread, from pointers that server/ hands over or by gateway/,
 * and travels back.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "gateway/gateway.h"

struct admin;
struct admin_request;

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
    void (*vars_json)(void *ctx, struct buf *out); /* /debug/vars */
    /* For a program that is no member and has paths of its own: called for
     * every request instead of the pointers above (which may then be NULL,
     * `wake` apart), answers now or later by one admin_answer(). NULL: the
     * member's paths. */
    void (*route)(void *ctx, struct admin_request *rq, const char *method,
                  const char *path);
    void *ctx;
};

struct admin_config {
    struct admin_rim rim;
    struct loop *loop;       /* needed with a gateway */
    struct gateway *gateway; /* outlives the admin; NULL: no /v3/ */
    /* Comma-separated, "*": all; borrowed for the admin's life. `cors` NULL:
     * no headers of that kind. */
    const char *cors;
    const char *host_whitelist;
    bool has_metrics_port; /* admin_accept_metrics() will be called */
};

/* Starts the HTTP thread. ERR_IO. */
int admin_new(const struct admin_config *config, struct admin **ret_admin);
/* Loop thread. Answers what still waits with 503. */
void admin_free(struct admin *a);
/* Loop thread, for `route`: the answer to a request, which is gone with it;
 * the body is copied, the type is not. */
void admin_answer(struct admin_request *rq, int status,
                  const char *content_type, struct slice body);
/* Takes over a connected socket nothing was read from. */
void admin_accept(struct admin *a, int fd);
/* The same for a port that shows metrics and health only. */
void admin_accept_metrics(struct admin *a, int fd);
/* Loop thread: whether a request for the gateway is not answered to its
 * last byte. */
bool admin_is_busy(const struct admin *a);
/* Loop thread: what the health paths answered since the start. */
enum { ADMIN_CHECKS = 4 };
struct admin_stats {
    uint64_t health_success, health_failures;
    struct admin_check_stats {
        const char *type; /* "livez", "readyz" */
        const char *name;
        uint64_t success, errors;
        bool is_ok; /* the last time */
    } checks[2 * ADMIN_CHECKS];
};
void admin_get_stats(const struct admin *a, struct admin_stats *ret);
/* Loop thread: answers the requests that came. */
void admin_poll(struct admin *a);
/* Loop thread, every heartbeat: finds clients that hung up while they
 * waited. */
void admin_tick(struct admin *a, uint64_t now_ms);

#endif
