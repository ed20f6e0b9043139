/*
 * The node's configuration: one flat struct, filled from flags, ETCD_*
 * variables and defaults by one table of flags (flag_table.c).
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum { CONFIG_URLS_MAX = 16, CONFIG_SNAPSHOT_COUNT = 10000 };

/* Bits of config.gates that change something. */
enum {
    GATE_INITIAL_CORRUPT_CHECK = 1 << 1,
    GATE_COMPACT_HASH_CHECK = 1 << 2,
    GATE_LEASE_CHECKPOINT = 1 << 4,
    GATE_LEASE_CHECKPOINT_PERSIST = 1 << 5,
};

struct flag;

struct url_list {
    char *text; /* as given */
    char *urls[CONFIG_URLS_MAX];
    uint32_t count;
};

struct config {
    /* Member */
    char *name;
    char *data_dir;
    char *wal_dir;
    uint64_t snapshot_count;
    uint64_t snapshot_catchup_entries;
    uint64_t heartbeat_interval_ms;
    uint64_t election_timeout_ms;
    bool initial_election_tick_advance;
    struct url_list listen_peer_urls;
    struct url_list listen_client_urls;
    struct url_list listen_client_http_urls; /* empty: not split */
    int64_t quota_backend_bytes;
    uint64_t max_txn_ops;
    uint64_t max_request_bytes;
    uint64_t max_concurrent_streams;
    int64_t grpc_keepalive_min_time_ns;
    int64_t grpc_keepalive_interval_ns;
    int64_t grpc_keepalive_timeout_ns;
    int64_t raft_read_timeout_ns;
    int64_t raft_write_timeout_ns;
    /* Clustering */
    struct url_list initial_advertise_peer_urls;
    struct url_list advertise_client_urls;
    char *initial_cluster;
    char *initial_cluster_state;
    char *initial_cluster_token;
    bool pre_vote;
    /* Monitoring, logging */
    char *metrics;
    struct url_list listen_metrics_urls;
    bool enable_grpc_gateway;
    char *cors;
    char *host_whitelist;
    char *logger;
    char *log_outputs;
    char *log_level;
    char *log_format;
    int64_t warning_unary_request_duration_ns;
    int64_t warning_apply_duration_ns;
    int64_t watch_progress_notify_interval_ns;
    char *auto_compaction_mode;
    char *auto_compaction_retention;
    uint64_t compact_period_ms; /* of the two, by config_verify() */
    int64_t compact_revisions;
    uint32_t gates;
    int64_t corrupt_check_time_ns; /* 0: never */
    int64_t compact_hash_check_time_ns;
    int64_t max_learners;
    bool strict_reconfig_check;
    bool force_new_cluster;
    bool unsafe_no_fsync;
    bool version;
    char *config_file;
    /* Taken and checked, without effect: what each warns of is in the
     * table. */
    char *ignored_text;
    uint64_t ignored_uint;
    int64_t ignored_int;
    int64_t ignored_duration_ns;
    bool ignored_bool;
    const struct flag *refused; /* first one set that is not built yet */
    bool listen_client_given;   /* by flag or variable */
    bool advertise_client_given;
    bool initial_cluster_given;
};

enum config_action {
    CONFIG_RUN,
    CONFIG_EXIT, /* with the status; everything was printed */
};

/*
 * Reads arguments and environment in the documented order and writes the
 * documented lines to standard output, standard error and the log.
 * *ret_status is the exit code for CONFIG_EXIT.
 */
enum config_action config_load(int argc, char **argv, struct config *c,
                               int *ret_status);
void config_release(struct config *c);

/* Reads a YAML (or JSON) file over the defaults. ERR_*, with the reason in
 * `why`. */
int config_read_file(struct config *c, const char *path, struct buf *why);

/* The checks of the whole. 0, or ERR_INVALID with one clear line in
 * `why`. */
int config_verify(struct config *c, struct buf *why);

/* Automatic compaction: mode and retention become what to keep. */
int config_compaction(struct config *c, struct buf *why);

/* "A=true,B=false". ERR_INVALID with the reason in `why`. */
int config_gates_parse(const char *text, uint32_t *ret_gates, struct buf *why);
/* Gates that need another one, or are not built: ERR_INVALID,
 * ERR_UNSUPPORTED. */
int config_gates_verify(const struct config *c, struct buf *why);

/* The same check for one list of URLs: splits, sorts, removes doubles.
 * ERR_INVALID with the reason in `why`. */
int config_parse_urls(const char *text, struct url_list *ret_list,
                      struct buf *why);
void url_list_release(struct url_list *l);

/* ---- the table of flags ---- */
enum flag_type {
    FLAG_BOOL,
    FLAG_UINT,
    FLAG_UINT32,
    FLAG_INT,
    FLAG_DURATION,
    FLAG_STRING,
    FLAG_STATE, /* new, existing */
    FLAG_GATES, /* a uint32_t of bits */
    FLAG_URLS,
};

enum flag_use {
    FLAG_WORKS,
    FLAG_WARNS,   /* taken without effect, one warning */
    FLAG_REFUSED, /* not built yet: any other value than the default is
                     refused, so that nobody believes it works */
};

struct flag {
    const char *name;
    const char *fallback; /* default value as text */
    const char *help;
    size_t offset; /* in struct config */
    enum flag_type type;
    enum flag_use use;
    uint64_t zero_means; /* what 0 stands for; 0: itself */
};

extern const struct flag flag_table[];
extern const size_t flag_count;

const struct flag *flag_find(const char *name, size_t size);
/* Parses `value` into the struct; ERR_INVALID with Go's words in `why`. */
int flag_set(struct config *c, const struct flag *f, const char *value,
             struct buf *why);
/* The words that Go takes for a truth value; ERR_INVALID. */
int flag_parse_bool(struct slice word, bool *ret);
void flag_print_usage(int fd);
void flag_print_help(int fd);

#endif
