/*
 * Protobuf by hand, for the paths where generated code costs too much: the
 * bytes of a Put go from the client's message into the log entry and from
 * there into the store without becoming a tree of structs.
 *
 * Encoding is canonical: fields ascending as called, zero values left out,
 * minimal varints. Reading is lenient as the reference is: unknown fields
 * and fields of another wire type are skipped, the last of a scalar wins.
 */
#ifndef PROTO_PROTO_H
#define PROTO_PROTO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/slice.h"

enum {
    PROTO_VARINT = 0,
    PROTO_FIXED64 = 1,
    PROTO_BYTES = 2,
    PROTO_FIXED32 = 5,
    PROTO_VARINT_MAX = 10, /* bytes of the longest varint */
};

/* ---- into memory that is large enough; return the end ---- */
static inline uint8_t *proto_varint(uint8_t *to, uint64_t v)
{
    while (v >= 0x80) {
        *to++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *to++ = (uint8_t)v;
    return to;
}

static inline size_t proto_varint_size(uint64_t v)
{
    size_t n = 1;
    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

static inline uint8_t *proto_u64(uint8_t *to, uint32_t field, uint64_t v)
{
    if (v) {
        to = proto_varint(to, (uint64_t)field << 3 | PROTO_VARINT);
        to = proto_varint(to, v);
    }
    return to;
}

/* Tag and length of a nested message or bytes field. */
static inline uint8_t *proto_head(uint8_t *to, uint32_t field, size_t size)
{
    to = proto_varint(to, (uint64_t)field << 3 | PROTO_BYTES);
    return proto_varint(to, size);
}

static inline size_t proto_head_size(uint32_t field, size_t size)
{
    return proto_varint_size((uint64_t)field << 3) + proto_varint_size(size);
}

static inline uint8_t *proto_copy(uint8_t *to, struct slice s)
{
    if (s.size) {
        memcpy(to, s.data, s.size);
    }
    return to + s.size;
}

/* ---- into a buffer; ERR_TOO_LARGE past its maximum ---- */
int proto_add_u64(struct buf *b, uint32_t field, uint64_t v);
/* Written also when empty: a nested message is there or not. */
int proto_add_message(struct buf *b, uint32_t field, struct slice message);
/* Left out when empty. */
int proto_add_bytes(struct buf *b, uint32_t field, struct slice bytes);
/* A nested message of unknown size: begin, add, end. */
int proto_begin(struct buf *b, uint32_t field, size_t *ret_mark);
int proto_end(struct buf *b, size_t mark);

/* ---- reading ---- */
struct proto_field {
    uint32_t number;
    uint32_t wire;
    uint64_t value;     /* varint and fixed */
    struct slice bytes; /* borrowed from the message */
};

/* Takes the next field off the front of `rest`: 1 when there was one, 0 at
 * the end, ERR_INVALID for malformed bytes (groups are malformed here). */
int proto_next(struct slice *rest, struct proto_field *ret_field);

/* ---- requests of the hot paths; slices borrow from the message ---- */
struct proto_put {
    struct slice key;
    struct slice value;
    int64_t lease;
    bool prev_kv;
    bool ignore_value;
    bool ignore_lease;
};

struct proto_range {
    struct slice key;
    struct slice end;
    int64_t limit;
    int64_t revision;
    int32_t sort_order;
    int32_t sort_target;
    bool serializable;
    bool keys_only;
    bool count_only;
    int64_t min_mod_revision;
    int64_t max_mod_revision;
    int64_t min_create_revision;
    int64_t max_create_revision;
};

struct proto_delete {
    struct slice key;
    struct slice end;
    bool prev_kv;
};

struct proto_watch_create {
    struct slice key;
    struct slice end;
    int64_t start_revision;
    int64_t watch_id;
    bool progress_notify;
    bool prev_kv;
    bool fragment;
    bool no_put;
    bool no_delete;
};

/* ERR_INVALID: not protobuf. */
int proto_decode_put(struct slice message, struct proto_put *ret);
int proto_decode_range(struct slice message, struct proto_range *ret);
int proto_decode_delete(struct slice message, struct proto_delete *ret);
int proto_decode_watch_create(struct slice message,
                              struct proto_watch_create *ret);

/* A ConfChange as an entry's data, one reference; id 0: none. */
struct bytes *proto_conf_change(uint64_t id, int type, uint64_t node_id,
                                struct slice context);

#endif
