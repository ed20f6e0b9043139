/*
 * The hub against a naive model: a list of everything that ever happened.
 * Random writes, watchers, slow streams, flushes and compactions; what each
 * watcher was told must be what the list says, nothing twice, nothing left
 * out, no revision in pieces.
 */
#include "../store.h"
#include "base/rng.h"
#include "proto/kv.pb-c.h"
#include "proto/rpc.pb-c.h"
#include "watch/watch.h"

enum {
    KEYS = 12,
    STREAMS = 4,
    WATCHERS = 60,
    HISTORY_MAX = 20000,
    RESPONSE_MAX = 600,
};

struct past {
    int64_t revision;
    int64_t create_revision;
    int key;
    bool tombstone;
    int value;
};

static struct {
    struct store store;
    struct watch_hub *hub;
    struct rng rng;
    uint64_t index;
    struct past history[HISTORY_MAX];
    int history_count;
    int64_t create[KEYS]; /* 0: absent */
    int next_value;
    int64_t compacted;
    int told, resumed, cancelled, progressed, fragments;
} world;

struct model_watcher {
    bool used, created, gone;
    int64_t id;
    int from, to; /* keys [from, to) */
    struct watch_create options;
    int64_t start;
    int at;       /* next place in the history to be told */
    bool partial; /* fragments of a response are still to come */
};

struct model_stream {
    struct watch_stream *stream;
    struct model_watcher watchers[WATCHERS];
    bool slow, blocked;
    int64_t next_id;
    int64_t progress; /* revision of the last manual progress; 0: none */
};

static struct model_stream streams[STREAMS];

static void key_name(int key, char name[8])
{
    snprintf(name, 8, "k%02d", key);
}

static bool concerns(const struct model_watcher *w, const struct past *p)
{
    return p->key >= w->from && p->key < w->to && p->revision >= w->start &&
           !(p->tombstone ? w->options.no_delete : w->options.no_put);
}

/* The next event that the watcher must be told; NULL: none yet. */
static const struct past *expected(struct model_watcher *w)
{
    while (w->at < world.history_count && !concerns(w, &world.history[w->at])) {
        w->at++;
    }
    return w->at < world.history_count ? &world.history[w->at] : NULL;
}

static const struct past *before(const struct past *p)
{
    const struct past *found = NULL;
    for (const struct past *q = world.history; q < p; q++) {
        if (q->key == p->key && q->revision < p->revision) {
            found = q;
        }
    }
    return found && !found->tombstone ? found : NULL;
}

static void check_prev(const struct model_watcher *w, const struct past *p,
                       const Pb__Event *e)
{
    bool creation = !p->tombstone && p->create_revision == p->revision;
    if (!w->options.prev_kv || creation) {
        assert_null(e->prev_kv);
        return;
    }
    const struct past *prev = before(p);
    if (!e->prev_kv) {
        /* compacted away, or it was not there */
        assert_true(!prev || p->revision - 1 < world.compacted);
        return;
    }
    char value[16];
    assert_non_null(prev);
    snprintf(value, sizeof value, "%d", prev->value);
    assert_int_equal(e->prev_kv->mod_revision, prev->revision);
    assert_int_equal(e->prev_kv->value.len, strlen(value));
    assert_memory_equal(e->prev_kv->value.data, value, strlen(value));
}

static void check_event(struct model_watcher *w, const Pb__Event *e)
{
    const struct past *p = expected(w);
    char name[8], value[16];
    assert_non_null(p);
    key_name(p->key, name);
    assert_int_equal(e->kv->mod_revision, p->revision);
    assert_int_equal(e->kv->key.len, strlen(name));
    assert_memory_equal(e->kv->key.data, name, strlen(name));
    assert_int_equal(e->type, p->tombstone);
    if (p->tombstone) {
        assert_int_equal(e->kv->value.len + (size_t)e->kv->version, 0);
    } else {
        snprintf(value, sizeof value, "%d", p->value);
        assert_int_equal(e->kv->create_revision, p->create_revision);
        assert_int_equal(e->kv->value.len, strlen(value));
        assert_memory_equal(e->kv->value.data, value, strlen(value));
    }
    check_prev(w, p, e);
    w->at++;
    world.told++;
}

static void check_events(struct model_watcher *w,
                         const struct watch_response *r)
{
    Pb__WatchResponse *m =
        pb__watch_response__unpack(NULL, r->events->size, r->events->data);
    assert_non_null(m);
    assert_int_equal(m->n_events, r->event_count);
    assert_true(m->n_events > 0);
    if (r->events->size + 96 > RESPONSE_MAX && w->options.fragment) {
        assert_int_equal(m->n_events, 1);
    }
    int64_t last = 0;
    for (size_t i = 0; i < m->n_events; i++) {
        check_event(w, m->events[i]);
        last = m->events[i]->kv->mod_revision;
    }
    assert_true(r->revision >= last);
    if (r->fragment) {
        assert_true(w->options.fragment);
        world.fragments++;
    } else {
        const struct past *next = expected(w);
        assert_true(!next || next->revision > last);
    }
    pb__watch_response__free_unpacked(m, NULL);
}

static struct model_watcher *watcher_of(struct model_stream *s, int64_t id)
{
    for (int i = 0; i < WATCHERS; i++) {
        struct model_watcher *w = &s->watchers[i];
        if (w->used && !w->gone && w->id == id) {
            return w;
        }
    }
    return NULL;
}

static bool emit(void *ctx, const struct watch_response *r)
{
    struct model_stream *s = ctx;
    if (r->watch_id == -1) {
        s->progress = r->revision;
        return true;
    }
    struct model_watcher *w = watcher_of(s, r->watch_id);
    assert_non_null(w);
    if (r->created) {
        assert_false(w->created);
        w->created = true;
        return true;
    }
    assert_true(w->created);
    if (r->canceled) {
        if (r->compact_revision) {
            assert_int_equal(r->compact_revision, world.compacted);
            assert_int_equal(r->revision, 0);
            world.cancelled++;
        }
        w->gone = true;
        return true;
    }
    /* what was begun is finished, full or not */
    assert_true(!s->blocked || w->partial);
    if (r->events) {
        check_events(w, r);
    }
    w->partial = r->fragment;
    s->blocked = s->blocked || (s->slow && rng_below(&world.rng, 4) == 0);
    return !s->blocked;
}

/* ---- steps ---- */
static void record(int key, bool tombstone, int value, int64_t revision)
{
    if (tombstone) {
        world.create[key] = 0;
    } else if (world.create[key] == 0) {
        world.create[key] = revision;
    }
    assert_true(world.history_count < HISTORY_MAX);
    world.history[world.history_count++] = (struct past){
        .revision = revision,
        .create_revision = world.create[key],
        .key = key,
        .tombstone = tombstone,
        .value = value,
    };
}

static void put_key(int key, int64_t revision)
{
    char name[8], value[16];
    struct mvcc_stat stat;
    key_name(key, name);
    int v = world.next_value++;
    snprintf(value, sizeof value, "%d", v);
    int err = mvcc_stat(world.store.mvcc, slice_str(name), &stat);
    assert_int_equal(mvcc_put(world.store.mvcc, slice_str(name),
                              slice_str(value), 0, err ? NULL : &stat),
                     0);
    record(key, false, v, revision);
}

static void delete_keys(int from, int to, int64_t revision)
{
    char first[8], last[8];
    int64_t count;
    key_name(from, first);
    key_name(to, last);
    assert_int_equal(mvcc_delete_range(world.store.mvcc, slice_str(first),
                                       slice_str(last), false, NULL, NULL,
                                       &count),
                     0);
    for (int k = from; k < to && k < KEYS; k++) {
        if (world.create[k]) {
            record(k, true, 0, revision);
            count--;
        }
    }
    assert_int_equal(count, 0);
}

static void write_some(void)
{
    int64_t revision = mvcc_revision(world.store.mvcc) + 1;
    int key = (int)rng_below(&world.rng, KEYS);
    mvcc_begin(world.store.mvcc);
    switch (rng_below(&world.rng, 4)) {
    case 0:
        delete_keys(key, key + 1 + (int)rng_below(&world.rng, 3), revision);
        break;
    case 1:
        for (int k = 0; k < KEYS; k++) {
            if (rng_below(&world.rng, 3) == 0) {
                put_key(k, revision);
            }
        }
        break;
    default:
        put_key(key, revision);
    }
    mvcc_end(world.store.mvcc, ++world.index, 1);
    watch_notify(world.hub);
}

static void compact_some(void)
{
    int64_t now = mvcc_revision(world.store.mvcc);
    int64_t to = now - (int64_t)rng_below(&world.rng, 40);
    mvcc_begin(world.store.mvcc);
    if (to > 0 && mvcc_compact(world.store.mvcc, to, NULL, NULL) == 0) {
        world.compacted = to;
    }
    mvcc_end(world.store.mvcc, ++world.index, 1);
    watch_notify(world.hub);
}

static void create_some(struct model_stream *s)
{
    struct model_watcher *w = NULL;
    for (int i = 0; i < WATCHERS && !w; i++) {
        if (!s->watchers[i].used || s->watchers[i].gone) {
            w = &s->watchers[i];
        }
    }
    if (!w) {
        return;
    }
    *w = (struct model_watcher){.used = true, .id = s->next_id++};
    char first[8], last[8];
    w->from = (int)rng_below(&world.rng, KEYS);
    w->to = w->from + 1;
    key_name(w->from, first);
    struct watch_create *c = &w->options;
    c->key = slice_str(first);
    switch (rng_below(&world.rng, 3)) {
    case 0:
        w->to = w->from + 1 + (int)rng_below(&world.rng, 6);
        key_name(w->to, last);
        c->end = slice_str(last);
        break;
    case 1:
        w->to = KEYS;
        c->end = slice_of("\0", 1);
        break;
    default:
        break;
    }
    int64_t now = mvcc_revision(world.store.mvcc);
    c->start_revision = (int64_t)rng_below(&world.rng, (uint64_t)now + 5);
    c->prev_kv = rng_below(&world.rng, 2);
    c->fragment = rng_below(&world.rng, 2);
    c->no_put = rng_below(&world.rng, 5) == 0;
    c->no_delete = rng_below(&world.rng, 5) == 0;
    w->start = c->start_revision ? c->start_revision : now + 1;
    watch_create(s->stream, c);
    assert_true(w->created);
}

static void cancel_some(struct model_stream *s)
{
    struct model_watcher *w = &s->watchers[rng_below(&world.rng, WATCHERS)];
    if (w->used && !w->gone) {
        watch_cancel(s->stream, w->id);
        assert_true(w->gone);
    }
}

static void ask_progress(struct model_stream *s)
{
    s->progress = 0;
    watch_progress(s->stream);
    if (s->progress == 0) {
        return;
    }
    world.progressed++;
    assert_int_equal(s->progress, mvcc_revision(world.store.mvcc));
    for (int i = 0; i < WATCHERS; i++) {
        struct model_watcher *w = &s->watchers[i];
        if (w->used && !w->gone) {
            assert_null(expected(w));
        }
    }
}

static void resume(struct model_stream *s)
{
    if (s->blocked) {
        s->blocked = false;
        world.resumed++;
        watch_stream_resume(s->stream);
    }
}

static void catch_up_once(void)
{
    int err;
    watch_catch_up(world.hub, &err);
    assert_int_equal(err, 0);
}

static void step(void)
{
    struct model_stream *s = &streams[rng_below(&world.rng, STREAMS)];
    switch (rng_below(&world.rng, 24)) {
    case 0:
    case 1:
        create_some(s);
        break;
    case 2:
        cancel_some(s);
        break;
    case 3:
    case 4:
        resume(s);
        break;
    case 5:
    case 6:
    case 7:
        catch_up_once();
        break;
    case 8:
        ask_progress(s);
        break;
    case 9:
        if (rng_below(&world.rng, 10) == 0) {
            compact_some();
        }
        break;
    case 10:
        if (rng_below(&world.rng, 5) == 0) {
            mvcc_flush(world.store.mvcc, NULL, NULL);
        }
        break;
    case 11:
        kvdb_poll(world.store.db);
        break;
    default:
        write_some();
    }
}

static void settle(void)
{
    int err;
    bool more = true;
    for (int i = 0; i < 100000 && more; i++) {
        for (int k = 0; k < STREAMS; k++) {
            streams[k].slow = false;
            resume(&streams[k]);
        }
        more = watch_catch_up(world.hub, &err);
        assert_int_equal(err, 0);
    }
    assert_false(more);
    for (int k = 0; k < STREAMS; k++) {
        for (int i = 0; i < WATCHERS; i++) {
            struct model_watcher *w = &streams[k].watchers[i];
            if (w->used && !w->gone) {
                assert_null(expected(w));
            }
        }
        ask_progress(&streams[k]);
    }
    struct watch_stats stats;
    watch_get_stats(world.hub, &stats);
    assert_int_equal(stats.unsynced_count, 0);
    assert_false(watch_wants_catch_up(world.hub));
}

static void run(uint64_t seed)
{
    memset(&world, 0, sizeof world);
    memset(streams, 0, sizeof streams);
    world.rng.state = seed;
    world.compacted = -1;
    store_new(&world.store);
    struct watch_config config = {
        .mvcc = world.store.mvcc,
        .response_bytes_max = RESPONSE_MAX,
    };
    world.hub = watch_new(&config);
    for (int i = 0; i < STREAMS; i++) {
        streams[i].slow = i % 2;
        streams[i].stream = watch_stream_new(world.hub, 0, emit, &streams[i]);
    }
    for (int i = 0; i < 2500; i++) {
        step();
        if (i % 1000 == 999) {
            settle();
            for (int k = 0; k < STREAMS; k++) {
                streams[k].slow = k % 2;
            }
        }
    }
    settle();
    assert_true(world.told > 1000);
    assert_true(world.resumed > 10);
    assert_true(world.fragments > 0);
    for (int i = 0; i < STREAMS; i++) {
        watch_stream_free(streams[i].stream);
    }
    struct watch_stats stats;
    watch_get_stats(world.hub, &stats);
    assert_int_equal(stats.watcher_count, 0);
    watch_free(world.hub);
    store_close(&world.store);
}

static void model(void **state)
{
    int cancelled = 0, progressed = 0;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        run(seed);
        cancelled += world.cancelled;
        progressed += world.progressed;
    }
    assert_true(cancelled > 0);
    assert_true(progressed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
