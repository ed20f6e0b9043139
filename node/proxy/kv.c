/* KV, and what else names keys: the namespace and the cache. */
#include "internal.h"

static const char empty_key[] = "etcdserver: key is not provided";
static const char bad_answer[] = "the member's answer could not be understood";

enum { TXN_DEPTH_MAX = NAME_SPACE_DEPTH_MAX };

/* ---- requests ---- */

static void refuse(struct grpc_call *call, int err)
{
    if (err == ERR_KEY_NOT_FOUND) {
        grpc_finish(call, GRPC_INVALID_ARGUMENT, empty_key);
    } else {
        proxy_fail_unmarshal(call);
    }
}

/* Sends the request as the members know it. */
static void send_on(struct proxy_forward *f, enum name_space_message what)
{
    const struct name_space *ns = &f->proxy->name_space;
    struct slice message = f->request;
    if (name_space_is_set(ns)) {
        int err = name_space_rewrite(ns, what, message, &f->rewritten);
        if (err) {
            refuse(f->call, err);
            return;
        }
        message = buf_slice(&f->rewritten);
    }
    uint64_t max = f->proxy->config->send_bytes_max;
    if (message.size > max) {
        grpc_finish(f->call, GRPC_RESOURCE_EXHAUSTED,
                    arena_printf(grpc_call_arena(f->call),
                                 "trying to send message larger than max (%zu "
                                 "vs. %llu)",
                                 message.size, (unsigned long long)max));
        return;
    }
    proxy_forward_start(f, message);
}

static struct proxy_forward *begin(struct grpc_call *call)
{
    struct slice message = grpc_call_keep_message(call);
    struct proxy_forward *f = proxy_forward_new(call);
    f->request = message;
    return f;
}

/* ---- answers ---- */

/* Makes f->answer what the clients know. */
static const char *cut(struct proxy_forward *f, enum name_space_message what,
                       struct slice answer)
{
    const struct name_space *ns = &f->proxy->name_space;
    if (!name_space_is_set(ns)) {
        return NULL;
    }
    struct buf out = BUF_INIT(UINT32_MAX);
    int err = name_space_rewrite(ns, what, answer, &out);
    if (err == 0) {
        f->answer = bytes_copy(buf_slice(&out));
    }
    buf_release(&out);
    return err ? bad_answer : NULL;
}

static int64_t revision_of(struct slice answer)
{
    struct proto_field f, g;
    int64_t revision = 0;
    while (proto_next(&answer, &f) > 0) {
        struct slice header = f.bytes;
        while (f.number == 1 && f.wire == PROTO_BYTES &&
               proto_next(&header, &g) > 0) {
            if (g.number == 3 && g.wire == PROTO_VARINT) {
                revision = (int64_t)g.value;
            }
        }
    }
    return revision;
}

/* ---- Range ---- */

static const char *range_answer(struct proxy_forward *f, struct slice answer)
{
    const char *why = cut(f, NAME_SPACE_RANGE_ANSWER, answer);
    if (why == NULL) {
        f->is_filling = false;
        cache_fill_end(f->proxy->cache, &f->fill,
                       f->answer ? bytes_slice(f->answer) : answer,
                       revision_of(answer));
    }
    return why;
}

static void range_settled(struct proxy_forward *f, enum grpc_code code)
{
    if (f->is_filling) {
        f->is_filling = false;
        cache_fill_end(f->proxy->cache, &f->fill, slice_of(NULL, 0), 0);
    }
}

void proxy_range_message(struct grpc_call *call, struct slice message)
{
    struct proxy_forward *f = begin(call);
    struct cache *cache = f->proxy->cache;
    struct slice token = f->metadata.token;
    struct proto_range range;
    if (proto_decode_range(f->request, &range) != 0) {
        proxy_fail_unmarshal(call);
        return;
    }
    /* Whoever asks for a leader wants a member to say whether it has one. */
    if (range.serializable && !f->metadata.has_leader) {
        struct bytes *known = cache_get(cache, token, &range);
        if (known) {
            grpc_send_bytes(call, slice_of(NULL, 0), known);
            grpc_finish(call, GRPC_OK, NULL);
            return;
        }
    }
    f->to_client = range_answer;
    f->settled = range_settled;
    f->is_filling = true;
    cache_fill_begin(cache, &f->fill, token, &range);
    send_on(f, NAME_SPACE_RANGE);
    if (f->up == NULL) { /* refused */
        range_settled(f, GRPC_INTERNAL);
    }
}

static const char *range_stream_answer(struct proxy_forward *f,
                                       struct slice answer)
{
    return cut(f, NAME_SPACE_RANGE_STREAM_ANSWER, answer);
}

void proxy_range_stream_message(struct grpc_call *call, struct slice message)
{
    struct proxy_forward *f = begin(call);
    f->to_client = range_stream_answer;
    send_on(f, NAME_SPACE_RANGE);
}

/* ---- writes ---- */

static const char *put_answer(struct proxy_forward *f, struct slice answer)
{
    cache_written(f->proxy->cache, revision_of(answer));
    return cut(f, NAME_SPACE_PUT_ANSWER, answer);
}

static void forget_put(struct proxy_forward *f, enum grpc_code code)
{
    struct proto_put put;
    if (proto_decode_put(f->request, &put) == 0) {
        cache_invalidate(f->proxy->cache, put.key, slice_of(NULL, 0));
    }
}

void proxy_put_message(struct grpc_call *call, struct slice message)
{
    struct proxy_forward *f = begin(call);
    f->to_client = put_answer;
    f->settled = forget_put;
    forget_put(f, GRPC_OK);
    send_on(f, NAME_SPACE_PUT);
}

static const char *delete_answer(struct proxy_forward *f, struct slice answer)
{
    cache_written(f->proxy->cache, revision_of(answer));
    return cut(f, NAME_SPACE_DELETE_ANSWER, answer);
}

static void forget_delete(struct proxy_forward *f, enum grpc_code code)
{
    struct proto_delete deleted;
    if (proto_decode_delete(f->request, &deleted) == 0) {
        cache_invalidate(f->proxy->cache, deleted.key, deleted.end);
    }
}

void proxy_delete_message(struct grpc_call *call, struct slice message)
{
    struct proxy_forward *f = begin(call);
    f->to_client = delete_answer;
    f->settled = forget_delete;
    forget_delete(f, GRPC_OK);
    send_on(f, NAME_SPACE_DELETE);
}

/* ---- Txn: what either branch may write ---- */

static void forget_txn_writes(struct cache *cache, struct slice txn,
                              uint32_t depth);

static void forget_op(struct cache *cache, struct slice op, uint32_t depth)
{
    struct proto_field f;
    struct proto_put put;
    struct proto_delete deleted;
    while (proto_next(&op, &f) > 0) {
        if (f.wire != PROTO_BYTES) {
            continue;
        }
        if (f.number == 2 && proto_decode_put(f.bytes, &put) == 0) {
            cache_invalidate(cache, put.key, slice_of(NULL, 0));
        } else if (f.number == 3 &&
                   proto_decode_delete(f.bytes, &deleted) == 0) {
            cache_invalidate(cache, deleted.key, deleted.end);
        } else if (f.number == 4) {
            forget_txn_writes(cache, f.bytes, depth + 1);
        }
    }
}

static void forget_txn_writes(struct cache *cache, struct slice txn,
                              uint32_t depth)
{
    struct proto_field f;
    while (depth < TXN_DEPTH_MAX && proto_next(&txn, &f) > 0) {
        if (f.wire == PROTO_BYTES && (f.number == 2 || f.number == 3)) {
            forget_op(cache, f.bytes, depth);
        }
    }
}

static const char *txn_answer(struct proxy_forward *f, struct slice answer)
{
    cache_written(f->proxy->cache, revision_of(answer));
    return cut(f, NAME_SPACE_TXN_ANSWER, answer);
}

static void forget_txn(struct proxy_forward *f, enum grpc_code code)
{
    forget_txn_writes(f->proxy->cache, f->request, 0);
}

void proxy_txn_message(struct grpc_call *call, struct slice message)
{
    struct proxy_forward *f = begin(call);
    f->to_client = txn_answer;
    f->settled = forget_txn;
    forget_txn(f, GRPC_OK);
    send_on(f, NAME_SPACE_TXN);
}

/* ---- the rest ---- */

static void compacted(struct proxy_forward *f, enum grpc_code code)
{
    struct proto_field g;
    struct slice rest = f->request;
    int64_t revision = 0;
    while (proto_next(&rest, &g) > 0) {
        if (g.number == 1 && g.wire == PROTO_VARINT) {
            revision = (int64_t)g.value;
        }
    }
    if (code == GRPC_OK) {
        cache_compact(f->proxy->cache, revision);
    }
}

void proxy_compact_message(struct grpc_call *call, struct slice message)
{
    struct proxy_forward *f = begin(call);
    f->settled = compacted;
    proxy_forward_start(f, f->request);
}

static const char *ttl_answer(struct proxy_forward *f, struct slice answer)
{
    return cut(f, NAME_SPACE_TTL_ANSWER, answer);
}

void proxy_timetolive_message(struct grpc_call *call, struct slice message)
{
    struct proxy_forward *f = begin(call);
    f->to_client = ttl_answer;
    proxy_forward_start(f, f->request);
}

/* Leases, locks and elections write keys that the request does not name. */
static void forget_present(struct proxy_forward *f, enum grpc_code code)
{
    cache_invalidate(f->proxy->cache, slice_of(NULL, 0), slice_of("", 1));
}

void proxy_writing_message(struct grpc_call *call, struct slice message)
{
    struct proxy_forward *f = begin(call);
    f->settled = forget_present;
    forget_present(f, GRPC_OK);
    proxy_forward_start(f, f->request);
}

/* Rights may be others now. */
static void forget_all(struct proxy_forward *f, enum grpc_code code)
{
    cache_clear(f->proxy->cache);
}

void proxy_auth_message(struct grpc_call *call, struct slice message)
{
    struct proxy_forward *f = begin(call);
    f->settled = forget_all;
    proxy_forward_start(f, f->request);
}
