/* What the files of admin/ share. */
#ifndef ADMIN_INTERNAL_H
#define ADMIN_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>

#include "admin.h"
#include "base/arena.h"
#include "base/list.h"
#include "base/mailbox.h"

enum {
    ADMIN_BODY_MAX = 4 << 20, /* bytes of an answer but the gateway's */
    ADMIN_EXCLUDES_MAX = 16,
    ADMIN_HEADERS_MAX = 64, /* of a request, for the gateway */
    ADMIN_HEADER_BYTES_MAX = 32 << 10,
    ADMIN_ANSWER_HEADERS_MAX = 8,
    ADMIN_UPLOAD_BYTES_MAX = 1 << 20, /* on its way to the loop */
    ADMIN_OUT_HIGH = 256 << 10,       /* of a stream, not yet written: */
    ADMIN_OUT_LOW = 64 << 10,         /* pause, and go on */
    ADMIN_HANGUP_POLL_MS = 500,
};

enum admin_access {
    ADMIN_ACCESS_OK,
    ADMIN_ACCESS_HOST,      /* not listed: refused */
    ADMIN_ACCESS_OPTIONS,   /* answered, whatever the path */
    ADMIN_ACCESS_ELSEWHERE, /* the path has another spelling */
};

/* What a daemon's connections may ask for. */
struct admin_door {
    struct admin *admin;
    struct MHD_Daemon *daemon;
    bool metrics_only;
};

struct admin {
    struct admin_config config;
    struct admin_rim rim;
    struct admin_door client;
    struct admin_door metrics;
    struct mailbox inbox;    /* HTTP threads -> loop */
    struct list waiting;     /* on the loop, not answered yet */
    struct list exchanges;   /* the gateway's, on the loop */
    struct mailbox upgraded; /* HTTP thread -> loop: websockets */
    struct list websockets;  /* on the loop */
    struct admin_stats stats;
    uint64_t hangup_poll_ms;
    pthread_mutex_t mutex; /* guards `stopping` and what of an exchange
                              both threads touch */
    bool stopping;
};

/* headers.c: as many as fit. */
struct admin_headers {
    const char *list[2 * ADMIN_HEADERS_MAX + 1]; /* name, value ..., NULL */
    size_t count;
    struct arena arena;
};
void admin_headers_init(struct admin_headers *h);
void admin_headers_release(struct admin_headers *h);
void admin_headers_add(struct admin_headers *h, const char *name,
                       const char *value);
void admin_headers_read(struct admin_headers *h, struct MHD_Connection *conn);

/* A request for the gateway: both sides work on it at the same time. Freed
 * by the loop, after the HTTP thread has posted that it is completed. */
struct admin_exchange {
    /* Under admin.mutex: */
    bool is_posted;      /* the letter is on its way */
    bool is_suspended;   /* the connection, by us */
    bool is_upload_over; /* the whole body came */
    bool is_completed;   /* the HTTP thread has forgotten it */
    bool is_lost;        /* cut it off: the answer cannot be finished */
    bool is_over;        /* the answer is all in `out` */
    bool has_head;
    bool is_stream;
    struct buf upload;
    struct buf out;

    /* Written before the letter is posted first: */
    struct admin_headers headers;
    int fd;

    /* The loop's: */
    struct list link;
    struct admin_request *owner;
    struct gateway_call *call; /* NULL: not begun, or over */
    bool is_begun;
    bool is_body_told;
    bool is_paused;
    const char *answer_headers[2 * ADMIN_ANSWER_HEADERS_MAX + 1];
};

/* Lives from the head of a request to its end. The HTTP thread fills the
 * first part, the loop the second; the suspended connection keeps them
 * apart. */
struct admin_request {
    struct letter letter;
    struct admin *admin;
    const struct admin_door *door;
    struct MHD_Connection *conn;
    char *path;
    char *method;
    enum admin_access access;
    char *location; /* ADMIN_ACCESS_ELSEWHERE */
    bool asked;
    bool verbose;
    bool serializable;
    const char *excludes[ADMIN_EXCLUDES_MAX]; /* the connection's memory */
    uint32_t exclude_count;
    struct admin_exchange *exchange; /* NULL: not the gateway's */
    bool is_websocket;
    struct admin_websocket *websocket; /* until the loop has it */

    struct list link;
    int status;
    const char *content_type;
    bool no_sniff;
    struct buf body;
    /* A run of checks, see checks.c */
    uint32_t next_check;
    uint32_t checks;
    bool failed;
    struct buf lines;
};

void admin_read_query(struct admin_request *rq);
void admin_route(struct admin_request *rq);
enum MHD_Result admin_respond(struct admin_request *rq);
void admin_request_free(struct admin_request *rq);

/* checks.c: /health, /livez, /readyz and their sub-paths. True when the
 * path is one of them. */
bool admin_checks_route(struct admin_request *rq);

/* access.c, HTTP thread: who may ask. */
/* Answers with these headers (name, value ..., NULL) and, if the origin is
 * allowed, those of CORS; `r` is given up. NULL: no memory, cut off. */
enum MHD_Result admin_reply(struct admin_request *rq, int status,
                            const char *const *headers, struct MHD_Response *r);
enum MHD_Result admin_reply_copy(struct admin_request *rq, int status,
                                 const char *const *headers, struct slice body);
/* What needs no look at the member, judged by the head alone ... */
enum admin_access admin_access_judge(struct admin_request *rq);
/* ... and answered when the body is in. */
enum MHD_Result admin_access_answer(struct admin_request *rq);

/* exchange.c: requests under /v3/ */
bool admin_exchange_is_wanted(const struct admin_door *door, const char *path);
/* HTTP thread */
/* A path under /v3beta/ becomes that under /v3/. */
void admin_exchange_modernize(struct admin_request *rq);
void admin_exchange_begin(struct admin_request *rq);
enum MHD_Result admin_exchange_request(struct admin_request *rq,
                                       const char *body, size_t *body_size);
void admin_exchange_completed(struct admin_request *rq);
/* Loop thread */
void admin_exchange_poll(struct admin_request *rq);
void admin_exchange_find_hangups(struct admin *a);
void admin_exchange_stop_all(struct admin *a);

/* websocket.c: the same paths, asked for an upgrade. HTTP thread: */
bool admin_websocket_is_wanted(const struct admin_request *rq);
enum MHD_Result admin_websocket_answer(struct admin_request *rq);
void admin_websocket_free(struct admin_websocket *ws); /* NULL is fine */
/* Loop thread */
void admin_websocket_poll(struct admin *a);
void admin_websocket_stop_all(struct admin *a);

#endif
