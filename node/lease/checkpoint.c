/* How much of a long lease is over, told to the log now and then. */
#include "state.h"

void lease_checkpoint(struct lessor *l, int64_t id, int64_t remaining_s,
                      uint64_t now_ms)
{
    struct lease *lease = lease_find(l, id);
    if (!lease) {
        return;
    }
    lease->remaining_s = remaining_s > 0 ? remaining_s : 0;
    lease_row_store(l, lease);
    if (l->primary && remaining_s > 0) {
        lease_set_expiry(l, lease, now_ms + lease_span_ms(lease));
    }
}

static bool is_due(const struct lease *lease, uint64_t now_ms)
{
    uint64_t step_ms = LEASE_CHECKPOINT_S * UINT64_C(1000);
    uint64_t left_ms =
        lease->expiry_ms > now_ms ? lease->expiry_ms - now_ms : 0;
    return left_ms > step_ms && lease_span_ms(lease) >= left_ms + step_ms;
}

size_t lease_checkpoints_due(struct lessor *l, uint64_t now_ms,
                             struct lease_remainder *ret, size_t capacity)
{
    size_t count = 0, places = l->leases.capacity;
    if (!l->primary) {
        return 0;
    }
    size_t looks =
        places < LEASE_CHECKPOINT_LOOKS ? places : LEASE_CHECKPOINT_LOOKS;
    for (; looks > 0 && count < capacity; looks--) {
        /* The map may have shrunk since. */
        size_t at = l->checkpoint_at < places ? l->checkpoint_at : 0;
        const struct idmap_slot *slot = &l->leases.slots[at];
        l->checkpoint_at = at + 1;
        if (slot->id && is_due(slot->value, now_ms)) {
            const struct lease *lease = slot->value;
            ret[count++] = (struct lease_remainder){
                lease->id, (int64_t)((lease->expiry_ms - now_ms) / 1000)};
        }
    }
    return count;
}
