/* A store in the working folder, and what tests do with it. */
#ifndef TESTS_MVCC_FIXTURE_H
#define TESTS_MVCC_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "mvcc/mvcc.h"

#define FIXTURE_PATH "store.db"

struct fixture {
    struct kvdb *db;
    struct mvcc *m;
    uint64_t index;
    int fatal_err;
    bool no_thread; /* the store's steps are kvdb_drain()'s, one at a time */
};

static inline void fixture_fatal(void *ctx, int err, const char *text)
{
    struct fixture *f = ctx;
    f->fatal_err = err;
}

static inline void fixture_open(struct fixture *f)
{
    struct kvdb_config config = {
        .path = FIXTURE_PATH,
        .no_fsync = true,
        .no_thread = f->no_thread,
        .fatal = fixture_fatal,
        .ctx = f,
    };
    assert_int_equal(kvdb_open(&config, &f->db), 0);
    struct mvcc_config mc = {.db = f->db};
    assert_int_equal(mvcc_open(&mc, &f->m), 0);
    f->index = mvcc_applied_index(f->m);
}

static inline void fixture_close(struct fixture *f)
{
    mvcc_close(f->m);
    kvdb_close(f->db);
    f->m = NULL;
    f->db = NULL;
}

static inline void fixture_new_at(struct fixture *f, bool no_thread)
{
    *f = (struct fixture){.no_thread = no_thread};
    unlink(FIXTURE_PATH);
    unlink(FIXTURE_PATH "-lock");
    fixture_open(f);
}

static inline void fixture_new(struct fixture *f)
{
    fixture_new_at(f, false);
}

/* Jobs run in kvdb_drain() only, one step of each in turn: for tests of what
 * lies between two steps. */
static inline void fixture_new_stepped(struct fixture *f)
{
    fixture_new_at(f, true);
}

static inline void fixture_reopen(struct fixture *f)
{
    fixture_close(f);
    fixture_open(f);
}

static inline void fixture_flushed(void *ctx, int err)
{
    *(int *)ctx = err;
}

/* Waits; returns what `done` got. */
static inline int fixture_flush(struct fixture *f)
{
    int err = 1;
    mvcc_flush(f->m, fixture_flushed, &err);
    kvdb_drain(f->db);
    assert_true(err <= 0);
    return err;
}

static inline void fixture_put_one(struct fixture *f, struct slice key,
                                   struct slice value, int64_t lease)
{
    struct mvcc_stat stat;
    int err = mvcc_stat(f->m, key, &stat);
    assert_true(err == 0 || err == ERR_KEY_NOT_FOUND);
    assert_int_equal(mvcc_put(f->m, key, value, lease, err == 0 ? &stat : NULL),
                     0);
}

/* A transaction of one put. */
static inline void fixture_put(struct fixture *f, const char *key,
                               const char *value)
{
    mvcc_begin(f->m);
    fixture_put_one(f, slice_str(key), slice_str(value), 0);
    mvcc_end(f->m, ++f->index, 1);
}

static inline void fixture_delete(struct fixture *f, const char *key)
{
    int64_t count;
    mvcc_begin(f->m);
    assert_int_equal(mvcc_delete_range(f->m, slice_str(key), (struct slice){0},
                                       false, NULL, NULL, &count),
                     0);
    mvcc_end(f->m, ++f->index, 1);
}

static inline int fixture_compact(struct fixture *f, int64_t revision)
{
    int done = 1;
    mvcc_begin(f->m);
    int err = mvcc_compact(f->m, revision, fixture_flushed, &done);
    mvcc_end(f->m, ++f->index, 1);
    kvdb_drain(f->db);
    return err ? err : done;
}

static inline void fixture_expect(struct fixture *f, const char *key,
                                  const char *value)
{
    struct mvcc_kv kv;
    int err = mvcc_get(f->m, slice_str(key), &kv);
    if (value == NULL) {
        assert_int_equal(err, ERR_KEY_NOT_FOUND);
        return;
    }
    assert_int_equal(err, 0);
    assert_true(slice_eq_str(kv.value, value));
}

#endif
