#include "record.h"

#include "base/crc32c.h"
#include "base/err.h"

/* Tags of mvccpb.KeyValue's fields. */
enum {
    TAG_KEY = 0x0a,
    TAG_CREATE = 0x10,
    TAG_MOD = 0x18,
    TAG_VERSION = 0x20,
    TAG_VALUE = 0x2a,
    TAG_LEASE = 0x30,
};

enum {
    ROW_TOMBSTONE = 1,
    VARINT_SIZE_MAX = 10,
};

static size_t varint_size(uint64_t v)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1);
    return (bits + 6) / 7;
}

static uint8_t *varint_put(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static const uint8_t *varint_get(const uint8_t *p, const uint8_t *end,
                                 uint64_t *ret_value)
{
    uint64_t v = 0;
    for (int shift = 0; p < end && shift < 7 * VARINT_SIZE_MAX; shift += 7) {
        uint8_t byte = *p++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_value = v;
            return p;
        }
    }
    return NULL;
}

static size_t bytes_field_size(struct slice s)
{
    return s.size ? 1 + varint_size(s.size) + s.size : 0;
}

static size_t int_field_size(int64_t v)
{
    return v ? 1 + varint_size((uint64_t)v) : 0;
}

static uint8_t *bytes_field_put(uint8_t *p, uint8_t tag, struct slice s)
{
    if (s.size == 0) {
        return p;
    }
    *p++ = tag;
    p = varint_put(p, s.size);
    memcpy(p, s.data, s.size);
    return p + s.size;
}

static uint8_t *int_field_put(uint8_t *p, uint8_t tag, int64_t v)
{
    if (v == 0) {
        return p;
    }
    *p++ = tag;
    return varint_put(p, (uint64_t)v);
}

struct bytes *mvcc_record_new(const struct mvcc_kv *kv)
{
    size_t size =
        bytes_field_size(kv->key) + int_field_size(kv->create_revision) +
        int_field_size(kv->mod_revision) + int_field_size(kv->version) +
        bytes_field_size(kv->value) + int_field_size(kv->lease);
    struct bytes *b = bytes_new(size);
    uint8_t *p = bytes_field_put(b->data, TAG_KEY, kv->key);
    p = int_field_put(p, TAG_CREATE, kv->create_revision);
    p = int_field_put(p, TAG_MOD, kv->mod_revision);
    p = int_field_put(p, TAG_VERSION, kv->version);
    p = bytes_field_put(p, TAG_VALUE, kv->value);
    int_field_put(p, TAG_LEASE, kv->lease);
    return b;
}

struct bytes *mvcc_record_new_tombstone(struct slice key, int64_t main)
{
    return mvcc_record_new(&(struct mvcc_kv){.key = key, .mod_revision = main});
}

struct slice mvcc_record_stored(struct slice encoded, size_t key_size,
                                bool tombstone)
{
    if (tombstone && key_size) {
        encoded.size = 1 + varint_size(key_size) + key_size;
    }
    return encoded;
}

struct slice mvcc_record_key(const uint8_t *encoded, size_t key_size)
{
    return slice_of(encoded + 1 + varint_size(key_size), key_size);
}

static const uint8_t *decode_bytes(const uint8_t *p, const uint8_t *end,
                                   struct slice *ret_bytes)
{
    uint64_t size;
    p = varint_get(p, end, &size);
    if (p == NULL || size > (uint64_t)(end - p)) {
        return NULL;
    }
    *ret_bytes = slice_of(p, size);
    return p + size;
}

static const uint8_t *decode_field(const uint8_t *p, const uint8_t *end,
                                   struct mvcc_kv *kv)
{
    uint64_t v;
    int64_t *number;
    uint8_t tag = *p++;
    switch (tag) {
    case TAG_KEY:
        return decode_bytes(p, end, &kv->key);
    case TAG_VALUE:
        return decode_bytes(p, end, &kv->value);
    case TAG_CREATE:
        number = &kv->create_revision;
        break;
    case TAG_MOD:
        number = &kv->mod_revision;
        break;
    case TAG_VERSION:
        number = &kv->version;
        break;
    case TAG_LEASE:
        number = &kv->lease;
        break;
    default:
        return NULL;
    }
    p = varint_get(p, end, &v);
    if (p) {
        *number = (int64_t)v;
    }
    return p;
}

int mvcc_record_decode(struct slice encoded, struct mvcc_kv *ret_kv)
{
    struct mvcc_kv kv = {.encoded = encoded};
    const uint8_t *p = encoded.data;
    const uint8_t *end = encoded.data + encoded.size;
    while (p && p < end) {
        p = decode_field(p, end, &kv);
    }
    if (encoded.size && p == NULL) {
        return ERR_CORRUPT;
    }
    *ret_kv = kv;
    return 0;
}

static uint32_t row_crc(const uint8_t *rev, const uint8_t *flags, size_t size)
{
    return crc32c(crc32c(0, rev, MVCC_REV_SIZE), flags, size);
}

void mvcc_row_encode(const uint8_t rev[MVCC_REV_SIZE], bool tombstone,
                     struct slice encoded, uint8_t *row)
{
    row[4] = tombstone ? ROW_TOMBSTONE : 0;
    if (encoded.size) {
        memcpy(row + MVCC_ROW_HEADER_SIZE, encoded.data, encoded.size);
    }
    put_le32(row, row_crc(rev, row + 4, 1 + encoded.size));
}

int mvcc_row_decode(struct slice rev, struct slice row, bool *ret_tombstone,
                    struct slice *ret_encoded)
{
    if (rev.size != MVCC_REV_SIZE || row.size < MVCC_ROW_HEADER_SIZE ||
        row.data[4] > ROW_TOMBSTONE ||
        get_le32(row.data) != row_crc(rev.data, row.data + 4, row.size - 4)) {
        return ERR_CORRUPT;
    }
    *ret_tombstone = row.data[4] & ROW_TOMBSTONE;
    *ret_encoded = slice_from(row, MVCC_ROW_HEADER_SIZE);
    return 0;
}

void mvcc_version_encode(const struct mvcc_version *v, uint8_t *to)
{
    put_be64(to, (uint64_t)v->main);
    put_be32(to + 8, v->sub << 1 | v->tombstone);
    put_be64(to + 12, (uint64_t)v->create_revision);
    put_be64(to + 20, (uint64_t)v->version);
    put_be64(to + 28, (uint64_t)v->lease);
}

int mvcc_version_decode(struct slice from, struct mvcc_version *ret_version)
{
    if (from.size != MVCC_VERSION_SIZE) {
        return ERR_CORRUPT;
    }
    uint32_t sub = get_be32(from.data + 8);
    *ret_version = (struct mvcc_version){
        .main = (int64_t)get_be64(from.data),
        .sub = sub >> 1,
        .tombstone = sub & 1,
        .create_revision = (int64_t)get_be64(from.data + 12),
        .version = (int64_t)get_be64(from.data + 20),
        .lease = (int64_t)get_be64(from.data + 28),
    };
    return 0;
}

size_t mvcc_image_rev_encode(int64_t main, uint64_t sub, bool tombstone,
                             uint8_t *to)
{
    put_be64(to, (uint64_t)main);
    to[8] = '_';
    put_be64(to + 9, sub);
    to[17] = 't';
    return tombstone ? MVCC_IMAGE_TOMBSTONE_SIZE : MVCC_IMAGE_REV_SIZE;
}

int mvcc_image_rev_decode(struct slice from, int64_t *ret_main,
                          uint64_t *ret_sub, bool *ret_tombstone)
{
    bool tombstone = from.size == MVCC_IMAGE_TOMBSTONE_SIZE;
    if ((!tombstone && from.size != MVCC_IMAGE_REV_SIZE) ||
        from.data[8] != '_' || (tombstone && from.data[17] != 't')) {
        return ERR_CORRUPT;
    }
    uint64_t sub = get_be64(from.data + 9);
    if (sub > INT32_MAX || get_be64(from.data) > INT64_MAX) {
        return ERR_CORRUPT;
    }
    *ret_main = (int64_t)get_be64(from.data);
    *ret_sub = sub;
    *ret_tombstone = tombstone;
    return 0;
}
