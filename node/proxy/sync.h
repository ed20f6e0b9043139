/*
 * The endpoints out of the members' own list, at the start and then every
 * interval. What counts is what a client of the cluster would take: the
 * client URLs of members that have started (they have a name) and are not
 * learners. No answer, or one without a usable URL, leaves the endpoints as
 * they are. On the loop thread; not on the way of a Put.
 */
#ifndef PROXY_SYNC_H
#define PROXY_SYNC_H

#include "upstream.h"

/* What a MemberListResponse names, in its order. */
struct sync_list {
    struct net_address addresses[UPSTREAM_ENDPOINTS_MAX];
    uint32_t count;
    uint32_t tls_count;  /* https URLs: left out, TLS is not built */
    uint32_t left_count; /* no URLs, or more than there is room for */
};

/* Pure. ERR_INVALID: no protobuf. */
int sync_read(struct slice response, struct sync_list *ret_list);

struct sync;
/* Asks for the first time at once, later `interval_ms` (> 0) after each
 * answer, or sooner after none. The upstream must outlive it. */
struct sync *sync_new(struct upstream *u, uint64_t interval_ms);
void sync_free(struct sync *s); /* NULL is fine */

#endif
