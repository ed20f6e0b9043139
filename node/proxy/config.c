#include "config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

static const struct pflag flags[] = {
    {"listen-addr", PFLAG_STRING, "127.0.0.1:23790", "listen address"},
    {"endpoints", PFLAG_LIST, "127.0.0.1:2379",
     "comma-separated members to send calls to, in turn"},
    {"advertise-client-url", PFLAG_STRING, "127.0.0.1:23790",
     "address that MemberList names instead of the members'; empty: theirs"},
    {"namespace", PFLAG_STRING, "", "prefix put in front of every key"},
    {"metrics-addr", PFLAG_STRING, "",
     "URL of a listener of its own for metrics and health"},
    {"dial-keepalive-time", PFLAG_DURATION, "0",
     "silence after which a member is asked by PING; 0: never"},
    {"dial-keepalive-timeout", PFLAG_DURATION, "20s",
     "wait for that answer before the connection is cut"},
    {"permit-without-stream", PFLAG_BOOL, "false",
     "ask also while no call is open", 0, PFLAG_WARNS},
    {"max-send-bytes", PFLAG_INT, "1572864",
     "largest KV request sent to a member, in bytes"},
    {"max-recv-bytes", PFLAG_INT, "2147483647",
     "largest answer taken from a member, in bytes"},
    {"grpc-keepalive-min-time", PFLAG_DURATION, "5s",
     "least interval between a client's PINGs"},
    {"grpc-keepalive-interval", PFLAG_DURATION, "2h",
     "silence after which a client is asked by PING"},
    {"grpc-keepalive-timeout", PFLAG_DURATION, "20s",
     "wait for that answer before the connection is closed"},
    {"max-concurrent-streams", PFLAG_INT, "4294967295",
     "HTTP/2 streams of a client's connection"},
    {"debug", PFLAG_BOOL, "false", "log from debug level on"},
    {"endpoints-auto-sync-interval", PFLAG_DURATION, "0",
     "interval at which the endpoints are taken from the member list; 0: "
     "never"},
    {"resolver-prefix", PFLAG_STRING, "",
     "prefix under which proxies register themselves, to name each other in "
     "MemberList"},
    {"resolver-ttl", PFLAG_INT, "0", "lease of that registration, in seconds"},
    {"discovery-srv", PFLAG_STRING, "",
     "domain with SRV records of members, taken instead of --endpoints"},
    {"discovery-srv-name", PFLAG_STRING, "", "suffix of the SRV service name"},
    {"insecure-discovery", PFLAG_BOOL, "false",
     "take SRV records without TLS (those with TLS are refused)"},
    {"cert", PFLAG_STRING, "", "client certificate for the members", 0,
     PFLAG_REFUSED},
    {"key", PFLAG_STRING, "", "its key", 0, PFLAG_REFUSED},
    {"cacert", PFLAG_STRING, "", "CA that the members' certificates are of", 0,
     PFLAG_REFUSED},
    {"insecure-skip-tls-verify", PFLAG_BOOL, "false",
     "do not verify the members' certificates", 0, PFLAG_REFUSED},
    {"cert-file", PFLAG_STRING, "", "certificate of the listener", 0,
     PFLAG_REFUSED},
    {"key-file", PFLAG_STRING, "", "its key", 0, PFLAG_REFUSED},
    {"trusted-ca-file", PFLAG_STRING, "", "CA of the clients' certificates", 0,
     PFLAG_REFUSED},
    {"client-crl-file", PFLAG_STRING, "", "revoked clients' certificates", 0,
     PFLAG_REFUSED},
    {"listen-cipher-suites", PFLAG_STRING, "", "TLS 1.2 suites of the listener",
     0, PFLAG_REFUSED},
    {"auto-tls", PFLAG_BOOL, "false", "self-signed certificate of the listener",
     0, PFLAG_REFUSED},
    {"self-signed-cert-validity", PFLAG_INT, "1", "its lifetime in years", 0,
     PFLAG_WARNS},
    {"tls-min-version", PFLAG_STRING, "TLS1.2", "least TLS version", 0,
     PFLAG_REFUSED},
    {"tls-max-version", PFLAG_STRING, "", "highest TLS version", 0,
     PFLAG_REFUSED},
    {"data-dir", PFLAG_STRING, "default.proxy",
     "folder of self-signed certificates", 0, PFLAG_WARNS},
    {"enable-pprof", PFLAG_BOOL, "false", "profiles of Go's run-time", 0,
     PFLAG_WARNS},
    {"experimental-serializable-ordering", PFLAG_BOOL, "false",
     "serializable reads never go back", 0, PFLAG_REFUSED},
    {"experimental-leasing-prefix", PFLAG_STRING, "",
     "leasing prefix for disconnected reads", 0, PFLAG_REFUSED},
    {"experimental-enable-grpc-logging", PFLAG_BOOL, "false",
     "log the gRPC library", 0, PFLAG_WARNS},
    {NULL}};

static const struct pflag_command command = {
    .path = "cofre grpc-proxy",
    .word = "start",
    .group = "gRPC proxy commands",
    .summary = "start the gRPC proxy",
    .flags = flags,
};

/* A negative time is none. */
static uint64_t ms_of(struct pflag_set *set, const char *name)
{
    int64_t ns = pflag_int(set, name);
    return ns > 0 ? (uint64_t)(ns + 999999) / 1000000 : 0;
}

static uint64_t count_of(struct pflag_set *set, const char *name, uint64_t max)
{
    int64_t v = pflag_int(set, name);
    return v <= 0 || (uint64_t)v > max ? max : (uint64_t)v;
}

static const char *read_addresses(struct proxy_config *c)
{
    struct pflag_set *set = &c->flags;
    struct arena *a = &set->arena;
    struct url url;
    c->listen_text = pflag_text(set, "listen-addr");
    if (url_parse(arena_printf(a, "http://%s", c->listen_text), &url) != 0) {
        return arena_printf(a, "listen tcp: address %s: not host:port",
                            c->listen_text);
    }
    c->listen = url.address;
    c->advertise = pflag_text(set, "advertise-client-url");
    c->has_advertise = c->advertise[0] != '\0';
    bool has_scheme = strstr(c->advertise, "://") != NULL;
    const char *full =
        arena_printf(a, "%s%s", has_scheme ? "" : "http://", c->advertise);
    if (c->has_advertise && (url_parse(full, &url) != 0 || url.tls)) {
        return arena_printf(a, "cannot use advertise-client-url \"%s\"",
                            c->advertise);
    }
    c->advertise_address = url.address;
    const char *metrics = pflag_text(set, "metrics-addr");
    c->has_metrics = metrics[0] != '\0';
    if (c->has_metrics && url_parse(metrics, &url) != 0) {
        return arena_printf(a, "cannot parse \"%s\"", metrics);
    }
    if (c->has_metrics && url.tls) {
        return "--metrics-addr: TLS is not built into this version of cofre "
               "yet";
    }
    c->metrics = url.address;
    return NULL;
}

/* NULL, or what is wrong with the flags about registering. */
static const char *read_resolver(struct proxy_config *c)
{
    struct pflag_set *set = &c->flags;
    const char *prefix = pflag_text(set, "resolver-prefix");
    int64_t ttl_s = pflag_int(set, "resolver-ttl");
    c->resolver_prefix = prefix;
    c->resolver_ttl_s = ttl_s;
    if (prefix[0] && ttl_s < 1) {
        return arena_printf(&set->arena, "invalid resolver-ttl %lld",
                            (long long)ttl_s);
    }
    if (!prefix[0] && ttl_s > 0) {
        return "invalid resolver-prefix \"\"";
    }
    if (prefix[0] && pflag_text(set, "advertise-client-url")[0] == '\0') {
        return "invalid advertise-client-url \"\"";
    }
    return NULL;
}

static void read_rest(struct proxy_config *c)
{
    struct pflag_set *set = &c->flags;
    c->endpoints = pflag_text(set, "endpoints");
    c->discovery = (struct srv_domain){
        .domain = pflag_text(set, "discovery-srv"),
        .name = pflag_text(set, "discovery-srv-name"),
        .insecure = pflag_bool(set, "insecure-discovery"),
    };
    c->name_space = pflag_text(set, "namespace");
    c->sync_interval_ms = ms_of(set, "endpoints-auto-sync-interval");
    c->dial_keepalive_ms = ms_of(set, "dial-keepalive-time");
    c->dial_keepalive_timeout_ms = ms_of(set, "dial-keepalive-timeout");
    c->send_bytes_max = count_of(set, "max-send-bytes", INT32_MAX);
    c->receive_bytes_max = count_of(set, "max-recv-bytes", INT32_MAX);
    c->keepalive_min_time_ms = ms_of(set, "grpc-keepalive-min-time");
    c->keepalive_interval_ms = ms_of(set, "grpc-keepalive-interval");
    c->keepalive_timeout_ms = ms_of(set, "grpc-keepalive-timeout");
    c->concurrent_streams_max =
        (uint32_t)count_of(set, "max-concurrent-streams", UINT32_MAX);
}

bool proxy_config_load(struct proxy_config *c, int argc, char **argv,
                       int *ret_status)
{
    pflag_init(&c->flags);
    if (!pflag_command_parse(&command, argc, argv, &c->flags, ret_status)) {
        return false;
    }
    if (pflag_bool(&c->flags, "debug")) {
        log_setup(LOG_LEVEL_DEBUG, false, STDERR_FILENO);
    }
    *ret_status = 1;
    const char *why = read_resolver(c);
    if (why) {
        fprintf(stderr, "%s\n", why);
        return false;
    }
    if (pflag_int(&c->flags, "self-signed-cert-validity") < 1) {
        fprintf(stderr, "selfSignedCertValidity is invalid,it should be "
                        "greater than 0\n");
        return false;
    }
    why = read_addresses(c);
    if (why) {
        fprintf(stderr, "%s\n", why);
        return false;
    }
    read_rest(c);
    return true;
}

int proxy_config_discover(struct proxy_config *c)
{
    struct srv_list found = {.count = 0};
    struct buf text = BUF_INIT(SRV_RECORDS_MAX * SRV_ENDPOINT_SIZE_MAX);
    int err =
        c->discovery.domain[0] ? srv_discover(&c->discovery, &found, &text) : 0;
    if (err) {
        fprintf(stderr, "%.*s\n", (int)text.size, (const char *)text.data);
    }
    for (uint32_t i = 0; i < found.count; i++) {
        buf_append_str(&text, i ? "," : "");
        srv_endpoint_text(&found.list[i], &text);
    }
    if (found.count) {
        c->endpoints = arena_printf(&c->flags.arena, "%.*s", (int)text.size,
                                    (const char *)text.data);
    }
    buf_release(&text);
    return err;
}

void proxy_config_release(struct proxy_config *c)
{
    pflag_release(&c->flags);
}
