/* raftpb by hand: the pieces that the stream frames share with POST. */
#ifndef PEER_CODEC_H
#define PEER_CODEC_H

#include "base/slice.h"
#include "raft/raft.h"

enum {
    /* Memory that one message may ask for on decoding, whatever it says of
     * itself. Raft sends at most 1 MiB of entries or one entry; etcd's own
     * limit on a stream, 512 MiB, is not a promise to hold it. */
    PEER_MESSAGE_BYTES_MAX = 64 << 20,
    /* An entry costs at least 4 bytes of Raft's 1 MiB a message. */
    PEER_ENTRIES_MAX = 1 << 18,
};

/* Bytes that peer_put_message() writes. */
size_t peer_message_size(const struct raft_message *m);
/* Returns the byte behind the last one written. */
uint8_t *peer_put_message(const struct raft_message *m, uint8_t *at);

size_t peer_entry_size(const struct raft_entry *e);
uint8_t *peer_put_entry(const struct raft_entry *e, uint8_t *at);
/* ERR_PROTOCOL. The entry's data is a fresh reference. */
int peer_decode_entry(struct slice bytes, struct raft_entry *ret);

/* Puts `e` behind the entries of `m`, taking over its data; `capacity` is
 * that of the array. ERR_TOO_LARGE past PEER_ENTRIES_MAX; then the data is
 * dropped. */
int peer_add_entry(struct raft_message *m, uint32_t *capacity,
                   const struct raft_entry *e);

#endif
