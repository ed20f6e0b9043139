/*
 *   diff --etcd URL,... --cofre URL,... [--runs N] [--seed S]
 * Draws N runs from the seeds S, S+1 ... and compares the two clusters, which
 * nobody else uses meanwhile. A difference is shrunk and shown.
 *   --verbose     a line for each run
 *   --proxied     the cofre's addresses are those of its gRPC proxies
 *   --steps       shows a run (--seed, --nodes) without asking anybody
 *   --spoil PATH  the self-test: cofre's answers to calls of this path are
 *                 given a word more, which must be found and shrunk to a
 *                 step; exit status 0 when it was
 * Exit status 1 when there were differences, 2 when a side was lost.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "diff.h"

enum {
    FINDINGS_MAX = 20, /* then it gives up */
    RUNS_LATE_MAX = 5, /* then a difference is one */
};

static const char *const kinds[] = {
    "call",  "keep-alive", "watch", "sync", "close",    "expired",
    "begin", "await",      "heard", "cut",  "appeared", "settle"};

static void show_step(const struct run *r, int i)
{
    const struct step *s = &r->steps[i];
    struct buf text = BUF_INIT(64 << 20);
    buf_printf(&text, "%4d %s %s role %d", i, kinds[s->kind],
               s->path ? s->path : "", s->role);
    if (s->kind == STEP_WATCH || s->kind == STEP_SYNC ||
        s->kind == STEP_CLOSE || s->kind == STEP_BEGIN ||
        s->kind == STEP_AWAIT) {
        buf_printf(&text, " stream %d", s->stream);
    }
    if (s->repeat != 1) {
        buf_printf(&text, " x%d", s->repeat);
    }
    buf_append_str(&text, " { ");
    if (s->request) {
        message_print(&text, s->request);
    }
    buf_append_str(&text, "}\n");
    fwrite(text.data, 1, text.size, stdout);
    buf_release(&text);
}

static void show_texts(const struct pair *p, int at)
{
    printf("first revision %lld; step %d:\n%s:\n%s\n%s:\n%s\n",
           (long long)p->a.base, at, p->a.name, p->a.results[at], p->b.name,
           p->b.results[at]);
    fflush(stdout);
}

static void show(const struct pair *p, const struct run *r, int at)
{
    for (int i = 0; i < r->count; i++) {
        show_step(r, i);
    }
    if (at >= 0 && at < r->count) {
        show_texts(p, at);
    } else {
        printf("the difference did not come again\n");
        fflush(stdout);
    }
}

struct options {
    const char *etcd, *cofre, *spoil;
    uint64_t seed, runs;
    int nodes;
    bool steps;
    bool is_proxied;
    bool is_verbose; /* a line for each run */
};

static int usage(void)
{
    fputs("usage: diff --etcd URL,... --cofre URL,... [--runs N] [--seed S] "
          "[--steps [--nodes N]] [--verbose] [--proxied] [--spoil PATH]\n",
          stderr);
    return 2;
}

static bool parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        i++;
        if (strcmp(argv[i - 1], "--etcd") == 0) {
            o->etcd = value;
        } else if (strcmp(argv[i - 1], "--cofre") == 0) {
            o->cofre = value;
        } else if (strcmp(argv[i - 1], "--spoil") == 0) {
            o->spoil = value;
        } else if (strcmp(argv[i - 1], "--seed") == 0) {
            o->seed = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i - 1], "--runs") == 0) {
            o->runs = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i - 1], "--nodes") == 0) {
            o->nodes = atoi(value);
        } else if (strcmp(argv[i - 1], "--steps") == 0) {
            o->steps = true;
            i--;
        } else if (strcmp(argv[i - 1], "--verbose") == 0) {
            o->is_verbose = true;
            i--;
        } else if (strcmp(argv[i - 1], "--proxied") == 0) {
            o->is_proxied = true;
            i--;
        } else {
            return false;
        }
    }
    return o->steps || (o->etcd && o->cofre);
}

/* As pair_run(); a difference of a run that was too slow for its lease says
 * nothing, so that is done again. */
static int run_in_time(struct pair *p, const struct run *r, uint64_t seed)
{
    int at = pair_run(p, r);
    for (int i = 0; i < RUNS_LATE_MAX; i++) {
        if (at < 0 || !(p->a.is_late || p->b.is_late)) {
            break;
        }
        printf("seed %llu: a difference at step %d, but a second passed "
               "between a lease and its keys; again\n",
               (unsigned long long)seed, at);
        at = pair_run(p, r);
    }
    return at;
}

/* How many answers were no errors: a run of refusals alone proves little. */
static uint64_t count_ok(const struct side *s, const struct run *r)
{
    uint64_t n = 0;
    for (int i = 0; i < r->count; i++) {
        n += s->results && s->results[i] && strstr(s->results[i], "  OK\n");
    }
    return n;
}

/* 0: all equal; 1: differences; 2: lost. */
static int compare(struct pair *p, const struct options *o)
{
    struct run *r = mem_alloc(sizeof *r);
    uint64_t calls = 0, failed = 0, passed = 0, found = 0;
    uint64_t answered = 0;
    bool lost = false;
    for (uint64_t i = 0;
         i < o->runs && failed < FINDINGS_MAX && !lost && !(o->spoil && found);
         i++) {
        gen_run(r, o->seed + i, p->a.member_count);
        int at = run_in_time(p, r, o->seed + i);
        calls += (uint64_t)r->calls;
        answered += count_ok(&p->a, r);
        bool differs = at >= 0;
        lost = p->a.is_lost || p->b.is_lost;
        if (differs && !lost) {
            printf("seed %llu: a difference at step %d\n",
                   (unsigned long long)(o->seed + i), at);
            show_texts(p, at);
            shrink(p, r, &at);
            show(p, r, at);
            lost = p->a.is_lost || p->b.is_lost;
            differs = !o->spoil || r->count > 1;
        }
        if (lost) {
            printf("seed %llu: %s is lost\n", (unsigned long long)(o->seed + i),
                   p->a.is_lost ? p->a.name : p->b.name);
        }
        if (o->is_verbose) {
            printf("seed %llu: %d calls\n", (unsigned long long)(o->seed + i),
                   r->calls);
            fflush(stdout);
        }
        passed += !differs;
        failed += differs;
        found += at >= 0;
        arena_release(&r->arena);
    }
    printf("%d node(s): %llu calls each side, %llu answered OK, %llu passed, "
           "%llu failed\n",
           p->a.member_count, (unsigned long long)calls,
           (unsigned long long)answered, (unsigned long long)passed,
           (unsigned long long)failed);
    free(r);
    return lost ? 2 : failed || (o->spoil && !found);
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 1, .runs = 100, .nodes = 1};
    static struct pair pair;
    signal(SIGPIPE, SIG_IGN);
    if (!parse(argc, argv, &o)) {
        return usage();
    }
    if (o.steps) {
        struct run *r = mem_alloc(sizeof *r);
        gen_run(r, o.seed, o.nodes);
        for (int i = 0; i < r->count; i++) {
            show_step(r, i);
        }
        arena_release(&r->arena);
        free(r);
        return 0;
    }
    side_open(&pair.a, "etcd", o.etcd);
    side_open(&pair.b, "cofre", o.cofre);
    pair.b.spoil = o.spoil;
    if (o.is_proxied) {
        proxy_begin(pair.b.member_count);
    }
    int status = compare(&pair, &o);
    side_close(&pair.a);
    side_close(&pair.b);
    return status;
}
