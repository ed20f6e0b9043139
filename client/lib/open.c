#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "client.h"

enum { DIAL_MS_MIN = 300 };

static _Thread_local char open_error[512];

const char *cofre_open_error(void)
{
    return open_error;
}

static int host_port(const char *text, struct net_address *ret)
{
    struct net_address a = {0};
    const char *host = text;
    const char *host_end;
    const char *end = text + strcspn(text, "/");
    if (*end && end[1]) {
        return ERR_INVALID;
    }
    if (*text == '[') {
        host++;
        host_end = memchr(host, ']', (size_t)(end - host));
        if (!host_end || host_end[1] != ':') {
            return ERR_INVALID;
        }
    } else {
        host_end = memchr(text, ':', (size_t)(end - text));
        if (!host_end) {
            return ERR_INVALID;
        }
    }
    const char *port = host_end + (*host_end == ']' ? 2 : 1);
    size_t host_size = (size_t)(host_end - host);
    size_t port_size = (size_t)(end - port);
    char digits[8];
    uint64_t number;
    if (host_size >= sizeof a.host || port_size == 0 ||
        port_size >= sizeof digits) {
        return ERR_INVALID;
    }
    memcpy(digits, port, port_size);
    digits[port_size] = 0;
    if (text_parse_u64(digits, 10, &number) < 0 || number == 0 ||
        number > UINT16_MAX) {
        return ERR_INVALID;
    }
    memcpy(a.host, host, host_size);
    if (host_size == 0) {
        memcpy(a.host, "localhost", sizeof "localhost");
    }
    a.port = (uint16_t)number;
    *ret = a;
    return 0;
}

static int unix_path(const char *path, struct net_address *ret)
{
    struct net_address a = {0};
    while (path[0] == '/' && path[1] == '/') {
        path++;
    }
    size_t size = strlen(path);
    if (size == 0 || size >= sizeof a.path) {
        return ERR_INVALID;
    }
    memcpy(a.path, path, size);
    *ret = a;
    return 0;
}

int client_parse_endpoint(const char *text, struct net_address *ret_address)
{
    if (strncmp(text, "http://", 7) == 0) {
        return host_port(text + 7, ret_address);
    }
    if (strncmp(text, "https://", 8) == 0 || strncmp(text, "unixs:", 6) == 0) {
        return ERR_UNSUPPORTED;
    }
    if (strncmp(text, "unix:", 5) == 0) {
        return unix_path(text + 5, ret_address);
    }
    return host_port(text, ret_address);
}

static int add_endpoint(struct cofre *c, const char *text, size_t size)
{
    while (size > 0 && *text == ' ') {
        text++;
        size--;
    }
    while (size > 0 && text[size - 1] == ' ') {
        size--;
    }
    struct client_endpoint *e = &c->endpoints[c->endpoint_count++];
    e->text = mem_printf("%.*s", (int)size, text);
    int err = client_parse_endpoint(e->text, &e->address);
    if (err == ERR_UNSUPPORTED) {
        snprintf(open_error, sizeof open_error,
                 "endpoint %s: TLS is not supported", e->text);
        return COFRE_UNIMPLEMENTED;
    }
    if (err < 0) {
        snprintf(open_error, sizeof open_error,
                 "endpoint \"%s\" is not host:port", e->text);
        return COFRE_INVALID_ARGUMENT;
    }
    return 0;
}

static int add_endpoints(struct cofre *c, const char *list)
{
    size_t count = 1;
    for (const char *p = list; *p; p++) {
        count += *p == ',';
    }
    if (*list == 0 || count > CLIENT_ENDPOINT_COUNT_MAX) {
        snprintf(open_error, sizeof open_error, "%s",
                 *list ? "too many endpoints" : "no endpoint given");
        return COFRE_INVALID_ARGUMENT;
    }
    c->endpoints = mem_zalloc(count * sizeof *c->endpoints);
    for (const char *p = list;; p++) {
        size_t size = strcspn(p, ",");
        int code = add_endpoint(c, p, size);
        if (code != 0) {
            return code;
        }
        p += size;
        if (*p == 0) {
            return 0;
        }
    }
}

static char *copy(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

int cofre_open(const struct cofre_config *config, struct cofre **ret_client)
{
    struct cofre *c = mem_zalloc(sizeof *c);
    *ret_client = NULL;
    open_error[0] = 0;
    c->error_text = mem_strdup("");
    c->dial_timeout_ms =
        config->dial_timeout_ms ? config->dial_timeout_ms : 2000;
    c->call_timeout_ms = config->call_timeout_ms;
    c->request_bytes_max = config->request_bytes_max ? config->request_bytes_max
                                                     : CLIENT_REQUEST_BYTES_MAX;
    c->user = copy(config->user);
    c->password = copy(config->password);
    c->token = copy(config->token);
    c->on_failed = config->on_failed;
    c->ctx = config->ctx;
    int code = add_endpoints(c, config->endpoints ? config->endpoints : "");
    if (code == 0 && loop_new(&c->loop) < 0) {
        snprintf(open_error, sizeof open_error, "no event loop");
        code = COFRE_INTERNAL;
    }
    if (code != 0) {
        cofre_close(c);
        return code;
    }
    *ret_client = c;
    return 0;
}

/* Passwords do not stay behind in freed memory. */
static void free_secret(char *text)
{
    if (text) {
        explicit_bzero(text, strlen(text));
        free(text);
    }
}

void cofre_close(struct cofre *c)
{
    if (!c) {
        return;
    }
    for (size_t i = 0; i < c->endpoint_count; i++) {
        if (c->endpoints[i].channel) {
            grpc_channel_free(c->endpoints[i].channel);
        }
        free(c->endpoints[i].text);
    }
    free(c->endpoints);
    if (c->loop) {
        loop_free(c->loop);
    }
    free(c->user);
    free_secret(c->password);
    free_secret(c->token);
    free(c->error_text);
    free(c);
}

struct grpc_channel *client_channel(struct cofre *c, size_t index)
{
    struct client_endpoint *e = &c->endpoints[index];
    if (!e->channel) {
        /* One that is reached but silent must leave the others their time. */
        uint64_t share_ms = c->dial_timeout_ms / c->endpoint_count;
        e->channel =
            grpc_channel_new(c->loop, &e->address,
                             share_ms < DIAL_MS_MIN ? DIAL_MS_MIN : share_ms);
    }
    return e->channel;
}

struct loop *cofre_loop(struct cofre *c)
{
    return c->loop;
}

size_t cofre_endpoint_count(const struct cofre *c)
{
    return c->endpoint_count;
}

const char *cofre_endpoint(const struct cofre *c, size_t index)
{
    return c->endpoints[index].text;
}

void cofre_set_call_timeout(struct cofre *c, uint64_t timeout_ms)
{
    c->call_timeout_ms = timeout_ms;
}

int cofre_error_code(const struct cofre *c)
{
    return c->error_code;
}

const char *cofre_error_text(const struct cofre *c)
{
    return c->error_text;
}

int client_error(struct cofre *c, int code, const char *text)
{
    char *fresh = mem_strdup(text ? text : "");
    free(c->error_text);
    c->error_text = fresh;
    c->error_code = code;
    return code;
}

const char *cofre_code_name(int code)
{
    return grpc_code_name((enum grpc_code)code);
}
