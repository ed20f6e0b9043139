/*
 * Answers to ranges, kept for those who ask serializably. Pure. An answer is
 * found by who asked (token and all) and by the whole request; the least
 * used go when there are too many or they are too large together.
 *
 * What is written through this proxy removes what it overlaps, of the
 * current revision: before the write is sent and when it is answered; an
 * answer that was under way meanwhile is not kept. Writes past this proxy
 * and the end of a lease are not seen: that is what serializable allows.
 */
#ifndef PROXY_CACHE_H
#define PROXY_CACHE_H

#include "base/bytes.h"
#include "base/list.h"
#include "proto/proto.h"

enum {
    CACHE_COUNT_MAX = 2048,
    CACHE_BYTES_MAX = 64 << 20,
    CACHE_ANSWER_BYTES_MAX = 1 << 20, /* a larger one is not kept */
};

struct cache;

struct cache_stats {
    uint64_t hits;
    uint64_t misses;
    uint32_t count;
    size_t bytes;
};

struct cache *cache_new(void);
void cache_free(struct cache *c); /* no fill may be open */

/* NULL: not there. Lives until the next call. */
struct bytes *cache_get(struct cache *c, struct slice token,
                        const struct proto_range *range);

/* An answer that is awaited; embedded by the caller. The slices of token and
 * range must live until the end. */
struct cache_fill {
    struct list link;
    struct slice token;
    struct proto_range range;
    bool is_stale;
};
void cache_fill_begin(struct cache *c, struct cache_fill *f, struct slice token,
                      const struct proto_range *range);
/* Keeps the answer, which a member gave at `revision`, unless it was
 * overtaken by a write or the member is behind one. `answer` NULL data: there
 * is none. */
void cache_fill_end(struct cache *c, struct cache_fill *f, struct slice answer,
                    int64_t revision);
/* A write of this revision was answered: members that have not seen it are
 * behind. */
void cache_written(struct cache *c, int64_t revision);

/* Keys from `key` to `end` (as in a request: empty, "\0") were or will be
 * written. */
void cache_invalidate(struct cache *c, struct slice key, struct slice end);
/* History before `revision` is gone. */
void cache_compact(struct cache *c, int64_t revision);
/* Forgets all: rights may have changed. */
void cache_clear(struct cache *c);
void cache_get_stats(const struct cache *c, struct cache_stats *ret);

#endif
