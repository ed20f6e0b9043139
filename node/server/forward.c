/*
 * Lease calls belong to the leader, who alone counts the time, and so does a
 * learner's promotion, since it alone knows how far that one is: a follower
 * asks it over its peer URLs, round after round, until the request's time
 * is up.
 */
#include <stdlib.h>

#include "base/err.h"
#include "node.h"
#include "proto/lease.pb-c.h"

enum { ROUND_PAUSE_MS = 50 };

struct forward {
    struct node *node;
    char path[64];
    struct bytes *body; /* NULL: none */
    uint64_t deadline_ms;
    uint32_t next_url;
    struct timer *pause;
    bool had_leader;
    void (*keepalive)(void *ctx, int err, int64_t ttl);
    void (*timetolive)(void *ctx, int err, Pb__LeaseTimeToLiveResponse *r);
    void (*promote)(void *ctx, int err);
    void *ctx;
};

static void attempt(void *ctx);

static void conclude(struct forward *f, int err, int64_t ttl,
                     Pb__LeaseTimeToLiveResponse *r)
{
    if (f->keepalive) {
        f->keepalive(f->ctx, err, ttl);
    } else if (f->promote) {
        f->promote(f->ctx, err);
    } else {
        f->timetolive(f->ctx, err, r);
    }
    timer_free(f->pause);
    bytes_unref(f->body);
    free(f);
}

static void again(struct forward *f)
{
    if (loop_now_ms(f->node->loop) >= f->deadline_ms) {
        conclude(f, f->had_leader ? ERR_TIMEOUT : ERR_NO_LEADER, 0, NULL);
    } else {
        timer_start(f->pause, ROUND_PAUSE_MS, 0);
    }
}

static void read_keepalive(struct forward *f, struct slice body)
{
    Pb__LeaseKeepAliveResponse *r =
        pb__lease_keep_alive_response__unpack(NULL, body.size, body.data);
    if (r == NULL) {
        again(f);
        return;
    }
    int64_t ttl = r->ttl;
    pb__lease_keep_alive_response__free_unpacked(r, NULL);
    conclude(f, 0, ttl, NULL);
}

static void read_timetolive(struct forward *f, struct slice body)
{
    Pb__LeaseInternalResponse *r =
        pb__lease_internal_response__unpack(NULL, body.size, body.data);
    if (r == NULL || r->leasetimetoliveresponse == NULL) {
        if (r) {
            pb__lease_internal_response__free_unpacked(r, NULL);
        }
        again(f);
        return;
    }
    conclude(f, 0, 0, r->leasetimetoliveresponse);
    pb__lease_internal_response__free_unpacked(r, NULL);
}

/* Its words decide; any other answer may be better the next time. */
static void read_promotion(struct forward *f, int status, struct slice body)
{
    static const struct {
        const char *text;
        int err;
    } words[] = {
        {"ID not found", ERR_NOT_FOUND},
        {"in sync with leader", ERR_AGAIN},
        {"can only promote a learner", ERR_INVALID},
        {"not enough started members", ERR_BUSY},
    };
    if (status == 200) {
        conclude(f, 0, 0, NULL);
        return;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (body.size && memmem(body.data, body.size, words[i].text,
                                strlen(words[i].text))) {
            conclude(f, words[i].err, 0, NULL);
            return;
        }
    }
    again(f);
}

static void answered(void *ctx, int err, int status, const char *cluster_id,
                     struct slice body)
{
    struct forward *f = ctx;
    if (f->node->stopping) {
        conclude(f, ERR_CLOSED, 0, NULL);
    } else if (err == 0 && f->promote) {
        read_promotion(f, status, body);
    } else if (err == 0 && status == 404) {
        conclude(f, ERR_LEASE_NOT_FOUND, 0, NULL);
    } else if (err != 0 || status != 200) {
        again(f);
    } else if (f->keepalive) {
        read_keepalive(f, body);
    } else {
        read_timetolive(f, body);
    }
}

static void attempt(void *ctx)
{
    struct forward *f = ctx;
    struct node *n = f->node;
    const struct raft_status *now = replica_status(n->replica);
    const struct member *m = members_find(&n->members, now->leader);
    struct url url;
    f->had_leader = m != NULL;
    if (n->stopping) {
        conclude(f, ERR_CLOSED, 0, NULL);
        return;
    }
    if (m == NULL || m->peer_url_count == 0 || m->id == n->id ||
        url_parse(m->peer_urls[f->next_url++ % m->peer_url_count], &url) != 0) {
        again(f);
        return;
    }
    uint64_t now_ms = loop_now_ms(n->loop);
    uint64_t left = f->deadline_ms > now_ms ? f->deadline_ms - now_ms : 1;
    peer_fetch(n->loop, &url, "POST", f->path,
               f->body ? "application/protobuf" : NULL, bytes_slice(f->body),
               left, answered, f);
}

static struct forward *forward_new(struct node *n, const char *path,
                                   const ProtobufCMessage *ask)
{
    struct forward *f = mem_zalloc(sizeof *f);
    f->node = n;
    snprintf(f->path, sizeof f->path, "%s", path);
    if (ask) {
        f->body = bytes_new(protobuf_c_message_get_packed_size(ask));
        protobuf_c_message_pack(ask, f->body->data);
    }
    f->deadline_ms =
        loop_now_ms(n->loop) + 5000 + 2 * n->config->election_timeout_ms;
    f->pause = timer_new(n->loop, attempt, f);
    return f;
}

void node_forward_keepalive(void *ctx, int64_t lease,
                            void (*done)(void *done_ctx, int err, int64_t ttl),
                            void *done_ctx)
{
    Pb__LeaseKeepAliveRequest ask = PB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    ask.id = lease;
    struct forward *f = forward_new(ctx, "/leases", &ask.base);
    f->keepalive = done;
    f->ctx = done_ctx;
    attempt(f);
}

void node_forward_timetolive(void *ctx, int64_t lease, bool keys,
                             void (*done)(void *done_ctx, int err,
                                          Pb__LeaseTimeToLiveResponse *r),
                             void *done_ctx)
{
    Pb__LeaseTimeToLiveRequest ttl = PB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
    Pb__LeaseInternalRequest ask = PB__LEASE_INTERNAL_REQUEST__INIT;
    ttl.id = lease;
    ttl.keys = keys;
    ask.leasetimetoliverequest = &ttl;
    struct forward *f = forward_new(ctx, "/leases/internal", &ask.base);
    f->timetolive = done;
    f->ctx = done_ctx;
    attempt(f);
}

void node_forward_promote(void *ctx, uint64_t member,
                          void (*done)(void *done_ctx, int err), void *done_ctx)
{
    char path[64];
    snprintf(path, sizeof path, "/members/promote/%llu",
             (unsigned long long)member);
    struct forward *f = forward_new(ctx, path, NULL);
    f->promote = done;
    f->ctx = done_ctx;
    attempt(f);
}
