/*
 * Error codes of the node and the client: 0 is success, every failure is a
 * negative ERR_*. The list below is the only one; err_name() and err_text()
 * are made from it. Texts that API clients see do not stand here but in
 * api/status.h.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define ERR_LIST(X)                                         \
    X(NOMEM, 1, "out of memory")                            \
    X(INVALID, 2, "invalid argument")                       \
    X(TOO_LARGE, 3, "larger than its limit")                \
    X(CORRUPT, 4, "data is corrupt")                        \
    X(IO, 5, "input/output error")                          \
    X(NOT_FOUND, 6, "not found")                            \
    X(EXISTS, 7, "already exists")                          \
    X(AGAIN, 8, "not now, try again")                       \
    X(CLOSED, 9, "closed")                                  \
    X(TIMEOUT, 10, "timed out")                             \
    X(COMPACTED, 11, "revision has been compacted")         \
    X(FUTURE, 12, "revision is in the future")              \
    X(NO_LEADER, 13, "no leader")                           \
    X(NOT_LEADER, 14, "not the leader")                     \
    X(DROPPED, 15, "proposal dropped")                      \
    X(UNAVAILABLE, 16, "not available")                     \
    X(PROTOCOL, 17, "protocol error")                       \
    X(MISMATCH, 18, "belongs to another cluster or member") \
    X(NO_SPACE, 19, "no space left")                        \
    X(UNSUPPORTED, 20, "not supported")                     \
    X(REFUSED, 21, "refused")                               \
    X(CANCELED, 22, "canceled")                             \
    X(LEASE_NOT_FOUND, 23, "lease not found")               \
    X(KEY_NOT_FOUND, 24, "key not found")                   \
    X(LEADER_CHANGED, 25, "leader changed")                 \
    X(REMOVED, 26, "member has been removed")               \
    X(BUSY, 27, "in use by another process")

enum {
#define ERR_ENUM(name, number, text) ERR_##name = -(number),
    ERR_LIST(ERR_ENUM)
#undef ERR_ENUM
};

/* The constant's name without its prefix ("NOMEM"); "OK" for 0. */
const char *err_name(int err);

/* One lower-case phrase for logs and command lines. */
const char *err_text(int err);

#endif
