/*
 * The differential run: the same drawn calls to an etcd and to a cofre, and
 * every answer compared.
 *
 * A run is a list of steps from one seed. Both sides are first brought to
 * the same empty store at the same revision, so a run, or what shrinking
 * leaves of it, means the same whenever it is repeated. Each side executes
 * the steps on a thread of its own and writes one text a step; the texts
 * must be equal. What a server draws by itself is named before it becomes
 * text (rules.c); everything else is compared to the letter.
 *
 * Numbers above the marks below stand in requests for what is known only
 * when they are sent: a revision counted from the run's first, the n-th lease
 * that the server chose, the member of a role.
 */
#ifndef TESTS_DIFF_H
#define TESTS_DIFF_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/rng.h"
#include "grpc/grpc.h"
#include "proto/election.pb-c.h"
#include "proto/health.pb-c.h"
#include "proto/lock.pb-c.h"
#include "proto/rpc.pb-c.h"

enum {
    PATIENCE_MS = 20000,
    SHRINKING_PATIENCE_MS = 1500,
    LEVEL_REVISIONS = 16,
    MEMBERS_MAX = 3,
    GUEST = MEMBERS_MAX, /* a member that was added, of no role */
    STREAMS_MAX = 6,
    WATCHERS_MAX = 64, /* of a stream, over its life */
    DRAWN_MAX = 64,    /* leases whose id the server chose, in a run */
    ASYNC_MAX = 4,     /* calls that wait while others go on */
    STEPS_MAX = 4096,
    ANSWER_BYTES_MAX = 256 << 20,
};

#define MARK_REVISION ((int64_t)1 << 60) /* + or - from the first revision */
#define MARK_LEASE ((int64_t)1 << 61)    /* + index of the drawn lease */
#define MARK_MEMBER ((int64_t)3 << 60)   /* + role */
enum { MARK_SPAN = 1 << 20 };

enum step_kind {
    STEP_CALL,       /* one request, all answers until the status */
    STEP_KEEP_ALIVE, /* the request `repeat` times, half-close, all answers */
    STEP_WATCH,      /* a WatchRequest on a stream, and its answer */
    STEP_SYNC,       /* until a stream has delivered everything */
    STEP_CLOSE,      /* a watch stream ends */
    STEP_EXPIRED,    /* until a lease is gone by itself */
    STEP_BEGIN,      /* a call that is not waited for */
    STEP_AWAIT,      /* ... until now */
    STEP_HEARD,      /* until it has had `repeat` answers */
    STEP_CUT,        /* ... and then it is cancelled */
    STEP_APPEARED,   /* until a range has `repeat` keys */
    STEP_SETTLE,     /* until all members agree who leads */
};

struct step {
    enum step_kind kind;
    const char *path;
    const ProtobufCMessage *request; /* of the run's arena */
    const ProtobufCMessageDescriptor *answer;
    int role;   /* 0: leader, then the followers */
    int stream; /* watch stream or waiting call */
    int repeat;
    bool far; /* a watcher that will not see its revision */
};

struct run {
    struct arena arena;
    struct step steps[STEPS_MAX];
    int count;
    int calls; /* of steps, those that ask a server */
};

/* ---- message.c: any message through its descriptor ---- */
/* In protobuf's text form on one line; long bytes by size and checksum. */
void message_print(struct buf *out, const ProtobufCMessage *m);
/* The same, but for the nested messages that `instead` prints, with their
 * names, by itself. */
typedef bool message_instead(struct buf *out, const char *name,
                             const ProtobufCMessage *m);
void message_print_with(struct buf *out, const ProtobufCMessage *m,
                        message_instead *instead);
/* Calls `each` for every scalar, string and bytes field that is present,
 * nested ones too. */
struct field {
    const ProtobufCMessage *message;
    const ProtobufCFieldDescriptor *desc;
    void *value; /* of the field's C type */
};
void message_walk(ProtobufCMessage *m,
                  void (*each)(void *ctx, const struct field *f), void *ctx);
bool message_is(const ProtobufCMessage *m, const char *name);

/* ---- side.c: one of the two clusters ---- */
struct answer {
    struct buf bytes; /* messages, each behind its size */
    int count;
    bool done;
    enum grpc_code code;
    char text[512];
};

struct member {
    struct grpc_channel *channel;
    uint64_t id;
    char url[64];
};

struct watcher {
    int64_t id;
    int64_t start_revision;
    int64_t last_revision; /* of the last event */
    bool is_live;
    bool is_compacted; /* the server has cancelled it */
    bool was_fragment;
    struct buf events;
};

struct side;

struct stream {
    struct side *side;
    struct grpc_client_call *call;
    int role;
    struct watcher watchers[WATCHERS_MAX];
    int count;
    struct buf control; /* answers that are no events */
    bool created, canceled;
    int64_t progress_revision;
};

struct waiting {
    struct grpc_client_call *call;
    struct answer answer;
    const struct step *step;
};

struct side {
    const char *name;
    struct loop *loop;
    struct member members[MEMBERS_MAX + 1];
    int member_count;
    int roles[MEMBERS_MAX]; /* role -> member */
    uint64_t cluster_id;
    int64_t base;     /* revision that a run begins with */
    int64_t revision; /* the last one seen in a header */
    int last_member;  /* that was called */
    int64_t drawn[DRAWN_MAX];
    int drawn_count;
    struct stream streams[STREAMS_MAX];
    struct waiting waiting[ASYNC_MAX];
    struct arena scratch;
    struct timer *tick; /* ends a wait of the loop */
    bool ticked;
    const struct run *run;
    char **results;       /* a text for each step */
    const char *spoil;    /* the self-test: its answers get a word more */
    uint64_t patience_ms; /* then an answer on a stream is called missing */
    bool is_lost;         /* a server does not answer */
    uint64_t short_ns;    /* when a lease that shall end was asked for */
    bool is_late;         /* it may have ended before it had its keys */
    bool is_apart;        /* one was ended or frozen: nobody is met */
};

void side_open(struct side *s, const char *name, const char *urls);
void side_close(struct side *s);
void side_drop_results(struct side *s);
/* Asks who leads until all agree. */
bool side_settle(struct side *s);
/* Empty: no keys, no leases, no alarms, no streams. */
void side_clean(struct side *s);
/* Then up to `revision`, LEVEL_REVISIONS or more ahead, with history only
 * from there. */
void side_level(struct side *s, int64_t revision);
/* One call and what came back; the answer is released by the caller. */
void side_call(struct side *s, int member, const char *path,
               const ProtobufCMessage *request, struct answer *ret);
struct grpc_client_call *side_begin(struct side *s, int member,
                                    const char *path,
                                    const ProtobufCMessage *request,
                                    struct answer *ret);
void side_wait(struct side *s, const struct answer *a);
/* The request with its marks replaced, in scratch memory. */
ProtobufCMessage *side_request(struct side *s, const ProtobufCMessage *m);
/* What is applied everywhere is applied here too. */
void side_barrier(struct side *s, int member);
/* Takes the members' delay out of what is compared, before a call of
 * `member`. A follower hands calls for leases to the leader, which may be
 * behind it in applying. */
void side_meet(struct side *s, int member, const char *path);
/* Runs the loop once, for `ms` at most. */
void side_spin(struct side *s, uint64_t ms);
/* The i-th message of an answer, in scratch memory; NULL: not readable. */
ProtobufCMessage *side_message(struct side *s, const struct answer *a, int i,
                               const ProtobufCMessageDescriptor *type);

/* ---- watch.c ---- */
void watch_request(struct side *s, const struct step *step, struct buf *out);
void watch_sync(struct side *s, const struct step *step, struct buf *out);
void watch_close(struct side *s, int stream);

/* ---- rules.c: what may differ ---- */
/* Names what the server drew; sorts what has no order. */
void rules_apply(struct side *s, const struct step *step, ProtobufCMessage *m);
/* The row of defects.md that keeps a step's answers from being compared;
 * NULL: they are compared. */
const char *rules_exempt(const struct step *step);

/* ---- proxy.c: a cofre that is asked through its gRPC proxy ---- */
/* From here on; `count`: of them, each in front of a member of its own. */
void proxy_begin(int count);
/* Why calls of this RPC, a step, or a row of this rule are not compared;
 * NULL: they are. */
const char *proxy_exempt_path(const char *path);
const char *proxy_exempt_step(const struct step *step);
const char *proxy_exempt_row(const char *rule);
/* Levels what a proxy says by itself in an answer to `step` (NULL: on a
 * watch stream). */
void proxy_apply(const struct step *step, ProtobufCMessage *m);

/* ---- execute.c ---- */
/* All steps of side->run; fills results (each freed with free()). */
void execute(struct side *s);

/* ---- gen*.c: a run from its seed ---- */
struct gen {
    struct rng rng;
    struct run *run;
    int members;
    int revisions;            /* a guess how many were made */
    int drawn;                /* leases with an id from the server */
    int streams_open;         /* bits */
    int watches[STREAMS_MAX]; /* created on each */
    int64_t compacted;
    unsigned next_word;
    int nesting;   /* of the transaction being made */
    bool bulk;     /* many keys */
    bool draws;    /* leases whose id the server draws */
    bool has_huge; /* a value near the limit was drawn */
};
void gen_run(struct run *r, uint64_t seed, int members);
struct step *gen_add(struct gen *g, enum step_kind kind, const char *path,
                     const void *request,
                     const ProtobufCMessageDescriptor *answer);
uint64_t gen_below(struct gen *g, uint64_t n);
bool gen_chance(struct gen *g, unsigned percent);
ProtobufCBinaryData gen_key(struct gen *g);
ProtobufCBinaryData gen_next_key(struct gen *g);
ProtobufCBinaryData gen_end(struct gen *g, ProtobufCBinaryData key);
ProtobufCBinaryData gen_value(struct gen *g);
ProtobufCBinaryData gen_bytes(struct gen *g, const void *data, size_t size);
int64_t gen_revision(struct gen *g);
int64_t gen_number(struct gen *g);
int64_t gen_lease(struct gen *g);
void gen_kv(struct gen *g);
void gen_txn(struct gen *g);
void gen_lease_call(struct gen *g);
void gen_expiry(struct gen *g);
void gen_watch(struct gen *g);
void gen_sync_all(struct gen *g);
void gen_watch_end(struct gen *g);
void gen_admin(struct gen *g);
void gen_lock(struct gen *g);
/* A message of the run's arena. */
#define GEN_NEW(g, type, init) \
    ((type *)arena_dup(&(g)->run->arena, &(type)init, sizeof(type)))

/* ---- shrink.c ---- */
struct pair {
    struct side a, b; /* etcd, cofre */
};
/* Brings both to the same start, executes, and returns the first step that
 * differs, or -1. */
int pair_run(struct pair *p, const struct run *r);
/* Drops steps while the difference remains. */
void shrink(struct pair *p, struct run *r, int *at);

#endif
