/*
 * One HTTP/2 connection on nghttp2, either side: bytes in, bytes out, no
 * socket and no clock. It owns the session's settings and limits and the
 * output queue of each stream; what the headers and the data mean is the
 * caller's business (grpc/).
 *
 * On the way of a Put: socket bytes -> h2_session_recv() -> on_begin,
 * on_header, on_head, on_data, on_end -> ... -> h2_stream_respond(),
 * h2_stream_write(), h2_stream_end() -> h2_session_send() -> socket bytes.
 *
 * Events come only from inside h2_session_recv(), h2_session_send() and
 * h2_session_free(). In an event everything may be called but these three.
 */
#ifndef H2_H2_H
#define H2_H2_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/list.h"

enum {
    H2_STREAM_WINDOW_BYTES = 1 << 20,
    H2_CONN_WINDOW_BYTES = 16 << 20,
    H2_HEAD_BYTES_MAX = 1 << 20, /* a header block, as RFC 9113 6.5.2 counts */
};

/* on_close's code when not the stream, but the connection is gone. */
#define H2_LOST UINT32_MAX

struct h2_session;

/* A piece of output: `size` bytes here, then `tail`. */
struct h2_chunk {
    struct h2_chunk *next;
    struct bytes *tail; /* may be NULL */
    uint32_t size;
    bool is_heap; /* free() it when sent; else it lives in an arena */
    uint8_t data[];
};

/* Uninitialised content; `a` NULL: from the heap. */
struct h2_chunk *h2_chunk_new(struct arena *a, size_t size);
void h2_chunk_free(struct h2_chunk *c);

/* Embedded in the caller's object, which must live until on_close. */
struct h2_stream {
    struct h2_session *session; /* NULL before it is opened, once closed */
    struct list link;           /* h2's */
    struct list drain_link;     /* h2's */
    struct h2_chunk *first;     /* output queue */
    struct h2_chunk **last;
    size_t taken;  /* bytes of `first` that are sent */
    size_t queued; /* bytes of all */
    size_t low;    /* see h2_stream_watch_drain */
    const nghttp2_nv *trailers;
    size_t trailer_count;
    int32_t id;
    bool is_watched;     /* on_drain wanted */
    bool is_above;       /* and `queued` has been above `low` */
    bool is_responded;   /* its header block is on the way */
    bool is_deferred;    /* nghttp2 waits for data */
    bool is_ended;       /* no more output will be queued */
    bool is_early;       /* ended while the peer still may send */
    bool is_reset;       /* RST_STREAM is on the way */
    bool is_remote_done; /* the peer has sent END_STREAM */
    bool is_fair;        /* takes turns with others on the connection */
};

void h2_stream_init(struct h2_stream *st);

struct h2_events {
    /* Server: a request begins; NULL refuses it. */
    struct h2_stream *(*on_begin)(void *ctx, int32_t id);
    void (*on_header)(struct h2_stream *st, struct slice name,
                      struct slice value);
    /* A header block is complete; it came before any data or after it. */
    void (*on_head)(struct h2_stream *st, bool is_trailers);
    /* Borrowed from the bytes given to h2_session_recv(). */
    void (*on_data)(struct h2_stream *st, struct slice data);
    void (*on_end)(struct h2_stream *st); /* END_STREAM came */
    /* The last event of a stream; its output is dropped. `code` is
     * HTTP/2's error code. */
    void (*on_close)(struct h2_stream *st, uint32_t code);
    void (*on_drain)(struct h2_stream *st);
    void (*on_output)(void *ctx); /* there is something to send */
    void (*on_ping)(void *ctx, bool is_ack);
    void (*on_goaway)(void *ctx, uint32_t code, struct slice debug);
};

struct h2_config {
    bool is_client;
    uint32_t concurrent_streams_max; /* UINT32_MAX: not announced */
    const struct h2_events *events;
    void *ctx;
};

/* Queues the SETTINGS (and the client's preface) at once. */
struct h2_session *h2_session_new(const struct h2_config *config);
/* Closes what streams are open (on_close with H2_LOST). */
void h2_session_free(struct h2_session *s);

/* ERR_PROTOCOL: not HTTP/2, or a flood; send what is queued and close. */
int h2_session_recv(struct h2_session *s, struct slice data);
/* Appends about `room` bytes of frames; true when there may be more. */
bool h2_session_send(struct h2_session *s, struct buf *out, size_t room);
/* Nothing to read or to write any more: close the connection. */
bool h2_session_is_over(struct h2_session *s);
void h2_session_ping(struct h2_session *s);
/* No new streams; open ones go on. */
void h2_session_goaway(struct h2_session *s, uint32_t code, const char *debug);
uint32_t h2_session_stream_count(const struct h2_session *s);
/* Frames that wait to be sent, DATA apart. */
size_t h2_session_frame_count(const struct h2_session *s);
/* HEADERS and DATA frames sent so far. */
uint32_t h2_session_sent_count(const struct h2_session *s);
/* `visit` may end or reset the stream, not free it. */
void h2_session_each(struct h2_session *s,
                     void (*visit)(struct h2_stream *st, void *ctx), void *ctx);

/* Client: opens a stream with this header block; what is queued already
 * goes with it. The memory behind `nv` must live until on_close where its
 * flags say NO_COPY. ERR_UNAVAILABLE: no stream ids left, or GOAWAY. */
int h2_stream_request(struct h2_stream *st, struct h2_session *s,
                      const nghttp2_nv *nv, size_t count);
/* Server: the first header block. `is_end`: and the only one. */
void h2_stream_respond(struct h2_stream *st, const nghttp2_nv *nv, size_t count,
                       bool is_end);
/* Takes the chunk. */
void h2_stream_write(struct h2_stream *st, struct h2_chunk *c);
/* No more output; then the trailers (NULL, 0: none), which must live until
 * on_close. If the peer has not ended by then, RST_STREAM(NO_ERROR)
 * follows. */
void h2_stream_end(struct h2_stream *st, const nghttp2_nv *trailers,
                   size_t count);
/* Drops what is queued. on_close comes from the next h2_session_send(). */
void h2_stream_reset(struct h2_stream *st, uint32_t code);
/* One on_drain when `queued` has been above `low` and is no more. */
void h2_stream_watch_drain(struct h2_stream *st, size_t low);

#endif
