/*
 * Frames of a websocket, the server's side (RFC 6455, section 5). Pure: bytes
 * in, messages out. Text is not checked for UTF-8: what it is to be is JSON,
 * and its parser judges.
 */
#ifndef ADMIN_FRAME_H
#define ADMIN_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum frame_kind {
    FRAME_NONE, /* the rest of it has not come */
    FRAME_MESSAGE,
    FRAME_CLOSE,
    FRAME_PING,
    FRAME_PONG,
};

/* Section 5.2 and 7.4.1. */
enum {
    FRAME_OPCODE_TEXT = 1,
    FRAME_OPCODE_CLOSE = 8,
    FRAME_OPCODE_PONG = 10,
    FRAME_CLOSE_NORMAL = 1000,
    FRAME_CLOSE_PROTOCOL = 1002,
    FRAME_CLOSE_TOO_LARGE = 1009,
    FRAME_HEAD_MAX = 14,
    FRAME_CONTROL_MAX = 125, /* bytes of a control frame */
    FRAME_ACCEPT_SIZE = 29,  /* of the handshake's answer, with its end */
};

struct frame_decoder {
    uint8_t head[FRAME_HEAD_MAX];
    uint8_t head_size; /* of it came */
    bool in_payload;
    bool in_message; /* a fragment came, the last did not */
    bool is_told;    /* `message` was given out */
    uint64_t left;   /* of the payload */
    uint32_t at;     /* in the mask */
    struct buf message;
    struct buf control;
};

/* `message_bytes_max` is the limit of all fragments together. */
void frame_decoder_init(struct frame_decoder *d, size_t message_bytes_max);
void frame_decoder_release(struct frame_decoder *d);

/* Takes bytes until a message or a control frame is whole; call again while
 * there are any. The payload is borrowed until the next call. ERR_PROTOCOL,
 * ERR_TOO_LARGE: nothing may follow. */
int frame_decode(struct frame_decoder *d, struct slice *bytes,
                 enum frame_kind *ret_kind, struct slice *ret_payload);

/* Appends a whole frame. */
void frame_encode(struct buf *out, uint8_t opcode, struct slice payload);

/* Sec-WebSocket-Accept for a key (section 4.2.2); ERR_INVALID for what is not
 * 16 bytes in base64. */
int frame_accept(const char *key, char ret_accept[FRAME_ACCEPT_SIZE]);

#endif
