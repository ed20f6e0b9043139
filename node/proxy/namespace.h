/*
 * A namespace: the clients' keys stand behind a prefix, of which they know
 * nothing. Pure: messages are rewritten as bytes, fields that are no keys
 * are copied as they are, known or not. In the order of fields: key ->
 * prefix + key; range_end: empty stays, "\0" (no end) -> the end of the
 * prefix's keys, else prefix + end. Answers the other way round.
 */
#ifndef PROXY_NAMESPACE_H
#define PROXY_NAMESPACE_H

#include "base/buf.h"

enum { NAME_SPACE_DEPTH_MAX = 512 }; /* of messages in messages */

struct name_space {
    struct slice prefix; /* empty: there is none */
    struct buf end;      /* of its keys; "\0": none is beyond them */
};

/* The prefix is borrowed for the namespace's life. */
void name_space_init(struct name_space *ns, struct slice prefix);
void name_space_release(struct name_space *ns);
static inline bool name_space_is_set(const struct name_space *ns)
{
    return ns->prefix.size > 0;
}

/* One key, one range_end, as the members know it, appended. */
int name_space_key(const struct name_space *ns, struct slice key,
                   struct buf *out);
int name_space_range_end(const struct name_space *ns, struct slice end,
                         struct buf *out);

enum name_space_message {
    /* requests: the prefix is added */
    NAME_SPACE_RANGE,
    NAME_SPACE_PUT,
    NAME_SPACE_DELETE,
    NAME_SPACE_TXN,
    /* answers: it is taken off */
    NAME_SPACE_RANGE_ANSWER,
    NAME_SPACE_RANGE_STREAM_ANSWER,
    NAME_SPACE_PUT_ANSWER,
    NAME_SPACE_DELETE_ANSWER,
    NAME_SPACE_TXN_ANSWER,
    NAME_SPACE_KEY_VALUE,  /* also of an event */
    NAME_SPACE_TTL_ANSWER, /* keys that are not below the prefix are left out */
};

/*
 * Appends the message as the other side knows it. ERR_INVALID: no protobuf,
 * or nested deeper than NAME_SPACE_DEPTH_MAX; ERR_KEY_NOT_FOUND: a request
 * without a key, which below a prefix would name the prefix itself;
 * ERR_TOO_LARGE past the buffer's maximum.
 */
int name_space_rewrite(const struct name_space *ns,
                       enum name_space_message what, struct slice message,
                       struct buf *out);

#endif
