/* The /metrics page, in Prometheus' text format. */
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
            (double)n->proposals_failed);
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

static void put_grpc(struct node *n, struct buf *out)
{
    struct grpc_server_stats stats;
    grpc_server_get_stats(n->grpc, &stats);
    counter(out, "etcd_network_client_grpc_received_bytes_total",
            "Message bytes received from clients.",
            (double)stats.bytes_received);
    counter(out, "etcd_network_client_grpc_sent_bytes_total",
            "Message bytes sent to clients.", (double)stats.bytes_sent);
    for (int handled = 0; handled < 2; handled++) {
        labelled(out, "counter",
                 handled ? "grpc_server_handled_total"
                         : "grpc_server_started_total",
                 handled ? "RPCs finished, by code." : "RPCs started.");
        for (uint32_t i = 0; i < n->method_count; i++) {
            static const char *const kinds[] = {"unary", "server_stream",
                                                "bidi_stream"};
            const struct grpc_method *m = &n->methods[i];
            const char *name = strrchr(m->path, '/') + 1;
            int service = (int)(name - m->path) - 2;
            char labels[256];
            snprintf(labels, sizeof labels,
                     "grpc_type=\"%s\",grpc_service=\"%.*s\","
                     "grpc_method=\"%s\"",
                     kinds[m->kind], service, m->path + 1, name);
            if (!handled) {
                buf_printf(out, "grpc_server_started_total{%s} %" PRIu64 "\n",
                           labels, n->method_counts[i].started);
                continue;
            }
            for (int code = 0; code < 17; code++) {
                buf_printf(out,
                           "grpc_server_handled_total{grpc_code=\"%s\",%s} "
                           "%" PRIu64 "\n",
                           grpc_code_name((enum grpc_code)code), labels,
                           n->method_counts[i].handled[code]);
            }
        }
    }
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
    labelled(out, "gauge", "etcd_network_active_peers",
             "Peers that this member hears.");
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(out,
                   "etcd_network_active_peers{Local=\"%" PRIx64
                   "\",Remote=\"%" PRIx64 "\"} %d\n",
                   n->id, stats[i].id, stats[i].active);
    }
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
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    counter(out, "process_cpu_seconds_total", "CPU time used.",
            (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        gauge(out, "process_max_fds", "Descriptors that may be open.",
              (double)files.rlim_cur);
    }
}

void node_metrics(void *ctx, struct buf *out)
{
    struct node *n = ctx;
    put_raft(n, out);
    put_store(n, out);
    put_disk(n, out);
    put_grpc(n, out);
    put_peers(n, out);
    put_process(out);
}
