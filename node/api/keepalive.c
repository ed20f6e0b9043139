/*
 * LeaseKeepAlive: a stream of ids, an answer for each in the same order.
 * One id at a time is under work; the others queue behind it. The leader
 * renews, everyone else asks it.
 *
 * A leader that was stopped or cut off may not know that there is another,
 * who will end the lease at a time of its own: so each renewal is behind a
 * read index (dissertation 6.4), which all of a pass share.
 */
#include <stdlib.h>

#include "proto/proto.h"
#include "state.h"

struct renewal {
    struct list link;
    struct api_stream *stream; /* NULL: it ended while we asked */
    struct api *api;
    struct api_wait wait;
    bool is_forwarded; /* the leader's answer will come, once */
    int64_t id;
    int64_t revision; /* of the header, read before the renewal */
    uint64_t started_ms;
};

struct keepalive {
    struct api_stream *stream;
    struct list queue; /* renewals; the first is under work */
    uint32_t count;
    uint32_t sure;  /* of them, from the first: a majority followed us since */
    uint32_t asked; /* that many will be when `read` is done */
    bool is_asking;
    bool half_closed;
    struct replica_read read;
};

static void answer(struct renewal *r, int64_t ttl_s)
{
    uint8_t head[API_HEADER_BYTES_MAX + 2 * (1 + PROTO_VARINT_MAX)];
    uint8_t *to = head + api_header(r->api, r->revision, head);
    to = proto_u64(to, 2, (uint64_t)r->id);
    to = proto_u64(to, 3, (uint64_t)ttl_s);
    grpc_send_bytes(r->stream->call, slice_of(head, (size_t)(to - head)), NULL);
}

/* Takes the renewal off its stream and frees it. */
static void settle(struct renewal *r, int err, int64_t ttl_s)
{
    struct api_stream *s = r->stream;
    struct keepalive *ka = s->state;
    if (err == ERR_LEASE_NOT_FOUND) {
        err = 0;
        ttl_s = 0;
    }
    if (err) {
        api_fail(s->call, err);
    } else {
        answer(r, ttl_s);
    }
    list_remove(&r->link);
    list_remove(&r->wait.link);
    ka->count--;
    ka->sure -= ka->sure > 0;
    free(r);
}

static void forwarded(void *ctx, int err, int64_t ttl_s);

static void forward(struct renewal *r)
{
    struct api *a = r->api;
    struct keepalive *ka = r->stream->state;
    ka->sure = 0;
    r->is_forwarded = true;
    a->config.rim.forward_keepalive(a->config.rim.ctx, r->id, forwarded, r);
}

/* True: it is settled, and r is gone. */
static bool attempt(struct renewal *r)
{
    struct api *a = r->api;
    const struct raft_status *s = replica_status(a->config.replica);
    if (!lease_is_primary(a->config.lessor)) {
        return false;
    }
    int64_t ttl_s = 0;
    int err = api_renew(a, r->id, &ttl_s);
    if (err == ERR_AGAIN) {
        return false; /* its end is on the way: then the answer is 0 */
    }
    if (err == ERR_LEASE_NOT_FOUND && s->applied < s->commit) {
        return false; /* it may be in what is not applied yet */
    }
    settle(r, err, ttl_s);
    return true;
}

static void run_queue(struct api_stream *s);
static bool poll(struct api_wait *w);

static struct renewal *first_of(struct keepalive *ka)
{
    return container_of(ka->queue.next, struct renewal, link);
}

static void asked(struct replica_read *rd, int err)
{
    struct keepalive *ka = container_of(rd, struct keepalive, read);
    struct renewal *r = first_of(ka);
    ka->is_asking = false;
    if (err == ERR_LEADER_CHANGED) {
        /* The lessor hears of it behind this. */
        r->started_ms = api_now_ms(r->api);
        api_wait_for(r->api, &r->wait, poll);
        api_later(r->api);
        return;
    }
    if (err == 0) {
        ka->sure = ka->asked;
    } else {
        settle(r, err, 0);
    }
    run_queue(ka->stream);
}

/* Nothing is taken off the queue until the answer is there. */
static void ask(struct keepalive *ka)
{
    if (!ka->is_asking) {
        ka->is_asking = true;
        ka->asked = ka->count;
        ka->read = (struct replica_read){.done = asked};
        replica_read(ka->stream->api->config.replica, &ka->read);
    }
}

static bool must_ask(const struct keepalive *ka)
{
    return ka->sure == 0 && lease_is_primary(ka->stream->api->config.lessor);
}

static void run_queue(struct api_stream *s)
{
    struct keepalive *ka = s->state;
    while (!list_empty(&ka->queue) && grpc_call_alive(s->call)) {
        struct renewal *r = first_of(ka);
        struct api *a = s->api;
        if (must_ask(ka)) {
            ask(ka);
            return;
        }
        r->revision = mvcc_revision(a->mvcc);
        r->started_ms = api_now_ms(a);
        if (attempt(r)) {
            continue;
        }
        if (lease_is_primary(a->config.lessor) || api_is_leader(a)) {
            api_wait_for(a, &r->wait, poll);
        } else {
            forward(r);
        }
        return;
    }
    if (list_empty(&ka->queue) && ka->half_closed) {
        grpc_finish(s->call, GRPC_OK, NULL);
    }
}

static void forwarded(void *ctx, int err, int64_t ttl_s)
{
    struct renewal *r = ctx;
    struct api_stream *s = r->stream;
    if (!s) {
        free(r);
        return;
    }
    settle(r, err, ttl_s);
    run_queue(s);
}

static bool poll(struct api_wait *w)
{
    struct renewal *r = container_of(w, struct renewal, wait);
    struct api_stream *s = r->stream;
    struct api *a = r->api;
    uint64_t waited_ms = api_now_ms(a) - r->started_ms;
    if (must_ask(s->state)) {
        list_remove(&r->wait.link);
    } else if (!attempt(r)) {
        bool leading = lease_is_primary(a->config.lessor) || api_is_leader(a);
        if (!leading) {
            /* Lost the office while it waited: the next one knows. */
            list_remove(&r->wait.link);
            forward(r);
            return true;
        }
        bool exists = lease_exists(a->config.lessor, r->id);
        if (!exists && waited_ms >= API_APPLIED_WAIT_MS) {
            settle(r, API_TIMEOUT_APPLY, 0);
        } else if (waited_ms >= api_request_timeout_ms(a)) {
            settle(r, API_TIMEOUT, 0);
        } else {
            return false;
        }
    }
    run_queue(s);
    return true;
}

void api_keepalive_message(struct grpc_call *call, struct slice message)
{
    struct api_stream *s = grpc_call_ctx(call);
    struct keepalive *ka = s->state;
    if (!ka) {
        ka = s->state = arena_zalloc(grpc_call_arena(call), sizeof *ka);
        ka->stream = s;
        list_init(&ka->queue);
    }
    struct proto_field f;
    int64_t id = 0;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.number == 1 && f.wire == PROTO_VARINT) {
            id = (int64_t)f.value;
        }
    }
    if (more < 0) {
        api_fail_unmarshal(call);
        return;
    }
    if (ka->count == API_KEEPALIVE_QUEUE_MAX ||
        grpc_call_queued(call) > API_KEEPALIVE_UNREAD_BYTES) {
        api_fail(call, API_TOO_MANY_REQUESTS);
        return;
    }
    struct renewal *r = mem_zalloc(sizeof *r);
    r->stream = s;
    r->api = s->api;
    r->id = id;
    list_init(&r->wait.link);
    list_append(&ka->queue, &r->link);
    ka->count++;
    if (ka->count == 1) {
        run_queue(s);
    }
}

void api_keepalive_half_close(struct grpc_call *call)
{
    struct api_stream *s = grpc_call_ctx(call);
    struct keepalive *ka = s->state;
    if (!ka || list_empty(&ka->queue)) {
        grpc_finish(call, GRPC_OK, NULL);
    } else {
        ka->half_closed = true;
    }
}

void api_keepalive_end(struct grpc_call *call)
{
    struct api_stream *s = grpc_call_ctx(call);
    struct keepalive *ka = s->state;
    if (ka && ka->is_asking) {
        replica_read_cancel(s->api->config.replica, &ka->read);
    }
    while (ka && !list_empty(&ka->queue)) {
        struct renewal *r = first_of(ka);
        list_remove(&r->link);
        list_remove(&r->wait.link);
        if (r->is_forwarded) {
            r->stream = NULL; /* the answer will free it */
        } else {
            free(r);
        }
    }
    s->state = NULL;
    api_stream_end(call);
}
