/*
 * The endpoints of the forwarder. Pure: which is next, which are left out.
 * Those of SRV records have priorities and weights, others have zeros.
 */
#ifndef TCPPROXY_POOL_H
#define TCPPROXY_POOL_H

#include "base/rng.h"
#include "net/net.h"
#include "srv/srv.h"

enum { POOL_COUNT_MAX = 64 };

struct pool_endpoint {
    struct net_address address;
    char text[280]; /* host:port, as it is logged */
    uint16_t priority;
    uint16_t weight;
    bool is_inactive;
};

struct pool {
    struct pool_endpoint list[POOL_COUNT_MAX];
    uint32_t count;
    uint32_t next;
    struct rng rng; /* the caller seeds it */
};

/* Comma-separated, with or without http:// in front, the scheme and what is
 * behind the port do not matter. ERR_INVALID (with the bad one in `bad`, of
 * `room` bytes), ERR_TOO_LARGE, ERR_NOT_FOUND: there is none. */
int pool_parse(struct pool *p, const char *endpoints, char *bad, size_t room);
/* Takes SRV records, with TLS or without: bytes pass unread. */
void pool_take_records(struct pool *p, const struct srv_list *l);
/* Of the active ones with the lowest priority, one at random by weight, those
 * of weight 0 together in one case of a hundred; where all of these have
 * weight 0, the next active one in turn, whatever its priority (as etcd's
 * gateway does). NULL: none is active. */
struct pool_endpoint *pool_next(struct pool *p);

#endif
