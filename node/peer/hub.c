/* The hub: who the peers are, which way a message goes, what has to wait. */
#include "peer/hub.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

/* ---- a peer ---- */

const struct url *peer_url(const struct peer *p)
{
    return p->url_count ? &p->urls[p->url_at] : NULL;
}

void peer_rotate(struct peer *p, uint32_t tried)
{
    if (p->url_count && p->url_at == tried) {
        p->url_at = (p->url_at + 1) % p->url_count;
    }
}

void peer_activate(struct peer *p)
{
    if (p->is_active || p->is_dead || p->is_remote) {
        return;
    }
    p->is_active = true;
    p->active_since_ms = loop_now_ms(p->hub->loop);
    log_info("peer became active", LOG_ID("peer-id", p->id));
}

void peer_deactivate(struct peer *p, const char *why)
{
    if (!p->is_active) {
        return;
    }
    p->is_active = false;
    p->active_since_ms = 0;
    log_warn("peer became inactive (message send to peer failed)",
             LOG_ID("peer-id", p->id), LOG_STR("error", why));
}

void peer_lost(struct peer *p)
{
    p->is_unreachable_due = true;
    peer_hub_later(p->hub);
}

const char *peer_kind_text(enum peer_kind kind)
{
    return kind == PEER_MSGAPP ? "msgapp" : "message";
}

const char *peer_kind_log(enum peer_kind kind)
{
    return kind == PEER_MSGAPP ? "stream MsgApp v2" : "stream Message";
}

struct peer_size_text peer_size_text(uint64_t bytes)
{
    static const char *const units[] = {"B",  "kB", "MB", "GB",
                                        "TB", "PB", "EB"};
    struct peer_size_text t;
    double v = (double)bytes;
    size_t unit = 0;
    while (v >= 1000 && unit + 1 < sizeof units / sizeof *units) {
        v /= 1000;
        unit++;
    }
    snprintf(t.text, sizeof t.text, unit && v < 10 ? "%.1f %s" : "%.0f %s", v,
             units[unit]);
    return t;
}

static void set_urls(struct peer *p, const struct url *urls, uint32_t count)
{
    free(p->urls);
    p->urls = count ? mem_dup(urls, count * sizeof *urls) : NULL;
    p->url_count = count;
    p->url_at = 0;
}

static struct peer *new_peer(struct peer_hub *h, uint64_t id)
{
    struct peer *p = mem_zalloc(sizeof *p);
    p->hub = h;
    p->id = id;
    for (int kind = 0; kind < PEER_KINDS; kind++) {
        peer_instream_init(&p->in[kind], p, (enum peer_kind)kind);
    }
    peer_pipeline_init(&p->pipeline, p);
    peer_probe_init(&p->probe, p);
    list_append(&h->peers, &p->link);
    return p;
}

/* Lets go of every connection; the memory stays until nothing that may be
 * on the stack points here. */
static void retire_peer(struct peer *p)
{
    p->is_dead = true;
    p->is_active = false;
    for (int kind = 0; kind < PEER_KINDS; kind++) {
        peer_instream_close(&p->in[kind]);
        if (p->out[kind]) {
            peer_outstream_end(p->out[kind], true);
        }
    }
    peer_pipeline_close(p);
    peer_probe_close(&p->probe);
    list_remove(&p->link);
    list_append(&p->hub->graves, &p->link);
}

static void bury_peer(struct peer *p)
{
    list_remove(&p->link);
    for (int kind = 0; kind < PEER_KINDS; kind++) {
        if (p->in[kind].has_reader) {
            peer_frame_reader_release(&p->in[kind].reader);
        }
    }
    free(p->urls);
    free(p);
}

static void bury_all(struct peer_hub *h)
{
    list_each(it, safe, &h->graves)
    {
        bury_peer(container_of(it, struct peer, link));
    }
}

/* ---- the timers ---- */

static void on_tick(void *ctx)
{
    struct peer_hub *h = ctx;
    uint64_t now_ms = loop_now_ms(h->loop);
    list_each(it, safe, &h->peers)
    {
        struct peer *p = container_of(it, struct peer, link);
        for (int kind = 0; kind < PEER_KINDS; kind++) {
            if (p->out[kind]) {
                peer_outstream_tick(p->out[kind], now_ms);
            }
            peer_instream_tick(&p->in[kind], now_ms);
        }
        peer_pipeline_tick(p, now_ms);
        peer_probe_tick(&p->probe, now_ms);
    }
    list_each(it, safe, &h->servers)
    {
        peer_server_tick(peer_server_of(it), now_ms);
    }
}

/* The rim may change the peers while it is told. */
static void tell_unreachable(struct peer_hub *h)
{
    uint64_t ids[RAFT_MEMBERS_MAX + PEER_REMOTES_MAX];
    uint32_t count = 0;
    list_each(it, safe, &h->peers)
    {
        struct peer *p = container_of(it, struct peer, link);
        if (p->is_unreachable_due && count < sizeof ids / sizeof *ids) {
            p->is_unreachable_due = false;
            ids[count++] = p->id;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        h->config.rim.unreachable(h->config.rim.ctx, ids[i]);
    }
}

static void on_later(void *ctx)
{
    struct peer_hub *h = ctx;
    bury_all(h);
    tell_unreachable(h);
    peer_snapshot_out_reap(h);
}

void peer_hub_later(struct peer_hub *h)
{
    timer_start(h->later, 0, 0);
}

/* ---- birth and end ---- */

struct peer_hub *peer_hub_new(const struct peer_config *config)
{
    struct peer_hub *h = mem_zalloc(sizeof *h);
    h->loop = config->loop;
    h->config = *config;
    h->config.own_urls = mem_strdup(config->own_urls);
    h->config.snapshot_dir = mem_strdup(config->snapshot_dir);
    snprintf(h->cluster_text, sizeof h->cluster_text, "%" PRIx64,
             config->cluster_id);
    list_init(&h->peers);
    list_init(&h->graves);
    list_init(&h->servers);
    list_init(&h->snapshots_out);
    h->rng.state = loop_now_ns(h->loop) ^ config->self;
    h->tick = timer_new(h->loop, on_tick, h);
    h->later = timer_new(h->loop, on_later, h);
    timer_start(h->tick, PEER_TICK_MS, PEER_TICK_MS);
    peer_snapshot_in_sweep(h->config.snapshot_dir);
    return h;
}

void peer_hub_free(struct peer_hub *h)
{
    if (!h) {
        return;
    }
    peer_snapshot_out_orphan(h);
    list_each(it, safe, &h->peers)
    {
        retire_peer(container_of(it, struct peer, link));
    }
    bury_all(h);
    list_each(it, safe, &h->servers)
    {
        peer_server_orphan(peer_server_of(it));
    }
    timer_free(h->tick);
    timer_free(h->later);
    free((void *)(uintptr_t)h->config.own_urls);
    free((void *)(uintptr_t)h->config.snapshot_dir);
    free(h);
}

/* ---- who the peers are ---- */

struct peer *peer_hub_find(struct peer_hub *h, uint64_t id)
{
    list_each(it, safe, &h->peers)
    {
        struct peer *p = container_of(it, struct peer, link);
        if (p->id == id) {
            return p;
        }
    }
    return NULL;
}

static bool same_urls(const struct peer *p, const struct url *urls,
                      uint32_t count)
{
    bool same = p->url_count == count;
    for (uint32_t i = 0; same && i < count; i++) {
        same = strcmp(p->urls[i].text, urls[i].text) == 0;
    }
    return same;
}

void peer_hub_put(struct peer_hub *h, uint64_t id, char *const *urls,
                  uint32_t url_count)
{
    if (id == h->config.self || id == 0) {
        return;
    }
    struct url parsed[PEER_URLS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < url_count && count < PEER_URLS_MAX; i++) {
        if (url_parse(urls[i], &parsed[count]) == 0) {
            count++;
        } else {
            log_warn("peer URL cannot be used", LOG_ID("peer-id", id),
                     LOG_STR("url", urls[i]));
        }
    }
    struct peer *p = peer_hub_find(h, id);
    bool is_new = !p;
    if (is_new) {
        p = new_peer(h, id);
    }
    bool was_remote = p->is_remote;
    p->is_remote = false;
    if (is_new || !same_urls(p, parsed, count)) {
        set_urls(p, parsed, count);
        peer_instream_hurry(&p->in[PEER_MSGAPP]);
        peer_instream_hurry(&p->in[PEER_MESSAGE]);
    }
    if (is_new || was_remote) {
        log_info("added remote peer", LOG_ID("local-member-id", h->config.self),
                 LOG_ID("remote-peer-id", id));
        peer_instream_tick(&p->in[PEER_MSGAPP], loop_now_ms(h->loop));
        peer_instream_tick(&p->in[PEER_MESSAGE], loop_now_ms(h->loop));
    }
}

void peer_hub_remove(struct peer_hub *h, uint64_t id)
{
    struct peer *p = peer_hub_find(h, id);
    if (!p) {
        return;
    }
    log_info("removed remote peer", LOG_ID("local-member-id", h->config.self),
             LOG_ID("removed-remote-peer-id", id));
    peer_snapshot_out_cancel(h, id);
    retire_peer(p);
    peer_hub_later(h);
}

static uint32_t count_remotes(const struct peer_hub *h)
{
    uint32_t count = 0;
    list_each(it, safe, &h->peers)
    {
        count += container_of(it, struct peer, link)->is_remote;
    }
    return count;
}

void peer_hub_add_remote(struct peer_hub *h, uint64_t id, const char *urls)
{
    struct url parsed[PEER_URLS_MAX];
    uint32_t count = 0;
    while (*urls && count < PEER_URLS_MAX) {
        char one[sizeof parsed->text];
        size_t size = strcspn(urls, ",");
        if (size < sizeof one) {
            memcpy(one, urls, size);
            one[size] = 0;
            count += url_parse(one, &parsed[count]) == 0;
        }
        urls += size + (urls[size] == ',');
    }
    if (!count || id == 0 || id == h->config.self || peer_hub_find(h, id) ||
        count_remotes(h) == PEER_REMOTES_MAX) {
        return;
    }
    struct peer *p = new_peer(h, id);
    p->is_remote = true;
    set_urls(p, parsed, count);
}

/* ---- messages ---- */

static bool is_wire_type(const struct raft_message *m)
{
    switch (m->type) {
    case RAFT_MSG_PROP:
    case RAFT_MSG_APP:
    case RAFT_MSG_APP_RESP:
    case RAFT_MSG_VOTE:
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_HEARTBEAT_RESP:
    case RAFT_MSG_TRANSFER_LEADER:
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_READ_INDEX:
    case RAFT_MSG_READ_INDEX_RESP:
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_PRE_VOTE_RESP:
        return true;
    default: /* local to a member, or MSG_SNAP without its image */
        return false;
    }
}

/* An etcd leader ends itself over such a context; read states are numbered
 * with 8 bytes. */
static bool has_short_context(const struct raft_message *m)
{
    return m->type == RAFT_MSG_HEARTBEAT_RESP && m->context &&
           m->context->size < 8;
}

bool peer_hub_take(struct peer_hub *h, struct raft_message *m)
{
    if (m->to != h->config.self || !is_wire_type(m) || has_short_context(m)) {
        h->refused_messages++;
        raft_message_release(m);
        return false;
    }
    h->config.rim.message(h->config.rim.ctx, m);
    return true;
}

/* MSG_APP has a stream of its own, so that a long one does not hold up
 * heartbeats; before a stream is attached, everything goes by POST. */
static bool send_one(struct peer *p, struct raft_message *m)
{
    struct peer_outstream *s = NULL;
    if (m->type == RAFT_MSG_APP) {
        s = p->out[PEER_MSGAPP];
    }
    if (!s) {
        s = p->out[PEER_MESSAGE];
    }
    if (s) {
        return peer_outstream_send(s, m);
    }
    bool sent = peer_pipeline_send(p, m);
    if (sent) {
        raft_message_release(m);
    }
    return sent;
}

void peer_send(struct peer_hub *h, struct raft_message *messages,
               uint32_t count)
{
    struct peer *p = NULL;
    for (uint32_t i = 0; i < count; i++) {
        struct raft_message *m = &messages[i];
        if (!p || p->id != m->to) {
            p = peer_hub_find(h, m->to);
        }
        if (p && send_one(p, m)) {
            continue;
        }
        if (p) {
            p->sent_failures++;
            peer_lost(p);
        }
        raft_message_release(m);
    }
}

bool peer_is_active(struct peer_hub *h, uint64_t id)
{
    const struct peer *p = peer_hub_find(h, id);
    return p && p->is_active;
}

void peer_hub_put_identity(const struct peer_hub *h, struct buf *out)
{
    buf_printf(out,
               "X-Server-From: %" PRIx64 "\r\n"
               "X-Server-Version: " PEER_SERVER_VERSION "\r\n"
               "X-Min-Cluster-Version: " PEER_MIN_CLUSTER_VERSION "\r\n"
               "X-Etcd-Cluster-ID: %s\r\n"
               "X-PeerURLs: %s\r\n",
               h->config.self, h->cluster_text, h->config.own_urls);
}

uint32_t peer_get_stats(const struct peer_hub *h, struct peer_stats *ret,
                        uint32_t capacity)
{
    uint32_t count = 0;
    list_each(it, safe, &h->peers)
    {
        struct peer *p = container_of(it, struct peer, link);
        if (p->is_remote) {
            continue;
        }
        if (count < capacity) {
            ret[count] = (struct peer_stats){
                .id = p->id,
                .active = p->is_active,
                .active_since_ms = p->active_since_ms,
                .sent_bytes = p->sent_bytes,
                .received_bytes = p->received_bytes,
                .sent_failures = p->sent_failures,
                .rtt_ns = p->probe.rtt_ns,
                .rtt = &p->probe.rtt,
            };
        }
        count++;
    }
    return count;
}
