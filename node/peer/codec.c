/*
 * raftpb.Message and raftpb.Entry, written and read without an in-between
 * form: this is on the way of every Put, and entry data is copied once, into
 * the bytes that the log then shares.
 *
 * Writing: fields ascending, zero scalars left out, repeated numbers one by
 * one, as proto2 has them. Reading: any order, packed numbers too, the last
 * of a repeated scalar counts, embedded messages merge, unknown fields and
 * known ones of another wire type are skipped.
 */
#include "peer/codec.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "peer/peer.h"

enum wire { WIRE_VARINT, WIRE_64, WIRE_BYTES, WIRE_GROUP, WIRE_END, WIRE_32 };

enum { GROUP_DEPTH_MAX = 32, FIELD_MAX = (1 << 29) - 1 };

/* ---- writing ---- */

static size_t varint_size(uint64_t v)
{
    return (size_t)(64 - __builtin_clzll(v | 1) + 6) / 7;
}

static uint8_t *put_varint(uint8_t *at, uint64_t v)
{
    while (v >= 0x80) {
        *at++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *at++ = (uint8_t)v;
    return at;
}

/* All fields are below 16: a tag is one byte. */
static size_t number_size(uint64_t v)
{
    return v ? 1 + varint_size(v) : 0;
}

static uint8_t *put_number(uint8_t *at, int field, uint64_t v)
{
    if (v) {
        *at++ = (uint8_t)(field << 3 | WIRE_VARINT);
        at = put_varint(at, v);
    }
    return at;
}

static size_t bytes_size(size_t size)
{
    return 1 + varint_size(size) + size;
}

static uint8_t *put_head(uint8_t *at, int field, size_t size)
{
    *at++ = (uint8_t)(field << 3 | WIRE_BYTES);
    return put_varint(at, size);
}

static uint8_t *put_bytes(uint8_t *at, int field, const struct bytes *b)
{
    at = put_head(at, field, b->size);
    memcpy(at, b->data, b->size);
    return at + b->size;
}

static bool has_bytes(const struct bytes *b)
{
    return b && b->size;
}

size_t peer_entry_size(const struct raft_entry *e)
{
    return number_size((uint64_t)e->type) + number_size(e->term) +
           number_size(e->index) +
           (has_bytes(e->data) ? bytes_size(e->data->size) : 0);
}

uint8_t *peer_put_entry(const struct raft_entry *e, uint8_t *at)
{
    at = put_number(at, 1, (uint64_t)e->type);
    at = put_number(at, 2, e->term);
    at = put_number(at, 3, e->index);
    return has_bytes(e->data) ? put_bytes(at, 4, e->data) : at;
}

/* Member numbers are written also when zero: they are elements. */
static size_t conf_size(const struct raft_conf_state *c)
{
    size_t size = 2;
    for (uint32_t i = 0; i < c->voter_count; i++) {
        size += 1 + varint_size(c->voters[i]);
    }
    for (uint32_t i = 0; i < c->learner_count; i++) {
        size += 1 + varint_size(c->learners[i]);
    }
    return size;
}

static uint8_t *put_conf(const struct raft_conf_state *c, uint8_t *at)
{
    for (uint32_t i = 0; i < c->voter_count; i++) {
        *at++ = 1 << 3;
        at = put_varint(at, c->voters[i]);
    }
    for (uint32_t i = 0; i < c->learner_count; i++) {
        *at++ = 2 << 3;
        at = put_varint(at, c->learners[i]);
    }
    *at++ = 5 << 3; /* auto_leave, said explicitly */
    *at++ = 0;
    return at;
}

static size_t meta_size(const struct raft_snapshot_meta *s)
{
    return bytes_size(conf_size(&s->conf)) + number_size(s->index) +
           number_size(s->term);
}

/* raftpb.Snapshot without data: the store image travels beside it. */
static uint8_t *put_snapshot(const struct raft_snapshot_meta *s, uint8_t *at)
{
    at = put_head(at, 2, meta_size(s));
    at = put_head(at, 1, conf_size(&s->conf));
    at = put_conf(&s->conf, at);
    at = put_number(at, 2, s->index);
    return put_number(at, 3, s->term);
}

size_t peer_message_size(const struct raft_message *m)
{
    size_t size = number_size((uint64_t)m->type) + number_size(m->to) +
                  number_size(m->from) + number_size(m->term) +
                  number_size(m->log_term) + number_size(m->index) +
                  number_size(m->commit) + number_size(m->reject) +
                  number_size(m->reject_hint);
    for (uint32_t i = 0; i < m->entry_count; i++) {
        size += bytes_size(peer_entry_size(&m->entries[i]));
    }
    if (m->snapshot) {
        size += bytes_size(bytes_size(meta_size(m->snapshot)));
    }
    return size + (has_bytes(m->context) ? bytes_size(m->context->size) : 0);
}

uint8_t *peer_put_message(const struct raft_message *m, uint8_t *at)
{
    at = put_number(at, 1, (uint64_t)m->type);
    at = put_number(at, 2, m->to);
    at = put_number(at, 3, m->from);
    at = put_number(at, 4, m->term);
    at = put_number(at, 5, m->log_term);
    at = put_number(at, 6, m->index);
    for (uint32_t i = 0; i < m->entry_count; i++) {
        at = put_head(at, 7, peer_entry_size(&m->entries[i]));
        at = peer_put_entry(&m->entries[i], at);
    }
    at = put_number(at, 8, m->commit);
    if (m->snapshot) {
        at = put_head(at, 9, bytes_size(meta_size(m->snapshot)));
        at = put_snapshot(m->snapshot, at);
    }
    at = put_number(at, 10, m->reject);
    at = put_number(at, 11, m->reject_hint);
    return has_bytes(m->context) ? put_bytes(at, 12, m->context) : at;
}

void peer_encode_message(const struct raft_message *m, struct buf *out)
{
    size_t size = peer_message_size(m);
    if (buf_reserve(out, size) != 0) {
        assert(!"the caller's buffer is smaller than a message");
        abort();
    }
    uint8_t *end = peer_put_message(m, out->data + out->size);
    assert(end == out->data + out->size + size);
    out->size = (size_t)(end - out->data);
}

/* ---- reading ---- */

struct reader {
    const uint8_t *at;
    const uint8_t *end;
};

/* One field: `number` or `bytes` is set as `wire` says. */
struct field {
    uint32_t id;
    enum wire wire;
    uint64_t number;
    struct slice bytes;
};

static struct reader reader_of(struct slice s)
{
    return (struct reader){s.data, s.data ? s.data + s.size : s.data};
}

static bool take_varint(struct reader *r, uint64_t *ret)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        uint8_t byte = *r->at++;
        if (shift == 63 && byte > 1) {
            return false; /* beyond 64 bits */
        }
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static bool take_fixed(struct reader *r, size_t size)
{
    if ((size_t)(r->end - r->at) < size) {
        return false;
    }
    r->at += size;
    return true;
}

static bool take_tag(struct reader *r, uint32_t *ret_id, enum wire *ret_wire)
{
    uint64_t tag;
    if (!take_varint(r, &tag) || tag >> 3 == 0 || tag >> 3 > FIELD_MAX) {
        return false;
    }
    *ret_id = (uint32_t)(tag >> 3);
    *ret_wire = (enum wire)(tag & 7);
    return true;
}

/* Everything but groups. */
static bool take_value(struct reader *r, struct field *f)
{
    switch (f->wire) {
    case WIRE_VARINT:
        return take_varint(r, &f->number);
    case WIRE_64:
        return take_fixed(r, 8);
    case WIRE_32:
        return take_fixed(r, 4);
    case WIRE_BYTES:
        if (!take_varint(r, &f->number) ||
            f->number > (uint64_t)(r->end - r->at)) {
            return false;
        }
        f->bytes = slice_of(r->at, (size_t)f->number);
        r->at += f->number;
        return true;
    default:
        return false;
    }
}

/* Up to the end of the group that was just opened. */
static bool skip_group(struct reader *r, uint32_t id)
{
    uint32_t open[GROUP_DEPTH_MAX] = {id};
    int depth = 1;
    while (depth > 0) {
        struct field f;
        if (!take_tag(r, &f.id, &f.wire)) {
            return false;
        }
        if (f.wire == WIRE_GROUP) {
            if (depth == GROUP_DEPTH_MAX) {
                return false;
            }
            open[depth++] = f.id;
        } else if (f.wire == WIRE_END) {
            if (open[--depth] != f.id) {
                return false;
            }
        } else if (!take_value(r, &f)) {
            return false;
        }
    }
    return true;
}

/* The next field; 0 at the end, 1 for a field, ERR_PROTOCOL. */
static int take_field(struct reader *r, struct field *ret)
{
    while (r->at < r->end) {
        struct field f = {0};
        if (!take_tag(r, &f.id, &f.wire)) {
            return ERR_PROTOCOL;
        }
        if (f.wire == WIRE_GROUP) {
            if (!skip_group(r, f.id)) {
                return ERR_PROTOCOL;
            }
            continue;
        }
        if (!take_value(r, &f)) {
            return ERR_PROTOCOL;
        }
        *ret = f;
        return 1;
    }
    return 0;
}

static bool is_number(const struct field *f)
{
    return f->wire == WIRE_VARINT;
}

static bool is_bytes(const struct field *f)
{
    return f->wire == WIRE_BYTES;
}

static void set_bytes(struct bytes **b, struct slice s)
{
    bytes_unref(*b);
    *b = s.size ? bytes_copy(s) : NULL;
}

int peer_decode_entry(struct slice bytes, struct raft_entry *ret)
{
    struct raft_entry e = {0};
    struct reader r = reader_of(bytes);
    struct field f;
    int more;
    while ((more = take_field(&r, &f)) > 0) {
        if (f.id == 1 && is_number(&f)) {
            e.type = (enum raft_entry_type)(int32_t)f.number;
        } else if (f.id == 2 && is_number(&f)) {
            e.term = f.number;
        } else if (f.id == 3 && is_number(&f)) {
            e.index = f.number;
        } else if (f.id == 4 && is_bytes(&f)) {
            set_bytes(&e.data, f.bytes);
        }
    }
    if (more < 0) {
        bytes_unref(e.data);
        return more;
    }
    *ret = e;
    return 0;
}

int peer_add_entry(struct raft_message *m, uint32_t *capacity,
                   const struct raft_entry *e)
{
    if (m->entry_count == PEER_ENTRIES_MAX) {
        bytes_unref(e->data);
        return ERR_TOO_LARGE;
    }
    if (m->entry_count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 4;
        m->entries = mem_realloc(m->entries, *capacity * sizeof *m->entries);
    }
    m->entries[m->entry_count++] = *e;
    return 0;
}

/* In ascending order, as Raft keeps them: an etcd that was restarted names
 * its members in any order. */
static int add_member(uint64_t *ids, uint32_t *count, uint64_t id)
{
    if (*count == RAFT_MEMBERS_MAX) {
        return ERR_TOO_LARGE;
    }
    uint32_t at = *count;
    while (at > 0 && ids[at - 1] > id) {
        at--;
    }
    if (at > 0 && ids[at - 1] == id) {
        return ERR_PROTOCOL;
    }
    memmove(&ids[at + 1], &ids[at], (*count - at) * sizeof *ids);
    ids[at] = id;
    ++*count;
    return 0;
}

/* A repeated number, one element or packed. */
static int add_members(uint64_t *ids, uint32_t *count, const struct field *f)
{
    if (is_number(f)) {
        return add_member(ids, count, f->number);
    }
    if (!is_bytes(f)) {
        return 0;
    }
    struct reader r = reader_of(f->bytes);
    while (r.at < r.end) {
        uint64_t id;
        if (!take_varint(&r, &id)) {
            return ERR_PROTOCOL;
        }
        int err = add_member(ids, count, id);
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

/* No id is a voter and a learner. */
static int check_conf(const struct raft_conf_state *c)
{
    uint32_t v = 0, l = 0;
    while (v < c->voter_count && l < c->learner_count) {
        if (c->voters[v] == c->learners[l]) {
            return ERR_PROTOCOL;
        }
        if (c->voters[v] < c->learners[l]) {
            v++;
        } else {
            l++;
        }
    }
    return 0;
}

static int decode_conf(struct slice bytes, struct raft_conf_state *c)
{
    struct reader r = reader_of(bytes);
    struct field f;
    int more;
    while ((more = take_field(&r, &f)) > 0) {
        int err = 0;
        if (f.id == 1) {
            err = add_members(c->voters, &c->voter_count, &f);
        } else if (f.id == 2) {
            err = add_members(c->learners, &c->learner_count, &f);
        } else if (f.id == 3 || f.id == 4) {
            err = ERR_PROTOCOL; /* joint configurations are never entered */
        }
        if (err != 0) {
            return err;
        }
    }
    return more != 0 ? more : check_conf(c);
}

static int decode_meta(struct slice bytes, struct raft_snapshot_meta *s)
{
    struct reader r = reader_of(bytes);
    struct field f;
    int more;
    while ((more = take_field(&r, &f)) > 0) {
        int err = 0;
        if (f.id == 1 && is_bytes(&f)) {
            err = decode_conf(f.bytes, &s->conf);
        } else if (f.id == 2 && is_number(&f)) {
            s->index = f.number;
        } else if (f.id == 3 && is_number(&f)) {
            s->term = f.number;
        }
        if (err != 0) {
            return err;
        }
    }
    return more;
}

static int decode_snapshot(struct slice bytes, struct raft_message *m)
{
    if (!m->snapshot) {
        m->snapshot = mem_zalloc(sizeof *m->snapshot);
    }
    struct reader r = reader_of(bytes);
    struct field f;
    int more;
    while ((more = take_field(&r, &f)) > 0) {
        if (f.id == 2 && is_bytes(&f)) {
            int err = decode_meta(f.bytes, m->snapshot);
            if (err != 0) {
                return err;
            }
        }
    }
    return more;
}

static int decode_child(const struct field *f, struct raft_message *m,
                        uint32_t *capacity)
{
    struct raft_entry e;
    int err;
    switch (f->id) {
    case 7:
        err = peer_decode_entry(f->bytes, &e);
        return err ? err : peer_add_entry(m, capacity, &e);
    case 9:
        return decode_snapshot(f->bytes, m);
    case 12:
        set_bytes(&m->context, f->bytes);
        return 0;
    default:
        return 0;
    }
}

static void set_number(const struct field *f, struct raft_message *m)
{
    switch (f->id) {
    case 1:
        m->type = (enum raft_message_type)(int32_t)f->number;
        break;
    case 2:
        m->to = f->number;
        break;
    case 3:
        m->from = f->number;
        break;
    case 4:
        m->term = f->number;
        break;
    case 5:
        m->log_term = f->number;
        break;
    case 6:
        m->index = f->number;
        break;
    case 8:
        m->commit = f->number;
        break;
    case 10:
        m->reject = f->number != 0;
        break;
    case 11:
        m->reject_hint = f->number;
        break;
    default:
        break;
    }
}

int peer_decode_message(struct slice bytes, struct raft_message *ret)
{
    if (bytes.size > PEER_MESSAGE_BYTES_MAX) {
        return ERR_TOO_LARGE;
    }
    struct raft_message m = {0};
    uint32_t capacity = 0;
    struct reader r = reader_of(bytes);
    struct field f;
    int err;
    while ((err = take_field(&r, &f)) > 0) {
        if (is_number(&f)) {
            set_number(&f, &m);
        } else if (is_bytes(&f)) {
            err = decode_child(&f, &m, &capacity);
            if (err != 0) {
                break;
            }
        }
    }
    if (err != 0) {
        raft_message_release(&m);
        return err;
    }
    *ret = m;
    return 0;
}
