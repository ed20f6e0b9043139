/* What /metrics says of RPCs, by method. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "node.h"

static const uint64_t latency_ns[NODE_LATENCY_BUCKETS] = {
    5000000,   10000000,   25000000,   50000000,   100000000,  250000000,
    500000000, 1000000000, 2500000000, 5000000000, 10000000000};

/* Series that are there from the start, whether the RPC is built or not:
 * dashboards divide by them. */
static const struct {
    const char *path;
    enum grpc_kind kind;
} known[] = {
    {"/etcdserverpb.KV/RangeStream", GRPC_SERVER_STREAM},
    {"/etcdserverpb.Cluster/MemberAdd", GRPC_UNARY},
    {"/etcdserverpb.Cluster/MemberRemove", GRPC_UNARY},
    {"/etcdserverpb.Cluster/MemberUpdate", GRPC_UNARY},
    {"/etcdserverpb.Cluster/MemberPromote", GRPC_UNARY},
    {"/etcdserverpb.Maintenance/Defragment", GRPC_UNARY},
    {"/etcdserverpb.Maintenance/Hash", GRPC_UNARY},
    {"/etcdserverpb.Maintenance/Downgrade", GRPC_UNARY},
    {"/etcdserverpb.Auth/AuthEnable", GRPC_UNARY},
    {"/etcdserverpb.Auth/AuthDisable", GRPC_UNARY},
    {"/etcdserverpb.Auth/AuthStatus", GRPC_UNARY},
    {"/etcdserverpb.Auth/Authenticate", GRPC_UNARY},
    {"/etcdserverpb.Auth/UserAdd", GRPC_UNARY},
    {"/etcdserverpb.Auth/UserGet", GRPC_UNARY},
    {"/etcdserverpb.Auth/UserList", GRPC_UNARY},
    {"/etcdserverpb.Auth/UserDelete", GRPC_UNARY},
    {"/etcdserverpb.Auth/UserChangePassword", GRPC_UNARY},
    {"/etcdserverpb.Auth/UserGrantRole", GRPC_UNARY},
    {"/etcdserverpb.Auth/UserRevokeRole", GRPC_UNARY},
    {"/etcdserverpb.Auth/RoleAdd", GRPC_UNARY},
    {"/etcdserverpb.Auth/RoleGet", GRPC_UNARY},
    {"/etcdserverpb.Auth/RoleList", GRPC_UNARY},
    {"/etcdserverpb.Auth/RoleDelete", GRPC_UNARY},
    {"/etcdserverpb.Auth/RoleGrantPermission", GRPC_UNARY},
    {"/etcdserverpb.Auth/RoleRevokePermission", GRPC_UNARY},
};

enum { KNOWN_COUNT = sizeof known / sizeof *known, LABELS_BYTES = 256 };

/* ---- counting ---- */

void node_count_handled(struct node *n, const struct grpc_method *m,
                        enum grpc_code code, uint64_t took_ns)
{
    struct method_counts *counts = &n->method_counts[m - n->methods];
    counts->handled[code]++;
    if (strcmp(n->config->metrics, "extensive") != 0) {
        return;
    }
    uint32_t i = 0;
    while (i < NODE_LATENCY_BUCKETS && took_ns > latency_ns[i]) {
        i++;
    }
    counts->latency[i]++;
    counts->latency_ns_sum += took_ns;
}

static bool is_version(struct slice s)
{
    for (size_t i = 0; i < s.size; i++) {
        if (!isalnum(s.data[i]) && s.data[i] != '.' && s.data[i] != '-') {
            return false;
        }
    }
    return s.size > 0 &&
           s.size < sizeof((struct client_version_counts *)0)->version;
}

/* The first row is for who does not say, and for all that do not fit: the
 * label is the client's word, and clients shall not make us grow. */
void node_count_client(struct node *n, const struct grpc_call *call)
{
    struct slice said = grpc_call_metadata(call, "client-api-version");
    struct client_version_counts *row = &n->client_versions[0];
    for (uint32_t i = 1; is_version(said) && i < NODE_API_VERSIONS_MAX; i++) {
        struct client_version_counts *at = &n->client_versions[i];
        if (at->version[0] == '\0') {
            memcpy(at->version, said.data, said.size);
        }
        if (slice_eq_str(said, at->version)) {
            row = at;
            break;
        }
    }
    bool is_unary = grpc_call_method(call)->kind == GRPC_UNARY;
    row->unary += is_unary;
    row->stream += !is_unary;
}

/* ---- printing ---- */

struct line {
    char labels[LABELS_BYTES];
    const struct grpc_method *method; /* NULL: not built */
    const struct method_counts *counts;
};

static void describe(struct line *l, const char *path, enum grpc_kind kind)
{
    static const char *const kinds[] = {"unary", "server_stream",
                                        "bidi_stream"};
    const char *name = strrchr(path, '/') + 1;
    snprintf(l->labels, sizeof l->labels,
             "grpc_type=\"%s\",grpc_service=\"%.*s\",grpc_method=\"%s\"",
             kinds[kind], (int)(name - path) - 2, path + 1, name);
}

static bool is_built(const struct node *n, const char *path)
{
    for (uint32_t i = 0; i < n->method_count; i++) {
        if (strcmp(n->methods[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

/* False: this one has no series (yet). */
static bool line_of(struct node *n, uint32_t i, struct line *ret)
{
    static const struct method_counts none;
    if (i >= n->method_count) {
        i -= n->method_count;
        *ret = (struct line){.counts = &none};
        describe(ret, known[i].path, known[i].kind);
        return !is_built(n, known[i].path);
    }
    const struct grpc_method *m = &n->methods[i];
    *ret = (struct line){.method = m, .counts = &n->method_counts[i]};
    describe(ret, m->path, m->kind);
    return ret->counts->started || strncmp(m->path, "/v3", 3) != 0;
}

static void put_started(struct node *n, const struct line *l, struct buf *out)
{
    buf_printf(out, "grpc_server_started_total{%s} %" PRIu64 "\n", l->labels,
               l->counts->started);
}

static void put_handled(struct node *n, const struct line *l, struct buf *out)
{
    for (int code = 0; code < 17; code++) {
        buf_printf(
            out, "grpc_server_handled_total{grpc_code=\"%s\",%s} %" PRIu64 "\n",
            grpc_code_name((enum grpc_code)code), l->labels,
            l->counts->handled[code]);
    }
}

static void get_messages(struct node *n, const struct line *l,
                         struct grpc_method_stats *ret)
{
    *ret = (struct grpc_method_stats){0};
    if (l->method) {
        grpc_server_get_method_stats(n->grpc, l->method, ret);
    }
}

static void put_received(struct node *n, const struct line *l, struct buf *out)
{
    struct grpc_method_stats m;
    get_messages(n, l, &m);
    buf_printf(out, "grpc_server_msg_received_total{%s} %" PRIu64 "\n",
               l->labels, m.received);
}

static void put_sent(struct node *n, const struct line *l, struct buf *out)
{
    struct grpc_method_stats m;
    get_messages(n, l, &m);
    buf_printf(out, "grpc_server_msg_sent_total{%s} %" PRIu64 "\n", l->labels,
               m.sent);
}

static void put_latency(struct node *n, const struct line *l, struct buf *out)
{
    static const char name[] = "grpc_server_handling_seconds";
    uint64_t total = 0;
    for (uint32_t i = 0; i < NODE_LATENCY_BUCKETS; i++) {
        total += l->counts->latency[i];
        buf_printf(out, "%s_bucket{%s,le=\"%.10g\"} %" PRIu64 "\n", name,
                   l->labels, (double)latency_ns[i] / 1e9, total);
    }
    total += l->counts->latency[NODE_LATENCY_BUCKETS];
    buf_printf(out, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, l->labels,
               total);
    buf_printf(out, "%s_sum{%s} %.9g\n%s_count{%s} %" PRIu64 "\n", name,
               l->labels, (double)l->counts->latency_ns_sum / 1e9, name,
               l->labels, total);
}

static void put_all(struct node *n, struct buf *out, const char *kind,
                    const char *name, const char *help,
                    void (*put)(struct node *n, const struct line *l,
                                struct buf *out))
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
    for (uint32_t i = 0; i < n->method_count + KNOWN_COUNT; i++) {
        struct line l;
        if (line_of(n, i, &l)) {
            put(n, &l, out);
        }
    }
}

static void put_clients(struct node *n, struct buf *out)
{
    static const char name[] = "etcd_server_client_requests_total";
    buf_printf(out,
               "# HELP %s Calls, by what the client says of itself.\n"
               "# TYPE %s counter\n",
               name, name);
    for (uint32_t i = 0; i < NODE_API_VERSIONS_MAX; i++) {
        const struct client_version_counts *c = &n->client_versions[i];
        const char *version = i ? c->version : "unknown";
        if (c->unary) {
            buf_printf(out,
                       "%s{type=\"unary\",client_api_version=\"%s\"} %" PRIu64
                       "\n",
                       name, version, c->unary);
        }
        if (c->stream) {
            buf_printf(out,
                       "%s{type=\"stream\",client_api_version=\"%s\"} %" PRIu64
                       "\n",
                       name, version, c->stream);
        }
    }
}

void node_metrics_grpc(struct node *n, struct buf *out)
{
    struct grpc_server_stats stats;
    grpc_server_get_stats(n->grpc, &stats);
    buf_printf(out,
               "# HELP etcd_network_client_grpc_received_bytes_total Message "
               "bytes received from clients.\n"
               "# TYPE etcd_network_client_grpc_received_bytes_total counter\n"
               "etcd_network_client_grpc_received_bytes_total %" PRIu64 "\n"
               "# HELP etcd_network_client_grpc_sent_bytes_total Message "
               "bytes sent to clients.\n"
               "# TYPE etcd_network_client_grpc_sent_bytes_total counter\n"
               "etcd_network_client_grpc_sent_bytes_total %" PRIu64 "\n",
               stats.bytes_received, stats.bytes_sent);
    put_all(n, out, "counter", "grpc_server_started_total", "RPCs started.",
            put_started);
    put_all(n, out, "counter", "grpc_server_handled_total",
            "RPCs finished, by code.", put_handled);
    put_all(n, out, "counter", "grpc_server_msg_received_total",
            "Messages received.", put_received);
    put_all(n, out, "counter", "grpc_server_msg_sent_total", "Messages sent.",
            put_sent);
    if (strcmp(n->config->metrics, "extensive") == 0) {
        put_all(n, out, "histogram", "grpc_server_handling_seconds",
                "Time from start to end of an RPC.", put_latency);
    }
    put_clients(n, out);
}
