/*
 * POST /raft/snapshot: a message, the store image, its hash. The image is made
 * slice by slice on the pool: one slice is being made while another waits
 * for the socket, so memory is bounded by two slices and what the socket
 * has not taken.
 *
 *   making the first slice -> dialling -> sending -> asked for the answer
 *
 * The first slice is made before the dial, because the other side gives up
 * on a connection that says nothing for 5 s.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/endian.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "peer/hub.h"

struct peer_snapshot_out {
    struct list link;
    struct peer_hub *hub; /* NULL: gone */
    struct loop *loop;
    uint64_t id;
    uint64_t index;
    struct buf head; /* length and message */
    uint64_t image_bytes;
    uint64_t body_bytes; /* with the hash */
    void (*closed)(void *ctx);
    void *ctx;
    struct peer_client *client;
    struct image_writer *writer; /* the pool's, while a job runs */
    struct image_hash *hash;     /* likewise */
    struct buf making;           /* likewise */
    int job_err;                 /* likewise */
    struct buf ready;            /* waits for the socket */
    uint64_t made;               /* of body_bytes, with `ready` */
    bool is_job_running;
    bool is_over;
    int err;
    int status;
    uint64_t started_ns;
};

/* ---- the pool's side ---- */

static void make_slice(void *ctx)
{
    struct peer_snapshot_out *s = ctx;
    while (s->job_err == 0 && s->making.size < PEER_SNAPSHOT_SLICE_BYTES) {
        struct slice bytes;
        s->job_err = image_writer_next(s->writer, &bytes);
        if (s->job_err == 0) {
            buf_append_slice(&s->making, bytes);
            image_hash_add(s->hash, bytes);
        }
    }
    if (s->job_err == ERR_NOT_FOUND) { /* after the last */
        uint8_t hash[IMAGE_HASH_SIZE];
        image_hash_end(s->hash, hash);
        buf_append(&s->making, hash, sizeof hash);
        s->job_err = 0;
    }
}

/* ---- the end ---- */

/* The store need not keep what the image was made of any longer. */
static void close_source(struct peer_snapshot_out *s)
{
    if (s->closed) {
        image_writer_free(s->writer);
        s->writer = NULL;
        image_hash_free(s->hash);
        s->hash = NULL;
        s->closed(s->ctx);
        s->closed = NULL;
    }
}

static void free_snapshot(struct peer_snapshot_out *s)
{
    list_remove(&s->link);
    close_source(s);
    buf_release(&s->head);
    buf_release(&s->making);
    buf_release(&s->ready);
    free(s);
}

/* Told and freed by the hub's `later`, when no job runs any more. */
static void end(struct peer_snapshot_out *s, int err)
{
    if (s->is_over) {
        return;
    }
    s->is_over = true;
    s->err = err;
    peer_client_close(s->client);
    s->client = NULL;
    if (s->hub) {
        peer_hub_later(s->hub);
    }
}

static void log_end(const struct peer_snapshot_out *s)
{
    struct peer_hub *h = s->hub;
    uint64_t took_ns = loop_now_ns(s->loop) - s->started_ns;
    if (s->err == 0) {
        log_info("sent database snapshot", LOG_UINT("snapshot-index", s->index),
                 LOG_ID("remote-peer-id", s->id),
                 LOG_UINT("bytes", s->image_bytes),
                 LOG_STR("size", peer_size_text(s->image_bytes).text),
                 LOG_DURATION("took", took_ns));
    } else {
        log_warn("failed to send database snapshot",
                 LOG_UINT("snapshot-index", s->index),
                 LOG_ID("local-member-id", h->config.self),
                 LOG_ID("remote-peer-id", s->id),
                 LOG_UINT("bytes", s->image_bytes),
                 LOG_INT("status", s->status), LOG_ERR(s->err));
    }
}

void peer_snapshot_out_reap(struct peer_hub *h)
{
    struct list over;
    list_init(&over);
    list_each(it, safe, &h->snapshots_out)
    {
        struct peer_snapshot_out *s =
            container_of(it, struct peer_snapshot_out, link);
        if (s->is_over && !s->is_job_running) {
            list_remove(it);
            list_append(&over, it);
        }
    }
    while (!list_empty(&over)) {
        struct peer_snapshot_out *s =
            container_of(over.next, struct peer_snapshot_out, link);
        uint64_t id = s->id;
        bool ok = s->err == 0;
        log_end(s);
        free_snapshot(s);
        h->config.rim.snapshot_sent(h->config.rim.ctx, id, ok);
    }
}

void peer_snapshot_out_cancel(struct peer_hub *h, uint64_t id)
{
    list_each(it, safe, &h->snapshots_out)
    {
        struct peer_snapshot_out *s =
            container_of(it, struct peer_snapshot_out, link);
        if (s->id == id) {
            end(s, ERR_CANCELED);
        }
    }
}

void peer_snapshot_out_orphan(struct peer_hub *h)
{
    list_each(it, safe, &h->snapshots_out)
    {
        struct peer_snapshot_out *s =
            container_of(it, struct peer_snapshot_out, link);
        list_remove(it);
        s->hub = NULL;
        end(s, ERR_CANCELED);
        if (!s->is_job_running) {
            free_snapshot(s);
        }
    }
}

/* ---- the loop's side ---- */

static void on_made(void *ctx);

static void start_job(struct peer_snapshot_out *s)
{
    s->is_job_running = true;
    loop_offload_bulk(s->loop, make_slice, on_made, s);
}

static const struct peer_client_events events;

static void dial(struct peer_snapshot_out *s)
{
    struct peer *p = peer_hub_find(s->hub, s->id);
    if (!p || !peer_url(p)) {
        end(s, ERR_NOT_FOUND);
        return;
    }
    s->client = peer_client_new(
        s->loop, peer_url(p), PEER_DIAL_MS + s->hub->config.election_timeout_ms,
        &events, s);
}

/* A finished slice moves on as soon as the one before it has gone. */
static void hand_over(struct peer_snapshot_out *s)
{
    if (s->is_job_running || s->ready.size || !s->making.size) {
        return;
    }
    struct buf made = s->making;
    s->making = s->ready;
    s->ready = made;
    s->making.size = 0;
    s->made += made.size;
    if (s->made < s->body_bytes) {
        start_job(s);
    } else {
        close_source(s);
    }
}

static void on_made(void *ctx)
{
    struct peer_snapshot_out *s = ctx;
    s->is_job_running = false;
    if (!s->hub) {
        free_snapshot(s);
        return;
    }
    if (s->is_over) {
        peer_hub_later(s->hub);
        return;
    }
    if (s->job_err != 0 || !s->making.size ||
        s->making.size > s->body_bytes - s->made) {
        end(s, s->job_err ? s->job_err : ERR_CORRUPT);
        return;
    }
    hand_over(s);
    if (!s->client) {
        dial(s);
    } else {
        peer_client_flush(s->client);
    }
}

static void on_connected(void *ctx)
{
    struct peer_snapshot_out *s = ctx;
    peer_client_start_request(s->client, "POST", "/raft/snapshot");
    struct buf *out = peer_client_out(s->client);
    peer_hub_put_identity(s->hub, out);
    buf_printf(out,
               "Content-Type: application/octet-stream\r\n" PEER_HASH_FIELD
               ": " PEER_HASH_SHA256 "\r\n"
               "Content-Length: %" PRIu64 "\r\n\r\n",
               s->head.size + s->body_bytes);
    buf_append_slice(out, buf_slice(&s->head));
    peer_client_flush(s->client);
    peer_client_limit(s->client, PEER_SNAPSHOT_STALL_MS);
}

/* Called when the socket has taken all there was. */
static bool on_flush(void *ctx, struct buf *out)
{
    struct peer_snapshot_out *s = ctx;
    if (s->made == s->body_bytes) {
        peer_client_limit(s->client, PEER_SNAPSHOT_ANSWER_MS);
    }
    buf_append_slice(out, buf_slice(&s->ready));
    struct peer *p = peer_hub_find(s->hub, s->id);
    if (p) {
        p->sent_bytes += s->ready.size;
    }
    s->ready.size = 0;
    hand_over(s);
    return s->ready.size > 0;
}

static int on_head(void *ctx, const struct peer_http *http)
{
    struct peer_snapshot_out *s = ctx;
    s->status = peer_http_status(http);
    return 0;
}

static int on_body(void *ctx, struct slice bytes)
{
    return 0;
}

static int on_complete(void *ctx, bool keeps_alive)
{
    struct peer_snapshot_out *s = ctx;
    if (s->status == 100) {
        return 0;
    }
    bool is_sent = s->made == s->body_bytes && !s->ready.size;
    bool is_taken = s->status == 204 || s->status == 200;
    end(s, is_sent && is_taken ? 0 : ERR_REFUSED);
    return 0;
}

static void on_closed(void *ctx, int err)
{
    struct peer_snapshot_out *s = ctx;
    s->client = NULL;
    end(s, err ? err : ERR_CLOSED);
}

static const struct peer_client_events events = {
    .connected = on_connected,
    .flush = on_flush,
    .head = on_head,
    .body = on_body,
    .complete = on_complete,
    .closed = on_closed,
};

/* ---- the door ---- */

void peer_send_snapshot(struct peer_hub *h, struct raft_message *m,
                        const struct image_source *source, uint64_t image_bytes,
                        void (*closed)(void *ctx), void *ctx)
{
    struct peer_snapshot_out *s = mem_zalloc(sizeof *s);
    s->hub = h;
    s->loop = h->loop;
    s->id = m->to;
    s->index = m->snapshot ? m->snapshot->index : 0;
    s->writer = image_writer_new(source, image_bytes);
    s->image_bytes = image_bytes;
    s->body_bytes = image_bytes + IMAGE_HASH_SIZE;
    s->hash = image_hash_new();
    s->closed = closed;
    s->ctx = ctx;
    s->started_ns = loop_now_ns(h->loop);
    buf_init(&s->making, 16 << 20);
    buf_init(&s->ready, 16 << 20);
    buf_init(&s->head, PEER_SNAPSHOT_HEAD_BYTES_MAX);
    uint8_t length[8];
    put_be64(length, peer_message_size(m));
    buf_append(&s->head, length, sizeof length);
    peer_encode_message(m, &s->head);
    raft_message_release(m);
    list_append(&h->snapshots_out, &s->link);
    log_info("sending database snapshot", LOG_UINT("snapshot-index", s->index),
             LOG_ID("remote-peer-id", s->id), LOG_UINT("bytes", image_bytes),
             LOG_STR("size", peer_size_text(image_bytes).text));
    start_job(s);
}
