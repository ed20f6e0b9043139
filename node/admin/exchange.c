/*
 * A request for the gateway between the HTTP thread and the loop: the body
 * goes in as it comes, the answer goes out as it comes. The connection is
 * suspended while it has nothing to do; who gives it something resumes it.
 */
#include <poll.h>
#include <stdlib.h>

#include "base/mem.h"
#include "internal.h"

static const char prefix[] = "/v3/";
static const char old_prefix[] = "/v3beta/";

bool admin_exchange_is_wanted(const struct admin_door *door, const char *path)
{
    return !door->metrics_only && door->admin->config.gateway &&
           (strncmp(path, prefix, sizeof prefix - 1) == 0 ||
            strncmp(path, old_prefix, sizeof old_prefix - 1) == 0);
}

/* ---- both threads, with the mutex held ---- */

static bool is_ready(const struct admin_exchange *x)
{
    return x->is_lost || (x->has_head && (x->is_stream || x->is_over));
}

static void suspend(struct admin_request *rq)
{
    rq->exchange->is_suspended = true;
    MHD_suspend_connection(rq->conn);
}

static void resume(struct admin_request *rq)
{
    if (rq->exchange->is_suspended) {
        rq->exchange->is_suspended = false;
        MHD_resume_connection(rq->conn);
    }
}

static void post(struct admin_request *rq)
{
    if (!rq->exchange->is_posted) {
        rq->exchange->is_posted = true;
        mailbox_post(&rq->admin->inbox, &rq->letter);
    }
}

/* ---- HTTP thread ---- */

void admin_exchange_begin(struct admin_request *rq)
{
    struct admin_exchange *x = mem_zalloc(sizeof *x);
    rq->exchange = x;
    x->owner = rq;
    buf_init(&x->upload, ADMIN_UPLOAD_BYTES_MAX);
    buf_init(&x->out, INT32_MAX);
    admin_headers_init(&x->headers);
    list_init(&x->link);
    admin_headers_read(&x->headers, rq->conn);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(rq->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    x->fd = info ? info->connect_fd : -1;
}

void admin_exchange_modernize(struct admin_request *rq)
{
    size_t old = sizeof old_prefix - 1;
    if (strncmp(rq->path, old_prefix, old) == 0) {
        char *path = mem_printf("%s%s", prefix, rq->path + old);
        free(rq->path);
        rq->path = path;
    }
}

/* More of the answer, from MHD when the socket takes it. */
static ssize_t read_out(void *cls, uint64_t position, char *to, size_t room)
{
    struct admin_request *rq = cls;
    struct admin_exchange *x = rq->exchange;
    ssize_t n = 0;
    pthread_mutex_lock(&rq->admin->mutex);
    if (x->out.size && !x->is_lost) {
        n = (ssize_t)(x->out.size < room ? x->out.size : room);
        memcpy(to, x->out.data, (size_t)n);
        buf_consume(&x->out, (size_t)n);
        if (x->out.size == 0) {
            buf_release(&x->out);
        }
        if (x->out.size <= ADMIN_OUT_LOW) {
            post(rq); /* it may be paused */
        }
    } else if (x->is_lost) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (x->is_over) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else if (rq->admin->stopping) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else {
        suspend(rq);
    }
    pthread_mutex_unlock(&rq->admin->mutex);
    return n;
}

static enum MHD_Result respond(struct admin_request *rq)
{
    struct admin_exchange *x = rq->exchange;
    if (!x->has_head) {
        return MHD_NO; /* lost: nobody is there to be told */
    }
    struct MHD_Response *r =
        x->is_stream ? MHD_create_response_from_callback(
                           MHD_SIZE_UNKNOWN, 32 << 10, read_out, rq, NULL)
                     : MHD_create_response_from_buffer(x->out.size, x->out.data,
                                                       MHD_RESPMEM_PERSISTENT);
    return admin_reply(rq, rq->status, x->answer_headers, r);
}

/* A piece of the body; what does not fit now is offered again. */
static void take_upload(struct admin_request *rq, const char *body,
                        size_t *body_size)
{
    struct buf *to = &rq->exchange->upload;
    size_t room = to->max - to->size;
    size_t n = *body_size < room ? *body_size : room;
    buf_append(to, body, n);
    *body_size -= n;
    post(rq);
    if (*body_size) {
        suspend(rq);
    }
}

enum MHD_Result admin_exchange_request(struct admin_request *rq,
                                       const char *body, size_t *body_size)
{
    struct admin_exchange *x = rq->exchange;
    enum MHD_Result result = MHD_YES;
    pthread_mutex_lock(&rq->admin->mutex);
    bool is_first_end = *body_size == 0 && !x->is_upload_over;
    if (is_first_end) {
        x->is_upload_over = true;
        post(rq);
    }
    if (rq->admin->stopping || x->is_lost) {
        result = MHD_NO;
    } else if (*body_size) {
        take_upload(rq, body, body_size);
    } else if (is_ready(x)) {
        pthread_mutex_unlock(&rq->admin->mutex);
        return respond(rq);
    } else {
        suspend(rq);
    }
    pthread_mutex_unlock(&rq->admin->mutex);
    return result;
}

void admin_exchange_completed(struct admin_request *rq)
{
    struct admin *a = rq->admin;
    pthread_mutex_lock(&a->mutex);
    rq->exchange->is_completed = true;
    post(rq);
    pthread_mutex_unlock(&a->mutex);
}

/* ---- loop thread: what the gateway answers ---- */

static void on_head(void *ctx, int status, const char *const *headers,
                    bool is_stream)
{
    struct admin_request *rq = ctx;
    struct admin_exchange *x = rq->exchange;
    pthread_mutex_lock(&rq->admin->mutex);
    for (size_t i = 0; i < 2 * ADMIN_ANSWER_HEADERS_MAX && headers[i]; i++) {
        x->answer_headers[i] = arena_strdup(&x->headers.arena, headers[i]);
    }
    rq->status = status;
    x->is_stream = is_stream;
    x->has_head = true;
    if (x->is_upload_over && is_ready(x)) {
        resume(rq);
    }
    pthread_mutex_unlock(&rq->admin->mutex);
}

static void on_body(void *ctx, struct slice data)
{
    struct admin_request *rq = ctx;
    struct admin_exchange *x = rq->exchange;
    pthread_mutex_lock(&rq->admin->mutex);
    if (buf_append_slice(&x->out, data) != 0) {
        x->is_lost = true;
    }
    size_t size = x->out.size;
    if (x->is_upload_over && is_ready(x)) {
        resume(rq);
    }
    pthread_mutex_unlock(&rq->admin->mutex);
    if (x->is_stream && !x->is_paused && size > ADMIN_OUT_HIGH) {
        x->is_paused = true;
        gateway_pause(x->call, true);
    }
}

static void on_end(void *ctx)
{
    struct admin_request *rq = ctx;
    struct admin_exchange *x = rq->exchange;
    x->call = NULL;
    pthread_mutex_lock(&rq->admin->mutex);
    x->is_over = true;
    if (x->is_upload_over) {
        resume(rq);
    }
    pthread_mutex_unlock(&rq->admin->mutex);
}

static const struct gateway_handler handler = {on_head, on_body, on_end};

/* ---- loop thread: what the client sends ---- */

static void hand_over(struct admin_request *rq, struct slice upload,
                      bool is_upload_over)
{
    struct admin_exchange *x = rq->exchange;
    if (!x->is_begun) {
        x->is_begun = true;
        list_append(&rq->admin->exchanges, &x->link);
        x->call = gateway_start(rq->admin->config.gateway, rq->method, rq->path,
                                x->headers.list, &handler, rq);
    }
    if (x->call && upload.size) {
        gateway_body(x->call, upload);
    }
    if (x->call && is_upload_over && !x->is_body_told) {
        x->is_body_told = true;
        gateway_body_end(x->call);
    }
}

/* Its call, if there is one, is dropped; the connection is cut. */
static void lose(struct admin_request *rq)
{
    struct admin_exchange *x = rq->exchange;
    if (x->call) {
        gateway_cancel(x->call);
        x->call = NULL;
    }
    pthread_mutex_lock(&rq->admin->mutex);
    x->is_lost = true;
    resume(rq);
    pthread_mutex_unlock(&rq->admin->mutex);
}

void admin_exchange_poll(struct admin_request *rq)
{
    struct admin *a = rq->admin;
    struct admin_exchange *x = rq->exchange;
    pthread_mutex_lock(&a->mutex);
    x->is_posted = false;
    struct buf upload = x->upload;
    buf_init(&x->upload, ADMIN_UPLOAD_BYTES_MAX);
    bool is_upload_over = x->is_upload_over, is_completed = x->is_completed;
    bool is_low = x->out.size <= ADMIN_OUT_LOW;
    if (!is_upload_over && !a->stopping) {
        resume(rq); /* there is room again */
    }
    pthread_mutex_unlock(&a->mutex);
    if (is_completed) {
        if (x->call) {
            gateway_cancel(x->call);
        }
        admin_request_free(rq);
    } else if (a->stopping) {
        lose(rq);
    } else {
        if (x->is_paused && is_low && x->call) {
            x->is_paused = false;
            gateway_pause(x->call, false);
        }
        hand_over(rq, buf_slice(&upload), is_upload_over);
    }
    buf_release(&upload);
}

static struct admin_request *request_of(struct list *it)
{
    struct admin_exchange *x = container_of(it, struct admin_exchange, link);
    return x->owner;
}

/* A suspended connection is not looked at by libmicrohttpd, and only this
 * thread resumes one, so its descriptor is the client's still. */
void admin_exchange_find_hangups(struct admin *a)
{
    enum { BATCH = 256 };
    struct pollfd fds[BATCH];
    struct admin_request *owners[BATCH];
    struct list *it = a->exchanges.next;
    while (it != &a->exchanges) {
        nfds_t n = 0;
        pthread_mutex_lock(&a->mutex);
        for (; it != &a->exchanges && n < BATCH; it = it->next) {
            struct admin_request *rq = request_of(it);
            if (rq->exchange->is_suspended && !rq->exchange->is_completed) {
                owners[n] = rq;
                fds[n++] = (struct pollfd){.fd = rq->exchange->fd,
                                           .events = POLLRDHUP};
            }
        }
        pthread_mutex_unlock(&a->mutex);
        if (n == 0 || poll(fds, n, 0) <= 0) {
            continue;
        }
        for (nfds_t i = 0; i < n; i++) {
            if (fds[i].revents) {
                lose(owners[i]);
            }
        }
    }
}

void admin_exchange_stop_all(struct admin *a)
{
    list_each(it, next, &a->exchanges)
    {
        lose(request_of(it));
    }
}
