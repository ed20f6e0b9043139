/* A range in slices, so that a large one holds up nobody: look-up, filters,
 * limit, then the count of what lies behind it. */
#include "base/err.h"
#include "state.h"

enum scan_end {
    SCAN_AT_END,
    SCAN_SLICE,  /* the slice is used up */
    SCAN_PAUSED, /* the piece that was asked for is full */
    SCAN_LIMIT,  /* only the count is still wanted */
};

struct scan_run {
    struct apply_scan *scan;
    struct buf *body;
    bool keys_only;
    uint32_t keys_left; /* of the slice */
    size_t bytes_max;   /* of the body, in this slice */
    enum scan_end end;
    struct slice last; /* key that was taken */
    int err;
};

bool apply_scan_can(const struct proto_range *range)
{
    return range->end.size != 0 &&
           (range->count_only || apply_range_in_order(range));
}

int apply_scan_begin(struct apply *a, const struct proto_range *range,
                     struct apply_scan *ret_scan)
{
    int64_t now = mvcc_revision(a->mvcc);
    struct apply_scan s = {
        .range = *range,
        .revision = range->revision > 0 ? range->revision : now,
        .header_revision = now,
        .filtered = apply_range_filtered(range),
        .counting = range->count_only,
    };
    int err = mvcc_check_revision(a->mvcc, s.revision);
    if (err) {
        return err;
    }
    buf_init(&s.at, APPLY_BODY_BYTES_MAX);
    err = buf_append_slice(&s.at, range->key);
    if (err) {
        return err;
    }
    *ret_scan = s;
    return 0;
}

void apply_scan_end(struct apply_scan *s)
{
    buf_release(&s->at);
}

static bool is_full(const struct apply_scan *s, const struct buf *body)
{
    return (s->pause_sent > 0 && s->sent >= s->pause_sent) ||
           (s->pause_bytes > 0 && body->size >= s->pause_bytes);
}

/* Why this key is not taken any more; SCAN_AT_END: it is. */
static enum scan_end stopped(const struct scan_run *run, bool passes)
{
    const struct apply_scan *s = run->scan;
    if (run->keys_left == 0 || run->body->size >= run->bytes_max) {
        return SCAN_SLICE;
    }
    if (s->counting || !passes) {
        return SCAN_AT_END;
    }
    if (s->range.limit > 0 && s->sent == s->range.limit) {
        return SCAN_LIMIT;
    }
    return is_full(s, run->body) ? SCAN_PAUSED : SCAN_AT_END;
}

static bool visit(void *ctx, const struct mvcc_kv *kv)
{
    struct scan_run *run = ctx;
    struct apply_scan *s = run->scan;
    bool passes = !s->filtered || apply_range_passes(&s->range, kv);
    run->end = stopped(run, passes);
    if (run->end != SCAN_AT_END) {
        return false;
    }
    if (!s->counting && passes) {
        run->err = apply_range_add(run->body, &s->range, kv);
        s->sent++;
    }
    s->count++;
    run->keys_left--;
    run->last = kv->key;
    return run->err == 0;
}

/* Looking at what is not there takes its time, too. */
static bool skip(void *ctx, struct slice key)
{
    struct scan_run *run = ctx;
    if (run->keys_left == 0) {
        run->end = SCAN_SLICE;
        return false;
    }
    run->keys_left--;
    run->last = key;
    return true;
}

/* The smallest key behind the last one taken. */
static int move_on(struct scan_run *run)
{
    struct apply_scan *s = run->scan;
    if (run->last.data == NULL || s->range.end.size == 0) {
        return 0;
    }
    buf_reset(&s->at, SIZE_MAX);
    int err = buf_append_slice(&s->at, run->last);
    return err ? err : buf_append_byte(&s->at, 0);
}

static int go_on(struct apply *a, struct scan_run *run)
{
    struct apply_scan *s = run->scan;
    bool at_limit = s->range.limit > 0 && s->sent == s->range.limit;
    struct mvcc_range look = {
        .key = buf_slice(&s->at),
        .end = s->range.end,
        .revision = s->revision,
        .keys_only =
            s->counting || at_limit || apply_range_index_only(&s->range),
        .skip = skip,
    };
    run->end = SCAN_AT_END;
    run->last = (struct slice){0};
    int err = mvcc_range(a->mvcc, &look, visit, run, NULL);
    err = err ? err : run->err;
    return err ? err : move_on(run);
}

int apply_scan_step(struct apply *a, struct apply_scan *s, uint32_t keys_max,
                    size_t bytes_max, struct buf *body)
{
    int err = mvcc_check_revision(a->mvcc, s->revision);
    struct scan_run run = {
        .scan = s,
        .body = body,
        .keys_left = keys_max,
        .bytes_max = body->size + bytes_max,
    };
    s->paused = false;
    while (err == 0) {
        err = go_on(a, &run);
        if (err || run.end == SCAN_AT_END) {
            break;
        }
        if (run.end == SCAN_LIMIT) {
            s->more = s->counting = true;
            continue;
        }
        s->paused = run.end == SCAN_PAUSED;
        err = ERR_AGAIN;
    }
    return err;
}

int apply_scan_finish(const struct apply_scan *s, struct buf *body)
{
    int err = proto_add_u64(body, 3, s->more);
    return err ? err : proto_add_u64(body, 4, (uint64_t)s->count);
}
