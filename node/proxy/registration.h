/*
 * The proxy's own entry below --resolver-prefix: the wiring of a session
 * (session.h) to the members. On the loop thread.
 */
#ifndef PROXY_REGISTRATION_H
#define PROXY_REGISTRATION_H

#include "namespace.h"
#include "upstream.h"

struct registration;

struct registration_config {
    struct upstream *upstream; /* outlives it, as do the texts */
    const struct name_space *name_space;
    const char *prefix;
    const char *address; /* as it was advertised */
    const char *name;    /* of the host */
    int64_t ttl_s;
};

/* Begins to register, and goes on until it is freed or leaves. */
struct registration *registration_new(const struct registration_config *c);
/* Gives the lease up, so that nobody is sent here any more. True: `left` is
 * told, once and not from inside, when that is done or has failed, within
 * REGISTRATION_LEAVE_MS; false: there was nothing to give up. */
enum { REGISTRATION_LEAVE_MS = 1000 };
bool registration_leave(struct registration *r, void (*left)(void *ctx),
                        void *ctx);
/* Says no word more; a lease that it holds runs out. NULL is fine. */
void registration_free(struct registration *r);

#endif
