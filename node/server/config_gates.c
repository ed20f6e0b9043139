/*
 * --feature-gates=A=true,B=false: what each switches here. Some have nothing
 * to switch, since what they improve is not done that way in cofre.
 */
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "config.h"

enum stage { ALPHA, BETA };
enum use {
    WORKS,
    NOTHING_TO_SWITCH,
    NOT_BUILT,
};

static const struct {
    const char *name;
    uint32_t bit;
    enum stage stage;
    enum use use;
} gates[] = {
    /* Defragment goes on beside everything else. */
    {"StopGRPCServiceOnDefrag", 1 << 0, ALPHA, NOTHING_TO_SWITCH},
    {"InitialCorruptCheck", GATE_INITIAL_CORRUPT_CHECK, ALPHA, WORKS},
    {"CompactHashCheck", GATE_COMPACT_HASH_CHECK, ALPHA, WORKS},
    {"TxnModeWriteWithSharedBuffer", 1 << 3, BETA, NOTHING_TO_SWITCH},
    {"LeaseCheckpoint", GATE_LEASE_CHECKPOINT, ALPHA, WORKS},
    /* A checkpoint that was applied is always kept. */
    {"LeaseCheckpointPersist", GATE_LEASE_CHECKPOINT_PERSIST, ALPHA, WORKS},
    {"SetMemberLocalAddr", 1 << 6, ALPHA, NOT_BUILT},
    {"FastLeaseKeepAlive", 1 << 7, BETA, NOTHING_TO_SWITCH},
    {"PriorityRequest", 1 << 8, ALPHA, NOTHING_TO_SWITCH},
};
enum { GATE_COUNT = sizeof gates / sizeof *gates };

static uint32_t bits_of_stage(enum stage stage)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < GATE_COUNT; i++) {
        bits |= gates[i].stage == stage ? gates[i].bit : 0;
    }
    return bits;
}

static int find(struct slice name, uint32_t *ret_bits, bool *ret_is_stage)
{
    *ret_is_stage = true;
    if (slice_eq_str(name, "AllAlpha")) {
        *ret_bits = bits_of_stage(ALPHA);
        return 0;
    }
    if (slice_eq_str(name, "AllBeta")) {
        *ret_bits = bits_of_stage(BETA);
        return 0;
    }
    *ret_is_stage = false;
    for (size_t i = 0; i < GATE_COUNT; i++) {
        if (slice_eq_str(name, gates[i].name)) {
            *ret_bits = gates[i].bit;
            return 0;
        }
    }
    return ERR_NOT_FOUND;
}

static struct slice trim(const char *from, const char *to)
{
    while (from < to && *from == ' ') {
        from++;
    }
    while (from < to && to[-1] == ' ') {
        to--;
    }
    return slice_of(from, (size_t)(to - from));
}

/* What a word of the list sets; a stage only where no gate of it is named. */
struct settings {
    uint32_t named, on;
    uint32_t stage_named, stage_on;
};

static int set_one(struct settings *s, const char *from, const char *to,
                   struct buf *why)
{
    const char *eq = memchr(from, '=', (size_t)(to - from));
    struct slice name = trim(from, eq ? eq : to);
    struct slice word = eq ? trim(eq + 1, to) : slice_of("", 0);
    uint32_t bits;
    bool on, is_stage;
    if (eq == NULL) {
        buf_printf(why, "missing bool value for %.*s", (int)name.size,
                   (const char *)name.data);
        return ERR_INVALID;
    }
    if (flag_parse_bool(word, &on)) {
        buf_printf(why,
                   "invalid value of %.*s=%.*s, err: strconv.ParseBool: "
                   "parsing \"%.*s\": invalid syntax",
                   (int)name.size, (const char *)name.data, (int)word.size,
                   (const char *)word.data, (int)word.size,
                   (const char *)word.data);
        return ERR_INVALID;
    }
    if (find(name, &bits, &is_stage)) {
        buf_printf(why, "unrecognized feature gate: %.*s", (int)name.size,
                   (const char *)name.data);
        return ERR_INVALID;
    }
    uint32_t *named = is_stage ? &s->stage_named : &s->named;
    uint32_t *set = is_stage ? &s->stage_on : &s->on;
    *named |= bits;
    *set = on ? *set | bits : *set & ~bits;
    return 0;
}

int config_gates_parse(const char *text, uint32_t *ret_gates, struct buf *why)
{
    struct settings s = {0};
    while (*text) {
        const char *end = strchrnul(text, ',');
        struct slice word = trim(text, end);
        if (word.size) {
            int err = set_one(&s, text, end, why);
            if (err) {
                return err;
            }
        }
        text = *end ? end + 1 : end;
    }
    *ret_gates = s.on | (s.stage_on & ~s.named);
    return 0;
}

int config_gates_verify(const struct config *c, struct buf *why)
{
    bool keeps = c->gates & GATE_LEASE_CHECKPOINT_PERSIST;
    bool checkpoints = c->gates & GATE_LEASE_CHECKPOINT;
    if (keeps && !checkpoints) {
        buf_append_str(why, "enabling feature gate LeaseCheckpointPersist "
                            "requires enabling feature gate LeaseCheckpoint");
        return ERR_INVALID;
    }
    if (checkpoints && !keeps) {
        log_warn("the feature gate LeaseCheckpoint keeps checkpoints across "
                 "restarts here, LeaseCheckpointPersist or not");
    }
    for (size_t i = 0; i < GATE_COUNT; i++) {
        if ((c->gates & gates[i].bit) && gates[i].use == NOT_BUILT) {
            buf_printf(why,
                       "the feature gate %s is not built into this version "
                       "of cofre yet; remove it",
                       gates[i].name);
            return ERR_UNSUPPORTED;
        }
    }
    return 0;
}
