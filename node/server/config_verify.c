#include <arpa/inet.h>
#include <inttypes.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "config.h"
#include "net/net.h"

static bool is_ip(const char *host)
{
    struct in6_addr a;
    return inet_pton(AF_INET, host, &a) == 1 ||
           inet_pton(AF_INET6, host, &a) == 1;
}

static int host_of(const char *text, struct url *u)
{
    const char *host = strstr(text, "://") + 3;
    if (*host == ':') {
        *u = (struct url){0}; /* http://:2379 */
        return 0;
    }
    return url_parse(text, u);
}

static int check_listen(const struct url_list *l, struct buf *why)
{
    for (uint32_t i = 0; i < l->count; i++) {
        struct url u;
        int err = host_of(l->urls[i], &u);
        if (err) {
            return err;
        }
        if (u.is_unix) {
            buf_printf(why,
                       "unix sockets are not built into this version "
                       "of cofre yet: %s",
                       l->urls[i]);
            return ERR_UNSUPPORTED;
        }
        if (u.tls) {
            buf_printf(why,
                       "TLS is not built into this version of cofre yet: %s",
                       l->urls[i]);
            return ERR_UNSUPPORTED;
        }
        if (u.address.host[0] && strcmp(u.address.host, "localhost") != 0 &&
            !is_ip(u.address.host)) {
            buf_printf(why, "expected IP in URL for binding (%s)", l->urls[i]);
            return ERR_INVALID;
        }
    }
    return 0;
}

static int check_advertise(const struct url_list *l, const char *flag,
                           const char *form, struct buf *why)
{
    for (uint32_t i = 0; i < l->count; i++) {
        struct url u;
        int err = host_of(l->urls[i], &u);
        if (err) {
            return err;
        }
        if (!u.is_unix && u.address.host[0] == '\0') {
            buf_printf(why,
                       "--%s \"%s\" must be %s (unexpected empty host (%s))",
                       flag, l->text, form, l->urls[i]);
            return ERR_INVALID;
        }
    }
    return 0;
}

static int check_log(const struct config *c, struct buf *why)
{
    if (strcmp(c->logger, "zap") != 0) {
        buf_printf(why,
                   strcmp(c->logger, "capnslog") == 0
                       ? "--logger=%s is removed in v3.5"
                       : "unknown logger option \"%s\"",
                   c->logger);
        return ERR_INVALID;
    }
    if (strcmp(c->log_format, "json") != 0 &&
        strcmp(c->log_format, "console") != 0) {
        buf_printf(why,
                   "unknown log format: %s, supported values json, console",
                   c->log_format);
        return ERR_INVALID;
    }
    return 0;
}

static int check_times(const struct config *c, struct buf *why)
{
    uint64_t h = c->heartbeat_interval_ms, e = c->election_timeout_ms;
    if (h == 0) {
        buf_append_str(why, "--heartbeat-interval must be >0 (set to 0ms)");
    } else if (e == 0) {
        buf_append_str(why, "--election-timeout must be >0 (set to 0ms)");
    } else if (h > e / 5) {
        buf_printf(why,
                   "--election-timeout[%" PRIu64 "ms] should be at least as "
                   "5 times as --heartbeat-interval[%" PRIu64 "ms]",
                   e, h);
    } else if (e > 50000) {
        buf_printf(why,
                   "--election-timeout[%" PRIu64 "ms] is too long, and "
                   "should be set less than 50000ms",
                   e);
    } else {
        return 0;
    }
    return ERR_INVALID;
}

int config_verify(struct config *c, struct buf *why)
{
    int err = check_log(c, why);
    if (err == 0) {
        err = check_listen(&c->listen_peer_urls, why);
    }
    if (err == 0) {
        err = check_listen(&c->listen_client_urls, why);
    }
    if (err == 0) {
        err = check_listen(&c->listen_client_http_urls, why);
    }
    if (err == 0) {
        err = check_listen(&c->listen_metrics_urls, why);
    }
    if (err == 0) {
        err = check_advertise(&c->initial_advertise_peer_urls,
                              "initial-advertise-peer-urls", "\"host:port\"",
                              why);
    }
    if (err == 0) {
        err = check_advertise(
            &c->advertise_client_urls, "advertise-client-urls",
            "in the format \"host:port\", \"unix:/path/to/socket\" or "
            "\"unixs:/path/to/socket\"",
            why);
    }
    if (err == 0) {
        err = check_times(c, why);
    }
    if (err == 0 && c->listen_client_given && !c->advertise_client_given) {
        log_warn("advertise client URLs are not set");
        buf_append_str(why, "--advertise-client-urls is required when "
                            "--listen-client-urls is set explicitly");
        err = ERR_INVALID;
    }
    if (err == 0) {
        err = config_compaction(c, why);
    }
    if (err == 0) {
        err = config_gates_verify(c, why);
    }
    if (err == 0 && c->compact_hash_check_time_ns <= 0) {
        buf_append_str(why, "--compact-hash-check-time must be >0 (set to ");
        text_duration(why, c->compact_hash_check_time_ns);
        buf_append_str(why, ")");
        err = ERR_INVALID;
    }
    if (err == 0 && c->refused) {
        buf_printf(why,
                   "--%s is not built into this version of cofre yet; "
                   "remove it",
                   c->refused->name);
        err = ERR_UNSUPPORTED;
    }
    if (err == 0 && strcmp(c->name, "default") == 0) {
        log_warn("it isn't recommended to use default name, please set a "
                 "value for --name. Note that etcd might run into issue "
                 "when multiple members have the same default name",
                 LOG_STR("name", c->name));
    }
    return err;
}
