/*
 * A stream that the peer has dialled and we write: messages wait as they
 * are and become frames when the connection asks for output, so that all of
 * a pass leave in one chunk and one send(2), and entry data is copied once.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "peer/hub.h"

enum { RING_MIN = 16, RING_KEPT = 256, CHUNK_HEAD = 10 };

static struct peer_hub *hub_of(const struct peer_outstream *s)
{
    return s->peer->hub;
}

static void log_attached(const struct peer_outstream *s)
{
    log_info("established TCP streaming connection with remote peer",
             LOG_STR("stream-writer-type", peer_kind_log(s->writer.kind)),
             LOG_ID("local-member-id", hub_of(s)->config.self),
             LOG_ID("remote-peer-id", s->peer->id));
}

static void log_lost(const struct peer_outstream *s, int err)
{
    log_warn("lost TCP streaming connection with remote peer",
             LOG_STR("stream-writer-type", peer_kind_log(s->writer.kind)),
             LOG_ID("local-member-id", hub_of(s)->config.self),
             LOG_ID("remote-peer-id", s->peer->id),
             LOG_STR("error", err ? err_text(err) : "EOF"));
}

void peer_outstream_attach(struct peer *p, enum peer_kind kind,
                           struct peer_server *server, struct conn *conn)
{
    if (p->out[kind]) {
        peer_outstream_end(p->out[kind], false);
    }
    struct peer_outstream *s = mem_zalloc(sizeof *s);
    s->peer = p;
    s->server = server;
    s->conn = conn;
    s->writer.kind = kind;
    s->moved_ms = loop_now_ms(p->hub->loop);
    s->beat_due_ms = s->moved_ms + PEER_BEAT_MS;
    p->out[kind] = s;
    peer_server_stream(server, s);
    log_attached(s);
    peer_activate(p);
}

static void grow(struct peer_outstream *s)
{
    uint32_t capacity = s->capacity ? s->capacity * 2 : RING_MIN;
    struct peer_queued *ring = mem_alloc(capacity * sizeof *ring);
    for (uint32_t i = 0; i < s->count; i++) {
        ring[i] = s->ring[(s->first + i) % s->capacity];
    }
    free(s->ring);
    s->ring = ring;
    s->first = 0;
    s->capacity = capacity;
}

bool peer_outstream_send(struct peer_outstream *s, struct raft_message *m)
{
    size_t size = peer_frame_size_max(m);
    if (s->count == PEER_STREAM_MESSAGES_MAX ||
        s->bytes + size > PEER_STREAM_BYTES_MAX) {
        return false;
    }
    if (s->count == s->capacity) {
        grow(s);
    }
    uint32_t at = (s->first + s->count++) % s->capacity;
    s->ring[at] = (struct peer_queued){*m, size};
    s->bytes += size;
    conn_want_flush(s->conn);
    return true;
}

static void pop(struct peer_outstream *s)
{
    struct peer_queued *q = &s->ring[s->first];
    s->bytes -= q->size;
    raft_message_release(&q->m);
    s->first = (s->first + 1) % s->capacity;
    s->count--;
}

static void drop_queue(struct peer_outstream *s)
{
    while (s->count) {
        pop(s);
    }
    if (s->capacity > RING_KEPT) {
        free(s->ring);
        s->ring = NULL;
        s->first = s->capacity = 0;
    }
}

/* One chunk: its length is written into the place kept for it. */
static void write_chunk(struct peer_outstream *s, struct buf *out)
{
    size_t head = out->size;
    buf_append(out, "00000000\r\n", CHUNK_HEAD);
    while (s->count && out->size - head < NET_FLUSH_BYTES) {
        peer_frame_write(&s->writer, &s->ring[s->first].m, out);
        pop(s);
    }
    if (s->wants_beat) {
        peer_frame_write_heartbeat(&s->writer, out);
        s->wants_beat = false;
    }
    size_t size = out->size - head - CHUNK_HEAD;
    for (int i = 0; i < 8; i++) {
        out->data[head + (size_t)i] =
            (uint8_t) "0123456789abcdef"[size >> (28 - 4 * i) & 15];
    }
    buf_append(out, "\r\n", 2);
    if (s->peer) {
        s->peer->sent_bytes += size;
    }
}

bool peer_outstream_flush(struct peer_outstream *s, struct buf *out)
{
    if (s->peer) {
        s->moved_ms = loop_now_ms(hub_of(s)->loop);
    }
    if (s->count || s->wants_beat) {
        write_chunk(s, out);
    }
    if (s->count) {
        return true;
    }
    drop_queue(s);
    if (s->is_ending) {
        buf_append_str(out, "0\r\n\r\n");
        s->is_ending = false;
    }
    return false;
}

void peer_outstream_tick(struct peer_outstream *s, uint64_t now_ms)
{
    size_t backlog = conn_backlog(s->conn);
    if (backlog < s->seen_backlog || (!backlog && !s->count)) {
        s->moved_ms = now_ms;
    }
    s->seen_backlog = backlog;
    if (now_ms - s->moved_ms >= hub_of(s)->config.write_timeout_ms) {
        peer_server_close(s->server);
        return;
    }
    if (now_ms >= s->beat_due_ms) {
        s->beat_due_ms = now_ms + PEER_BEAT_MS;
        s->wants_beat = true;
        conn_want_flush(s->conn);
    }
}

static void detach(struct peer_outstream *s)
{
    if (s->peer->out[s->writer.kind] == s) {
        s->peer->out[s->writer.kind] = NULL;
    }
    s->peer = NULL;
}

/* What is queued will not arrive, and Raft is told. */
static void lose_queue(struct peer_outstream *s)
{
    if (s->count) {
        s->peer->sent_failures += s->count;
        peer_lost(s->peer);
    }
    drop_queue(s);
}

void peer_outstream_end(struct peer_outstream *s, bool is_drained)
{
    if (!s->peer) {
        return;
    }
    if (!is_drained) {
        lose_queue(s);
    }
    detach(s);
    s->is_ending = true;
    s->wants_beat = false;
    conn_close(s->conn, true);
}

void peer_outstream_free(struct peer_outstream *s, int err)
{
    if (s->peer) {
        struct peer *p = s->peer;
        log_lost(s, err);
        lose_queue(s);
        detach(s);
        peer_deactivate(p, err ? err_text(err) : "unexpected EOF");
    }
    drop_queue(s);
    free(s->ring);
    free(s);
}
