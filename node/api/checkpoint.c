/* What is left of long leases goes through the log, from the leader: so that
 * the next one neither gives them their whole TTL again nor, after a
 * renewal, less than that. */
#include <stdlib.h>

#include "base/err.h"
#include "proto/proto.h"
#include "state.h"

enum {
    ENTRY_LEASE_CHECKPOINT = 11,
    ONE_MAX = 2 * (1 + PROTO_VARINT_MAX), /* a LeaseCheckpoint */
    ONE_WITH_HEAD_MAX = 1 + PROTO_VARINT_MAX + ONE_MAX,
};

static uint8_t *put_one(uint8_t *to, int64_t lease, int64_t remaining_s)
{
    uint8_t inner[ONE_MAX];
    uint8_t *end = proto_u64(inner, 1, (uint64_t)lease);
    end = proto_u64(end, 2, (uint64_t)remaining_s);
    struct slice one = slice_of(inner, (size_t)(end - inner));
    return proto_copy(proto_head(to, 1, one.size), one);
}

int api_renew(struct api *a, int64_t lease, int64_t *ret_ttl_s)
{
    bool checkpoint;
    int err = lease_renew(a->config.lessor, lease, api_now_ms(a), ret_ttl_s,
                          &checkpoint);
    if (err == 0 && checkpoint) {
        /* The log holds a remainder; it is the whole TTL again. */
        uint8_t message[ONE_WITH_HEAD_MAX];
        uint8_t *end = put_one(message, lease, 0);
        api_propose_alone(a, ENTRY_LEASE_CHECKPOINT,
                          slice_of(message, (size_t)(end - message)));
    }
    return err;
}

static void checkpointed(struct replica_proposal *p, int err)
{
    container_of(p, struct api, checkpoint)->checkpoint_busy = false;
}

void api_checkpoint_leases(struct api *a)
{
    uint64_t now_ms = api_now_ms(a);
    if (!a->config.lease_checkpoints || a->checkpoint_busy ||
        now_ms < a->checkpoint_next_ms) {
        return;
    }
    a->checkpoint_next_ms = now_ms + API_CHECKPOINT_PERIOD_MS;
    struct lease_remainder due[API_CHECKPOINTS_MAX];
    size_t count = lease_checkpoints_due(a->config.lessor, now_ms, due,
                                         API_CHECKPOINTS_MAX);
    if (count == 0) {
        return;
    }
    uint8_t *message = mem_alloc(count * ONE_WITH_HEAD_MAX), *end = message;
    for (size_t i = 0; i < count; i++) {
        end = put_one(end, due[i].id, due[i].remaining_s);
    }
    /* One entry under way: without a quorum they must not pile up. */
    a->checkpoint_busy = true;
    if (api_propose_leading(a, &a->checkpoint, ENTRY_LEASE_CHECKPOINT,
                            slice_of(message, (size_t)(end - message)),
                            checkpointed)) {
        a->checkpoint_busy = false;
    }
    free(message);
}

void api_checkpoint_stop(struct api *a)
{
    if (a->checkpoint_busy) {
        replica_propose_cancel(a->config.replica, &a->checkpoint);
    }
}
