/* What is asked of the peer port, and the checks before it is given, in the
 * order and with the words that other members know. */
#include "peer/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/text.h"

#define STREAM_PREFIX "/raft/stream/"

static const struct {
    const char *path;
    bool is_prefix;
    enum peer_route route;
    const char *method; /* NULL: any */
    const char *allow;  /* said in a 405; NULL: not said */
} routes[] = {
    {"/raft", false, ROUTE_RAFT, "POST", "POST"},
    {STREAM_PREFIX, true, ROUTE_STREAM, "GET", "GET"},
    {"/raft/snapshot", false, ROUTE_SNAPSHOT, "POST", "POST"},
    {"/raft/probing", false, ROUTE_PROBING, NULL, NULL},
    {"/raft/", true, ROUTE_NONE, NULL, NULL},
    {"/members", false, ROUTE_MEMBERS, "GET", "GET"},
    {"/members/hashkv", false, ROUTE_OTHER, "GET", "GET"},
    {"/members/promote/", true, ROUTE_OTHER, "POST", "POST"},
    {"/version", false, ROUTE_VERSION, "GET", "GET"},
    {"/leases", false, ROUTE_OTHER, "POST", NULL},
    {"/leases/internal", false, ROUTE_OTHER, "POST", NULL},
    {"/downgrade/enabled", false, ROUTE_OTHER, "GET", "GET"},
    {"/", true, ROUTE_OTHER, NULL, NULL},
};

static char *path_of(struct peer_server *s)
{
    return (char *)s->http.target.data;
}

/* ---- checks that Raft's paths share ---- */

/* "3.7.1", and what semantic versions allow behind it. */
static bool parse_version(const char *text, uint32_t ret[3])
{
    for (int i = 0; i < 3; i++) {
        uint64_t v = 0;
        const char *start = text;
        while (*text >= '0' && *text <= '9' && v < 1000000) {
            v = v * 10 + (uint64_t)(*text++ - '0');
        }
        if (text == start || (i < 2 && *text++ != '.')) {
            return false;
        }
        ret[i] = (uint32_t)v;
    }
    return *text == 0 || *text == '-' || *text == '+';
}

/* Major and minor as one number; a missing field is 2.0.0; -1: garbage. */
static int64_t version_field(const struct peer_server *s, const char *name)
{
    uint32_t v[3] = {2, 0, 0};
    if (peer_http_has_field(&s->http, name) &&
        !parse_version(peer_http_field(&s->http, name), v)) {
        return -1;
    }
    return (int64_t)v[0] << 32 | v[1];
}

static bool is_compatible(const struct peer_server *s)
{
    static const int64_t own = (int64_t)3 << 32 | 7;
    static const int64_t own_min = (int64_t)3 << 32;
    int64_t server = version_field(s, "X-Server-Version");
    int64_t least = version_field(s, "X-Min-Cluster-Version");
    return server >= own_min && least >= 0 && least <= own;
}

static bool is_of_cluster(const struct peer_server *s)
{
    return strcmp(peer_http_field(&s->http, "X-Etcd-Cluster-ID"),
                  s->hub->cluster_text) == 0;
}

/* Answers and returns false when the sender is not one to talk to. */
static bool check_sender(struct peer_server *s)
{
    if (!is_compatible(s)) {
        peer_server_text(s, 412, "incompatible version", false);
        return false;
    }
    if (!is_of_cluster(s)) {
        peer_server_text(s, 412, "cluster ID mismatch", false);
        return false;
    }
    return true;
}

static bool parse_id(const char *text, uint64_t *ret)
{
    return text_parse_u64(text, 16, ret) == 0;
}

/* The sender gave a sign of life, and its address. */
static uint64_t note_sender(struct peer_server *s)
{
    uint64_t from = 0;
    if (!parse_id(peer_http_field(&s->http, "X-Server-From"), &from)) {
        return 0;
    }
    struct peer *p = peer_hub_find(s->hub, from);
    if (p) {
        peer_instream_hurry(&p->in[PEER_MSGAPP]);
        peer_instream_hurry(&p->in[PEER_MESSAGE]);
    } else {
        peer_hub_add_remote(s->hub, from,
                            peer_http_field(&s->http, "X-PeerURLs"));
    }
    return from;
}

/* ---- streams ---- */

static bool parse_kind(const char *text, size_t size, enum peer_kind *ret_kind)
{
    for (int kind = 0; kind < PEER_KINDS; kind++) {
        const char *name = peer_kind_text((enum peer_kind)kind);
        if (strlen(name) == size && memcmp(name, text, size) == 0) {
            *ret_kind = (enum peer_kind)kind;
            return true;
        }
    }
    return false;
}

static void start_stream(struct peer_server *s)
{
    const char *rest = path_of(s) + strlen(STREAM_PREFIX);
    const char *slash = strrchr(rest, '/');
    enum peer_kind kind;
    uint64_t from, to;
    if (!slash || !parse_kind(rest, (size_t)(slash - rest), &kind)) {
        peer_server_text(s, 404, "invalid path", false);
        return;
    }
    if (!parse_id(slash + 1, &from)) {
        peer_server_text(s, 404, "invalid from", false);
        return;
    }
    const struct peer_rim *rim = &s->hub->config.rim;
    if (rim->is_removed(rim->ctx, from)) {
        peer_server_text(s, 410, "removed member", false);
        return;
    }
    struct peer *p = peer_hub_find(s->hub, from);
    if (!p || p->is_remote) {
        peer_hub_add_remote(s->hub, from,
                            peer_http_field(&s->http, "X-PeerURLs"));
        peer_server_text(s, 404, "error sender not found", false);
        return;
    }
    if (!parse_id(peer_http_field(&s->http, "X-Raft-To"), &to) ||
        to != s->hub->config.self) {
        peer_server_text(s, 412, "to field mismatch", false);
        return;
    }
    peer_instream_hurry(&p->in[PEER_MSGAPP]);
    peer_instream_hurry(&p->in[PEER_MESSAGE]);
    peer_outstream_attach(p, kind, s, s->conn);
}

/* ---- POST /raft ---- */

static void finish_raft(struct peer_server *s)
{
    struct raft_message m;
    if (peer_decode_message(buf_slice(&s->body), &m) != 0) {
        peer_server_text(s, 400, "error unmarshalling raft message", false);
        return;
    }
    struct peer_hub *h = s->hub;
    const struct peer_rim *rim = &h->config.rim;
    struct peer *p = peer_hub_find(h, m.from);
    if (p) {
        p->received_bytes += s->body.size;
    }
    if (m.to != h->config.self || m.type == RAFT_MSG_SNAP ||
        rim->is_removed(rim->ctx, m.from)) {
        h->refused_messages++;
        raft_message_release(&m);
        peer_server_text(s, 500, "error processing raft message", true);
        return;
    }
    peer_hub_take(h, &m);
    peer_server_answer(s, 204, NULL, slice_of(NULL, 0));
}

/* ---- POST /raft/snapshot ---- */

static void start_snapshot(struct peer_server *s, uint64_t sender)
{
    if (s->hub->snapshots_in == PEER_SNAPSHOTS_IN_MAX) {
        peer_server_text(s, 503, "too many snapshots at once", true);
        return;
    }
    bool has_hash = strcmp(peer_http_field(&s->http, PEER_HASH_FIELD),
                           PEER_HASH_SHA256) == 0;
    s->snapshot = peer_snapshot_in_new(s->hub, s, s->conn, sender, has_hash);
}

/* ---- the small paths ---- */

static void answer_probing(struct peer_server *s)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm t;
    gmtime_r(&now.tv_sec, &t);
    char second[32], fraction[16];
    strftime(second, sizeof second, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(fraction, sizeof fraction, ".%09ld", now.tv_nsec);
    for (size_t n = strlen(fraction); n && strchr("0.", fraction[n - 1]);) {
        fraction[--n] = 0;
        if (n == 0) {
            break;
        }
    }
    struct buf body = BUF_INIT(128);
    buf_printf(&body, "{\"OK\":true,\"Now\":\"%s%sZ\"}\n", second, fraction);
    peer_server_answer(s, 200, "text/plain; charset=utf-8", buf_slice(&body));
    buf_release(&body);
}

static void answer_json(struct peer_server *s,
                        void (*make)(void *ctx, struct buf *out))
{
    struct buf body = BUF_INIT(PEER_BODY_BYTES_MAX);
    make(s->hub->config.rim.ctx, &body);
    peer_server_answer(s, 200, "application/json", buf_slice(&body));
    buf_release(&body);
}

static bool is_hash_of_other_cluster(struct peer_server *s)
{
    return strcmp(path_of(s), "/members/hashkv") == 0 &&
           *peer_http_field(&s->http, "X-Etcd-Cluster-ID") && !is_of_cluster(s);
}

static void finish_other(struct peer_server *s)
{
    if (is_hash_of_other_cluster(s)) {
        peer_server_text(s, 412, "cluster ID mismatch", false);
        return;
    }
    const struct peer_rim *rim = &s->hub->config.rim;
    rim->request(rim->ctx, peer_http_method(&s->http), path_of(s),
                 buf_slice(&s->body), peer_server_wait(s));
}

/* ---- the door to the connection ---- */

static void start_raft_path(struct peer_server *s)
{
    if (!check_sender(s)) {
        return;
    }
    if (s->route == ROUTE_STREAM) {
        start_stream(s);
        return;
    }
    uint64_t sender = note_sender(s);
    if (s->route == ROUTE_SNAPSHOT) {
        start_snapshot(s, sender);
    }
}

void peer_route_head(struct peer_server *s)
{
    char *path = path_of(s);
    char *query = strchr(path, '?');
    if (query) {
        *query = 0;
    }
    size_t i = 0;
    while (routes[i].is_prefix
               ? strncmp(path, routes[i].path, strlen(routes[i].path)) != 0
               : strcmp(path, routes[i].path) != 0) {
        if (++i == sizeof routes / sizeof *routes) {
            s->route = ROUTE_NONE; /* "*", or an absolute target */
            peer_server_text(s, 404, "404 page not found", false);
            return;
        }
    }
    s->route = routes[i].route;
    const char *method = routes[i].method;
    if (method && strcmp(method, peer_http_method(&s->http)) != 0) {
        s->is_plain = true;
        s->allow = routes[i].allow;
        peer_server_text(s, 405, "Method Not Allowed", false);
        return;
    }
    switch (s->route) {
    case ROUTE_STREAM:
    case ROUTE_RAFT:
    case ROUTE_SNAPSHOT:
        start_raft_path(s);
        break;
    case ROUTE_NONE:
        peer_server_text(s, 404, "404 page not found", false);
        break;
    default:
        break;
    }
}

void peer_route_complete(struct peer_server *s)
{
    const struct peer_rim *rim = &s->hub->config.rim;
    switch (s->route) {
    case ROUTE_RAFT:
        finish_raft(s);
        break;
    case ROUTE_SNAPSHOT:
        peer_snapshot_in_end(s->snapshot);
        break;
    case ROUTE_PROBING:
        answer_probing(s);
        break;
    case ROUTE_MEMBERS:
        answer_json(s, rim->members_json);
        break;
    case ROUTE_VERSION:
        answer_json(s, rim->version_json);
        break;
    case ROUTE_OTHER:
        finish_other(s);
        break;
    default:
        break;
    }
}

size_t peer_route_body_max(const struct peer_server *s)
{
    return s->route == ROUTE_RAFT ? PEER_MESSAGE_BYTES_MAX
                                  : PEER_BODY_BYTES_MAX;
}
