#include "compactor.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { SAMPLES_PER_INTERVAL = 10 };

void api_compactor_init(struct api_compactor *c, enum api_compaction_mode mode,
                        int64_t retention)
{
    *c = (struct api_compactor){0};
    if (retention <= 0) {
        return;
    }
    c->mode = mode;
    if (mode == API_COMPACT_REVISION) {
        c->keep = retention;
        c->sample_ms = API_COMPACT_REVISION_MS;
        return;
    }
    c->period_ms = (uint64_t)retention;
    c->interval_ms =
        c->period_ms < API_COMPACT_HOUR_MS ? c->period_ms : API_COMPACT_HOUR_MS;
    c->sample_ms = c->interval_ms / SAMPLES_PER_INTERVAL;
    c->sample_ms = c->sample_ms ? c->sample_ms : 1;
    c->sample_max = c->period_ms / c->sample_ms + 1;
    c->wait_ms = c->period_ms;
}

void api_compactor_release(struct api_compactor *c)
{
    free(c->samples);
    *c = (struct api_compactor){0};
}

static void sample(struct api_compactor *c, int64_t revision)
{
    if (c->mode != API_COMPACT_PERIODIC) {
        return;
    }
    if (c->sample_count == c->sample_max) {
        c->sample_count--;
        memmove(c->samples, c->samples + 1,
                c->sample_count * sizeof *c->samples);
    }
    if (c->sample_count == c->sample_capacity) {
        c->sample_capacity = c->sample_capacity ? 2 * c->sample_capacity : 16;
        c->samples =
            mem_realloc(c->samples, c->sample_capacity * sizeof *c->samples);
    }
    c->samples[c->sample_count++] = revision;
}

/* What would be compacted now. */
static int64_t candidate(const struct api_compactor *c, uint64_t now_ms,
                         int64_t revision)
{
    int64_t rev = 0;
    if (c->mode == API_COMPACT_REVISION) {
        rev = revision > c->keep ? revision - c->keep : 0;
    } else if (now_ms - c->success_ms >= c->wait_ms) {
        rev = c->samples[0];
    }
    return rev == c->last ? 0 : rev;
}

int64_t api_compactor_due(struct api_compactor *c, uint64_t now_ms,
                          bool is_leader, int64_t revision)
{
    if (c->mode == API_COMPACT_NEVER || c->asked) {
        return 0;
    }
    if (!c->started) {
        c->started = true;
        c->success_ms = now_ms;
        c->next_ms = now_ms + c->sample_ms;
        sample(c, revision);
        return 0;
    }
    if (now_ms < c->next_ms) {
        return 0;
    }
    c->next_ms = now_ms + c->sample_ms;
    if (is_leader) {
        c->asked = candidate(c, now_ms, revision);
        if (c->asked) {
            c->wait_ms = c->interval_ms;
        }
    }
    sample(c, revision);
    return c->asked;
}

void api_compactor_done(struct api_compactor *c, uint64_t now_ms, bool ok)
{
    if (ok) {
        c->last = c->asked;
        c->success_ms = now_ms;
    }
    c->asked = 0;
}
