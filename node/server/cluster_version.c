/*
 * The cluster version: the least of what the members are, major and minor.
 * The leader asks each for its /version, with the first entry of its term
 * and every few seconds, and sets through Raft what has not been set or may
 * rise. While a member does not answer, a version that was never set is the
 * least that there is, and one that was set stays.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "node.h"

enum { PERIOD_MS = 4000, ASK_TIMEOUT_MS = 1000 };

struct version_ask {
    struct node_cluster_version *round;
    struct peer_exchange *exchange; /* NULL: answered */
};

struct node_cluster_version {
    struct node *node;
    struct timer *timer;
    struct version_ask asks[MEMBERS_MAX];
    uint32_t ask_count, waiting;
    bool again; /* this member became leader meanwhile */
    struct version_number least;
    bool all_known;
};

static const struct version_number lowest = {3, 0};

static bool leads(const struct node *n)
{
    return !n->stopping && replica_status(n->replica)->role == RAFT_LEADER;
}

int version_parse(const char *text, struct version_number *ret)
{
    uint32_t major, minor, patch;
    char more;
    if (text == NULL || sscanf(text, "%" SCNu32 ".%" SCNu32 ".%" SCNu32 "%c",
                               &major, &minor, &patch, &more) < 3) {
        return ERR_INVALID;
    }
    *ret = (struct version_number){major, minor};
    return 0;
}

bool version_is_less(struct version_number a, struct version_number b)
{
    return a.major < b.major || (a.major == b.major && a.minor < b.minor);
}

bool version_decide(struct version_number least, bool all_known,
                    const char *current, struct version_number *ret)
{
    struct version_number now;
    if (!all_known) {
        least = lowest;
    }
    *ret = least;
    if (current == NULL) {
        return true;
    }
    return all_known && version_parse(current, &now) == 0 &&
           version_is_less(now, least);
}

static void decide(struct node_cluster_version *v)
{
    struct node *n = v->node;
    struct version_number to;
    if (leads(n) &&
        version_decide(v->least, v->all_known, n->cluster_version, &to)) {
        node_publish_version(n, to);
    }
}

static void begin(struct node_cluster_version *v);

static void finish(struct node_cluster_version *v)
{
    bool again = v->again;
    v->ask_count = 0;
    decide(v);
    if (again) {
        begin(v);
    }
}

static int read_version(struct slice body, struct version_number *ret)
{
    json_t *root = json_loadb((const char *)body.data, body.size, 0, NULL);
    int err = version_parse(
        json_string_value(json_object_get(root, "etcdserver")), ret);
    json_decref(root);
    return err;
}

static void answered(void *ctx, int err, int status, const char *cluster_id,
                     struct slice body)
{
    struct version_ask *a = ctx;
    struct node_cluster_version *v = a->round;
    struct version_number theirs;
    a->exchange = NULL;
    if (err || status != 200 || read_version(body, &theirs)) {
        v->all_known = false;
    } else if (version_is_less(theirs, v->least)) {
        v->least = theirs;
    }
    if (--v->waiting == 0) {
        finish(v);
    }
}

static void ask_one(struct node_cluster_version *v, const struct member *m)
{
    struct url url;
    if (m->peer_url_count == 0 || url_parse(m->peer_urls[0], &url)) {
        v->all_known = false;
        return;
    }
    struct version_ask *a = &v->asks[v->ask_count++];
    v->waiting++;
    a->round = v;
    a->exchange = peer_fetch(v->node->loop, &url, "GET", "/version", NULL,
                             slice_of(NULL, 0), ASK_TIMEOUT_MS, answered, a);
}

static void begin(struct node_cluster_version *v)
{
    const struct members *ms = &v->node->members;
    v->again = false;
    v->all_known = true;
    version_parse(SERVER_API_VERSION, &v->least);
    for (uint32_t i = 0; i < ms->count; i++) {
        if (ms->list[i].id != v->node->id) {
            ask_one(v, &ms->list[i]);
        }
    }
    if (v->waiting == 0) {
        finish(v);
    }
}

static void on_timer(void *ctx)
{
    struct node_cluster_version *v = ctx;
    if (v->waiting == 0 && leads(v->node)) {
        begin(v);
    }
}

void node_version_leader(struct node *n)
{
    struct node_cluster_version *v = n->version;
    if (v == NULL) {
        return;
    }
    if (v->waiting) {
        v->again = true; /* what was asked as a follower is not used */
    } else {
        timer_start(v->timer, 0, PERIOD_MS);
    }
}

void node_version_start(struct node *n)
{
    struct node_cluster_version *v = mem_zalloc(sizeof *v);
    v->node = n;
    v->timer = timer_new(n->loop, on_timer, v);
    timer_start(v->timer, PERIOD_MS, PERIOD_MS);
    n->version = v;
}

void node_version_stop(struct node *n)
{
    struct node_cluster_version *v = n->version;
    if (v == NULL) {
        return;
    }
    for (uint32_t i = 0; i < v->ask_count; i++) {
        peer_fetch_cancel(v->asks[i].exchange);
    }
    timer_free(v->timer);
    free(v);
    n->version = NULL;
}
