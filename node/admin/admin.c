#include "admin.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "internal.h"

enum { CONNECTIONS_MAX = 512, IDLE_TIMEOUT_S = 300 };

static const char no_answer[] = "the member is stopping\n";

/* HTTP thread. Called with the head, then again when resumed. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn,
                                  const char *path, const char *method,
                                  const char *version, const char *body,
                                  size_t *body_size, void **state)
{
    struct admin *a = cls;
    struct admin_request *rq = *state;
    if (rq == NULL) {
        rq = mem_zalloc(sizeof *rq);
        rq->admin = a;
        rq->conn = conn;
        rq->path = mem_strdup(path);
        rq->method = mem_strdup(method);
        buf_init(&rq->body, ADMIN_BODY_MAX);
        *state = rq;
        return MHD_YES;
    }
    if (*body_size) {
        *body_size = 0; /* no path here takes one */
        return MHD_YES;
    }
    if (!rq->asked) {
        rq->asked = true;
        admin_read_query(rq);
        MHD_suspend_connection(conn);
        mailbox_post(&a->inbox, &rq->letter);
        return MHD_YES;
    }
    return admin_respond(rq);
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **state,
                         enum MHD_RequestTerminationCode why)
{
    struct admin_request *rq = *state;
    if (rq) {
        free(rq->path);
        free(rq->method);
        buf_release(&rq->body);
        free(rq);
    }
}

int admin_new(const struct admin_rim *rim, struct admin **ret_admin)
{
    struct admin *a = mem_zalloc(sizeof *a);
    a->rim = *rim;
    list_init(&a->waiting);
    mailbox_init(&a->inbox, rim->wake, rim->ctx);
    a->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET |
            MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC,
        0, NULL, NULL, on_request, a, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        NULL, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S, MHD_OPTION_END);
    if (a->daemon == NULL) {
        mailbox_release(&a->inbox);
        free(a);
        return ERR_IO;
    }
    *ret_admin = a;
    return 0;
}

void admin_free(struct admin *a)
{
    if (a == NULL) {
        return;
    }
    a->stopping = true;
    admin_poll(a);
    while (!list_empty(&a->waiting)) {
        struct admin_request *rq =
            container_of(a->waiting.next, struct admin_request, link);
        admin_answer(rq, 503, "text/plain; charset=utf-8",
                     slice_str(no_answer));
    }
    MHD_stop_daemon(a->daemon);
    mailbox_release(&a->inbox);
    free(a);
}

void admin_accept(struct admin *a, int fd)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0 ||
        MHD_add_connection(a->daemon, fd, (struct sockaddr *)&peer, size) !=
            MHD_YES) {
        close(fd);
    }
}

void admin_poll(struct admin *a)
{
    struct letter *l = mailbox_take(&a->inbox);
    while (l) {
        struct letter *next = l->next;
        struct admin_request *rq =
            container_of(l, struct admin_request, letter);
        list_append(&a->waiting, &rq->link);
        if (a->stopping) {
            admin_answer(rq, 503, "text/plain; charset=utf-8",
                         slice_str(no_answer));
        } else {
            admin_route(rq);
        }
        l = next;
    }
}

void admin_answer(struct admin_request *rq, int status,
                  const char *content_type, struct slice body)
{
    list_remove(&rq->link);
    rq->status = status;
    rq->content_type = content_type;
    buf_append_slice(&rq->body, body);
    MHD_resume_connection(rq->conn);
}

enum MHD_Result admin_respond(struct admin_request *rq)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(
        rq->body.size, rq->body.data, MHD_RESPMEM_MUST_COPY);
    if (r == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(r, "Content-Type", rq->content_type);
    if (rq->no_sniff) {
        MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    }
    if (rq->status == 405) {
        MHD_add_response_header(r, "Allow", "GET");
    }
    enum MHD_Result ok = MHD_queue_response(rq->conn, (unsigned)rq->status, r);
    MHD_destroy_response(r);
    return ok;
}
