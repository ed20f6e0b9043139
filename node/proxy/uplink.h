/*
 * A stream both ways to a member, for one set of credentials, shared by the
 * clients that have the same. When it is lost it is opened again, at the
 * next endpoint, until it is freed.
 */
#ifndef PROXY_UPLINK_H
#define PROXY_UPLINK_H

#include "grpc/grpc.h"

/* What tells who asks, and goes on upstream. */
struct credentials {
    const char *const *metadata; /* name, value ..., NULL */
    struct slice token;          /* all of it that names somebody */
    bool has_leader;             /* hasleader: true */
};

struct uplink_handler {
    void (*up)(void *ctx); /* open: say again what is to be said */
    void (*message)(void *ctx, struct slice message);
    /* Lost. True: open it again; false: it is freed by the caller now. */
    bool (*down)(void *ctx, enum grpc_code code, const char *text);
};

/* The door to uplinks, so that tests can stand in for the members. */
struct uplink_door {
    /* `up` comes later, never from inside. Metadata is copied. */
    void *(*open)(void *ctx, const char *path, const char *const *metadata,
                  const struct uplink_handler *h, void *h_ctx);
    void (*send)(void *uplink, struct slice message);
    void (*close)(void *uplink);
    void *ctx; /* of open */
};

struct upstream;
/* To real members. */
struct uplink_door uplink_door_of(struct upstream *u);

/* Whether a stream that ended so shall be opened again: the connection is
 * gone, or its member. Else its end is an answer. */
bool uplink_may_resume(enum grpc_code code, const char *text, bool has_leader);

#endif
