#include "admin.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "internal.h"

enum { CONNECTIONS_MAX = 4096, IDLE_TIMEOUT_S = 300 };

static const char no_answer[] = "the member is stopping\n";

/* ---- HTTP thread ---- */

static void begin(struct admin_request *rq)
{
    rq->access = admin_access_judge(rq);
    if (rq->access == ADMIN_ACCESS_OK &&
        admin_exchange_is_wanted(rq->door, rq->path)) {
        admin_exchange_modernize(rq);
        rq->is_websocket = admin_websocket_is_wanted(rq);
        if (!rq->is_websocket) {
            admin_exchange_begin(rq);
        }
    }
}

/* To the loop; the connection sleeps until it has answered. */
static enum MHD_Result ask(struct admin_request *rq)
{
    struct admin *a = rq->admin;
    rq->asked = true;
    admin_read_query(rq);
    pthread_mutex_lock(&a->mutex);
    bool ok = !a->stopping;
    if (ok) {
        MHD_suspend_connection(rq->conn);
        mailbox_post(&a->inbox, &rq->letter);
    }
    pthread_mutex_unlock(&a->mutex);
    return ok ? MHD_YES : MHD_NO;
}

/* Called with the head, with each piece of the body, at its end, and when
 * resumed. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn,
                                  const char *path, const char *method,
                                  const char *version, const char *body,
                                  size_t *body_size, void **state)
{
    struct admin_door *door = cls;
    struct admin_request *rq = *state;
    if (rq == NULL) {
        rq = mem_zalloc(sizeof *rq);
        rq->admin = door->admin;
        rq->door = door;
        rq->conn = conn;
        rq->path = mem_strdup(path);
        rq->method = mem_strdup(method);
        buf_init(&rq->body, ADMIN_BODY_MAX);
        *state = rq;
        begin(rq);
        return MHD_YES;
    }
    if (rq->exchange) {
        return admin_exchange_request(rq, body, body_size);
    }
    if (*body_size) {
        *body_size = 0; /* no other path takes one */
        return MHD_YES;
    }
    if (rq->access != ADMIN_ACCESS_OK) {
        return admin_access_answer(rq);
    }
    if (rq->is_websocket) {
        return admin_websocket_answer(rq);
    }
    return rq->asked ? admin_respond(rq) : ask(rq);
}

void admin_request_free(struct admin_request *rq)
{
    struct admin_exchange *x = rq->exchange;
    if (x) {
        list_remove(&x->link);
        buf_release(&x->upload);
        buf_release(&x->out);
        admin_headers_release(&x->headers);
        free(x);
    }
    admin_websocket_free(rq->websocket);
    free(rq->path);
    free(rq->method);
    free(rq->location);
    buf_release(&rq->body);
    free(rq);
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **state,
                         enum MHD_RequestTerminationCode why)
{
    struct admin_request *rq = *state;
    if (rq && rq->exchange) {
        admin_exchange_completed(rq);
    } else if (rq) {
        admin_request_free(rq);
    }
    *state = NULL;
}

/* ---- the door ---- */

static int open_door(struct admin *a, struct admin_door *door)
{
    door->admin = a;
    door->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET |
            MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ITC,
        0, NULL, NULL, on_request, door, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, NULL, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S, MHD_OPTION_END);
    return door->daemon ? 0 : ERR_IO;
}

static void close_doors(struct admin *a)
{
    if (a->client.daemon) {
        MHD_stop_daemon(a->client.daemon);
    }
    if (a->metrics.daemon) {
        MHD_stop_daemon(a->metrics.daemon);
    }
    mailbox_release(&a->inbox);
    mailbox_release(&a->upgraded);
    pthread_mutex_destroy(&a->mutex);
    free(a);
}

int admin_new(const struct admin_config *config, struct admin **ret_admin)
{
    struct admin *a = mem_zalloc(sizeof *a);
    a->config = *config;
    a->rim = config->rim;
    a->metrics.metrics_only = true;
    list_init(&a->waiting);
    list_init(&a->exchanges);
    list_init(&a->websockets);
    pthread_mutex_init(&a->mutex, NULL);
    mailbox_init(&a->inbox, a->rim.wake, a->rim.ctx);
    mailbox_init(&a->upgraded, a->rim.wake, a->rim.ctx);
    int err = open_door(a, &a->client);
    if (err == 0 && config->has_metrics_port) {
        err = open_door(a, &a->metrics);
    }
    if (err) {
        close_doors(a);
        return err;
    }
    *ret_admin = a;
    return 0;
}

/* First nobody may suspend any more, then all that is suspended is
 * resumed: libmicrohttpd cannot be stopped before. */
void admin_free(struct admin *a)
{
    if (a == NULL) {
        return;
    }
    pthread_mutex_lock(&a->mutex);
    a->stopping = true;
    pthread_mutex_unlock(&a->mutex);
    admin_poll(a);
    while (!list_empty(&a->waiting)) {
        struct admin_request *rq =
            container_of(a->waiting.next, struct admin_request, link);
        admin_answer(rq, 503, "text/plain; charset=utf-8",
                     slice_str(no_answer));
    }
    admin_exchange_stop_all(a);
    admin_websocket_stop_all(a);
    MHD_stop_daemon(a->client.daemon);
    a->client.daemon = NULL;
    if (a->metrics.daemon) {
        MHD_stop_daemon(a->metrics.daemon);
        a->metrics.daemon = NULL;
    }
    admin_poll(a); /* the exchanges that were completed by that */
    close_doors(a);
}

static void accept_at(struct admin_door *door, int fd)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0 ||
        MHD_add_connection(door->daemon, fd, (struct sockaddr *)&peer, size) !=
            MHD_YES) {
        close(fd);
    }
}

void admin_accept(struct admin *a, int fd)
{
    accept_at(&a->client, fd);
}

void admin_accept_metrics(struct admin *a, int fd)
{
    accept_at(&a->metrics, fd);
}

static void poll_one(struct admin *a, struct admin_request *rq)
{
    if (rq->exchange) {
        admin_exchange_poll(rq);
        return;
    }
    list_append(&a->waiting, &rq->link);
    if (a->stopping) {
        admin_answer(rq, 503, "text/plain; charset=utf-8",
                     slice_str(no_answer));
    } else {
        admin_route(rq);
    }
}

void admin_poll(struct admin *a)
{
    struct letter *l = mailbox_take(&a->inbox);
    while (l) {
        struct letter *next = l->next;
        poll_one(a, container_of(l, struct admin_request, letter));
        l = next;
    }
    admin_websocket_poll(a);
}

bool admin_is_busy(const struct admin *a)
{
    return !list_empty(&a->exchanges);
}

void admin_tick(struct admin *a, uint64_t now_ms)
{
    if (now_ms - a->hangup_poll_ms >= ADMIN_HANGUP_POLL_MS) {
        a->hangup_poll_ms = now_ms;
        admin_exchange_find_hangups(a);
    }
}

/* ---- answers that are whole ---- */

void admin_answer(struct admin_request *rq, int status,
                  const char *content_type, struct slice body)
{
    list_remove(&rq->link);
    rq->status = status;
    rq->content_type = content_type;
    rq->no_sniff |= rq->admin->rim.route && status >= 400;
    buf_append_slice(&rq->body, body);
    MHD_resume_connection(rq->conn);
}

enum MHD_Result admin_respond(struct admin_request *rq)
{
    const char *headers[7] = {"Content-Type", rq->content_type};
    size_t n = 2;
    if (rq->no_sniff) {
        headers[n++] = "X-Content-Type-Options";
        headers[n++] = "nosniff";
    }
    if (rq->status == 405) {
        headers[n++] = "Allow";
        headers[n++] = "GET";
    }
    return admin_reply_copy(rq, rq->status, headers, buf_slice(&rq->body));
}
