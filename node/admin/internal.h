/* What the files of admin/ share. */
#ifndef ADMIN_INTERNAL_H
#define ADMIN_INTERNAL_H

#include <microhttpd.h>

#include "admin.h"
#include "base/list.h"
#include "base/mailbox.h"

enum {
    ADMIN_BODY_MAX = 4 << 20, /* bytes of an answer */
    ADMIN_EXCLUDES_MAX = 16,
};

struct admin {
    struct admin_rim rim;
    struct MHD_Daemon *daemon;
    struct mailbox inbox; /* HTTP thread -> loop */
    struct list waiting;  /* on the loop, not answered yet */
    bool stopping;
};

/* Lives from the head of a request to its end. The HTTP thread fills the
 * first part, the loop the second; the suspended connection keeps them
 * apart. */
struct admin_request {
    struct letter letter;
    struct admin *admin;
    struct MHD_Connection *conn;
    char *path;
    char *method;
    bool asked;
    bool verbose;
    bool serializable;
    const char *excludes[ADMIN_EXCLUDES_MAX]; /* the connection's memory */
    uint32_t exclude_count;

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
void admin_answer(struct admin_request *rq, int status,
                  const char *content_type, struct slice body);
enum MHD_Result admin_respond(struct admin_request *rq);

/* checks.c: /health, /livez, /readyz and their sub-paths. True when the
 * path is one of them. */
bool admin_checks_route(struct admin_request *rq);

#endif
