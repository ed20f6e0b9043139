/*
 * Watches through the proxy, coalesced. Pure: messages in, messages out by
 * pointers.
 *
 *   client's stream -> watchers -> broadcast (one watch upstream, by range)
 *                                     -> link (one stream upstream)
 *
 * Clients with the same credentials (token, hasleader) share a link, and on
 * it watchers of the same key and range_end share a broadcast; never across
 * credentials, so that a member judges everybody's rights itself. A watcher
 * joins a broadcast that is not further than it wants to begin; one that
 * has its own (it began in the past, or has a token, which a member is to
 * see first) moves into another of its range as soon as both are at the
 * present. What a watcher has seen it does not get again: each knows its
 * next revision.
 *
 * A lost link is opened again and every broadcast goes on at its next
 * revision: no gap, no repetition, nothing told. A reader that is slow loses
 * its place: its watchers leave their broadcasts and come back, at their own
 * next revisions, when it has read.
 */
#ifndef PROXY_HUB_H
#define PROXY_HUB_H

#include "base/bytes.h"
#include "namespace.h"
#include "uplink.h"

struct hub;
struct hub_stream; /* a client's */

struct hub_config {
    struct uplink_door door;
    const struct name_space *name_space;
    size_t fragment_bytes; /* a client that takes fragments gets no larger
                              message of many events */
    /* One message, `events` behind `head`. False: the reader is slow;
     * hub_stream_resume() when it is not any more. */
    bool (*emit)(void *stream_ctx, struct slice head, struct bytes *events);
    /* The stream ends with this; then hub_stream_free() as always. */
    void (*end)(void *stream_ctx, enum grpc_code code, const char *text);
};

struct hub *hub_new(const struct hub_config *config);
void hub_free(struct hub *h); /* no stream may be left */

/* Credentials are borrowed until this returns. */
struct hub_stream *hub_stream_new(struct hub *h, const struct credentials *c,
                                  void *ctx);
void hub_stream_free(struct hub_stream *s);
/* A WatchRequest. ERR_INVALID: no protobuf. */
int hub_stream_message(struct hub_stream *s, struct slice message);
void hub_stream_resume(struct hub_stream *s);

struct hub_stats {
    uint32_t watchers;
    uint32_t broadcasts;       /* watches upstream */
    uint32_t coalesced;        /* watchers beyond the first of each */
    uint64_t events_coalesced; /* likewise, answers not asked for twice */
};
void hub_get_stats(const struct hub *h, struct hub_stats *ret);

#endif
