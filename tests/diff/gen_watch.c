/* Watches: on several streams, with everything that a create can ask. */
#include "diff.h"

#define WATCH "/etcdserverpb.Watch/Watch"
enum { FAR_STREAM = STREAMS_MAX - 1, CREATES_MAX = 40 };

static struct step *on_stream(struct gen *g, enum step_kind kind, int stream,
                              const void *request)
{
    struct step *s =
        gen_add(g, kind, WATCH, request, &pb__watch_response__descriptor);
    s->stream = stream;
    s->far = stream == FAR_STREAM;
    g->streams_open |= 1 << stream;
    return s;
}

static void sync_one(struct gen *g, int stream)
{
    on_stream(g, STEP_SYNC, stream, NULL);
}

void gen_sync_all(struct gen *g)
{
    for (int i = 0; i < STREAMS_MAX; i++) {
        if (g->streams_open & 1 << i) {
            sync_one(g, i);
        }
    }
}

static void filter(struct gen *g, Pb__WatchCreateRequest *c)
{
    size_t n = 1 + gen_below(g, 2);
    c->filters = arena_alloc(&g->run->arena, n * sizeof *c->filters);
    for (; c->n_filters < n; c->n_filters++) {
        c->filters[c->n_filters] =
            (Pb__WatchCreateRequest__FilterType)gen_below(g, 3);
    }
}

static int64_t start_revision(struct gen *g)
{
    uint64_t dice = gen_below(g, 100);
    if (dice < 60) {
        return 0;
    }
    if (dice < 85) {
        return MARK_REVISION +
               (int64_t)gen_below(g, (uint64_t)g->revisions + 3);
    }
    if (dice < 93) {
        return MARK_REVISION - (int64_t)gen_below(g, 4);
    }
    return -(int64_t)gen_below(g, 3);
}

static void create(struct gen *g, int stream)
{
    Pb__WatchCreateRequest *c =
        GEN_NEW(g, Pb__WatchCreateRequest, PB__WATCH_CREATE_REQUEST__INIT);
    Pb__WatchRequest *r = GEN_NEW(g, Pb__WatchRequest, PB__WATCH_REQUEST__INIT);
    r->request_union_case = PB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    r->create_request = c;
    c->key = gen_key(g);
    c->range_end = gen_end(g, c->key);
    c->prev_kv = gen_chance(g, 50);
    c->progress_notify = gen_chance(g, 20);
    c->fragment = gen_chance(g, 20);
    c->start_revision = start_revision(g);
    if (stream == FAR_STREAM) {
        c->start_revision = MARK_REVISION + 100000;
    }
    if (gen_chance(g, 25)) {
        c->watch_id =
            gen_chance(g, 90) ? (int64_t)gen_below(g, 5) : gen_number(g);
    }
    if (gen_chance(g, 25)) {
        filter(g, c);
    }
    on_stream(g, STEP_WATCH, stream, r);
    g->watches[stream]++;
    /* A compacted watcher must have shown itself before the next word. */
    if (c->start_revision > 0 && c->start_revision < g->compacted) {
        sync_one(g, stream);
    }
}

static void cancel(struct gen *g, int stream)
{
    Pb__WatchCancelRequest *c =
        GEN_NEW(g, Pb__WatchCancelRequest, PB__WATCH_CANCEL_REQUEST__INIT);
    Pb__WatchRequest *r = GEN_NEW(g, Pb__WatchRequest, PB__WATCH_REQUEST__INIT);
    r->request_union_case = PB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST;
    r->cancel_request = c;
    c->watch_id = gen_chance(g, 90)
                      ? (int64_t)gen_below(g, (uint64_t)g->watches[stream] + 2)
                      : gen_number(g);
    sync_one(g, stream);
    on_stream(g, STEP_WATCH, stream, r);
}

void gen_watch(struct gen *g)
{
    int stream = (int)gen_below(g, gen_chance(g, 20) ? STREAMS_MAX : 2);
    uint64_t dice = gen_below(g, 100);
    if (dice < 45 && g->watches[stream] < CREATES_MAX) {
        create(g, stream);
    } else if (dice < 65) {
        cancel(g, stream);
    } else if (dice < 80) {
        sync_one(g, stream);
    } else if (dice < 94) {
        on_stream(g, STEP_WATCH, stream,
                  GEN_NEW(g, Pb__WatchRequest, PB__WATCH_REQUEST__INIT));
    } else {
        on_stream(g, STEP_CLOSE, stream, NULL);
        g->watches[stream] = 0;
        g->streams_open &= ~(1 << stream);
    }
}

void gen_watch_end(struct gen *g)
{
    gen_sync_all(g);
}
