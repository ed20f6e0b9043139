/*
 * The bytes of the log, and nothing else: pure. All integers little endian,
 * all parts a multiple of 8 bytes.
 *
 * segment := header frame* zeros          (preallocated, so zeros follow)
 *
 * header     0 magic[8]     8 u32 version    12 u32 size, conf included
 *           16 u64 member  24 u64 cluster    32 u64 segment sequence
 *           40 u64 first index               48 u64 number of first frame
 *           56 u64 term    64 u64 vote       72 u64 commit
 *           80 u64 snapshot index            88 u64 snapshot term
 *           96 u32 conf size                100 u32 chain
 *          104 u32 zero                     108 u32 crc of all but itself
 *          112 conf, zero padding
 *
 * frame      0 u32 magic    4 u32 size of the records    8 u64 number
 *           16 u32 zero sectors             20 u32 chain
 *           24 u32 zero    28 u32 crc of 0..27 and of the frame's place
 *           32 records, then the trailer
 *
 * record     0 u32 crc      4 u32 length (type and payload, >= 1)
 *            8 u8 type      9 payload, zero padding
 *            crc covers all behind it, seeded with the record before: that
 *            is the chain, which runs through frames and segments.
 *
 * A frame is one write and one fdatasync: of all frames only the last can
 * have been under way in a crash. What the header repeats (hard state,
 * snapshot) makes any older segment dispensable. The trailer has no zero
 * byte and the frame counts its sectors that are zero by content, so that
 * a sector that never arrived shows, and no single flipped bit looks like
 * one. The place (member, segment, offset) keeps a log inside a value from
 * being taken for frames.
 */
#ifndef WAL_CODEC_H
#define WAL_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "wal/wal.h"

enum {
    WAL_VERSION = 1,
    WAL_HEADER_SIZE = 112,
    WAL_CONF_SIZE_MAX = 64 * 1024,
    WAL_FRAME_SIZE = 32,
    WAL_TRAILER_SIZE = 8,
    WAL_RECORD_SIZE = 8,
    WAL_SECTOR_SIZE = 512,
};

/* Payload of one record; a frame holds at least one of these. */
#define WAL_RECORD_SIZE_MAX (1u << 30)

enum wal_type {
    WAL_ENTRY = 1,      /* u32 type, u64 term, u64 index, data */
    WAL_HARD_STATE = 2, /* u64 term, u64 vote, u64 commit */
    WAL_SNAPSHOT = 3,   /* u64 index, u64 term, conf */
};

struct wal_record {
    enum wal_type type;
    uint32_t entry_type;
    uint64_t term;
    uint64_t index;
    uint64_t vote;
    uint64_t commit;
    struct slice data; /* of an entry, or conf of a snapshot */
};

/* What the log amounts to at one place in it. */
struct wal_tail {
    uint64_t term;
    uint64_t vote;
    uint64_t commit;
    uint64_t last_index;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint32_t chain;
};

struct wal_header {
    struct wal_identity identity;
    uint64_t sequence;
    uint64_t frame_number; /* of the first frame */
    struct wal_tail tail;  /* before the first frame */
    struct slice conf;     /* of the snapshot */
};

struct wal_frame {
    uint32_t size; /* bytes of the records */
    uint32_t zero_sectors;
    uint32_t chain;
    uint64_t number;
};

struct wal_place {
    uint64_t member_id;
    uint64_t sequence; /* of the segment */
    uint64_t offset;
};

extern const uint8_t wal_trailer[WAL_TRAILER_SIZE];

/* Appends the record to `b` and moves the chain on. ERR_TOO_LARGE. */
int wal_record_encode(struct buf *b, const struct wal_record *record,
                      uint32_t *chain);

/* The record at the start of `bytes`; `chain` NULL: do not check the crc.
 * ERR_CORRUPT. */
int wal_record_decode(struct slice bytes, uint32_t *chain,
                      struct wal_record *ret_record, size_t *ret_size);

/* The tail after one more record (but for the chain). */
void wal_tail_step(struct wal_tail *tail, const struct wal_record *record);

void wal_frame_encode(uint8_t to[WAL_FRAME_SIZE], const struct wal_frame *frame,
                      const struct wal_place *place);
/* ERR_CORRUPT. */
int wal_frame_decode(const uint8_t from[WAL_FRAME_SIZE],
                     const struct wal_place *place,
                     struct wal_frame *ret_frame);

size_t wal_header_size(size_t conf_size);
void wal_header_encode(struct buf *b, const struct wal_header *header);
/* `conf` points into `bytes`. ERR_CORRUPT, ERR_UNSUPPORTED (a version that
 * this program does not know). */
int wal_header_decode(struct slice bytes, struct wal_header *ret_header,
                      size_t *ret_size);

bool wal_is_zero(struct slice bytes);

/* Sectors of all zeros in bytes that stand at `offset` in the file; with
 * `parts`, the part of a sector at either end counts as one. */
uint32_t wal_zero_sectors(struct slice bytes, uint64_t offset, bool parts);

#endif
