/*
 * Clients' endpoints from the DNS: the SRV records (RFC 2782) that a domain
 * has for the services etcd-client-ssl and etcd-client. Not on the way of a
 * Put: asked once, when a client or a proxy starts, by the C library's
 * resolver with the machine's resolv.conf. Every function here that asks
 * blocks, so none belongs on a loop that runs.
 */
#ifndef SRV_SRV_H
#define SRV_SRV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum {
    SRV_RECORDS_MAX = 64,
    SRV_ENDPOINT_SIZE_MAX = 300, /* of a record, as text */
};

struct srv_record {
    char target[256]; /* a host name with the dot at its end */
    uint16_t port;
    uint16_t priority; /* the lowest is wanted first */
    uint16_t weight;   /* share among those of one priority */
    bool tls;          /* the service was etcd-client-ssl */
};

struct srv_list {
    struct srv_record list[SRV_RECORDS_MAX];
    uint32_t count;
};

/* Appends "https://host.:port" or "http://host.:port". */
void srv_endpoint_text(const struct srv_record *r, struct buf *out);

struct srv_domain {
    const char *domain; /* "": there is nothing to discover */
    const char *name;   /* suffix of the services' names, "": none */
    bool insecure;      /* take records without TLS too */
};

/* The records of both services, those with TLS first, each service's by
 * priority and, within it, at random by weight. One service without an
 * answer is no error. Otherwise *ret_list is not touched, `why` gets both
 * reasons (up to 1 KiB), and the result is the second service's error:
 * ERR_NOT_FOUND (no such name, no record), ERR_TIMEOUT, ERR_REFUSED (no server
 * was reached), ERR_UNAVAILABLE (the server cannot or will not answer),
 * ERR_CORRUPT, ERR_INVALID (a target that is no host name). ERR_TOO_LARGE, also
 * when the other service has an answer: more than SRV_RECORDS_MAX. */
int srv_find(const struct srv_domain *d, struct srv_list *ret_list,
             struct buf *why);

/* What a proxy does at its start: srv_find(), and without `insecure` only
 * those with TLS that accept a TCP connection within five seconds stay; logs
 * what it finds. An empty list is no error: the endpoints of the flags count
 * then. Errors of srv_find(). */
int srv_discover(const struct srv_domain *d, struct srv_list *ret_list,
                 struct buf *why);

#endif
