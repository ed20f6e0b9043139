/*
 * The deterministic simulator: whole members (Raft, replica, log, apply,
 * store, lessor, watch hub and the wiring of server/, as shipped) on a fake
 * clock, a fake network and a disk that forgets, all drawn from one seed.
 * What is faked is what server/ asks of its rim: loop, peers, clients
 * (outside.c). The model knows nothing of the members but their doors.
 *
 * One process runs one seed: a member that ends its process (log_fatal, an
 * assertion) ends the run, and that is a finding.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <setjmp.h>

#include "apply/apply.h"
#include "base/mem.h"
#include "base/rng.h"
#include "server/boot.h"
#include "server/node.h"

enum {
    SIM_MEMBERS_MAX = 12, /* places, none used twice */
    SIM_TICK_MS = 10,
    SIM_ELECTION_TICKS = 10,
    SIM_KEYS = 20,
    SIM_WATCHERS = 6,
    SIM_OPS_WAITING_MAX = 24,
    SIM_TXN_PUTS_MAX = 3,
};

/* Drawn from the seed: each run is hostile in its own way. */
struct sim_weather {
    uint32_t drop_permille;
    uint32_t duplicate_permille;
    uint32_t delay_max_ms;
    bool in_order; /* each link, as streams are */
    uint32_t write_delay_max_ms;
    uint32_t pass_permille;  /* chance of a pass in a millisecond */
    uint32_t store_permille; /* of a step of the store's work */
    uint32_t crash_permille; /* these six: a tick */
    uint32_t voter_permille; /* of one whose vote was just written */
    uint32_t cut_permille;
    uint32_t stop_permille;
    uint32_t freeze_permille;
    uint32_t conf_permille;
    uint32_t transfer_permille;
    uint32_t write_permille; /* a millisecond */
    uint32_t read_permille;
    uint32_t sync_fails_permille;
    uint32_t flush_permille; /* a tick and member */
};

struct sim_member;

/* The rim's handles: each is its member's. */
struct loop {
    struct sim_member *member;
};
struct peer_hub {
    struct sim_member *member;
};
struct api {
    struct sim_member *member;
};
struct peer_request { /* an image that came, and from whom */
    uint32_t from;
    uint32_t from_life;
    uint32_t to;
};

struct sim_undo;

struct sim_member {
    struct node node;
    struct config config;
    struct loop loop;
    struct peer_hub hub;
    struct api api;
    struct replica_rim rim; /* server's own, behind the one that checks */
    uint32_t place;
    uint64_t id;
    char *dir;
    char *url;
    const struct members *founders; /* NULL: it was added later */
    bool exists;
    bool alive;
    bool is_leaving; /* learned that it was removed */
    bool is_gone;    /* and has stopped */
    uint32_t life;   /* counts restarts */
    uint64_t next_tick;
    uint64_t write_due; /* 0: nothing is to be written */
    uint64_t restart_at;
    uint64_t leave_at;
    uint64_t frozen_until;   /* kept from running */
    uint64_t vote_term;      /* of the last vote that was handed to the log */
    bool has_voted;          /* and is being written */
    uint64_t last_conf;      /* index of the last change handed to the log */
    struct raft_status seen; /* at the last check */
    struct sim_undo *undo;   /* writes that were not synced, newest first */
};

/* ---- what clients ask for ---- */
enum sim_kind {
    SIM_PUT,
    SIM_DELETE,
    SIM_TXN,
    SIM_COMPACT,
    SIM_GRANT,
    SIM_REVOKE,
    SIM_CONF,
};

struct sim_op {
    enum sim_kind kind;
    uint8_t key, end; /* end 0: one key; of a Txn: those it deletes if not */
    uint32_t value;
    int64_t lease;
    int64_t number; /* TTL, revision, or what a Txn compares with */
    uint32_t put_count;
    uint8_t put_keys[SIM_TXN_PUTS_MAX];
    struct member_change change;

    /* the model's answer */
    uint64_t index; /* 0: not applied yet */
    int err;
    int64_t revision;
    int64_t deleted;
    bool succeeded;

    struct replica_proposal proposal;
    struct apply_out out;
};

/* ---- the model (model.c) ---- */
struct sim_event {
    int64_t revision;
    int64_t create_revision; /* 0: deleted */
    int64_t version;
    int64_t lease;
    uint32_t value;
    uint8_t key;
    int32_t before; /* of the same key; -1: none */
};

struct sim_lease {
    int64_t id;
    uint64_t from, to; /* indexes of its grant and its end; 0: lives */
};

/* After an entry was applied. */
struct sim_at {
    uint64_t term;
    uint64_t hash; /* of kind and data */
    uint64_t commit_term;
    uint64_t members; /* hash; 0: not looked at yet */
    int64_t revision;
    int64_t compacted;
};

struct sim_seen_entry {
    uint64_t term;
    uint64_t hash;
};
struct sim_log {
    struct sim_seen_entry *seen;
    uint32_t count;
};

struct sim_model {
    struct sim_at *at; /* by index; 0: before all */
    struct sim_log *logs;
    uint64_t applied;
    uint64_t capacity;
    struct sim_event *events;
    int32_t event_count;
    int32_t event_capacity;
    int32_t newest[SIM_KEYS]; /* -1: never written */
    struct sim_lease *leases;
    uint32_t lease_count;
    int64_t revision;
    int64_t compacted;
    uint64_t leaders[4096]; /* by term */
};

struct sim;

struct sim_watcher {
    struct sim *sim;
    struct sim_member *member; /* NULL: to be created somewhere */
    struct watch_stream *stream;
    uint8_t key, end;
    int64_t next; /* every event below it was seen */
    bool is_full; /* takes nothing for a while */
    bool is_over; /* cancelled by a compaction */
};

struct sim_mail {
    uint64_t due;
    uint32_t from;
    uint32_t from_life;
    uint32_t to;
    bool is_image;
    bool is_proposal;
    char *image;
    uint64_t image_bytes;
    uint8_t *bytes;
    size_t size;
};

struct sim_task {
    struct sim_task *next;
    uint64_t due;
    struct sim_member *member;
    uint32_t life;
    void (*work)(void *ctx);
    void (*done)(void *ctx);
    void *ctx;
};

struct sim {
    uint64_t seed;
    struct rng net, disk, clients, faults;
    struct sim_weather weather;
    uint32_t no_faults; /* bits of kinds left out, for shrinking */
    uint64_t storm_ms;
    uint64_t now; /* milliseconds */
    bool is_calm; /* no more faults */
    bool verbose;
    uint64_t hash;     /* of everything that happened */
    char failure[400]; /* empty: none yet */
    char *dir;
    struct sim_member members[SIM_MEMBERS_MAX];
    uint32_t member_count;
    uint64_t cluster_id;
    struct members founders;
    struct sim_member *running; /* whose code is running */
    jmp_buf process;            /* where it goes when its process ends */
    struct sim_mail *mail;
    uint32_t mail_count, mail_capacity;
    uint64_t image_count;
    bool cut[SIM_MEMBERS_MAX][SIM_MEMBERS_MAX];
    uint64_t link_due[SIM_MEMBERS_MAX][SIM_MEMBERS_MAX];
    uint64_t heal_at;
    struct sim_task *tasks;
    struct sim_op **ops;
    uint64_t op_count, op_capacity;
    uint32_t waiting;
    uint64_t floor; /* index that a new read must not be older than */
    struct sim_model model;
    struct sim_watcher watchers[SIM_WATCHERS];
    /* What happened, for the summary. */
    uint64_t acked, reads, confs, installs, crashes, elections, events,
        sync_failures, expiries;
    bool is_stranded;
};

enum {
    SIM_NO_CRASH = 1,
    SIM_NO_CUT = 2,
    SIM_NO_LOSS = 4,
    SIM_NO_CONF = 8,
    SIM_NO_DISK = 16,
    SIM_NO_TRANSFER = 32,
    SIM_NO_COMPACT = 64,
    SIM_NO_LEASE = 128,
    SIM_NO_FAULTS_COUNT = 8,
};

/* [0, n) */
uint64_t sim_pick(struct rng *r, uint64_t n);
bool sim_chance(struct rng *r, uint32_t permille);
/* Goes into the hash, and is printed when verbose. */
void sim_trace(struct sim *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The first one ends the run. */
void sim_fail(struct sim *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* world.c: 0, or 1 with s->failure set. */
int sim_run(struct sim *s);
struct sim *sim_world(void); /* the one that runs */

/* member.c */
struct sim_member *sim_member_new(struct sim *s);
void sim_member_bootstrap(struct sim *s, struct sim_member *m,
                          const struct members *all);
/* An empty member of a cluster that knows it. */
void sim_member_join(struct sim *s, struct sim_member *m);
void sim_member_start(struct sim *s, struct sim_member *m);
void sim_member_crash(struct sim *s, struct sim_member *m);
/* As a signal would end it: leadership is handed on before, by the caller. */
void sim_member_stop(struct sim *s, struct sim_member *m);
void sim_member_step(struct sim *s, struct sim_member *m);
struct sim_member *sim_member_of_id(struct sim *s, uint64_t id);
struct sim_member *sim_member_random(struct sim *s, struct rng *r);

/* outside.c */
void sim_tasks_run(struct sim *s);
void sim_tasks_drop(struct sim *s, struct sim_member *m);

/* disk.c */
void sim_disk_use(void);
void sim_disk_crash(struct sim *s, struct sim_member *m);
void sim_disk_forget(struct sim_member *m);

/* net.c */
void sim_net_send(struct sim *s, struct sim_member *from,
                  const struct raft_message *m, char *image,
                  uint64_t image_bytes);
void sim_net_answer(struct sim *s, struct peer_request *rq, bool ok);
bool sim_net_is_up(const struct sim *s, uint32_t a, uint32_t b);
void sim_net_step(struct sim *s);
void sim_net_cut(struct sim *s);
void sim_net_heal(struct sim *s);

/* client.c */
void sim_client_step(struct sim *s);
void sim_client_write(struct sim *s, struct sim_member *m);
void sim_client_conf(struct sim *s);
void sim_client_expire(struct sim *s, struct sim_member *m);
struct sim_op *sim_op_of(struct sim *s, uint64_t id);
struct slice sim_key(uint8_t key, char text[8]);
uint8_t sim_key_number(struct slice key); /* SIM_KEYS: none of ours */
/* Of the value's number; free it. */
struct bytes *sim_value(uint32_t number);

/* watcher.c */
void sim_watchers_step(struct sim *s);
void sim_watchers_lost(struct sim *s, struct sim_member *m);
bool sim_watchers_done(const struct sim *s);

/* model.c */
void sim_model_init(struct sim_model *o);
/* Entries that a member is about to write. */
void sim_model_see_log(struct sim *s, const struct sim_member *m,
                       const struct raft_entry *entries, uint64_t count);
/* Before and after a member applies an entry. */
void sim_model_apply(struct sim *s, struct sim_member *m,
                     const struct raft_entry *e);
void sim_model_applied(struct sim *s, struct sim_member *m,
                       const struct raft_entry *e);
/* Whole store, lessor and members against the model. */
void sim_model_compare(struct sim *s, struct sim_member *m);
void sim_model_compare_range(struct sim *s, struct sim_member *m, uint8_t key,
                             uint8_t end, int64_t revision);
void sim_model_see_status(struct sim *s, struct sim_member *m);
/* The key's newest event at or below a revision; NULL: none. */
const struct sim_event *sim_model_get(const struct sim_model *o, uint8_t key,
                                      int64_t revision);
/* The event is of this place in history, or -1 (none is newer). */
int32_t sim_model_next_event(const struct sim_model *o, int32_t from,
                             uint8_t key, uint8_t end, int64_t revision);

#endif
