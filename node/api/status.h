/*
 * The one table of error texts that clients see (they compare whole
 * strings). Positive numbers, so that they and ERR_* share an int: what the
 * checks here find is an API_*, what comes from below is an ERR_*.
 */
#ifndef API_STATUS_H
#define API_STATUS_H

#include "grpc/grpc.h"

#define API_ERROR_LIST(X)                                                      \
    X(KEY_EMPTY, INVALID_ARGUMENT, "etcdserver: key is not provided")          \
    X(KEY_NOT_FOUND, INVALID_ARGUMENT, "etcdserver: key not found")            \
    X(VALUE_PROVIDED, INVALID_ARGUMENT, "etcdserver: value is provided")       \
    X(LEASE_PROVIDED, INVALID_ARGUMENT, "etcdserver: lease is provided")       \
    X(TOO_MANY_OPS, INVALID_ARGUMENT,                                          \
      "etcdserver: too many operations in txn request")                        \
    X(DUPLICATE_KEY, INVALID_ARGUMENT,                                         \
      "etcdserver: duplicate key given in txn request")                        \
    X(BAD_API_VERSION, INVALID_ARGUMENT,                                       \
      "etcdserver: invalid client api version")                                \
    X(BAD_SORT, INVALID_ARGUMENT, "etcdserver: invalid sort option")           \
    X(REQUEST_TOO_LARGE, INVALID_ARGUMENT, "etcdserver: request is too large") \
    X(BAD_ALARM, INVALID_ARGUMENT, "etcdserver: invalid alarm request")        \
    X(COMPACTED, OUT_OF_RANGE,                                                 \
      "etcdserver: mvcc: required revision has been compacted")                \
    X(FUTURE, OUT_OF_RANGE,                                                    \
      "etcdserver: mvcc: required revision is a future revision")              \
    X(LEASE_TTL_TOO_LARGE, OUT_OF_RANGE, "etcdserver: too large lease TTL")    \
    X(NO_SPACE, RESOURCE_EXHAUSTED,                                            \
      "etcdserver: mvcc: database space exceeded")                             \
    X(RESPONSE_TOO_LARGE, RESOURCE_EXHAUSTED,                                  \
      "grpc: trying to send message larger than max")                          \
    X(LEASE_NOT_FOUND, NOT_FOUND, "etcdserver: requested lease not found")     \
    X(LEASE_EXISTS, FAILED_PRECONDITION, "etcdserver: lease already exists")   \
    X(NOT_LEADER, FAILED_PRECONDITION, "etcdserver: not leader")               \
    X(LEARNER, FAILED_PRECONDITION,                                            \
      "etcdserver: rpc not supported for learner")                             \
    X(BAD_TRANSFEREE, FAILED_PRECONDITION,                                     \
      "etcdserver: bad leader transferee")                                     \
    X(BAD_MEMBER_URLS, INVALID_ARGUMENT,                                       \
      "etcdserver: given member URLs are invalid")                             \
    X(MEMBER_NOT_FOUND, NOT_FOUND, "etcdserver: member not found")             \
    X(MEMBER_EXISTS, FAILED_PRECONDITION,                                      \
      "etcdserver: member ID already exist")                                   \
    X(PEER_URL_EXISTS, FAILED_PRECONDITION,                                    \
      "etcdserver: Peer URLs already exists")                                  \
    X(TOO_MANY_LEARNERS, FAILED_PRECONDITION,                                  \
      "etcdserver: too many learner members in cluster")                       \
    X(NOT_A_LEARNER, FAILED_PRECONDITION,                                      \
      "etcdserver: can only promote a learner member")                         \
    X(LEARNER_NOT_READY, FAILED_PRECONDITION,                                  \
      "etcdserver: can only promote a learner member which is in sync with "   \
      "leader")                                                                \
    X(TOO_MANY_MEMBERS, RESOURCE_EXHAUSTED,                                    \
      "etcdserver: too many members in cluster")                               \
    X(UNHEALTHY, UNAVAILABLE, "etcdserver: unhealthy cluster")                 \
    X(NOT_ENOUGH_STARTED, UNKNOWN,                                             \
      "etcdserver: re-configuration failed due to not enough started members") \
    X(NO_LEADER, UNAVAILABLE, "etcdserver: no leader")                         \
    X(LEADER_CHANGED, UNAVAILABLE, "etcdserver: leader changed")               \
    X(STOPPED, UNAVAILABLE, "etcdserver: server stopped")                      \
    X(TIMEOUT, UNAVAILABLE, "etcdserver: request timed out")                   \
    X(TIMEOUT_APPLY, UNAVAILABLE,                                              \
      "etcdserver: request timed out, waiting for the applied index took "     \
      "too long")                                                              \
    X(CORRUPT, DATA_LOSS, "etcdserver: corrupt cluster")                       \
    X(NO_LEADER_DEADLINE, DEADLINE_EXCEEDED, "context deadline exceeded")      \
    X(TOO_MANY_REQUESTS, UNKNOWN, "etcdserver: too many requests")             \
    X(DROPPED, UNKNOWN, "raft proposal dropped")                               \
    X(NOT_PRIMARY, UNKNOWN, "not a primary lessor")                            \
    X(UNKNOWN_SERVICE, NOT_FOUND, "unknown service")                           \
    X(UNSUPPORTED, UNIMPLEMENTED, "etcdserver: not supported")                 \
    X(DOWNGRADE_FORMAT, INVALID_ARGUMENT,                                      \
      "etcdserver: wrong downgrade target version format")                     \
    X(DOWNGRADE_TARGET, INVALID_ARGUMENT,                                      \
      "etcdserver: invalid downgrade target version")                          \
    X(DOWNGRADE_RUNS, FAILED_PRECONDITION,                                     \
      "etcdserver: cluster has a downgrade job in progress")                   \
    X(NO_CLUSTER_VERSION, FAILED_PRECONDITION,                                 \
      "etcdserver: cluster version not found during downgrade")                \
    X(UNKNOWN_METHOD, UNKNOWN, "etcdserver: unknown method")                   \
    X(SESSION_EXPIRED, UNKNOWN, "mutex: session is expired")                   \
    X(ELECTION_NO_LEADER, UNKNOWN, "election: no leader")                      \
    X(ELECTION_NOT_LEADER, UNKNOWN, "election: not leader")                    \
    X(LEADER_MISSING, UNKNOWN, "\"leader\" field must be provided")            \
    X(STREAM_SORT, UNIMPLEMENTED,                                              \
      "RangeStream does not support custom sort orders")                       \
    X(STREAM_FILTER, UNIMPLEMENTED,                                            \
      "RangeStream does not support revision filters")

enum api_error {
    API_OK,
#define API_ERROR_ENUM(name, code, text) API_##name,
    API_ERROR_LIST(API_ERROR_ENUM)
#undef API_ERROR_ENUM
        API_ERROR_COUNT,
};

/* What the client is told of an API_* or ERR_*. */
struct api_status {
    enum grpc_code code;
    const char *text;
};
struct api_status api_status_of(int err);

/* Finishes the call with it. */
void api_fail(struct grpc_call *call, int err);
/* The message was not protobuf. */
void api_fail_unmarshal(struct grpc_call *call);

#endif
