/*
 * When history is given up by itself, and up to where: decided from time
 * and revision alone, so that it can be run on a made-up clock.
 *
 * periodic: the revision is sampled ten times a period (an hour at most);
 * once the first period is over, and then each period (or hour), what was
 * the revision a period ago is compacted. Members that do not lead sample,
 * too, so that a new leader goes on where the old one was.
 * revision: every five minutes all but the last so many revisions.
 */
#ifndef API_COMPACTOR_H
#define API_COMPACTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum api_compaction_mode {
    API_COMPACT_NEVER,
    API_COMPACT_PERIODIC,
    API_COMPACT_REVISION,
};

enum {
    API_COMPACT_HOUR_MS = 3600 * 1000,
    API_COMPACT_REVISION_MS = 5 * 60 * 1000,
};

struct api_compactor {
    enum api_compaction_mode mode;
    uint64_t period_ms;
    int64_t keep; /* revisions */
    uint64_t interval_ms;
    uint64_t sample_ms;
    size_t sample_max;
    int64_t *samples; /* oldest first */
    size_t sample_count;
    size_t sample_capacity;
    uint64_t next_ms;
    uint64_t success_ms;
    uint64_t wait_ms; /* since success_ms */
    int64_t last;     /* revision */
    int64_t asked;    /* 0: none is under way */
    bool started;
};

/* `retention`: milliseconds or revisions; 0: never. */
void api_compactor_init(struct api_compactor *c, enum api_compaction_mode mode,
                        int64_t retention);
void api_compactor_release(struct api_compactor *c);
/* At each tick. The revision to compact at now, 0: none. After one was
 * given nothing happens before api_compactor_done(). */
int64_t api_compactor_due(struct api_compactor *c, uint64_t now_ms,
                          bool is_leader, int64_t revision);
/* ok: it is compacted, by us or by somebody else. */
void api_compactor_done(struct api_compactor *c, uint64_t now_ms, bool ok);

#endif
