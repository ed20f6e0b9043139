/*
 * A key under a lease that is kept alive, and put anew when the lease is
 * lost. Pure: says what to do next, is told what came of it and when.
 *
 *            granted            put done
 *     NONE ----------> GRANTED ----------> HELD --+
 *      ^                  |                 |  ^  | renewed
 *      +------------------+-----------------+  +--+
 *        lease expired, or a member knows it no more
 *
 * One deed at a time. A deed that failed is tried again after a pause: that
 * of a grant or a put doubles from SESSION_PAUSE_MS_MIN to _MAX; that of a
 * renewal stays short, since the lease's end bounds it. Between two grants
 * there is at least SESSION_PAUSE_MS_MIN. The lease is counted from when a
 * grant or renewal was asked for: it cannot end earlier than we believe.
 */
#ifndef PROXY_SESSION_H
#define PROXY_SESSION_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SESSION_PAUSE_MS_MIN = 1000,
    SESSION_PAUSE_MS_MAX = 10000,
    SESSION_RENEW_PAUSE_MS = 500,
    SESSION_ASK_MS_MIN = 1000, /* for an answer */
    SESSION_ASK_MS_MAX = 5000,
};

enum session_state { SESSION_NONE, SESSION_GRANTED, SESSION_HELD };

enum session_deed {
    SESSION_WAIT,  /* until session_due_ms() */
    SESSION_GRANT, /* ask for a lease: session_granted() or _failed() */
    SESSION_PUT,   /* put the key under it: session_put_done() or _failed() */
    SESSION_RENEW, /* session_renewed() or _failed() */
    SESSION_LOST,  /* told once: the key may be gone; ask again at once */
};

struct session { /* embedded by the caller, zeroed; read-only for it */
    enum session_state state;
    int64_t lease;       /* 0: none */
    uint64_t ttl_ms;     /* as granted or renewed last */
    uint64_t granted_ms; /* when the lease was asked for; has_asked */
    uint64_t expires_ms;
    uint64_t due_ms;   /* of the next deed */
    uint64_t pause_ms; /* after the next failure; 0: the least */
    bool is_lost;      /* and not told yet */
};

/* What to do at `now_ms`. */
enum session_deed session_next(struct session *s, uint64_t now_ms);
/* When to ask again what to do. */
uint64_t session_due_ms(const struct session *s);
/* How long an answer to the deed may be waited for, in ms. */
uint64_t session_ask_ms(const struct session *s);

/* `asked_ms`: when the deed began; `ttl_s` from the answer. A lease that is
 * none (id 0, no time) counts as a failure. */
void session_granted(struct session *s, int64_t lease, int64_t ttl_s,
                     uint64_t asked_ms);
void session_put_done(struct session *s);
/* ttl_s <= 0: the member does not know the lease. */
void session_renewed(struct session *s, int64_t ttl_s, uint64_t asked_ms);
/* `is_gone`: there is no such lease. */
void session_failed(struct session *s, bool is_gone, uint64_t now_ms);

#endif
