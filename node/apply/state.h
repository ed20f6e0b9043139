/* What apply's files share. */
#ifndef APPLY_STATE_H
#define APPLY_STATE_H

#include "apply.h"
#include "base/arena.h"

struct apply {
    struct apply_config config;
    struct mvcc *mvcc;
    struct kvdb *db;
    struct lessor *lessor;
    uint64_t store_bytes;
    uint64_t now_ms; /* of the entry being applied */
    struct apply_alarm *alarms;
    size_t alarm_count;
    uint32_t nospace_count;
    uint32_t corrupt_count;
    struct arena arena; /* of the entry being applied */
    bool wanted;        /* somebody waits for its answer */
    bool overflow;      /* its answer is larger than can be sent: given
                           up, while the effect goes on */
    struct buf scratch; /* deleted pairs, before their count is known */
    ProtobufCAllocator allocator; /* over arena */
};

static inline struct slice apply_slice(ProtobufCBinaryData b)
{
    return slice_of(b.data, b.len);
}

/* Each returns an error of the store only; the client's goes to out. */
int apply_put(struct apply *a, struct slice message, struct apply_out *out);
int apply_delete(struct apply *a, struct slice message, struct apply_out *out);
int apply_txn(struct apply *a, struct slice message, struct apply_out *out);
int apply_compaction(struct apply *a, struct slice message,
                     struct apply_out *out);
int apply_lease_grant(struct apply *a, struct slice message,
                      struct apply_out *out);
int apply_lease_revoke(struct apply *a, struct slice message,
                       struct apply_out *out);
int apply_lease_checkpoint(struct apply *a, struct slice message,
                           struct apply_out *out);
int apply_alarm(struct apply *a, struct slice message, struct apply_out *out);
int apply_alarms_load(struct apply *a);

/* The client's errors of a put, before it: ERR_LEASE_NOT_FOUND,
 * ERR_KEY_NOT_FOUND. */
int apply_check_put(struct apply *a, const struct proto_put *put);
/* `body` takes PutResponse.prev_kv, NULL: nobody asks. */
int apply_do_put(struct apply *a, const struct proto_put *put,
                 struct buf *body);
int apply_do_delete(struct apply *a, const struct proto_delete *del,
                    struct buf *body);
int apply_check_range(struct apply *a, const struct proto_range *range);
/* What range.c and scan.c share: the order is the store's; a filter stands;
 * the index alone answers; a key passes the filters; how it is encoded. */
bool apply_range_in_order(const struct proto_range *r);
bool apply_range_filtered(const struct proto_range *r);
bool apply_range_index_only(const struct proto_range *r);
bool apply_range_passes(const struct proto_range *r, const struct mvcc_kv *kv);
int apply_range_add(struct buf *body, const struct proto_range *r,
                    const struct mvcc_kv *kv);
void apply_put_of(const Pb__PutRequest *from, struct proto_put *ret);
void apply_delete_of(const Pb__DeleteRangeRequest *from,
                     struct proto_delete *ret);
/* ERR_TOO_LARGE of the answer becomes `overflow` and 0. */
int apply_note(struct apply *a, int err);
bool apply_over_quota(const struct apply *a, uint64_t cost);
void *apply_unpack(struct apply *a, const ProtobufCMessageDescriptor *d,
                   struct slice message);

/* What the chosen branches of a txn are, in preorder. */
int apply_compares(struct apply *a, const Pb__TxnRequest *txn, bool *ret_holds);

#endif
