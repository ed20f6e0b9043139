/*
 * What an image holds. Counting the keys that live takes no memory: each
 * record of a version 1 begins a life, each tombstone ends one, and of what
 * was compacted there is one record a key, its newest. Only a compaction
 * that was interrupted leaves something between, and then the image is
 * loaded into a store that can answer.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "image/image.h"
#include "mvcc/mvcc.h"
#include "private.h"

enum {
    ERROR_SIZE_MAX = 4096,
    PAGES_LEAST = 2,
    REVISION_SIZE = 17, /* main 8 | '_' | sub 8 [| 't'] */
};

static _Thread_local char error_text[ERROR_SIZE_MAX];

int restore_fail(int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error_text, sizeof error_text, format, args);
    va_end(args);
    return err;
}

const char *restore_error_text(void)
{
    return error_text;
}

int restore_fail_image(int err, const char *image)
{
    const char *why = image_error_text();
    return err == ERR_CORRUPT && why[0]
               ? restore_fail(err, "%s: %s: %s", image, err_text(err), why)
               : restore_fail(err, "%s: %s", image, err_text(err));
}

/* ---- a store for the time of a question ---- */

struct scratch {
    char *folder;
    char *path;
    struct kvdb *db;
    struct mvcc *mvcc;
};

static void scratch_close(struct scratch *s)
{
    mvcc_close(s->mvcc);
    kvdb_close(s->db);
    if (s->folder) {
        restore_folder_remove(s->folder);
    }
    free(s->folder);
    free(s->path);
}

static int scratch_open(const char *image, const char *folder,
                        struct scratch *s)
{
    const struct mvcc_restore how = {.index = 1, .term = 1};
    int64_t revision;
    *s = (struct scratch){.folder = mem_printf("%s/cofre-XXXXXX", folder)};
    if (mkdtemp(s->folder) == NULL) {
        int err =
            restore_fail(ERR_IO, "cannot make a temporary store in %s: %s",
                         folder, strerror(errno));
        free(s->folder);
        s->folder = NULL;
        return err;
    }
    s->path = mem_printf("%s/store.mdb", s->folder);
    int err = mvcc_restore(image, s->path, &how, &revision);
    if (err == 0) {
        const struct kvdb_config kc = {.path = s->path, .no_fsync = true};
        err = kvdb_open(&kc, &s->db);
    }
    if (err == 0) {
        const struct mvcc_config mc = {.db = s->db};
        err = mvcc_open(&mc, &s->mvcc);
    }
    return err ? restore_fail_image(err, image) : 0;
}

/* ---- status ---- */

struct count {
    int64_t compacted; /* finished; -1: never */
    int64_t live;
    bool empty_key; /* a raised revision's record */
};

/* A varint at the front; it is taken off. False: there is none. */
static bool take_varint(struct slice *from, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < from->size && i < 10; i++) {
        number |= (uint64_t)(from->data[i] & 0x7f) << (7 * i);
        if (!(from->data[i] & 0x80)) {
            *from = slice_from(*from, i + 1);
            *ret_number = number;
            return true;
        }
    }
    return false;
}

/* The version of a KeyValue (field 4), and whether its key is empty. */
static int read_version(struct slice kv, int64_t *ret_version, bool *ret_empty)
{
    *ret_version = 0;
    *ret_empty = true;
    while (kv.size) {
        uint64_t tag, number;
        if (!take_varint(&kv, &tag) || !take_varint(&kv, &number)) {
            return ERR_CORRUPT;
        }
        if ((tag & 7) == 2) {
            if (number > kv.size) {
                return ERR_CORRUPT;
            }
            if (tag >> 3 == 1 && number) {
                *ret_empty = false;
            }
            kv = slice_from(kv, (size_t)number);
        } else if (tag >> 3 == 4) {
            *ret_version = (int64_t)number;
        }
    }
    return 0;
}

static int count_record(struct count *c, struct slice rev, struct slice kv,
                        int64_t *ret_revision)
{
    int64_t version;
    bool empty;
    if (rev.size < REVISION_SIZE || read_version(kv, &version, &empty) != 0) {
        return restore_fail(ERR_CORRUPT,
                            "a record of the image cannot be read");
    }
    int64_t main = (int64_t)get_be64(rev.data);
    bool tombstone = rev.size > REVISION_SIZE;
    *ret_revision = main;
    if (empty) {
        c->empty_key = !tombstone;
    } else if (main <= c->compacted) {
        c->live += !tombstone;
    } else {
        c->live += tombstone ? -1 : version == 1;
    }
    return 0;
}

static int read_bucket(struct image_reader *r, const char *name,
                       struct count *c, struct restore_status *st)
{
    bool keys = strcmp(name, "key") == 0;
    bool meta = strcmp(name, "meta") == 0;
    struct slice k, v;
    int err = image_reader_bucket(r, name);
    st->hash = crc32c(st->hash, name, strlen(name));
    while (err == 0 && (err = image_reader_next(r, &k, &v)) == 0) {
        st->hash = crc32c(st->hash, k.data, k.size);
        st->hash = crc32c(st->hash, v.data, v.size);
        if (keys) {
            err = count_record(c, k, v, &st->revision);
            if (err != 0) {
                return err;
            }
        } else if (meta && slice_eq_str(k, "storageVersion") &&
                   v.size < sizeof st->version) {
            memcpy(st->version, v.data, v.size);
        }
    }
    return err == ERR_NOT_FOUND ? 0
                                : restore_fail(err, "%s", image_error_text());
}

/* The revisions that the bucket meta tells of compactions. */
static int read_compacted(struct image_reader *r, int64_t *ret_finished,
                          int64_t *ret_scheduled)
{
    struct slice k, v;
    *ret_finished = *ret_scheduled = -1;
    int err = image_reader_bucket(r, "meta");
    if (err == ERR_NOT_FOUND) {
        return restore_fail(ERR_CORRUPT, "the image has no bucket named meta");
    }
    while (err == 0 && (err = image_reader_next(r, &k, &v)) == 0) {
        if (v.size < sizeof(uint64_t)) {
            continue;
        }
        if (slice_eq_str(k, "finishedCompactRev")) {
            *ret_finished = (int64_t)get_be64(v.data);
        } else if (slice_eq_str(k, "scheduledCompactRev")) {
            *ret_scheduled = (int64_t)get_be64(v.data);
        }
    }
    return err == ERR_NOT_FOUND ? 0
                                : restore_fail(err, "%s", image_error_text());
}

static int count_in_store(const char *image, const char *scratch,
                          int64_t *ret_count)
{
    struct scratch s;
    const struct mvcc_range all = {
        .key = slice_of("", 1), .end = slice_of("", 1), .count_only = true};
    int err = scratch_open(image, scratch, &s);
    if (err == 0) {
        err = mvcc_range(s.mvcc, &all, NULL, NULL, ret_count);
    }
    scratch_close(&s);
    return err;
}

static int read_all(struct image_reader *r, const char *image,
                    const char *scratch, struct restore_status *st)
{
    struct count c = {0};
    int64_t scheduled;
    int err = read_compacted(r, &c.compacted, &scheduled);
    for (uint32_t i = 0; err == 0 && i < image_reader_bucket_count(r); i++) {
        err = read_bucket(r, image_reader_bucket_name(r, i), &c, st);
    }
    if (err == 0 && scheduled > c.compacted) {
        err = count_in_store(image, scratch, &c.live);
    }
    st->key_count = c.live + c.empty_key;
    st->bytes = image_reader_bytes(r);
    return err;
}

int restore_status_read(const char *image, const char *scratch,
                        struct restore_status *ret_status)
{
    struct stat file;
    if (stat(image, &file) != 0) {
        bool missing = errno == ENOENT;
        return restore_fail(
            missing ? ERR_NOT_FOUND : ERR_IO, "stat %s: %s", image,
            missing ? "no such file or directory" : strerror(errno));
    }
    if (file.st_size < (off_t)PAGES_LEAST * IMAGE_PAGE_SIZE) {
        return restore_fail(ERR_TOO_LARGE, "file size too small %lld",
                            (long long)file.st_size);
    }
    struct image_reader *r;
    struct restore_status st = {0};
    int err = image_reader_open(image, &r);
    if (err != 0) {
        return restore_fail(err, "%s", image_error_text());
    }
    err = read_all(r, image, scratch, &st);
    image_reader_close(r);
    if (err == 0) {
        *ret_status = st;
    }
    return err;
}

/* ---- hash ---- */

struct asked {
    int err;
    struct mvcc_hash hash;
};

static void hashed(void *ctx, int err, const struct mvcc_hash *hash)
{
    struct asked *a = ctx;
    a->err = err;
    if (err == 0) {
        a->hash = *hash;
    }
}

int restore_hash_kv(const char *image, const char *scratch, int64_t revision,
                    struct restore_hash *ret_hash)
{
    struct scratch s;
    struct asked a = {.err = ERR_CANCELED};
    int err = scratch_open(image, scratch, &s);
    if (err == 0) {
        err = mvcc_hash_kv(s.mvcc, revision, hashed, &a);
        if (err == 0) {
            kvdb_drain(s.db); /* compaction first, then the hash */
            err = a.err;
        }
        if (err == ERR_COMPACTED || err == ERR_FUTURE) {
            restore_fail(err,
                         err == ERR_COMPACTED
                             ? "mvcc: required revision has been compacted"
                             : "mvcc: required revision is a future revision");
        } else if (err != 0) {
            restore_fail_image(err, image);
        }
    }
    scratch_close(&s);
    if (err == 0) {
        *ret_hash = (struct restore_hash){a.hash.hash, a.hash.hash_revision,
                                          a.hash.compact_revision};
    }
    return err;
}
