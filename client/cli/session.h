/* A key held under a lease of its own: lock and elect. */
#ifndef CLIENT_CLI_SESSION_H
#define CLIENT_CLI_SESSION_H

#include <uv.h>

#include "cli.h"

/* All zero at first; stays where it is, since the loop knows it. */
struct cli_session {
    struct cli *x;
    struct cofre_keeper *keeper;
    int64_t lease;
    const char *prefix; /* name/ */
    const char *key;    /* name/<lease> */
    int64_t revision;   /* that our key was made at */
    int64_t header_revision;
    bool is_told; /* SIGINT or SIGTERM */
    bool is_lost; /* the lease */
    uv_signal_t signals[2];
};

/* From here on signals set is_told. */
void cli_session_signals(struct cli_session *s, struct cli *x);
/* A lease, kept alive. Ends the process where that fails, as below. */
void cli_session_begin(struct cli_session *s, struct cli *x, const char *name,
                       int64_t ttl_s);
/* Waits for our turn; the reply holds our key. */
void cli_session_take(struct cli_session *s, const char *value,
                      struct cofre_reply **ret_reply);
/* Until a signal (true) or the lease is lost (false). */
bool cli_session_hold(struct cli_session *s);
/* Gives key and lease back. */
void cli_session_end(struct cli_session *s);
/* The oldest or newest key of a prefix, made at `create_max` at the latest
 * (0: whenever). NULL: the call failed. */
struct cofre_reply *cli_session_edge(struct cli *x, const char *prefix,
                                     int64_t create_max, bool newest);

#endif
