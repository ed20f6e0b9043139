/* What a member says on a link. */
#include <stdlib.h>

#include "hub_state.h"

struct answer {
    struct hub_header header;
    int64_t id;
    bool created;
    bool canceled;
    int64_t compact_revision;
    struct slice reason;
    struct hub_events events;
    uint32_t capacity; /* of events.list */
};

/* ---- reading ---- */

static int read_header(struct slice message, struct hub_header *ret)
{
    struct proto_field f;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.wire != PROTO_VARINT) {
            continue;
        }
        if (f.number == 1) {
            ret->cluster_id = f.value;
        } else if (f.number == 2) {
            ret->member_id = f.value;
        } else if (f.number == 3) {
            ret->revision = (int64_t)f.value;
        } else if (f.number == 4) {
            ret->raft_term = f.value;
        }
    }
    return more;
}

static int read_mod_revision(struct slice kv, int64_t *ret)
{
    struct proto_field f;
    int more;
    while ((more = proto_next(&kv, &f)) > 0) {
        if (f.number == 3 && f.wire == PROTO_VARINT) {
            *ret = (int64_t)f.value;
        }
    }
    return more;
}

static int read_event(struct answer *a, struct slice message)
{
    struct hub_events *e = &a->events;
    struct hub_event event = {.message = message};
    struct proto_field f;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        int err = 0;
        if (f.number == 1 && f.wire == PROTO_VARINT) {
            event.is_delete = f.value != 0;
        } else if (f.number == 2 && f.wire == PROTO_BYTES) {
            err = read_mod_revision(f.bytes, &event.revision);
        }
        if (err) {
            return err;
        }
    }
    if (more == 0 && e->count == a->capacity) {
        a->capacity = a->capacity ? 2 * a->capacity : 4;
        e->list = mem_realloc(e->list, a->capacity * sizeof *e->list);
    }
    if (more == 0) {
        e->list[e->count++] = event;
    }
    return more;
}

static void read_number(struct answer *a, const struct proto_field *f)
{
    switch (f->number) {
    case 2:
        a->id = (int64_t)f->value;
        break;
    case 3:
        a->created = f->value != 0;
        break;
    case 4:
        a->canceled = f->value != 0;
        break;
    case 5:
        a->compact_revision = (int64_t)f->value;
        break;
    default:
        break;
    }
}

static int read_answer(struct slice message, struct answer *a)
{
    struct proto_field f;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        int err = 0;
        if (f.wire == PROTO_VARINT) {
            read_number(a, &f);
        } else if (f.wire == PROTO_BYTES && f.number == 1) {
            err = read_header(f.bytes, &a->header);
        } else if (f.wire == PROTO_BYTES && f.number == 6) {
            a->reason = f.bytes;
        } else if (f.wire == PROTO_BYTES && f.number == 11) {
            err = read_event(a, f.bytes);
        }
        if (err) {
            return err;
        }
    }
    return more;
}

/* ---- ends ---- */

/* A create that was refused, or a watch that a member has ended. */
static void end_broadcast(struct hub_broadcast *b, const struct answer *a)
{
    struct hub_say say = {.header = &a->header,
                          .canceled = true,
                          .compact_revision = a->compact_revision,
                          .reason = a->reason};
    while (!list_empty(&b->watchers)) {
        struct hub_watcher *w =
            container_of(b->watchers.next, struct hub_watcher, in_broadcast);
        struct hub_stream *s = w->stream;
        say.created = a->created && !w->is_told;
        say.watch_id = say.created ? -1 : w->id;
        if (!say.created && !w->is_told) {
            hub_tell_created(w, &a->header);
        }
        w->broadcast = NULL;
        hub_watcher_free(w);
        hub_tell(s, &say, NULL);
    }
    hub_broadcast_drop(b);
}

/* ---- moving together ---- */

/* Of one that nobody listens to any more: as if a last one left. */
static void drop_last(struct hub_broadcast *b)
{
    struct hub_watcher last = {.broadcast = b};
    list_init(&last.in_broadcast);
    b->count = 1;
    hub_unsubscribe(&last);
}

static void move_all(struct hub_broadcast *from, struct hub_broadcast *to)
{
    list_each(it, safe, &from->watchers)
    {
        struct hub_watcher *w =
            container_of(it, struct hub_watcher, in_broadcast);
        list_remove(it);
        list_append(&to->watchers, it);
        w->broadcast = to;
        to->count++;
    }
    drop_last(from);
}

/* Whether all of `b` go to `other`, which has told nothing that they have not
 * seen: the one that is less far, or stands in nobody's way, or has more. */
static bool goes_to(const struct hub_broadcast *b,
                    const struct hub_broadcast *other)
{
    if (other->next != b->next) {
        return other->next < b->next;
    }
    return other->is_ahead == b->is_ahead ? other->count >= b->count
                                          : b->is_ahead;
}

/* False: `b` is no more. */
static bool merge(struct hub_broadcast *b)
{
    list_each(it, safe, &b->group->broadcasts)
    {
        struct hub_broadcast *other =
            container_of(it, struct hub_broadcast, in_group);
        if (other == b || !b->is_live || !other->is_live) {
            continue;
        }
        if (goes_to(b, other)) {
            move_all(b, other);
            return false;
        }
        move_all(other, b);
    }
    return true;
}

/* ---- created ---- */

static bool has_pending_from_now(const struct hub_group *g)
{
    list_each(it, safe, &g->broadcasts)
    {
        const struct hub_broadcast *b =
            container_of(it, struct hub_broadcast, in_group);
        if (!b->is_created && b->next == 0) {
            return true;
        }
    }
    return false;
}

static void tell_created(struct hub_broadcast *b,
                         const struct hub_header *header)
{
    list_each(it, safe, &b->watchers)
    {
        struct hub_watcher *w =
            container_of(it, struct hub_watcher, in_broadcast);
        if (w->next == 0) {
            w->next = header->revision + 1;
        }
        if (!w->is_told) {
            hub_tell_created(w, header);
        }
    }
}

static void created(struct hub_broadcast *b, const struct hub_header *header)
{
    list_remove(&b->in_pending);
    b->is_created = true;
    b->is_ahead = b->next > header->revision;
    if (b->next == 0) {
        b->next = header->revision + 1;
    }
    b->is_live = b->next > header->revision;
    tell_created(b, header);
    if (!merge(b)) {
        return;
    }
    if (b->count == 0) { /* all left meanwhile, or nobody moved in */
        drop_last(b);
    } else if (b->is_ahead && !has_pending_from_now(b->group)) {
        /* One from the present on, to move into, so that it is in the way of
         * nobody's progress. */
        hub_broadcast_new(b->link, b->group, 0);
    }
}

/* ---- events and progress ---- */

static void advance(struct hub_broadcast *b, int64_t next)
{
    b->next = b->next > next ? b->next : next;
}

static void tell_events(struct hub_broadcast *b, struct answer *a)
{
    int64_t last = a->events.list[a->events.count - 1].revision;
    list_each(it, safe, &b->watchers)
    {
        struct hub_watcher *w =
            container_of(it, struct hub_watcher, in_broadcast);
        hub_tell_events(w, &a->header, &a->events);
        w->next = w->next > last ? w->next : last + 1;
    }
    b->link->hub->events_coalesced += b->count - 1;
    b->is_live |= last >= a->header.revision;
    b->is_ahead = false;
    advance(b, last + 1);
}

static void tell_progress(struct hub_broadcast *b, const struct answer *a)
{
    int64_t next = a->header.revision + 1;
    list_each(it, safe, &b->watchers)
    {
        struct hub_watcher *w =
            container_of(it, struct hub_watcher, in_broadcast);
        if (w->next > next) {
            continue; /* begins later */
        }
        w->next = next;
        if (w->progress) {
            struct hub_say say = {.header = &a->header, .watch_id = w->id};
            hub_tell(w->stream, &say, NULL);
        }
    }
    b->is_live = true;
    advance(b, next);
}

/* All watchers of the link are where the header says; so are a stream's, if
 * a member knows them all. */
static bool is_at(const struct hub_stream *s, int64_t revision)
{
    list_each(it, safe, &s->watchers)
    {
        const struct hub_watcher *w =
            container_of(it, struct hub_watcher, in_stream);
        if (!w->is_told || !w->broadcast || !w->broadcast->is_created ||
            w->next > revision + 1) {
            return false;
        }
    }
    return s->count > 0 && !s->is_slow;
}

static void tell_all_progress(struct hub_link *l, const struct answer *a)
{
    list_each(it, safe, &l->streams)
    {
        struct hub_stream *s = container_of(it, struct hub_stream, in_link);
        if (s->asks_progress && is_at(s, a->header.revision)) {
            struct hub_say say = {.header = &a->header, .watch_id = -1};
            s->asks_progress = false;
            hub_tell(s, &say, NULL);
        }
    }
}

/* ---- the door ---- */

static struct hub_broadcast *find(struct hub_link *l, int64_t id)
{
    struct table_link *t =
        table_find(&l->by_id, table_hash_u64((uint64_t)id, 0));
    for (; t; t = table_next(t)) {
        struct hub_broadcast *b = container_of(t, struct hub_broadcast, table);
        if (b->id == id) {
            return b;
        }
    }
    return NULL;
}

static void judge(struct hub_link *l, struct answer *a)
{
    struct hub_broadcast *b = find(l, a->id);
    if (a->created && a->canceled && !list_empty(&l->pending)) {
        /* Refused, which names no id: creates are answered in order. */
        b = container_of(l->pending.next, struct hub_broadcast, in_pending);
    }
    if (b == NULL) {
        if (a->id == -1 && !a->created && !a->canceled) {
            tell_all_progress(l, a);
        }
        return; /* or of one that we have cancelled */
    }
    if (a->canceled) {
        end_broadcast(b, a);
    } else if (a->created) {
        created(b, &a->header);
    } else if (a->events.count) {
        tell_events(b, a);
        merge(b);
    } else {
        tell_progress(b, a);
        merge(b);
    }
}

int hub_answer(struct hub_link *l, struct slice message)
{
    struct answer a = {.events = {.hub = l->hub}};
    int err = read_answer(message, &a);
    if (err == 0) {
        int64_t known = l->header.revision;
        l->header = a.header;
        if (known > a.header.revision) {
            l->header.revision = known;
        }
        judge(l, &a);
    }
    hub_events_release(&a.events);
    return err;
}
