#include "peer/http.h"

#include <strings.h>

#include "base/err.h"

static struct peer_http *of(llhttp_t *parser)
{
    return parser->data;
}

static int fail(struct peer_http *h, int err)
{
    h->err = err;
    return HPE_USER;
}

static int add(struct peer_http *h, struct buf *to, const char *at, size_t size)
{
    if (buf_append(to, at, size) != 0) {
        return fail(h, ERR_TOO_LARGE);
    }
    return 0;
}

static int on_begin(llhttp_t *parser)
{
    struct peer_http *h = of(parser);
    buf_reset(&h->target, 256);
    buf_reset(&h->fields, 1024);
    h->is_head_whole = false;
    return 0;
}

static int on_target(llhttp_t *parser, const char *at, size_t size)
{
    return add(of(parser), &of(parser)->target, at, size);
}

static int on_target_end(llhttp_t *parser)
{
    return add(of(parser), &of(parser)->target, "", 1);
}

/* Fields behind a chunked body are not looked at. */
static int on_field(llhttp_t *parser, const char *at, size_t size)
{
    struct peer_http *h = of(parser);
    return h->is_head_whole ? 0 : add(h, &h->fields, at, size);
}

static int on_field_end(llhttp_t *parser)
{
    return on_field(parser, "", 1);
}

static int on_head(llhttp_t *parser)
{
    struct peer_http *h = of(parser);
    h->is_head_whole = true;
    int err = h->events->head(h->ctx);
    return err ? fail(h, err) : 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t size)
{
    struct peer_http *h = of(parser);
    int err = h->events->body(h->ctx, slice_of(at, size));
    return err ? fail(h, err) : 0;
}

static int on_complete(llhttp_t *parser)
{
    struct peer_http *h = of(parser);
    int err = h->events->complete(h->ctx);
    return err ? fail(h, err) : HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_begin,
    .on_url = on_target,
    .on_url_complete = on_target_end,
    .on_header_field = on_field,
    .on_header_field_complete = on_field_end,
    .on_header_value = on_field,
    .on_header_value_complete = on_field_end,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

void peer_http_init(struct peer_http *h, bool is_server,
                    const struct peer_http_events *events, void *ctx)
{
    *h = (struct peer_http){.events = events, .ctx = ctx};
    llhttp_init(&h->parser, is_server ? HTTP_REQUEST : HTTP_RESPONSE,
                &settings);
    h->parser.data = h;
    buf_init(&h->target, PEER_TARGET_BYTES_MAX);
    buf_init(&h->fields, PEER_HEAD_BYTES_MAX);
}

void peer_http_release(struct peer_http *h)
{
    buf_release(&h->target);
    buf_release(&h->fields);
}

int peer_http_read(struct peer_http *h, struct slice bytes, size_t *ret_used)
{
    const char *data = (const char *)bytes.data;
    llhttp_errno_t e = llhttp_execute(&h->parser, data, bytes.size);
    if (e == HPE_OK) {
        *ret_used = bytes.size;
        return 0;
    }
    if (e == HPE_PAUSED) {
        *ret_used = (size_t)(llhttp_get_error_pos(&h->parser) - data);
        return 0;
    }
    return h->err ? h->err : ERR_PROTOCOL;
}

void peer_http_resume(struct peer_http *h)
{
    llhttp_resume(&h->parser);
}

int peer_http_finish(struct peer_http *h)
{
    llhttp_errno_t e = llhttp_finish(&h->parser);
    if (e == HPE_OK || e == HPE_PAUSED) {
        return 0;
    }
    return h->err ? h->err : ERR_PROTOCOL;
}

static const char *find(const struct peer_http *h, const char *name)
{
    const char *at = (const char *)h->fields.data;
    const char *end = at ? at + h->fields.size : at;
    while (at < end) {
        const char *value = at + strlen(at) + 1;
        if (strcasecmp(at, name) == 0) {
            return value;
        }
        at = value + strlen(value) + 1;
    }
    return NULL;
}

const char *peer_http_field(const struct peer_http *h, const char *name)
{
    const char *value = find(h, name);
    return value ? value : "";
}

bool peer_http_has_field(const struct peer_http *h, const char *name)
{
    return find(h, name) != NULL;
}

const char *peer_http_method(const struct peer_http *h)
{
    return llhttp_method_name((llhttp_method_t)h->parser.method);
}

int peer_http_status(const struct peer_http *h)
{
    return h->parser.status_code;
}

bool peer_http_keeps_alive(const struct peer_http *h)
{
    return llhttp_should_keep_alive(&h->parser);
}

const char *peer_http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {204, "No Content"},
        {400, "Bad Request"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {410, "Gone"},
        {412, "Precondition Failed"},
        {413, "Request Entity Too Large"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].status == status) {
            return reasons[i].text;
        }
    }
    return "Status";
}

void peer_http_date(struct buf *out)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed",
                                       "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr",
                                         "May", "Jun", "Jul", "Aug",
                                         "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm t;
    gmtime_r(&now, &t);
    buf_printf(out, "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n",
               days[t.tm_wday], t.tm_mday, months[t.tm_mon], t.tm_year + 1900,
               t.tm_hour, t.tm_min, t.tm_sec);
}
