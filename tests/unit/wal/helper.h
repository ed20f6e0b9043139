/* A log in a folder of its own, a replay written down as text, files. */
#ifndef WAL_HELPER_H
#define WAL_HELPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/mem.h"
#include "wal/wal.h"

#define HELPER __attribute__((unused)) static

struct fixture {
    char *dir;
    struct wal_config config;
    atomic_int fatal_err;
    atomic_uint notified;
    char fatal_text[512];
};

HELPER const struct wal_identity identity = {0xa1, 0xc1};

HELPER void on_notify(void *ctx)
{
    struct fixture *f = ctx;
    atomic_fetch_add(&f->notified, 1);
}

HELPER void on_fatal(void *ctx, int err, const char *text)
{
    struct fixture *f = ctx;
    snprintf(f->fatal_text, sizeof f->fatal_text, "%s", text);
    atomic_store(&f->fatal_err, err);
}

HELPER struct fixture *fixture_new(uint64_t segment_bytes)
{
    static int count;
    struct fixture *f = mem_zalloc(sizeof *f);
    f->dir = mem_printf("log-%d", count++);
    f->config = (struct wal_config){.dir = f->dir,
                                    .segment_bytes = segment_bytes,
                                    .no_fsync = true,
                                    .notify = on_notify,
                                    .fatal = on_fatal,
                                    .ctx = f};
    return f;
}

/* Calls `each` for every file in the folder with its path. */
HELPER void each_file(const char *dir,
                      void (*each)(const char *path, const char *name,
                                   void *ctx),
                      void *ctx)
{
    DIR *d = opendir(dir);
    if (d == NULL) {
        return;
    }
    struct dirent *item;
    while ((item = readdir(d)) != NULL) {
        if (item->d_name[0] != '.') {
            char *path = mem_printf("%s/%s", dir, item->d_name);
            each(path, item->d_name, ctx);
            free(path);
        }
    }
    closedir(d);
}

HELPER void remove_one(const char *path, const char *name, void *ctx)
{
    (void)name;
    (void)ctx;
    unlink(path);
}

HELPER void remove_dir(const char *dir)
{
    each_file(dir, remove_one, NULL);
    rmdir(dir);
}

HELPER void fixture_free(struct fixture *f)
{
    remove_dir(f->dir);
    free(f->dir);
    free(f);
}

/* --- replay as text --- */

HELPER int note_entry(void *ctx, uint64_t term, uint64_t index, uint32_t type,
                      struct slice data)
{
    return buf_printf(ctx, "e %" PRIu64 " %" PRIu64 " %u %zu %08x\n", term,
                      index, type, data.size, crc32c(0, data.data, data.size));
}

HELPER int note_hard_state(void *ctx, uint64_t term, uint64_t vote,
                           uint64_t commit)
{
    return buf_printf(ctx, "h %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", term,
                      vote, commit);
}

HELPER int note_snapshot(void *ctx, uint64_t index, uint64_t term,
                         struct slice conf)
{
    return buf_printf(ctx, "s %" PRIu64 " %" PRIu64 " %.*s\n", index, term,
                      (int)conf.size, conf.size ? (const char *)conf.data : "");
}

HELPER int open_noting(struct fixture *f, struct buf *notes,
                       struct wal **ret_wal)
{
    const struct wal_replay replay = {.entry = note_entry,
                                      .hard_state = note_hard_state,
                                      .snapshot = note_snapshot,
                                      .ctx = notes};
    struct wal_identity found;
    buf_reset(notes, SIZE_MAX);
    int err = wal_open(&f->config, &replay, &found, ret_wal);
    if (err == 0) {
        assert_int_equal(found.member_id, identity.member_id);
        assert_int_equal(found.cluster_id, identity.cluster_id);
    }
    return err;
}

HELPER const char *text_of(struct buf *b)
{
    buf_append_byte(b, 0);
    b->size--;
    return (const char *)b->data;
}

HELPER void assert_text(struct buf *got, struct buf *want)
{
    assert_string_equal(text_of(got), text_of(want));
}

/* What is written both to the log and, as the replay will tell it, down. */
HELPER void put_entry(struct wal *w, struct buf *want, uint64_t term,
                      uint64_t index, struct slice data)
{
    wal_entry(w, term, index, 0, data);
    note_entry(want, term, index, 0, data);
}

HELPER void put_hard_state(struct wal *w, struct buf *want, uint64_t term,
                           uint64_t vote, uint64_t commit)
{
    wal_hard_state(w, term, vote, commit);
    note_hard_state(want, term, vote, commit);
}

/* Waits for the writer, which either gets there or fails. */
HELPER void wait_durable(struct fixture *f, struct wal *w, uint64_t number)
{
    for (int i = 0; wal_durable(w) < number; i++) {
        if (atomic_load(&f->fatal_err)) {
            return;
        }
        assert_true(i < 1000000);
        usleep(10);
    }
}

HELPER void submit_wait(struct fixture *f, struct wal *w)
{
    wait_durable(f, w, wal_submit(w, true));
}

/* --- files --- */

HELPER void file_read(const char *path, struct buf *b)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    buf_reset(b, SIZE_MAX);
    assert_int_equal(buf_reserve(b, (size_t)st.st_size + 1), 0);
    assert_int_equal(read(fd, b->data, (size_t)st.st_size), st.st_size);
    b->size = (size_t)st.st_size;
    close(fd);
}

HELPER void file_write(const char *path, const void *data, size_t size)
{
    unlink(path); /* some file systems flush a file that was truncated */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

struct last_file {
    char path[300];
};

HELPER void pick_last(const char *path, const char *name, void *ctx)
{
    struct last_file *l = ctx;
    if (strstr(name, ".wal") && strcmp(path, l->path) > 0) {
        snprintf(l->path, sizeof l->path, "%s", path);
    }
}

HELPER struct last_file last_segment(const char *dir)
{
    struct last_file l = {""};
    each_file(dir, pick_last, &l);
    return l;
}

HELPER void count_segment(const char *path, const char *name, void *ctx)
{
    (void)path;
    *(int *)ctx += strstr(name, ".wal") != NULL;
}

HELPER int count_segments(const char *dir)
{
    int count = 0;
    each_file(dir, count_segment, &count);
    return count;
}

#endif
