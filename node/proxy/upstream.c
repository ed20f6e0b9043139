#include "upstream.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

enum {
    DOWN_MS = 1000, /* how long a failed endpoint is passed over */
    PAUSE_MS_MIN = 20,
    PAUSE_MS_MAX = 500,
};

struct upstream_endpoint {
    struct upstream *upstream;
    struct net_address address;
    struct grpc_channel *channel;
    uint64_t down_until_ms;
    uint32_t refs; /* calls and streams that are on it */
    bool is_listed;
    struct list in_left;
};

struct upstream {
    struct upstream_config config;
    struct upstream_endpoint *endpoints[UPSTREAM_ENDPOINTS_MAX];
    uint32_t count;
    uint32_t next;
    struct list left;    /* endpoints that are no more listed */
    struct timer *sweep; /* frees those that nobody is on */
};

struct upstream_call {
    struct upstream *upstream;
    struct upstream_ask ask;
    struct grpc_client_handler handler;
    void *ctx;
    struct upstream_endpoint *endpoint; /* NULL: between two attempts */
    struct grpc_client_call *rpc;       /* likewise */
    struct grpc_channel *own;           /* is_stream */
    struct timer *pause;
    uint64_t pause_ms;
    uint32_t tried; /* endpoints since the last pause */
    bool has_answer;
};

/* ---- endpoints ---- */

int upstream_parse(struct slice text, struct net_address *ret_address)
{
    struct url url;
    bool has_scheme = memmem(text.data, text.size, "://", 3) != NULL;
    char *full = mem_printf("%s%.*s", has_scheme ? "" : "http://",
                            (int)text.size, (const char *)text.data);
    int err = url_parse(full, &url);
    free(full);
    if (err == 0 && url.tls) {
        err = ERR_UNSUPPORTED;
    }
    if (err) {
        return err;
    }
    if (!url.is_unix && url.address.host[0] == '\0') {
        snprintf(url.address.host, sizeof url.address.host, "localhost");
    }
    *ret_address = url.address;
    return 0;
}

static struct upstream_endpoint *endpoint_new(struct upstream *u,
                                              const struct net_address *a)
{
    struct upstream_endpoint *e = mem_zalloc(sizeof *e);
    e->upstream = u;
    e->address = *a;
    list_init(&e->in_left);
    e->channel = grpc_channel_new(u->config.loop, a, u->config.dial_timeout_ms);
    grpc_channel_keepalive(e->channel, u->config.keepalive_ms,
                           u->config.keepalive_timeout_ms);
    return e;
}

static void endpoint_free(struct upstream_endpoint *e)
{
    list_remove(&e->in_left);
    grpc_channel_free(e->channel);
    free(e);
}

/* Never from inside a channel's callback: it may be the one to be freed. */
static void sweep(void *ctx)
{
    struct upstream *u = ctx;
    list_each(it, safe, &u->left)
    {
        struct upstream_endpoint *e =
            container_of(it, struct upstream_endpoint, in_left);
        if (e->refs == 0) {
            endpoint_free(e);
        }
    }
}

void upstream_unref(struct upstream_endpoint *e)
{
    if (e && --e->refs == 0 && !e->is_listed) {
        timer_start(e->upstream->sweep, 0, 0);
    }
}

static bool same_address(const struct net_address *a,
                         const struct net_address *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0 &&
           strcmp(a->path, b->path) == 0;
}

static struct upstream_endpoint *find(struct upstream_endpoint *const *list,
                                      uint32_t count,
                                      const struct net_address *a)
{
    for (uint32_t i = 0; i < count; i++) {
        if (same_address(&list[i]->address, a)) {
            return list[i];
        }
    }
    return NULL;
}

/* Puts the new list in place; the old one's endpoints are those of `old`. */
static bool put_list(struct upstream *u, struct upstream_endpoint *const *old,
                     uint32_t old_count, const struct net_address *list,
                     uint32_t count)
{
    bool has_new = false;
    u->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (find(u->endpoints, u->count, &list[i])) {
            continue;
        }
        struct upstream_endpoint *e = find(old, old_count, &list[i]);
        has_new |= e == NULL;
        e = e ? e : endpoint_new(u, &list[i]);
        e->is_listed = true;
        u->endpoints[u->count++] = e;
    }
    return has_new;
}

bool upstream_set(struct upstream *u, const struct net_address *list,
                  uint32_t count)
{
    struct upstream_endpoint *old[UPSTREAM_ENDPOINTS_MAX];
    uint32_t old_count = u->count;
    assert(count > 0 && count <= UPSTREAM_ENDPOINTS_MAX);
    memcpy(old, u->endpoints, sizeof old);
    for (uint32_t i = 0; i < old_count; i++) {
        old[i]->is_listed = false;
    }
    bool is_other = put_list(u, old, old_count, list, count);
    for (uint32_t i = 0; i < old_count; i++) {
        if (!old[i]->is_listed) {
            is_other = true;
            list_append(&u->left, &old[i]->in_left);
            timer_start(u->sweep, 0, 0);
        }
    }
    u->next %= u->count;
    return is_other;
}

static const char *reason_of(int err)
{
    return err == ERR_UNSUPPORTED
               ? "TLS is not built into this version of cofre yet"
           : err == ERR_TOO_LARGE ? "too many endpoints"
                                  : "not host:port";
}

/* ERR_INVALID, ERR_UNSUPPORTED, ERR_TOO_LARGE. */
static int parse_list(const char *endpoints, struct net_address *list,
                      uint32_t *ret_count, struct buf *why)
{
    uint32_t count = 0;
    for (const char *p = endpoints;; p++) {
        size_t size = strcspn(p, ",");
        int err = count < UPSTREAM_ENDPOINTS_MAX
                      ? upstream_parse(slice_of(p, size), &list[count])
                      : ERR_TOO_LARGE;
        if (err) {
            buf_printf(why, "endpoint \"%.*s\": %s", (int)size, p,
                       reason_of(err));
            return err;
        }
        count++;
        p += size;
        if (*p == '\0') {
            break;
        }
    }
    *ret_count = count;
    return 0;
}

int upstream_new(const struct upstream_config *config, const char *endpoints,
                 struct upstream **ret_upstream, struct buf *why)
{
    struct net_address list[UPSTREAM_ENDPOINTS_MAX];
    uint32_t count = 0;
    int err = parse_list(endpoints, list, &count, why);
    if (err) {
        return err;
    }
    struct upstream *u = mem_zalloc(sizeof *u);
    u->config = *config;
    list_init(&u->left);
    u->sweep = timer_new(config->loop, sweep, u);
    upstream_set(u, list, count);
    *ret_upstream = u;
    return 0;
}

void upstream_free(struct upstream *u)
{
    if (u == NULL) {
        return;
    }
    for (uint32_t i = 0; i < u->count; i++) {
        endpoint_free(u->endpoints[i]);
    }
    sweep(u);
    timer_free(u->sweep);
    free(u);
}

const struct net_address *upstream_first(const struct upstream *u)
{
    return &u->endpoints[0]->address;
}

struct upstream_endpoint *upstream_pick(struct upstream *u)
{
    uint64_t now = loop_now_ms(u->config.loop);
    uint32_t at = u->next;
    for (uint32_t i = 0; i < u->count; i++) {
        uint32_t one = (u->next + i) % u->count;
        if (u->endpoints[one]->down_until_ms <= now) {
            at = one;
            break;
        }
    }
    u->next = (at + 1) % u->count;
    u->endpoints[at]->refs++;
    return u->endpoints[at];
}

struct loop *upstream_loop(const struct upstream *u)
{
    return u->config.loop;
}

struct grpc_channel *upstream_channel(struct upstream_endpoint *e)
{
    return e->channel;
}

void upstream_note(struct upstream_endpoint *e, enum grpc_code code,
                   const char *text)
{
    if (grpc_status_never_sent(code, text) || grpc_status_lost(code, text)) {
        e->down_until_ms = loop_now_ms(e->upstream->config.loop) + DOWN_MS;
    } else {
        e->down_until_ms = 0;
    }
}

/* ---- calls ---- */

static void leave_endpoint(struct upstream_call *c)
{
    upstream_unref(c->endpoint);
    c->endpoint = NULL;
}

static void free_call(struct upstream_call *c)
{
    leave_endpoint(c);
    timer_free(c->pause);
    grpc_channel_free(c->own);
    free(c);
}

static void conclude(struct upstream_call *c, enum grpc_code code,
                     const char *text)
{
    struct grpc_client_handler handler = c->handler;
    void *ctx = c->ctx;
    char *copy = mem_strdup(text); /* it may be the channel's */
    free_call(c);
    handler.on_status(ctx, code, copy);
    free(copy);
}

/* What is left until the deadline, at least 1; 0: there is none. */
static uint64_t left_ms(const struct upstream_call *c)
{
    if (c->ask.deadline_ns == 0) {
        return 0;
    }
    uint64_t now = loop_now_ns(c->upstream->config.loop);
    return c->ask.deadline_ns > now + 1000000
               ? (c->ask.deadline_ns - now) / 1000000
               : 1;
}

static void attempt(void *ctx);

static void on_message(void *ctx, struct slice message)
{
    struct upstream_call *c = ctx;
    c->has_answer = true;
    c->handler.on_message(c->ctx, message);
}

/* Not from inside a channel's callback: it may be the one to be freed. */
static void again(struct upstream_call *c)
{
    uint64_t after_ms = 0;
    if (++c->tried >= c->upstream->count) {
        after_ms = c->pause_ms;
        c->tried = 0;
        c->pause_ms *= 2;
        c->pause_ms = c->pause_ms < PAUSE_MS_MAX ? c->pause_ms : PAUSE_MS_MAX;
    }
    uint64_t left = left_ms(c);
    timer_start(c->pause, left && left < after_ms ? left : after_ms, 0);
}

static void on_status(void *ctx, enum grpc_code code, const char *text)
{
    struct upstream_call *c = ctx;
    bool never = grpc_status_never_sent(code, text);
    bool lost = grpc_status_lost(code, text);
    c->rpc = NULL;
    upstream_note(c->endpoint, code, text);
    leave_endpoint(c);
    bool is_harmless = !c->has_answer && (never || (lost && c->ask.repeats));
    if (is_harmless && (c->ask.waits || c->tried + 1 < c->upstream->count)) {
        again(c);
    } else {
        conclude(c, code, text);
    }
}

static void attempt(void *ctx)
{
    static const struct grpc_client_handler handler = {on_message, on_status};
    struct upstream_call *c = ctx;
    const struct upstream_config *config = &c->upstream->config;
    if (left_ms(c) == 1) {
        conclude(c, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
        return;
    }
    c->endpoint = upstream_pick(c->upstream);
    struct grpc_channel *ch = c->endpoint->channel;
    if (c->ask.is_stream) {
        grpc_channel_free(c->own);
        c->own = grpc_channel_new(config->loop, &c->endpoint->address,
                                  config->dial_timeout_ms);
        grpc_channel_keepalive(c->own, config->keepalive_ms,
                               config->keepalive_timeout_ms);
        ch = c->own;
    }
    c->rpc = grpc_client_start(ch, c->ask.path, c->ask.metadata, left_ms(c),
                               &handler, c);
    grpc_client_send_bytes(c->rpc, c->ask.message);
    grpc_client_half_close(c->rpc);
}

struct upstream_call *upstream_start(struct upstream *u,
                                     const struct upstream_ask *ask,
                                     const struct grpc_client_handler *h,
                                     void *ctx)
{
    struct upstream_call *c = mem_zalloc(sizeof *c);
    c->upstream = u;
    c->ask = *ask;
    c->handler = *h;
    c->ctx = ctx;
    c->pause_ms = PAUSE_MS_MIN;
    c->pause = timer_new(u->config.loop, attempt, c);
    if (left_ms(c) == 1) {
        timer_start(c->pause, 1, 0); /* too late, but not told from inside */
    } else {
        attempt(c);
    }
    return c;
}

void upstream_pause(struct upstream_call *c, bool paused)
{
    if (c->own) {
        grpc_channel_pause(c->own, paused);
    }
}

void upstream_cancel(struct upstream_call *c)
{
    if (c->rpc) {
        grpc_client_cancel(c->rpc);
    }
    free_call(c);
}
