/* Alarms that the members raise by themselves, through the log. */
#include "proto/proto.h"
#include "state.h"

enum { ACTION_ACTIVATE = 1 };

bool api_alarm_is_raised(const struct api *a, uint64_t member, int32_t type)
{
    size_t count;
    const struct apply_alarm *alarms = apply_alarms(a->config.apply, &count);
    for (size_t i = 0; i < count; i++) {
        if (alarms[i].member_id == member && alarms[i].type == type) {
            return true;
        }
    }
    return false;
}

struct slice api_alarm_encode(uint64_t member, int32_t type, uint8_t *to)
{
    uint8_t *end = proto_u64(to, 1, ACTION_ACTIVATE);
    end = proto_u64(end, 2, member);
    end = proto_u64(end, 3, (uint64_t)type);
    return slice_of(to, (size_t)(end - to));
}

void api_raise_corrupt(struct api *a, uint64_t member)
{
    uint8_t message[API_ALARM_SIZE_MAX];
    if (!api_alarm_is_raised(a, member, PB__ALARM_TYPE__CORRUPT)) {
        api_propose_alone(
            a, API_ENTRY_ALARM,
            api_alarm_encode(member, PB__ALARM_TYPE__CORRUPT, message));
    }
}
