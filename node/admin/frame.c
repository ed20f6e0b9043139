#include "frame.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/endian.h"
#include "base/err.h"

enum {
    FIN = 0x80,
    RESERVED = 0x70,
    OPCODE = 0x0f,
    OPCODE_CONTINUATION = 0,
    OPCODE_BINARY = 2,
    OPCODE_PING = 9,
    CONTROL = 0x08,
    MASKED = 0x80,
    SIZE = 0x7f,
    SIZE_16 = 126,
    SIZE_64 = 127,
    MASK_SIZE = 4,
    KEY_TEXT_SIZE = 24,
    KEY_PADDED = 18, /* bytes of the key's base64, with two of padding */
    SHA1_SIZE = 20,
};

void frame_decoder_init(struct frame_decoder *d, size_t message_bytes_max)
{
    memset(d, 0, sizeof *d);
    buf_init(&d->message, message_bytes_max);
    buf_init(&d->control, FRAME_CONTROL_MAX);
}

void frame_decoder_release(struct frame_decoder *d)
{
    buf_release(&d->message);
    buf_release(&d->control);
}

static uint8_t opcode_of(const struct frame_decoder *d)
{
    return d->head[0] & OPCODE;
}

static bool is_control(const struct frame_decoder *d)
{
    return opcode_of(d) & CONTROL;
}

/* Of the whole head, as far as it is known. */
static uint8_t head_wanted(const struct frame_decoder *d)
{
    if (d->head_size < 2) {
        return 2;
    }
    uint8_t size = d->head[1] & SIZE;
    uint8_t more = size == SIZE_16 ? 2 : size == SIZE_64 ? 8 : 0;
    return (uint8_t)(2 + more + MASK_SIZE);
}

static uint64_t payload_size(const struct frame_decoder *d)
{
    uint8_t size = d->head[1] & SIZE;
    return size == SIZE_16   ? get_be16(d->head + 2)
           : size == SIZE_64 ? get_be64(d->head + 2)
                             : size;
}

/* The first two bytes: what a client may send (5.1, 5.2, 5.4, 5.5). */
static bool is_allowed(const struct frame_decoder *d)
{
    if ((d->head[0] & RESERVED) || !(d->head[1] & MASKED)) {
        return false;
    }
    switch (opcode_of(d)) {
    case OPCODE_CONTINUATION:
        return d->in_message;
    case FRAME_OPCODE_TEXT:
    case OPCODE_BINARY:
        return !d->in_message;
    case FRAME_OPCODE_CLOSE:
    case OPCODE_PING:
    case FRAME_OPCODE_PONG:
        return (d->head[0] & FIN) && (d->head[1] & SIZE) <= FRAME_CONTROL_MAX;
    default:
        return false;
    }
}

/* 0 when the head is whole and good, ERR_AGAIN when more of it is needed. */
static int take_head(struct frame_decoder *d, struct slice *bytes)
{
    while (d->head_size < head_wanted(d)) {
        if (bytes->size == 0) {
            return ERR_AGAIN;
        }
        d->head[d->head_size++] = bytes->data[0];
        *bytes = slice_from(*bytes, 1);
        if (d->head_size == 2 && !is_allowed(d)) {
            return ERR_PROTOCOL;
        }
    }
    d->left = payload_size(d);
    d->at = 0;
    d->in_payload = true;
    if (is_control(d)) {
        d->control.size = 0;
    } else if (d->left > d->message.max - d->message.size) {
        return ERR_TOO_LARGE;
    }
    return 0;
}

static void take_payload(struct frame_decoder *d, struct slice *bytes)
{
    struct buf *to = is_control(d) ? &d->control : &d->message;
    const uint8_t *mask = d->head + d->head_size - MASK_SIZE;
    size_t n = bytes->size < d->left ? bytes->size : (size_t)d->left;
    buf_append(to, bytes->data, n);
    for (size_t i = to->size - n; i < to->size; i++) {
        to->data[i] ^= mask[d->at++ % MASK_SIZE];
    }
    d->left -= n;
    *bytes = slice_from(*bytes, n);
}

static enum frame_kind finish(struct frame_decoder *d,
                              struct slice *ret_payload)
{
    bool is_last = d->head[0] & FIN;
    d->head_size = 0;
    d->in_payload = false;
    switch (opcode_of(d)) {
    case FRAME_OPCODE_CLOSE:
        *ret_payload = buf_slice(&d->control);
        return FRAME_CLOSE;
    case OPCODE_PING:
        *ret_payload = buf_slice(&d->control);
        return FRAME_PING;
    case FRAME_OPCODE_PONG:
        *ret_payload = buf_slice(&d->control);
        return FRAME_PONG;
    default:
        d->in_message = !is_last;
        d->is_told = is_last;
        *ret_payload = buf_slice(&d->message);
        return is_last ? FRAME_MESSAGE : FRAME_NONE;
    }
}

int frame_decode(struct frame_decoder *d, struct slice *bytes,
                 enum frame_kind *ret_kind, struct slice *ret_payload)
{
    enum frame_kind kind = FRAME_NONE;
    if (d->is_told) {
        d->is_told = false;
        d->message.size = 0;
    }
    while (kind == FRAME_NONE) {
        int err = d->in_payload ? 0 : take_head(d, bytes);
        if (err == ERR_AGAIN) {
            break;
        }
        if (err) {
            return err;
        }
        take_payload(d, bytes);
        if (d->left) {
            break;
        }
        kind = finish(d, ret_payload);
    }
    *ret_kind = kind;
    return 0;
}

void frame_encode(struct buf *out, uint8_t opcode, struct slice payload)
{
    uint8_t head[10] = {FIN | opcode};
    size_t size = 2;
    if (payload.size < SIZE_16) {
        head[1] = (uint8_t)payload.size;
    } else if (payload.size <= UINT16_MAX) {
        head[1] = SIZE_16;
        put_be16(head + 2, (uint16_t)payload.size);
        size = 4;
    } else {
        head[1] = SIZE_64;
        put_be64(head + 2, payload.size);
        size = 10;
    }
    buf_append(out, head, size);
    buf_append_slice(out, payload);
}

int frame_accept(const char *key, char ret_accept[FRAME_ACCEPT_SIZE])
{
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t bytes[KEY_PADDED];
    if (strlen(key) != KEY_TEXT_SIZE || strcmp(key + KEY_TEXT_SIZE - 2, "==") ||
        EVP_DecodeBlock(bytes, (const uint8_t *)key, KEY_TEXT_SIZE) !=
            KEY_PADDED) {
        return ERR_INVALID;
    }
    char text[KEY_TEXT_SIZE + sizeof magic];
    memcpy(text, key, KEY_TEXT_SIZE);
    memcpy(text + KEY_TEXT_SIZE, magic, sizeof magic);
    uint8_t hash[SHA1_SIZE];
    if (EVP_Digest(text, sizeof text - 1, hash, NULL, EVP_sha1(), NULL) != 1) {
        return ERR_INVALID;
    }
    EVP_EncodeBlock((uint8_t *)ret_accept, hash, sizeof hash);
    return 0;
}
