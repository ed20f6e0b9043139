/*
 * Downgrade: VALIDATE says whether the cluster could go one minor version
 * back. ENABLE is refused, since no older cofre speaks an older store: a
 * job that could never end is not begun. CANCEL ends a job that another
 * member, an etcd, has begun.
 */
#include <ctype.h>
#include <stdlib.h>

#include "proto/proto.h"
#include "state.h"

enum { ENTRY_DOWNGRADE_INFO_SET = 1302, VERSION_TEXT_MAX = 64 };
enum { VALIDATE, ENABLE, CANCEL };

struct api_downgrade {
    uint64_t action;
    unsigned long major, minor;
};

/* X.Y or X.Y.Z, and what follows it. */
static bool parse(struct slice text, struct api_downgrade *d)
{
    char copy[VERSION_TEXT_MAX];
    if (text.size == 0 || text.size >= sizeof copy) {
        return false;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    unsigned long numbers[3] = {0};
    char *at = copy;
    int n = 0;
    while (n < 3 && isdigit((unsigned char)*at)) {
        numbers[n++] = strtoul(at, &at, 10);
        if (*at != '.' || n == 3) {
            break;
        }
        at++;
    }
    d->major = numbers[0];
    d->minor = numbers[1];
    bool ended = *at == '\0' || (n == 3 && (*at == '-' || *at == '+'));
    return n >= 2 && ended && at > copy && at[-1] != '.';
}

static bool in_progress(const struct api *a)
{
    const char *target;
    return a->config.rim.downgrade(a->config.rim.ctx, &target);
}

static void answer(struct api_call *c)
{
    struct api *a = c->api;
    const char *version = a->config.rim.cluster_version(a->config.rim.ctx);
    unsigned major = 0, minor = 0;
    if (version) {
        sscanf(version, "%u.%u", &major, &minor);
    }
    Pb__ResponseHeader header;
    api_header_pb(a, mvcc_revision(a->mvcc), &header);
    Pb__DowngradeResponse r = PB__DOWNGRADE_RESPONSE__INIT;
    r.header = &header;
    r.version = arena_printf(grpc_call_arena(c->call), "%u.%u", major, minor);
    grpc_reply(c->call, &r.base);
}

static void judge(struct api_call *c)
{
    const struct api_downgrade *d = c->downgrade;
    const struct api_rim *rim = &c->api->config.rim;
    unsigned major = 0, minor = 0;
    sscanf(rim->cluster_version(rim->ctx), "%u.%u", &major, &minor);
    if (d->major != major || d->minor + 1 != minor) {
        api_fail(c->call, API_DOWNGRADE_TARGET);
    } else if (in_progress(c->api)) {
        api_fail(c->call, API_DOWNGRADE_RUNS);
    } else if (d->action == ENABLE) {
        api_fail(c->call, API_DOWNGRADE_TARGET);
    } else {
        answer(c);
    }
}

static void cancel(struct api_call *c)
{
    if (in_progress(c->api)) {
        /* DowngradeInfoSetRequest{enabled: false} */
        api_propose(c, ENTRY_DOWNGRADE_INFO_SET, (struct slice){NULL, 0},
                    answer);
    } else {
        answer(c);
    }
}

void api_downgrade(struct grpc_call *call, struct slice message)
{
    struct api *a = api_of(call);
    const Pb__DowngradeRequest *r =
        grpc_unpack(call, &pb__downgrade_request__descriptor, message);
    if (!r) {
        return;
    }
    struct slice version = slice_str(r->version);
    struct api_downgrade *d = arena_zalloc(grpc_call_arena(call), sizeof *d);
    d->action = (uint64_t)(int64_t)r->action;
    struct api_call *c = api_call_new(call);
    c->downgrade = d;
    if (d->action == CANCEL) {
        cancel(c);
    } else if (d->action > CANCEL) {
        api_fail(call, API_UNKNOWN_METHOD);
    } else if (!parse(version, d)) {
        api_fail(call, API_DOWNGRADE_FORMAT);
    } else if (!a->config.rim.cluster_version(a->config.rim.ctx)) {
        api_fail(call, API_NO_CLUSTER_VERSION);
    } else {
        api_read(c, judge);
    }
}
