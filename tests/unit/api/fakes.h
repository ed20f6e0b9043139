/*
 * The services without a network: gRPC calls that write down what they are
 * told, and a Raft of one that commits a proposal when the test says so.
 * Store, lessor, hub and apply are real.
 */
#ifndef TESTS_UNIT_API_FAKES_H
#define TESTS_UNIT_API_FAKES_H

#include "../store.h"
#include "api/state.h"
#include "base/arena.h"

/* ---- a call ---- */
struct grpc_call {
    struct arena arena;
    const struct grpc_method *method;
    void *ctx;
    const char *metadata[8]; /* name, value, ... NULL */
    struct buf sent;         /* messages one after the other */
    uint32_t sizes[256];
    uint32_t count;
    bool finished;
    enum grpc_code code;
    char text[256];
    size_t queued; /* what grpc_call_queued() says */
    void (*resume)(struct grpc_call *c);
    uint32_t refs;
    struct slice message;
    bool over;
    bool discards;
};

static struct {
    struct store store;
    struct lessor *lessor;
    struct watch_hub *hub;
    struct apply *apply;
    struct api *api;
    struct members members;
    const struct grpc_method *methods;
    uint32_t method_count;
    struct raft_status status;
    bool has_leader;
    uint64_t leaderless_ms;
    uint64_t next_id;
    uint64_t index;
    uint64_t now_ms;
    struct list proposals;
    struct list reads;
    uint64_t transferred_to;
    bool applying;
    struct raft_progress progress[8];
    uint32_t progress_count;
    uint64_t connected_ms[16]; /* by id */
    uint64_t promoting;
    void (*promote_done)(void *ctx, int err);
    const char *cluster_version; /* NULL: not known yet */
    const char *downgrade;       /* NULL: none is under way */
    /* what was forwarded to the leader */
    int64_t forwarded;
    void (*keepalive_done)(void *ctx, int err, int64_t ttl);
    void (*ttl_done)(void *ctx, int err, Pb__LeaseTimeToLiveResponse *r);
    void *done_ctx;
} fake;

/* ---- grpc.h ---- */
const struct grpc_method *grpc_call_method(const struct grpc_call *c)
{
    return c->method;
}
void *grpc_call_user(const struct grpc_call *c)
{
    return c->method->user;
}
struct arena *grpc_call_arena(struct grpc_call *c)
{
    return &c->arena;
}
void grpc_call_set_ctx(struct grpc_call *c, void *ctx)
{
    c->ctx = ctx;
}
void *grpc_call_ctx(const struct grpc_call *c)
{
    return c->ctx;
}
struct slice grpc_call_metadata(const struct grpc_call *c, const char *key)
{
    for (int i = 0; c->metadata[i]; i += 2) {
        if (strcmp(c->metadata[i], key) == 0) {
            return slice_str(c->metadata[i + 1]);
        }
    }
    return (struct slice){NULL, 0};
}
bool grpc_call_alive(const struct grpc_call *c)
{
    return !c->finished && !c->over;
}
struct grpc_call *grpc_call_ref(struct grpc_call *c)
{
    c->refs++;
    return c;
}
void grpc_call_unref(struct grpc_call *c)
{
    assert_true(c->refs > 0);
    c->refs--;
}
struct slice grpc_call_keep_message(struct grpc_call *c)
{
    c->message = arena_slice(&c->arena, c->message);
    return c->message;
}
void grpc_send_parts(struct grpc_call *c, struct slice head,
                     struct bytes *const *parts, size_t count)
{
    if (!grpc_call_alive(c) || c->discards) {
        return;
    }
    assert_true(c->count < 256);
    size_t before = c->sent.size;
    buf_append_slice(&c->sent, head);
    for (size_t i = 0; i < count; i++) {
        buf_append_slice(&c->sent, bytes_slice(parts[i]));
    }
    c->sizes[c->count++] = (uint32_t)(c->sent.size - before);
}
void grpc_send_bytes(struct grpc_call *c, struct slice head, struct bytes *tail)
{
    grpc_send_parts(c, head, &tail, tail ? 1 : 0);
}
void grpc_send(struct grpc_call *c, const ProtobufCMessage *m)
{
    size_t size = protobuf_c_message_get_packed_size(m);
    uint8_t *data = mem_alloc(size + 1);
    protobuf_c_message_pack(m, data);
    grpc_send_bytes(c, slice_of(data, size), NULL);
    free(data);
}
void grpc_finish(struct grpc_call *c, enum grpc_code code, const char *text)
{
    if (!c->finished) {
        c->finished = true;
        c->code = code;
        snprintf(c->text, sizeof c->text, "%s", text ? text : "");
    }
}
void grpc_reply(struct grpc_call *c, const ProtobufCMessage *m)
{
    grpc_send(c, m);
    grpc_finish(c, GRPC_OK, NULL);
}
size_t grpc_call_queued(const struct grpc_call *c)
{
    return c->queued;
}
void grpc_call_on_drain(struct grpc_call *c, size_t low,
                        void (*resume)(struct grpc_call *c))
{
    c->resume = resume;
}
static void *fake_alloc(void *ctx, size_t size)
{
    return arena_alloc(ctx, size);
}
static void fake_drop(void *ctx, void *p)
{
}
void *grpc_unpack(struct grpc_call *c, const ProtobufCMessageDescriptor *d,
                  struct slice message)
{
    ProtobufCAllocator a = {fake_alloc, fake_drop, &c->arena};
    void *m = protobuf_c_message_unpack(d, &a, message.size, message.data);
    if (!m) {
        api_fail_unmarshal(c);
    }
    return m;
}

/* ---- replica.h ---- */
const struct raft_status *replica_status(struct replica *r)
{
    return &fake.status;
}
bool replica_has_leader(struct replica *r)
{
    return fake.has_leader;
}
uint64_t replica_leaderless_ms(struct replica *r)
{
    return fake.leaderless_ms;
}
void replica_propose(struct replica *r, struct replica_proposal *p)
{
    /* the entries being applied stand in the log that would grow */
    assert_false(fake.applying);
    list_append(&fake.proposals, &p->link);
}
int replica_propose_leading(struct replica *r, struct replica_proposal *p)
{
    if (fake.status.role != RAFT_LEADER) {
        bytes_unref(p->data);
        return ERR_NOT_LEADER;
    }
    replica_propose(r, p);
    return 0;
}
void replica_propose_cancel(struct replica *r, struct replica_proposal *p)
{
    list_remove(&p->link);
    bytes_unref(p->data);
}
void replica_read(struct replica *r, struct replica_read *rd)
{
    list_append(&fake.reads, &rd->link);
}
void replica_read_cancel(struct replica *r, struct replica_read *rd)
{
    list_remove(&rd->link);
}
void replica_transfer(struct replica *r, uint64_t to)
{
    fake.transferred_to = to;
}
uint32_t replica_progress(struct replica *r, struct raft_progress *ret,
                          uint32_t capacity)
{
    assert_true(fake.progress_count <= capacity);
    memcpy(ret, fake.progress, fake.progress_count * sizeof *ret);
    return fake.progress_count;
}

/* ---- driving ---- */
static inline int count_of(const struct list *l)
{
    int n = 0;
    for (const struct list *it = l->next; it != l; it = it->next) {
        n++;
    }
    return n;
}

/* Commits and applies all proposals. */
static inline void commit(void)
{
    while (!list_empty(&fake.proposals)) {
        struct replica_proposal *p =
            container_of(fake.proposals.next, struct replica_proposal, link);
        list_remove(&p->link);
        assert_int_equal(apply_request_id(bytes_slice(p->data)), p->id);
        assert_int_equal(apply_entry(fake.apply, fake.now_ms, ++fake.index, 1,
                                     bytes_slice(p->data), p->out),
                         0);
        bytes_unref(p->data);
        fake.status.commit = fake.status.applied = fake.index;
        watch_notify(fake.hub);
        fake.applying = true;
        p->done(p, 0);
        fake.applying = false;
    }
    api_applied(fake.api);
}

/* And what the entries lead to, until nothing more comes. */
static inline void commit_all(void)
{
    do {
        commit();
        api_later_fire(fake.api);
    } while (!list_empty(&fake.proposals));
}

static inline void fail_proposals(int err)
{
    while (!list_empty(&fake.proposals)) {
        struct replica_proposal *p =
            container_of(fake.proposals.next, struct replica_proposal, link);
        list_remove(&p->link);
        bytes_unref(p->data);
        p->done(p, err);
    }
}

static inline void confirm_reads(int err)
{
    while (!list_empty(&fake.reads)) {
        struct replica_read *rd =
            container_of(fake.reads.next, struct replica_read, link);
        list_remove(&rd->link);
        rd->done(rd, err);
        if (err) {
            return; /* it may ask again */
        }
    }
}

static inline void tick(uint64_t ms)
{
    fake.now_ms += ms;
    api_tick(fake.api, fake.now_ms);
}

static inline void fake_keepalive(void *ctx, int64_t lease,
                                  void (*done)(void *, int, int64_t),
                                  void *done_ctx)
{
    fake.forwarded = lease;
    fake.keepalive_done = done;
    fake.done_ctx = done_ctx;
}

static inline void fake_timetolive(void *ctx, int64_t lease, bool keys,
                                   void (*done)(void *, int,
                                                Pb__LeaseTimeToLiveResponse *),
                                   void *done_ctx)
{
    fake.forwarded = lease;
    fake.ttl_done = done;
    fake.done_ctx = done_ctx;
}

static inline void fake_promote(void *ctx, uint64_t member,
                                void (*done)(void *, int), void *done_ctx)
{
    fake.promoting = member;
    fake.promote_done = done;
    fake.done_ctx = done_ctx;
}

static inline uint64_t fake_connected(void *ctx, uint64_t id)
{
    return id < 16 ? fake.connected_ms[id] : 0;
}

static inline uint64_t fake_id(void *ctx)
{
    return ++fake.next_id;
}

static inline const char *fake_version(void *ctx)
{
    return fake.cluster_version;
}

static inline bool fake_downgrade(void *ctx, const char **ret_target)
{
    *ret_target = fake.downgrade ? fake.downgrade : "";
    return fake.downgrade != NULL;
}

static inline void fake_downgrade_set(void *ctx, bool enabled,
                                      const char *version)
{
    fake.downgrade = enabled ? "3.6.0" : NULL;
}

static inline int world_new(void **state)
{
    static struct member list[2];
    static char *urls[] = {(char *)(uintptr_t) "http://x:1"};
    memset(&fake, 0, sizeof fake);
    list_init(&fake.proposals);
    list_init(&fake.reads);
    for (int i = 0; i < 2; i++) {
        list[i] = (struct member){.id = (uint64_t)(7 + i),
                                  .name = (char *)(uintptr_t)(i ? "" : "n7"),
                                  .peer_urls = urls,
                                  .peer_url_count = 1,
                                  .client_urls = urls,
                                  .client_url_count = i ? 0 : 1,
                                  .is_learner = i == 1};
    }
    fake.members = (struct members){.cluster_id = 99, .list = list, .count = 2};
    fake.has_leader = true;
    fake.cluster_version = "3.7.0";
    fake.now_ms = 1000;
    fake.status = (struct raft_status){
        .id = 7, .leader = 7, .term = 3, .role = RAFT_LEADER};
    store_new(&fake.store);
    struct lessor_config lc = {.ttl_min_s = 2, .retry_ms = 7000};
    fake.lessor = lease_new(&lc);
    struct watch_config wc = {.mvcc = fake.store.mvcc,
                              .response_bytes_max = 1 << 20,
                              .progress_interval_ms = 1000};
    fake.hub = watch_new(&wc);
    struct apply_config ac = {.mvcc = fake.store.mvcc,
                              .db = fake.store.db,
                              .lessor = fake.lessor,
                              .quota_bytes = 64 << 20,
                              .hooks = {.downgrade_set = fake_downgrade_set}};
    assert_int_equal(apply_new(&ac, &fake.apply), 0);
    struct api_config config = {
        .members = &fake.members,
        .mvcc = fake.store.mvcc,
        .db = fake.store.db,
        .lessor = fake.lessor,
        .watch = fake.hub,
        .apply = fake.apply,
        .member_id = 7,
        .quota_bytes = 64 << 20,
        .request_bytes_max = 2000,
        .txn_ops_max = 4,
        .election_timeout_ms = 1000,
        .strict_reconfig = true,
        .rim = {fake_keepalive, fake_timetolive, fake_promote, fake_connected,
                fake_id, fake_version, fake_downgrade, NULL},
    };
    fake.api = api_new(&config);
    fake.methods = api_methods(fake.api, &fake.method_count);
    lease_promote(fake.lessor, fake.now_ms, 0);
    return 0;
}

static inline int world_free(void **state)
{
    api_free(fake.api);
    apply_free(fake.apply);
    watch_free(fake.hub);
    lease_free(fake.lessor);
    store_close(&fake.store);
    return 0;
}

/* ---- calls ---- */
static inline void call_init(struct grpc_call *c, const char *path)
{
    memset(c, 0, sizeof *c);
    arena_init(&c->arena);
    buf_init(&c->sent, 64 << 20);
    for (uint32_t i = 0; i < fake.method_count; i++) {
        if (strcmp(fake.methods[i].path, path) == 0) {
            c->method = &fake.methods[i];
        }
    }
    assert_non_null(c->method);
}

static inline void call_message(struct grpc_call *c, struct slice message)
{
    /* On the heap, and gone afterwards: who keeps it must have copied. */
    uint8_t *borrowed = mem_alloc(message.size + 1);
    memcpy(borrowed, message.data ? message.data : (const uint8_t *)"",
           message.size);
    c->message = slice_of(borrowed, message.size);
    c->method->on_message(c, c->message);
    free(borrowed);
}

static inline void call_pb(struct grpc_call *c, const void *message)
{
    const ProtobufCMessage *m = message;
    size_t size = protobuf_c_message_get_packed_size(m);
    uint8_t *data = mem_alloc(size + 1);
    protobuf_c_message_pack(m, data);
    call_message(c, slice_of(data, size));
    free(data);
}

static inline void call_end(struct grpc_call *c)
{
    c->over = true;
    if (c->method->on_end) {
        c->method->on_end(c);
    }
    assert_int_equal(c->refs, 0);
    buf_release(&c->sent);
    arena_release(&c->arena);
}

/* The n-th message that was sent. */
static inline struct slice call_sent(const struct grpc_call *c, uint32_t n)
{
    assert_true(n < c->count);
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        at += c->sizes[i];
    }
    return slice_of(c->sent.data + at, c->sizes[n]);
}

static inline void *call_answer(const struct grpc_call *c, uint32_t n,
                                const ProtobufCMessageDescriptor *d)
{
    struct slice s = call_sent(c, n);
    void *m = protobuf_c_message_unpack(d, NULL, s.size, s.data);
    assert_non_null(m);
    return m;
}

#define FREE(m) protobuf_c_message_free_unpacked(&(m)->base, NULL)

static inline void expect(const struct grpc_call *c, enum grpc_code code,
                          const char *text)
{
    assert_true(c->finished);
    assert_string_equal(c->text, text);
    assert_int_equal(c->code, code);
    assert_int_equal(c->count, code == GRPC_OK);
}

static inline void check_header(const Pb__ResponseHeader *h, int64_t revision)
{
    assert_non_null(h);
    assert_int_equal(h->cluster_id, 99);
    assert_int_equal(h->member_id, 7);
    assert_int_equal(h->raft_term, 3);
    assert_int_equal(h->revision, revision);
}

static inline ProtobufCBinaryData data_of(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

#endif
