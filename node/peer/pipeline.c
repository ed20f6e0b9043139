/*
 * POST /raft: the way of messages while no stream is attached, a few at a
 * time over connections that stay open between them.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "peer/hub.h"

static const struct peer_client_events events;

void peer_pipeline_init(struct peer_pipeline *l, struct peer *p)
{
    list_init(&l->queue);
    for (int i = 0; i < PEER_POSTS_MAX; i++) {
        l->posts[i].peer = p;
    }
}

static struct peer_body *take_body(struct peer_pipeline *l)
{
    if (list_empty(&l->queue)) {
        return NULL;
    }
    struct peer_body *b = container_of(l->queue.next, struct peer_body, link);
    list_remove(&b->link);
    l->count--;
    l->bytes -= b->size;
    return b;
}

/* ---- one POST ---- */

static void write_request(struct peer_post *t)
{
    const struct peer_hub *h = t->peer->hub;
    t->status = 0;
    peer_client_start_request(t->client, "POST", "/raft");
    struct buf *out = peer_client_out(t->client);
    peer_hub_put_identity(h, out);
    buf_printf(out,
               "Content-Type: application/protobuf\r\n"
               "Content-Length: %zu\r\n\r\n",
               t->body->size);
    buf_append(out, t->body->data, t->body->size);
    peer_client_flush(t->client);
    peer_client_limit(t->client, h->config.read_timeout_ms);
}

static void start(struct peer_post *t, struct peer_body *body)
{
    struct peer *p = t->peer;
    t->body = body;
    if (t->client) {
        write_request(t);
        return;
    }
    t->url_at = p->url_at;
    t->client = peer_client_new(
        p->hub->loop, peer_url(p),
        PEER_DIAL_MS + p->hub->config.election_timeout_ms, &events, t);
}

/* The message of `t` is done with; the next may go. */
static void finish(struct peer_post *t)
{
    free(t->body);
    t->body = NULL;
    t->idle_since_ms = loop_now_ms(t->peer->hub->loop);
    struct peer_body *next = take_body(&t->peer->pipeline);
    if (next) {
        start(t, next);
    }
}

static void fail(struct peer_post *t, const char *why)
{
    struct peer *p = t->peer;
    p->sent_failures++;
    peer_rotate(p, t->url_at);
    peer_deactivate(p, why);
    peer_lost(p);
}

static void on_connected(void *ctx)
{
    struct peer_post *t = ctx;
    write_request(t);
}

static int on_head(void *ctx, const struct peer_http *http)
{
    struct peer_post *t = ctx;
    t->status = peer_http_status(http);
    return t->body ? 0 : ERR_PROTOCOL; /* an answer to nothing */
}

static int on_body(void *ctx, struct slice bytes)
{
    return 0;
}

static int on_complete(void *ctx, bool keeps_alive)
{
    struct peer_post *t = ctx;
    if (t->status == 100) {
        return 0;
    }
    if (!keeps_alive) {
        peer_client_close(t->client);
        t->client = NULL;
    } else {
        peer_client_limit(t->client, 0);
    }
    if (t->status == 204 || t->status == 200) {
        t->peer->sent_bytes += t->body->size;
        peer_activate(t->peer);
    } else {
        fail(t, peer_http_reason(t->status));
    }
    finish(t);
    return 0;
}

static void on_closed(void *ctx, int err)
{
    struct peer_post *t = ctx;
    t->client = NULL;
    if (t->body) {
        fail(t, err ? err_text(err) : "unexpected EOF");
        finish(t);
    }
}

static const struct peer_client_events events = {
    .connected = on_connected,
    .head = on_head,
    .body = on_body,
    .complete = on_complete,
    .closed = on_closed,
};

/* ---- from the hub ---- */

static struct peer_body *encode(const struct raft_message *m, size_t size)
{
    struct peer_body *b = mem_alloc(sizeof *b + size);
    list_init(&b->link);
    b->size = size;
    peer_put_message(m, b->data);
    return b;
}

/* An open connection before one that must be dialled. */
static struct peer_post *find_idle(struct peer_pipeline *l)
{
    struct peer_post *found = NULL;
    for (int i = 0; i < PEER_POSTS_MAX; i++) {
        struct peer_post *t = &l->posts[i];
        if (!t->body && (!found || (t->client && !found->client))) {
            found = t;
        }
    }
    return found;
}

bool peer_pipeline_send(struct peer *p, const struct raft_message *m)
{
    struct peer_pipeline *l = &p->pipeline;
    size_t size = peer_message_size(m);
    if (p->is_dead || !peer_url(p) || size > PEER_MESSAGE_BYTES_MAX) {
        return false;
    }
    struct peer_post *t = find_idle(l);
    if (t) {
        start(t, encode(m, size));
        return true;
    }
    if (l->count == PEER_POST_QUEUE_MAX ||
        l->bytes + size > PEER_POST_QUEUE_BYTES_MAX) {
        return false;
    }
    struct peer_body *b = encode(m, size);
    list_append(&l->queue, &b->link);
    l->count++;
    l->bytes += size;
    return true;
}

/* The other side closes what is idle for 5 s; a message must not run into
 * that. */
void peer_pipeline_tick(struct peer *p, uint64_t now_ms)
{
    for (int i = 0; i < PEER_POSTS_MAX; i++) {
        struct peer_post *t = &p->pipeline.posts[i];
        if (t->client && !t->body &&
            now_ms - t->idle_since_ms >= PEER_POST_IDLE_MS) {
            peer_client_close(t->client);
            t->client = NULL;
        }
    }
}

void peer_pipeline_close(struct peer *p)
{
    struct peer_pipeline *l = &p->pipeline;
    for (int i = 0; i < PEER_POSTS_MAX; i++) {
        struct peer_post *t = &l->posts[i];
        peer_client_close(t->client);
        t->client = NULL;
        free(t->body);
        t->body = NULL;
    }
    for (struct peer_body *b; (b = take_body(l));) {
        free(b);
    }
}
