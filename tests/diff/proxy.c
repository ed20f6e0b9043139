/*
 * A cofre behind its own gRPC proxy answers as a member does, but for what is
 * named here, with the reason: facts of every such proxy, etcd's too.
 */
#include "diff.h"

static bool is_there, are_many;

void proxy_begin(int count)
{
    is_there = true;
    are_many = count > 1;
}

/* ---- RPCs that it does not have, reads that it keeps ---- */

/* It may be answered from what was kept, with the header of then. */
static bool is_serializable(const struct step *step)
{
    const void *p = step ? step->request : NULL;
    return p && message_is(p, "RangeRequest") &&
           ((const Pb__RangeRequest *)p)->serializable;
}

static const struct {
    const char *prefix, *reason;
} paths[] = {
    {"/grpc.health.v1.Health/", "a proxy has no health service"},
};

const char *proxy_exempt_path(const char *path)
{
    for (size_t i = 0; is_there && i < sizeof paths / sizeof *paths; i++) {
        if (strncmp(path, paths[i].prefix, strlen(paths[i].prefix)) == 0) {
            return paths[i].reason;
        }
    }
    return NULL;
}

const char *proxy_exempt_step(const struct step *step)
{
    if (are_many && is_serializable(step)) {
        return "what a proxy keeps does not know of writes past it";
    }
    return step->path ? proxy_exempt_path(step->path) : NULL;
}

/* ---- rows of the table, by the beginning of their rule ---- */

static const struct {
    const char *rule, *reason;
} rows[] = {
    {"grpc.md 1.0: health", "a proxy has no health service"},
    {"grpc.md 1.1: a message that says it is longer than the limit",
     "a proxy takes 4 MiB"},
    {"grpc.md 1.1: one byte over the limit", "a proxy takes 4 MiB"},
    {"grpc.md 1.1: compressed, and larger than the limit",
     "a proxy takes 4 MiB"},
    {"semantics-watch-lease.md 2: keep-alives are answered one by one",
     "keep-alives of a lease that wait share an answer"},
    {"semantics-watch-lease.md 1 Cancel: once",
     "a cancel is answered by the proxy: the revision is the last it saw"},
};

const char *proxy_exempt_row(const char *rule)
{
    for (size_t i = 0; is_there && i < sizeof rows / sizeof *rows; i++) {
        if (strncmp(rule, rows[i].rule, strlen(rows[i].rule)) == 0) {
            return rows[i].reason;
        }
    }
    return NULL;
}

/* ---- revisions in headers that it makes or has kept ---- */

void proxy_apply(const struct step *step, ProtobufCMessage *m)
{
    const void *p = m;
    Pb__ResponseHeader *h = NULL;
    if (is_there && message_is(m, "RangeResponse") && is_serializable(step)) {
        h = ((const Pb__RangeResponse *)p)->header;
    } else if (is_there && message_is(m, "WatchResponse")) {
        /* made for one that joins a watch that is there, for a cancel, for an
         * id that is taken */
        h = ((const Pb__WatchResponse *)p)->header;
    }
    if (h && h->revision) {
        h->revision = 1;
    }
}
