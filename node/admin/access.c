/* Who may ask: CORS, the list of host names; and paths spelled oddly. */
#include <stdlib.h>

#include "base/mem.h"
#include "internal.h"

/* Whether `item` is among the comma-separated ones; "*" is all. */
static bool is_listed(const char *list, struct slice item)
{
    bool is_empty = true;
    while (*list) {
        size_t n = strcspn(list, ",");
        struct slice one = slice_of(list, n);
        is_empty &= n == 0;
        if (slice_eq_str(one, "*") || slice_eq(one, item)) {
            return true;
        }
        list += n + (list[n] == ',');
    }
    return is_empty;
}

static const char *header(struct admin_request *rq, const char *name)
{
    return MHD_lookup_connection_value(rq->conn, MHD_HEADER_KIND, name);
}

static void add_cors(struct admin_request *rq, struct MHD_Response *r)
{
    const char *origin = header(rq, "Origin");
    const char *list = rq->admin->config.cors;
    if (list == NULL) {
        return;
    }
    bool is_any = is_listed(list, (struct slice){NULL, 0});
    if (!is_any && !(origin && is_listed(list, slice_str(origin)))) {
        return;
    }
    MHD_add_response_header(r, "Access-Control-Allow-Methods",
                            "POST, GET, OPTIONS, PUT, DELETE");
    MHD_add_response_header(r, "Access-Control-Allow-Origin",
                            is_any ? "*" : origin);
    MHD_add_response_header(r, "Access-Control-Allow-Headers",
                            "accept, content-type, authorization");
}

static struct slice without_port(const char *host)
{
    size_t n = strlen(host), digits = n;
    while (digits && host[digits - 1] >= '0' && host[digits - 1] <= '9') {
        digits--;
    }
    if (digits && host[digits - 1] == ':') {
        n = digits - 1;
    }
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
        return slice_of(host + 1, n - 2);
    }
    return slice_of(host, n);
}

enum MHD_Result admin_reply(struct admin_request *rq, int status,
                            const char *const *headers, struct MHD_Response *r)
{
    if (r == NULL) {
        return MHD_NO;
    }
    for (size_t i = 0; headers[i]; i += 2) {
        MHD_add_response_header(r, headers[i], headers[i + 1]);
    }
    add_cors(rq, r);
    enum MHD_Result ok = MHD_queue_response(rq->conn, (unsigned)status, r);
    MHD_destroy_response(r);
    return ok;
}

enum MHD_Result admin_reply_copy(struct admin_request *rq, int status,
                                 const char *const *headers, struct slice body)
{
    return admin_reply(
        rq, status, headers,
        MHD_create_response_from_buffer(body.size, (void *)(uintptr_t)body.data,
                                        MHD_RESPMEM_MUST_COPY));
}

static enum MHD_Result refuse_host(struct admin_request *rq, struct slice host)
{
    struct buf b = BUF_INIT(64 << 10);
    buf_printf(&b,
               "\netcd received your request, but the Host header was "
               "unrecognized.\n\nEither of these helps:\n"
               "- Talk to it over TLS: any host name is good there.\n"
               "- Add the host name to the list:\n"
               "  - e.g. etcd --host-whitelist \"%.*s\"\n\n"
               "The list is a guard against DNS rebinding "
               "(CVE-2018-5702).\n\n",
               (int)host.size, (const char *)host.data);
    static const char *const headers[] = {
        "Content-Type", "text/plain; charset=utf-8", "X-Content-Type-Options",
        "nosniff", NULL};
    enum MHD_Result ok = admin_reply_copy(rq, 421, headers, buf_slice(&b));
    buf_release(&b);
    return ok;
}

/* Doubled slashes and /./, /../ out of the path; NULL: there are none. */
static char *cleaned(const char *path)
{
    char *to = mem_alloc(strlen(path) + 2), *end = to;
    for (const char *p = path; *p;) {
        size_t n = strcspn(++p, "/"); /* behind a slash */
        if (n == 2 && p[0] == '.' && p[1] == '.') {
            while (end > to && *--end != '/') {
            }
        } else if (n && !(n == 1 && p[0] == '.')) {
            *end++ = '/';
            memcpy(end, p, n);
            end += n;
        }
        p += n;
    }
    if (end == to || path[strlen(path) - 1] == '/') {
        *end++ = '/';
    }
    *end = '\0';
    if (strcmp(to, path) == 0) {
        free(to);
        return NULL;
    }
    return to;
}

enum admin_access admin_access_judge(struct admin_request *rq)
{
    if (rq->door->metrics_only) {
        return ADMIN_ACCESS_OK;
    }
    const char *host = header(rq, "Host");
    struct slice name = without_port(host ? host : "");
    if (!is_listed(rq->admin->config.host_whitelist, name)) {
        return ADMIN_ACCESS_HOST;
    }
    if (strcmp(rq->method, "OPTIONS") == 0) {
        return ADMIN_ACCESS_OPTIONS;
    }
    if (strcmp(rq->path, "/v3") == 0 && rq->admin->config.gateway) {
        rq->location = mem_strdup("/v3/");
    } else if (rq->path[0] == '/') {
        rq->location = cleaned(rq->path);
    }
    return rq->location ? ADMIN_ACCESS_ELSEWHERE : ADMIN_ACCESS_OK;
}

enum MHD_Result admin_access_answer(struct admin_request *rq)
{
    const char *host = header(rq, "Host");
    const char *const place[] = {"Location", rq->location, NULL};
    static const char *const none[] = {NULL};
    switch (rq->access) {
    case ADMIN_ACCESS_HOST:
        return refuse_host(rq, without_port(host ? host : ""));
    case ADMIN_ACCESS_ELSEWHERE:
        return admin_reply_copy(rq, 307, place, slice_str(""));
    default:
        return admin_reply_copy(rq, 200, none, slice_str(""));
    }
}
