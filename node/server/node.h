/* The running member: what the files of server/ share. */
#ifndef SERVER_NODE_H
#define SERVER_NODE_H

#include "admin/admin.h"
#include "api/api.h"
#include "base/histogram.h"
#include "config.h"
#include "grpc/grpc.h"
#include "net/net.h"
#include "peer/peer.h"
#include "replica/replica.h"
#include "server.h"
#include "wal/wal.h"

enum {
    NODE_LOG_BYTES_MAX = 32 << 20,         /* raft entries kept in memory beyond
                                              what followers need */
    NODE_LOG_BYTES_WAITED_MAX = 256 << 20, /* with what one needs that is
                                              catching up */
    NODE_UNCOMMITTED_BYTES_MAX = 128 << 20, /* proposals under way; more
                                               wait outside the log */
    NODE_FLUSH_INTERVAL_MS = 5000, /* a quiet delta goes to LMDB after it */
    NODE_TRIM_INTERVAL_MS = 2000,  /* free memory goes back after it */

    NODE_METHODS_MAX = 64,
};

/* Where things are below the data directory. */
struct node_paths {
    char *member;   /* <data-dir>/member */
    char *wal;      /* <member>/wal, or --wal-dir */
    char *store;    /* <member>/store.mdb */
    char *incoming; /* <member>/store.new.mdb: an image being installed */
    char *snap;     /* <member>/snap: images on their way in */
};

struct version_number {
    uint32_t major, minor;
};

enum { NODE_LATENCY_BUCKETS = 11, NODE_API_VERSIONS_MAX = 16 };

struct method_counts {
    uint64_t started;
    uint64_t handled[17]; /* by status code */
    /* only with --metrics=extensive */
    uint64_t latency[NODE_LATENCY_BUCKETS + 1];
    uint64_t latency_ns_sum;
};

/* Calls by what the client says of itself. */
struct client_version_counts {
    char version[24];
    uint64_t unary, stream;
};

struct node {
    struct config *config;
    struct node_paths paths;
    struct loop *loop;
    uint64_t id;
    uint64_t cluster_id;

    struct wal *wal;
    struct waker *wal_waker;
    struct kvdb *db;
    struct waker *db_waker;
    struct mvcc *mvcc;
    struct lessor *lessor;
    struct watch_hub *watch;
    struct apply *apply;
    struct api *api;
    struct members members;
    uint64_t conf_index;    /* of the last entry since the start that changed
                               them */
    struct members joined;  /* what the others said, until the log tells */
    char *cluster_version;  /* NULL while undecided */
    char *downgrade_target; /* NULL: no downgrade is under way */
    struct replica *replica;
    struct pass_hook pass;
    struct timer *tick;
    struct timer *flush_timer;
    struct timer *trim_timer;
    struct node_trim {
        bool is_busy;
        uint32_t busy_ticks; /* in a row */
        uint64_t seen;       /* work done by the last tick */
        uint64_t trimmed;    /* and by the last time */
    } trim;

    struct grpc_server *grpc;
    struct peer_hub *peers;
    struct gateway *gateway; /* NULL: --enable-grpc-gateway=false */
    struct admin *admin;
    struct waker *admin_waker;
    struct listener *client_listeners[CONFIG_URLS_MAX];
    struct listener *http_listeners[CONFIG_URLS_MAX];
    struct listener *metrics_listeners[CONFIG_URLS_MAX];
    struct listener *peer_listeners[CONFIG_URLS_MAX];

    uint64_t request_ids; /* the counter below the member's prefix */
    uint64_t request_prefix;
    bool flushing;
    bool ready; /* published and the cluster version known */
    bool stopping;
    bool refused[MEMBERS_MAX]; /* members that named another cluster */
    bool was_accepted;         /* some peer knew our cluster */
    struct timer *removal;
    int exit_status;
    int signal;
    uv_signal_t on_term, on_int;

    struct node_publish *publish;
    struct node_cluster_version *version;
    struct node_corruption *corruption;
    struct node_install *install; /* an image on its way in */
    struct list image_retries;
    uint64_t wal_released;

    uint64_t leader_changes;
    struct histogram wal_fsync;
    struct histogram backend_commit;
    struct kvdb_stats db_seen; /* what of them is in that histogram */
    struct method_counts *method_counts;
    struct client_version_counts client_versions[NODE_API_VERSIONS_MAX];
    const struct grpc_method *methods;
    uint32_t method_count;
};

uint64_t node_next_request_id(struct node *n);

/* boot.c: from folders and flags to an open log, store and replica. Logs
 * what is wrong; the process is to end with status 1 on failure. */
int node_boot(struct node *n);
/* boot_replica.c: when what was known to be committed is applied: a member
 * that is alone leads at once, one that is out stops. */
void node_begin(struct node *n);
/* What was applied is flushed, and the log closed behind it. */
void node_storage_close(struct node *n);
/* store.c: opens store, lessor, members; again after an image came in. */
int node_store_open(struct node *n);
void node_store_close(struct node *n);
void node_stage_member(struct node *n, const struct member *m);
/* Freezes and commits the delta if there is something in it. */
void node_flush(struct node *n);
/* memory.c: every NODE_TRIM_INTERVAL_MS. */
void node_trim_memory(struct node *n);

/* rim.c: what the replica asks for */
void node_replica_rim(struct node *n, struct replica_rim *ret_rim);
/* What a follower behind the log would get, and what leaves memory. */
void node_offer_image(struct node *n);
/* conf.c: a committed membership change; who waits for it (may be NULL)
 * finds in its apply_out what member_change_check() said. */
void node_apply_conf(struct node *n, const struct raft_entry *e,
                     struct replica_proposal *p);
/* Fatal when it does not parse. The member in it is the caller's. */
int node_conf_decode(const struct raft_entry *e, struct member_change *ret);
/* The others of the list become peers, or get their URLs anew. */
void node_put_peers(struct node *n, const struct members *ms);
void node_conf_of_members(const struct node *n, struct raft_conf_state *ret);

/* image_in.c, image_out.c: store images to and from peers */
void node_image_arrived(void *ctx, struct raft_message *m, const char *path,
                        uint64_t bytes, struct peer_request *rq);
void node_image_install(struct node *n, const struct raft_snapshot_meta *meta);
void node_image_send(struct node *n, struct raft_message *m);
/* image_retry.c: one is being made, and what became of it; Raft hears of a
 * failure after a pause that grows with each. */
void node_image_begins(struct node *n, uint64_t id);
void node_image_sent(struct node *n, uint64_t id, bool ok);
void node_image_retries_end(struct node *n);
/* At start: finishes an install that a crash cut off. */
int node_image_finish(struct node *n, uint64_t snapshot_index);

/* publish.c: own name and URLs, and the cluster version, through Raft */
void node_publish_start(struct node *n);
void node_publish_stop(struct node *n);
/* The leader proposes a cluster version, unless one is under way. */
void node_publish_version(struct node *n, struct version_number to);
void node_set_cluster_version(struct node *n, const char *version);
void node_ready(struct node *n);

/* cluster_version.c */
void node_version_start(struct node *n);
void node_version_stop(struct node *n);
void node_version_leader(struct node *n); /* this member became leader */
/* "3.7.1" -> major and minor; ERR_INVALID. NULL is invalid. */
int version_parse(const char *text, struct version_number *ret);
bool version_is_less(struct version_number a, struct version_number b);
/* From the least version of those that answered, whether all did, and the
 * present cluster version (NULL: none yet): is one to be set, and which. */
bool version_decide(struct version_number least, bool all_known,
                    const char *current, struct version_number *ret);

/* store.c */
bool node_downgrade(void *ctx, const char **ret_target);

/* peer_paths.c: the small HTTP paths between members */
void node_peer_request(void *ctx, const char *method, const char *path,
                       struct slice body, struct peer_request *rq);
void node_members_json(void *ctx, struct buf *out);
void node_version_json(void *ctx, struct buf *out);
/* For how long there has been a connection to a peer; 0: there is none. */
uint64_t node_connected_ms(void *ctx, uint64_t id);
/* forward.c: lease calls and promotions to the leader */
void node_forward_promote(void *ctx, uint64_t member,
                          void (*done)(void *done_ctx, int err),
                          void *done_ctx);
void node_forward_keepalive(void *ctx, int64_t lease,
                            void (*done)(void *done_ctx, int err, int64_t ttl),
                            void *done_ctx);
void node_forward_timetolive(void *ctx, int64_t lease, bool keys,
                             void (*done)(void *done_ctx, int err,
                                          Pb__LeaseTimeToLiveResponse *r),
                             void *done_ctx);

/* removed.c: this member is out of the cluster, and stops by itself */
void node_removed(void *ctx);
/* After a second, in which the others learn that the removal is decided. */
void node_removed_soon(struct node *n);
/* run.c: no more clients; then the loop ends. */
void node_stop_clients(struct node *n);

/* listen.c */
int node_listen(struct node *n);
void node_unlisten(struct node *n);
/* admin_rim.c, metrics.c */
int node_admin_start(struct node *n);
void node_metrics(void *ctx, struct buf *out);
/* metrics_grpc.c */
void node_count_handled(struct node *n, const struct grpc_method *m,
                        enum grpc_code code, uint64_t took_ns);
void node_count_client(struct node *n, const struct grpc_call *call);
void node_metrics_grpc(struct node *n, struct buf *out);
uint64_t node_resident_bytes(void);
/* vars.c */
void node_vars_json(void *ctx, struct buf *out);

#endif
