/* The proxy's flags (the reference's names, defaults and texts). */
#ifndef PROXY_CONFIG_H
#define PROXY_CONFIG_H

#include "net/net.h"
#include "pflag/pflag.h"
#include "srv/srv.h"

struct proxy_config {
    struct pflag_set flags; /* owns the texts */
    const char *listen_text;
    struct net_address listen;
    const char *endpoints;
    struct srv_domain discovery;
    const char *advertise; /* "": none */
    bool has_advertise;
    struct net_address advertise_address;
    const char *name_space;
    const char *resolver_prefix; /* "": the proxy does not register */
    int64_t resolver_ttl_s;
    uint64_t sync_interval_ms; /* 0: the endpoints stay as given */
    bool has_metrics;
    struct net_address metrics;
    uint64_t dial_keepalive_ms; /* 0: never ask */
    uint64_t dial_keepalive_timeout_ms;
    uint64_t send_bytes_max;    /* to a member, a KV request */
    uint64_t receive_bytes_max; /* from a member */
    uint64_t keepalive_min_time_ms;
    uint64_t keepalive_interval_ms;
    uint64_t keepalive_timeout_ms;
    uint32_t concurrent_streams_max;
};

/* True: run. False: *ret_status is the exit status. Release in any case. */
bool proxy_config_load(struct proxy_config *c, int argc, char **argv,
                       int *ret_status);
/* --discovery-srv: puts what is found in the place of the endpoints; they stay
 * where it is not given or nothing is left. Blocks. Errors of srv_find(), which
 * are told on standard error. */
int proxy_config_discover(struct proxy_config *c);
void proxy_config_release(struct proxy_config *c);

#endif
