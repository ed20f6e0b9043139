/* The quota is checked before anything else; what does not fit raises the
 * NOSPACE alarm through the log, for all members. */
#include "proto/proto.h"
#include "state.h"

enum { ENTRY_ALARM = 10, ACTION_ACTIVATE = 1 };

static void alarm_done(struct replica_proposal *p, int err)
{
    container_of(p, struct api, nospace)->nospace_busy = false;
}

static bool already_raised(const struct api *a)
{
    size_t count;
    const struct apply_alarm *alarms = apply_alarms(a->config.apply, &count);
    for (size_t i = 0; i < count; i++) {
        if (alarms[i].member_id == a->config.member_id &&
            alarms[i].type == PB__ALARM_TYPE__NOSPACE) {
            return true;
        }
    }
    return false;
}

static void raise_alarm(struct api *a)
{
    if (a->nospace_busy || already_raised(a)) {
        return;
    }
    uint8_t message[3 * (1 + PROTO_VARINT_MAX)];
    uint8_t *end = proto_u64(message, 1, ACTION_ACTIVATE);
    end = proto_u64(end, 2, a->config.member_id);
    end = proto_u64(end, 3, PB__ALARM_TYPE__NOSPACE);
    a->nospace_busy = true;
    if (api_propose_own(a, &a->nospace, ENTRY_ALARM,
                        slice_of(message, (size_t)(end - message)),
                        alarm_done)) {
        a->nospace_busy = false;
    }
}

int api_check_quota(struct api *a, uint64_t cost)
{
    if (a->config.quota_bytes == 0 || cost == 0) {
        return 0;
    }
    uint64_t bytes = a->store_bytes + mvcc_delta_bytes(a->mvcc);
    if (bytes + cost < a->config.quota_bytes) {
        return 0;
    }
    raise_alarm(a);
    return API_NO_SPACE;
}
