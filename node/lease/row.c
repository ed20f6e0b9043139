/* The stored form: id as big-endian u64 -> Lease{ID=1, TTL=2,
 * RemainingTTL=3}, as in the snapshot's bucket of that name. */
#include "base/endian.h"
#include "base/err.h"
#include "proto/proto.h"
#include "state.h"

int lease_row_decode(struct slice row, int64_t *ret_id, int64_t *ret_ttl_s,
                     int64_t *ret_remaining_s)
{
    int64_t numbers[4] = {0};
    struct proto_field f;
    int more;
    while ((more = proto_next(&row, &f)) > 0) {
        if (f.wire == PROTO_VARINT && f.number < 4) {
            numbers[f.number] = (int64_t)f.value;
        }
    }
    if (more < 0 || numbers[1] == 0) {
        return ERR_CORRUPT;
    }
    *ret_id = numbers[1];
    *ret_ttl_s = numbers[2];
    *ret_remaining_s = numbers[3];
    return 0;
}

void lease_row_store(struct lessor *l, const struct lease *lease)
{
    if (!l->config.db) {
        return;
    }
    uint8_t key[8];
    uint8_t row[6 * PROTO_VARINT_MAX];
    put_be64(key, (uint64_t)lease->id);
    uint8_t *end = proto_u64(row, 1, (uint64_t)lease->id);
    end = proto_u64(end, 2, (uint64_t)lease->ttl_s);
    end = proto_u64(end, 3, (uint64_t)lease->remaining_s);
    kvdb_stage_put(l->config.db, KVDB_LEASE, slice_of(key, sizeof key),
                   slice_of(row, (size_t)(end - row)));
}

void lease_row_drop(struct lessor *l, int64_t id)
{
    if (!l->config.db) {
        return;
    }
    uint8_t key[8];
    put_be64(key, (uint64_t)id);
    kvdb_stage_del(l->config.db, KVDB_LEASE, slice_of(key, sizeof key));
}
