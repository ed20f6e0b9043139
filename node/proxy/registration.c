#include "registration.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "proto/proto.h"
#include "registry.h"
#include "session.h"

enum { REQUEST_BYTES_MAX = 64 << 10 };

struct registration {
    struct registration_config config;
    struct loop *loop;
    struct session session;
    struct timer *timer;
    struct buf key; /* as the members know it */
    struct buf value;
    /* The deed under way. */
    struct upstream_call *call; /* NULL: none */
    enum session_deed deed;
    uint64_t asked_ms;
    struct buf request;
    bool has_answer;
    int64_t answer_lease;
    int64_t answer_ttl_s;
    void (*left)(void *ctx); /* NULL: it stays */
    void *left_ctx;
};

/* ---- requests ---- */

static void make_request(struct registration *r)
{
    const struct session *s = &r->session;
    buf_reset(&r->request, REQUEST_BYTES_MAX);
    if (r->deed == SESSION_GRANT) {
        proto_add_u64(&r->request, 1, (uint64_t)r->config.ttl_s);
    } else if (r->deed == SESSION_PUT) {
        proto_add_bytes(&r->request, 1, buf_slice(&r->key));
        proto_add_bytes(&r->request, 2, buf_slice(&r->value));
        proto_add_u64(&r->request, 3, (uint64_t)s->lease);
    } else {
        proto_add_u64(&r->request, 1, (uint64_t)s->lease);
    }
}

/* LeaseGrantResponse and LeaseKeepAliveResponse alike. */
static void on_message(void *ctx, struct slice message)
{
    struct registration *r = ctx;
    struct proto_field f;
    r->has_answer = true;
    r->answer_lease = r->answer_ttl_s = 0;
    while (proto_next(&message, &f) > 0) {
        if (f.number == 2 && f.wire == PROTO_VARINT) {
            r->answer_lease = (int64_t)f.value;
        } else if (f.number == 3 && f.wire == PROTO_VARINT) {
            r->answer_ttl_s = (int64_t)f.value;
        }
    }
}

static void
ask(struct registration *r, const char *path, uint64_t wait_ms, bool waits,
    void (*on_status)(void *ctx, enum grpc_code code, const char *text))
{
    static const char *const no_metadata[] = {NULL};
    struct grpc_client_handler handler = {on_message, on_status};
    struct upstream_ask a = {
        .path = path,
        .metadata = no_metadata,
        .message = buf_slice(&r->request),
        .deadline_ns = loop_now_ns(r->loop) + wait_ms * UINT64_C(1000000),
        .waits = waits,
        .repeats = r->deed != SESSION_GRANT,
    };
    r->has_answer = false;
    r->asked_ms = loop_now_ms(r->loop);
    r->call = upstream_start(r->config.upstream, &a, &handler, r);
}

/* ---- the session's deeds ---- */

/* A proxy on the way may have made the code another one. */
static bool is_lease_gone(enum grpc_code code, const char *text)
{
    return code == GRPC_NOT_FOUND ||
           strcmp(text, "etcdserver: requested lease not found") == 0;
}

static void fail(struct registration *r, enum grpc_code code, const char *text)
{
    if (r->deed != SESSION_RENEW) {
        log_warn("failed to create a session", LOG_STR("error", text));
    }
    session_failed(&r->session, is_lease_gone(code, text),
                   loop_now_ms(r->loop));
}

static void put_done(struct registration *r)
{
    session_put_done(&r->session);
    log_info("registered session with lease",
             LOG_STR("addr", r->config.address),
             LOG_INT("lease-ttl", r->config.ttl_s));
}

static void step(void *ctx);

static void on_status(void *ctx, enum grpc_code code, const char *text)
{
    struct registration *r = ctx;
    struct session *s = &r->session;
    r->call = NULL;
    if (r->deed == SESSION_RENEW && r->has_answer) {
        /* It counts however the stream ended. */
        session_renewed(s, r->answer_ttl_s, r->asked_ms);
    } else if (code != GRPC_OK || !r->has_answer) {
        fail(r, code, code != GRPC_OK ? text : "no answer");
    } else if (r->deed == SESSION_GRANT) {
        session_granted(s, r->answer_lease, r->answer_ttl_s, r->asked_ms);
    } else {
        put_done(r);
    }
    step(r);
}

static void step(void *ctx)
{
    static const char *const paths[] = {
        [SESSION_GRANT] = "/etcdserverpb.Lease/LeaseGrant",
        [SESSION_PUT] = "/etcdserverpb.KV/Put",
        [SESSION_RENEW] = "/etcdserverpb.Lease/LeaseKeepAlive",
    };
    struct registration *r = ctx;
    uint64_t now_ms = loop_now_ms(r->loop);
    r->deed = session_next(&r->session, now_ms);
    if (r->deed == SESSION_LOST) {
        log_warn("session expired; possible network partition or server "
                 "restart");
        log_warn("creating a new session to rejoin");
        r->deed = session_next(&r->session, now_ms);
    }
    if (r->deed == SESSION_WAIT) {
        uint64_t due_ms = session_due_ms(&r->session);
        timer_start(r->timer, due_ms > now_ms ? due_ms - now_ms : 0, 0);
        return;
    }
    make_request(r);
    ask(r, paths[r->deed], session_ask_ms(&r->session), true, on_status);
}

/* ---- the end ---- */

static void on_left(void *ctx, enum grpc_code code, const char *text)
{
    struct registration *r = ctx;
    r->call = NULL;
    if (code != GRPC_OK) {
        log_warn("left the registration to its lease", LOG_STR("error", text));
    }
    r->left(r->left_ctx);
}

bool registration_leave(struct registration *r, void (*left)(void *ctx),
                        void *ctx)
{
    if (r == NULL) {
        return false;
    }
    if (r->call) {
        upstream_cancel(r->call);
        r->call = NULL;
    }
    timer_stop(r->timer);
    if (r->session.lease == 0) {
        return false;
    }
    r->left = left;
    r->left_ctx = ctx;
    r->deed = SESSION_WAIT;
    make_request(r);
    ask(r, "/etcdserverpb.Lease/LeaseRevoke", REGISTRATION_LEAVE_MS, false,
        on_left);
    return true;
}

/* ---- the door ---- */

struct registration *registration_new(const struct registration_config *c)
{
    struct registration *r = mem_zalloc(sizeof *r);
    r->config = *c;
    r->loop = upstream_loop(c->upstream);
    buf_init(&r->key, UINT32_MAX);
    buf_init(&r->value, UINT32_MAX);
    buf_init(&r->request, UINT32_MAX);
    name_space_key(c->name_space, slice_str(c->prefix), &r->key);
    buf_append_str(&r->key, "/");
    buf_append_str(&r->key, c->address);
    registry_value(c->address, c->name, &r->value);
    r->timer = timer_new(r->loop, step, r);
    timer_start(r->timer, 0, 0);
    return r;
}

void registration_free(struct registration *r)
{
    if (r == NULL) {
        return;
    }
    if (r->call) {
        upstream_cancel(r->call);
    }
    timer_free(r->timer);
    buf_release(&r->key);
    buf_release(&r->value);
    buf_release(&r->request);
    free(r);
}
