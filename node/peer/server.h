/* An accepted connection, between server.c (bytes) and routes.c (what is
 * asked). */
#ifndef PEER_SERVER_H
#define PEER_SERVER_H

#include "peer/hub.h"

enum peer_route {
    ROUTE_NONE,
    ROUTE_STREAM,
    ROUTE_RAFT,
    ROUTE_SNAPSHOT,
    ROUTE_PROBING,
    ROUTE_MEMBERS,
    ROUTE_VERSION,
    ROUTE_OTHER, /* the rim's */
};

struct peer_server {
    struct list link;
    struct peer_hub *hub; /* NULL: gone */
    struct conn *conn;
    struct peer_http http;
    struct buf out;  /* answers on their way */
    struct buf body; /* of the request, where it is wanted whole */
    struct buf rest; /* came behind a request that still waits */
    enum peer_route route;
    const char *allow; /* of a 405 */
    bool is_plain;     /* the answer has no X- fields */
    bool keeps_alive;
    bool is_answered;
    bool is_complete; /* the request is whole */
    bool is_reading;  /* inside the parser */
    bool is_closing;
    uint64_t moved_ms;
    size_t discarded; /* body bytes behind an answer */
    struct peer_request *request;
    struct peer_outstream *stream;
    struct peer_snapshot_in *snapshot;
};

struct peer_request {
    struct peer_server *server; /* NULL: the asker is gone */
    char *authorization;
};

/* The head is whole: checks it, and answers what can be answered. */
void peer_route_head(struct peer_server *s);
/* The body is whole. */
void peer_route_complete(struct peer_server *s);
/* Limit of a body that is gathered. */
size_t peer_route_body_max(const struct peer_server *s);

#endif
