/* The /metrics page, in Prometheus' text format. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "node.h"

static void put(struct buf *out, const char *kind, const char *name,
                const char *help, double value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name,
               kind, name, value);
}

static void gauge(struct buf *out, const char *name, const char *help,
                  double value)
{
    put(out, "gauge", name, help, value);
}

static void counter(struct buf *out, const char *name, const char *help,
                    double value)
{
    put(out, "counter", name, help, value);
}

static void labelled(struct buf *out, const char *kind, const char *name,
                     const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

static void put_raft(struct node *n, struct buf *out)
{
    const struct raft_status *now = replica_status(n->replica);
    struct replica_stats failed;
    replica_get_stats(n->replica, &failed);
    gauge(out, "etcd_server_has_leader", "Whether this member knows a leader.",
          now->leader != 0);
    gauge(out, "etcd_server_is_leader", "Whether this member leads.",
          now->role == RAFT_LEADER);
    gauge(out, "etcd_server_is_learner", "Whether this member is a learner.",
          now->is_learner);
    counter(out, "etcd_server_leader_changes_seen_total",
            "Changes of leader seen since the start.",
            (double)n->leader_changes);
    gauge(out, "etcd_server_proposals_committed_total",
          "Highest committed index.", (double)now->commit);
    gauge(out, "etcd_server_proposals_applied_total", "Highest applied index.",
          (double)now->applied);
    gauge(out, "etcd_server_proposals_pending",
          "Proposals that wait for their commit.", replica_pending(n->replica));
    counter(out, "etcd_server_proposals_failed_total", "Proposals that failed.",
            (double)failed.proposals_failed);
    counter(out, "etcd_server_read_indexes_failed_total",
            "Read indexes that failed.", (double)failed.reads_failed);
    labelled(out, "gauge", "etcd_server_id", "The member's id, as a label.");
    buf_printf(out, "etcd_server_id{server_id=\"%" PRIx64 "\"} 1\n", n->id);
    labelled(out, "gauge", "etcd_server_version",
             "The API version served, as a label.");
    buf_printf(out, "etcd_server_version{server_version=\"" SERVER_API_VERSION
                    "\"} 1\n");
    if (n->cluster_version) {
        labelled(out, "gauge", "etcd_cluster_version",
                 "The cluster version, as a label.");
        buf_printf(out, "etcd_cluster_version{cluster_version=\"%.3s\"} 1\n",
                   n->cluster_version);
    }
}

static void put_store(struct node *n, struct buf *out)
{
    struct kvdb_stats db;
    struct mvcc_stats kv;
    struct lease_stats leases;
    kvdb_get_stats(n->db, &db);
    mvcc_get_stats(n->mvcc, &kv);
    lease_get_stats(n->lessor, &leases);
    gauge(out, "etcd_server_quota_backend_bytes",
          "Size that the store may reach.",
          (double)n->config->quota_backend_bytes);
    gauge(out, "etcd_mvcc_db_total_size_in_bytes", "Size of the store's file.",
          (double)db.file_bytes);
    gauge(out, "etcd_mvcc_db_total_size_in_use_in_bytes",
          "Size of the store without free pages.", (double)db.used_bytes);
    counter(out, "etcd_mvcc_put_total", "Keys put.", (double)kv.put_total);
    counter(out, "etcd_mvcc_delete_total", "Keys deleted.",
            (double)kv.delete_total);
    counter(out, "etcd_mvcc_range_total", "Ranges read.",
            (double)kv.range_total);
    counter(out, "etcd_mvcc_txn_total", "Transactions applied.",
            (double)kv.txn_total);
    gauge(out, "etcd_debugging_mvcc_current_revision",
          "Current revision of the store.", (double)mvcc_revision(n->mvcc));
    gauge(out, "etcd_debugging_mvcc_compact_revision",
          "Revision that history begins at.",
          (double)mvcc_compact_revision(n->mvcc));
    counter(out, "etcd_debugging_lease_granted_total", "Leases granted.",
            (double)leases.granted_total);
    counter(out, "etcd_debugging_lease_revoked_total", "Leases revoked.",
            (double)leases.revoked_total);
    counter(out, "etcd_debugging_lease_renewed_total", "Leases renewed.",
            (double)leases.renewed_total);
    struct watch_stats watch;
    watch_get_stats(n->watch, &watch);
    gauge(out, "etcd_debugging_mvcc_watch_stream_total", "Watch streams.",
          (double)watch.stream_count);
    gauge(out, "etcd_debugging_mvcc_watcher_total", "Watchers.",
          (double)watch.watcher_count);
    gauge(out, "etcd_debugging_mvcc_slow_watcher_total",
          "Watchers that are behind.", (double)watch.unsynced_count);
    counter(out, "etcd_debugging_mvcc_events_total", "Events sent to watchers.",
            (double)watch.events_total);
    counter(out, "etcd_debugging_mvcc_db_compaction_keys_total",
            "Revisions removed by compaction.", (double)kv.compacted_total);
    gauge(out, "cofre_delta_bytes", "Applied changes that are not in LMDB yet.",
          (double)mvcc_delta_bytes(n->mvcc));
    gauge(out, "cofre_raft_log_bytes", "Log entries held in memory.",
          (double)raft_log_bytes(replica_raft(n->replica)));
}

static void put_disk(struct node *n, struct buf *out)
{
    struct wal_stats wal;
    wal_get_stats(n->wal, &wal);
    histogram_print(&n->wal_fsync, "etcd_disk_wal_fsync_duration_seconds",
                    "Time of the log's fdatasync, sampled once a loop pass.",
                    out);
    histogram_print(&n->backend_commit,
                    "etcd_disk_backend_commit_duration_seconds",
                    "Time of a commit to LMDB.", out);
    counter(out, "cofre_wal_fsync_total", "Calls of fdatasync on the log.",
            (double)wal.fsync_count);
    gauge(out, "etcd_disk_wal_write_bytes_total", "Bytes written to the log.",
          (double)wal.bytes_written);
}

static void put_peers(struct node *n, struct buf *out)
{
    struct peer_stats stats[MEMBERS_MAX];
    uint32_t count = peer_get_stats(n->peers, stats, MEMBERS_MAX);
    labelled(out, "counter", "etcd_network_peer_sent_bytes_total",
             "Bytes sent to a peer.");
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(out,
                   "etcd_network_peer_sent_bytes_total{To=\"%" PRIx64
                   "\"} %" PRIu64 "\n",
                   stats[i].id, stats[i].sent_bytes);
    }
    labelled(out, "counter", "etcd_network_peer_received_bytes_total",
             "Bytes received from a peer.");
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(out,
                   "etcd_network_peer_received_bytes_total{From=\"%" PRIx64
                   "\"} %" PRIu64 "\n",
                   stats[i].id, stats[i].received_bytes);
    }
    labelled(out, "counter", "etcd_network_peer_sent_failures_total",
             "Messages that could not be sent to a peer.");
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(out,
                   "etcd_network_peer_sent_failures_total{To=\"%" PRIx64
                   "\"} %" PRIu64 "\n",
                   stats[i].id, stats[i].sent_failures);
    }
    labelled(out, "histogram", "etcd_network_peer_round_trip_time_seconds",
             "Round-trip time of a probe to a peer.");
    for (uint32_t i = 0; i < count; i++) {
        char to[32];
        snprintf(to, sizeof to, "To=\"%" PRIx64 "\"", stats[i].id);
        histogram_print_series(
            stats[i].rtt, "etcd_network_peer_round_trip_time_seconds", to, out);
    }
    labelled(out, "gauge", "etcd_network_known_peers",
             "Peers that this member knows, itself among them.");
    buf_printf(out,
               "etcd_network_known_peers{Local=\"%" PRIx64
               "\",Remote=\"%" PRIx64 "\"} 1\n",
               n->id, n->id);
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(out,
                   "etcd_network_known_peers{Local=\"%" PRIx64
                   "\",Remote=\"%" PRIx64 "\"} 1\n",
                   n->id, stats[i].id);
    }
    labelled(out, "gauge", "etcd_network_active_peers",
             "Peers that this member hears.");
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(out,
                   "etcd_network_active_peers{Local=\"%" PRIx64
                   "\",Remote=\"%" PRIx64 "\"} %d\n",
                   n->id, stats[i].id, stats[i].active);
    }
}

static void put_admin(struct node *n, struct buf *out)
{
    struct admin_stats stats;
    admin_get_stats(n->admin, &stats);
    counter(out, "etcd_server_health_success", "Times /health was well.",
            (double)stats.health_success);
    counter(out, "etcd_server_health_failures", "Times /health was not.",
            (double)stats.health_failures);
    labelled(out, "gauge", "etcd_server_healthcheck",
             "Result of a check, the last time.");
    for (uint32_t i = 0; i < 2 * ADMIN_CHECKS; i++) {
        const struct admin_check_stats *c = &stats.checks[i];
        if (c->type) {
            buf_printf(out,
                       "etcd_server_healthcheck{type=\"%s\",name=\"%s\"} "
                       "%d\n",
                       c->type, c->name, c->is_ok);
        }
    }
    labelled(out, "counter", "etcd_server_healthchecks_total",
             "Checks made, by result.");
    for (uint32_t i = 0; i < 4 * ADMIN_CHECKS; i++) {
        const struct admin_check_stats *c = &stats.checks[i / 2];
        uint64_t value = i % 2 ? c->errors : c->success;
        if (c->type && value) {
            buf_printf(out,
                       "etcd_server_healthchecks_total{type=\"%s\","
                       "name=\"%s\",status=\"%s\"} %" PRIu64 "\n",
                       c->type, c->name, i % 2 ? "error" : "success", value);
        }
    }
}

/* Names that dashboards ask for, of parts that no node of ours has: the
 * store of API version 2, and the proxy's cache. */
static void put_unused(struct buf *out)
{
    static const char *const gauges[] = {
        "etcd_debugging_store_watchers", "etcd_grpc_proxy_cache_hits_total",
        "etcd_grpc_proxy_cache_keys_total",
        "etcd_grpc_proxy_cache_misses_total",
        "etcd_grpc_proxy_watchers_coalescing_total"};
    static const char *const counters[] = {
        "etcd_debugging_store_expires_total",
        "etcd_debugging_store_watch_requests_total",
        "etcd_grpc_proxy_events_coalescing_total"};
    for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++) {
        gauge(out, gauges[i], "Not in use.", 0);
    }
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        counter(out, counters[i], "Not in use.", 0);
    }
}

static uint32_t open_descriptors(void)
{
    uint32_t count = 0;
    DIR *d = opendir("/proc/self/fd");
    if (d == NULL) {
        return 0;
    }
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        count += e->d_name[0] != '.';
    }
    closedir(d);
    return count - 1; /* not the one that looked */
}

/* Of the process, in seconds since 1970. */
static double start_time(void)
{
    char text[1024] = "";
    double seconds = 0;
    unsigned long long ticks = 0, boot = 0;
    FILE *f = fopen("/proc/self/stat", "re");
    if (f) {
        size_t n = fread(text, 1, sizeof text - 1, f);
        text[n] = '\0';
        fclose(f);
    }
    const char *p = strrchr(text, ')');
    for (int field = 2; p && field < 22; field++) {
        p = strchr(p + 1, ' ');
    }
    f = fopen("/proc/stat", "re");
    while (f && fgets(text + 512, 512, f)) {
        if (sscanf(text + 512, "btime %llu", &boot) == 1) {
            break;
        }
    }
    if (f) {
        fclose(f);
    }
    if (p && sscanf(p, "%llu", &ticks) == 1) {
        seconds = (double)boot + (double)ticks / (double)sysconf(_SC_CLK_TCK);
    }
    return seconds;
}

/* Pages, all and those in memory. */
static void read_pages(long *ret_all, long *ret_resident)
{
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm) {
        if (fscanf(statm, "%ld %ld", ret_all, ret_resident) != 2) {
            *ret_all = *ret_resident = 0;
        }
        fclose(statm);
    }
}

uint64_t node_resident_bytes(void)
{
    long pages = 0, resident = 0;
    read_pages(&pages, &resident);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void put_process(struct buf *out)
{
    long pages = 0, resident = 0;
    read_pages(&pages, &resident);
    gauge(out, "process_resident_memory_bytes", "Resident memory.",
          (double)resident * (double)sysconf(_SC_PAGESIZE));
    gauge(out, "process_virtual_memory_bytes", "Virtual memory.",
          (double)pages * (double)sysconf(_SC_PAGESIZE));
    double fds = open_descriptors();
    gauge(out, "process_open_fds", "Descriptors that are open.", fds);
    gauge(out, "os_fd_used", "Descriptors that are open.", fds);
    gauge(out, "process_start_time_seconds", "When the process began.",
          start_time());
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    counter(out, "process_cpu_seconds_total", "CPU time used.",
            (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        gauge(out, "process_max_fds", "Descriptors that may be open.",
              (double)files.rlim_cur);
        gauge(out, "os_fd_limit", "Descriptors that may be open.",
              (double)files.rlim_cur);
    }
}

void node_metrics(void *ctx, struct buf *out)
{
    struct node *n = ctx;
    put_raft(n, out);
    put_store(n, out);
    put_disk(n, out);
    node_metrics_grpc(n, out);
    put_admin(n, out);
    put_unused(out);
    put_peers(n, out);
    put_process(out);
}
