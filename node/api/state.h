/* What the services share: the api itself, unary calls, streams. */
#ifndef API_STATE_H
#define API_STATE_H

#include "api.h"
#include "base/err.h"
#include "compactor.h"
#include "proto/health.pb-c.h"
#include "status.h"

enum {
    API_HEADER_BYTES_MAX = 48,
    API_BACKLOG_MAX = 5000,     /* committed, not yet applied */
    API_APPLIED_WAIT_MS = 1000, /* a lease that may be on its way */
    API_REVOKES_MAX = 16,       /* expired leases under revocation */
    API_REVOKES_PER_TICK = 500, /* and how many a half second begins */
    API_REVOKE_PERIOD_MS = 500,
    API_CHECKPOINT_PERIOD_MS = 500,
    API_CHECKPOINTS_MAX = 1000,   /* in an entry */
    API_SMALL_BODY = 4096,        /* answers copied rather than shared */
    API_SCRATCH_KEEP = 256 << 10, /* larger ones are handed to the call */
    API_SLICE_BYTES = 512 << 10,  /* a slice adds little more than this */
    API_SLICE_TURNS = 8,          /* slices before the next one's turn */
    API_BODY_ROOM = sizeof(struct bytes), /* see api_body_begin() */
    API_STREAM_FIRST_KEYS = 10,           /* of a RangeStream's first message */
    API_STREAM_QUEUE_BYTES = 1 << 20,     /* nothing is read for a slower one */
    API_WATCH_QUEUE_BYTES = 1 << 20,      /* a stream with more is slow */
    API_WATCH_DRAINED_BYTES = 256 << 10,
    /* Answers that a client asked for and does not read. */
    API_WATCH_UNREAD_MAX = 65536,
    API_KEEPALIVE_UNREAD_BYTES = 1 << 20,
    API_KEEPALIVE_QUEUE_MAX = 4096, /* requests waiting on one stream */
    API_SNAPSHOT_CHUNK = 32 << 10,
    API_SNAPSHOT_BATCH = 8, /* chunks made at a time */
    API_LEADERLESS_ELECTIONS = 3,
};

/* Something asked again at every tick and after every apply. */
struct api_wait {
    struct list link;
    bool (*poll)(struct api_wait *w); /* true: over */
    uint32_t turns;                   /* as the first of the slices */
};

/* What is complete of a long answer; parts.c. */
struct api_parts {
    struct bytes **items;
    size_t count, capacity;
    size_t size; /* bytes of all */
};

/* One expired lease under revocation. */
struct api_revoke {
    struct replica_proposal proposal;
    struct api *api;
    bool busy;
};

struct api {
    struct api_config config;
    struct mvcc *mvcc;
    struct kvdb *db;
    uint64_t tick_ms; /* of the last tick */
    struct list streams;
    struct list waits;
    struct list alone;   /* proposals that nobody waits for */
    struct list slices;  /* long work, a slice each in turn */
    struct buf scratch;  /* body of the answer being made */
    struct timer *later; /* what is done a slice at a time */
    bool later_armed;
    struct api_revoke revokes[API_REVOKES_MAX];
    uint32_t revoke_budget;
    uint64_t revoke_refill_ms;
    struct replica_proposal nospace; /* our own alarm on its way */
    bool nospace_busy;
    struct replica_proposal checkpoint;
    bool checkpoint_busy;
    uint64_t checkpoint_next_ms;
    struct api_compactor compactor;
    struct replica_proposal compaction;
    struct apply_out compaction_out;
    bool compaction_busy;
    struct grpc_method *methods;
    uint32_t method_count;
};

enum api_waiting { API_IDLE, API_PROPOSED, API_READING };

/* A unary call that waits for something; in the call's arena. */
struct api_call {
    struct api *api;
    struct grpc_call *call;
    enum api_waiting waiting;
    struct replica_proposal proposal;
    struct replica_read read;
    struct apply_out out;
    struct api_wait wait;
    uint64_t deadline_ms;
    bool own_errors; /* proceed() also gets what the apply refused */
    /* After the proposal was applied without error, or when the read may
     * be served. */
    void (*proceed)(struct api_call *c);
    bool has_job; /* a Range that takes more than one step */
    bool kept;    /* the message is in memory of the call */
    struct apply_range_job job;
    struct api_parts parts;                /* of its answer, out.body apart */
    struct api_session *session;           /* of Lock and Election */
    const struct resumed *resumed;         /* election.c's */
    const struct api_downgrade *downgrade; /* downgrade.c's */
    /* Instead of api_fail(); NULL: that. */
    void (*failed)(struct api_call *c, int err);
    union {
        struct proto_range range;
        const Pb__TxnRequest *txn;
        struct {
            int64_t id;
            bool keys;
        } ttl;
        uint64_t target;
        struct {
            const ProtobufCMessageDescriptor *answer;
            uint64_t member; /* added or promoted */
        } reconfig;
        struct {
            bool physical; /* answer when the records are gone */
            bool applied;
            bool gone;
        } compact;
    };
};

/* Context of every stream, made by the interceptor. */
struct api_stream {
    struct list link;
    struct api *api;
    struct grpc_call *call;
    bool has_leader; /* ends when there is none for too long */
    uint32_t unread; /* Watch: answers since its queue was over its limit */
    void *state;     /* the service's */
};

static inline struct api *api_of(const struct grpc_call *call)
{
    return grpc_call_user(call);
}

/* Without a loop (tests) time goes by ticks. */
static inline uint64_t api_now_ms(const struct api *a)
{
    return a->config.loop ? loop_now_ms(a->config.loop) : a->tick_ms;
}

/* ---- call.c ---- */
struct api_call *api_call_new(struct grpc_call *call);
/* on_end of the unary methods. */
void api_call_end(struct grpc_call *call);
/* InternalRaftRequest{field: message, header: {ID}}. */
struct bytes *api_entry(uint32_t field, struct slice message, uint64_t id);
void api_propose(struct api_call *c, uint32_t field, struct slice message,
                 void (*proceed)(struct api_call *c));
void api_read(struct api_call *c, void (*proceed)(struct api_call *c));
void api_wait_for(struct api *a, struct api_wait *w,
                  bool (*poll)(struct api_wait *w));
void api_poll_waits(struct api *a);
/* Header in front of `body`, and OK. */
void api_respond(struct api *a, struct grpc_call *call, int64_t revision,
                 struct slice body);
void api_respond_body(struct api *a, struct grpc_call *call, int64_t revision,
                      struct buf *body);
/* api_respond() with what the apply left in c->out. */
void api_respond_applied(struct api_call *c);
/* Writes field 1, the response header; returns its size. */
size_t api_header(const struct api *a, int64_t revision,
                  uint8_t to[API_HEADER_BYTES_MAX]);
void api_header_pb(const struct api *a, int64_t revision,
                   Pb__ResponseHeader *ret_header);
/* Proposes for the node itself; `done` as in replica_proposal. p->out is
 * where the answer goes, NULL: nobody wants it. */
int api_propose_own(struct api *a, struct replica_proposal *p, uint32_t field,
                    struct slice message,
                    void (*done)(struct replica_proposal *p, int err));
/* The same for what follows from being the leader: when this member leads no
 * more, ERR_NOT_LEADER, and the next leader never hears of it. */
int api_propose_leading(struct api *a, struct replica_proposal *p,
                        uint32_t field, struct slice message,
                        void (*done)(struct replica_proposal *p, int err));
/* As api_propose_own() where nobody waits for the answer. */
void api_propose_alone(struct api *a, uint32_t field, struct slice message);
void api_propose_alone_stop(struct api *a);
bool api_is_leader(const struct api *a);
uint64_t api_request_timeout_ms(const struct api *a);

/* ---- check.c, overlap.c: API_* or 0 ---- */
int api_check_range(const struct proto_range *r);
int api_check_put(const struct proto_put *p);
int api_check_delete(const struct proto_delete *d);
int api_check_txn(const Pb__TxnRequest *txn, uint32_t ops_max);
int api_check_overlap(Pb__RequestOp **ops, size_t count);

/* ---- alarm.c ---- */
enum {
    API_ENTRY_ALARM = 10,
    API_ALARM_SIZE_MAX = 3 * (1 + PROTO_VARINT_MAX),
};
bool api_alarm_is_raised(const struct api *a, uint64_t member, int32_t type);
/* The entry that raises one; `to` holds API_ALARM_SIZE_MAX. */
struct slice api_alarm_encode(uint64_t member, int32_t type, uint8_t *to);

/* ---- parts.c ---- */
/* An answer is made in a buffer and goes out in it: the room at its front
 * becomes the count of references. */
void api_body_begin(struct buf *body);
struct bytes *api_body_detach(struct buf *body);
/* Takes what is in the body, which begins anew. ERR_TOO_LARGE: all together
 * they are. */
int api_parts_add(struct api_parts *p, struct buf *body);
/* A slice of a Range, into the body and, where that is full, into parts.
 * Errors of apply_range_step(). */
int api_parts_step(struct api *a, struct api_parts *p,
                   struct apply_range_job *job, struct buf *body);
/* One message of head and parts; then there are none. */
void api_parts_send(struct api_parts *p, struct grpc_call *call,
                    struct slice head);
void api_parts_release(struct api_parts *p);

/* ---- quota.c ---- */
/* What the quota counts: the file, and what is to be written to it. Tells
 * apply, too. */
uint64_t api_measure_store(struct api *a);
/* API_NO_SPACE, and the alarm is on its way. */
int api_check_quota(struct api *a, uint64_t cost);

/* ---- cluster.c ---- */
/* The members as answers carry them, in the arena. */
Pb__Member **api_members(struct api *a, struct arena *arena);

/* ---- expire.c ---- */
void api_expire_leases(struct api *a);
void api_expire_stop(struct api *a);

/* ---- checkpoint.c ---- */
void api_checkpoint_leases(struct api *a);
void api_checkpoint_stop(struct api *a);

/* ---- later.c: slices of long work between the passes of the loop ---- */
void api_later(struct api *a);
void api_later_fire(void *ctx);
/* A slice of `w` each time, in turn with others, until it is over. */
void api_slice(struct api *a, struct api_wait *w,
               bool (*slice)(struct api_wait *w));

/* ---- autocompact.c ---- */
void api_auto_compact(struct api *a);
void api_auto_compact_stop(struct api *a);

/* ---- methods ---- */
void api_kv_range(struct grpc_call *call, struct slice message);
void api_kv_range_stream(struct grpc_call *call, struct slice message);
void api_kv_range_stream_end(struct grpc_call *call);
void api_kv_put(struct grpc_call *call, struct slice message);
void api_kv_delete_range(struct grpc_call *call, struct slice message);
void api_kv_txn(struct grpc_call *call, struct slice message);
void api_kv_compact(struct grpc_call *call, struct slice message);
void api_watch_message(struct grpc_call *call, struct slice message);
void api_watch_end(struct grpc_call *call);
void api_lease_grant(struct grpc_call *call, struct slice message);
void api_lease_revoke(struct grpc_call *call, struct slice message);
void api_lease_time_to_live(struct grpc_call *call, struct slice message);
void api_lease_leases(struct grpc_call *call, struct slice message);
void api_keepalive_message(struct grpc_call *call, struct slice message);
void api_keepalive_half_close(struct grpc_call *call);
void api_keepalive_end(struct grpc_call *call);
void api_member_list(struct grpc_call *call, struct slice message);
void api_member_add(struct grpc_call *call, struct slice message);
void api_member_remove(struct grpc_call *call, struct slice message);
void api_member_update(struct grpc_call *call, struct slice message);
void api_member_promote(struct grpc_call *call, struct slice message);
void api_status_rpc(struct grpc_call *call, struct slice message);
void api_alarm_rpc(struct grpc_call *call, struct slice message);
void api_hash_kv(struct grpc_call *call, struct slice message);
void api_hash(struct grpc_call *call, struct slice message);
void api_defragment(struct grpc_call *call, struct slice message);
void api_downgrade(struct grpc_call *call, struct slice message);
void api_move_leader(struct grpc_call *call, struct slice message);
void api_snapshot(struct grpc_call *call, struct slice message);
void api_snapshot_end(struct grpc_call *call);
void api_lock(struct grpc_call *call, struct slice message);
void api_unlock(struct grpc_call *call, struct slice message);
void api_campaign(struct grpc_call *call, struct slice message);
void api_proclaim(struct grpc_call *call, struct slice message);
void api_resign(struct grpc_call *call, struct slice message);
void api_leader(struct grpc_call *call, struct slice message);
void api_session_end(struct grpc_call *call);
void api_observe(struct grpc_call *call, struct slice message);
void api_observe_end(struct grpc_call *call);
void api_health_check(struct grpc_call *call, struct slice message);
void api_health_watch(struct grpc_call *call, struct slice message);
void api_health_list(struct grpc_call *call, struct slice message);
/* on_end of streams without more to drop. */
void api_stream_end(struct grpc_call *call);

#endif
