/*
 * What a member tells the cluster through Raft: its name and client URLs
 * after each start, and, on the leader, the cluster version that
 * cluster_version.c decides on. When both are known here, the member is
 * ready to serve.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "node.h"
#include "proto/internal.pb-c.h"

struct said {
    struct replica_proposal base;
    struct node *node;
    bool is_waiting;
};

struct node_publish {
    struct said attributes;
    struct said version;
    bool is_published;
};

static struct bytes *encode(Pb__InternalRaftRequest *rq, uint64_t id)
{
    Pb__RequestHeader header = PB__REQUEST_HEADER__INIT;
    header.id = id;
    rq->header = &header;
    struct bytes *data =
        bytes_new(pb__internal_raft_request__get_packed_size(rq));
    pb__internal_raft_request__pack(rq, data->data);
    return data;
}

static void propose(struct said *s, Pb__InternalRaftRequest *rq,
                    void (*done)(struct replica_proposal *p, int err))
{
    uint64_t id = node_next_request_id(s->node);
    s->base = (struct replica_proposal){
        .id = id,
        .data = encode(rq, id),
        .type = RAFT_ENTRY_NORMAL,
        .done = done,
    };
    s->is_waiting = true;
    replica_propose(s->node->replica, &s->base);
}

/* ---- name and client URLs ---- */

static void say_attributes(struct node *n);

static void attributes_done(struct replica_proposal *p, int err)
{
    struct said *s = container_of(p, struct said, base);
    struct node *n = s->node;
    s->is_waiting = false;
    if (err == ERR_CLOSED) {
        return;
    }
    if (err) {
        log_warn("failed to publish local member to cluster through raft",
                 LOG_ID("local-member-id", n->id), LOG_ERR(err));
        say_attributes(n);
        return;
    }
    n->publish->is_published = true;
    struct buf text = BUF_INIT(64 << 10);
    buf_printf(&text, "{Name:%s ClientURLs:[", n->config->name);
    const struct url_list *urls = &n->config->advertise_client_urls;
    for (uint32_t i = 0; i < urls->count; i++) {
        buf_printf(&text, "%s%s", i ? " " : "", urls->urls[i]);
    }
    buf_append_str(&text, "]}");
    log_info("published local member to cluster through raft",
             LOG_ID("local-member-id", n->id),
             LOG_SLICE("local-member-attributes", buf_slice(&text)),
             LOG_ID("cluster-id", n->cluster_id));
    buf_release(&text);
    node_ready(n);
}

static void say_attributes(struct node *n)
{
    const struct url_list *urls = &n->config->advertise_client_urls;
    Pbm__Attributes attributes = PBM__ATTRIBUTES__INIT;
    char *list[CONFIG_URLS_MAX];
    for (uint32_t i = 0; i < urls->count; i++) {
        list[i] = urls->urls[i];
    }
    attributes.name = n->config->name;
    attributes.client_urls = list;
    attributes.n_client_urls = urls->count;
    Pbm__ClusterMemberAttrSetRequest set =
        PBM__CLUSTER_MEMBER_ATTR_SET_REQUEST__INIT;
    set.member_id = n->id;
    set.member_attributes = &attributes;
    Pb__InternalRaftRequest rq = PB__INTERNAL_RAFT_REQUEST__INIT;
    rq.cluster_member_attr_set = &set;
    propose(&n->publish->attributes, &rq, attributes_done);
}

/* ---- cluster version ---- */

static void version_done(struct replica_proposal *p, int err)
{
    container_of(p, struct said, base)->is_waiting = false;
}

void node_publish_version(struct node *n, struct version_number to)
{
    struct node_publish *p = n->publish;
    if (p == NULL || p->version.is_waiting) {
        return;
    }
    char text[32];
    snprintf(text, sizeof text, "%" PRIu32 ".%" PRIu32 ".0", to.major,
             to.minor);
    Pbm__ClusterVersionSetRequest set = PBM__CLUSTER_VERSION_SET_REQUEST__INIT;
    set.ver = text;
    Pb__InternalRaftRequest rq = PB__INTERNAL_RAFT_REQUEST__INIT;
    rq.cluster_version_set = &set;
    propose(&p->version, &rq, version_done);
}

/* A version that this program does not speak: the others would tell it
 * things that it takes for something else. */
static void check_not_ahead(const struct node *n, const char *version)
{
    struct version_number own, cluster;
    version_parse(SERVER_API_VERSION, &own);
    if (version_parse(version, &cluster) == 0 &&
        version_is_less(own, cluster)) {
        log_fatal("invalid downgrade; server version is lower than determined "
                  "cluster version",
                  LOG_ID("local-member-id", n->id),
                  LOG_STR("current-server-version", SERVER_API_VERSION),
                  LOG_STR("determined-cluster-version", version));
    }
}

void node_set_cluster_version(struct node *n, const char *version)
{
    check_not_ahead(n, version);
    if (n->cluster_version == NULL) {
        log_info("set initial cluster version",
                 LOG_ID("cluster-id", n->cluster_id),
                 LOG_ID("local-member-id", n->id),
                 LOG_STR("cluster-version", version));
    } else if (strcmp(n->cluster_version, version) != 0) {
        log_info("updated cluster version", LOG_ID("cluster-id", n->cluster_id),
                 LOG_ID("local-member-id", n->id),
                 LOG_STR("from", n->cluster_version), LOG_STR("to", version));
    }
    free(n->cluster_version);
    n->cluster_version = mem_strdup(version);
    if (n->publish) {
        node_ready(n);
    }
}

void node_publish_start(struct node *n)
{
    n->publish = mem_zalloc(sizeof *n->publish);
    n->publish->attributes.node = n;
    n->publish->version.node = n;
    say_attributes(n);
}

void node_publish_stop(struct node *n)
{
    free(n->publish);
    n->publish = NULL;
}

void node_ready(struct node *n)
{
    if (n->ready || n->cluster_version == NULL || !n->publish->is_published) {
        return;
    }
    n->ready = true;
    log_info("enabled capabilities for version",
             LOG_STR("cluster-version", "3.7"));
    const struct url_list *urls = &n->config->listen_client_urls;
    for (uint32_t i = 0; i < urls->count; i++) {
        log_info("ready to serve client requests");
    }
    for (uint32_t i = 0; i < urls->count; i++) {
        char *address = mem_strdup(strstr(urls->urls[i], "://") + 3);
        log_info("serving client traffic insecurely; this is strongly "
                 "discouraged!",
                 LOG_STR("traffic", "grpc+http"), LOG_STR("address", address));
        free(address);
    }
}
