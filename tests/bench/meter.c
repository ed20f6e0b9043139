#include "meter.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

enum { LOOK_US = 2000 };

struct meter {
    struct loop *loop;
    int pid;
    clockid_t cpu;
    uint64_t cpu_ns, begin_ns;
    uint64_t *times; /* ns */
    size_t count, capacity;
    pthread_t looker;
    atomic_bool done;
    uint64_t most_kb;
};

void bench_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

struct net_address bench_address(const char *text)
{
    struct url url;
    char whole[512];
    snprintf(whole, sizeof whole, "http://%s", text);
    if (url_parse(whole, &url) != 0) {
        bench_fail("bad address %s", text);
    }
    return url.address;
}

uint64_t bench_number(const char *text, uint64_t least)
{
    char *end;
    uint64_t n = strtoull(text, &end, 10);
    if (*end || n < least) {
        bench_fail("bad number %s", text);
    }
    return n;
}

/* ---- the server ---- */
static uint64_t anonymous_kb(int pid)
{
    char path[64], line[256];
    unsigned long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "RssAnon: %lu", &kb) == 1) {
            break;
        }
    }
    if (f) {
        fclose(f);
    }
    return kb;
}

static void *look(void *ctx)
{
    struct meter *m = ctx;
    const struct timespec pause = {.tv_nsec = LOOK_US * 1000};
    while (!m->done) {
        uint64_t kb = anonymous_kb(m->pid);
        m->most_kb = kb > m->most_kb ? kb : m->most_kb;
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) != 0) {
        bench_fail("the server is gone");
    }
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the row ---- */
struct meter *meter_new(struct loop *l, int server_pid)
{
    struct meter *m = mem_zalloc(sizeof *m);
    m->loop = l;
    m->pid = server_pid;
    if (clock_getcpuclockid(server_pid, &m->cpu) != 0) {
        bench_fail("no process %d", server_pid);
    }
    return m;
}

void meter_free(struct meter *m)
{
    free(m->times);
    free(m);
}

void meter_begin(struct meter *m)
{
    if (pthread_create(&m->looker, NULL, look, m) != 0) {
        bench_fail("no thread");
    }
    m->cpu_ns = clock_ns(m->cpu);
    m->begin_ns = loop_now_ns(m->loop);
}

void meter_add(struct meter *m, uint64_t took_ns)
{
    if (m->count == m->capacity) {
        m->capacity = m->capacity ? 2 * m->capacity : 1024;
        m->times = mem_realloc(m->times, m->capacity * sizeof *m->times);
    }
    m->times[m->count++] = took_ns;
}

static int compare(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static double percentile_ms(const struct meter *m, size_t percent)
{
    size_t at = (m->count * percent + 99) / 100;
    return (double)m->times[at ? at - 1 : 0] / 1e6;
}

void meter_end(struct meter *m, const char *label, uint64_t weight)
{
    double seconds = (double)(loop_now_ns(m->loop) - m->begin_ns) / 1e9;
    double cpu_us = (double)(clock_ns(m->cpu) - m->cpu_ns) / 1e3;
    m->done = true;
    pthread_join(m->looker, NULL);
    if (m->count == 0) {
        bench_fail("%s: nothing was measured", label);
    }
    qsort(m->times, m->count, sizeof *m->times, compare);
    double things = (double)m->count * (double)weight;
    printf("%-38s %10.0f %9.2f %9.2f %9.2f %8.1f\n", label, things / seconds,
           cpu_us / things, percentile_ms(m, 50), percentile_ms(m, 99),
           (double)m->most_kb / 1024);
}
