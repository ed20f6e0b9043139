/*
 * A stream that we dial and read:
 *   waiting (due_ms) -> dialling -> asked -> attached -> waiting ...
 * for ever, as long as the peer is one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "peer/hub.h"

void peer_instream_init(struct peer_instream *s, struct peer *p,
                        enum peer_kind kind)
{
    *s = (struct peer_instream){.peer = p, .kind = kind};
}

static void log_change(const struct peer_instream *s, const char *text,
                       enum log_level level, const char *why)
{
    const struct peer_hub *h = s->peer->hub;
    const char *type = peer_kind_log(s->kind);
    if (level == LOG_LEVEL_INFO) {
        log_info(text, LOG_STR("stream-reader-type", type),
                 LOG_ID("local-member-id", h->config.self),
                 LOG_ID("remote-peer-id", s->peer->id));
    } else {
        log_warn(text, LOG_STR("stream-reader-type", type),
                 LOG_ID("local-member-id", h->config.self),
                 LOG_ID("remote-peer-id", s->peer->id), LOG_STR("error", why));
    }
}

/* ---- waiting ---- */

static void wait_again(struct peer_instream *s)
{
    struct peer_hub *h = s->peer->hub;
    if (s->backoff_ms == 0) {
        s->backoff_ms = PEER_REDIAL_MS;
    }
    uint64_t jitter_ms = rng_below(&h->rng, s->backoff_ms);
    s->due_ms = loop_now_ms(h->loop) + s->backoff_ms + jitter_ms / 2;
    s->backoff_ms *= 2;
    if (s->backoff_ms > PEER_REDIAL_MS_MAX) {
        s->backoff_ms = PEER_REDIAL_MS_MAX;
    }
}

void peer_instream_hurry(struct peer_instream *s)
{
    uint64_t soon = loop_now_ms(s->peer->hub->loop) + PEER_REDIAL_MS;
    s->backoff_ms = 0;
    if (!s->client && s->due_ms > soon) {
        s->due_ms = soon;
    }
}

/* ---- events ---- */

static void on_connected(void *ctx)
{
    struct peer_instream *s = ctx;
    const struct peer_hub *h = s->peer->hub;
    char path[64];
    snprintf(path, sizeof path, "/raft/stream/%s/%" PRIx64,
             peer_kind_text(s->kind), h->config.self);
    peer_client_start_request(s->client, "GET", path);
    struct buf *out = peer_client_out(s->client);
    peer_hub_put_identity(h, out);
    buf_printf(out, "X-Raft-To: %" PRIx64 "\r\n\r\n", s->peer->id);
    peer_client_flush(s->client);
    peer_client_limit(s->client, h->config.read_timeout_ms);
}

static int on_message(void *ctx, struct raft_message *m)
{
    struct peer_instream *s = ctx;
    peer_hub_take(s->peer->hub, m);
    return s->client ? 0 : ERR_CLOSED; /* the rim may have removed the peer */
}

static void attach(struct peer_instream *s)
{
    struct peer_hub *h = s->peer->hub;
    s->is_attached = true;
    s->is_ended = false;
    s->backoff_ms = 0;
    if (s->has_reader) {
        peer_frame_reader_release(&s->reader);
    }
    s->has_reader = true;
    peer_frame_reader_init(&s->reader, s->kind, s->peer->id, h->config.self,
                           on_message, s);
    log_change(s, "established TCP streaming connection with remote peer",
               LOG_LEVEL_INFO, NULL);
    peer_activate(s->peer);
}

static void log_refusal(struct peer_instream *s, int status)
{
    const struct peer_hub *h = s->peer->hub;
    if (s->status == status) {
        return; /* said before */
    }
    s->status = status;
    log_warn("remote peer refused the stream",
             LOG_STR("stream-reader-type", peer_kind_log(s->kind)),
             LOG_ID("local-member-id", h->config.self),
             LOG_ID("remote-peer-id", s->peer->id), LOG_INT("status", status));
}

static int on_head(void *ctx, const struct peer_http *http)
{
    struct peer_instream *s = ctx;
    struct peer_hub *h = s->peer->hub;
    int status = peer_http_status(http);
    if (status == 200) {
        s->status = 0;
        attach(s);
        return 0;
    }
    log_refusal(s, status);
    if (status == 410 && !h->is_told_removed) {
        h->is_told_removed = true;
        h->config.rim.removed(h->config.rim.ctx);
    }
    const char *theirs = peer_http_field(http, "X-Etcd-Cluster-ID");
    char ours[24];
    snprintf(ours, sizeof ours, "%" PRIx64, h->config.cluster_id);
    if (status == 412 && theirs[0] && strcmp(theirs, ours) != 0 &&
        h->config.rim.other_cluster) {
        h->config.rim.other_cluster(h->config.rim.ctx, s->peer->id);
    }
    return ERR_REFUSED;
}

static int on_body(void *ctx, struct slice bytes)
{
    struct peer_instream *s = ctx;
    s->peer->received_bytes += bytes.size;
    return peer_frame_read(&s->reader, bytes);
}

static int on_complete(void *ctx, bool keeps_alive)
{
    struct peer_instream *s = ctx;
    s->is_ended = s->is_attached && peer_frame_reader_at_rest(&s->reader);
    return ERR_CLOSED;
}

static void on_closed(void *ctx, int err)
{
    struct peer_instream *s = ctx;
    const char *why = s->is_ended ? "EOF"
                      : err == 0  ? "unexpected EOF"
                                  : err_text(err);
    s->client = NULL;
    if (s->is_attached) {
        s->is_attached = false;
        log_change(s, "lost TCP streaming connection with remote peer",
                   LOG_LEVEL_WARN, why);
    }
    if (!s->is_ended) {
        peer_deactivate(s->peer, why);
        peer_rotate(s->peer, s->url_at);
    }
    s->is_ended = false;
    wait_again(s);
}

static const struct peer_client_events events = {
    .connected = on_connected,
    .head = on_head,
    .body = on_body,
    .complete = on_complete,
    .closed = on_closed,
};

/* ---- from the hub ---- */

void peer_instream_tick(struct peer_instream *s, uint64_t now_ms)
{
    struct peer *p = s->peer;
    const struct url *url = peer_url(p);
    if (s->client || p->is_remote || p->is_dead || !url || now_ms < s->due_ms) {
        return;
    }
    const struct peer_hub *h = p->hub;
    s->url_at = p->url_at;
    s->client = peer_client_new(
        h->loop, url, PEER_DIAL_MS + h->config.election_timeout_ms, &events, s);
}

void peer_instream_close(struct peer_instream *s)
{
    peer_client_close(s->client);
    s->client = NULL;
    s->is_attached = false;
}
