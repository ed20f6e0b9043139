#include "apply.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "state.h"

/* Fields of InternalRaftRequest. */
enum entry_kind {
    ENTRY_RANGE = 3,
    ENTRY_PUT = 4,
    ENTRY_DELETE_RANGE = 5,
    ENTRY_TXN = 6,
    ENTRY_COMPACTION = 7,
    ENTRY_LEASE_GRANT = 8,
    ENTRY_LEASE_REVOKE = 9,
    ENTRY_ALARM = 10,
    ENTRY_LEASE_CHECKPOINT = 11,
    ENTRY_HEADER = 100,
    ENTRY_AUTHENTICATE = 1012,
    ENTRY_AUTH_STATUS = 1013,
    ENTRY_AUTH_USER_GET = 1102,
    ENTRY_AUTH_USER_LIST = 1106,
    ENTRY_AUTH_ROLE_LIST = 1107,
    ENTRY_AUTH_ROLE_GET = 1202,
    ENTRY_CLUSTER_VERSION_SET = 1300,
    ENTRY_MEMBER_ATTR_SET = 1301,
    ENTRY_DOWNGRADE_INFO_SET = 1302,
    ENTRY_DOWNGRADE_VERSION_TEST = 9900,
};

static void *arena_get(void *ctx, size_t size)
{
    return arena_alloc(ctx, size);
}

static void arena_drop(void *ctx, void *pointer)
{
}

void *apply_unpack(struct apply *a, const ProtobufCMessageDescriptor *d,
                   struct slice message)
{
    static const uint8_t nothing;
    return protobuf_c_message_unpack(d, &a->allocator, message.size,
                                     message.data ? message.data : &nothing);
}

void apply_out_init(struct apply_out *out)
{
    *out = (struct apply_out){0};
    buf_init(&out->body, APPLY_BODY_BYTES_MAX);
}

void apply_out_release(struct apply_out *out)
{
    buf_release(&out->body);
}

int apply_new(const struct apply_config *config, struct apply **ret_apply)
{
    struct apply *a = mem_zalloc(sizeof *a);
    a->config = *config;
    a->mvcc = config->mvcc;
    a->db = config->db;
    a->lessor = config->lessor;
    arena_init(&a->arena);
    buf_init(&a->scratch, APPLY_BODY_BYTES_MAX);
    a->allocator = (ProtobufCAllocator){arena_get, arena_drop, &a->arena};
    int err = apply_alarms_load(a);
    if (err) {
        apply_free(a);
        return err;
    }
    *ret_apply = a;
    return 0;
}

void apply_free(struct apply *a)
{
    if (a) {
        arena_release(&a->arena);
        buf_release(&a->scratch);
        free(a->alarms);
        free(a);
    }
}

int apply_set_store(struct apply *a, struct mvcc *mvcc, struct kvdb *db)
{
    a->mvcc = mvcc;
    a->db = db;
    return apply_alarms_load(a);
}

void apply_set_store_bytes(struct apply *a, uint64_t bytes)
{
    a->store_bytes = bytes;
}

int apply_note(struct apply *a, int err)
{
    if (err == ERR_TOO_LARGE) {
        a->overflow = true;
        err = 0;
    }
    return err;
}

bool apply_over_quota(const struct apply *a, uint64_t cost)
{
    return a->config.quota_bytes && cost &&
           a->store_bytes + cost >= a->config.quota_bytes;
}

struct entry {
    uint32_t kind; /* 0: nothing known in it */
    struct slice message;
    uint64_t request_id;
};

static bool is_bookkeeping(const struct proto_field *f)
{
    return f->number == 1 || f->number == 2 || f->number == ENTRY_HEADER;
}

/* ERR_INVALID when it does not parse. With several operations in one entry,
 * which nobody writes, the one of the lowest number counts. */
static int decode_entry(struct slice data, struct entry *ret_entry)
{
    struct entry e = {0};
    struct proto_field f, h;
    int more;
    while ((more = proto_next(&data, &f)) > 0) {
        if (f.number == ENTRY_HEADER && f.wire == PROTO_BYTES) {
            while (proto_next(&f.bytes, &h) > 0) {
                if (h.number == 1 && h.wire == PROTO_VARINT) {
                    e.request_id = h.value;
                }
            }
        } else if (!is_bookkeeping(&f) && f.wire == PROTO_BYTES &&
                   (e.kind == 0 || f.number <= e.kind)) {
            e.kind = f.number;
            e.message = f.bytes;
        }
    }
    if (more == 0) {
        *ret_entry = e;
    }
    return more;
}

uint64_t apply_request_id(struct slice data)
{
    struct entry e;
    return decode_entry(data, &e) == 0 ? e.request_id : 0;
}

static int cluster_version_set(struct apply *a, struct slice message)
{
    const Pbm__ClusterVersionSetRequest *r =
        apply_unpack(a, &pbm__cluster_version_set_request__descriptor, message);
    if (!r) {
        return ERR_CORRUPT;
    }
    if (a->config.hooks.cluster_version_set) {
        a->config.hooks.cluster_version_set(a->config.hooks.ctx, r->ver);
    }
    return 0;
}

static int member_attributes_set(struct apply *a, struct slice message)
{
    const Pbm__ClusterMemberAttrSetRequest *r = apply_unpack(
        a, &pbm__cluster_member_attr_set_request__descriptor, message);
    if (!r) {
        return ERR_CORRUPT;
    }
    Pbm__Attributes none;
    pbm__attributes__init(&none);
    if (a->config.hooks.member_attributes_set) {
        a->config.hooks.member_attributes_set(
            a->config.hooks.ctx, r->member_id,
            r->member_attributes ? r->member_attributes : &none);
    }
    return 0;
}

static int downgrade_set(struct apply *a, struct slice message)
{
    const Pbm__DowngradeInfoSetRequest *r =
        apply_unpack(a, &pbm__downgrade_info_set_request__descriptor, message);
    if (!r) {
        return ERR_CORRUPT;
    }
    if (a->config.hooks.downgrade_set) {
        a->config.hooks.downgrade_set(a->config.hooks.ctx, r->enabled, r->ver);
    }
    return 0;
}

/* The CORRUPT alarm stands before everything that changes keys. */
static bool stopped_by_corruption(const struct apply *a, uint32_t kind)
{
    return a->corrupt_count && kind <= ENTRY_LEASE_REVOKE;
}

static int dispatch(struct apply *a, const struct entry *e,
                    struct apply_out *out)
{
    if (stopped_by_corruption(a, e->kind)) {
        out->err = ERR_CORRUPT;
        return 0;
    }
    switch (e->kind) {
    case ENTRY_RANGE:
        return 0; /* reads do not go through our log; no effect */
    case ENTRY_PUT:
        return apply_put(a, e->message, out);
    case ENTRY_DELETE_RANGE:
        return apply_delete(a, e->message, out);
    case ENTRY_TXN:
        return apply_txn(a, e->message, out);
    case ENTRY_COMPACTION:
        return apply_compaction(a, e->message, out);
    case ENTRY_LEASE_GRANT:
        return apply_lease_grant(a, e->message, out);
    case ENTRY_LEASE_REVOKE:
        return apply_lease_revoke(a, e->message, out);
    case ENTRY_ALARM:
        return apply_alarm(a, e->message, out);
    case ENTRY_LEASE_CHECKPOINT:
        return apply_lease_checkpoint(a, e->message, out);
    case ENTRY_AUTHENTICATE:
    case ENTRY_AUTH_STATUS:
    case ENTRY_AUTH_USER_GET:
    case ENTRY_AUTH_USER_LIST:
    case ENTRY_AUTH_ROLE_LIST:
    case ENTRY_AUTH_ROLE_GET:
        /* Questions: no effect on anyone's store. */
        out->err = ERR_UNSUPPORTED;
        return 0;
    case ENTRY_CLUSTER_VERSION_SET:
        return cluster_version_set(a, e->message);
    case ENTRY_MEMBER_ATTR_SET:
        return member_attributes_set(a, e->message);
    case ENTRY_DOWNGRADE_INFO_SET:
        return downgrade_set(a, e->message);
    case ENTRY_DOWNGRADE_VERSION_TEST:
        return 0;
    default:
        return ERR_UNSUPPORTED;
    }
}

void apply_nothing(struct apply *a, uint64_t index, uint64_t term)
{
    mvcc_begin(a->mvcc);
    mvcc_end(a->mvcc, index, term);
}

int apply_entry(struct apply *a, uint64_t now_ms, uint64_t index, uint64_t term,
                struct slice data, struct apply_out *out)
{
    if (data.size == 0) {
        apply_nothing(a, index, term);
        return 0;
    }
    struct entry e;
    if (decode_entry(data, &e)) {
        return ERR_CORRUPT;
    }
    /* Nobody waits: the same work, its answer thrown away. */
    struct apply_out unwanted;
    apply_out_init(&unwanted);
    struct apply_out *to = out ? out : &unwanted;
    a->now_ms = now_ms;
    a->wanted = out != NULL;
    a->overflow = false;
    arena_reset(&a->arena);
    mvcc_begin(a->mvcc);
    int err = dispatch(a, &e, to);
    if (a->overflow) {
        to->err = ERR_TOO_LARGE;
    }
    mvcc_end(a->mvcc, index, term);
    to->revision = mvcc_revision(a->mvcc);
    apply_out_release(&unwanted);
    return err;
}
