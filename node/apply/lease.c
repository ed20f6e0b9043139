/* Grant, revoke, checkpoint. */
#include <stdlib.h>

#include "base/err.h"
#include "state.h"

static int decode_numbers(struct slice message, int64_t ret_numbers[3])
{
    struct proto_field f;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.wire == PROTO_VARINT && f.number < 3) {
            ret_numbers[f.number] = (int64_t)f.value;
        }
    }
    return more;
}

int apply_lease_grant(struct apply *a, struct slice message,
                      struct apply_out *out)
{
    int64_t numbers[3] = {0}; /* TTL = 1, ID = 2 */
    if (decode_numbers(message, numbers)) {
        return ERR_CORRUPT;
    }
    if (a->nospace_count) {
        out->err = ERR_NO_SPACE;
        return 0;
    }
    int64_t ttl_s;
    out->err =
        lease_grant(a->lessor, numbers[2], numbers[1], a->now_ms, &ttl_s);
    if (out->err) {
        return 0;
    }
    int err = proto_add_u64(&out->body, 2, (uint64_t)numbers[2]);
    err = err ? err : proto_add_u64(&out->body, 3, (uint64_t)ttl_s);
    if (apply_over_quota(a, APPLY_COST_LEASE)) {
        out->err = ERR_NO_SPACE;
    }
    return err;
}

int apply_lease_revoke(struct apply *a, struct slice message,
                       struct apply_out *out)
{
    int64_t numbers[3] = {0}; /* ID = 1 */
    if (decode_numbers(message, numbers)) {
        return ERR_CORRUPT;
    }
    struct slice *keys;
    size_t count;
    out->err = lease_keys(a->lessor, numbers[1], &keys, &count);
    if (out->err) {
        return 0;
    }
    int err = 0;
    int64_t gone;
    for (size_t i = 0; i < count && err == 0; i++) {
        err = mvcc_delete_range(a->mvcc, keys[i], (struct slice){NULL, 0},
                                false, NULL, NULL, &gone);
    }
    free(keys);
    return err ? err : lease_revoke(a->lessor, numbers[1]);
}

int apply_lease_checkpoint(struct apply *a, struct slice message,
                           struct apply_out *out)
{
    struct proto_field f;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        int64_t numbers[3] = {0}; /* ID = 1, remaining_TTL = 2 */
        if (f.wire != PROTO_BYTES || f.number != 1) {
            continue;
        }
        if (decode_numbers(f.bytes, numbers)) {
            return ERR_CORRUPT;
        }
        lease_checkpoint(a->lessor, numbers[1], numbers[2], a->now_ms);
    }
    return more ? ERR_CORRUPT : 0;
}
