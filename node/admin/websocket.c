/*
 * A websocket under /v3/ (RFC 6455): each message is a line of a request's
 * body, each line of the answer a message. The HTTP thread shakes hands and
 * gives the socket to the loop, where the rest of its life is:
 *
 *   head -> 101 (HTTP thread) -> begun: call open -> call over, or closed by
 *   the client -> closing -> closed
 *
 * The socket is libmicrohttpd's, used under another number; it is told when
 * it may forget it.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "frame.h"
#include "internal.h"
#include "net/net.h"

enum { MESSAGE_BYTES_MAX = 16 << 20 };

struct admin_websocket {
    struct letter letter;
    struct admin *admin;
    struct MHD_UpgradeResponseHandle *handle;
    struct admin_headers headers;
    char *path;
    int fd;           /* until it is a connection */
    struct buf early; /* came with the head */

    /* The loop's: */
    struct list link;
    struct conn *conn;
    struct frame_decoder decoder;
    struct gateway_call *call; /* NULL: over */
    struct buf line;           /* of the answer */
    struct buf out;            /* frames */
    bool is_single;            /* one message is all of the request */
    bool is_body_over;
    bool is_paused;
    bool is_closing;
};

/* ---- HTTP thread ---- */

static const char *header(const struct admin_request *rq, const char *name)
{
    const char *value =
        MHD_lookup_connection_value(rq->conn, MHD_HEADER_KIND, name);
    return value ? value : "";
}

/* Whether a list of tokens has this one; case does not matter. */
static bool lists(const char *list, const char *token)
{
    static const char separators[] = ", \t";
    size_t size = strlen(token);
    while (*list) {
        list += strspn(list, separators);
        size_t n = strcspn(list, separators);
        if (n == size && strncasecmp(list, token, size) == 0) {
            return true;
        }
        list += n;
    }
    return false;
}

bool admin_websocket_is_wanted(const struct admin_request *rq)
{
    return lists(header(rq, "Connection"), "upgrade") &&
           lists(header(rq, "Upgrade"), "websocket");
}

void admin_websocket_free(struct admin_websocket *ws)
{
    if (ws == NULL) {
        return;
    }
    if (ws->fd >= 0) {
        close(ws->fd);
    }
    admin_headers_release(&ws->headers);
    frame_decoder_release(&ws->decoder);
    free(ws->path);
    buf_release(&ws->early);
    buf_release(&ws->line);
    buf_release(&ws->out);
    free(ws);
}

static void on_upgrade(void *cls, struct MHD_Connection *conn, void *state,
                       const char *early, size_t early_size, MHD_socket fd,
                       struct MHD_UpgradeResponseHandle *handle)
{
    struct admin_request *rq = state;
    struct admin_websocket *ws = cls;
    struct admin *a = ws->admin;
    rq->websocket = NULL;
    ws->handle = handle;
    ws->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    buf_append(&ws->early, early, early_size);
    pthread_mutex_lock(&a->mutex);
    bool ok = ws->fd >= 0 && !a->stopping;
    if (ok) {
        mailbox_post(&a->upgraded, &ws->letter);
    }
    pthread_mutex_unlock(&a->mutex);
    if (!ok) {
        admin_websocket_free(ws);
        MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
    }
}

static enum MHD_Result refuse(struct admin_request *rq, int status,
                              const char *text)
{
    static const char *const headers[] = {"Content-Type",
                                          "text/plain; charset=utf-8",
                                          "Sec-Websocket-Version",
                                          "13",
                                          "X-Content-Type-Options",
                                          "nosniff",
                                          NULL};
    return admin_reply_copy(rq, status, headers, slice_str(text));
}

static const char bearer[] = "Bearer, ";

/* A browser can set no header but this: its token comes as the second of two
 * protocols. */
static bool take_token(struct admin_request *rq, struct admin_websocket *ws)
{
    const char *protocol = header(rq, "Sec-WebSocket-Protocol");
    if (strncmp(protocol, "Bearer", sizeof "Bearer" - 1) != 0) {
        return false;
    }
    if (strncmp(protocol, bearer, sizeof bearer - 1) == 0) {
        char *value = mem_printf("Bearer %s", protocol + sizeof bearer - 1);
        admin_headers_add(&ws->headers, "Authorization", value);
        free(value);
    }
    return true;
}

static struct admin_websocket *websocket_new(struct admin_request *rq)
{
    struct admin_websocket *ws = mem_zalloc(sizeof *ws);
    ws->admin = rq->admin;
    ws->path = mem_strdup(rq->path);
    ws->fd = -1;
    frame_decoder_init(&ws->decoder, MESSAGE_BYTES_MAX);
    buf_init(&ws->early, SIZE_MAX);
    buf_init(&ws->line, INT32_MAX);
    buf_init(&ws->out, SIZE_MAX);
    list_init(&ws->link);
    admin_headers_init(&ws->headers);
    return ws;
}

enum MHD_Result admin_websocket_answer(struct admin_request *rq)
{
    char accept[FRAME_ACCEPT_SIZE];
    if (strcmp(rq->method, "GET") != 0) {
        return refuse(rq, 405, "Method Not Allowed\n");
    }
    if (!lists(header(rq, "Sec-WebSocket-Version"), "13") ||
        frame_accept(header(rq, "Sec-WebSocket-Key"), accept) != 0) {
        return refuse(rq, 400, "Bad Request\n");
    }
    struct admin_websocket *ws = websocket_new(rq);
    bool has_token = take_token(rq, ws);
    admin_headers_read(&ws->headers, rq->conn);
    struct MHD_Response *r = MHD_create_response_for_upgrade(on_upgrade, ws);
    if (r == NULL) {
        admin_websocket_free(ws);
        return MHD_NO;
    }
    rq->websocket = ws;
    MHD_add_response_header(r, "Upgrade", "websocket");
    MHD_add_response_header(r, "Sec-WebSocket-Accept", accept);
    if (has_token) {
        MHD_add_response_header(r, "Sec-WebSocket-Protocol", "Bearer");
    }
    enum MHD_Result ok = MHD_queue_response(rq->conn, 101, r);
    MHD_destroy_response(r);
    return ok;
}

/* ---- loop thread: frames ---- */

static void close_soon(struct admin_websocket *ws)
{
    if (!ws->is_closing) {
        ws->is_closing = true;
        conn_close(ws->conn, true);
    }
}

static void send_frame(struct admin_websocket *ws, uint8_t opcode,
                       struct slice payload)
{
    if (!ws->is_closing) {
        frame_encode(&ws->out, opcode, payload);
        conn_want_flush(ws->conn);
    }
}

static void send_close(struct admin_websocket *ws, uint16_t reason)
{
    uint8_t code[2];
    put_be16(code, reason);
    send_frame(ws, FRAME_OPCODE_CLOSE, slice_of(code, sizeof code));
    close_soon(ws);
}

/* ---- loop thread: what the gateway answers ---- */

static void on_head(void *ctx, int status, const char *const *headers,
                    bool is_stream)
{
}

static void on_body(void *ctx, struct slice data)
{
    struct admin_websocket *ws = ctx;
    while (data.size) {
        const uint8_t *end = memchr(data.data, '\n', data.size);
        size_t size = end ? (size_t)(end - data.data) : data.size;
        if (buf_append_slice(&ws->line, slice_of(data.data, size)) != 0) {
            close_soon(ws);
            return;
        }
        if (end) {
            send_frame(ws, FRAME_OPCODE_TEXT, buf_slice(&ws->line));
            ws->line.size = 0;
        }
        data = slice_from(data, end ? size + 1 : size);
    }
    if (!ws->is_paused && ws->out.size > ADMIN_OUT_HIGH) {
        ws->is_paused = true;
        gateway_pause(ws->call, true);
    }
}

static void on_end(void *ctx)
{
    struct admin_websocket *ws = ctx;
    ws->call = NULL;
    if (ws->line.size) {
        send_frame(ws, FRAME_OPCODE_TEXT, buf_slice(&ws->line));
    }
    send_close(ws, FRAME_CLOSE_NORMAL);
}

/* ---- loop thread: what the client sends ---- */

static void end_body(struct admin_websocket *ws)
{
    if (ws->call && !ws->is_body_over) {
        ws->is_body_over = true;
        gateway_body_end(ws->call);
    }
}

static void on_message(struct admin_websocket *ws, struct slice message)
{
    if (ws->call == NULL || ws->is_body_over) {
        return;
    }
    gateway_body(ws->call, message);
    if (ws->call) {
        gateway_body(ws->call, slice_str("\n"));
    }
    if (ws->call && (!gateway_wants_body(ws->call) ||
                     (message.size && !gateway_takes_many(ws->call)))) {
        end_body(ws);
    }
}

static void on_frame(struct admin_websocket *ws, enum frame_kind kind,
                     struct slice payload)
{
    switch (kind) {
    case FRAME_MESSAGE:
        on_message(ws, payload);
        break;
    case FRAME_PING:
        send_frame(ws, FRAME_OPCODE_PONG, payload);
        break;
    case FRAME_CLOSE: /* its reason goes back */
        send_frame(ws, FRAME_OPCODE_CLOSE,
                   slice_of(payload.data, payload.size < 2 ? 0 : 2));
        close_soon(ws);
        break;
    default:
        break;
    }
}

static void on_data(void *ctx, struct slice data)
{
    struct admin_websocket *ws = ctx;
    enum frame_kind kind = FRAME_MESSAGE;
    while (kind != FRAME_NONE && !ws->is_closing) {
        struct slice payload;
        int err = frame_decode(&ws->decoder, &data, &kind, &payload);
        if (err) {
            send_close(ws, err == ERR_TOO_LARGE ? FRAME_CLOSE_TOO_LARGE
                                                : FRAME_CLOSE_PROTOCOL);
        } else if (kind != FRAME_NONE) {
            on_frame(ws, kind, payload);
        }
    }
}

static bool on_flush(void *ctx, struct buf *out)
{
    struct admin_websocket *ws = ctx;
    size_t size =
        ws->out.size < NET_FLUSH_BYTES ? ws->out.size : NET_FLUSH_BYTES;
    buf_append(out, ws->out.data, size);
    buf_consume(&ws->out, size);
    if (ws->is_paused && ws->out.size <= ADMIN_OUT_LOW && ws->call) {
        ws->is_paused = false;
        gateway_pause(ws->call, false);
    }
    return ws->out.size > 0;
}

static void end(struct admin_websocket *ws)
{
    struct MHD_UpgradeResponseHandle *handle = ws->handle;
    list_remove(&ws->link);
    if (ws->call) {
        gateway_cancel(ws->call);
    }
    admin_websocket_free(ws);
    MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
}

static void on_closed(void *ctx, int err)
{
    end(ctx);
}

static void begin(struct admin *a, struct admin_websocket *ws)
{
    static const struct conn_handler conn_handler = {
        .on_data = on_data, .on_flush = on_flush, .on_closed = on_closed};
    static const struct gateway_handler handler = {on_head, on_body, on_end};
    list_append(&a->websockets, &ws->link);
    if (a->stopping) {
        end(ws);
        return;
    }
    ws->conn = conn_adopt(a->config.loop, ws->fd);
    if (ws->conn == NULL) {
        end(ws);
        return;
    }
    ws->fd = -1;
    conn_set_handler(ws->conn, &conn_handler, ws);
    ws->call = gateway_start(a->config.gateway, "POST", ws->path,
                             ws->headers.list, &handler, ws);
    if (!gateway_wants_body(ws->call)) {
        end_body(ws);
    }
    on_data(ws, buf_slice(&ws->early));
}

void admin_websocket_poll(struct admin *a)
{
    struct letter *l = mailbox_take(&a->upgraded);
    while (l) {
        struct letter *next = l->next;
        begin(a, container_of(l, struct admin_websocket, letter));
        l = next;
    }
}

void admin_websocket_stop_all(struct admin *a)
{
    list_each(it, next, &a->websockets)
    {
        struct admin_websocket *ws =
            container_of(it, struct admin_websocket, link);
        conn_set_handler(ws->conn, NULL, NULL);
        conn_close(ws->conn, false);
        end(ws);
    }
}
