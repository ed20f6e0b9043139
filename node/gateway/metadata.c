/* Which HTTP headers travel on as metadata of the gRPC call. */
#include <ctype.h>
#include <strings.h>

#include "base/mem.h"
#include "internal.h"

/* Headers that describe the request, not the connection. */
static const char *const standard[] = {
    "accept",
    "accept-charset",
    "accept-language",
    "accept-ranges",
    "authorization",
    "cache-control",
    "content-type",
    "cookie",
    "date",
    "expect",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-schedule-tag-match",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "pragma",
    "referer",
    "user-agent",
    "via",
    "warning",
};

/* What gRPC or HTTP/2 itself means something by. */
static const char *const reserved[] = {
    "connection",       "content-type", "host",           "keep-alive",
    "proxy-connection", "te",           "trailer",        "transfer-encoding",
    "upgrade",          "user-agent",   "content-length",
};

static bool is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Lower-case, and only what a metadata key may have; false: it may not. */
static bool is_key(const char *name)
{
    for (const char *p = name; *p; p++) {
        if (!isalnum((unsigned char)*p) && !strchr("-_.", *p)) {
            return false;
        }
    }
    return *name && strncasecmp(name, "grpc-", 5) != 0 &&
           !is_among(name, reserved, sizeof reserved / sizeof *reserved);
}

static bool is_value(const char *value)
{
    for (const char *p = value; *p; p++) {
        if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e) {
            return false;
        }
    }
    return true;
}

static void add(struct gateway_metadata *m, const char *prefix,
                const char *name, const char *value)
{
    if (m->count == 2 * GATEWAY_METADATA_MAX || !is_value(value) ||
        m->arena.used + strlen(name) + strlen(value) > GATEWAY_METADATA_BYTES) {
        return;
    }
    char *key = arena_printf(&m->arena, "%s%s", prefix, name);
    for (char *p = key; *p; p++) {
        *p = (char)tolower((unsigned char)*p);
    }
    m->list[m->count++] = key;
    m->list[m->count++] = arena_strdup(&m->arena, value);
    m->list[m->count] = NULL;
}

/* Digits and a unit. */
static void read_timeout(struct gateway_metadata *m, const char *text)
{
    static const struct {
        char letter;
        uint64_t ns;
    } units[] = {{'H', 3600000000000}, {'M', 60000000000}, {'S', 1000000000},
                 {'m', 1000000},       {'u', 1000},        {'n', 1}};
    size_t n = strspn(text, "0123456789");
    m->has_timeout = true;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (n == 0 || n > 8 || text[n] != units[i].letter || text[n + 1]) {
            continue;
        }
        uint64_t v = 0;
        for (size_t d = 0; d < n; d++) {
            v = v * 10 + (uint64_t)(text[d] - '0');
        }
        if (__builtin_mul_overflow(v, units[i].ns, &m->timeout_ns)) {
            m->timeout_ns = INT64_MAX;
        }
        return;
    }
    m->bad_timeout = arena_strdup(&m->arena, text);
}

void gateway_metadata_read(struct gateway_metadata *m,
                           const char *const *headers)
{
    static const char custom[] = "grpc-metadata-";
    arena_init(&m->arena);
    for (size_t i = 0; headers[i]; i += 2) {
        const char *name = headers[i], *value = headers[i + 1];
        if (strcasecmp(name, "grpc-timeout") == 0) {
            read_timeout(m, value);
        } else if (strncasecmp(name, custom, sizeof custom - 1) == 0) {
            if (is_key(name + sizeof custom - 1)) {
                add(m, "", name + sizeof custom - 1, value);
            }
        } else if (is_among(name, standard,
                            sizeof standard / sizeof *standard)) {
            add(m, "grpcgateway-", name, value);
            if (strcasecmp(name, "authorization") == 0) {
                add(m, "", name, value);
            }
        }
    }
}

void gateway_metadata_release(struct gateway_metadata *m)
{
    arena_release(&m->arena);
}
