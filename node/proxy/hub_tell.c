/* What clients of the hub are told. */
#include <stdlib.h>

#include "hub_state.h"

enum { HEADER_BYTES_MAX = 48 };

static struct slice put_header(const struct hub_header *h, uint8_t *room)
{
    uint8_t *to = proto_u64(room, 1, h->cluster_id);
    to = proto_u64(to, 2, h->member_id);
    to = proto_u64(to, 3, (uint64_t)h->revision);
    to = proto_u64(to, 4, h->raft_term);
    return slice_of(room, (size_t)(to - room));
}

void hub_tell(struct hub_stream *s, const struct hub_say *say,
              struct bytes *events)
{
    uint8_t numbers[HEADER_BYTES_MAX];
    struct buf head = BUF_INIT(UINT32_MAX);
    proto_add_message(&head, 1, put_header(say->header, numbers));
    proto_add_u64(&head, 2, (uint64_t)say->watch_id);
    proto_add_u64(&head, 3, say->created);
    proto_add_u64(&head, 4, say->canceled);
    proto_add_u64(&head, 5, (uint64_t)say->compact_revision);
    proto_add_bytes(&head, 6, say->reason);
    proto_add_u64(&head, 7, say->fragment);
    bool is_quick = s->hub->config.emit(s->ctx, buf_slice(&head), events);
    buf_release(&head);
    if (!is_quick && !s->is_slow) {
        s->is_slow = true;
        list_append(&s->hub->slow, &s->in_slow);
    }
}

void hub_tell_created(struct hub_watcher *w, const struct hub_header *header)
{
    hub_watcher_name(w);
    struct hub_say say = {.header = header, .watch_id = w->id, .created = true};
    w->is_told = true;
    w->stream->untold--;
    hub_tell(w->stream, &say, NULL);
}

/* ---- events ---- */

void hub_events_release(struct hub_events *e)
{
    for (int i = 0; i < HUB_FORMS; i++) {
        bytes_unref(e->forms[i]);
    }
    free(e->list);
}

/* One event for those who want the previous value, or do not. */
static void put_event(const struct name_space *ns, const struct hub_event *e,
                      bool prev_kv, struct buf *out)
{
    struct slice rest = e->message;
    struct proto_field f;
    size_t mark = 0;
    proto_begin(out, 11, &mark);
    for (;;) {
        const uint8_t *start = rest.data;
        if (proto_next(&rest, &f) <= 0) {
            break;
        }
        bool is_kv = f.wire == PROTO_BYTES && (f.number == 2 || f.number == 3);
        if (is_kv && f.number == 3 && !prev_kv) {
            continue;
        }
        if (!is_kv || !name_space_is_set(ns)) {
            buf_append(out, start, (size_t)(rest.data - start));
            continue;
        }
        size_t inner = 0;
        proto_begin(out, f.number, &inner);
        name_space_rewrite(ns, NAME_SPACE_KEY_VALUE, f.bytes, out);
        proto_end(out, inner);
    }
    proto_end(out, mark);
}

static bool is_wanted(const struct hub_watcher *w, const struct hub_event *e)
{
    return e->revision >= w->next && !(e->is_delete ? w->no_delete : w->no_put);
}

/* NULL: nothing for this one. */
static struct bytes *encode(const struct hub_watcher *w,
                            const struct hub_events *e)
{
    struct buf out = BUF_INIT(UINT32_MAX);
    for (uint32_t i = 0; i < e->count; i++) {
        if (is_wanted(w, &e->list[i])) {
            put_event(e->hub->config.name_space, &e->list[i], w->prev_kv, &out);
        }
    }
    struct bytes *b = out.size ? bytes_copy(buf_slice(&out)) : NULL;
    buf_release(&out);
    return b;
}

/* One reference for the caller, or NULL. */
static struct bytes *form_of(const struct hub_watcher *w, struct hub_events *e)
{
    if (w->next > e->list[0].revision) {
        return encode(w, e); /* has seen some: its own */
    }
    int form = w->prev_kv | w->no_put << 1 | w->no_delete << 2;
    if (!e->is_made[form]) {
        e->is_made[form] = true;
        e->forms[form] = encode(w, e);
    }
    return bytes_ref(e->forms[form]);
}

/* As many events as fit into a message, at least one, and so on. */
static void tell_fragments(struct hub_watcher *w, struct hub_say *say,
                           const struct bytes *all)
{
    size_t max = w->stream->hub->config.fragment_bytes;
    struct slice rest = bytes_slice(all);
    while (rest.size) {
        struct slice start = rest, next = rest;
        struct proto_field f;
        while (next.size && proto_next(&next, &f) > 0 &&
               (rest.size == start.size || start.size - next.size < max)) {
            rest = next;
        }
        struct bytes *part =
            bytes_copy(slice_of(start.data, start.size - rest.size));
        say->fragment = rest.size > 0;
        hub_tell(w->stream, say, part);
        bytes_unref(part);
    }
}

void hub_tell_events(struct hub_watcher *w, const struct hub_header *header,
                     struct hub_events *e)
{
    struct bytes *events = form_of(w, e);
    struct hub_say say = {.header = header, .watch_id = w->id};
    if (events == NULL) {
        return;
    }
    if (w->fragment && events->size >= w->stream->hub->config.fragment_bytes) {
        tell_fragments(w, &say, events);
    } else {
        hub_tell(w->stream, &say, events);
    }
    bytes_unref(events);
}
