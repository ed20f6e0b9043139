/*
 * Cuts a stream's bytes into messages:
 *   | compressed 1 | length 4, big endian | message |
 * A message that lies whole in the bytes given is not copied.
 */
#ifndef GRPC_READER_H
#define GRPC_READER_H

#include "base/buf.h"

struct grpc_reader {
    struct buf body; /* a message in pieces */
    uint32_t length;
    uint8_t prefix[5];
    uint8_t prefix_size;
    bool is_in_body;
};

/* Takes from the front of `data`. 1: a message, borrowed from `data` or
 * from the reader's body until the next call; 0: all taken, none complete;
 * ERR_TOO_LARGE: announced with more than `max` (`length` says how many).
 */
int grpc_reader_next(struct grpc_reader *r, struct slice *data, uint32_t max,
                     uint8_t *ret_flag, struct slice *ret_message);
/* Some, but not all bytes of a message's body are here. */
static inline bool grpc_reader_is_cut(const struct grpc_reader *r)
{
    return r->is_in_body;
}

#endif
