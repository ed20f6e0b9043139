/*
 * Mistakes put in on purpose, which the simulator must find (make
 * sim-bugs): a checker that finds nothing proves nothing. In every product
 * build HAS_BUG() is the constant 0 and leaves no code.
 */
#ifndef BASE_BUG_H
#define BASE_BUG_H

#include <stdbool.h>

/* clang-format off */
#define BUG_LIST(X)                                                       \
    X(VOTE_TWICE) /* votes again in a term it voted in */                 \
    X(VOTE_FORGOTTEN) /* whom it voted for is not written */              \
    X(VOTE_FOR_OLDER) /* votes for a log that lacks what its own has */   \
    X(OLD_TERM) /* commits an older term's entry by count */              \
    X(EARLY_ACK) /* counts what is not durable yet */                     \
    X(KEEP_CONFLICT) /* keeps entries that the leader replaced */         \
    X(APPEND_UNMATCHED) /* appends behind another entry than meant */     \
    X(CONF_TWO) /* two conf changes under way */                          \
    X(LEARNER_COUNTS) /* learners count for the commit */                 \
    X(READ_ALONE) /* answers reads without asking the others */           \
    X(READ_BEFORE_TERM) /* before an entry of its term committed */       \
    X(READ_UNAPPLIED) /* serves before it has applied so far */           \
    X(IMAGE_OVER_NEWER) /* takes an image older than its state */         \
    X(IMAGE_OLD_CONF) /* sends an image with an older conf */             \
    X(INSTALL_UNRECORDED) /* the log does not say that it begins anew */  \
    X(STOP_PROMISES) /* a stop writes a commit index past the log */      \
    X(LOG_RELEASED_EARLY) /* before the store has it */                   \
    X(NO_SYNC) /* writes and does not sync */                             \
    X(TORN_TAKEN) /* replays a torn frame */                              \
    X(FLUSH_AHEAD) /* the store says it has one more entry */             \
    X(WATCH_GAP) /* watchers pass over what an image brought */           \
    X(LEASE_KEYS_LOST) /* a restart forgets which keys leases have */     \
    X(LEASE_KEEPS_KEY) /* a key that moved is still the old lease's */
/* clang-format on */

enum bug {
    BUG_NONE,
#define BUG_ENUM(name) BUG_##name,
    BUG_LIST(BUG_ENUM)
#undef BUG_ENUM
};

#ifdef COFRE_BUGS
extern enum bug bug_is;
#define HAS_BUG(name) (bug_is == BUG_##name)
#else
#define HAS_BUG(name) 0
#endif

/* From 1 on; NULL after the last one of this build. */
const char *bug_name(int number);
/* False: there is none of that name in this build. */
bool bug_set(const char *name);

#endif
