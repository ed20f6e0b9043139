/* --auto-compaction-mode and -retention. A plain number means hours or
 * revisions, anything else is a duration, taken in either mode: as a number
 * of revisions it is its nanoseconds. */
#include <ctype.h>

#include "base/err.h"
#include "base/text.h"
#include "config.h"

#define HOUR_NS INT64_C(3600000000000)

enum { MS_NS = 1000000 };

static int bad(const char *text, const char *what, struct buf *why)
{
    buf_printf(why, "error parsing CompactionRetention: time: %s \"%s\"", what,
               text);
    return ERR_INVALID;
}

/* "5", "-1.5": a number, and what it counts is missing. */
static bool is_unitless(const char *text)
{
    text += *text == '-' || *text == '+';
    bool digits = false;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text) && *text != '.') {
            return false;
        }
        digits = digits || *text != '.';
    }
    return digits;
}

static int parse(const char *text, bool periodic, int64_t *ret_ns,
                 struct buf *why)
{
    int64_t number;
    if (text_parse_i64(text, 10, &number) == 0 && number >= 0) {
        if (!periodic) {
            *ret_ns = number;
            return 0;
        }
        return __builtin_mul_overflow(number, HOUR_NS, ret_ns)
                   ? bad(text, "invalid duration", why)
                   : 0;
    }
    if (is_unitless(text)) {
        return bad(text, "missing unit in duration", why);
    }
    if (text_parse_duration(text, &number) || number < 0) {
        return bad(text, "invalid duration", why);
    }
    *ret_ns = number;
    return 0;
}

int config_compaction(struct config *c, struct buf *why)
{
    const char *mode = c->auto_compaction_mode;
    bool periodic = strcmp(mode, "periodic") == 0;
    if (mode[0] == '\0') {
        buf_append_str(why, "undefined auto-compaction-mode");
        return ERR_INVALID;
    }
    if (!periodic && strcmp(mode, "revision") != 0) {
        buf_printf(why, "unknown auto-compaction-mode \"%s\"", mode);
        return ERR_INVALID;
    }
    int64_t value;
    int err = parse(c->auto_compaction_retention, periodic, &value, why);
    if (err) {
        return err;
    }
    c->compact_period_ms = periodic ? ((uint64_t)value + MS_NS - 1) / MS_NS : 0;
    c->compact_revisions = periodic ? 0 : value;
    return 0;
}
