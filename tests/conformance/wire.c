/*
 * One HTTP/2 request by hand, for what no gRPC client would send:
 *   wire METHOD|PATH|- PART...      -: no request, a connection alone
 * Parts:
 *   NAME=VALUE     a header instead of the usual one, or one more; +NAME=VALUE:
 *                  one more, even if there is one
 *   no=NAME        ... and one left out
 *   frame{..}      a message in its frame; frame1, frame2: with that flag
 *   gzip{..}       ... compressed
 *   data=".."      bytes of the body as they are
 *   open           the request does not end
 *   alone          it ends with its headers
 *   frames=".."    bytes in front of the request, behind our SETTINGS
 *   rst            a RST_STREAM behind each answer
 *   show=NAME      a line for this header of the answer
 *   times=N        N of them at once; the answer is the last one's
 *   rounds=N       N of them, each when the one before is answered
 *   pings=N        N PINGs behind the first answer (of each round), each
 *                  behind the last one's; then the connection is closed
 *   stop           likewise a SIGTERM for the server
 * The answer is a line a message, then, unless all is well, the HTTP status
 * that is not 200 and the gRPC status; or "reset N", "closed". Before it
 * "pongs N", behind it "goaway CODE TEXT", if there were any.
 */
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "table.h"

enum { HEADERS_MAX = 24, BODY_MAX = 64 << 20, PATIENCE_S = 15, GZIP = 31 };
enum { STREAMS_AT_ONCE = 1024 };

struct wire {
    struct side *side;
    int member;
    const struct method *method; /* NULL: of no service that we know */
    int fd;
    nghttp2_session *session;
    nghttp2_nv headers[HEADERS_MAX];
    int header_count;
    struct buf body, answer, frames;
    size_t sent[STREAMS_AT_ONCE]; /* of the body, by stream */
    bool is_open, is_alone, is_over, is_gzip, is_bare, stops, resets;
    char http[16], code[16], text[512];
    uint32_t reset;
    int32_t id; /* of the last request's stream */
    int times, rounds, pings;
    int pings_left; /* of this round */
    int pings_sent, pongs;
    bool has_answer;
    char shown[32], value[128]; /* a header of the answer */
    char goaway[128];           /* "CODE TEXT" */
};

/* ---- the request ---- */

static void set_header(struct wire *w, const char *name, size_t size,
                       struct slice value)
{
    bool adds = *name == '+';
    int at = adds ? w->header_count : 0;
    name += adds;
    size -= adds;
    while (at < w->header_count &&
           (w->headers[at].namelen != size ||
            memcmp(w->headers[at].name, name, size) != 0)) {
        at++;
    }
    if (at == HEADERS_MAX) {
        abort();
    }
    struct arena *a = &w->side->scratch;
    w->headers[at].name = arena_dup(a, name, size);
    w->headers[at].namelen = size;
    w->headers[at].value = arena_dup(a, value.data, value.size);
    w->headers[at].valuelen = value.size;
    w->headers[at].flags = NGHTTP2_NV_FLAG_NO_COPY_NAME; /* as it is */
    w->header_count += at == w->header_count;
}

static void drop_header(struct wire *w, struct slice name)
{
    int kept = 0;
    for (int i = 0; i < w->header_count; i++) {
        if (w->headers[i].namelen != name.size ||
            memcmp(w->headers[i].name, name.data, name.size) != 0) {
            w->headers[kept++] = w->headers[i];
        }
    }
    w->header_count = kept;
}

static void usual_headers(struct wire *w, const char *path)
{
    const char *const usual[] = {
        ":method",    "POST",     ":scheme",      "http",
        ":authority", "test",     ":path",        path,
        "te",         "trailers", "content-type", "application/grpc"};
    for (int i = 0; i < 12; i += 2) {
        set_header(w, usual[i], strlen(usual[i]), slice_str(usual[i + 1]));
    }
}

static void gzip_in_place(struct buf *b)
{
    z_stream z = {0};
    deflateInit2(&z, 6, Z_DEFLATED, GZIP, 8, Z_DEFAULT_STRATEGY);
    uLong bound = deflateBound(&z, b->size);
    uint8_t *out = mem_alloc(bound);
    z.next_in = b->data;
    z.avail_in = (uInt)b->size;
    z.next_out = out;
    z.avail_out = (uInt)bound;
    deflate(&z, Z_FINISH);
    b->size = 0;
    buf_append(b, out, z.total_out);
    deflateEnd(&z);
    free(out);
}

/* frame{..}, frame2{..}, gzip{..} */
static const char *take_frame(struct wire *w, const char *at)
{
    bool zip = *at == 'g';
    const char *brace = strchr(at, '{'), *end = strrchr(brace, '}');
    const char *next = strstr(brace, "} ");
    end = next ? next : end;
    int flag = zip ? 1 : brace[-1] - '0';
    flag = flag < 0 || flag > 9 ? 0 : flag;
    char *text = arena_printf(&w->side->scratch, "%.*s", (int)(end - brace - 1),
                              brace + 1);
    struct buf message = BUF_INIT(BODY_MAX), expanded = BUF_INIT(BODY_MAX);
    text_expand(text, &expanded);
    const char *wrong = text_encode(
        w->side, w->member, (char *)expanded.data,
        w->method ? w->method->request : methods[0].request, &message);
    if (zip) {
        gzip_in_place(&message);
    }
    uint8_t head[5] = {(uint8_t)flag, (uint8_t)(message.size >> 24),
                       (uint8_t)(message.size >> 16),
                       (uint8_t)(message.size >> 8), (uint8_t)message.size};
    buf_append(&w->body, head, sizeof head);
    buf_append_slice(&w->body, buf_slice(&message));
    buf_release(&message);
    buf_release(&expanded);
    return wrong ? NULL : end + 1;
}

static const char *take_part(struct wire *w, const char *at)
{
    size_t size = strcspn(at, " ={");
    if (strncmp(at, "frame", 5) == 0 || strncmp(at, "gzip{", 5) == 0) {
        return take_frame(w, at);
    }
    if (at[size] != '=') {
        w->is_open |= strncmp(at, "open", size) == 0;
        w->is_alone |= strncmp(at, "alone", size) == 0;
        w->stops |= strncmp(at, "stop", size) == 0;
        w->resets |= strncmp(at, "rst", size) == 0;
        bool is_known = w->is_open || w->is_alone || w->stops || w->resets;
        return is_known ? at + size : NULL;
    }
    struct buf value = BUF_INIT(BODY_MAX);
    const char *next = at + size + 1;
    if (*next == '"') {
        next = text_literal(next, &value);
    } else {
        size_t length = strcspn(next, " ");
        buf_append(&value, next, length);
        next += length;
    }
    int number = atoi(at + size + 1);
    if (strncmp(at, "times=", 6) == 0) {
        w->times = number;
    } else if (strncmp(at, "rounds=", 7) == 0) {
        w->rounds = number;
    } else if (strncmp(at, "pings=", 6) == 0) {
        w->pings = number;
    } else if (strncmp(at, "show=", 5) == 0) {
        snprintf(w->shown, sizeof w->shown, "%.*s", (int)value.size,
                 (const char *)value.data);
    } else if (strncmp(at, "frames=", 7) == 0) {
        buf_append_slice(&w->frames, buf_slice(&value));
    } else if (strncmp(at, "data=", 5) == 0) {
        buf_append_slice(&w->body, buf_slice(&value));
    } else if (strncmp(at, "no=", 3) == 0) {
        drop_header(w, buf_slice(&value));
    } else {
        set_header(w, at, size, buf_slice(&value));
    }
    buf_release(&value);
    return next;
}

/* ---- HTTP/2 ---- */

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *out,
                       size_t room, uint32_t *flags, nghttp2_data_source *src,
                       void *ctx)
{
    struct wire *w = ctx;
    size_t *sent = &w->sent[id / 2 % STREAMS_AT_ONCE];
    size_t left = w->body.size - *sent;
    size_t size = left < room ? left : room;
    if (left == 0 && w->is_open) {
        return NGHTTP2_ERR_DEFERRED;
    }
    if (size) {
        memcpy(out, w->body.data + *sent, size);
    }
    *sent += size;
    if (*sent == w->body.size && !w->is_open) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)size;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
                     const uint8_t *name, size_t name_size,
                     const uint8_t *value, size_t size, uint8_t flags,
                     void *ctx)
{
    struct wire *w = ctx;
    if (frame->hd.stream_id != w->id) {
        return 0;
    }
    const struct {
        const char *name;
        char *to;
        size_t room;
    } kept[] = {{":status", w->http, sizeof w->http},
                {"grpc-status", w->code, sizeof w->code},
                {"grpc-message", w->text, sizeof w->text},
                {w->shown, w->value, sizeof w->value}};
    for (int i = 0; i < 4; i++) {
        if (strlen(kept[i].name) == name_size &&
            memcmp(kept[i].name, name, name_size) == 0) {
            snprintf(kept[i].to, kept[i].room, "%.*s", (int)size, value);
        }
    }
    return 0;
}

static void ping(struct wire *w)
{
    if (w->pings_left > 0) {
        w->pings_left--;
        w->pings_sent++;
        nghttp2_submit_ping(w->session, NGHTTP2_FLAG_NONE, NULL);
    } else {
        w->is_over |= w->rounds == 0 && w->has_answer &&
                      w->pongs == w->pings_sent && !w->goaway[0];
    }
}

/* What is done behind the first answer. */
static void go_on(struct wire *w)
{
    if (w->has_answer) {
        return;
    }
    w->has_answer = true;
    w->pings_left = w->pings;
    if (w->stops) {
        servers_stop(w->member);
    }
    if (w->pings) {
        ping(w);
    }
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id,
                   const uint8_t *data, size_t size, void *ctx)
{
    struct wire *w = ctx;
    if (id == w->id) {
        buf_append(&w->answer, data, size);
        go_on(w);
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame,
                    void *ctx)
{
    struct wire *w = ctx;
    if (frame->hd.type == NGHTTP2_SETTINGS && w->is_bare) {
        go_on(w);
    } else if (frame->hd.type == NGHTTP2_PING &&
               (frame->hd.flags & NGHTTP2_FLAG_ACK)) {
        w->pongs++;
        ping(w);
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
        snprintf(w->goaway, sizeof w->goaway, "%u %.*s",
                 frame->goaway.error_code, (int)frame->goaway.opaque_data_len,
                 (const char *)frame->goaway.opaque_data);
    }
    return 0;
}

static void ask(struct wire *w);

/* Of a stream that is closed, as some clients do: nghttp2 would not. */
static void send_reset(struct wire *w, int32_t id)
{
    uint8_t frame[13] = {0, 0, 4, 3, 0, 0, 0, (uint8_t)(id >> 8), (uint8_t)id};
    send(w->fd, frame, sizeof frame, MSG_NOSIGNAL);
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code,
                    void *ctx)
{
    struct wire *w = ctx;
    if (id != w->id) {
        return 0;
    }
    w->reset = code;
    if (w->resets) {
        send_reset(w, id);
    }
    if (w->rounds > 0) {
        ask(w);
    } else {
        w->is_over |= !w->pings && !w->stops;
    }
    return 0;
}

static int dial(const struct wire *w)
{
    struct url url;
    url_parse(w->side->members[w->member].url, &url);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(url.address.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(fd, (void *)&to, sizeof to) != 0) {
        perror("connect");
        exit(2);
    }
    return fd;
}

static bool flush(struct wire *w)
{
    const uint8_t *data;
    ssize_t size;
    while ((size = nghttp2_session_mem_send(w->session, &data)) > 0) {
        while (size > 0) {
            ssize_t sent = send(w->fd, data, (size_t)size, MSG_NOSIGNAL);
            if (sent <= 0) {
                return false;
            }
            data += sent;
            size -= sent;
        }
    }
    return size == 0;
}

static void ask(struct wire *w)
{
    nghttp2_data_provider body = {.read_callback = on_read};
    w->rounds--;
    w->has_answer = false;
    w->answer.size = 0;
    memset(w->sent, 0, sizeof w->sent);
    for (int i = 0; i < w->times; i++) {
        w->id = nghttp2_submit_request(w->session, NULL, w->headers,
                                       (size_t)w->header_count,
                                       w->is_alone ? NULL : &body, NULL);
    }
}

static void talk(struct wire *w)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
                                                              on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_option_new(&option);
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_session_client_new2(&w->session, callbacks, w, option);
    nghttp2_submit_settings(w->session, NGHTTP2_FLAG_NONE, NULL, 0);
    if (w->frames.size) {
        flush(w);
        send(w->fd, w->frames.data, w->frames.size, MSG_NOSIGNAL);
    }
    if (w->is_bare) {
        w->rounds = 0;
    } else {
        ask(w);
    }
    uint8_t in[16384];
    while (!w->is_over && flush(w)) {
        ssize_t size = w->is_over ? 0 : recv(w->fd, in, sizeof in, 0);
        if (size <= 0 ||
            nghttp2_session_mem_recv(w->session, in, (size_t)size) < 0) {
            break;
        }
    }
    nghttp2_session_del(w->session);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
}

/* ---- the answer ---- */

/* %C2%A0 and the like; of a build's two blanks, one. */
static void print_text(const char *at, struct buf *out)
{
    for (; *at; at++) {
        if (strncmp(at, "%C2%A0", 6) == 0) {
            buf_append_byte(out, ' ');
            at += 5;
        } else if (*at == '%' && at[1] && at[2]) {
            char hex[3] = {at[1], at[2], 0};
            buf_append_byte(out, (uint8_t)strtol(hex, NULL, 16));
            at += 2;
        } else {
            buf_append_byte(out, (uint8_t)*at);
        }
    }
}

static struct slice inflated(struct wire *w, struct slice s, struct buf *out)
{
    z_stream z = {0};
    inflateInit2(&z, GZIP);
    buf_reserve(out, 1 << 20);
    z.next_in = (Bytef *)(uintptr_t)s.data;
    z.avail_in = (uInt)s.size;
    z.next_out = out->data;
    z.avail_out = 1 << 20;
    int err = inflate(&z, Z_FINISH);
    out->size = err == Z_STREAM_END ? z.total_out : 0;
    inflateEnd(&z);
    return buf_slice(out);
}

static void print_messages(struct wire *w, struct buf *out)
{
    const uint8_t *at = w->answer.data;
    size_t left = w->answer.size;
    ProtobufCAllocator allocator = grpc_arena_allocator(&w->side->scratch);
    while (left >= 5) {
        size_t size = (size_t)at[1] << 24 | at[2] << 16 | at[3] << 8 | at[4];
        struct buf plain = BUF_INIT(BODY_MAX);
        struct slice message = slice_of(at + 5, size);
        if (size > left - 5) {
            break;
        }
        if (at[0] == 1) {
            buf_append_str(out, "gzip ");
            message = inflated(w, message, &plain);
        }
        ProtobufCMessage *m =
            w->method ? protobuf_c_message_unpack(w->method->answer, &allocator,
                                                  message.size, message.data)
                      : NULL;
        if (m) {
            text_answer(w->side, w->member, m, out);
        } else {
            buf_append_str(out, "UNREADABLE");
        }
        buf_append_byte(out, '\n');
        buf_release(&plain);
        at += 5 + size;
        left -= 5 + size;
    }
}

static void print_status(struct wire *w, struct buf *out)
{
    int code = atoi(w->code);
    if (w->http[0] && strcmp(w->http, "200") != 0) {
        buf_printf(out, "http %s ", w->http);
    }
    if (w->code[0] == 0 && !w->is_over) {
        buf_append_str(out, "closed\n");
    } else if (w->code[0] == 0 && !w->pings) {
        buf_printf(out, "reset %u\n", w->reset);
    } else if (code != 0) {
        buf_printf(out, "%s: ", grpc_code_name((enum grpc_code)code));
        print_text(w->text, out);
        buf_append_byte(out, '\n');
    }
}

const char *wire_call(struct side *s, int member, const struct method *m,
                      const char *path, const char *text, struct buf *out)
{
    struct wire w = {.side = s, .member = member, .method = m};
    w.times = w.rounds = 1;
    w.is_bare = strcmp(path, "-") == 0;
    buf_init(&w.body, BODY_MAX);
    buf_init(&w.answer, BODY_MAX);
    buf_init(&w.frames, BODY_MAX);
    usual_headers(&w, path);
    const char *wrong = NULL;
    for (const char *at = text + strspn(text, " "); *at && !wrong;) {
        const char *next = take_part(&w, at);
        wrong = next ? NULL : at;
        at = next ? next + strspn(next, " ") : at;
    }
    if (!wrong) {
        side_meet(s, member, path);
        w.fd = dial(&w);
        talk(&w);
        close(w.fd);
        if (w.shown[0]) {
            buf_printf(out, "%s %s\n", w.shown, w.value);
        }
        if (w.pings) {
            buf_printf(out, "pongs %d\n", w.pongs);
        }
        print_messages(&w, out);
        print_status(&w, out);
        if (w.goaway[0]) {
            buf_printf(out, "goaway %s\n", w.goaway);
        }
    }
    buf_release(&w.body);
    buf_release(&w.answer);
    buf_release(&w.frames);
    return wrong;
}
