/*
 * The watch hub: who watches what, and which events each has still to see.
 * Knows no gRPC: a stream hands in a callback that takes responses. Pure
 * but for reading mvcc.
 *
 * On the way of a Put: apply -> mvcc_end -> (server) watch_notify: the
 * watchers concerned are found by key (hash) and by range (a tree of
 * intervals), the event is encoded once, every stream gets the same bytes.
 *
 *   created --> synced  <----------------+     told by watch_notify()
 *      |          | stream full, or the  | has seen everything
 *      |          v store was replaced   |
 *      +------> unsynced ----------------+     told by watch_catch_up()
 *                 | what it needs was compacted
 *                 v
 *              cancelled
 *
 * A watcher's next_revision says it all: every event below it was handed
 * over, none from it on. A stream that does not drain is never buffered for:
 * its watchers fall back to unsynced and read history later. All events of
 * a revision for one watcher stand in one response (unless fragmented).
 *
 * Loop thread only.
 */
#ifndef WATCH_WATCH_H
#define WATCH_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/slice.h"
#include "mvcc/mvcc.h"

struct watch_hub;
struct watch_stream;

enum {
    /* Bounds of one catch-up pass: each ends it at the next revision. */
    WATCH_PASS_EVENTS_MAX = 8192,    /* events read */
    WATCH_PASS_REVISIONS_MAX = 1000, /* revisions with something to tell */
    WATCH_PASS_BYTES_MAX = 1 << 20,  /* of events kept for watchers */
    WATCH_PASS_WATCHERS_MAX = 512,
    WATCH_PROGRESS_JITTER = 10, /* percent */
};

/* One response, for the callback: the header is filled with `revision` (and
 * with 0 when it is 0). */
struct watch_response {
    int64_t revision;
    int64_t watch_id;
    bool created;
    bool canceled;
    bool fragment;
    int64_t compact_revision;
    const char *cancel_reason; /* NULL: none */
    struct bytes *events;      /* the `events` fields, encoded; borrowed:
                                  ref to keep. NULL: none */
    uint32_t event_count;
};

/* Takes a response; false: the stream has enough queued, nothing more until
 * watch_stream_resume() (answers to requests come all the same). Must not
 * call back into the hub. */
typedef bool watch_emit(void *ctx, const struct watch_response *response);

struct watch_config {
    struct mvcc *mvcc;
    uint64_t response_bytes_max;   /* larger ones are split for watchers
                                      that asked for fragments */
    uint64_t progress_interval_ms; /* 0: none */
    uint64_t seed;                 /* of the progress jitter */
};

struct watch_hub *watch_new(const struct watch_config *config);
/* Streams must be gone. NULL is fine. */
void watch_free(struct watch_hub *h);

/* ---- streams and watchers ---- */
struct watch_stream *watch_stream_new(struct watch_hub *h, uint64_t now_ms,
                                      watch_emit *emit, void *ctx);
/* With all its watchers, without a word. */
void watch_stream_free(struct watch_stream *s);
void watch_stream_resume(struct watch_stream *s);

struct watch_create {
    struct slice key; /* empty: the lowest key, "\0" */
    struct slice end;
    int64_t start_revision;
    int64_t watch_id; /* 0: the hub picks */
    bool progress_notify;
    bool prev_kv;
    bool fragment;
    bool no_put;
    bool no_delete;
};
/* Answers with created, or with created and canceled at once. */
void watch_create(struct watch_stream *s, const struct watch_create *create);
/* Answers with canceled; an unknown id has no answer. */
void watch_cancel(struct watch_stream *s, int64_t watch_id);
/* Manual progress: answered only when all watchers of the stream are
 * synced and at or past their start, and the stream is not full. */
void watch_progress(struct watch_stream *s);

/* ---- driving ---- */
/* After each mvcc_end(): hands mvcc_events() to the synced watchers. */
void watch_notify(struct watch_hub *h);
/* One bounded pass over history for unsynced watchers. True: there is more
 * to do now. ERR_* of the store are written to *ret_err (0 when none). */
bool watch_catch_up(struct watch_hub *h, int *ret_err);
/* True when a pass would find work. */
bool watch_wants_catch_up(const struct watch_hub *h);
/* Periodic progress notifications that are due. */
void watch_tick(struct watch_hub *h, uint64_t now_ms);
/* The store was replaced: every watcher reads on from history. */
void watch_set_store(struct watch_hub *h, struct mvcc *mvcc);

struct watch_stats {
    uint64_t stream_count;
    uint64_t watcher_count;
    uint64_t unsynced_count; /* "slow" watchers */
    uint64_t events_total;
};
void watch_get_stats(const struct watch_hub *h, struct watch_stats *ret_stats);

#endif
