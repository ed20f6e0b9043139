/* A real store in the current folder, for tests of what stands on it. */
#ifndef TESTS_UNIT_STORE_H
#define TESTS_UNIT_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "kvdb/kvdb.h"
#include "mvcc/mvcc.h"

struct store {
    char path[64];
    struct kvdb *db;
    struct mvcc *mvcc;
};

static inline void store_notify(void *ctx)
{
}

static inline void store_fatal(void *ctx, int err, const char *text)
{
    fprintf(stderr, "store: %s: %s\n", err_name(err), text);
    abort();
}

static inline void store_open(struct store *s)
{
    struct kvdb_config kc = {
        .path = s->path,
        .no_fsync = true,
        .notify = store_notify,
        .fatal = store_fatal,
    };
    assert_int_equal(kvdb_open(&kc, &s->db), 0);
    struct mvcc_config mc = {.db = s->db};
    assert_int_equal(mvcc_open(&mc, &s->mvcc), 0);
}

static inline void store_new(struct store *s)
{
    static int count;
    snprintf(s->path, sizeof s->path, "store-%d.mdb", count++);
    store_open(s);
}

static inline void store_close(struct store *s)
{
    mvcc_close(s->mvcc);
    kvdb_close(s->db);
}

static inline void store_flushed(void *ctx, int err)
{
    assert_int_equal(err, 0);
    *(int *)ctx = 1;
}

/* Until *done, polling the store thread. */
static inline void store_wait(struct store *s, const int *done)
{
    for (int i = 0; i < 20000 && !*(const volatile int *)done; i++) {
        kvdb_poll(s->db);
        usleep(200);
    }
    assert_true(*done);
}

static inline void store_flush(struct store *s)
{
    int done = 0;
    mvcc_flush(s->mvcc, store_flushed, &done);
    store_wait(s, &done);
}

#endif
