/*
 * GET /raft/probing, every 4 s over one connection: the round-trip time,
 * and whether the peer answers at all.
 */
#include "base/err.h"
#include "base/log.h"
#include "peer/hub.h"

enum { PEER_RTT_START_NS = 100000, PEER_RTT_BUCKETS = 16 };

static const struct peer_client_events events;

void peer_probe_init(struct peer_probe *b, struct peer *p)
{
    b->peer = p;
    histogram_init(&b->rtt, PEER_RTT_START_NS, PEER_RTT_BUCKETS);
}

static void ask(struct peer_probe *b)
{
    const struct peer_hub *h = b->peer->hub;
    b->status = 0;
    b->asked_ns = loop_now_ns(h->loop);
    peer_client_start_request(b->client, "GET", "/raft/probing");
    buf_append_str(peer_client_out(b->client), "\r\n");
    peer_client_flush(b->client);
    peer_client_limit(b->client, h->config.read_timeout_ms);
}

static void judge(struct peer_probe *b, const char *why)
{
    b->is_asking = false;
    if (!why) {
        b->rtt_ns = loop_now_ns(b->peer->hub->loop) - b->asked_ns;
        histogram_observe(&b->rtt, b->rtt_ns);
    } else if (!b->is_unhealthy) {
        log_warn("prober detected unhealthy status",
                 LOG_STR("round-tripper-name", "ROUND_TRIPPER_RAFT_MESSAGE"),
                 LOG_ID("remote-peer-id", b->peer->id),
                 LOG_DURATION("rtt", b->rtt_ns), LOG_STR("error", why));
    }
    b->is_unhealthy = why != NULL;
}

static void on_connected(void *ctx)
{
    ask(ctx);
}

static int on_head(void *ctx, const struct peer_http *http)
{
    struct peer_probe *b = ctx;
    b->status = peer_http_status(http);
    return b->is_asking ? 0 : ERR_PROTOCOL;
}

static int on_body(void *ctx, struct slice bytes)
{
    return 0;
}

static int on_complete(void *ctx, bool keeps_alive)
{
    struct peer_probe *b = ctx;
    peer_client_limit(b->client, 0);
    if (!keeps_alive) {
        peer_client_close(b->client);
        b->client = NULL;
    }
    judge(b, b->status == 200 ? NULL : peer_http_reason(b->status));
    return 0;
}

static void on_closed(void *ctx, int err)
{
    struct peer_probe *b = ctx;
    b->client = NULL;
    if (b->is_asking) {
        peer_rotate(b->peer, b->url_at);
        judge(b, err ? err_text(err) : "unexpected EOF");
    }
}

static const struct peer_client_events events = {
    .connected = on_connected,
    .head = on_head,
    .body = on_body,
    .complete = on_complete,
    .closed = on_closed,
};

void peer_probe_tick(struct peer_probe *b, uint64_t now_ms)
{
    struct peer *p = b->peer;
    if (b->is_asking || p->is_remote || !peer_url(p) || now_ms < b->due_ms) {
        return;
    }
    b->due_ms = now_ms + PEER_PROBE_MS;
    b->is_asking = true;
    if (b->client) {
        ask(b);
        return;
    }
    b->url_at = p->url_at;
    b->client = peer_client_new(
        p->hub->loop, peer_url(p),
        PEER_DIAL_MS + p->hub->config.election_timeout_ms, &events, b);
}

void peer_probe_close(struct peer_probe *b)
{
    peer_client_close(b->client);
    b->client = NULL;
    b->is_asking = false;
}
