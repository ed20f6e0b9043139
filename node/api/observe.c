/*
 * Election.Observe: the leader's value now, every later one, and when its
 * key goes, those of the next leader.
 *
 *   look --> [nobody: watch the prefix until a put] --> watch the key
 *    ^                                                       | it is deleted
 *    +-------------------------------------------------------+
 */
#include <stdlib.h>

#include "proto/election.pb-c.h"
#include "proto/proto.h"
#include "session.h"

enum { EVENTS = 11 }; /* WatchResponse.events */

struct observer {
    struct api_stream *stream;
    struct slice prefix;
    struct slice end; /* of the prefix */
    struct replica_read read;
    bool reading;
    struct watch_stream *watch;
    bool any;        /* the prefix is watched, for the first put */
    bool over;       /* this watch has told what it had to */
    struct buf next; /* the key to watch then, empty: look */
    int64_t next_revision;
    struct api_wait wake;
};

static void send_kv(struct observer *o, int64_t revision, struct slice kv)
{
    uint8_t header[API_HEADER_BYTES_MAX];
    size_t size = api_header(o->stream->api, revision, header);
    struct bytes *all = bytes_new(size + proto_head_size(2, kv.size) + kv.size);
    uint8_t *to = proto_copy(all->data, slice_of(header, size));
    proto_copy(proto_head(to, 2, kv.size), kv);
    grpc_send_bytes(o->stream->call, (struct slice){NULL, 0}, all);
    bytes_unref(all);
}

/* ---- events ---- */
struct event {
    bool deleted;
    struct slice kv;
    struct slice key;
    int64_t mod_revision;
};

static struct event decode(struct slice message)
{
    struct event e = {0};
    struct proto_field f;
    while (proto_next(&message, &f) > 0) {
        if (f.number == 1 && f.wire == PROTO_VARINT) {
            e.deleted = f.value == PB__EVENT__EVENT_TYPE__DELETE;
        } else if (f.number == 2 && f.wire == PROTO_BYTES) {
            e.kv = f.bytes;
        }
    }
    struct slice rest = e.kv;
    while (proto_next(&rest, &f) > 0) {
        if (f.number == 1 && f.wire == PROTO_BYTES) {
            e.key = f.bytes;
        } else if (f.number == 3 && f.wire == PROTO_VARINT) {
            e.mod_revision = (int64_t)f.value;
        }
    }
    return e;
}

static void take_event(struct observer *o, const struct event *e)
{
    if (!e->deleted) {
        send_kv(o, e->mod_revision, e->kv);
    }
    if (o->any && !e->deleted) {
        o->over = true;
        o->next_revision = e->mod_revision + 1;
        /* Keys are far below the buffer's limit. */
        buf_append_slice(&o->next, e->key);
    } else if (!o->any && e->deleted) {
        o->over = true;
    }
}

static bool go_on(struct api_wait *w);

static void drained(struct grpc_call *call)
{
    struct observer *o = ((struct api_stream *)grpc_call_ctx(call))->state;
    if (o && o->watch) {
        watch_stream_resume(o->watch);
        api_later(o->stream->api);
    }
}

static bool emit(void *ctx, const struct watch_response *r)
{
    struct observer *o = ctx;
    struct slice rest = bytes_slice(r->events);
    struct proto_field f;
    while (!o->over && proto_next(&rest, &f) > 0) {
        if (f.number == EVENTS && f.wire == PROTO_BYTES) {
            struct event e = decode(f.bytes);
            take_event(o, &e);
        }
    }
    o->over = o->over || r->canceled;
    if (o->over && list_empty(&o->wake.link)) {
        api_slice(o->stream->api, &o->wake, go_on);
    }
    struct grpc_call *call = o->stream->call;
    if (grpc_call_queued(call) <= API_WATCH_QUEUE_BYTES) {
        return true;
    }
    grpc_call_on_drain(call, API_WATCH_DRAINED_BYTES, drained);
    return false;
}

/* ---- steps ---- */
static void stop_watching(struct observer *o)
{
    list_remove(&o->wake.link);
    if (o->watch) {
        watch_stream_free(o->watch);
        o->watch = NULL;
    }
}

static void watch(struct observer *o, const struct watch_create *create,
                  bool any)
{
    struct api *a = o->stream->api;
    stop_watching(o);
    o->any = any;
    o->over = false;
    o->watch = watch_stream_new(a->config.watch, api_now_ms(a), emit, o);
    watch_create(o->watch, create);
    if (watch_wants_catch_up(a->config.watch)) {
        api_later(a);
    }
}

static void look(struct observer *o)
{
    struct api *a = o->stream->api;
    struct mvcc_kv kv;
    int err = api_session_find(a, o->prefix, INT64_MAX, true, &kv);
    if (err == ERR_KEY_NOT_FOUND) {
        struct watch_create all = {
            .key = o->prefix, .end = o->end, .no_delete = true};
        watch(o, &all, true);
    } else if (err) {
        grpc_finish(o->stream->call, GRPC_UNKNOWN,
                    "election: observe closed early");
    } else {
        send_kv(o, mvcc_revision(a->mvcc), kv.encoded);
        struct watch_create one = {.key = kv.key};
        watch(o, &one, false);
    }
}

static bool go_on(struct api_wait *w)
{
    struct observer *o = container_of(w, struct observer, wake);
    stop_watching(o);
    if (o->next.size == 0) {
        look(o);
        return true;
    }
    struct buf key = o->next;
    buf_init(&o->next, APPLY_BODY_BYTES_MAX);
    struct watch_create one = {.key = buf_slice(&key),
                               .start_revision = o->next_revision};
    watch(o, &one, false);
    buf_release(&key);
    return true;
}

/* ---- the method ---- */
static void may_look(struct replica_read *rd, int err)
{
    struct observer *o = container_of(rd, struct observer, read);
    o->reading = false;
    if (err) {
        grpc_finish(o->stream->call, GRPC_UNKNOWN,
                    "election: observe closed early");
    } else {
        look(o);
    }
}

void api_observe(struct grpc_call *call, struct slice message)
{
    struct api_stream *stream = grpc_call_ctx(call);
    if (stream->state) {
        return; /* a second request message is ignored */
    }
    const Pbe__LeaderRequest *q =
        grpc_unpack(call, &pbe__leader_request__descriptor, message);
    if (!q) {
        return;
    }
    struct arena *arena = grpc_call_arena(call);
    struct observer *o = mem_zalloc(sizeof *o);
    o->stream = stream;
    o->prefix = api_session_prefix(arena, slice_of(q->name.data, q->name.len));
    uint8_t *end = arena_dup(arena, o->prefix.data, o->prefix.size);
    end[o->prefix.size - 1]++;
    o->end = slice_of(end, o->prefix.size);
    list_init(&o->wake.link);
    buf_init(&o->next, APPLY_BODY_BYTES_MAX);
    stream->state = o;
    o->reading = true;
    o->read.done = may_look;
    replica_read(stream->api->config.replica, &o->read);
}

void api_observe_end(struct grpc_call *call)
{
    struct api_stream *stream = grpc_call_ctx(call);
    struct observer *o = stream->state;
    if (o) {
        if (o->reading) {
            replica_read_cancel(stream->api->config.replica, &o->read);
        }
        stop_watching(o);
        buf_release(&o->next);
        stream->state = NULL;
        free(o);
    }
    api_stream_end(call);
}
