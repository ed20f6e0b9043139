/* Put, DeleteRange, Compaction. */
#include "base/bug.h"
#include "base/err.h"
#include "state.h"

void apply_put_of(const Pb__PutRequest *from, struct proto_put *ret)
{
    *ret = (struct proto_put){
        .key = apply_slice(from->key),
        .value = apply_slice(from->value),
        .lease = from->lease,
        .prev_kv = from->prev_kv,
        .ignore_value = from->ignore_value,
        .ignore_lease = from->ignore_lease,
    };
}

void apply_delete_of(const Pb__DeleteRangeRequest *from,
                     struct proto_delete *ret)
{
    *ret = (struct proto_delete){
        .key = apply_slice(from->key),
        .end = apply_slice(from->range_end),
        .prev_kv = from->prev_kv,
    };
}

int apply_check_put(struct apply *a, const struct proto_put *put)
{
    if (put->lease != 0 && !lease_exists(a->lessor, put->lease)) {
        return ERR_LEASE_NOT_FOUND;
    }
    if (put->ignore_value || put->ignore_lease) {
        struct mvcc_stat stat;
        return mvcc_stat(a->mvcc, put->key, &stat);
    }
    return 0;
}

/* The version before, for its value; copied, since the put that follows may
 * free what is borrowed. */
static int before(struct apply *a, const struct proto_put *put,
                  struct slice *ret_value, struct buf *body)
{
    struct mvcc_kv kv;
    int err = mvcc_get(a->mvcc, put->key, &kv);
    if (err) {
        return err;
    }
    if (put->ignore_value) {
        *ret_value = arena_slice(&a->arena, kv.value);
    }
    if (put->prev_kv && body) {
        err = apply_note(a, proto_add_message(body, 2, kv.encoded));
    }
    return err;
}

int apply_do_put(struct apply *a, const struct proto_put *put, struct buf *body)
{
    struct mvcc_stat stat;
    int err = mvcc_stat(a->mvcc, put->key, &stat);
    bool exists = err == 0;
    if (err && err != ERR_KEY_NOT_FOUND) {
        return err;
    }
    struct slice value = put->value;
    if (exists && (put->ignore_value || (put->prev_kv && body))) {
        err = before(a, put, &value, body);
        if (err) {
            return err;
        }
    }
    int64_t old_lease = exists ? stat.lease : 0;
    int64_t lease = put->ignore_lease ? old_lease : put->lease;
    err = mvcc_put(a->mvcc, put->key, value, lease, exists ? &stat : NULL);
    if (err) {
        return err;
    }
    if (old_lease && old_lease != lease) {
        if (!HAS_BUG(LEASE_KEEPS_KEY)) {
            lease_detach(a->lessor, old_lease, put->key);
        }
    }
    if (lease) {
        /* Gone only where a kept lease was lost with an old image. */
        (void)lease_attach(a->lessor, lease, put->key);
    }
    return 0;
}

int apply_put(struct apply *a, struct slice message, struct apply_out *out)
{
    struct proto_put put;
    if (proto_decode_put(message, &put)) {
        return ERR_CORRUPT;
    }
    if (a->nospace_count) {
        out->err = ERR_NO_SPACE;
        return 0;
    }
    int err = apply_check_put(a, &put);
    if (err == ERR_LEASE_NOT_FOUND || err == ERR_KEY_NOT_FOUND) {
        out->err = err;
        return 0;
    }
    if (err == 0) {
        err = apply_do_put(a, &put, a->wanted ? &out->body : NULL);
    }
    if (apply_over_quota(a, apply_cost_put(put.key, put.value))) {
        out->err = ERR_NO_SPACE;
    }
    return err;
}

struct delete_run {
    struct apply *a;
    struct buf *body; /* NULL: no pairs wanted */
    int err;
};

static void deleted(void *ctx, const struct mvcc_kv *kv)
{
    struct delete_run *run = ctx;
    if (kv->lease) {
        lease_detach(run->a->lessor, kv->lease, kv->key);
    }
    if (run->body && run->err == 0) {
        run->err = proto_add_message(run->body, 3, kv->encoded);
    }
}

int apply_do_delete(struct apply *a, const struct proto_delete *del,
                    struct buf *body)
{
    bool pairs = del->prev_kv && body;
    buf_reset(&a->scratch, 1 << 16);
    struct delete_run run = {.a = a, .body = pairs ? &a->scratch : NULL};
    int64_t count = 0;
    int err = mvcc_delete_range(a->mvcc, del->key, del->end, pairs, deleted,
                                &run, &count);
    if (err || !body) {
        return err;
    }
    err = run.err;
    err = err ? err : proto_add_u64(body, 2, (uint64_t)count);
    if (err == 0 && pairs) {
        err = buf_append_slice(body, buf_slice(&a->scratch));
    }
    return apply_note(a, err);
}

int apply_delete(struct apply *a, struct slice message, struct apply_out *out)
{
    struct proto_delete del;
    if (proto_decode_delete(message, &del)) {
        return ERR_CORRUPT;
    }
    return apply_do_delete(a, &del, a->wanted ? &out->body : NULL);
}

static void compacted(void *ctx, int err)
{
    struct apply_out *out = ctx;
    out->compacted(out, err);
}

int apply_compaction(struct apply *a, struct slice message,
                     struct apply_out *out)
{
    int64_t revision = 0;
    struct proto_field f;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.number == 1 && f.wire == PROTO_VARINT) {
            revision = (int64_t)f.value;
        }
    }
    if (more < 0) {
        return ERR_CORRUPT;
    }
    int err =
        mvcc_compact(a->mvcc, revision, out->compacted ? compacted : NULL, out);
    if (err == ERR_COMPACTED || err == ERR_FUTURE) {
        out->err = err;
        err = 0;
    }
    return err;
}
