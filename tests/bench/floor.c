/*
 * The floor under the benchmark: what one thread pays to answer a gRPC
 * request with nghttp2 and nothing else.
 *
 *   floor PORT read      each request gets the same small answer
 *   floor PORT write     bodies go to a preallocated file first, with one
 *                        fdatasync a pass of the loop
 *
 * A yardstick, not a server: no limits, no checks.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_BYTES = 256 << 10,
    OUT_BYTES = 256 << 10,
    BODY_BYTES = 1024,
    PENDING_MAX = 1 << 16,
    LOG_BYTES = 256 << 20,
    EVENTS_MAX = 256,
};

struct client {
    int fd;
    nghttp2_session *h2;
    size_t out_size;
    uint8_t out[OUT_BYTES];
};

struct body {
    size_t size;
    uint8_t bytes[BODY_BYTES];
};

static struct {
    struct client *client;
    int32_t stream;
} pending[PENDING_MAX];
static size_t pending_count;
static uint8_t *log_buf;
static size_t log_size;
static bool is_write;

/* A message of 27 bytes, about what a put or a small get answers. */
static const uint8_t answer_bytes[5 + 27] = {0, 0, 0, 0, 27, 0x0a, 25};

#define HEADER(name_, value_)                                                 \
    {                                                                         \
        .name = (uint8_t *)(name_), .namelen = sizeof(name_) - 1,             \
        .value = (uint8_t *)(value_), .valuelen = sizeof(value_) - 1,         \
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE \
    }

static ssize_t fill(nghttp2_session *h2, int32_t stream, uint8_t *to,
                    size_t room, uint32_t *flags, nghttp2_data_source *src,
                    void *user)
{
    const nghttp2_nv trailer = HEADER("grpc-status", "0");
    memcpy(to, answer_bytes, sizeof answer_bytes);
    nghttp2_submit_trailer(h2, stream, &trailer, 1);
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return sizeof answer_bytes;
}

static void respond(struct client *c, int32_t stream)
{
    const nghttp2_nv head[] = {HEADER(":status", "200"),
                               HEADER("content-type", "application/grpc")};
    nghttp2_data_provider data = {.read_callback = fill};
    nghttp2_submit_response(c->h2, stream, head, 2, &data);
}

static int on_begin(nghttp2_session *h2, const nghttp2_frame *f, void *user)
{
    return nghttp2_session_set_stream_user_data(h2, f->hd.stream_id,
                                                calloc(1, sizeof(struct body)));
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t stream,
                   const uint8_t *data, size_t size, void *user)
{
    struct body *b = nghttp2_session_get_stream_user_data(h2, stream);
    if (b && b->size + size <= sizeof b->bytes) {
        memcpy(b->bytes + b->size, data, size);
        b->size += size;
    }
    return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *f, void *user)
{
    bool ends = (f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS) &&
                (f->hd.flags & NGHTTP2_FLAG_END_STREAM);
    if (!ends) {
        return 0;
    }
    if (!is_write) {
        respond(user, f->hd.stream_id);
        return 0;
    }
    struct body *b = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);
    memcpy(log_buf + log_size, b->bytes, b->size);
    log_size += b->size;
    pending[pending_count].client = user;
    pending[pending_count++].stream = f->hd.stream_id;
    return 0;
}

static int on_close(nghttp2_session *h2, int32_t stream, uint32_t code,
                    void *user)
{
    free(nghttp2_session_get_stream_user_data(h2, stream));
    return 0;
}

static void flush(struct client *c)
{
    for (;;) {
        const uint8_t *frame;
        ssize_t n;
        while (c->out_size + 20000 < OUT_BYTES &&
               (n = nghttp2_session_mem_send(c->h2, &frame)) > 0) {
            memcpy(c->out + c->out_size, frame, (size_t)n);
            c->out_size += (size_t)n;
        }
        n = c->out_size ? send(c->fd, c->out, c->out_size, MSG_NOSIGNAL) : 0;
        if (n <= 0) {
            return;
        }
        c->out_size -= (size_t)n;
        memmove(c->out, c->out + n, c->out_size);
    }
}

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *cb;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    return cb;
}

static void accept_all(int lfd, int ep, nghttp2_session_callbacks *cb)
{
    for (int fd; (fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct client *c = calloc(1, sizeof *c);
        c->fd = fd;
        nghttp2_session_server_new(&c->h2, cb, c);
        const nghttp2_settings_entry window = {
            NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20};
        nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, &window, 1);
        nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0,
                                              1 << 24);
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
        flush(c);
    }
}

/* False when the client is gone. */
static bool read_client(struct client *c)
{
    static uint8_t in[READ_BYTES];
    ssize_t n = recv(c->fd, in, sizeof in, 0);
    if (n > 0 && nghttp2_session_mem_recv(c->h2, in, (size_t)n) >= 0) {
        return true;
    }
    close(c->fd);
    nghttp2_session_del(c->h2);
    free(c);
    return false;
}

static void sync_log(int fd, off_t *at)
{
    if (pwrite(fd, log_buf, log_size, *at) < 0 || fdatasync(fd) != 0) {
        perror("floor");
        exit(1);
    }
    *at = (*at + (off_t)log_size) % (LOG_BYTES - (16 << 20));
    for (size_t i = 0; i < pending_count; i++) {
        respond(pending[i].client, pending[i].stream);
    }
    pending_count = log_size = 0;
}

static int open_log(void)
{
    char name[] = "floor.XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    if (fd < 0 || posix_fallocate(fd, 0, LOG_BYTES) != 0 || fsync(fd) != 0) {
        perror("floor");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: floor PORT read|write\n", stderr);
        return 2;
    }
    is_write = strcmp(argv[2], "write") == 0;
    log_buf = malloc(PENDING_MAX * (size_t)BODY_BYTES);
    int log_fd = is_write ? open_log() : -1;
    int lfd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)atoi(argv[1])),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(lfd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(lfd, (struct sockaddr *)&a, sizeof a) != 0 ||
        listen(lfd, 512) != 0) {
        perror("floor");
        return 1;
    }
    int ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLIN};
    epoll_ctl(ep, EPOLL_CTL_ADD, lfd, &ev);
    nghttp2_session_callbacks *cb = make_callbacks();
    for (off_t at = 0;;) {
        struct epoll_event ready[EVENTS_MAX];
        struct client *touched[EVENTS_MAX];
        int n = epoll_wait(ep, ready, EVENTS_MAX, -1), touched_count = 0;
        for (int i = 0; i < n; i++) {
            if (ready[i].data.ptr == NULL) {
                accept_all(lfd, ep, cb);
            } else if (read_client(ready[i].data.ptr)) {
                touched[touched_count++] = ready[i].data.ptr;
            }
        }
        if (log_size) {
            sync_log(log_fd, &at);
        }
        for (int i = 0; i < touched_count; i++) {
            flush(touched[i]);
        }
    }
}
