/*
 * The deterministic simulator: real Raft cores over a fake network, fake
 * disks and a fake clock, all drawn from one seed. The oracle watches every
 * step and knows nothing of the cores but their door.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "base/mem.h"
#include "base/rng.h"
#include "raft/raft.h"

enum {
    SIM_IDS_MAX = 10, /* ids 1..9, never used twice */
    SIM_TICK_STEPS = 10,
    SIM_READS_MAX = 32, /* waiting, a member */
    SIM_PENDING_MAX = 64,
};

/* Drawn from the seed: each run is hostile in its own way. */
struct sim_weather {
    uint32_t drop_permille;
    uint32_t duplicate_permille;
    uint32_t delay_max;       /* steps */
    bool in_order;            /* each link, as streams are */
    uint32_t write_delay_max; /* steps */
    uint32_t pass_permille;   /* chance of a pass in a step */
    uint32_t crash_permille;  /* of the whole world, a tick */
    uint32_t cut_permille;
    uint32_t propose_permille; /* a step */
    uint32_t read_permille;
    uint32_t conf_permille; /* a tick */
    uint32_t transfer_permille;
    uint32_t compact_permille;
};

struct sim_mail {
    uint64_t due;
    uint64_t sender;
    uint32_t sender_life;
    struct raft_message message;
};

/* A write under way. */
struct sim_write {
    struct sim_write *next;
    uint64_t due;
    bool reaches_disk;
    bool has_hard;
    struct raft_hard_state hard;
    struct raft_snapshot_meta snapshot; /* index 0: none */
    struct raft_entry *entries;
    uint64_t entry_count;
    struct raft_message *messages; /* leave when durable */
    uint32_t message_count;
    uint64_t index;
    uint64_t term;
};

struct sim_disk {
    struct raft_hard_state hard;
    uint64_t base_index; /* of the log */
    uint64_t base_term;
    struct raft_entry *entries;
    uint64_t entry_count;
    uint64_t entry_capacity;
    uint64_t store_index; /* applied, as far as the store has synced */
};

struct sim_read {
    uint64_t request;
    uint64_t floor; /* what it must not be older than */
};

struct sim_node {
    uint64_t id;
    bool exists;
    bool removed;      /* and knows it */
    uint32_t life;     /* counts restarts */
    struct raft *raft; /* NULL: down */
    struct raft_config config;
    struct sim_disk disk;
    struct sim_write *writes;
    struct sim_write *held; /* waits for the image */
    uint64_t install_due;
    uint64_t next_tick;
    uint64_t restart_at;
    uint64_t applied;
    struct raft_status seen; /* at the last check */
    struct sim_read reads[SIM_READS_MAX];
    uint32_t read_count;
    uint64_t pending[SIM_PENDING_MAX]; /* proposals made here; 0: free */
};

struct oracle;

struct sim {
    uint64_t seed;
    struct rng rng;
    struct sim_weather weather;
    uint64_t now; /* steps */
    bool calm;    /* no more faults */
    bool verbose;
    uint64_t hash;     /* of everything that happened */
    char failure[256]; /* empty: none yet */
    struct sim_node nodes[SIM_IDS_MAX];
    uint64_t next_id;
    struct sim_mail *mail;
    uint32_t mail_count;
    uint32_t mail_capacity;
    bool cut[SIM_IDS_MAX][SIM_IDS_MAX];          /* [from][to] */
    uint64_t link_due[SIM_IDS_MAX][SIM_IDS_MAX]; /* of its last message */
    uint64_t heal_at;
    uint64_t next_request;
    uint64_t next_proposal;
    struct oracle *oracle;
    /* What happened, for the summary of a run. */
    uint64_t acked, reads_done, confs_done, installs, crashes, elections,
        stranded;
};

/* Random choice. */
uint64_t sim_pick(struct sim *s, uint64_t n); /* [0, n); n > 0 */
bool sim_chance(struct sim *s, uint32_t permille);

/* Goes into the hash, and is printed when verbose. */
void sim_trace(struct sim *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The first one ends the run. */
void sim_fail(struct sim *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* node.c */
void sim_node_bootstrap(struct sim *s, struct sim_node *n, uint32_t members);
void sim_node_join(struct sim *s, struct sim_node *n);
void sim_node_start(struct sim *s, struct sim_node *n);
void sim_node_crash(struct sim *s, struct sim_node *n);
void sim_node_release(struct sim_node *n);
void sim_node_step(struct sim *s, struct sim_node *n);
void sim_node_compact(struct sim *s, struct sim_node *n);
uint64_t sim_disk_last(const struct sim_disk *d);

/* disk.c */
struct sim_write *sim_disk_write_of(const struct raft_ready *ready);
void sim_disk_write(struct sim_disk *d, const struct sim_write *w);
void sim_disk_write_free(struct sim_write *w);
void sim_disk_compact(struct sim_disk *d, uint64_t index);
void sim_disk_restart(struct sim_disk *d, uint64_t index, uint64_t term);
void sim_disk_append(struct sim_disk *d, const struct raft_entry *e);
void sim_disk_release(struct sim_disk *d);

/* net.c */
void sim_net_send(struct sim *s, struct sim_node *from,
                  struct raft_message *messages, uint32_t count);
void sim_net_step(struct sim *s);
void sim_net_cut(struct sim *s);
void sim_net_heal(struct sim *s);
void sim_net_release(struct sim *s);

/* client.c */
void sim_client_step(struct sim *s);
void sim_client_propose(struct sim *s, struct sim_node *n);
/* A member applied an entry: perhaps it is an answer to a client. */
void sim_client_applied(struct sim *s, struct sim_node *n,
                        const struct raft_entry *e);
void sim_client_read_done(struct sim *s, struct sim_node *n,
                          const struct raft_read_state *state);

/* oracle.c */
struct oracle *oracle_new(void);
void oracle_free(struct oracle *o);
/* Entries that a member is about to write. */
void oracle_see_entries(struct sim *s, const struct sim_node *n,
                        const struct raft_entry *entries, uint64_t count);
/* After every step of a member. */
void oracle_see_status(struct sim *s, struct sim_node *n);
void oracle_see_applied(struct sim *s, const struct sim_node *n,
                        const struct raft_entry *e);
/* The configuration after entry `index`, which changed it or not. */
void oracle_see_conf(struct sim *s, const struct sim_node *n, uint64_t index,
                     const struct raft_conf_state *conf);
/* Returns the index of the entry that made it. */
uint64_t oracle_conf_at(const struct sim *s, uint64_t index,
                        struct raft_conf_state *ret_conf);
void oracle_see_acked(struct sim *s, uint64_t index);
uint64_t oracle_applied_max(const struct sim *s);
uint64_t oracle_committed_max(const struct sim *s);
uint64_t oracle_acked_max(const struct sim *s);
uint64_t oracle_term_of(const struct sim *s, uint64_t index);
/* Refused from then on: removed ids do not come back. */
void oracle_see_removed(struct sim *s, uint64_t id, uint64_t index);
bool oracle_was_removed(const struct sim *s, uint64_t id, uint64_t index);

/* world.c */
/* 0, or 1 with s->failure set. */
int sim_run(struct sim *s, uint64_t seed, bool verbose);

#endif
