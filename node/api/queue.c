/*
 * Waiting in the queue of a lock or an election: for the key created last
 * before one's own, so that a deletion wakes one waiter and not all. What
 * is applied here is enough to know: no older key can still appear.
 */
#include <stdlib.h>

#include "proto/proto.h"
#include "session.h"

enum { ENTRY_TXN = 6 };

/* ---- looking ---- */
struct look {
    int64_t max;
    bool oldest;
    int64_t best; /* create revision, 0: none */
    struct slice key;
};

static bool visit(void *ctx, const struct mvcc_kv *kv)
{
    struct look *l = ctx;
    bool better = l->best == 0 || (l->oldest ? kv->create_revision < l->best
                                             : kv->create_revision > l->best);
    if (kv->create_revision <= l->max && better) {
        l->best = kv->create_revision;
        l->key = kv->key;
    }
    return true;
}

/* '0' is what follows '/'. */
static struct slice end_of(struct slice prefix, uint8_t *to)
{
    proto_copy(to, prefix);
    to[prefix.size - 1]++;
    return slice_of(to, prefix.size);
}

int api_session_find(struct api *a, struct slice prefix, int64_t max,
                     bool oldest, struct mvcc_kv *ret_kv)
{
    uint8_t *end = mem_alloc(prefix.size);
    struct mvcc_range range = {
        .key = prefix, .end = end_of(prefix, end), .keys_only = true};
    struct look l = {.max = max, .oldest = oldest};
    int err = mvcc_range(a->mvcc, &range, visit, &l, NULL);
    free(end);
    if (err == 0 && l.best == 0) {
        err = ERR_KEY_NOT_FOUND;
    }
    return err ? err : mvcc_get(a->mvcc, l.key, ret_kv);
}

bool api_session_is_behind(struct api_session *s)
{
    struct mvcc_kv kv;
    return api_session_find(s->c->api, s->prefix, s->create_revision - 1, true,
                            &kv) == 0;
}

/* ---- waiting ---- */
static void watch_one_before(struct api_session *s);

static void stop_watching(struct api_session *s)
{
    list_remove(&s->wake.link);
    if (s->watch) {
        watch_stream_free(s->watch);
        s->watch = NULL;
    }
}

static bool woken(struct api_wait *w)
{
    struct api_session *s = container_of(w, struct api_session, wake);
    stop_watching(s);
    watch_one_before(s);
    return true;
}

/* The key went, or the watch did: look again when the hub is done. */
static bool emit(void *ctx, const struct watch_response *r)
{
    struct api_session *s = ctx;
    bool news = r->event_count > 0 || r->canceled;
    if (news && list_empty(&s->wake.link)) {
        api_slice(s->c->api, &s->wake, woken);
    }
    return true;
}

static void watch_one_before(struct api_session *s)
{
    struct api *a = s->c->api;
    struct mvcc_kv before;
    int err =
        api_session_find(a, s->prefix, s->create_revision - 1, false, &before);
    if (err == ERR_KEY_NOT_FOUND) {
        s->next(s);
        return;
    }
    if (err) {
        api_session_fail(s->c, err);
        return;
    }
    struct watch_create create = {.key = before.key, .no_put = true};
    s->watch = watch_stream_new(a->config.watch, api_now_ms(a), emit, s);
    watch_create(s->watch, &create);
}

void api_session_wait(struct api_session *s,
                      void (*next)(struct api_session *s))
{
    s->next = next;
    s->queued = true;
    watch_one_before(s);
}

/* ---- the end ---- */
static ProtobufCBinaryData data_of(struct slice s)
{
    return (ProtobufCBinaryData){s.size, (uint8_t *)(uintptr_t)s.data};
}

/* The caller went away while it waited: its key would hold up the others
 * until the lease ends. */
static void leave(struct api_session *s)
{
    Pb__Compare mine = PB__COMPARE__INIT;
    mine.target = PB__COMPARE__COMPARE_TARGET__CREATE;
    mine.target_union_case = PB__COMPARE__TARGET_UNION_CREATE_REVISION;
    mine.create_revision = s->create_revision;
    mine.key = data_of(s->key);
    Pb__DeleteRangeRequest del = PB__DELETE_RANGE_REQUEST__INIT;
    del.key = data_of(s->key);
    Pb__RequestOp then = PB__REQUEST_OP__INIT;
    then.request_case = PB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
    then.request_delete_range = &del;
    Pb__TxnRequest txn = PB__TXN_REQUEST__INIT;
    txn.compare = (Pb__Compare *[]){&mine};
    txn.success = (Pb__RequestOp *[]){&then};
    txn.n_compare = txn.n_success = 1;
    size_t size = pb__txn_request__get_packed_size(&txn);
    uint8_t *data = mem_alloc(size);
    pb__txn_request__pack(&txn, data);
    api_propose_alone(s->c->api, ENTRY_TXN, slice_of(data, size));
    free(data);
}

void api_session_end(struct grpc_call *call)
{
    struct api_call *c = grpc_call_ctx(call);
    struct api_session *s = c ? c->session : NULL;
    if (s) {
        stop_watching(s);
        if (s->queued) {
            s->queued = false;
            leave(s);
        }
    }
    api_call_end(call);
}
