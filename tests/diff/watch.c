/*
 * Watch streams of a side. Events are kept per watcher: how a server packs
 * them into responses is its own business, but all events of one revision
 * come in one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "diff.h"

enum {
    EVENTS_BYTES_MAX = 64 << 20,
    ASK_AGAIN_MS = 60, /* a progress request may be met with silence */
};

static struct watcher *find(struct stream *st, int64_t id)
{
    for (int i = st->count - 1; i >= 0; i--) {
        if (st->watchers[i].id == id) {
            return &st->watchers[i];
        }
    }
    return NULL;
}

static void print_answer(struct stream *st, Pb__WatchResponse *r)
{
    rules_apply(st->side, NULL, &r->base);
    proxy_apply(NULL, &r->base);
    buf_append_str(&st->control, "  ");
    message_print(&st->control, &r->base);
    buf_append_byte(&st->control, '\n');
}

/* One line an event; what breaks a promise is said in it. */
static void take_events(struct stream *st, struct watcher *w,
                        Pb__WatchResponse *r)
{
    int64_t before = w->last_revision;
    for (size_t i = 0; i < r->n_events; i++) {
        Pb__Event *e = r->events[i];
        int64_t revision = e->kv ? e->kv->mod_revision : 0;
        if (revision < w->last_revision) {
            buf_append_str(&w->events, "    OUT OF ORDER\n");
        } else if (i == 0 && revision == before && !w->was_fragment) {
            buf_append_str(&w->events, "    REVISION SPLIT\n");
        }
        if (r->header && r->header->revision < revision) {
            buf_append_str(&w->events, "    HEADER BEHIND EVENT\n");
        }
        w->last_revision = revision;
        rules_apply(st->side, NULL, &e->base);
        buf_append_str(&w->events, "    ");
        message_print(&w->events, &e->base);
        buf_append_byte(&w->events, '\n');
    }
    w->was_fragment = r->fragment;
}

static void take_compacted(struct stream *st, struct watcher *w,
                           Pb__WatchResponse *r)
{
    Pb__WatchCancelRequest cancel = PB__WATCH_CANCEL_REQUEST__INIT;
    Pb__WatchRequest request = PB__WATCH_REQUEST__INIT;
    w->is_live = false;
    w->is_compacted = true;
    rules_apply(st->side, NULL, &r->base);
    proxy_apply(NULL, &r->base);
    buf_append_str(&w->events, "    ");
    message_print(&w->events, &r->base);
    buf_append_byte(&w->events, '\n');
    cancel.watch_id = w->id;
    request.request_union_case =
        PB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST;
    request.cancel_request = &cancel;
    grpc_client_send(st->call, &request.base);
}

static void on_message(void *ctx, struct slice message)
{
    struct stream *st = ctx;
    ProtobufCAllocator allocator = grpc_arena_allocator(&st->side->scratch);
    Pb__WatchResponse *r =
        pb__watch_response__unpack(&allocator, message.size, message.data);
    if (!r) {
        buf_append_str(&st->control, "  UNREADABLE\n");
        return;
    }
    struct watcher *w = r->created ? NULL : find(st, r->watch_id);
    if (r->created) {
        st->created = true;
        if (!r->canceled && st->count < WATCHERS_MAX) {
            st->watchers[st->count++] = (struct watcher){
                .id = r->watch_id,
                .is_live = true,
                .events = BUF_INIT(EVENTS_BYTES_MAX),
            };
        }
        print_answer(st, r);
    } else if (r->canceled && r->compact_revision && w) {
        take_compacted(st, w, r);
    } else if (r->canceled && w && w->is_compacted) {
        w->is_compacted = false; /* the defect's echo, on one side only */
    } else if (r->canceled) {
        st->canceled = true;
        if (w) {
            w->is_live = false;
        }
        print_answer(st, r);
    } else if (r->n_events && w) {
        take_events(st, w, r);
    } else if (r->watch_id == -1 && !r->n_events && r->header) {
        st->progress_revision = r->header->revision;
    } else {
        print_answer(st, r);
    }
}

static void on_status(void *ctx, enum grpc_code code, const char *text)
{
    struct stream *st = ctx;
    buf_printf(&st->control, "  stream over: %s %s\n", grpc_code_name(code),
               text ? text : "");
    st->call = NULL;
    st->created = st->canceled = true;
}

static struct stream *open_stream(struct side *s, const struct step *step)
{
    static const struct grpc_client_handler handler = {on_message, on_status};
    struct stream *st = &s->streams[step->stream];
    if (!st->call) {
        st->side = s;
        st->role = step->role % s->member_count;
        st->control = (struct buf)BUF_INIT(EVENTS_BYTES_MAX);
        st->call = grpc_client_start(s->members[s->roles[st->role]].channel,
                                     "/etcdserverpb.Watch/Watch", NULL, 0,
                                     &handler, st);
    }
    return st;
}

void watch_close(struct side *s, int stream)
{
    struct stream *st = &s->streams[stream];
    if (st->call) {
        grpc_client_cancel(st->call);
    }
    for (int i = 0; i < st->count; i++) {
        buf_release(&st->watchers[i].events);
    }
    buf_release(&st->control);
    *st = (struct stream){0};
}

static bool wait_for(struct side *s, const bool *flag)
{
    uint64_t end = loop_now_ms(s->loop) + s->patience_ms;
    while (!*flag && loop_now_ms(s->loop) < end) {
        side_spin(s, 100);
    }
    return *flag;
}

static void take_control(struct stream *st, struct buf *out)
{
    buf_append_slice(out, buf_slice(&st->control));
    buf_reset(&st->control, 4096);
}

void watch_request(struct side *s, const struct step *step, struct buf *out)
{
    struct stream *st = open_stream(s, step);
    void *p = side_request(s, step->request);
    Pb__WatchRequest *r = p;
    int member = s->roles[st->role];
    if (s->last_member != member) {
        side_barrier(s, member);
    }
    if (!st->call) {
        return;
    }
    int before = st->count;
    st->created = st->canceled = false;
    grpc_client_send(st->call, &r->base);
    bool answered = true;
    switch (r->request_union_case) {
    case PB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST:
        answered = wait_for(s, &st->created);
        if (st->count > before) {
            st->watchers[st->count - 1].start_revision =
                r->create_request->start_revision;
        }
        break;
    case PB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST: {
        struct watcher *w = find(st, r->cancel_request->watch_id);
        if (w && w->is_live) {
            answered = wait_for(s, &st->canceled);
        }
        break;
    }
    default:
        break;
    }
    if (!answered) {
        buf_append_str(out, "  NO ANSWER\n");
    }
    take_control(st, out);
}

/* ---- until everything is delivered ---- */

/* Up to the revision that a watcher waits for, with puts that nobody
 * watches. */
static void reach(struct side *s, struct stream *st)
{
    int64_t start = 0;
    Pb__PutRequest put = PB__PUT_REQUEST__INIT;
    put.key = (ProtobufCBinaryData){5, (uint8_t *)(uintptr_t) "reach"};
    for (int i = 0; i < st->count; i++) {
        if (st->watchers[i].is_live && st->watchers[i].start_revision > start) {
            start = st->watchers[i].start_revision;
        }
    }
    bool works = true;
    while (s->revision < start && works) {
        struct answer a;
        side_call(s, s->roles[st->role], "/etcdserverpb.KV/Put", &put.base, &a);
        works = a.code == GRPC_OK;
        buf_release(&a.bytes);
        side_barrier(s, s->roles[st->role]);
    }
}

static bool any_live(const struct stream *st)
{
    for (int i = 0; i < st->count; i++) {
        if (st->watchers[i].is_live) {
            return true;
        }
    }
    return false;
}

/* False: it did not come, though somebody watches. */
static bool ask_progress(struct side *s, struct stream *st)
{
    Pb__WatchProgressRequest progress = PB__WATCH_PROGRESS_REQUEST__INIT;
    Pb__WatchRequest request = PB__WATCH_REQUEST__INIT;
    request.request_union_case =
        PB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    request.progress_request = &progress;
    uint64_t end = loop_now_ms(s->loop) + s->patience_ms;
    st->progress_revision = 0;
    while (st->call && any_live(st) && loop_now_ms(s->loop) < end) {
        grpc_client_send(st->call, &request.base);
        uint64_t again = loop_now_ms(s->loop) + ASK_AGAIN_MS;
        while (loop_now_ms(s->loop) < again && st->call) {
            if (st->progress_revision >= s->revision) {
                return true;
            }
            side_spin(s, ASK_AGAIN_MS);
        }
    }
    return !any_live(st);
}

static void take_watchers(struct stream *st, struct buf *out)
{
    for (int i = 0; i < st->count; i++) {
        struct watcher *w = &st->watchers[i];
        if (w->events.size) {
            buf_printf(out, "  watch %" PRId64 ":\n", w->id);
            buf_append_slice(out, buf_slice(&w->events));
            buf_reset(&w->events, 4096);
        }
    }
}

void watch_sync(struct side *s, const struct step *step, struct buf *out)
{
    struct stream *st = &s->streams[step->stream];
    if (!st->call) {
        return;
    }
    side_barrier(s, s->roles[st->role]);
    if (!step->far) {
        reach(s, st);
        if (!ask_progress(s, st)) {
            buf_append_str(out, "  NO PROGRESS\n");
        } else if (any_live(st)) {
            buf_printf(out, "  progress %" PRId64 "\n", st->progress_revision);
        }
    }
    take_watchers(st, out);
    take_control(st, out);
}
