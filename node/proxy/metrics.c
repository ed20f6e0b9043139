/* What the proxy counts of itself, in Prometheus' text format. */
#include <inttypes.h>

#include "internal.h"

static void put(struct buf *out, const char *kind, const char *name,
                const char *help, uint64_t value)
{
    buf_printf(out,
               "# HELP etcd_grpc_proxy_%s %s\n# TYPE etcd_grpc_proxy_%s %s\n"
               "etcd_grpc_proxy_%s %" PRIu64 "\n",
               name, help, name, kind, name, value);
}

static void put_own(struct proxy *p, struct buf *out)
{
    struct cache_stats cache;
    struct hub_stats hub;
    cache_get_stats(p->cache, &cache);
    hub_get_stats(p->hub, &hub);
    put(out, "gauge", "cache_hits_total", "Ranges answered from the cache.",
        cache.hits);
    put(out, "gauge", "cache_keys_total", "Answers in the cache.", cache.count);
    put(out, "gauge", "cache_misses_total",
        "Serializable ranges that were not in the cache.", cache.misses);
    put(out, "gauge", "watchers_coalescing_total",
        "Watchers that share a watch with another one.", hub.coalesced);
    put(out, "counter", "events_coalescing_total",
        "Answers of a watch that were passed on beyond the first time.",
        hub.events_coalesced);
}

static void put_keeper(struct proxy *p, struct buf *out)
{
    struct keeper_stats keeper;
    keeper_get_stats(p->keeper, &keeper);
    buf_printf(out,
               "# HELP cofre_proxy_keepalives_asked_total Lease keep-alives "
               "of clients.\n"
               "# TYPE cofre_proxy_keepalives_asked_total counter\n"
               "cofre_proxy_keepalives_asked_total %" PRIu64 "\n"
               "# HELP cofre_proxy_keepalives_sent_total Lease keep-alives "
               "sent to members.\n"
               "# TYPE cofre_proxy_keepalives_sent_total counter\n"
               "cofre_proxy_keepalives_sent_total %" PRIu64 "\n",
               keeper.asked, keeper.sent);
}

/* ---- RPCs ---- */

enum { RPC_STARTED, RPC_RECEIVED, RPC_SENT };

static void put_labels(const struct grpc_method *m, struct buf *out)
{
    static const char *const kinds[] = {"unary", "server_stream",
                                        "bidi_stream"};
    const char *name = strrchr(m->path, '/') + 1;
    buf_printf(out, "grpc_type=\"%s\",grpc_service=\"%.*s\",grpc_method=\"%s\"",
               kinds[m->kind], (int)(name - m->path) - 2, m->path + 1, name);
}

static void put_rpcs(struct proxy *p, const char *name, const char *help,
                     int what, struct buf *out)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n", name, help, name);
    for (uint32_t i = 0; i < p->method_count; i++) {
        struct grpc_method_stats m;
        grpc_server_get_method_stats(p->grpc, &p->methods[i], &m);
        buf_printf(out, "%s{", name);
        put_labels(&p->methods[i], out);
        buf_printf(out, "} %" PRIu64 "\n",
                   what == RPC_STARTED    ? p->method_states[i].started
                   : what == RPC_RECEIVED ? m.received
                                          : m.sent);
    }
}

static void put_handled(struct proxy *p, struct buf *out)
{
    static const char name[] = "grpc_server_handled_total";
    buf_printf(out, "# HELP %s RPCs finished, by code.\n# TYPE %s counter\n",
               name, name);
    for (uint32_t i = 0; i < p->method_count; i++) {
        for (int code = 0; code < PROXY_CODES; code++) {
            buf_printf(out, "%s{grpc_code=\"%s\",", name,
                       grpc_code_name((enum grpc_code)code));
            put_labels(&p->methods[i], out);
            buf_printf(out, "} %" PRIu64 "\n",
                       p->method_states[i].handled[code]);
        }
    }
}

void proxy_metrics(struct proxy *p, struct buf *out)
{
    put_own(p, out);
    put_keeper(p, out);
    put_rpcs(p, "grpc_server_started_total", "RPCs started.", RPC_STARTED, out);
    put_handled(p, out);
    put_rpcs(p, "grpc_server_msg_received_total", "Messages received.",
             RPC_RECEIVED, out);
    put_rpcs(p, "grpc_server_msg_sent_total", "Messages sent.", RPC_SENT, out);
}
