/*
 * The endpoints of the forwarder. Pure: which is next, which are left out.
 */
#ifndef TCPPROXY_POOL_H
#define TCPPROXY_POOL_H

#include "net/net.h"

enum { POOL_COUNT_MAX = 64 };

struct pool_endpoint {
    struct net_address address;
    char text[280]; /* host:port, as it is logged */
    bool is_inactive;
};

struct pool {
    struct pool_endpoint list[POOL_COUNT_MAX];
    uint32_t count;
    uint32_t next;
};

/* Comma-separated, with or without http:// in front, the scheme and what is
 * behind the port do not matter. ERR_INVALID (with the bad one in `bad`, of
 * `room` bytes), ERR_TOO_LARGE, ERR_NOT_FOUND: there is none. */
int pool_parse(struct pool *p, const char *endpoints, char *bad, size_t room);
/* The next active one in turn; NULL: none is active. */
struct pool_endpoint *pool_next(struct pool *p);

#endif
