/*
 * A member that joins a running cluster: it was added there before, so the
 * others know its URLs and it learns its id from them. It starts with an
 * empty log and takes what the leader sends.
 *
 *   GET /members of one -> match by URLs -> GET /version of all others
 *   -> GET /downgrade/enabled -> an empty log with these ids
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "boot.h"

enum {
    ASK_TIMEOUT_MS = 10000,
    OWN_MAJOR = 3,
    OWN_MINOR = 7,
    TEXT_MAX = 64 << 10,
};

/* ---- one question at a time, before there is anything else to do ---- */

struct question {
    struct loop *loop;
    int err;
    int status;
    uint64_t cluster_id;
    struct buf body;
};

static void answered(void *ctx, int err, int status, const char *cluster_id,
                     struct slice body)
{
    struct question *q = ctx;
    q->err = err;
    q->status = status;
    q->cluster_id = strtoull(cluster_id, NULL, 16);
    buf_append_slice(&q->body, body);
    loop_stop(q->loop);
}

/* The body is the caller's to release, also on failure. */
static int ask(struct node *n, const char *at, const char *path,
               struct question *ret)
{
    struct url url;
    *ret = (struct question){.loop = n->loop};
    buf_init(&ret->body, 1 << 20);
    int err = url_parse(at, &url);
    if (err) {
        return err;
    }
    peer_fetch(n->loop, &url, "GET", path, NULL, (struct slice){NULL, 0},
               ASK_TIMEOUT_MS, answered, ret);
    loop_run(n->loop);
    if (ret->err == 0 && ret->status != 200) {
        return ERR_UNAVAILABLE;
    }
    return ret->err;
}

static int fail(const char *what, const char *why)
{
    log_error("bootstrap failed", LOG_STR("error", what),
              LOG_STR("what-to-do", why));
    return ERR_INVALID;
}

/* ---- whom to ask ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* URLs of all but this member, in order; the array is the caller's. */
static const char **others(const struct members *ms, uint64_t self,
                           uint32_t *ret_count)
{
    const char **list =
        mem_alloc((MEMBERS_MAX * MEMBER_URLS_MAX + 1) * sizeof *list);
    uint32_t count = 0;
    for (uint32_t i = 0; i < ms->count; i++) {
        const struct member *m = &ms->list[i];
        for (uint32_t u = 0; m->id != self && u < m->peer_url_count; u++) {
            list[count++] = m->peer_urls[u];
        }
    }
    qsort(list, count, sizeof *list, by_text);
    *ret_count = count;
    return list;
}

static int fetch_members(struct node *n, const struct members *own,
                         struct members *ret)
{
    uint32_t count;
    const char **urls = others(own, n->id, &count);
    int err = ERR_NOT_FOUND;
    for (uint32_t i = 0; err && i < count; i++) {
        struct question q;
        err = ask(n, urls[i], "/members", &q);
        if (err == 0) {
            err = members_from_json(buf_slice(&q.body), ret);
        }
        if (err) {
            log_warn("failed to get cluster response",
                     LOG_STR("address", urls[i]), LOG_ERR(err));
        } else {
            ret->cluster_id = q.cluster_id;
        }
        buf_release(&q.body);
    }
    free(urls);
    if (err) {
        return fail("cannot fetch cluster info from peer urls: could not "
                    "retrieve cluster information from the given URLs",
                    "see that --initial-cluster names the running members, "
                    "and that they can be reached from here");
    }
    return 0;
}

/* ---- matching ---- */

static bool same_urls(const struct member *a, const struct member *b)
{
    bool same = a->peer_url_count == b->peer_url_count;
    for (uint32_t i = 0; same && i < a->peer_url_count; i++) {
        same = strcmp(a->peer_urls[i], b->peer_urls[i]) == 0;
    }
    return same;
}

static const struct member *find_like(const struct members *ms,
                                      const struct member *m)
{
    for (uint32_t i = 0; i < ms->count; i++) {
        if (same_urls(&ms->list[i], m)) {
            return &ms->list[i];
        }
    }
    return NULL;
}

static void print_urls(struct buf *b, const struct member *m)
{
    buf_append_byte(b, '[');
    for (uint32_t i = 0; i < m->peer_url_count; i++) {
        buf_printf(b, "%s%s", i ? " " : "", m->peer_urls[i]);
    }
    buf_append_byte(b, ']');
}

static void print_members(struct buf *b, const struct members *ms)
{
    buf_printf(b, "{ClusterID:%" PRIx64 " Members:[", ms->cluster_id);
    for (uint32_t i = 0; i < ms->count; i++) {
        const struct member *m = &ms->list[i];
        buf_printf(b,
                   "%s&{ID:%" PRIx64 " RaftAttributes:{PeerURLs:", i ? " " : "",
                   m->id);
        print_urls(b, m);
        buf_printf(b, " IsLearner:%s} Attributes:{Name:%s}}",
                   m->is_learner ? "true" : "false", m->name);
    }
    buf_append_str(b, "] RemovedMemberIDs:[]}");
}

static int fail_to_match(const struct members *theirs,
                         const struct member *unmatched)
{
    struct buf text = BUF_INIT(TEXT_MAX);
    buf_append_str(&text, "error validating peerURLs ");
    print_members(&text, theirs);
    if (unmatched) {
        buf_printf(&text,
                   ": PeerURLs: no match found for existing member (%" PRIx64
                   ", ",
                   unmatched->id);
        print_urls(&text, unmatched);
        buf_append_str(&text, "), last resolver error (URLs differ)");
    } else {
        buf_append_str(&text, ": member count is unequal");
    }
    buf_append_byte(&text, '\0');
    int err = fail((const char *)text.data,
                   "add this member to the cluster first, and give "
                   "--initial-cluster as that answered: every member with "
                   "exactly its peer URLs");
    buf_release(&text);
    return err;
}

static int match(struct node *n, const struct members *own,
                 const struct member *self, const struct members *theirs)
{
    if (own->count != theirs->count) {
        return fail_to_match(theirs, NULL);
    }
    for (uint32_t i = 0; i < theirs->count; i++) {
        if (!find_like(own, &theirs->list[i])) {
            return fail_to_match(theirs, &theirs->list[i]);
        }
    }
    const struct member *me = find_like(theirs, self);
    if (me == NULL) {
        return fail_to_match(theirs, NULL);
    }
    n->id = me->id;
    n->cluster_id = theirs->cluster_id;
    if (me->name[0]) {
        /* It may have voted and acknowledged what it no longer knows. */
        char *what = mem_printf("member %" PRIx64 " has already been "
                                "bootstrapped",
                                me->id);
        int err = fail(what, "give the data directory back, or remove the "
                             "member from the cluster and add it again");
        free(what);
        return err;
    }
    return 0;
}

static int check_learners(const struct node *n, const struct members *ms)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < ms->count; i++) {
        count += ms->list[i].is_learner;
    }
    return boot_check_learners(n, count);
}

int boot_check_learners(const struct node *n, int64_t count)
{
    return count > n->config->max_learners
               ? fail("membership: too many learner members in cluster",
                      "raise --max-learners, or promote or remove a learner")
               : 0;
}

/* ---- versions ---- */

/* -1: none that counts. */
static int cluster_minor(struct slice body)
{
    int major = 0, minor = -1, patch;
    json_t *root = json_loadb((const char *)body.data, body.size, 0, NULL);
    const char *text = json_string_value(json_object_get(root, "etcdcluster"));
    if (text == NULL || sscanf(text, "%d.%d.%d", &major, &minor, &patch) != 3) {
        minor = -1; /* not_decided */
    } else if (major != OWN_MAJOR) {
        minor = INT32_MAX;
    }
    json_decref(root);
    return minor;
}

static bool is_downgrading(struct node *n, const char *const *urls,
                           uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct question q;
        int err = ask(n, urls[i], "/downgrade/enabled", &q);
        bool yes =
            err == 0 && q.body.size >= 4 && memcmp(q.body.data, "true", 4) == 0;
        buf_release(&q.body);
        if (err == 0) {
            return yes;
        }
    }
    return false;
}

static int check_versions(struct node *n, const struct members *ms)
{
    uint32_t count, good = 0, bad = 0;
    const char **urls = others(ms, n->id, &count);
    int least = is_downgrading(n, urls, count) ? OWN_MINOR + 1 : 0;
    int most = least ? least : OWN_MINOR;
    for (uint32_t i = 0; i < count; i++) {
        struct question q;
        if (ask(n, urls[i], "/version", &q) == 0) {
            int minor = cluster_minor(buf_slice(&q.body));
            bool fits = minor >= least && minor <= most;
            good += fits;
            bad += minor >= 0 && !fits;
            if (minor >= 0 && !fits) {
                log_warn("cluster version of a member does not go with this "
                         "version",
                         LOG_STR("address", urls[i]),
                         LOG_SLICE("version", buf_slice(&q.body)));
            }
        }
        buf_release(&q.body);
    }
    free(urls);
    return bad || good == 0
               ? fail("incompatible with current running cluster",
                      "start the version of cofre that goes with it")
               : 0;
}

int boot_join(struct node *n, const struct members *own,
              const struct member *self)
{
    struct members theirs = {0};
    n->id = self->id; /* of its URLs, until it knows better */
    int err = fetch_members(n, own, &theirs);
    if (err == 0) {
        err = match(n, own, self, &theirs);
    }
    if (err == 0) {
        err = check_versions(n, &theirs);
    }
    if (err == 0) {
        err = check_learners(n, &theirs);
    }
    if (err) {
        members_release(&theirs);
        return err;
    }
    n->joined = theirs;
    log_info("joining a running cluster", LOG_ID("local-member-id", n->id),
             LOG_ID("cluster-id", n->cluster_id));
    return 0;
}
