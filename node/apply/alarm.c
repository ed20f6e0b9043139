/*
 * Alarms: raised and lowered through the log, kept as rows whose key is the
 * AlarmMember message itself (the snapshot's bucket is the same). NOSPACE
 * refuses what would grow the store, CORRUPT all changes.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "state.h"

enum { GET, ACTIVATE, DEACTIVATE };

static int decode(struct slice message, uint64_t ret_numbers[4])
{
    struct proto_field f;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.wire == PROTO_VARINT && f.number < 4) {
            ret_numbers[f.number] = f.value;
        }
    }
    return more;
}

static struct slice encode(const struct apply_alarm *alarm, uint8_t *to)
{
    uint8_t *end = proto_u64(to, 1, alarm->member_id);
    end = proto_u64(end, 2, (uint64_t)(int64_t)alarm->type);
    return slice_of(to, (size_t)(end - to));
}

static void count_types(struct apply *a)
{
    a->nospace_count = a->corrupt_count = 0;
    for (size_t i = 0; i < a->alarm_count; i++) {
        a->nospace_count += a->alarms[i].type == PB__ALARM_TYPE__NOSPACE;
        a->corrupt_count += a->alarms[i].type == PB__ALARM_TYPE__CORRUPT;
    }
}

static void add(struct apply *a, struct apply_alarm alarm)
{
    a->alarms =
        mem_realloc(a->alarms, (a->alarm_count + 1) * sizeof *a->alarms);
    a->alarms[a->alarm_count++] = alarm;
    count_types(a);
}

static int load_row(void *ctx, struct slice key, struct slice value)
{
    uint64_t numbers[4] = {0};
    if (decode(key, numbers)) {
        return ERR_CORRUPT;
    }
    add(ctx, (struct apply_alarm){numbers[1], (int32_t)numbers[2]});
    return 0;
}

int apply_alarms_load(struct apply *a)
{
    free(a->alarms);
    a->alarms = NULL;
    a->alarm_count = 0;
    count_types(a);
    return a->db ? kvdb_each(a->db, KVDB_ALARM, load_row, a) : 0;
}

static struct apply_alarm *find(struct apply *a, struct apply_alarm want)
{
    for (size_t i = 0; i < a->alarm_count; i++) {
        if (a->alarms[i].member_id == want.member_id &&
            a->alarms[i].type == want.type) {
            return &a->alarms[i];
        }
    }
    return NULL;
}

static int answer(struct apply_out *out, const struct apply_alarm *alarm)
{
    uint8_t bytes[4 * PROTO_VARINT_MAX];
    return proto_add_message(&out->body, 2, encode(alarm, bytes));
}

static int activate(struct apply *a, struct apply_alarm alarm,
                    struct apply_out *out)
{
    if (alarm.type == PB__ALARM_TYPE__NONE) {
        return 0;
    }
    if (!find(a, alarm)) {
        uint8_t key[4 * PROTO_VARINT_MAX];
        if (a->db) {
            kvdb_stage_put(a->db, KVDB_ALARM, encode(&alarm, key),
                           (struct slice){NULL, 0});
        }
        add(a, alarm);
    }
    return answer(out, &alarm);
}

static int deactivate(struct apply *a, struct apply_alarm alarm,
                      struct apply_out *out)
{
    struct apply_alarm *found = find(a, alarm);
    if (!found) {
        return 0;
    }
    uint8_t key[4 * PROTO_VARINT_MAX];
    if (a->db) {
        kvdb_stage_del(a->db, KVDB_ALARM, encode(&alarm, key));
    }
    *found = a->alarms[--a->alarm_count];
    count_types(a);
    return answer(out, &alarm);
}

int apply_alarm(struct apply *a, struct slice message, struct apply_out *out)
{
    uint64_t numbers[4] = {0}; /* action = 1, memberID = 2, alarm = 3 */
    if (decode(message, numbers)) {
        return ERR_CORRUPT;
    }
    struct apply_alarm alarm = {numbers[2], (int32_t)numbers[3]};
    int err = 0;
    switch (numbers[1]) {
    case GET:
        for (size_t i = 0; i < a->alarm_count && err == 0; i++) {
            if (alarm.type == PB__ALARM_TYPE__NONE ||
                alarm.type == a->alarms[i].type) {
                err = answer(out, &a->alarms[i]);
            }
        }
        return err;
    case ACTIVATE:
        return activate(a, alarm, out);
    case DEACTIVATE:
        return deactivate(a, alarm, out);
    default:
        out->err = ERR_UNSUPPORTED;
        return 0;
    }
}

const struct apply_alarm *apply_alarms(const struct apply *a, size_t *ret_count)
{
    *ret_count = a->alarm_count;
    return a->alarms;
}

bool apply_alarm_active(const struct apply *a, int32_t type)
{
    for (size_t i = 0; i < a->alarm_count; i++) {
        if (a->alarms[i].type == type) {
            return true;
        }
    }
    return false;
}
