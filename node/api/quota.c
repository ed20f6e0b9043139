/* The quota is checked before anything else; what does not fit raises the
 * NOSPACE alarm through the log, for all members. */
#include "state.h"

static void alarm_done(struct replica_proposal *p, int err)
{
    container_of(p, struct api, nospace)->nospace_busy = false;
}

static void raise_alarm(struct api *a)
{
    uint8_t message[API_ALARM_SIZE_MAX];
    uint64_t self = a->config.member_id;
    if (a->nospace_busy ||
        api_alarm_is_raised(a, self, PB__ALARM_TYPE__NOSPACE)) {
        return;
    }
    a->nospace_busy = true;
    if (api_propose_own(
            a, &a->nospace, API_ENTRY_ALARM,
            api_alarm_encode(self, PB__ALARM_TYPE__NOSPACE, message),
            alarm_done)) {
        a->nospace_busy = false;
    }
}

uint64_t api_measure_store(struct api *a)
{
    struct kvdb_stats stats;
    kvdb_get_stats(a->db, &stats);
    uint64_t bytes = stats.file_bytes + mvcc_delta_bytes(a->mvcc);
    apply_set_store_bytes(a->config.apply, bytes);
    return bytes;
}

int api_check_quota(struct api *a, uint64_t cost)
{
    if (a->config.quota_bytes == 0 || cost == 0 ||
        api_measure_store(a) + cost < a->config.quota_bytes) {
        return 0;
    }
    raise_alarm(a);
    return API_NO_SPACE;
}
