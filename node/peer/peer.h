/*
 * The peer protocol: HTTP/1.1 between members, in etcd's language, so that
 * the other side may be an etcd. Streams both ways, the POST pipeline,
 * store images, probing, and the small paths (/members, /version, /leases
 * ...). Heads are parsed by llhttp.
 *
 * On the way of a Put: replica's messages -> peer_send() -> chunked frames
 * leave at the end of the pass -> the other member's on_message -> its
 * replica.
 *
 * Loop thread only. Queues are bounded: what does not fit is dropped and
 * reported unreachable; Raft sends again.
 */
#ifndef PEER_PEER_H
#define PEER_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/histogram.h"
#include "image/image.h"
#include "net/net.h"
#include "raft/raft.h"

struct peer_hub;
struct peer_request; /* an HTTP request to this member that waits for its
                        answer */

struct peer_rim {
    /* Takes over the contents. */
    void (*message)(void *ctx, struct raft_message *m);
    /* A MSG_SNAP whose image (image_bytes long) lies whole in `path`,
     * not synced; the callee owns both and answers once with peer_answer()
     * (204 when Raft has taken it). */
    void (*snapshot)(void *ctx, struct raft_message *m, const char *path,
                     uint64_t image_bytes, struct peer_request *rq);
    void (*unreachable)(void *ctx, uint64_t id);
    void (*snapshot_sent)(void *ctx, uint64_t id, bool ok);
    /* A peer answered 410: we are out of the cluster. Called once. */
    void (*removed)(void *ctx);
    /* A peer answered 412 and names another cluster than ours. */
    void (*other_cluster)(void *ctx, uint64_t id);
    bool (*is_removed)(void *ctx, uint64_t id);
    /* Bodies of GET /members and GET /version. */
    void (*members_json)(void *ctx, struct buf *out);
    void (*version_json)(void *ctx, struct buf *out);
    /* Any other path that is not Raft's: POST /leases, /leases/internal,
     * /members/promote/<id>, GET /members/hashkv, /downgrade/enabled ...
     * `body` is borrowed. Answer now or later with peer_answer(). */
    void (*request)(void *ctx, const char *method, const char *path,
                    struct slice body, struct peer_request *rq);
    void *ctx;
};

struct peer_config {
    struct loop *loop;
    uint64_t self;
    uint64_t cluster_id;
    const char *own_urls;     /* comma-joined, for X-PeerURLs */
    const char *snapshot_dir; /* where incoming images are written (tmp*) */
    uint64_t election_timeout_ms;
    uint64_t read_timeout_ms;  /* 5000 */
    uint64_t write_timeout_ms; /* 5000 */
    struct peer_rim rim;
};

struct peer_stats {
    uint64_t id;
    bool active;              /* a stream is attached or a POST succeeded */
    uint64_t active_since_ms; /* loop time; 0: not active */
    uint64_t sent_bytes, received_bytes;
    uint64_t sent_failures;
    uint64_t rtt_ns;       /* last probe; 0: none yet */
    struct histogram *rtt; /* of all; lives as long as the peer */
};

struct peer_hub *peer_hub_new(const struct peer_config *config);
/* Closes everything at once; pending requests' callbacks are not called. */
void peer_hub_free(struct peer_hub *h);
/* A connection that a peer listener accepted. */
void peer_hub_accept(struct peer_hub *h, struct conn *c);
/* Adds or changes a peer's URLs. Dialling starts at once. */
void peer_hub_put(struct peer_hub *h, uint64_t id, char *const *urls,
                  uint32_t url_count);
void peer_hub_remove(struct peer_hub *h, uint64_t id);

/* Takes over the contents of each. MSG_SNAP must not come here. Messages to
 * unknown ids are dropped. */
void peer_send(struct peer_hub *h, struct raft_message *messages,
               uint32_t count);
/* POST /raft/snapshot: `m` (contents taken over) and the image, read from
 * `source` on the pool in bounded memory; `closed` runs on the loop when the
 * source is no longer used, then rim.snapshot_sent was or will be called. */
void peer_send_snapshot(struct peer_hub *h, struct raft_message *m,
                        const struct image_source *source, uint64_t image_bytes,
                        void (*closed)(void *ctx), void *ctx);

/* Answers a request; `rq` is gone after it. content_type NULL: none. Every
 * request is answered once, also when the hub is gone meanwhile. */
void peer_answer(struct peer_request *rq, int status, const char *content_type,
                 struct slice body);

/* The Authorization field of the request, "" when absent; borrowed. */
const char *peer_request_authorization(const struct peer_request *rq);

/* One HTTP/1.1 exchange with a peer URL. `done` once, never from inside:
 * status 0 when no answer came (err says why). `headers` are the answer's
 * X-Etcd-Cluster-ID value ("" when absent). */
struct peer_exchange;
struct peer_exchange *
peer_fetch(struct loop *l, const struct url *url, const char *method,
           const char *path, const char *content_type, struct slice body,
           uint64_t timeout_ms,
           void (*done)(void *ctx, int err, int status, const char *cluster_id,
                        struct slice body),
           void *ctx);
void peer_fetch_cancel(struct peer_exchange *x);
/* One more header field (Authorization of a call that is passed on), before
 * the loop runs again. ERR_INVALID for one that would break the head. */
int peer_fetch_field(struct peer_exchange *x, const char *name,
                     const char *value);

/* A stream to or from it is attached, or a POST went through lately. */
bool peer_is_active(struct peer_hub *h, uint64_t id);

/* Fills up to capacity, returns how many peers there are. */
uint32_t peer_get_stats(const struct peer_hub *h, struct peer_stats *ret,
                        uint32_t capacity);

/* raftpb.Message and raftpb.Entry, exactly as an etcd reads them. Decoding
 * takes what Go's decoder takes; ERR_PROTOCOL, ERR_TOO_LARGE. */
void peer_encode_message(const struct raft_message *m, struct buf *out);
int peer_decode_message(struct slice bytes, struct raft_message *ret);

#endif
