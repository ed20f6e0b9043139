/*
 * The frames inside a stream's body, pure: messages to bytes and back.
 * Integers are big-endian.
 *
 *   message:  u64 length, raftpb.Message. Link heartbeat: a MSG_HEARTBEAT
 *             without from and to.
 *   msgapp:   0                                  link heartbeat
 *             1, u64 n, n x (u64 length, Entry), u64 commit
 *                                                a MSG_APP that goes on
 *                                                where the last one ended
 *             2, u64 length, Message             any other MSG_APP
 *
 * Both ends of a msgapp stream keep where the last one ended (term, index),
 * 0/0 when the stream is new.
 */
#ifndef PEER_FRAME_H
#define PEER_FRAME_H

#include "base/buf.h"
#include "peer/codec.h"

enum peer_kind { PEER_MSGAPP, PEER_MESSAGE, PEER_KINDS };

struct peer_frame_writer {
    enum peer_kind kind;
    uint64_t term;
    uint64_t index;
};

/* An upper bound of the bytes that peer_frame_write() appends. */
size_t peer_frame_size_max(const struct raft_message *m);
void peer_frame_write(struct peer_frame_writer *w, const struct raft_message *m,
                      struct buf *out);
void peer_frame_write_heartbeat(const struct peer_frame_writer *w,
                                struct buf *out);

enum peer_frame_state {
    FRAME_TYPE, /* msgapp only */
    FRAME_LENGTH,
    FRAME_MESSAGE,
    FRAME_COUNT,
    FRAME_ENTRY_LENGTH,
    FRAME_ENTRY,
    FRAME_COMMIT,
};

struct peer_frame_reader {
    enum peer_kind kind;
    enum peer_frame_state state;
    uint64_t self;
    uint64_t from;
    uint64_t term;
    uint64_t index;
    size_t need;             /* bytes of the item that `state` waits for */
    struct buf held;         /* its beginning, when it came in pieces */
    struct raft_message app; /* of a frame of type 1, growing */
    uint32_t app_capacity;
    uint64_t app_left;  /* entries to come */
    uint64_t app_bytes; /* of those that came */
    /* Takes over the contents; not 0: stop, the stream is being closed. */
    int (*message)(void *ctx, struct raft_message *m);
    void *ctx;
};

/* `from` is who sends, `self` who reads: msgapp frames of type 1 leave
 * both out. */
void peer_frame_reader_init(struct peer_frame_reader *r, enum peer_kind kind,
                            uint64_t from, uint64_t self,
                            int (*message)(void *ctx, struct raft_message *m),
                            void *ctx);
void peer_frame_reader_release(struct peer_frame_reader *r);
/* Takes all of `bytes`. ERR_PROTOCOL, ERR_TOO_LARGE, or what `message`
 * returned; the stream is of no use then. */
int peer_frame_read(struct peer_frame_reader *r, struct slice bytes);
/* True between two frames: an end here loses nothing. */
bool peer_frame_reader_at_rest(const struct peer_frame_reader *r);

#endif
