/*
 * Bytes of a revision, in memory, on disk and in an image.
 *
 * KVDB_REV     main 8 | sub 8                         (big endian)
 *              -> crc 4 | flags 1 | encoded KeyValue
 *              the CRC-32C (little endian) covers row key, flags, message
 * KVDB_INDEX   index key -> main 8 | sub * 2 + tombstone 4 |
 *                           create 8 | version 8 | lease 8
 * KVDB_LEASE_KEY  lease 8 | main 8 | sub 8 -> nothing
 * image, "key" main 8 | '_' | sub 8 [| 't']  -> encoded KeyValue
 */
#ifndef MVCC_RECORD_H
#define MVCC_RECORD_H

#include "base/bytes.h"
#include "base/endian.h"
#include "mvcc/mvcc.h"

enum {
    MVCC_REV_SIZE = 16,
    MVCC_ROW_HEADER_SIZE = 5,
    MVCC_VERSION_SIZE = 36,
    MVCC_LEASE_KEY_SIZE = 24,
    MVCC_IMAGE_REV_SIZE = 17,
    MVCC_IMAGE_TOMBSTONE_SIZE = 18,
};

/* One revision of a key as the index has it. */
struct mvcc_version {
    int64_t main;
    uint32_t sub;
    bool tombstone;
    int64_t create_revision;
    int64_t version;
    int64_t lease;
};

/* The message with canonical fields (kv->encoded is not looked at). One
 * reference for the caller. */
struct bytes *mvcc_record_new(const struct mvcc_kv *kv);
/* Of a DELETE event: key and mod_revision. */
struct bytes *mvcc_record_new_tombstone(struct slice key, int64_t main);
/* The part of such a tombstone that is stored: the key alone. */
struct slice mvcc_record_stored(struct slice encoded, size_t key_size,
                                bool tombstone);
/* Where the key stands in an encoded record. */
struct slice mvcc_record_key(const uint8_t *encoded, size_t key_size);
/* ERR_CORRUPT for anything but a KeyValue. Slices borrow from `encoded`. */
int mvcc_record_decode(struct slice encoded, struct mvcc_kv *ret_kv);

/* `row` has room for the header and the message. */
void mvcc_row_encode(const uint8_t rev[MVCC_REV_SIZE], bool tombstone,
                     struct slice encoded, uint8_t *row);
/* ERR_CORRUPT when the checksum does not fit. */
int mvcc_row_decode(struct slice rev, struct slice row, bool *ret_tombstone,
                    struct slice *ret_encoded);

void mvcc_version_encode(const struct mvcc_version *v, uint8_t *to);
int mvcc_version_decode(struct slice from, struct mvcc_version *ret_version);

static inline void mvcc_rev_encode(int64_t main, uint64_t sub, uint8_t *to)
{
    put_be64(to, (uint64_t)main);
    put_be64(to + 8, sub);
}

static inline void mvcc_lease_key_encode(int64_t lease, int64_t main,
                                         uint64_t sub, uint8_t *to)
{
    put_be64(to, (uint64_t)lease);
    mvcc_rev_encode(main, sub, to + 8);
}

/* 17 bytes, or 18 for a tombstone; returns which. */
size_t mvcc_image_rev_encode(int64_t main, uint64_t sub, bool tombstone,
                             uint8_t *to);
int mvcc_image_rev_decode(struct slice from, int64_t *ret_main,
                          uint64_t *ret_sub, bool *ret_tombstone);

#endif
