#include "session.h"

#include <assert.h>

enum { TTL_S_MAX = 1000000000 }; /* of any lease, and no overflow in ms */

static void set_lease_time(struct session *s, int64_t ttl_s, uint64_t asked_ms)
{
    ttl_s = ttl_s < TTL_S_MAX ? ttl_s : TTL_S_MAX;
    s->ttl_ms = (uint64_t)ttl_s * 1000;
    s->expires_ms = asked_ms + s->ttl_ms;
}

/* The way back to the beginning. */
static void lose(struct session *s)
{
    s->is_lost = s->state == SESSION_HELD;
    s->state = SESSION_NONE;
    s->lease = 0;
    s->due_ms = s->granted_ms + SESSION_PAUSE_MS_MIN;
}

enum session_deed session_next(struct session *s, uint64_t now_ms)
{
    if (s->state != SESSION_NONE && now_ms >= s->expires_ms) {
        lose(s);
    }
    if (s->is_lost) {
        s->is_lost = false;
        return SESSION_LOST;
    }
    if (now_ms < s->due_ms) {
        return SESSION_WAIT;
    }
    return s->state == SESSION_NONE      ? SESSION_GRANT
           : s->state == SESSION_GRANTED ? SESSION_PUT
                                         : SESSION_RENEW;
}

uint64_t session_due_ms(const struct session *s)
{
    bool ends_first = s->state != SESSION_NONE && s->expires_ms < s->due_ms;
    return ends_first ? s->expires_ms : s->due_ms;
}

uint64_t session_ask_ms(const struct session *s)
{
    uint64_t ms = s->state == SESSION_NONE ? SESSION_ASK_MS_MAX : s->ttl_ms / 3;
    return ms < SESSION_ASK_MS_MIN   ? SESSION_ASK_MS_MIN
           : ms > SESSION_ASK_MS_MAX ? SESSION_ASK_MS_MAX
                                     : ms;
}

void session_granted(struct session *s, int64_t lease, int64_t ttl_s,
                     uint64_t asked_ms)
{
    assert(s->state == SESSION_NONE);
    s->granted_ms = asked_ms;
    if (lease == 0 || ttl_s <= 0) {
        session_failed(s, false, asked_ms);
        return;
    }
    s->state = SESSION_GRANTED;
    s->lease = lease;
    s->due_ms = asked_ms;
    set_lease_time(s, ttl_s, asked_ms);
}

void session_put_done(struct session *s)
{
    assert(s->state == SESSION_GRANTED);
    s->state = SESSION_HELD;
    s->pause_ms = 0;
    s->due_ms = s->expires_ms - s->ttl_ms + s->ttl_ms / 3;
}

void session_renewed(struct session *s, int64_t ttl_s, uint64_t asked_ms)
{
    assert(s->state == SESSION_HELD);
    if (ttl_s <= 0) {
        lose(s);
        return;
    }
    set_lease_time(s, ttl_s, asked_ms);
    s->due_ms = asked_ms + s->ttl_ms / 3;
}

void session_failed(struct session *s, bool is_gone, uint64_t now_ms)
{
    if (s->state == SESSION_HELD) {
        s->due_ms = now_ms + SESSION_RENEW_PAUSE_MS;
    } else {
        s->pause_ms = s->pause_ms ? 2 * s->pause_ms : SESSION_PAUSE_MS_MIN;
        if (s->pause_ms > SESSION_PAUSE_MS_MAX) {
            s->pause_ms = SESSION_PAUSE_MS_MAX;
        }
        s->due_ms = now_ms + s->pause_ms;
    }
    if (is_gone && s->state != SESSION_NONE) {
        uint64_t due_ms = s->due_ms;
        lose(s);
        s->due_ms = s->due_ms > due_ms ? s->due_ms : due_ms;
    }
}
