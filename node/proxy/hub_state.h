/* What the files of the hub share. */
#ifndef PROXY_HUB_STATE_H
#define PROXY_HUB_STATE_H

#include "base/err.h"
#include "base/list.h"
#include "base/table.h"
#include "hub.h"
#include "proto/proto.h"

/* A response's header, and the newest one that came over a link. */
struct hub_header {
    uint64_t cluster_id;
    uint64_t member_id;
    int64_t revision;
    uint64_t raft_term;
};

struct hub {
    struct hub_config config;
    struct list links;
    struct list slow; /* streams to be parked, see hub_settle() */
    uint64_t events_coalesced;
};

struct hub_link {
    struct hub *hub;
    struct list link; /* in hub->links */
    struct slice token;
    bool has_leader;
    void *uplink;
    bool is_up;
    struct list streams;
    struct list groups;
    struct list broadcasts; /* in the order they were asked for */
    struct list pending;   /* broadcasts, in the order their creates went out */
    struct table by_id;    /* broadcasts that are known upstream */
    struct table by_range; /* groups */
    int64_t last_id;
    struct hub_header header;
};

/* Broadcasts of one range. */
struct hub_group {
    struct table_link table;
    struct list link;
    struct slice key; /* as members know them, in the group's memory */
    struct slice end;
    struct list broadcasts;
};

/* waiting (link down) -> pending (create sent) -> created -> gone; back to
 * waiting when the link is lost. */
struct hub_broadcast {
    struct hub_link *link;
    struct hub_group *group;
    struct table_link table;
    struct list in_group;
    struct list in_link;
    struct list in_pending;
    int64_t id;   /* upstream; 0: waiting */
    int64_t next; /* first revision that was not told; 0: not known yet */
    bool is_created;
    bool is_live;  /* has told all there is; what comes now is new */
    bool is_ahead; /* began behind the present, where nothing was yet: a
                      member promises no progress on a stream with such */
    struct list watchers;
    uint32_t count;
};

struct hub_watcher {
    struct table_link table;
    struct list in_stream;
    struct list in_broadcast;
    struct hub_stream *stream;
    struct hub_broadcast *broadcast; /* NULL: parked */
    int64_t id;                      /* has_id */
    int64_t next; /* first revision wanted; 0: from the present on */
    bool has_id;  /* the client chose it, or it was told its own */
    bool is_told; /* created was */
    bool progress;
    bool prev_kv;
    bool no_put;
    bool no_delete;
    bool fragment;
    struct slice key; /* as members know them, in the watcher's memory */
    struct slice end;
};

struct hub_stream {
    struct hub *hub;
    struct hub_link *link; /* NULL: ended */
    struct list in_link;
    struct list in_slow;
    void *ctx;
    struct list watchers;
    struct table by_id;
    uint32_t count;
    uint32_t untold; /* watchers whose "created" is still to come */
    int64_t next_id;
    bool is_slow;
    bool asks_progress;
};

/* ---- hub_link.c ---- */
struct hub_link *hub_link_get(struct hub *h, const struct credentials *c);
void hub_link_release(struct hub_link *l); /* if no stream is left */
/* Puts the watcher into a broadcast, a new one if need be. */
void hub_subscribe(struct hub_watcher *w);
/* Takes it out; a broadcast that nobody listens to is cancelled. */
void hub_unsubscribe(struct hub_watcher *w);
void hub_ask_progress(struct hub_link *l);

/* Asks for a range from `start` on, 0: the present. */
struct hub_broadcast *hub_broadcast_new(struct hub_link *l, struct hub_group *g,
                                        int64_t start);
/* Without watchers; unknown upstream, or over there. */
void hub_broadcast_drop(struct hub_broadcast *b);

/* ---- hub_answer.c ---- */
/* A WatchResponse of a link. ERR_INVALID: none. */
int hub_answer(struct hub_link *l, struct slice message);

/* ---- hub.c ---- */
/* Gives the watcher its id: one that is free, or the client's choice. */
void hub_watcher_name(struct hub_watcher *w);
void hub_watcher_free(struct hub_watcher *w);
/* Parks the streams that have become slow; not while lists are walked. */
void hub_settle(struct hub *h);

/* ---- hub_tell.c: messages to clients ---- */
struct hub_say {
    const struct hub_header *header;
    int64_t watch_id;
    bool created;
    bool canceled;
    int64_t compact_revision;
    struct slice reason;
    bool fragment;
};
void hub_tell(struct hub_stream *s, const struct hub_say *say,
              struct bytes *events);
void hub_tell_created(struct hub_watcher *w, const struct hub_header *header);

/* The events of one response, in the forms that watchers want, each made
 * once. */
enum { HUB_FORMS = 8 };
struct hub_event {
    struct slice message;
    int64_t revision;
    bool is_delete;
};
struct hub_events {
    const struct hub *hub;
    struct hub_event *list;
    uint32_t count;
    struct bytes *forms[HUB_FORMS];
    bool is_made[HUB_FORMS];
};
void hub_events_release(struct hub_events *e);
/* What this watcher has not seen and wants; sends nothing if that is
 * nothing. */
void hub_tell_events(struct hub_watcher *w, const struct hub_header *header,
                     struct hub_events *e);

#endif
