/*
 * JSON in and protobuf out, and back, by protobuf-c's descriptors: the
 * mapping of proto3 with proto names out and both spellings in, as the JSON
 * gateway speaks it. Pure: bytes to bytes, no message structs in between. (The
 * prefix json_ is jansson's.)
 *
 * Not on the way of a Put; on that of a PUT by curl: HTTP body ->
 * pbjson_scan() -> pbjson_to_proto() -> the bytes of a gRPC message, and the
 * answer's bytes -> pbjson_from_proto() -> HTTP body. Any thread.
 */
#ifndef PBJSON_PBJSON_H
#define PBJSON_PBJSON_H

#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"

enum {
    PBJSON_NESTING_MAX = 10000, /* brackets open at a time */
    PBJSON_MESSAGES_MAX = 512,  /* messages inside messages */
};

/*
 * Finds the first JSON value of a stream of them. 1: it is `*ret_value`,
 * borrowed from `text`, and `*ret_next` bytes of `text` are done with it. 0:
 * it is not complete; at the end of the stream (`is_end`) that means there
 * was nothing but blanks. ERR_INVALID: no JSON, or cut off at the end; one
 * line in `why`.
 */
int pbjson_scan(struct slice text, bool is_end, struct slice *ret_value,
                size_t *ret_next, struct buf *why);

/*
 * Appends the wire form of the message that `value` (one JSON value, blanks
 * around it allowed) describes. ERR_INVALID: one line in `why`, with the
 * place; ERR_TOO_LARGE: more than `out` may hold. What was appended before
 * a failure stays.
 */
int pbjson_to_proto(const ProtobufCMessageDescriptor *d, struct slice value,
                    struct buf *out, struct buf *why);

/*
 * Appends the JSON of a message's wire form, whose fields stand in ascending
 * order, as every canonical encoder writes them. Unknown fields are left
 * out. ERR_INVALID: not such bytes; ERR_TOO_LARGE.
 */
int pbjson_from_proto(const ProtobufCMessageDescriptor *d, struct slice message,
                      struct buf *out);

#endif
