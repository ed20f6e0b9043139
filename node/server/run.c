/*
 * Start and stop. Order of the start: log and store, services, peers,
 * listeners; of the stop: leadership handed on, clients told, peers,
 * store flushed, log closed.
 */
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "corruption.h"

enum {
    TRANSFER_WAIT_MS = 2000,
    TRANSFER_POLL_MS = 10,
    LAST_WORDS_MS = 300,
};

uint64_t node_next_request_id(struct node *n)
{
    return n->request_prefix | (++n->request_ids & 0xffffffffffffu);
}

static uint64_t next_request_id(void *ctx)
{
    return node_next_request_id(ctx);
}

static const char *cluster_version(void *ctx)
{
    struct node *n = ctx;
    return n->cluster_version;
}

/* Member id, milliseconds, a counter: unique also after a restart. */
static void seed_request_ids(struct node *n)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    n->request_prefix = n->id << 48;
    n->request_ids = (ms & ((UINT64_C(1) << 40) - 1)) << 8;
}

/* ---- the loop's callbacks ---- */

static void on_pass(struct pass_hook *h)
{
    struct node *n = container_of(h, struct node, pass);
    if (n->replica) {
        replica_pass(n->replica, loop_now_ms(n->loop));
    }
}

static void on_tick(void *ctx)
{
    struct node *n = ctx;
    uint64_t now = loop_now_ms(n->loop);
    replica_tick(n->replica, now);
    api_tick(n->api, now);
    admin_tick(n->admin, now);
}

static void on_flush_timer(void *ctx)
{
    node_flush(ctx);
}

static void on_trim_timer(void *ctx)
{
    struct node *n = ctx;
    if (n->db && n->mvcc) { /* else an image is taking their place */
        node_trim_memory(n);
    }
}

static void on_wal(void *ctx)
{
    struct node *n = ctx;
    struct wal_stats stats;
    wal_get_stats(n->wal, &stats);
    histogram_observe(&n->wal_fsync, stats.fsync_ns_last);
    if (n->replica) {
        replica_persisted(n->replica, wal_durable(n->wal));
    }
}

static void on_db(void *ctx)
{
    struct node *n = ctx;
    if (n->db == NULL) {
        return;
    }
    kvdb_poll(n->db);
    if (n->db == NULL) {
        return; /* its owner closed it in a callback */
    }
    struct kvdb_stats *seen = &n->db_seen, now;
    kvdb_get_stats(n->db, &now);
    uint64_t count = now.commit_count - seen->commit_count;
    for (uint64_t i = 0; i < count; i++) {
        histogram_observe(&n->backend_commit,
                          (now.commit_ns_total - seen->commit_ns_total) /
                              count);
    }
    *seen = now;
}

static void on_rpc_started(void *ctx, const struct grpc_method *m)
{
    struct node *n = ctx;
    n->method_counts[m - n->methods].started++;
}

static void on_rpc_handled(void *ctx, const struct grpc_method *m,
                           enum grpc_code code, uint64_t took_ns)
{
    struct node *n = ctx;
    node_count_handled(n, m, code, took_ns);
    if (m->kind == GRPC_UNARY &&
        (int64_t)took_ns > n->config->warning_unary_request_duration_ns) {
        log_warn("request stats", LOG_DURATION("time spent", took_ns),
                 LOG_STR("response type", m->path));
    }
}

static bool on_intercept(void *ctx, struct grpc_call *call)
{
    struct node *n = ctx;
    node_count_client(n, call);
    return api_intercept(n->api, call);
}

/* ---- peers ---- */

static void peer_message(void *ctx, struct raft_message *m)
{
    struct node *n = ctx;
    replica_step(n->replica, m);
}

static void peer_unreachable(void *ctx, uint64_t id)
{
    struct node *n = ctx;
    raft_report_unreachable(replica_raft(n->replica), id);
}

static void peer_snapshot_sent(void *ctx, uint64_t id, bool ok)
{
    node_image_sent(ctx, id, ok);
}

/* One stranger among the peers is its own affair; when a majority names
 * another cluster and nobody ever knew us, it is our data that are wrong. */
static void peer_other_cluster(void *ctx, uint64_t id)
{
    struct node *n = ctx;
    uint32_t refusals = 0;
    for (uint32_t i = 0; i < n->members.count; i++) {
        uint64_t peer = n->members.list[i].id;
        n->refused[i] |= peer == id;
        refusals += n->refused[i];
        n->was_accepted |= peer != n->id && peer_is_active(n->peers, peer);
    }
    if (n->was_accepted || n->stopping || refusals < n->members.count / 2 + 1) {
        return;
    }
    log_error("the peers belong to another cluster than this data directory",
              LOG_ID("cluster-id", n->cluster_id),
              LOG_STR("path", n->config->data_dir),
              LOG_STR("what-to-do",
                      "give this member the data directory of its own "
                      "cluster, or the URLs of the cluster of these data"));
    n->exit_status = 1;
    n->stopping = true;
    loop_stop(n->loop);
}

static bool peer_is_removed(void *ctx, uint64_t id)
{
    struct node *n = ctx;
    return members_is_removed(&n->members, id);
}

static void start_peers(struct node *n)
{
    struct peer_config pc = {
        .loop = n->loop,
        .self = n->id,
        .cluster_id = n->cluster_id,
        .own_urls = n->config->initial_advertise_peer_urls.text,
        .snapshot_dir = n->paths.snap,
        .election_timeout_ms = n->config->election_timeout_ms,
        .read_timeout_ms = (uint64_t)n->config->raft_read_timeout_ns / 1000000,
        .write_timeout_ms =
            (uint64_t)n->config->raft_write_timeout_ns / 1000000,
        .rim = {.message = peer_message,
                .snapshot = node_image_arrived,
                .unreachable = peer_unreachable,
                .snapshot_sent = peer_snapshot_sent,
                .removed = node_removed,
                .is_removed = peer_is_removed,
                .other_cluster = peer_other_cluster,
                .members_json = node_members_json,
                .version_json = node_version_json,
                .request = node_peer_request,
                .ctx = n},
    };
    n->peers = peer_hub_new(&pc);
    node_put_peers(n, n->members.count ? &n->members : &n->joined);
}

/* ---- services ---- */

static void start_services(struct node *n)
{
    struct watch_config wc = {
        .mvcc = n->mvcc,
        .response_bytes_max = n->config->max_request_bytes + 524288,
        .progress_interval_ms =
            (uint64_t)n->config->watch_progress_notify_interval_ns / 1000000,
        .seed = loop_now_ns(n->loop),
    };
    n->watch = watch_new(&wc);
    int64_t quota = n->config->quota_backend_bytes;
    struct api_config ac = {
        .loop = n->loop,
        .replica = n->replica,
        .members = &n->members,
        .mvcc = n->mvcc,
        .db = n->db,
        .lessor = n->lessor,
        .watch = n->watch,
        .apply = n->apply,
        .member_id = n->id,
        .quota_bytes = quota > 0 ? (uint64_t)quota : 0,
        .request_bytes_max = (uint32_t)n->config->max_request_bytes,
        .txn_ops_max = (uint32_t)n->config->max_txn_ops,
        .election_timeout_ms = n->config->election_timeout_ms,
        .watch_progress_interval_ms =
            (uint64_t)n->config->watch_progress_notify_interval_ns / 1000000,
        .strict_reconfig = n->config->strict_reconfig_check,
        .lease_checkpoints = n->config->gates & GATE_LEASE_CHECKPOINT,
        .compact_period_ms = n->config->compact_period_ms,
        .compact_revisions = n->config->compact_revisions,
        .rim = {.forward_keepalive = node_forward_keepalive,
                .forward_timetolive = node_forward_timetolive,
                .forward_promote = node_forward_promote,
                .connected_ms = node_connected_ms,
                .next_request_id = next_request_id,
                .cluster_version = cluster_version,
                .downgrade = node_downgrade,
                .ctx = n},
    };
    n->api = api_new(&ac);
    n->methods = api_methods(n->api, &n->method_count);
    n->method_counts = mem_zalloc(n->method_count * sizeof *n->method_counts);
    struct grpc_server_config gc = {
        .message_bytes_max = (uint32_t)n->config->max_request_bytes + 524288,
        .concurrent_streams_max = (uint32_t)n->config->max_concurrent_streams,
        .keepalive_min_time_ms =
            (uint64_t)n->config->grpc_keepalive_min_time_ns / 1000000,
        .keepalive_interval_ms =
            (uint64_t)n->config->grpc_keepalive_interval_ns / 1000000,
        .keepalive_timeout_ms =
            (uint64_t)n->config->grpc_keepalive_timeout_ns / 1000000,
        .methods = n->methods,
        .method_count = n->method_count,
        .on_started = on_rpc_started,
        .on_handled = on_rpc_handled,
        .intercept = on_intercept,
        .ctx = n,
    };
    n->grpc = grpc_server_new(n->loop, &gc);
}

/* ---- stop ---- */

struct stop {
    struct node *node;
    struct timer *timer;
    uint64_t until_ms;
};

static void wait_last_words(void *ctx)
{
    struct stop *s = ctx;
    struct node *n = s->node;
    if (!admin_is_busy(n->admin) || loop_now_ms(n->loop) >= s->until_ms) {
        timer_free(s->timer);
        free(s);
        loop_stop(n->loop);
    }
}

/* gRPC is done; the gateway's clients have yet to be told the same. */
static void drained(void *ctx)
{
    struct node *n = ctx;
    struct stop *s = mem_zalloc(sizeof *s);
    s->node = n;
    s->until_ms = loop_now_ms(n->loop) + LAST_WORDS_MS;
    s->timer = timer_new(n->loop, wait_last_words, s);
    timer_start(s->timer, 0, TRANSFER_POLL_MS);
}

void node_stop_clients(struct node *n)
{
    if (n->stopping) {
        return;
    }
    n->stopping = true;
    node_unlisten(n);
    replica_stop(n->replica);
    grpc_server_stop(n->grpc, GRPC_UNAVAILABLE, "etcdserver: server stopped",
                     drained, n);
}

static void wait_transfer(void *ctx)
{
    struct stop *s = ctx;
    struct node *n = s->node;
    const struct raft_status *now = replica_status(n->replica);
    bool done = now->role != RAFT_LEADER && now->leader != 0;
    if (!done && loop_now_ms(n->loop) < s->until_ms) {
        return;
    }
    if (done) {
        log_info("leadership transfer finished",
                 LOG_ID("local-member-id", n->id),
                 LOG_ID("old-leader-member-id", n->id),
                 LOG_ID("new-leader-member-id", now->leader));
    } else {
        log_warn("leadership transfer failed",
                 LOG_ID("local-member-id", n->id));
    }
    timer_free(s->timer);
    free(s);
    node_stop_clients(n);
}

/* The voter that is furthest, of those that answer. */
static uint64_t successor(struct node *n)
{
    struct raft_progress all[MEMBERS_MAX];
    uint32_t count =
        raft_get_progress(replica_raft(n->replica), all, MEMBERS_MAX);
    uint64_t best = 0, match = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].id != n->id && !all[i].is_learner && all[i].recent_active &&
            all[i].match >= match) {
            best = all[i].id;
            match = all[i].match;
        }
    }
    return best;
}

static void begin_stop(struct node *n)
{
    const struct config *c = n->config;
    log_info("closing etcd server", LOG_STR("name", c->name),
             LOG_STR("data-dir", c->data_dir));
    uint64_t to =
        replica_status(n->replica)->role == RAFT_LEADER ? successor(n) : 0;
    if (to == 0) {
        log_info("skipped leadership transfer; local server is not leader "
                 "or has nobody to hand over to",
                 LOG_ID("local-member-id", n->id));
        node_stop_clients(n);
        return;
    }
    log_info("leadership transfer starting", LOG_ID("local-member-id", n->id),
             LOG_ID("current-leader-member-id", n->id),
             LOG_ID("transferee-member-id", to));
    replica_transfer(n->replica, to);
    struct stop *s = mem_zalloc(sizeof *s);
    s->node = n;
    s->until_ms = loop_now_ms(n->loop) + TRANSFER_WAIT_MS;
    s->timer = timer_new(n->loop, wait_transfer, s);
    timer_start(s->timer, TRANSFER_POLL_MS, TRANSFER_POLL_MS);
}

static void on_signal(uv_signal_t *h, int signal)
{
    struct node *n = h->data;
    if (n->signal || n->stopping) {
        return;
    }
    n->signal = signal;
    log_info("received signal; shutting down",
             LOG_STR("signal", signal == SIGTERM ? "terminated" : "interrupt"));
    begin_stop(n);
}

static void start_signals(struct node *n)
{
    uv_loop_t *uv = loop_uv(n->loop);
    n->on_term.data = n->on_int.data = n;
    uv_signal_init(uv, &n->on_term);
    uv_signal_init(uv, &n->on_int);
    uv_signal_start(&n->on_term, on_signal, SIGTERM);
    uv_signal_start(&n->on_int, on_signal, SIGINT);
}

/* ---- the whole ---- */

static void log_start(const struct node *n)
{
    const struct config *c = n->config;
    log_info(
        "starting an etcd server", LOG_STR("etcd-version", SERVER_API_VERSION),
        LOG_STR("cofre-version", COFRE_VERSION), LOG_STR("name", c->name),
        LOG_STR("data-dir", c->data_dir), LOG_STR("wal-dir", n->paths.wal),
        LOG_STR("member-dir", n->paths.member),
        LOG_UINT("heartbeat-interval-ms", c->heartbeat_interval_ms),
        LOG_UINT("election-timeout-ms", c->election_timeout_ms),
        LOG_STR("initial-advertise-peer-urls",
                c->initial_advertise_peer_urls.text),
        LOG_STR("listen-peer-urls", c->listen_peer_urls.text),
        LOG_STR("advertise-client-urls", c->advertise_client_urls.text),
        LOG_STR("listen-client-urls", c->listen_client_urls.text),
        LOG_INT("quota-backend-bytes", c->quota_backend_bytes),
        LOG_ID("cluster-id", n->cluster_id), LOG_ID("local-member-id", n->id));
}

static void start_time(struct node *n)
{
    uint64_t tick = n->config->heartbeat_interval_ms;
    n->pass.run = on_pass;
    loop_add_hook(n->loop, &n->pass);
    n->tick = timer_new(n->loop, on_tick, n);
    timer_start(n->tick, tick, tick);
    n->flush_timer = timer_new(n->loop, on_flush_timer, n);
    timer_start(n->flush_timer, NODE_FLUSH_INTERVAL_MS, NODE_FLUSH_INTERVAL_MS);
    n->trim_timer = timer_new(n->loop, on_trim_timer, n);
    timer_start(n->trim_timer, NODE_TRIM_INTERVAL_MS, NODE_TRIM_INTERVAL_MS);
    node_begin(n);
}

static int serve(struct node *n)
{
    int err = node_listen(n);
    if (err == 0) {
        node_version_start(n);
        start_time(n);
        node_publish_start(n);
        node_corruption_start(n);
    }
    return err;
}

static void first_checked(struct node *n, int err)
{
    if (n->stopping) {
        return;
    }
    if (err != ERR_CORRUPT) {
        err = serve(n);
    }
    if (err) {
        n->exit_status = 1;
        loop_stop(n->loop);
    }
}

static int start(struct node *n)
{
    n->wal_waker = waker_new(n->loop, on_wal, n);
    n->db_waker = waker_new(n->loop, on_db, n);
    histogram_init(&n->wal_fsync, 1000000, 14);
    histogram_init(&n->backend_commit, 1000000, 14);
    int err = node_boot(n);
    if (err) {
        return err;
    }
    seed_request_ids(n);
    log_start(n);
    start_services(n);
    start_peers(n);
    err = node_admin_start(n);
    if (err) {
        return err;
    }
    start_signals(n);
    node_corruption_new(n);
    /* What is known to be committed is applied: the first entries of a new
     * member name the members. */
    replica_pass(n->replica, loop_now_ms(n->loop));
    node_offer_image(n);
    if (n->config->gates & GATE_INITIAL_CORRUPT_CHECK) {
        node_corruption_first(n, first_checked);
        return 0;
    }
    return serve(n);
}

static void finish(struct node *n)
{
    node_corruption_stop(n);
    node_version_stop(n);
    if (n->replica) {
        replica_stop(n->replica);
    }
    node_publish_stop(n);
    node_unlisten(n);
    admin_free(n->admin);
    n->admin = NULL;
    gateway_free(n->gateway);
    n->gateway = NULL;
    if (n->peers) {
        peer_hub_free(n->peers);
        n->peers = NULL;
    }
    node_image_retries_end(n);
    node_storage_close(n);
    node_corruption_free(n);
    log_info("closed etcd server", LOG_STR("name", n->config->name),
             LOG_STR("data-dir", n->config->data_dir));
}

int server_run(struct config *c)
{
    struct node n = {.config = c};
    list_init(&n.image_retries);
    mem_keep_freed();
    signal(SIGPIPE, SIG_IGN);
    if (loop_new(&n.loop) != 0) {
        log_error("cannot make the event loop");
        return 1;
    }
    int err = start(&n);
    if (err == 0) {
        loop_run(n.loop);
    } else {
        n.exit_status = 1;
    }
    finish(&n);
    return n.signal ? loop_exit_by_signal(n.signal) : n.exit_status;
}
