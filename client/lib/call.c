/*
 * Unary calls: one endpoint after the other until one can be reached,
 * again after a pause until the time is up. What may have reached a server
 * is sent again only where it changes nothing there.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "client.h"

enum { PAUSE_MS_MIN = 25, PAUSE_MS_MAX = 500, ATTEMPT_COUNT_MAX = 100 };

struct unary {
    struct cofre *client;
    struct cofre_reply *reply; /* NULL until a message came */
    const ProtobufCMessageDescriptor *answer;
    bool done;
    int code;
    char *text;
};

static void take_message(void *ctx, struct slice message)
{
    struct unary *u = ctx;
    if (u->reply) {
        return; /* a second message to a unary call: the first counts */
    }
    struct cofre_reply *r = mem_zalloc(sizeof *r);
    arena_init(&r->arena);
    ProtobufCAllocator allocator = grpc_arena_allocator(&r->arena);
    r->message = protobuf_c_message_unpack(u->answer, &allocator, message.size,
                                           message.data);
    u->reply = r;
}

static void take_status(void *ctx, enum grpc_code code, const char *text)
{
    struct unary *u = ctx;
    u->done = true;
    u->code = (int)code;
    u->text = mem_strdup(text ? text : "");
    loop_stop(u->client->loop);
}

bool client_never_sent(int code, const char *text)
{
    return grpc_status_never_sent((enum grpc_code)code, text);
}

struct pause {
    struct loop *loop;
    bool over;
};

static void pause_over(void *ctx)
{
    struct pause *p = ctx;
    p->over = true;
    loop_stop(p->loop);
}

void client_pause(struct cofre *c, uint64_t ms)
{
    struct pause p = {.loop = c->loop};
    struct timer *t = timer_new(c->loop, pause_over, &p);
    timer_start(t, ms, 0);
    while (!p.over) {
        loop_run(c->loop);
    }
    timer_free(t);
}

void client_metadata(const struct cofre *c, bool require_leader,
                     const char *ret_metadata[CLIENT_METADATA_COUNT])
{
    size_t n = 0;
    ret_metadata[n++] = "client-api-version";
    ret_metadata[n++] = "3.7";
    if (c->token) {
        ret_metadata[n++] = "token";
        ret_metadata[n++] = c->token;
    }
    if (require_leader) {
        ret_metadata[n++] = "hasleader";
        ret_metadata[n++] = "true";
    }
    ret_metadata[n] = NULL;
}

/* Calls that change nothing: they may be sent twice. */
static bool is_read(const char *path)
{
    static const char *const reads[] = {
        "/etcdserverpb.KV/Range",
        "/etcdserverpb.Lease/LeaseTimeToLive",
        "/etcdserverpb.Lease/LeaseLeases",
        "/etcdserverpb.Cluster/MemberList",
        "/etcdserverpb.Maintenance/Status",
        "/etcdserverpb.Maintenance/HashKV",
        "/etcdserverpb.Auth/AuthStatus",
        "/etcdserverpb.Auth/UserGet",
        "/etcdserverpb.Auth/UserList",
        "/etcdserverpb.Auth/RoleGet",
        "/etcdserverpb.Auth/RoleList",
        "/etcdserverpb.Auth/Authenticate",
    };
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        if (strcmp(path, reads[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void reply_drop(struct unary *u)
{
    cofre_reply_free(u->reply);
    u->reply = NULL;
    free(u->text);
    u->text = NULL;
}

/* One attempt at one endpoint. */
static void attempt(struct unary *u, size_t endpoint, const char *path,
                    const ProtobufCMessage *request, uint64_t deadline_ms)
{
    static const struct grpc_client_handler handler = {
        .on_message = take_message,
        .on_status = take_status,
    };
    const char *metadata[CLIENT_METADATA_COUNT];
    reply_drop(u);
    client_metadata(u->client, false, metadata);
    u->done = false;
    struct grpc_client_call *call =
        grpc_client_start(client_channel(u->client, endpoint), path, metadata,
                          deadline_ms, &handler, u);
    grpc_client_send(call, request);
    grpc_client_half_close(call);
    while (!u->done) {
        loop_run(u->client->loop);
    }
    if (u->code == COFRE_OK && (!u->reply || !u->reply->message)) {
        u->code = COFRE_INTERNAL;
        free(u->text);
        u->text = mem_strdup(u->reply ? "the answer cannot be read"
                                      : "the call ended without an answer");
    }
}

static void tell(struct unary *u, const char *path, unsigned number,
                 bool connected, int code, const char *text)
{
    struct cofre *c = u->client;
    if (!c->on_failed) {
        return;
    }
    struct cofre_failure f = {
        .target = c->endpoints[c->current].text,
        .method = path,
        .code = code,
        .text = text,
        .attempt = number,
        .connected = connected,
    };
    c->on_failed(c->ctx, &f);
}

/* Milliseconds left, 0 when none; UINT64_MAX without a limit. */
static uint64_t left_ms(const struct cofre *c, uint64_t end_ns)
{
    if (end_ns == 0) {
        return UINT64_MAX;
    }
    uint64_t now = loop_now_ns(c->loop);
    return now >= end_ns ? 0 : (end_ns - now + 999999) / 1000000;
}

static uint64_t pause_ms(uint64_t *next, uint64_t left)
{
    uint64_t ms = *next < left ? *next : left;
    *next = *next * 2 > PAUSE_MS_MAX ? PAUSE_MS_MAX : *next * 2;
    return ms;
}

static int give_up(struct unary *u, const char *path, unsigned number,
                   bool connected)
{
    char *told = connected || !u->text
                     ? mem_strdup("context deadline exceeded")
                     : mem_printf("latest balancer error: %s", u->text);
    tell(u, path, number, connected, COFRE_DEADLINE_EXCEEDED, told);
    free(told);
    reply_drop(u);
    return client_error(u->client, COFRE_DEADLINE_EXCEEDED,
                        "context deadline exceeded");
}

/* Asks the endpoints in turn, beginning with the one that answered last,
 * until one has been reached. */
static bool reach(struct unary *u, const char *path,
                  const ProtobufCMessage *request, uint64_t end_ns)
{
    struct cofre *c = u->client;
    for (size_t i = 0; i < c->endpoint_count; i++) {
        size_t endpoint = (c->current + i) % c->endpoint_count;
        uint64_t left = left_ms(c, end_ns);
        if (left == 0) {
            return false;
        }
        attempt(u, endpoint, path, request, left == UINT64_MAX ? 0 : left);
        if (!client_never_sent(u->code, u->text)) {
            c->current = endpoint;
            return true;
        }
    }
    return false;
}

static int unary(struct unary *u, const char *path,
                 const ProtobufCMessage *request)
{
    struct cofre *c = u->client;
    uint64_t end_ns = c->call_timeout_ms
                          ? loop_now_ns(c->loop) + c->call_timeout_ms * 1000000
                          : 0;
    uint64_t pause = PAUSE_MS_MIN;
    unsigned number = 0;
    for (;;) {
        bool reached = reach(u, path, request, end_ns);
        if (reached && u->code == COFRE_OK) {
            return COFRE_OK;
        }
        uint64_t left = left_ms(c, end_ns);
        if (reached) {
            if (u->code == COFRE_DEADLINE_EXCEEDED && left <= 1) {
                return give_up(u, path, number, true);
            }
            tell(u, path, number, true, u->code, u->text);
            if (u->code != COFRE_UNAVAILABLE || !is_read(path) ||
                ++number >= ATTEMPT_COUNT_MAX) {
                client_error(c, u->code, u->text);
                return u->code;
            }
            c->current = (c->current + 1) % c->endpoint_count;
        }
        if (left == 0) {
            return give_up(u, path, number, reached);
        }
        client_pause(c, pause_ms(&pause, left));
    }
}

static int run(struct cofre *c, const char *path,
               const ProtobufCMessage *request,
               const ProtobufCMessageDescriptor *answer,
               struct cofre_reply **ret_reply)
{
    struct unary u = {.client = c, .answer = answer};
    client_error(c, COFRE_OK, "");
    int code = unary(&u, path, request);
    if (code == COFRE_OK) {
        client_reply_index(u.reply);
        *ret_reply = u.reply;
        u.reply = NULL;
    }
    reply_drop(&u);
    return code;
}

int cofre_login(struct cofre *c)
{
    struct cofre_reply *reply = NULL;
    Pb__AuthenticateRequest request;
    pb__authenticate_request__init(&request);
    if (!c->user || c->token) {
        return COFRE_OK;
    }
    request.name = c->user;
    if (c->password) {
        request.password = c->password;
    }
    int code = run(c, "/etcdserverpb.Auth/Authenticate", &request.base,
                   &pb__authenticate_response__descriptor, &reply);
    if (code == COFRE_OK) {
        const Pb__AuthenticateResponse *answer =
            (const Pb__AuthenticateResponse *)(const void *)reply->message;
        c->token = mem_strdup(answer->token);
    } else if (code == COFRE_FAILED_PRECONDITION &&
               strcmp(c->error_text,
                      "etcdserver: authentication is not enabled") == 0) {
        /* A user given to a cluster without authentication does no harm. */
        code = client_error(c, COFRE_OK, "");
    }
    cofre_reply_free(reply);
    return code;
}

/* The server asks for a fresh token in these words. */
static bool wants_login(const struct cofre *c)
{
    static const char *const texts[] = {
        "etcdserver: invalid auth token",
        "etcdserver: revision of auth store is old",
        "etcdserver: user name is empty",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (c->user && strcmp(c->error_text, texts[i]) == 0) {
            return true;
        }
    }
    return false;
}

int cofre_call(struct cofre *c, const char *path,
               const ProtobufCMessage *request,
               const ProtobufCMessageDescriptor *answer,
               struct cofre_reply **ret_reply)
{
    size_t size = protobuf_c_message_get_packed_size(request);
    if (size > c->request_bytes_max) {
        char text[128];
        snprintf(text, sizeof text,
                 "trying to send message larger than max (%zu vs. %zu)", size,
                 c->request_bytes_max);
        return client_error(c, COFRE_RESOURCE_EXHAUSTED, text);
    }
    int code = cofre_login(c);
    if (code != COFRE_OK) {
        return code;
    }
    code = run(c, path, request, answer, ret_reply);
    if (code != COFRE_OK && wants_login(c)) {
        free(c->token);
        c->token = NULL;
        code = cofre_login(c);
        if (code == COFRE_OK) {
            code = run(c, path, request, answer, ret_reply);
        }
    }
    return code;
}
