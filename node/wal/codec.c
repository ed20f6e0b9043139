#include "wal/codec.h"

#include <assert.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/err.h"

#define FRAME_MAGIC 0x6d617266u /* "fram" */

static const uint8_t header_magic[8] = "cofrewal";

/* At least two bits in each byte: see the head of codec.h. */
const uint8_t wal_trailer[WAL_TRAILER_SIZE] = {0xc3, 0x5a, 0xa5, 0x3c,
                                               0xc3, 0x5a, 0xa5, 0x3c};

enum { ENTRY_FIXED = 20, HARD_STATE_FIXED = 24, SNAPSHOT_FIXED = 16 };

static size_t align8(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

static size_t fixed_size(enum wal_type type)
{
    switch (type) {
    case WAL_ENTRY:
        return ENTRY_FIXED;
    case WAL_HARD_STATE:
        return HARD_STATE_FIXED;
    case WAL_SNAPSHOT:
        return SNAPSHOT_FIXED;
    }
    return SIZE_MAX;
}

static void put_fixed(uint8_t *to, const struct wal_record *r)
{
    switch (r->type) {
    case WAL_ENTRY:
        put_le32(to, r->entry_type);
        put_le64(to + 4, r->term);
        put_le64(to + 12, r->index);
        break;
    case WAL_HARD_STATE:
        put_le64(to, r->term);
        put_le64(to + 8, r->vote);
        put_le64(to + 16, r->commit);
        break;
    case WAL_SNAPSHOT:
        put_le64(to, r->index);
        put_le64(to + 8, r->term);
        break;
    }
}

static void get_fixed(const uint8_t *from, struct wal_record *r)
{
    switch (r->type) {
    case WAL_ENTRY:
        r->entry_type = get_le32(from);
        r->term = get_le64(from + 4);
        r->index = get_le64(from + 12);
        break;
    case WAL_HARD_STATE:
        r->term = get_le64(from);
        r->vote = get_le64(from + 8);
        r->commit = get_le64(from + 16);
        break;
    case WAL_SNAPSHOT:
        r->index = get_le64(from);
        r->term = get_le64(from + 8);
        break;
    }
}

int wal_record_encode(struct buf *b, const struct wal_record *record,
                      uint32_t *chain)
{
    size_t fixed = fixed_size(record->type);
    assert(fixed != SIZE_MAX);
    if (record->data.size > WAL_RECORD_SIZE_MAX - 64) {
        return ERR_TOO_LARGE;
    }
    size_t length = 1 + fixed + record->data.size;
    size_t total = align8(WAL_RECORD_SIZE + length);
    int err = buf_reserve(b, total);
    if (err < 0) {
        return err;
    }
    uint8_t *p = b->data + b->size;
    put_le64(p + total - 8, 0); /* padding, before the rest goes over it */
    put_le32(p + 4, (uint32_t)length);
    p[8] = (uint8_t)record->type;
    put_fixed(p + 9, record);
    if (record->data.size) {
        memcpy(p + 9 + fixed, record->data.data, record->data.size);
    }
    *chain = crc32c(*chain, p + 4, total - 4);
    put_le32(p, *chain);
    b->size += total;
    return 0;
}

int wal_record_decode(struct slice bytes, uint32_t *chain,
                      struct wal_record *ret_record, size_t *ret_size)
{
    if (bytes.size < WAL_RECORD_SIZE + 1) {
        return ERR_CORRUPT;
    }
    const uint8_t *p = bytes.data;
    size_t length = get_le32(p + 4);
    if (length > WAL_RECORD_SIZE_MAX ||
        align8(WAL_RECORD_SIZE + length) > bytes.size) {
        return ERR_CORRUPT;
    }
    struct wal_record record = {.type = (enum wal_type)p[8]};
    size_t fixed = fixed_size(record.type);
    if (fixed == SIZE_MAX || length < 1 + fixed) {
        return ERR_CORRUPT;
    }
    size_t total = align8(WAL_RECORD_SIZE + length);
    if (chain) {
        uint32_t crc = crc32c(*chain, p + 4, total - 4);
        if (crc != get_le32(p)) {
            return ERR_CORRUPT;
        }
        *chain = crc;
    }
    get_fixed(p + 9, &record);
    record.data = slice_of(p + 9 + fixed, length - 1 - fixed);
    *ret_record = record;
    *ret_size = total;
    return 0;
}

void wal_tail_step(struct wal_tail *tail, const struct wal_record *record)
{
    switch (record->type) {
    case WAL_ENTRY:
        tail->last_index = record->index;
        break;
    case WAL_HARD_STATE:
        tail->term = record->term;
        tail->vote = record->vote;
        tail->commit = record->commit;
        break;
    case WAL_SNAPSHOT:
        tail->snapshot_index = record->index;
        tail->snapshot_term = record->term;
        if (tail->last_index < record->index) {
            tail->last_index = record->index;
        }
        break;
    }
}

static uint32_t frame_crc(const uint8_t *p, const struct wal_place *place)
{
    uint8_t where[24];
    put_le64(where, place->member_id);
    put_le64(where + 8, place->sequence);
    put_le64(where + 16, place->offset);
    return crc32c(crc32c(0, p, WAL_FRAME_SIZE - 4), where, sizeof where);
}

void wal_frame_encode(uint8_t to[WAL_FRAME_SIZE], const struct wal_frame *frame,
                      const struct wal_place *place)
{
    put_le32(to, FRAME_MAGIC);
    put_le32(to + 4, frame->size);
    put_le64(to + 8, frame->number);
    put_le32(to + 16, frame->zero_sectors);
    put_le32(to + 20, frame->chain);
    put_le32(to + 24, 0);
    put_le32(to + 28, frame_crc(to, place));
}

int wal_frame_decode(const uint8_t from[WAL_FRAME_SIZE],
                     const struct wal_place *place, struct wal_frame *ret_frame)
{
    if (get_le32(from) != FRAME_MAGIC ||
        get_le32(from + 28) != frame_crc(from, place)) {
        return ERR_CORRUPT;
    }
    *ret_frame = (struct wal_frame){
        .size = get_le32(from + 4),
        .number = get_le64(from + 8),
        .zero_sectors = get_le32(from + 16),
        .chain = get_le32(from + 20),
    };
    return 0;
}

size_t wal_header_size(size_t conf_size)
{
    return WAL_HEADER_SIZE + align8(conf_size);
}

static uint32_t header_crc(struct slice bytes)
{
    uint32_t crc = crc32c(0, bytes.data, WAL_HEADER_SIZE - 4);
    return crc32c(crc, bytes.data + WAL_HEADER_SIZE,
                  bytes.size - WAL_HEADER_SIZE);
}

void wal_header_encode(struct buf *b, const struct wal_header *header)
{
    size_t total = wal_header_size(header->conf.size);
    assert(header->conf.size <= WAL_CONF_SIZE_MAX);
    int err = buf_reserve(b, total);
    assert(err == 0);
    (void)err;
    uint8_t *p = b->data + b->size;
    memset(p, 0, total);
    memcpy(p, header_magic, sizeof header_magic);
    put_le32(p + 8, WAL_VERSION);
    put_le32(p + 12, (uint32_t)total);
    put_le64(p + 16, header->identity.member_id);
    put_le64(p + 24, header->identity.cluster_id);
    put_le64(p + 32, header->sequence);
    put_le64(p + 40, header->tail.last_index + 1);
    put_le64(p + 48, header->frame_number);
    put_le64(p + 56, header->tail.term);
    put_le64(p + 64, header->tail.vote);
    put_le64(p + 72, header->tail.commit);
    put_le64(p + 80, header->tail.snapshot_index);
    put_le64(p + 88, header->tail.snapshot_term);
    put_le32(p + 96, (uint32_t)header->conf.size);
    put_le32(p + 100, header->tail.chain);
    if (header->conf.size) {
        memcpy(p + WAL_HEADER_SIZE, header->conf.data, header->conf.size);
    }
    put_le32(p + 108, header_crc(slice_of(p, total)));
    b->size += total;
}

int wal_header_decode(struct slice bytes, struct wal_header *ret_header,
                      size_t *ret_size)
{
    const uint8_t *p = bytes.data;
    if (bytes.size < WAL_HEADER_SIZE ||
        memcmp(p, header_magic, sizeof header_magic) != 0) {
        return ERR_CORRUPT;
    }
    size_t total = get_le32(p + 12);
    size_t conf_size = get_le32(p + 96);
    if (total < WAL_HEADER_SIZE || total > bytes.size ||
        total > wal_header_size(WAL_CONF_SIZE_MAX) ||
        header_crc(slice_of(p, total)) != get_le32(p + 108)) {
        return ERR_CORRUPT;
    }
    if (get_le32(p + 8) != WAL_VERSION) {
        return ERR_UNSUPPORTED;
    }
    if (conf_size > WAL_CONF_SIZE_MAX || wal_header_size(conf_size) != total ||
        get_le64(p + 40) == 0) {
        return ERR_CORRUPT;
    }
    *ret_header = (struct wal_header){
        .identity = {get_le64(p + 16), get_le64(p + 24)},
        .sequence = get_le64(p + 32),
        .frame_number = get_le64(p + 48),
        .tail = {.term = get_le64(p + 56),
                 .vote = get_le64(p + 64),
                 .commit = get_le64(p + 72),
                 .last_index = get_le64(p + 40) - 1,
                 .snapshot_index = get_le64(p + 80),
                 .snapshot_term = get_le64(p + 88),
                 .chain = get_le32(p + 100)},
        .conf = slice_of(p + WAL_HEADER_SIZE, conf_size),
    };
    *ret_size = total;
    return 0;
}

bool wal_is_zero(struct slice bytes)
{
    return bytes.size == 0 ||
           (bytes.data[0] == 0 &&
            memcmp(bytes.data, bytes.data + 1, bytes.size - 1) == 0);
}

uint32_t wal_zero_sectors(struct slice bytes, uint64_t offset, bool parts)
{
    uint32_t count = 0;
    for (size_t at = 0; at < bytes.size;) {
        size_t part = WAL_SECTOR_SIZE - (offset + at) % WAL_SECTOR_SIZE;
        if (part > bytes.size - at) {
            part = bytes.size - at;
        }
        if ((parts || part == WAL_SECTOR_SIZE) &&
            wal_is_zero(slice_of(bytes.data + at, part))) {
            count++;
        }
        at += part;
    }
    return count;
}
