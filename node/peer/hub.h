/* What the files of peer/ share: the hub, a peer, and what they own. */
#ifndef PEER_HUB_H
#define PEER_HUB_H

#include "base/list.h"
#include "base/rng.h"
#include "peer/client.h"
#include "peer/frame.h"
#include "peer/peer.h"

/* Said to other members; the first two parts decide whether they talk. */
#define PEER_SERVER_VERSION "3.7.1"
#define PEER_MIN_CLUSTER_VERSION "3.0.0"

enum {
    PEER_TICK_MS = 100,
    PEER_STREAM_MESSAGES_MAX = 4096, /* waiting in one stream */
    PEER_STREAM_BYTES_MAX = 64 << 20,
    PEER_POSTS_MAX = 4, /* in flight to one peer */
    PEER_POST_QUEUE_MAX = 64,
    PEER_POST_QUEUE_BYTES_MAX = 64 << 20,
    PEER_POST_IDLE_MS = 4000, /* below the other side's 5 s */
    PEER_BEAT_MS = 1666,      /* link heartbeat: a third of 5 s */
    PEER_REDIAL_MS = 100,
    PEER_REDIAL_MS_MAX = 1000,
    PEER_DIAL_MS = 1000, /* and the election timeout */
    PEER_PROBE_MS = 4000,
    PEER_URLS_MAX = 16,
    PEER_REMOTES_MAX = 64,             /* dialers that are not known members */
    PEER_SERVERS_MAX = 1024,           /* accepted connections */
    PEER_BODY_BYTES_MAX = 4 << 20,     /* of a request that is not Raft's */
    PEER_BODIES_BYTES_MAX = 256 << 20, /* of all requests together */
    PEER_FETCH_BYTES_MAX = 16 << 20,   /* of an answer to peer_fetch() */
    PEER_SNAPSHOT_HEAD_BYTES_MAX = 1 << 20, /* the message before an image */
    PEER_SNAPSHOT_SLICE_BYTES = 256 << 10,
    PEER_SNAPSHOT_HELD_BYTES_MAX = 1 << 20, /* then reading pauses */
    PEER_SNAPSHOTS_IN_MAX = 4,
    PEER_SNAPSHOT_STALL_MS = 30000, /* other side's disk */
    /* Its answer comes when the store is made of it. Whether the other side
     * is still there is TCP's keep-alive to find out. */
    PEER_SNAPSHOT_ANSWER_MS = 600000,
};

struct peer_server; /* an accepted connection, server.c */

/* ---- an attached stream that we send on (the peer dialled) ---- */

struct peer_queued {
    struct raft_message m;
    size_t size; /* upper bound on the wire */
};

struct peer_outstream {
    struct peer *peer; /* NULL: replaced, or the peer is gone */
    struct peer_server *server;
    struct conn *conn;
    struct peer_frame_writer writer;
    struct peer_queued *ring;
    uint32_t first, count, capacity;
    size_t bytes;
    bool wants_beat;
    bool is_ending;
    uint64_t beat_due_ms;
    uint64_t moved_ms; /* when output last went on */
    size_t seen_backlog;
};

void peer_outstream_attach(struct peer *p, enum peer_kind kind,
                           struct peer_server *server, struct conn *conn);
/* False: no room; `m` is still the caller's. */
bool peer_outstream_send(struct peer_outstream *s, struct raft_message *m);
bool peer_outstream_flush(struct peer_outstream *s, struct buf *out);
void peer_outstream_tick(struct peer_outstream *s, uint64_t now_ms);
/* The last chunk, then the connection closes; before it what is queued when
 * `is_drained` (a removed member is to learn that it was removed), else
 * that is lost. */
void peer_outstream_end(struct peer_outstream *s, bool is_drained);
/* The connection is gone. */
void peer_outstream_free(struct peer_outstream *s, int err);

/* ---- a stream that we dial and read ---- */

struct peer_instream {
    struct peer *peer;
    enum peer_kind kind;
    struct peer_client *client; /* NULL: waits for due_ms */
    bool is_attached;
    bool is_ended; /* by the last chunk */
    bool has_reader;
    struct peer_frame_reader reader;
    uint64_t due_ms;
    uint32_t backoff_ms;
    uint32_t url_at; /* being tried */
    int status;      /* of an answer that was not 200 */
};

void peer_instream_init(struct peer_instream *s, struct peer *p,
                        enum peer_kind kind);
void peer_instream_tick(struct peer_instream *s, uint64_t now_ms);
/* The peer gave a sign of life: do not wait longer than need be. */
void peer_instream_hurry(struct peer_instream *s);
void peer_instream_close(struct peer_instream *s);

/* ---- POST /raft ---- */

struct peer_body {
    struct list link;
    size_t size;
    uint8_t data[];
};

struct peer_post {
    struct peer *peer;
    struct peer_client *client;
    struct peer_body *body; /* being sent; NULL: idle */
    uint32_t url_at;
    int status;
    uint64_t idle_since_ms;
};

struct peer_pipeline {
    struct peer_post posts[PEER_POSTS_MAX];
    struct list queue;
    uint32_t count;
    size_t bytes;
};

void peer_pipeline_init(struct peer_pipeline *l, struct peer *p);
/* False: no room. Encodes; `m` is still the caller's. */
bool peer_pipeline_send(struct peer *p, const struct raft_message *m);
void peer_pipeline_tick(struct peer *p, uint64_t now_ms);
void peer_pipeline_close(struct peer *p);

/* ---- probing ---- */

struct peer_probe {
    struct peer *peer;
    struct peer_client *client;
    bool is_asking;
    bool is_unhealthy;
    uint32_t url_at;
    int status;
    uint64_t due_ms;
    uint64_t asked_ns;
    uint64_t rtt_ns;
    struct histogram rtt;
};

void peer_probe_init(struct peer_probe *b, struct peer *p);
void peer_probe_tick(struct peer_probe *b, uint64_t now_ms);
void peer_probe_close(struct peer_probe *b);

/* ---- a peer ---- */

struct peer {
    struct list link;
    struct peer_hub *hub;
    uint64_t id;
    bool is_remote; /* not a member we know: only answers by POST */
    bool is_dead;   /* removed; freed when nothing is on the stack */
    struct url *urls;
    uint32_t url_count;
    uint32_t url_at;
    struct peer_outstream *out[PEER_KINDS];
    struct peer_instream in[PEER_KINDS];
    struct peer_pipeline pipeline;
    struct peer_probe probe;
    bool is_active;
    bool is_unreachable_due;
    uint64_t active_since_ms;
    uint64_t sent_bytes, received_bytes, sent_failures;
};

const struct url *peer_url(const struct peer *p);
/* The next of its URLs, after a failure at the one numbered `tried`. */
void peer_rotate(struct peer *p, uint32_t tried);
void peer_activate(struct peer *p);
void peer_deactivate(struct peer *p, const char *why);
/* Messages to it were lost. */
void peer_lost(struct peer *p);
const char *peer_kind_text(enum peer_kind kind); /* "msgapp", "message" */
const char *peer_kind_log(enum peer_kind kind);
/* "37 kB", for people. */
struct peer_size_text {
    char text[16];
};
struct peer_size_text peer_size_text(uint64_t bytes);

/* ---- an image under way to a peer ---- */

struct peer_snapshot_out;

/* Those whose outcome is known are told and freed. */
void peer_snapshot_out_reap(struct peer_hub *h);
/* Peer 0: all. */
void peer_snapshot_out_cancel(struct peer_hub *h, uint64_t id);
void peer_snapshot_out_orphan(struct peer_hub *h);

/* ---- an image coming in ---- */

struct peer_snapshot_in;

/* Of a cofre: the image's SHA-256 comes behind the image. Others see an image
 * file that is longer than its header says, which the format allows. */
#define PEER_HASH_FIELD "X-Cofre-Image-Hash"
#define PEER_HASH_SHA256 "sha256"

struct peer_snapshot_in *peer_snapshot_in_new(struct peer_hub *h,
                                              struct peer_server *server,
                                              struct conn *conn,
                                              uint64_t sender, bool has_hash);
/* These may answer through the server. */
void peer_snapshot_in_body(struct peer_snapshot_in *s, struct slice bytes);
void peer_snapshot_in_end(struct peer_snapshot_in *s);
/* So much waits for the disk that reading is paused. */
bool peer_snapshot_in_is_full(const struct peer_snapshot_in *s);
/* The connection is gone. */
void peer_snapshot_in_drop(struct peer_snapshot_in *s);
/* Removes what an earlier process left behind. */
void peer_snapshot_in_sweep(const char *dir);

/* ---- the accepted side ---- */

void peer_server_answer(struct peer_server *s, int status,
                        const char *content_type, struct slice body);
/* A line of text; `cut`: the connection ends after it. */
void peer_server_text(struct peer_server *s, int status, const char *text,
                      bool cut);
/* From here on its output is the stream's. */
void peer_server_stream(struct peer_server *s, struct peer_outstream *o);
/* The image is no longer its own. */
void peer_server_forget_snapshot(struct peer_server *s);
/* The request now waits for peer_answer(). */
struct peer_request *peer_server_wait(struct peer_server *s);
void peer_server_tick(struct peer_server *s, uint64_t now_ms);
void peer_server_close(struct peer_server *s);
/* The hub is gone. */
void peer_server_orphan(struct peer_server *s);
struct peer_server *peer_server_of(struct list *link);

/* ---- the hub ---- */

struct peer_hub {
    struct loop *loop;
    struct peer_config config; /* texts owned */
    char cluster_text[17];
    struct list peers;
    struct list graves; /* removed peers, freed by `later` */
    struct list servers;
    struct list snapshots_out;
    uint32_t server_count;
    uint32_t snapshots_in;
    size_t body_bytes; /* gathered by all requests */
    struct timer *tick;
    struct timer *later;
    struct rng rng;
    bool is_told_removed;
    uint64_t refused_messages; /* came, but must not be stepped */
};

struct peer *peer_hub_find(struct peer_hub *h, uint64_t id);
/* A dialer that is not a member: an address for answers. `urls` is a
 * comma-joined text. */
void peer_hub_add_remote(struct peer_hub *h, uint64_t id, const char *urls);
/* Runs what must not run from inside a call: soon. */
void peer_hub_later(struct peer_hub *h);
/* Takes over the contents. False: dropped and counted. */
bool peer_hub_take(struct peer_hub *h, struct raft_message *m);
/* Appends the X- fields that say who we are. */
void peer_hub_put_identity(const struct peer_hub *h, struct buf *out);

#endif
