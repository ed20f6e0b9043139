#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "diff.h"

enum { TRIALS_MAX = 250 };

/* ---- both sides at once, a thread each ---- */

static void *clean(void *side)
{
    side_clean(side);
    return NULL;
}

struct leveling {
    struct side *side;
    int64_t revision;
};

static void *level(void *ctx)
{
    struct leveling *l = ctx;
    side_level(l->side, l->revision);
    return NULL;
}

static void *run_side(void *side)
{
    execute(side);
    return NULL;
}

static void both(void *(*work)(void *), void *a, void *b)
{
    pthread_t other;
    pthread_create(&other, NULL, work, a);
    work(b);
    pthread_join(other, NULL);
}

static void begin(struct side *s, const struct run *r)
{
    side_drop_results(s);
    s->results = mem_zalloc(STEPS_MAX * sizeof *s->results);
    s->run = r;
    s->short_ns = 0;
    s->is_late = false;
}

int pair_run(struct pair *p, const struct run *r)
{
    both(clean, &p->a, &p->b);
    if (p->a.is_lost || p->b.is_lost) {
        return r->count;
    }
    int64_t revision =
        p->a.revision > p->b.revision ? p->a.revision : p->b.revision;
    struct leveling a = {&p->a, revision + LEVEL_REVISIONS};
    struct leveling b = {&p->b, revision + LEVEL_REVISIONS};
    both(level, &a, &b);
    begin(&p->a, r);
    begin(&p->b, r);
    both(run_side, &p->a, &p->b);
    if (p->a.is_lost || p->b.is_lost) {
        return r->count;
    }
    for (int i = 0; i < r->count; i++) {
        if (strcmp(p->a.results[i], p->b.results[i]) != 0 &&
            !rules_exempt(&r->steps[i])) {
            return i;
        }
    }
    return -1;
}

/* ---- fewer steps, the same difference ---- */

static bool same_step(const struct step *a, const struct step *b)
{
    return a->kind == b->kind &&
           (a->path == b->path ||
            (a->path && b->path && strcmp(a->path, b->path) == 0));
}

/* Does a difference of the same call remain without steps [at, at + n)? */
static bool without(struct pair *p, const struct run *r, int at, int n,
                    const struct step *wanted, struct run *trial, int *ret_at)
{
    *trial = *r;
    memmove(&trial->steps[at], &trial->steps[at + n],
            (size_t)(r->count - at - n) * sizeof r->steps[0]);
    trial->count -= n;
    int found = pair_run(p, trial);
    if (found < 0 || found >= trial->count ||
        !same_step(&trial->steps[found], wanted)) {
        return false;
    }
    trial->count = found + 1; /* what comes after is no matter */
    *ret_at = found;
    return true;
}

void shrink(struct pair *p, struct run *r, int *at)
{
    struct run *trial = mem_alloc(sizeof *trial);
    const struct step wanted = r->steps[*at];
    int trials = 0;
    r->count = *at + 1;
    p->a.patience_ms = p->b.patience_ms = SHRINKING_PATIENCE_MS;
    for (int n = r->count / 2; n > 0 && trials < TRIALS_MAX;) {
        bool dropped = false;
        for (int i = 0; i < r->count - 1 && trials < TRIALS_MAX;) {
            int size = i + n < r->count ? n : r->count - 1 - i;
            trials++;
            if (without(p, r, i, size, &wanted, trial, at)) {
                memcpy(r, trial, sizeof *r);
                dropped = true;
            } else {
                i += size;
            }
        }
        n = n > 1 ? n / 2 : dropped ? 1 : 0;
    }
    free(trial);
    p->a.patience_ms = p->b.patience_ms = PATIENCE_MS;
    *at = pair_run(p, r); /* the texts of the last one that differs */
    printf("shrunk to %d steps in %d trials\n", r->count, trials);
}
