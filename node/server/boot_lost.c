/*
 * A member that starts with nothing asks the others of its configuration
 * for the member list. When it finds itself there with client URLs, it has
 * run before and lost its disk: then it must not start as new, since it may
 * have voted and acknowledged what it no longer knows.
 */
#include <jansson.h>

#include "base/err.h"
#include "base/log.h"
#include "boot.h"

enum { ASK_TIMEOUT_MS = 1500 };

struct ask {
    struct loop *loop;
    uint64_t self;
    uint32_t open;
    bool was_here;
};

/* Ids come as doubles, since jansson's integers are signed: close enough to
 * tell the few members of one cluster apart. */
static bool lists_self(struct slice body, uint64_t self)
{
    bool found = false;
    json_t *list = json_loadb((const char *)body.data, body.size,
                              JSON_DECODE_INT_AS_REAL, NULL);
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        double id = json_number_value(json_object_get(item, "id"));
        size_t urls = json_array_size(json_object_get(item, "clientURLs"));
        found |= id == (double)self && urls > 0;
    }
    json_decref(list);
    return found;
}

static void answered(void *ctx, int err, int status, const char *cluster_id,
                     struct slice body)
{
    struct ask *a = ctx;
    if (err == 0 && status == 200 && lists_self(body, a->self)) {
        a->was_here = true;
    }
    if (--a->open == 0) {
        loop_stop(a->loop);
    }
}

int boot_check_lost(struct node *n, const struct members *ms)
{
    struct ask a = {.loop = n->loop, .self = n->id};
    for (uint32_t i = 0; i < ms->count; i++) {
        const struct member *m = &ms->list[i];
        struct url url;
        if (m->id != n->id && m->peer_url_count &&
            url_parse(m->peer_urls[0], &url) == 0) {
            a.open++;
            peer_fetch(n->loop, &url, "GET", "/members", NULL,
                       (struct slice){NULL, 0}, ASK_TIMEOUT_MS, answered, &a);
        }
    }
    if (a.open) {
        loop_run(n->loop);
    }
    if (a.was_here) {
        log_error("bootstrap failed",
                  LOG_STR("error", "this member has already been "
                                   "bootstrapped, and its data is gone"),
                  LOG_ID("member-id", n->id), LOG_STR("path", n->paths.wal),
                  LOG_STR("what-to-do",
                          "give the data directory back, or remove the "
                          "member from the cluster and add it again"));
        return ERR_EXISTS;
    }
    return 0;
}
