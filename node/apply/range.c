/* Range: look-up, filters and limit in the store's order, in steps. */
#include <assert.h>

#include "base/err.h"
#include "state.h"

enum { SORT_BY_VALUE = 4 };

void apply_range_of(const Pb__RangeRequest *from, struct proto_range *ret)
{
    *ret = (struct proto_range){
        .key = apply_slice(from->key),
        .end = apply_slice(from->range_end),
        .limit = from->limit,
        .revision = from->revision,
        .sort_order = (int32_t)from->sort_order,
        .sort_target = (int32_t)from->sort_target,
        .serializable = from->serializable,
        .keys_only = from->keys_only,
        .count_only = from->count_only,
        .min_mod_revision = from->min_mod_revision,
        .max_mod_revision = from->max_mod_revision,
        .min_create_revision = from->min_create_revision,
        .max_create_revision = from->max_create_revision,
    };
}

bool apply_range_is_filtered(const struct proto_range *r)
{
    return r->min_mod_revision || r->max_mod_revision ||
           r->min_create_revision || r->max_create_revision;
}

bool apply_range_is_index_only(const struct proto_range *r)
{
    return r->keys_only && r->sort_target != SORT_BY_VALUE;
}

/* Bounds are inclusive, 0 is off, negative ones are taken as they are. */
bool apply_range_passes(const struct proto_range *r, const struct mvcc_kv *kv)
{
    return (!r->max_mod_revision || kv->mod_revision <= r->max_mod_revision) &&
           (!r->min_mod_revision || kv->mod_revision >= r->min_mod_revision) &&
           (!r->max_create_revision ||
            kv->create_revision <= r->max_create_revision) &&
           (!r->min_create_revision ||
            kv->create_revision >= r->min_create_revision);
}

static size_t number_size(int64_t v)
{
    return v ? 1 + proto_varint_size((uint64_t)v) : 0;
}

/* A KeyValue without its value: from the index alone, then without its
 * lease too, as the reference answers. */
static int add_key(struct buf *body, const struct mvcc_kv *kv, int64_t lease)
{
    size_t size = kv->key.size ? proto_head_size(1, kv->key.size) : 0;
    size += kv->key.size + number_size(kv->create_revision) +
            number_size(kv->mod_revision) + number_size(kv->version) +
            number_size(lease);
    size_t whole = proto_head_size(2, size) + size;
    int err = buf_reserve(body, whole);
    if (err) {
        return err;
    }
    uint8_t *to = proto_head(body->data + body->size, 2, size);
    if (kv->key.size) {
        to = proto_copy(proto_head(to, 1, kv->key.size), kv->key);
    }
    to = proto_u64(to, 2, (uint64_t)kv->create_revision);
    to = proto_u64(to, 3, (uint64_t)kv->mod_revision);
    to = proto_u64(to, 4, (uint64_t)kv->version);
    to = proto_u64(to, 6, (uint64_t)lease);
    body->size += whole;
    assert(to == body->data + body->size);
    return 0;
}

int apply_range_add(const struct proto_range *r, const struct mvcc_kv *kv,
                    struct buf *body)
{
    if (r->keys_only) {
        return add_key(body, kv, apply_range_is_index_only(r) ? 0 : kv->lease);
    }
    return proto_add_message(body, 2, kv->encoded);
}

/* ---- in steps ---- */
struct step {
    struct apply_range_job *job;
    struct buf *body;
    bool filtered;
    size_t body_max; /* this step ends when it is larger */
    int64_t seen;
    bool cut; /* there may be more behind the last key seen */
    int err;
};

/* What is left is only counted, by the index. */
static bool is_full(const struct apply_range_job *job)
{
    return job->range.count_only ||
           (job->range.limit > 0 && job->sent >= job->range.limit);
}

/* What was asked for at a time is in the body. */
static bool is_piece(const struct step *s)
{
    const struct apply_range_job *job = s->job;
    return (job->pause_sent > 0 && job->sent >= job->pause_sent) ||
           (job->pause_bytes > 0 && s->body->size >= job->pause_bytes);
}

static bool go_on_at(struct step *s, struct slice key)
{
    struct buf *from = &s->job->from;
    from->size = 0;
    s->err = buf_append_slice(from, key);
    s->cut = true;
    return false;
}

/* The next key is this one and a zero byte. */
static bool go_on_behind(struct step *s, struct slice key)
{
    go_on_at(s, key);
    s->err = s->err ? s->err : buf_append_byte(&s->job->from, 0);
    return false;
}

/* Used up by what was seen. */
static bool is_over(const struct step *s)
{
    int64_t most = is_full(s->job) ? APPLY_STEP_COUNTS : APPLY_STEP_KEYS;
    return s->seen >= most || s->body->size > s->body_max;
}

static bool visit(void *ctx, const struct mvcc_kv *kv)
{
    struct step *s = ctx;
    struct apply_range_job *job = s->job;
    bool passes = !s->filtered || apply_range_passes(&job->range, kv);
    if (passes && !is_full(job) && is_piece(s)) {
        job->paused = true;
        return go_on_at(s, kv->key);
    }
    job->count++;
    s->seen++;
    if (passes) {
        if (is_full(job)) {
            job->more = !job->range.count_only;
        } else {
            s->err = apply_range_add(&job->range, kv, s->body);
            job->sent++;
            if (s->err) {
                return false;
            }
            if (is_full(job)) {
                return go_on_behind(s, kv->key); /* by the index */
            }
        }
    }
    return is_over(s) ? go_on_behind(s, kv->key) : true;
}

/* Looking at what is not there takes its time, too. */
static bool skip(void *ctx, struct slice key)
{
    struct step *s = ctx;
    s->seen++;
    return is_over(s) ? go_on_behind(s, key) : true;
}

static int look(struct apply *a, struct step *s)
{
    struct apply_range_job *job = s->job;
    bool begun = job->from.size > 0;
    struct mvcc_range range = {
        .key = begun ? buf_slice(&job->from) : job->range.key,
        .end = job->range.end,
        .revision = job->range.revision,
        .keys_only = is_full(job) || apply_range_is_index_only(&job->range),
        .skip = skip,
    };
    s->cut = false;
    int err = mvcc_range(a->mvcc, &range, visit, s, NULL);
    return err ? err : s->err;
}

static int finish(struct apply_range_job *job, struct buf *body)
{
    job->done = true;
    int err = proto_add_u64(body, 3, job->more);
    return err ? err : proto_add_u64(body, 4, (uint64_t)job->count);
}

int apply_range_begin(struct apply *a, const struct proto_range *range,
                      struct apply_range_job *ret_job)
{
    int64_t revision =
        range->revision > 0 ? range->revision : mvcc_txn_revision(a->mvcc);
    int err = mvcc_check_revision(a->mvcc, revision);
    if (err == 0) {
        *ret_job = (struct apply_range_job){.range = *range};
        ret_job->range.revision = revision;
        buf_init(&ret_job->from, APPLY_BODY_BYTES_MAX);
    }
    return err;
}

int apply_range_step(struct apply *a, struct apply_range_job *job,
                     struct buf *body)
{
    assert(!job->done);
    struct step s = {
        .job = job,
        .body = body,
        .filtered = apply_range_is_filtered(&job->range),
        .body_max = body->size + APPLY_STEP_BYTES,
    };
    job->paused = false;
    int err;
    if (!job->range.count_only && apply_range_is_sorted(&job->range)) {
        err = apply_range_sorted(a, job, body);
    } else {
        bool was_full = is_full(job);
        err = look(a, &s);
        if (err == 0 && s.cut && !was_full && is_full(job) &&
            job->range.end.size) {
            err = look(a, &s); /* the rest, counted, in the same step */
        }
    }
    if (err == 0 && (!s.cut || job->range.end.size == 0)) {
        err = finish(job, body);
    }
    return err;
}

void apply_range_end(struct apply_range_job *job)
{
    buf_release(&job->from);
}

int apply_range(struct apply *a, const struct proto_range *range,
                struct buf *body)
{
    struct apply_range_job job;
    int err = apply_range_begin(a, range, &job);
    if (err) {
        return err;
    }
    while (err == 0 && !job.done) {
        err = apply_range_step(a, &job, body);
    }
    apply_range_end(&job);
    return err;
}

/* Inside a Txn only 0 means "now"; any other is taken literally, so that a
 * negative one counts as compacted, but -1 where nothing ever was. */
int apply_check_range(struct apply *a, const struct proto_range *range)
{
    if (range->revision == 0) {
        return 0;
    }
    if (range->revision > mvcc_revision(a->mvcc)) {
        return ERR_FUTURE;
    }
    return range->revision < mvcc_compact_revision(a->mvcc) ? ERR_COMPACTED : 0;
}
