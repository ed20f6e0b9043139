/*
 * Snapshot: the store as one file, made as it is sent. Size and pieces are
 * made on the pool for what blocks, a batch at a time, and the next batch
 * only when the client has taken most of the last one: memory stays at a
 * few hundred KiB whatever the store's size.
 *
 *   open (store thread) -> measure (pool) -> [fill (pool) -> send (loop)]*
 */
#include <stdlib.h>

#include "image/image.h"
#include "proto/proto.h"
#include "state.h"

static const char VERSION[] = "3.7.0";

struct snapshot {
    struct api *api;
    struct api_stream *stream; /* NULL: the client is gone */
    struct mvcc_image *image;
    struct image_writer *writer;
    struct image_hash *hash;
    uint64_t bytes;
    uint64_t sent;
    struct buf filled; /* pool and loop take turns */
    bool busy;         /* the store or the pool has it */
    bool at_end;
    int err;
};

static void snapshot_free(struct snapshot *s)
{
    image_writer_free(s->writer);
    if (s->image) {
        mvcc_image_close(s->image);
    }
    image_hash_free(s->hash);
    buf_release(&s->filled);
    free(s);
}

/* True when there is nobody to go on for; then s is gone. */
static bool abandoned(struct snapshot *s)
{
    s->busy = false;
    if (s->stream && s->err == 0) {
        return false;
    }
    if (s->stream) {
        s->stream->state = NULL;
        grpc_finish(s->stream->call, GRPC_UNKNOWN, err_text(s->err));
    }
    snapshot_free(s);
    return true;
}

/* ---- sending ---- */
static void send_blob(struct snapshot *s, struct slice blob, uint64_t remaining)
{
    uint8_t message[API_SNAPSHOT_CHUNK + 64];
    uint8_t *to = proto_u64(message, 2, remaining);
    to = proto_copy(proto_head(to, 3, blob.size), blob);
    struct slice version = slice_str(VERSION);
    to = proto_copy(proto_head(to, 4, version.size), version);
    grpc_send_bytes(s->stream->call, slice_of(message, (size_t)(to - message)),
                    NULL);
}

static void send_filled(struct snapshot *s)
{
    size_t at = 0;
    while (s->filled.size - at >= API_SNAPSHOT_CHUNK ||
           (s->at_end && s->filled.size > at)) {
        size_t size = s->filled.size - at;
        size = size > API_SNAPSHOT_CHUNK ? API_SNAPSHOT_CHUNK : size;
        s->sent += size;
        send_blob(s, slice_of(s->filled.data + at, size), s->bytes - s->sent);
        at += size;
    }
    buf_consume(&s->filled, at);
}

static void finish(struct snapshot *s)
{
    uint8_t hash[IMAGE_HASH_SIZE];
    struct api_stream *stream = s->stream;
    image_hash_end(s->hash, hash);
    send_blob(s, slice_of(hash, sizeof hash), 0);
    grpc_finish(stream->call, GRPC_OK, NULL);
    stream->state = NULL;
    snapshot_free(s);
}

/* ---- pool ---- */
static void fill(void *ctx)
{
    struct snapshot *s = ctx;
    size_t want = (size_t)API_SNAPSHOT_CHUNK * API_SNAPSHOT_BATCH;
    while (s->err == 0 && !s->at_end && s->filled.size < want) {
        struct slice piece;
        int err = image_writer_next(s->writer, &piece);
        if (err == ERR_NOT_FOUND) {
            s->at_end = true;
        } else if (err) {
            s->err = err;
        } else {
            image_hash_add(s->hash, piece);
            s->err = buf_append_slice(&s->filled, piece);
        }
    }
}

static void filled(void *ctx);

static void next_batch(struct snapshot *s)
{
    s->busy = true;
    loop_offload_bulk(s->api->config.loop, fill, filled, s);
}

static void drained(struct grpc_call *call)
{
    struct api_stream *stream = grpc_call_ctx(call);
    struct snapshot *s = stream->state;
    if (s && !s->busy) {
        next_batch(s);
    }
}

static void filled(void *ctx)
{
    struct snapshot *s = ctx;
    if (abandoned(s)) {
        return;
    }
    send_filled(s);
    if (s->at_end) {
        finish(s);
        return;
    }
    struct grpc_call *call = s->stream->call;
    if (grpc_call_queued(call) > API_SNAPSHOT_CHUNK) {
        grpc_call_on_drain(call, API_SNAPSHOT_CHUNK, drained);
    } else {
        next_batch(s);
    }
}

static void measure(void *ctx)
{
    struct snapshot *s = ctx;
    s->err = image_measure(mvcc_image_source(s->image), &s->bytes);
}

static void measured(void *ctx)
{
    struct snapshot *s = ctx;
    if (abandoned(s)) {
        return;
    }
    s->writer = image_writer_new(mvcc_image_source(s->image), s->bytes);
    next_batch(s);
}

static void opened(void *ctx, struct mvcc_image *image, int err)
{
    struct snapshot *s = ctx;
    s->image = err ? NULL : image;
    s->err = err;
    if (abandoned(s)) {
        return;
    }
    s->busy = true;
    loop_offload_bulk(s->api->config.loop, measure, measured, s);
}

/* ---- the method ---- */
void api_snapshot(struct grpc_call *call, struct slice message)
{
    struct api_stream *stream = grpc_call_ctx(call);
    if (stream->state) {
        return; /* a second request message is ignored */
    }
    if (!grpc_unpack(call, &pb__snapshot_request__descriptor, message)) {
        return;
    }
    struct snapshot *s = mem_zalloc(sizeof *s);
    s->api = stream->api;
    s->stream = stream;
    s->hash = image_hash_new();
    buf_init(&s->filled, SIZE_MAX);
    stream->state = s;
    s->busy = true;
    mvcc_image_open(s->api->mvcc, opened, s);
}

void api_snapshot_end(struct grpc_call *call)
{
    struct api_stream *stream = grpc_call_ctx(call);
    struct snapshot *s = stream->state;
    if (s) {
        stream->state = NULL;
        s->stream = NULL;
        if (!s->busy) {
            snapshot_free(s);
        }
    }
    api_stream_end(call);
}
