/* What the files of grpc/ share: the server, its connections, a call. */
#ifndef GRPC_INTERNAL_H
#define GRPC_INTERNAL_H

#include "grpc/grpc.h"
#include "grpc/reader.h"
#include "grpc/wheel.h"
#include "h2/h2.h"

enum {
    GRPC_PREFIX_BYTES = 5,
    GRPC_FREE_CALLS_MAX = 1024,
    GRPC_FREE_CALLS_KEPT = 64, /* when nothing happens */
    GRPC_TRIM_MS = 2000,
    /* Answers that a client may leave unread before it is not read. */
    GRPC_UNREAD_FRAMES_MAX = 10000,
    /* Pieces of messages not yet whole, of all calls together. */
    GRPC_PARTIAL_BYTES_MAX = 128 << 20,
    GRPC_STOP_MS = 800,
    GRPC_STRIKES_MAX = 2,
};

struct grpc_header {
    struct grpc_header *next;
    struct slice name;
    struct slice value;
};

/* What the request's header block said, as far as it is judged only at the
 * block's end. Texts live in the call's arena. */
struct grpc_head {
    struct slice path;         /* only when no method has it */
    struct slice http_method;  /* only when it is not POST */
    struct slice content_type; /* only when it is not plain */
    struct slice timeout;
    struct slice encoding;  /* only when it is neither identity nor gzip */
    const char *bad_binary; /* text of the status */
    uint16_t authority_count;
    uint16_t host_count;
    bool has_post;
    bool has_content_type;
};

struct grpc_call {
    struct h2_stream stream; /* first */
    struct grpc_server *server;
    struct grpc_conn *conn; /* NULL once the stream is closed */
    const struct grpc_method *method;
    struct arena arena;
    struct arena scratch; /* streams: of the current message */
    struct grpc_header *metadata;
    struct grpc_head head;
    struct grpc_reader reader;
    size_t partial_bytes; /* of the reader, as the server has counted it */
    struct buf inflated;
    struct slice message;    /* while on_message runs */
    bool message_is_lasting; /* it lives as long as the call anyway */
    bool is_gzip;
    bool is_plain_type; /* "application/grpc" is what to echo */
    bool is_begun;
    bool is_finished;
    bool is_over; /* on_end has run */
    bool has_message;
    uint32_t refs;
    nghttp2_nv content_type;
    void *ctx;
    void (*resume)(struct grpc_call *c);
    struct wheel_node deadline;
    uint64_t deadline_ns;
    uint64_t started_ns;
    struct grpc_call *next_free;
};

struct grpc_conn {
    struct grpc_server *server;
    struct conn *conn;
    struct h2_session *h2;
    struct list link;
    struct timer *keepalive;
    uint64_t read_ms;      /* when bytes came last */
    uint64_t ping_seen_ms; /* the peer's last PING */
    uint32_t sent_at_ping; /* frames we had sent when it came */
    uint8_t strikes;
    bool is_pinging; /* our PING is out */
    bool is_leaving;
    bool is_paused; /* it does not read, so it is not read */
};

struct grpc_server {
    struct loop *loop;
    struct grpc_server_config config;
    struct grpc_server_stats stats;
    struct grpc_method_stats *method_stats; /* as config.methods */
    const struct grpc_method **slots;       /* hash table of paths */
    uint32_t slot_mask;
    struct list conns;
    struct grpc_call *free_calls;
    uint32_t free_call_count;
    uint32_t call_count; /* that exist and are not free */
    size_t partial_bytes;
    struct timer *trim_timer;
    bool is_trimming;
    struct wheel wheel;
    struct timer *wheel_timer;
    uint64_t wheel_armed_ms; /* 0: not */
    struct timer *stop_timer;
    void (*drained)(void *ctx);
    void *drained_ctx;
    bool is_stopping;
    bool is_freed; /* waits for the last call's last reference */
};

#define GRPC_NV(n, v)                                                         \
    {                                                                         \
        .name = (uint8_t *)(uintptr_t)(n), .namelen = sizeof(n) - 1,          \
        .value = (uint8_t *)(uintptr_t)(v), .valuelen = sizeof(v) - 1,        \
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE \
    }

/* methods.c */
void grpc_methods_build(struct grpc_server *s);
const struct grpc_method *grpc_methods_find(const struct grpc_server *s,
                                            struct slice path);
/* The status text for a path no method has. */
const char *grpc_methods_missing(const struct grpc_server *s, struct arena *a,
                                 struct slice path);

/* call.c */
struct grpc_call *grpc_call_new(struct grpc_conn *gc);
/* Reports, once, how it ended; no more sending. */
void grpc_call_settle(struct grpc_call *c, enum grpc_code code);
void grpc_call_end(struct grpc_call *c); /* on_end, once */
void grpc_call_trim(struct grpc_server *s, uint32_t keep);
void grpc_call_trim_slowly(void *server);
/* Keeps the server's count of what messages in pieces take. */
void grpc_call_count_partial(struct grpc_call *c);
void grpc_server_release(struct grpc_server *s);
/* False: an interceptor has answered. */
bool grpc_call_begin(struct grpc_call *c);
static inline bool grpc_call_is_unary(const struct grpc_call *c)
{
    return !c->method || c->method->kind == GRPC_UNARY;
}
static inline struct grpc_call *grpc_call_of(struct h2_stream *st)
{
    return container_of(st, struct grpc_call, stream);
}

/* head.c */
void grpc_head_header(struct h2_stream *st, struct slice name,
                      struct slice value);
void grpc_head_done(struct h2_stream *st, bool is_trailers);

/* receive.c */
void grpc_receive_data(struct h2_stream *st, struct slice data);
void grpc_receive_end(struct h2_stream *st);

/* reply.c: an answer by one header block, with an HTTP status. */
void grpc_reply_refuse(struct grpc_call *c, const char *http_status,
                       enum grpc_code code, const char *text);

/* deadline.c */
void grpc_deadline_set(struct grpc_call *c, uint64_t timeout_ns);
void grpc_deadline_fire(void *ctx);

/* status.c */
/* As grpc-message has it: %XX for what is not printable ASCII. */
struct slice grpc_status_encode(struct arena *a, const char *text);
/* The other way, in place; returns the size. */
size_t grpc_status_decode(char *text, size_t size);
/* Go's %q. */
const char *grpc_status_quote(struct arena *a, struct slice s);

/* gzip.c */
int grpc_gzip_pack(const struct slice *parts, size_t count, struct buf *out);
/* ERR_TOO_LARGE past out->max; ERR_CORRUPT and why. */
int grpc_gzip_unpack(struct slice in, struct buf *out, const char **ret_why);

#endif
