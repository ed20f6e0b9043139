/*
 * Watches over one stream. The server answers creations in the order they
 * were asked for; that gives each watch its id. When the stream is lost, a
 * new one asks for every watch again, from the revision after the last one
 * delivered, so that no event is missed or seen twice.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "client.h"

enum { RESUME_MS_MIN = 50, RESUME_MS_MAX = 1000 };

struct watch {
    struct list link;
    struct arena arena; /* owns the request's bytes */
    Pb__WatchCreateRequest create;
    int64_t id; /* -1: not answered yet */
    int64_t next_revision;
    void *ctx;
};

struct cofre_watcher {
    struct cofre *client;
    struct grpc_client_call *call; /* NULL: between two streams */
    struct timer *resume;
    uint64_t resume_ms;
    struct list watches;
    void (*on_news)(void *ctx, const struct cofre_watch_news *n);
    void *ctx;
};

static void send_create(struct cofre_watcher *w, struct watch *watch)
{
    Pb__WatchRequest request;
    pb__watch_request__init(&request);
    request.request_union_case =
        PB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &watch->create;
    watch->id = -1;
    watch->create.start_revision = watch->next_revision;
    grpc_client_send(w->call, &request.base);
}

static struct watch *find(struct cofre_watcher *w, int64_t id)
{
    list_each(it, safe, &w->watches)
    {
        struct watch *watch = container_of(it, struct watch, link);
        if (watch->id == id) {
            return watch;
        }
    }
    return NULL;
}

static void watch_free(struct watch *watch)
{
    list_remove(&watch->link);
    arena_release(&watch->arena);
    free(watch);
}

static void tell(struct cofre_watcher *w, void *watch_ctx,
                 const Pb__WatchResponse *m)
{
    struct cofre_watch_news news = {
        .watch_id = m->watch_id,
        .watch_ctx = watch_ctx,
        .header = client_header(m->header),
        .progress = m->n_events == 0 && !m->canceled,
        .canceled = m->canceled,
        .compact_revision = m->compact_revision,
        .cancel_reason = m->cancel_reason,
        .event_count = m->n_events,
        .message = &m->base,
    };
    w->on_news(w->ctx, &news);
}

static void deliver(struct cofre_watcher *w, const Pb__WatchResponse *m)
{
    struct watch *watch = find(w, m->created ? -1 : m->watch_id);
    void *watch_ctx = watch ? watch->ctx : NULL;
    if (m->created && watch) {
        watch->id = m->watch_id;
        if (watch->next_revision == 0 && m->header) {
            watch->next_revision = m->header->revision + 1;
        }
    }
    if (m->n_events > 0 && watch) {
        const Pb__Event *last = m->events[m->n_events - 1];
        watch->next_revision = last->kv->mod_revision + 1;
    }
    if (m->canceled && watch) {
        watch_free(watch);
    }
    if (m->canceled || !m->created) {
        tell(w, watch_ctx, m);
    }
}

/* Events carry their pair; one without could not be told. */
static bool is_whole(const Pb__WatchResponse *m)
{
    for (size_t i = 0; i < m->n_events; i++) {
        if (!m->events[i]->kv) {
            return false;
        }
    }
    return true;
}

static void watch_end(struct cofre_watcher *w, int code, const char *text)
{
    struct cofre *c = w->client;
    client_error(c, code, text);
    c->run_code = code;
    loop_stop(c->loop);
}

static void watch_message(void *ctx, struct slice message)
{
    struct cofre_watcher *w = ctx;
    struct arena arena;
    arena_init(&arena);
    ProtobufCAllocator allocator = grpc_arena_allocator(&arena);
    Pb__WatchResponse *m =
        pb__watch_response__unpack(&allocator, message.size, message.data);
    if (!m || !is_whole(m)) {
        watch_end(w, COFRE_INTERNAL, "an answer cannot be read");
    } else {
        w->resume_ms = RESUME_MS_MIN;
        deliver(w, m);
    }
    arena_release(&arena);
}

static void watch_status(void *ctx, enum grpc_code code, const char *text)
{
    struct cofre_watcher *w = ctx;
    struct cofre *c = w->client;
    w->call = NULL;
    if (code != GRPC_UNAVAILABLE && code != GRPC_INTERNAL && code != GRPC_OK) {
        watch_end(w, (int)code, text);
        return;
    }
    c->current = (c->current + 1) % c->endpoint_count;
    timer_start(w->resume, w->resume_ms, 0);
    w->resume_ms =
        w->resume_ms * 2 > RESUME_MS_MAX ? RESUME_MS_MAX : w->resume_ms * 2;
}

static void begin(void *ctx)
{
    static const struct grpc_client_handler handler = {
        .on_message = watch_message,
        .on_status = watch_status,
    };
    struct cofre_watcher *w = ctx;
    struct cofre *c = w->client;
    const char *metadata[CLIENT_METADATA_COUNT];
    client_metadata(c, true, metadata);
    w->call = grpc_client_start(client_channel(c, c->current),
                                "/etcdserverpb.Watch/Watch", metadata, 0,
                                &handler, w);
    list_each(it, safe, &w->watches)
    {
        send_create(w, container_of(it, struct watch, link));
    }
}

struct cofre_watcher *
cofre_watcher_new(struct cofre *c,
                  void (*on_news)(void *ctx, const struct cofre_watch_news *n),
                  void *ctx)
{
    struct cofre_watcher *w = mem_zalloc(sizeof *w);
    w->client = c;
    w->on_news = on_news;
    w->ctx = ctx;
    w->resume_ms = RESUME_MS_MIN;
    w->resume = timer_new(c->loop, begin, w);
    list_init(&w->watches);
    return w;
}

void cofre_watcher_free(struct cofre_watcher *w)
{
    if (!w) {
        return;
    }
    if (w->call) {
        grpc_client_cancel(w->call);
    }
    timer_free(w->resume);
    list_each(it, safe, &w->watches)
    {
        watch_free(container_of(it, struct watch, link));
    }
    free(w);
}

static ProtobufCBinaryData keep(struct arena *a, struct cofre_bytes b)
{
    return (ProtobufCBinaryData){
        .len = b.size,
        .data = b.size ? arena_dup(a, b.data, b.size) : NULL,
    };
}

static void set_filters(struct watch *watch,
                        const struct cofre_watch_options *o)
{
    Pb__WatchCreateRequest__FilterType *filters =
        arena_alloc(&watch->arena, 2 * sizeof *filters);
    watch->create.filters = filters;
    if (o->no_put) {
        filters[watch->create.n_filters++] =
            PB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT;
    }
    if (o->no_delete) {
        filters[watch->create.n_filters++] =
            PB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
    }
}

int cofre_watch_add(struct cofre_watcher *w, struct cofre_bytes key,
                    const struct cofre_watch_options *options)
{
    static const struct cofre_watch_options none;
    const struct cofre_watch_options *o = options ? options : &none;
    int code = cofre_login(w->client);
    if (code != COFRE_OK) {
        return code;
    }
    struct watch *watch = mem_zalloc(sizeof *watch);
    arena_init(&watch->arena);
    pb__watch_create_request__init(&watch->create);
    watch->create.key = keep(&watch->arena, key);
    watch->create.range_end = keep(&watch->arena, o->range_end);
    if (o->prefix) {
        watch->create.range_end = client_prefix_end(&watch->arena, key);
    }
    /* The store's first possible key is one zero byte. */
    if (key.size == 0) {
        watch->create.key =
            (ProtobufCBinaryData){1, arena_zalloc(&watch->arena, 1)};
    }
    watch->create.prev_kv = o->previous;
    watch->create.progress_notify = o->progress_notify;
    set_filters(watch, o);
    watch->id = -1;
    watch->next_revision = o->start_revision;
    watch->ctx = o->ctx;
    bool first = list_empty(&w->watches) && !w->call;
    list_append(&w->watches, &watch->link);
    if (w->call) {
        send_create(w, watch);
    } else if (first) {
        begin(w);
    }
    return COFRE_OK;
}

int cofre_watch_progress(struct cofre_watcher *w)
{
    Pb__WatchRequest request;
    pb__watch_request__init(&request);
    Pb__WatchProgressRequest progress;
    pb__watch_progress_request__init(&progress);
    if (!w->call) {
        return client_error(w->client, COFRE_UNAVAILABLE, "not connected");
    }
    request.request_union_case =
        PB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    request.progress_request = &progress;
    grpc_client_send(w->call, &request.base);
    return COFRE_OK;
}

struct cofre_event cofre_watch_event(const struct cofre_watch_news *n, size_t i)
{
    const Pb__WatchResponse *m =
        (const Pb__WatchResponse *)(const void *)n->message;
    const Pb__Event *e = m->events[i];
    struct cofre_event event = {
        .is_delete = e->type == PB__EVENT__EVENT_TYPE__DELETE,
        .kv = client_kv(e->kv),
        .has_previous = e->prev_kv != NULL,
    };
    if (e->prev_kv) {
        event.previous = client_kv(e->prev_kv);
    }
    return event;
}
