/*
 * Clients of a hub that write down what they are told, and the words of the
 * member behind it, by hand.
 */
#ifndef TESTS_PROXY_WATCHERS_H
#define TESTS_PROXY_WATCHERS_H

#include "member.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"
#include "proto/proto.h"
#include "proto/rpc.pb-c.h"
#include "proxy/hub.h"

static struct hub *hub;
static struct name_space ns;
static const char *const no_metadata[] = {NULL};

/* A client's stream, which writes down what it is told. */
struct client {
    struct hub_stream *stream;
    char log[4096];
    bool is_slow;
    int ended;
    enum grpc_code code;
};
static struct client a, b, c;

static void note(struct client *x, const Pb__WatchResponse *r)
{
    char *to = x->log + strlen(x->log);
    size_t room = sizeof x->log - strlen(x->log);
    int n =
        snprintf(to, room, "%s%" PRId64 "%s%s", *x->log ? " " : "", r->watch_id,
                 r->created ? "+" : "", r->canceled ? "x" : "");
    for (size_t i = 0; i < r->n_events; i++) {
        const Pb__Event *e = r->events[i];
        n += snprintf(to + n, room - (size_t)n, ",%s%.*s@%" PRId64 "%s",
                      e->type ? "-" : "", (int)e->kv->key.len,
                      (const char *)e->kv->key.data, e->kv->mod_revision,
                      e->prev_kv ? "p" : "");
    }
    if (r->compact_revision) {
        n += snprintf(to + n, room - (size_t)n, ",compact=%" PRId64,
                      r->compact_revision);
    }
    if (r->fragment) {
        n += snprintf(to + n, room - (size_t)n, ",more");
    }
    if (r->cancel_reason[0]) {
        snprintf(to + n, room - (size_t)n, ",%s", r->cancel_reason);
    }
}

static bool emit(void *ctx, struct slice head, struct bytes *events)
{
    struct client *x = ctx;
    struct buf m = BUF_INIT(1 << 24);
    buf_append_slice(&m, head);
    buf_append_slice(&m, bytes_slice(events));
    Pb__WatchResponse *r = pb__watch_response__unpack(NULL, m.size, m.data);
    assert_non_null(r);
    note(x, r);
    pb__watch_response__free_unpacked(r, NULL);
    buf_release(&m);
    return !x->is_slow;
}

static void end(void *ctx, enum grpc_code code, const char *text)
{
    struct client *x = ctx;
    x->ended++;
    x->code = code;
}

/* What it was told since the last time. */
static void told(struct client *x, const char *expected)
{
    assert_string_equal(x->log, expected);
    x->log[0] = '\0';
}

static void open_client(struct client *x, const char *token, bool has_leader)
{
    struct credentials creds = {no_metadata, slice_str(token), has_leader};
    memset(x, 0, sizeof *x);
    x->stream = hub_stream_new(hub, &creds, x);
}

static void begin(const char *prefix)
{
    name_space_init(&ns, slice_str(prefix));
    struct hub_config config = {.door = member_door,
                                .name_space = &ns,
                                .fragment_bytes = 64,
                                .emit = emit,
                                .end = end};
    hub = hub_new(&config);
    open_client(&a, "", false);
    open_client(&b, "", false);
}

static int setup(void **state)
{
    begin("");
    member_up(0);
    return 0;
}

static void finish(void)
{
    hub_stream_free(a.stream);
    hub_stream_free(b.stream);
    hub_free(hub);
    name_space_release(&ns);
    member_reset();
}

static int teardown(void **state)
{
    finish();
    return 0;
}

/* ---- a client's requests ---- */

static int request(struct client *x, Pb__WatchRequest *r)
{
    uint8_t room[512];
    size_t size = pb__watch_request__pack(r, room);
    return hub_stream_message(x->stream, slice_of(room, size));
}

static void watch_as(struct client *x, Pb__WatchCreateRequest *create,
                     const char *key, int64_t start)
{
    Pb__WatchRequest r = PB__WATCH_REQUEST__INIT;
    create->key = (ProtobufCBinaryData){strlen(key), (uint8_t *)(uintptr_t)key};
    create->start_revision = start;
    r.request_union_case = PB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    r.create_request = create;
    assert_int_equal(request(x, &r), 0);
}

static void watch(struct client *x, const char *key, int64_t start)
{
    Pb__WatchCreateRequest create = PB__WATCH_CREATE_REQUEST__INIT;
    watch_as(x, &create, key, start);
}

static void cancel(struct client *x, int64_t id)
{
    Pb__WatchRequest r = PB__WATCH_REQUEST__INIT;
    Pb__WatchCancelRequest cancel = PB__WATCH_CANCEL_REQUEST__INIT;
    cancel.watch_id = id;
    r.request_union_case = PB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST;
    r.cancel_request = &cancel;
    assert_int_equal(request(x, &r), 0);
}

static void ask_progress(struct client *x)
{
    Pb__WatchRequest r = PB__WATCH_REQUEST__INIT;
    Pb__WatchProgressRequest progress = PB__WATCH_PROGRESS_REQUEST__INIT;
    r.request_union_case = PB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    r.progress_request = &progress;
    assert_int_equal(request(x, &r), 0);
}

/* ---- the member's side ---- */

/* What it was sent on a link since the last time: "+id key@start", "-id",
 * "?". */
static void sent(int link, const char *expected)
{
    char got[1024] = "";
    struct member_link *l = &links[link];
    for (int i = 0; i < l->sent_count; i++) {
        char *to = got + strlen(got);
        size_t room = sizeof got - strlen(got);
        Pb__WatchRequest *r =
            pb__watch_request__unpack(NULL, l->sent[i].size, l->sent[i].data);
        assert_non_null(r);
        const char *gap = *got ? " " : "";
        if (r->request_union_case ==
            PB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST) {
            const Pb__WatchCreateRequest *q = r->create_request;
            assert_true(q->prev_kv && q->progress_notify);
            snprintf(to, room, "%s+%" PRId64 " %.*s@%" PRId64, gap, q->watch_id,
                     (int)q->key.len, (const char *)q->key.data,
                     q->start_revision);
        } else if (r->request_union_case ==
                   PB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST) {
            snprintf(to, room, "%s-%" PRId64, gap, r->cancel_request->watch_id);
        } else {
            snprintf(to, room, "%s?", gap);
        }
        pb__watch_request__free_unpacked(r, NULL);
    }
    assert_string_equal(got, expected);
    member_forget(l);
}

static void answer(int link, Pb__WatchResponse *r, int64_t revision)
{
    Pb__ResponseHeader header = PB__RESPONSE_HEADER__INIT;
    uint8_t room[4096];
    header.cluster_id = 1;
    header.member_id = 2;
    header.raft_term = 3;
    header.revision = revision;
    r->header = &header;
    size_t size = pb__watch_response__pack(r, room);
    links[link].handler.message(links[link].ctx, slice_of(room, size));
}

static void created(int64_t id, int64_t revision)
{
    Pb__WatchResponse r = PB__WATCH_RESPONSE__INIT;
    r.watch_id = id;
    r.created = true;
    answer(0, &r, revision);
}

/* `count` events of a key, one a revision, the first at `first`; deletes
 * with "-" in front of the key. */
static void events(int64_t id, const char *key, int64_t first, size_t count,
                   int64_t revision)
{
    Pb__WatchResponse r = PB__WATCH_RESPONSE__INIT;
    Pb__Event list[16], *pointers[16];
    Pb__KeyValue kvs[16], before = PB__KEY_VALUE__INIT;
    bool is_delete = key[0] == '-';
    const char *name = key + is_delete;
    for (size_t i = 0; i < count; i++) {
        pb__event__init(&list[i]);
        pb__key_value__init(&kvs[i]);
        kvs[i].key =
            (ProtobufCBinaryData){strlen(name), (uint8_t *)(uintptr_t)name};
        kvs[i].mod_revision = first + (int64_t)i;
        before.key = kvs[i].key;
        list[i].kv = &kvs[i];
        list[i].prev_kv = &before;
        list[i].type = is_delete;
        pointers[i] = &list[i];
    }
    r.watch_id = id;
    r.events = pointers;
    r.n_events = count;
    answer(0, &r, revision);
}

static void event(int64_t id, const char *key, int64_t revision)
{
    events(id, key, revision, 1, revision);
}

static void progress(int64_t id, int64_t revision)
{
    Pb__WatchResponse r = PB__WATCH_RESPONSE__INIT;
    r.watch_id = id;
    answer(0, &r, revision);
}

static struct hub_stats stats(void)
{
    struct hub_stats s;
    hub_get_stats(hub, &s);
    return s;
}

#endif
