/*
 * Watchers walk the model's history: each event once, in order, all of a
 * revision together. When their member goes they go on at another from
 * where they were, as a client would.
 */
#include <inttypes.h>

#include "base/err.h"
#include "sim.h"

static bool check_event(struct sim_watcher *w, const Pb__Event *got,
                        const struct sim_event *want)
{
    const Pb__KeyValue *kv = got->kv;
    uint8_t key =
        kv ? sim_key_number(slice_of(kv->key.data, kv->key.len)) : SIM_KEYS;
    bool is_put = want->create_revision != 0;
    return kv && key == want->key && kv->mod_revision == want->revision &&
           (got->type == PB__EVENT__EVENT_TYPE__PUT) == is_put &&
           kv->create_revision == want->create_revision &&
           kv->version == want->version && kv->lease == want->lease;
}

static void check_events(struct sim_watcher *w, const Pb__WatchResponse *r)
{
    struct sim *s = w->sim;
    const struct sim_model *o = &s->model;
    int32_t at = 0;
    for (size_t i = 0; i < r->n_events && !s->failure[0]; i++) {
        at = sim_model_next_event(o, at, w->key, w->end, w->next);
        if (at < 0 || !check_event(w, r->events[i], &o->events[at])) {
            sim_fail(s,
                     "a watcher at m%" PRIu32 " from %" PRIi64
                     ": event %zu of %zu is not the next one",
                     w->member->place, w->next, i, r->n_events);
            return;
        }
        at++;
    }
    int64_t last = o->events[at - 1].revision;
    int32_t more = sim_model_next_event(o, at, w->key, w->end, w->next);
    if (more >= 0 && o->events[more].revision == last) {
        sim_fail(s, "a watcher at m%" PRIu32 " got half of revision %" PRIi64,
                 w->member->place, last);
    }
    w->next = last + 1;
    s->events += r->n_events;
}

static void cancelled(struct sim_watcher *w, const struct watch_response *r)
{
    struct sim *s = w->sim;
    int64_t compacted = mvcc_compact_revision(w->member->node.mvcc);
    if (r->compact_revision == 0 || compacted <= w->next) {
        sim_fail(s,
                 "a watcher at m%" PRIu32 " from %" PRIi64 " is cancelled: "
                 "%s, compacted %" PRIi64,
                 w->member->place, w->next, r->cancel_reason, compacted);
    }
    w->next = compacted + 1; /* what is older cannot be had any more */
    w->is_over = true;
}

static bool emit(void *ctx, const struct watch_response *response)
{
    struct sim_watcher *w = ctx;
    struct sim *s = w->sim;
    if (s->failure[0]) {
        return true;
    }
    if (response->canceled) {
        cancelled(w, response);
        return true;
    }
    if (response->events) {
        struct slice bytes = bytes_slice(response->events);
        Pb__WatchResponse *r =
            pb__watch_response__unpack(NULL, bytes.size, bytes.data);
        if (r == NULL || r->n_events == 0) {
            sim_fail(s, "a watcher got what is no list of events");
        } else {
            check_events(w, r);
        }
        if (r) {
            pb__watch_response__free_unpacked(r, NULL);
        }
    }
    w->is_full = sim_chance(&s->clients, 100);
    return !w->is_full;
}

static void leave(struct sim_watcher *w)
{
    watch_stream_free(w->stream);
    w->stream = NULL;
    w->member = NULL;
    w->is_over = false;
}

void sim_watchers_lost(struct sim *s, struct sim_member *m)
{
    for (int i = 0; i < SIM_WATCHERS; i++) {
        if (s->watchers[i].member == m) {
            leave(&s->watchers[i]);
        }
    }
}

static void attach(struct sim *s, struct sim_watcher *w)
{
    struct sim_member *m = sim_member_random(s, &s->clients);
    char from[8], to[8];
    if (m == NULL) {
        return;
    }
    w->member = m;
    w->is_full = false;
    w->stream = watch_stream_new(m->node.watch, s->now, emit, w);
    struct watch_create create = {
        .key = sim_key(w->key, from),
        .start_revision = w->next,
    };
    if (w->end) {
        create.end = sim_key(w->end, to);
    }
    watch_create(w->stream, &create);
}

static void begin(struct sim *s, struct sim_watcher *w)
{
    w->sim = s;
    w->key = (uint8_t)sim_pick(&s->clients, SIM_KEYS - 1);
    w->end =
        sim_chance(&s->clients, 300)
            ? 0
            : (uint8_t)(w->key + 1 + sim_pick(&s->clients, SIM_KEYS - w->key));
    w->next = 1;
}

void sim_watchers_step(struct sim *s)
{
    for (int i = 0; i < SIM_WATCHERS && !s->failure[0]; i++) {
        struct sim_watcher *w = &s->watchers[i];
        if (w->sim == NULL) {
            begin(s, w);
        }
        if (w->is_over) {
            leave(w); /* and is created anew */
        } else if (w->member == NULL) {
            attach(s, w);
        } else if (w->is_full && sim_chance(&s->clients, 20)) {
            w->is_full = false;
            watch_stream_resume(w->stream);
            if (sim_chance(&s->clients, 200)) {
                leave(w);
            }
        } else if (sim_chance(&s->clients, 1)) {
            leave(w);
        }
    }
}

bool sim_watchers_done(const struct sim *s)
{
    for (int i = 0; i < SIM_WATCHERS; i++) {
        const struct sim_watcher *w = &s->watchers[i];
        if (w->member == NULL || w->is_full ||
            sim_model_next_event(&s->model, 0, w->key, w->end, w->next) >= 0) {
            return false;
        }
    }
    return true;
}
