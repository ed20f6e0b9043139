#include "base/err.h"
#include "internal.h"

static const char text_plain[] = "text/plain; charset=utf-8";

static enum MHD_Result on_query(void *cls, enum MHD_ValueKind kind,
                                const char *key, const char *value)
{
    struct admin_request *rq = cls;
    if (strcmp(key, "verbose") == 0) {
        rq->verbose = true;
    } else if (strcmp(key, "serializable") == 0) {
        rq->serializable = value && strcmp(value, "true") == 0;
    } else if (strcmp(key, "exclude") == 0 && value &&
               rq->exclude_count < ADMIN_EXCLUDES_MAX) {
        rq->excludes[rq->exclude_count++] = value;
    }
    return MHD_YES;
}

void admin_read_query(struct admin_request *rq)
{
    MHD_get_connection_values(rq->conn, MHD_GET_ARGUMENT_KIND, on_query, rq);
}

static void answer_version(struct admin_request *rq)
{
    struct buf b = BUF_INIT(ADMIN_BODY_MAX);
    rq->admin->rim.version_json(rq->admin->rim.ctx, &b);
    admin_answer(rq, 200, "application/json", buf_slice(&b));
    buf_release(&b);
}

static void answer_metrics(struct admin_request *rq)
{
    struct buf b = BUF_INIT(ADMIN_BODY_MAX);
    rq->admin->rim.metrics(rq->admin->rim.ctx, &b);
    admin_answer(rq, 200,
                 "text/plain; version=0.0.4; charset=utf-8; "
                 "escaping=underscores",
                 buf_slice(&b));
    buf_release(&b);
}

static void answer_vars(struct admin_request *rq)
{
    struct buf b = BUF_INIT(ADMIN_BODY_MAX);
    rq->admin->rim.vars_json(rq->admin->rim.ctx, &b);
    admin_answer(rq, 200, "application/json; charset=utf-8", buf_slice(&b));
    buf_release(&b);
}

/* True: the path is one of these, which take GET only. */
static bool answer_get_only(struct admin_request *rq)
{
    bool is_version = strcmp(rq->path, "/version") == 0;
    if (rq->door->metrics_only ||
        (!is_version && strcmp(rq->path, "/debug/vars") != 0)) {
        return false;
    }
    if (strcmp(rq->method, "GET") != 0) {
        rq->no_sniff = true;
        admin_answer(rq, 405, text_plain, slice_str("Method Not Allowed\n"));
    } else if (is_version) {
        answer_version(rq);
    } else {
        answer_vars(rq);
    }
    return true;
}

void admin_route(struct admin_request *rq)
{
    const struct admin_rim *rim = &rq->admin->rim;
    if (rim->route) {
        rim->route(rim->ctx, rq, rq->method, rq->path);
    } else if (strcmp(rq->path, "/metrics") == 0) {
        answer_metrics(rq);
    } else if (!answer_get_only(rq) && !admin_checks_route(rq)) {
        rq->no_sniff = true;
        admin_answer(rq, 404, text_plain, slice_str("404 page not found\n"));
    }
}
