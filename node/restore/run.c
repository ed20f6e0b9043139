/*
 * A new member out of an image. Beside the places where they belong are
 * made
 *
 *   <data-dir>/member.part/store.mdb   the image, as a store
 *   <data-dir>/member.part/wal/        a log that begins behind it
 *   (or <wal-dir>.part/)
 *
 * and renamed when both are on the disk, the log first: a log without a
 * store is refused at start, as is a store without a log.
 *
 * The log holds no entries, only the mark of an installed image, at the
 * place behind the conf changes that a member of a new cluster would begin
 * with. So a member of the same cluster that was not restored has less than
 * the others, and is sent the image, where equal logs would hide that its
 * store is empty.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/image.h"
#include "kvdb/kvdb.h"
#include "mvcc/mvcc.h"
#include "private.h"
#include "replica/replica.h"
#include "wal/wal.h"

#define PART_NAME "member.part"

enum { FIRST_TERM = 1, HASH_SIZE = 32, WAIT_US = 1000 };

struct restore {
    const struct restore_options *o;
    struct members members;
    uint64_t own_id;
    char *part; /* becomes `member` */
    char *member;
    char *store;    /* inside `part` */
    char *wal_part; /* inside `part`, or <wal-dir>.part */
    bool own_wal;   /* a wal-dir was given */
    bool made;      /* the data directory was not there */
    atomic_int failed;
};

static bool has_wal_dir(const struct restore_options *o)
{
    return o->wal_dir && o->wal_dir[0];
}

/* ---- who we are ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool same_urls(const struct member *m, const char *list)
{
    char *text = mem_strdup(list), *rest = NULL;
    char *urls[MEMBER_URLS_MAX];
    uint32_t count = 0;
    bool same = true;
    for (char *u = strtok_r(text, ",", &rest); u;
         u = strtok_r(NULL, ",", &rest)) {
        if (count == MEMBER_URLS_MAX) {
            same = false;
            break;
        }
        urls[count++] = u;
    }
    qsort(urls, count, sizeof *urls, by_text);
    same = same && count == m->peer_url_count;
    for (uint32_t i = 0; same && i < count; i++) {
        same = strcmp(urls[i], m->peer_urls[i]) == 0;
    }
    free(text);
    return same;
}

static int find_self(struct restore *r)
{
    const struct restore_options *o = r->o;
    const char *why = NULL;
    if (members_parse(o->initial_cluster, o->token, &r->members, &why) != 0) {
        return restore_fail(ERR_INVALID, "--initial-cluster=%s: %s",
                            o->initial_cluster, why);
    }
    const struct member *self = NULL;
    for (uint32_t i = 0; i < r->members.count; i++) {
        if (strcmp(r->members.list[i].name, o->name) == 0) {
            self = &r->members.list[i];
        }
    }
    if (self == NULL) {
        return restore_fail(ERR_INVALID,
                            "couldn't find local name \"%s\" in the initial "
                            "cluster configuration",
                            o->name);
    }
    if (!same_urls(self, o->advertise_peer_urls)) {
        return restore_fail(ERR_INVALID,
                            "--initial-cluster has other URLs for %s than "
                            "--initial-advertise-peer-urls=%s",
                            o->name, o->advertise_peer_urls);
    }
    r->own_id = self->id;
    return 0;
}

/* ---- the image ---- */

static char *hash_text(const uint8_t hash[HASH_SIZE])
{
    struct buf text = BUF_INIT(1024);
    for (int i = 0; i < HASH_SIZE; i++) {
        buf_printf(&text, "%s%u", i ? " " : "", hash[i]);
    }
    buf_append_byte(&text, 0);
    size_t size;
    return (char *)buf_detach(&text, &size);
}

static int check_hash(const struct restore_options *o)
{
    uint8_t expected[HASH_SIZE], actual[HASH_SIZE];
    int err = image_check_hash(o->image, expected, actual);
    if (err == ERR_NOT_FOUND) {
        return restore_fail(ERR_INVALID, "snapshot missing hash but "
                                         "--skip-hash-check=false");
    }
    if (err != ERR_CORRUPT) {
        return err ? restore_fail_image(err, o->image) : 0;
    }
    char *wanted = hash_text(expected);
    char *got = hash_text(actual);
    restore_fail(err, "expected sha256 [%s], got [%s]", wanted, got);
    free(wanted);
    free(got);
    return err;
}

static int check_image(const struct restore_options *o)
{
    if (access(o->image, R_OK) != 0) {
        bool missing = errno == ENOENT;
        return restore_fail(
            missing ? ERR_NOT_FOUND : ERR_IO, "open %s: %s", o->image,
            missing ? "no such file or directory" : strerror(errno));
    }
    return o->skip_hash_check ? 0 : check_hash(o);
}

/* ---- the store ---- */

static uint64_t first_index(const struct restore *r)
{
    return r->members.count + 1;
}

struct edit {
    struct kvdb_job job;
    int err;
};

/* What is staged is all there is to write. */
static int edit_run(struct kvdb_job *job, MDB_txn *txn)
{
    return 0;
}

static void edit_done(struct kvdb_job *job, int err)
{
    container_of(job, struct edit, job)->err = err;
}

/* The old cluster's members go, ours come; the new cluster decides on its
 * version anew. */
static int write_members(struct restore *r, struct kvdb *db)
{
    struct edit edit = {
        .job = {.run = edit_run, .done = edit_done, .staged = true}};
    kvdb_stage_clear(db, KVDB_MEMBERS);
    kvdb_stage_clear(db, KVDB_MEMBERS_REMOVED);
    kvdb_stage_del(db, KVDB_CLUSTER, slice_str("clusterVersion"));
    for (uint32_t i = 0; i < r->members.count; i++) {
        const struct member *m = &r->members.list[i];
        struct buf json = BUF_INIT(1 << 20);
        char id[20];
        snprintf(id, sizeof id, "%llx", (unsigned long long)m->id);
        member_to_json(m, true, &json);
        kvdb_stage_put(db, KVDB_MEMBERS, slice_str(id), buf_slice(&json));
        buf_release(&json);
    }
    kvdb_submit(db, &edit.job);
    kvdb_drain(db);
    return edit.err;
}

static int make_store(struct restore *r)
{
    const struct mvcc_restore how = {
        .index = first_index(r),
        .term = FIRST_TERM,
        .bump_revision = r->o->bump_revision,
    };
    int64_t revision;
    int err = mvcc_restore(r->o->image, r->store, &how, &revision);
    if (err != 0) {
        return restore_fail_image(err, r->o->image);
    }
    struct kvdb *db = NULL;
    struct kvdb_config config = {.path = r->store};
    err = kvdb_open(&config, &db);
    if (err != 0) {
        return restore_fail(err, "%s: %s", r->store, kvdb_error_text());
    }
    err = write_members(r, db);
    kvdb_close(db);
    char *lock = mem_printf("%s-lock", r->store);
    unlink(lock);
    free(lock);
    return err ? restore_fail(err, "cannot write %s: %s", r->store,
                              err_text(err))
               : 0;
}

/* ---- the log ---- */

/* WAL thread. */
static void log_failed(void *ctx, int err, const char *text)
{
    atomic_store((atomic_int *)ctx, err);
}

static int make_log(struct restore *r)
{
    const struct wal_config config = {
        .dir = r->wal_part, .fatal = log_failed, .ctx = &r->failed};
    const struct wal_identity who = {r->own_id, r->members.cluster_id};
    const uint8_t mark = WAL_MARK_INSTALL;
    struct wal *w;
    int err = wal_create(&config, &who, &w);
    if (err != 0) {
        return restore_fail(err, "%s", wal_error_text());
    }
    wal_snapshot(w, first_index(r), FIRST_TERM, slice_of(&mark, 1));
    wal_hard_state(w, FIRST_TERM, 0, first_index(r));
    uint64_t sequence = wal_submit(w, true);
    while (err == 0 && wal_durable(w) < sequence) {
        usleep(WAIT_US);
        err = atomic_load(&r->failed);
    }
    wal_close(w);
    return err ? restore_fail(err, "cannot write the log in %s: %s",
                              r->wal_part, err_text(err))
               : 0;
}

/* ---- the folders ---- */

static int check_folders(const struct restore_options *o)
{
    if (restore_folder_check_empty(o->data_dir, PART_NAME) != 0) {
        return restore_fail(ERR_EXISTS,
                            "data-dir \"%s\" not empty or could not be read",
                            o->data_dir);
    }
    if (has_wal_dir(o) && access(o->wal_dir, F_OK) == 0) {
        return restore_fail(ERR_EXISTS, "wal-dir \"%s\" exists", o->wal_dir);
    }
    return 0;
}

static int make_folders(struct restore *r)
{
    const struct restore_options *o = r->o;
    bool made;
    r->part = mem_printf("%s/" PART_NAME, o->data_dir);
    r->member = mem_printf("%s/member", o->data_dir);
    r->store = mem_printf("%s/store.mdb", r->part);
    r->own_wal = has_wal_dir(o);
    r->wal_part = r->own_wal ? mem_printf("%s.part", o->wal_dir)
                             : mem_printf("%s/wal", r->part);
    int err = restore_folder_make(o->data_dir, &r->made);
    if (err == 0) {
        restore_folder_remove(r->part); /* of one that was cut off */
        err = restore_folder_make(r->part, &made);
    }
    if (err == 0 && r->own_wal) {
        restore_folder_remove(r->wal_part);
        err = restore_folder_make(r->wal_part, &made);
    }
    return err;
}

static int put_in_place(struct restore *r)
{
    const char *wal_dir = r->o->wal_dir;
    int err = restore_folder_sync(r->part);
    if (err == 0 && r->own_wal) {
        if (rename(r->wal_part, wal_dir) != 0) {
            return restore_fail(ERR_IO, "cannot rename %s to %s: %s",
                                r->wal_part, wal_dir, strerror(errno));
        }
        err = restore_folder_sync_above(wal_dir);
    }
    if (err == 0 && rename(r->part, r->member) != 0) {
        err = restore_fail(ERR_IO, "cannot rename %s to %s: %s", r->part,
                           r->member, strerror(errno));
    }
    if (err != 0 && r->own_wal) {
        restore_folder_remove(wal_dir);
    }
    return err ? err : restore_folder_sync(r->o->data_dir);
}

static void take_away(struct restore *r)
{
    if (r->part == NULL) {
        return;
    }
    restore_folder_remove(r->part);
    if (r->own_wal) {
        restore_folder_remove(r->wal_part);
    }
    if (r->made) {
        rmdir(r->o->data_dir);
    }
}

static void tell_members(const struct restore *r)
{
    for (uint32_t i = 0; r->o->on_member && i < r->members.count; i++) {
        const struct member *m = &r->members.list[i];
        struct buf urls = BUF_INIT(1 << 20);
        for (uint32_t k = 0; k < m->peer_url_count; k++) {
            buf_printf(&urls, "%s%s", k ? "," : "", m->peer_urls[k]);
        }
        buf_append_byte(&urls, 0);
        r->o->on_member(r->o->ctx, r->members.cluster_id, m->id,
                        (const char *)urls.data);
        buf_release(&urls);
    }
}

static void release(struct restore *r)
{
    members_release(&r->members);
    free(r->part);
    free(r->member);
    free(r->store);
    free(r->wal_part);
}

int restore_run(const struct restore_options *options)
{
    struct restore r = {.o = options};
    int err = find_self(&r);
    if (err == 0) {
        err = check_folders(options);
    }
    if (err == 0) {
        err = check_image(options);
    }
    if (err == 0) {
        err = make_folders(&r);
    }
    if (err == 0) {
        err = make_store(&r);
    }
    if (err == 0) {
        err = make_log(&r);
    }
    if (err == 0) {
        tell_members(&r);
        err = put_in_place(&r);
    }
    if (err != 0) {
        take_away(&r);
    }
    release(&r);
    return err;
}
