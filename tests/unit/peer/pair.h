/* Members in one process over loopback, for the tests of the hub. */
#ifndef TEST_PAIR_H
#define TEST_PAIR_H

#include "random_message.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "net/net.h"
#include "peer/hub.h"
#include "peer/peer.h"

enum { CLUSTER = 0xc1, PATIENCE_MS = 20000 };

static struct loop *loop;

struct side {
    uint64_t id;
    uint16_t port;
    struct listener *listener;
    struct peer_hub *hub;
    char url[64];
    struct raft_message *got;
    uint32_t got_count, got_capacity;
    bool keeps; /* messages; else only counted */
    uint32_t unreachable;
    uint32_t removed;
    uint64_t removed_id; /* is_removed() says yes to it */
    uint32_t sent_ok, sent_failed, sources_closed;
    char *snapshot_path;
    uint64_t snapshot_bytes;
    struct raft_message snapshot;
    bool holds_answers; /* keeps requests in `held` */
    struct peer_request *held;
    void (*on_message)(struct side *s, struct raft_message *m);
};

static inline void side_message(void *ctx, struct raft_message *m)
{
    struct side *s = ctx;
    if (s->on_message) {
        s->on_message(s, m);
    }
    if (!s->keeps) {
        s->got_count++;
        raft_message_release(m);
        return;
    }
    if (s->got_count == s->got_capacity) {
        s->got_capacity = s->got_capacity ? 2 * s->got_capacity : 16;
        s->got = mem_realloc(s->got, s->got_capacity * sizeof *s->got);
    }
    s->got[s->got_count++] = *m;
}

static inline void side_forget(struct side *s)
{
    for (uint32_t i = 0; s->keeps && i < s->got_count; i++) {
        raft_message_release(&s->got[i]);
    }
    s->got_count = 0;
}

static inline void side_snapshot(void *ctx, struct raft_message *m,
                                 const char *path, uint64_t bytes,
                                 struct peer_request *rq)
{
    struct side *s = ctx;
    raft_message_release(&s->snapshot);
    s->snapshot = *m;
    free(s->snapshot_path);
    s->snapshot_path = mem_strdup(path);
    s->snapshot_bytes = bytes;
    peer_answer(rq, 204, NULL, slice_of(NULL, 0));
}

static inline void side_unreachable(void *ctx, uint64_t id)
{
    ((struct side *)ctx)->unreachable++;
}

static inline void side_forget_snapshot(struct side *s)
{
    raft_message_release(&s->snapshot);
    s->snapshot = (struct raft_message){0};
    if (s->snapshot_path) {
        unlink(s->snapshot_path);
        free(s->snapshot_path);
        s->snapshot_path = NULL;
    }
}

static inline void side_snapshot_sent(void *ctx, uint64_t id, bool ok)
{
    struct side *s = ctx;
    *(ok ? &s->sent_ok : &s->sent_failed) += 1;
}

static inline void side_source_closed(void *ctx)
{
    ((struct side *)ctx)->sources_closed++;
}

static inline void side_removed(void *ctx)
{
    ((struct side *)ctx)->removed++;
}

static inline bool side_is_removed(void *ctx, uint64_t id)
{
    return id == ((struct side *)ctx)->removed_id;
}

static inline void side_members(void *ctx, struct buf *out)
{
    buf_append_str(out, "[]\n");
}

static inline void side_version(void *ctx, struct buf *out)
{
    buf_append_str(out, "{\"etcdserver\":\"3.7.1\"}");
}

/* Says back what it was asked. */
static inline void side_request(void *ctx, const char *method, const char *path,
                                struct slice body, struct peer_request *rq)
{
    struct side *s = ctx;
    if (s->holds_answers) {
        s->held = rq;
        return;
    }
    struct buf b = BUF_INIT(8 << 20);
    buf_printf(&b, "%s %s %s ", method, path, peer_request_authorization(rq));
    buf_append_slice(&b, body);
    peer_answer(rq, 200, "text/plain", buf_slice(&b));
    buf_release(&b);
}

static inline void side_accepted(void *ctx, struct conn *c)
{
    struct side *s = ctx;
    if (s->hub) {
        peer_hub_accept(s->hub, c);
    } else {
        conn_close(c, false);
    }
}

static inline void side_start(struct side *s)
{
    struct peer_config config = {
        .loop = loop,
        .self = s->id,
        .cluster_id = CLUSTER,
        .own_urls = s->url,
        .snapshot_dir = ".",
        .election_timeout_ms = 1000,
        .read_timeout_ms = 5000,
        .write_timeout_ms = 5000,
        .rim = {.message = side_message,
                .snapshot = side_snapshot,
                .unreachable = side_unreachable,
                .snapshot_sent = side_snapshot_sent,
                .removed = side_removed,
                .is_removed = side_is_removed,
                .members_json = side_members,
                .version_json = side_version,
                .request = side_request,
                .ctx = s},
    };
    s->hub = peer_hub_new(&config);
}

static inline void side_stop(struct side *s)
{
    peer_hub_free(s->hub);
    s->hub = NULL;
}

static inline void side_listen(struct side *s, uint64_t id)
{
    *s = (struct side){.id = id, .keeps = true};
    struct net_address a = {.host = "127.0.0.1"};
    assert_int_equal(listener_open(loop, &a, side_accepted, s, &s->listener),
                     0);
    s->port = listener_port(s->listener);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u", s->port);
    side_start(s);
}

static inline void side_close(struct side *s)
{
    side_stop(s);
    listener_close(s->listener);
    side_forget(s);
    free(s->got);
    side_forget_snapshot(s);
}

static inline void side_knows(struct side *s, const struct side *other)
{
    char *urls[] = {(char *)(uintptr_t)other->url};
    peer_hub_put(s->hub, other->id, urls, 1);
}

/* ---- running until something holds ---- */

static bool (*awaited)(void);
static struct timer *watch;
static uint64_t patience_ends_ms;
static bool came_true;

static inline void look(void *ctx)
{
    came_true = awaited();
    if (came_true || loop_now_ms(loop) >= patience_ends_ms) {
        timer_stop(watch);
        loop_stop(loop);
    }
}

static inline bool came_within(bool (*condition)(void), uint64_t ms)
{
    awaited = condition;
    uv_update_time(loop_uv(loop));
    patience_ends_ms = loop_now_ms(loop) + ms;
    came_true = false;
    timer_start(watch, 0, 1);
    loop_run(loop);
    return came_true;
}

#define wait_for(condition) assert_true(came_within(condition, PATIENCE_MS))

static inline bool never(void)
{
    return false;
}

static inline bool is_attached(const struct side *s, uint64_t id)
{
    const struct peer *p = peer_hub_find(s->hub, id);
    return p && p->out[0] && p->out[1] && p->in[0].is_attached &&
           p->in[1].is_attached;
}

static struct side a, b;

static inline bool both_attached(void)
{
    return is_attached(&a, b.id) && is_attached(&b, a.id);
}

static inline int pair_setup(void **state)
{
    log_setup(LOG_LEVEL_FATAL, true, 2);
    assert_int_equal(loop_new(&loop), 0);
    watch = timer_new(loop, look, NULL);
    side_listen(&a, 0xa);
    side_listen(&b, 0xb);
    return 0;
}

static inline int pair_teardown(void **state)
{
    side_close(&a);
    side_close(&b);
    came_within(never, 20); /* what was closed is told */
    timer_free(watch);
    loop_free(loop);
    return 0;
}

static inline void pair_attach(void)
{
    side_knows(&a, &b);
    side_knows(&b, &a);
    wait_for(both_attached);
}

#endif
