/*
 * What the store costs: put, get, flush, memory, restart. Prints one line a
 * number. Not a test: nothing fails here.
 *
 *   mvcc_store [folder [all]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "mvcc/mvcc.h"

enum {
    VALUE_SIZE = 256,
    HOT_KEYS = 100000,
    PUTS = 1000000,
};

struct bench {
    char path[512];
    struct kvdb *db;
    struct mvcc *m;
    uint64_t index;
    struct rng rng;
};

static double now_s(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static long status_kib(const char *field)
{
    char line[256];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, field, strlen(field)) == 0) {
            kib = strtol(line + strlen(field) + 1, NULL, 10);
        }
    }
    if (f) {
        fclose(f);
    }
    return kib;
}

static void fatal(void *ctx, int err, const char *text)
{
    fprintf(stderr, "%s\n", text);
    exit(1);
}

static void open_store(struct bench *b)
{
    struct kvdb_config config = {.path = b->path, .fatal = fatal};
    if (kvdb_open(&config, &b->db) != 0 ||
        mvcc_open(&(struct mvcc_config){.db = b->db}, &b->m) != 0) {
        fprintf(stderr, "%s\n", kvdb_error_text());
        exit(1);
    }
    b->index = mvcc_applied_index(b->m);
}

static void close_store(struct bench *b)
{
    mvcc_close(b->m);
    kvdb_close(b->db);
}

static void remove_store(struct bench *b)
{
    char lock[600];
    snprintf(lock, sizeof lock, "%s-lock", b->path);
    unlink(b->path);
    unlink(lock);
}

static struct slice key_of(char text[64], uint64_t number)
{
    int n = snprintf(text, 64, "/registry/pods/default/key-%08llu",
                     (unsigned long long)number);
    return slice_of(text, (size_t)n);
}

/* The loop of a node: put, now and then poll, flush when asked, and wait
 * where the delta would grow without bound. */
static double put_many(struct bench *b, uint64_t count, uint64_t keys,
                       bool random)
{
    char text[64];
    char value[VALUE_SIZE];
    memset(value, 'v', sizeof value);
    double put_s = 0;
    for (uint64_t i = 0; i < count; i += 1000) {
        double start = now_s(CLOCK_THREAD_CPUTIME_ID);
        for (uint64_t j = i; j < i + 1000; j++) {
            uint64_t n = random ? rng_below(&b->rng, keys) : j % keys;
            struct slice key = key_of(text, n);
            struct mvcc_stat stat;
            mvcc_begin(b->m);
            bool known = mvcc_stat(b->m, key, &stat) == 0;
            mvcc_put(b->m, key, slice_of(value, sizeof value), 0,
                     known ? &stat : NULL);
            mvcc_end(b->m, ++b->index, 1);
        }
        put_s += now_s(CLOCK_THREAD_CPUTIME_ID) - start;
        kvdb_poll(b->db);
        if (mvcc_wants_flush(b->m)) {
            mvcc_flush(b->m, NULL, NULL);
        }
        while (mvcc_delta_bytes(b->m) > 24u << 20) {
            usleep(500);
            kvdb_poll(b->db);
        }
    }
    mvcc_flush(b->m, NULL, NULL);
    kvdb_drain(b->db);
    return put_s;
}

static void bench_puts(struct bench *b, const char *name, uint64_t keys,
                       bool random)
{
    struct kvdb_stats stats;
    double wall = now_s(CLOCK_MONOTONIC);
    double cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
    double put_s = put_many(b, PUTS, keys, random);
    wall = now_s(CLOCK_MONOTONIC) - wall;
    cpu = now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    kvdb_get_stats(b->db, &stats);
    printf("%s: put %.0f ns of the loop, %.0f ns of flush, %.0f ns wall\n",
           name, put_s * 1e9 / PUTS, (cpu - put_s) * 1e9 / PUTS,
           wall * 1e9 / PUTS);
    printf("%s: RssAnon %ld KiB, file %.0f MB, %llu commits of %.1f ms\n", name,
           status_kib("RssAnon:"), (double)stats.file_bytes / 1e6,
           (unsigned long long)stats.commit_count,
           (double)stats.commit_ns_total / 1e6 /
               (double)(stats.commit_count ? stats.commit_count : 1));
}

static void bench_gets(struct bench *b, const char *name, uint64_t keys)
{
    char text[64];
    uint64_t bytes = 0;
    double start = now_s(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < PUTS; i++) {
        struct mvcc_kv kv;
        struct slice key = key_of(text, rng_below(&b->rng, keys));
        if (mvcc_get(b->m, key, &kv) == 0) {
            bytes += kv.value.size;
        }
    }
    printf("%s: get %.0f ns (%llu bytes)\n", name,
           (now_s(CLOCK_THREAD_CPUTIME_ID) - start) * 1e9 / PUTS,
           (unsigned long long)bytes);
}

static bool count_bytes(void *ctx, const struct mvcc_kv *kv)
{
    *(uint64_t *)ctx += kv->value.size;
    return true;
}

static void bench_range(struct bench *b, const char *name)
{
    uint64_t bytes = 0;
    int64_t count;
    struct mvcc_range range = {.key = slice_str("/"), .end = slice_of("\0", 1)};
    double start = now_s(CLOCK_THREAD_CPUTIME_ID);
    mvcc_range(b->m, &range, count_bytes, &bytes, &count);
    printf("%s: range of all %.0f ns a key\n", name,
           (now_s(CLOCK_THREAD_CPUTIME_ID) - start) * 1e9 / (double)count);
    start = now_s(CLOCK_THREAD_CPUTIME_ID);
    range.count_only = true;
    mvcc_range(b->m, &range, NULL, NULL, &count);
    printf("%s: count of all %.0f ns a key\n", name,
           (now_s(CLOCK_THREAD_CPUTIME_ID) - start) * 1e9 / (double)count);
}

static void bench_reopen(struct bench *b, const char *name)
{
    close_store(b);
    double start = now_s(CLOCK_MONOTONIC);
    open_store(b);
    printf("%s: open %.2f ms\n", name, (now_s(CLOCK_MONOTONIC) - start) * 1e3);
}

static void bench_compact(struct bench *b, const char *name)
{
    struct mvcc_stats stats;
    double cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
    double wall = now_s(CLOCK_MONOTONIC);
    mvcc_begin(b->m);
    mvcc_compact(b->m, mvcc_revision(b->m), NULL, NULL);
    mvcc_end(b->m, ++b->index, 1);
    kvdb_drain(b->db);
    mvcc_get_stats(b->m, &stats);
    double n = (double)(stats.compacted_total ? stats.compacted_total : 1);
    printf("%s: compaction of %llu revisions, %.0f ns cpu, %.0f ns wall "
           "each; RssAnon %ld KiB\n",
           name, (unsigned long long)stats.compacted_total,
           (now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e9 / n,
           (now_s(CLOCK_MONOTONIC) - wall) * 1e9 / n, status_kib("RssAnon:"));
}

static void on_hash(void *ctx, int err, const struct mvcc_hash *hash)
{
    printf("hash %08x (%d)\n", hash ? hash->hash : 0, err);
}

static void bench_hash(struct bench *b, const char *name)
{
    double wall = now_s(CLOCK_MONOTONIC);
    mvcc_hash_kv(b->m, 0, on_hash, NULL);
    kvdb_drain(b->db);
    printf("%s: hash of the history %.0f ms\n", name,
           (now_s(CLOCK_MONOTONIC) - wall) * 1e3);
}

static void bench_all(struct bench *b, const char *name, uint64_t keys,
                      bool random)
{
    remove_store(b);
    open_store(b);
    bench_puts(b, name, keys, random);
    bench_gets(b, name, keys);
    bench_range(b, name);
    bench_compact(b, name);
    bench_gets(b, name, keys);
    bench_hash(b, name);
    bench_reopen(b, name);
    close_store(b);
    remove_store(b);
}

int main(int argc, char **argv)
{
    struct bench b = {.rng = {7}};
    snprintf(b.path, sizeof b.path, "%s/bench.db", argc > 1 ? argv[1] : ".");
    printf("start: RssAnon %ld KiB\n", status_kib("RssAnon:"));
    if (argc > 2) {
        bench_all(&b, "1 M distinct in order", PUTS, false);
        bench_all(&b, "1 M distinct at random", 10 * PUTS, true);
    }
    bench_all(&b, "100 k keys at random", HOT_KEYS, true);
    return 0;
}
