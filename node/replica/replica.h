/*
 * The driver around Raft: proposals and who waits for them, the ready loop,
 * read index, deadlines, and the membership (names, URLs, ids). Pure: what
 * must be done outside goes through struct replica_rim, time comes in with
 * replica_tick(). The server wires it to WAL, peers and store; the
 * simulator to its own.
 *
 * On the way of a Put: api -> replica_propose -> (pass) rim.persist and
 * rim.send -> replica_persisted -> rim.apply with the proposal -> done.
 *
 * Loop thread only.
 */
#ifndef REPLICA_REPLICA_H
#define REPLICA_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "raft/raft.h"

/* ---- membership ---- */
enum {
    MEMBERS_MAX = RAFT_MEMBERS_MAX,
    MEMBER_URLS_MAX = 16,
};

struct member {
    uint64_t id;
    char *name;       /* "" until published */
    char **peer_urls; /* url_count of them, sorted */
    uint32_t peer_url_count;
    char **client_urls;
    uint32_t client_url_count;
    bool is_learner;
};

struct members {
    uint64_t cluster_id;
    struct member *list; /* ascending ids */
    uint32_t count;
    uint64_t *removed; /* ids that may never come back */
    uint32_t removed_count;
};

void members_release(struct members *ms);
struct member *members_find(const struct members *ms, uint64_t id);
bool members_is_removed(const struct members *ms, uint64_t id);
/* Copies `m` in, replacing one of the same id. */
void members_put(struct members *ms, const struct member *m);
/* Takes it out and remembers the id. */
void members_remove(struct members *ms, uint64_t id);
void member_release(struct member *m);
/* SHA-1 rule: sorted URLs + token; for a later addition the decimal unix
 * seconds instead of the token. */
uint64_t member_id_of(char *const *urls, uint32_t count, const char *salt);
/* SHA-1 over the ids, ascending, 8 bytes big-endian each. */
uint64_t members_cluster_id(const struct members *ms);
/* "a=http://x:2380,b=http://y:2380" -> members with ids by token, and the
 * cluster id. ERR_INVALID; *ret_text (static) says what was wrong. */
int members_parse(const char *initial_cluster, const char *token,
                  struct members *ret_members, const char **ret_text);
/* The JSON that conf changes, the store's bucket and /members carry:
 * {"id":N,"peerURLs":[..],"isLearner":true?,"name":"..","clientURLs":[..]}
 * Attributes are left out when `with_attributes` is false. */
void member_to_json(const struct member *m, bool with_attributes,
                    struct buf *out);
/* ERR_INVALID. `ret_promote` (may be NULL): "isPromote":true was there. */
int member_from_json(struct slice json, struct member *ret_member,
                     bool *ret_promote);

/* A JSON array of them, as GET /members answers. ERR_INVALID. */
int members_from_json(struct slice json, struct members *ret_members);

/* ---- a change of the membership ---- */
struct member_change {
    enum raft_conf_change_type type;
    bool promote;         /* ADD_NODE for a learner that is there */
    struct member member; /* id; URLs when added or updated */
};
enum {
    MEMBER_HEALTHY_MS = 5000, /* connected for so long counts as healthy */
};

/*
 * The rules that hold at apply, on every member alike: ERR_NOT_FOUND (no
 * such member, or removed), ERR_EXISTS (id), ERR_REFUSED (a peer URL of
 * another member), ERR_TOO_LARGE (learners), ERR_INVALID (to be promoted,
 * but no learner), ERR_NO_SPACE (members), ERR_BUSY (the last voter goes),
 * ERR_UNSUPPORTED (a type that is none).
 */
int member_change_check(const struct members *ms,
                        const struct member_change *change,
                        int64_t learners_max);
/*
 * The strict rules, before the change is proposed: none that could lose the
 * quorum. `connected_ms` tells for how long this member has had a
 * connection to another; 0: it has none. ERR_BUSY: too few members that
 * have started; ERR_UNAVAILABLE: too few that are healthy.
 */
int member_change_check_strict(const struct members *ms,
                               const struct member_change *change,
                               uint64_t self,
                               uint64_t (*connected_ms)(void *ctx, uint64_t id),
                               void *ctx);
/* What the change, which has been checked, makes of the members. */
void member_change_apply(struct members *ms,
                         const struct member_change *change);

/* ---- proposals ---- */
struct replica;

struct replica_proposal {
    uint64_t id;        /* the request id inside the entry; unique */
    struct bytes *data; /* the entry; one reference is taken over */
    enum raft_entry_type type;
    const void *request; /* decoded form for rim.apply, or NULL */
    void *out;           /* where rim.apply leaves its answer, or NULL */
    bool repeats;        /* a conf change that may stand in the log twice: it
                            is proposed again when the leader, with another
                            one before it, may have made it an empty entry */
    /* Once: 0 applied (`out` filled); ERR_NO_LEADER none for the whole time;
     * ERR_TIMEOUT; ERR_CLOSED stopping. Not called after cancel. */
    void (*done)(struct replica_proposal *p, int err);
    /* replica's */
    struct list link;
    uint64_t deadline_ms;
    uint64_t started_ms;
    bool proposed;
    bool passed_on; /* to the leader */
    uint64_t term;
};

struct replica_read {
    /* 0: the store may be read now; ERR_TIMEOUT (also without a leader),
     * ERR_LEADER_CHANGED, ERR_CLOSED. */
    void (*done)(struct replica_read *rd, int err);
    struct list link;
    uint64_t deadline_ms;
    uint64_t index;
};

struct replica_rim {
    /* Writes what is in `ready` (hard state, entries) to the log; returns
     * its sequence number for replica_persisted(). */
    uint64_t (*persist)(void *ctx, const struct raft_ready *ready);
    /* Takes over the contents of each message. */
    void (*send)(void *ctx, struct raft_message *messages, uint32_t count);
    /* Applies one committed entry, in order; conf changes too (then calls
     * replica_conf_applied()). `p` is NULL when nobody here waits. */
    void (*apply)(void *ctx, const struct raft_entry *entry,
                  struct replica_proposal *p);
    /* After the last apply of a pass. */
    void (*applied)(void *ctx);
    /* Install the store image received with this meta, then call
     * replica_installed(). Raft stands still for this member until then. */
    void (*install)(void *ctx, const struct raft_snapshot_meta *meta);
    /* Leader, term or role changed. */
    void (*changed)(void *ctx, const struct raft_status *before,
                    const struct raft_status *now);
    /* Raft's sentences for the log. */
    void (*note)(void *ctx, const char *text);
    /* The request id inside a normal or conf change entry; 0: none. */
    uint64_t (*request_id)(void *ctx, const struct raft_entry *entry);
    void *ctx;
};

struct replica_config {
    struct raft_config raft;
    uint64_t tick_ms;            /* heartbeat interval */
    uint64_t request_timeout_ms; /* 5 s + 2 election timeouts */
};

int replica_new(const struct replica_config *config,
                const struct raft_restore *restore,
                const struct replica_rim *rim, struct replica **ret_replica);
void replica_free(struct replica *r);
/* Everything that waits ends with ERR_CLOSED. */
void replica_stop(struct replica *r);

/* Every tick_ms; now_ms is monotonic. */
void replica_tick(struct replica *r, uint64_t now_ms);
/* At the end of each loop pass: collect, persist, send, apply, answer. */
void replica_pass(struct replica *r, uint64_t now_ms);
/* From a peer; takes over the contents. */
void replica_step(struct replica *r, struct raft_message *m);
/* The log is durable up to this sequence number. */
void replica_persisted(struct replica *r, uint64_t sequence);
void replica_installed(struct replica *r,
                       const struct raft_snapshot_meta *meta);

/* Waits for a leader when there is none. */
void replica_propose(struct replica *r, struct replica_proposal *p);
/* What only the present leader may decide, and no later one on its word: Raft
 * takes it here and now, or ERR_NOT_LEADER; then nothing waits and `done` is
 * not called. The data is taken over in any case. */
int replica_propose_leading(struct replica *r, struct replica_proposal *p);
/* A forwarded proposal (MSG_PROP) that surely never left this member: its
 * proposers wait for a leader again. Takes over the contents. */
void replica_returned(struct replica *r, struct raft_message *m);
/* done is not called; the entry may still be applied. */
void replica_propose_cancel(struct replica *r, struct replica_proposal *p);
void replica_read(struct replica *r, struct replica_read *rd);
void replica_read_cancel(struct replica *r, struct replica_read *rd);

void replica_transfer(struct replica *r, uint64_t to);
/* As raft_get_progress(): the leader's view of the others. */
uint32_t replica_progress(struct replica *r, struct raft_progress *ret,
                          uint32_t capacity);
/* From rim.apply; conf of the configuration that now holds is written. */
void replica_conf_applied(struct replica *r, enum raft_conf_change_type type,
                          uint64_t node_id, struct raft_conf_state *ret_conf);
struct raft *replica_raft(struct replica *r);
const struct raft_status *replica_status(struct replica *r);
/* True when this member may answer for the cluster: a leader is known. */
bool replica_has_leader(struct replica *r);
/* Milliseconds (replica_tick time) since a leader was lost; 0: there is
 * one. */
uint64_t replica_leaderless_ms(struct replica *r);
uint32_t replica_pending(const struct replica *r); /* proposals waiting */

struct replica_stats {
    uint64_t proposals_failed; /* ran out of time */
    uint64_t reads_failed;     /* likewise */
};
void replica_get_stats(const struct replica *r, struct replica_stats *ret);

#endif
