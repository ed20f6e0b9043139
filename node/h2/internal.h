/* What the files of h2/ share. */
#ifndef H2_INTERNAL_H
#define H2_INTERNAL_H

#include "h2/h2.h"

struct h2_session {
    nghttp2_session *ng;
    const struct h2_events *events;
    void *ctx;
    struct list streams;
    struct list drained;       /* on_drain to be called */
    struct buf *out;           /* during h2_session_send() */
    size_t limit;              /* of its size, soft */
    struct h2_stream *current; /* the last one looked up */
    uint32_t stream_count;
    uint32_t early_count; /* streams with is_early */
    uint32_t sent_count;  /* HEADERS and DATA frames, ever */
    uint32_t head_bytes;  /* of the header block being read */
    bool is_client;
    bool is_going; /* GOAWAY seen or sent */
};

/* nghttp2's calls for a stream's output, in stream.c. */
ssize_t h2_stream_read(nghttp2_session *ng, int32_t id, uint8_t *data,
                       size_t room, uint32_t *flags, nghttp2_data_source *src,
                       void *ctx);
int h2_stream_send_data(nghttp2_session *ng, nghttp2_frame *frame,
                        const uint8_t *head, size_t size,
                        nghttp2_data_source *src, void *ctx);
void h2_stream_drop_output(struct h2_stream *st);

static inline void h2_session_notify(struct h2_session *s)
{
    s->events->on_output(s->ctx);
}

#endif
