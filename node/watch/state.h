/* What the hub's files share. */
#ifndef WATCH_STATE_H
#define WATCH_STATE_H

#include "base/list.h"
#include "base/rng.h"
#include "base/table.h"
#include "watch.h"

/* The watchers of one key or one range. */
struct watch_group {
    struct list watchers;
    struct slice key; /* owned; */
    struct slice end; /* owned, empty: one key */
    union {
        struct table_link link; /* one key */
        struct {                /* a range: node of the interval tree */
            struct watch_group *left;
            struct watch_group *right;
            const struct watch_group *last; /* of this subtree: the group
                                               whose end is the greatest */
            int height;
        };
    };
};

enum { WATCH_NO_BATCH = 0 };

/* At most 400 bytes each, checked below. */
struct watcher {
    struct list in_group;
    struct list in_stream;
    struct list in_unsynced; /* a list of its own when synced */
    struct table_link by_id; /* hub.ids */
    struct watch_group *group;
    struct watch_stream *stream;
    int64_t id;
    int64_t next_revision; /* synced: never below the start revision */
    uint32_t batch;        /* of the batch under work, + 1 */
    bool progress_notify : 1;
    bool prev_kv : 1;
    bool fragment : 1;
    bool no_put : 1;
    bool no_delete : 1;
    bool synced : 1;
    bool future : 1;  /* began with a start revision still to come */
    bool in_pass : 1; /* takes part in the running catch-up pass */
    bool told : 1;    /* had events since the last progress tick */
};
_Static_assert(sizeof(struct watcher) <= 400, "budget of a watcher");

struct watch_stream {
    struct watch_hub *hub;
    struct list in_hub;
    struct list watchers;
    uint64_t watcher_count;
    uint64_t unsynced_count;
    uint64_t progress_count; /* watchers with progress_notify */
    int64_t next_id;
    uint64_t progress_due_ms;
    bool blocked;
    watch_emit *emit;
    void *ctx;
};

/* An event kept for a batch, with its two encodings, made when needed. */
struct watch_event {
    struct bytes *record;
    int64_t mod_revision;
    bool tombstone;
    bool created;
    struct bytes *plain;     /* the `events` field without prev_kv */
    struct bytes *with_prev; /* and with it */
};

struct watch_pair { /* watcher of a batch x event */
    uint32_t event;
    uint32_t next; /* index + 1; 0: last */
};

struct watch_slot {
    struct watcher *watcher;
    uint32_t first; /* pair index + 1 */
    uint32_t last;
    uint32_t count;
};

/* Events and who gets which, of one transaction or one pass. */
struct watch_batch {
    struct watch_event *events;
    uint32_t event_count, event_capacity;
    struct watch_pair *pairs;
    uint32_t pair_count, pair_capacity;
    struct watch_slot *slots;
    uint32_t slot_count, slot_capacity;
    uint64_t bytes;
};

struct watch_hub {
    struct watch_config config;
    struct mvcc *mvcc;
    int64_t revision;           /* up to which the synced were told */
    struct table groups;        /* one key each */
    struct watch_group *ranges; /* interval tree */
    struct table ids;           /* (stream, id) -> watcher */
    struct list streams;
    struct list unsynced;
    uint64_t ready; /* of them on streams that are not full */
    struct watch_batch batch;
    struct rng rng;
    struct watch_stats stats;
};

/* group.c: finding watchers. NULL end or empty: one key. */
struct watch_group *watch_group_get(struct watch_hub *h, struct slice key,
                                    struct slice end);
/* Frees the group when nobody is left in it. */
void watch_group_put(struct watch_hub *h, struct watch_group *g);
/* Calls `found` for each group that has `key`. */
void watch_groups_of(struct watch_hub *h, struct slice key,
                     void (*found)(void *ctx, struct watch_group *g),
                     void *ctx);
/* tree.c */
struct watch_group *watch_tree_find(struct watch_group *root, struct slice key,
                                    struct slice end);
struct watch_group *watch_tree_insert(struct watch_group *root,
                                      struct watch_group *g);
struct watch_group *watch_tree_remove(struct watch_group *root,
                                      struct watch_group *g);
void watch_tree_stab(struct watch_group *root, struct slice key,
                     void (*found)(void *ctx, struct watch_group *g),
                     void *ctx);

/* batch.c */
void watch_batch_release(struct watch_batch *b);
void watch_batch_reset(struct watch_batch *b);
/* Keeps the event for everyone concerned; `wants` says who. */
void watch_batch_add(struct watch_hub *h, const struct mvcc_event *event,
                     bool (*wants)(const struct watcher *w,
                                   const struct mvcc_event *event));
/* Hands one watcher's events over. False: its stream is full now. */
bool watch_batch_emit(struct watch_hub *h, const struct watch_slot *slot,
                      int64_t revision);

/* watcher.c */
void watch_unsync(struct watcher *w, int64_t next_revision);
void watch_sync(struct watcher *w);
void watch_drop(struct watcher *w);
void watch_stream_block(struct watch_stream *s);

#endif
