#include "sync.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "proto/proto.h"

enum {
    ASK_MS = 5000,   /* for one answer, as the reference's client */
    AGAIN_MS = 2000, /* after none, unless the interval is shorter */
    URLS_MAX = 64,   /* of one member */
};

struct sync {
    struct upstream *upstream;
    uint64_t interval_ms;
    struct timer *timer;
    struct upstream_call *call; /* NULL: none under way */
    struct sync_list list;      /* of the answer under way */
    int err;                    /* of reading it */
    bool has_answer;
    bool has_warned; /* of https URLs */
};

/* ---- reading ---- */

static void add_url(struct slice text, struct sync_list *list)
{
    int err = list->count < UPSTREAM_ENDPOINTS_MAX
                  ? upstream_parse(text, &list->addresses[list->count])
                  : ERR_TOO_LARGE;
    list->count += err == 0;
    list->tls_count += err == ERR_UNSUPPORTED;
    list->left_count += err != 0 && err != ERR_UNSUPPORTED;
}

static int read_member(struct slice member, struct sync_list *list)
{
    struct slice urls[URLS_MAX];
    struct proto_field f;
    uint32_t count = 0;
    bool has_name = false, is_learner = false;
    int more;
    while ((more = proto_next(&member, &f)) > 0) {
        if (f.number == 2 && f.wire == PROTO_BYTES) {
            has_name = f.bytes.size > 0;
        } else if (f.number == 4 && f.wire == PROTO_BYTES && count < URLS_MAX) {
            urls[count++] = f.bytes;
        } else if (f.number == 5 && f.wire == PROTO_VARINT) {
            is_learner = f.value != 0;
        }
    }
    for (uint32_t i = 0; has_name && !is_learner && i < count; i++) {
        add_url(urls[i], list);
    }
    return more;
}

int sync_read(struct slice response, struct sync_list *ret_list)
{
    struct proto_field f;
    int more;
    ret_list->count = ret_list->tls_count = ret_list->left_count = 0;
    while ((more = proto_next(&response, &f)) > 0) {
        if (f.number == 2 && f.wire == PROTO_BYTES &&
            read_member(f.bytes, ret_list) != 0) {
            return ERR_INVALID;
        }
    }
    return more;
}

/* ---- asking ---- */

static void warn_of_tls(struct sync *s)
{
    if (s->list.tls_count && !s->has_warned) {
        s->has_warned = true;
        log_warn("left out https endpoints of the member list: TLS is not "
                 "built into this version of cofre yet",
                 LOG_UINT("count", s->list.tls_count));
    }
}

/* Whether there is a list to go by. */
static bool take(struct sync *s, enum grpc_code code, const char *text)
{
    if (code != GRPC_OK || !s->has_answer || s->err) {
        log_info("Auto sync endpoints failed.",
                 LOG_STR("error", code != GRPC_OK ? text
                                  : s->err        ? err_text(s->err)
                                                  : "no answer"));
        return false;
    }
    warn_of_tls(s);
    if (s->list.count == 0) {
        return false;
    }
    if (upstream_set(s->upstream, s->list.addresses, s->list.count)) {
        log_info("set etcd endpoints by autoSync",
                 LOG_UINT("count", s->list.count));
    }
    return true;
}

static void on_message(void *ctx, struct slice message)
{
    struct sync *s = ctx;
    s->has_answer = true;
    s->err = sync_read(message, &s->list);
}

static void on_status(void *ctx, enum grpc_code code, const char *text)
{
    struct sync *s = ctx;
    uint64_t pause_ms = s->interval_ms;
    s->call = NULL;
    if (!take(s, code, text) && pause_ms > AGAIN_MS) {
        pause_ms = AGAIN_MS;
    }
    timer_start(s->timer, pause_ms, 0);
}

static void ask(void *ctx)
{
    static const struct grpc_client_handler handler = {on_message, on_status};
    static const char *const no_metadata[] = {NULL};
    static const char linearizable[] = {1 << 3 | PROTO_VARINT, 1};
    struct sync *s = ctx;
    struct upstream_ask a = {
        .path = "/etcdserverpb.Cluster/MemberList",
        .metadata = no_metadata,
        .message = slice_of(linearizable, sizeof linearizable),
        .deadline_ns = loop_now_ns(upstream_loop(s->upstream)) +
                       ASK_MS * UINT64_C(1000000),
        .waits = true,
        .repeats = true,
    };
    s->has_answer = false;
    s->err = 0;
    s->call = upstream_start(s->upstream, &a, &handler, s);
}

struct sync *sync_new(struct upstream *u, uint64_t interval_ms)
{
    struct sync *s = mem_zalloc(sizeof *s);
    s->upstream = u;
    s->interval_ms = interval_ms;
    s->timer = timer_new(upstream_loop(u), ask, s);
    timer_start(s->timer, 0, 0);
    return s;
}

void sync_free(struct sync *s)
{
    if (s == NULL) {
        return;
    }
    if (s->call) {
        upstream_cancel(s->call);
    }
    timer_free(s->timer);
    free(s);
}
