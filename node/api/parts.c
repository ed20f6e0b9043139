/*
 * A long answer, in parts as it is made: each is as large as the next, so
 * that their memory fits again, and goes when it is sent.
 */
#include <stdlib.h>

#include "base/err.h"
#include "state.h"

/* A record that does not end a step may still come behind its last byte. */
enum { PART_BYTES = APPLY_STEP_BYTES + (16 << 10) };

void api_body_begin(struct buf *body)
{
    static const uint8_t room[API_BODY_ROOM];
    buf_reset(body, API_SCRATCH_KEEP);
    buf_append(body, room, sizeof room);
}

struct bytes *api_body_detach(struct buf *body)
{
    size_t size, capacity = body->capacity;
    uint8_t *data = buf_detach(body, &size);
    if (capacity - size > size / 4) {
        data = mem_realloc(data, size);
    }
    struct bytes *b = (struct bytes *)(void *)data;
    atomic_init(&b->refs, 1);
    b->size = (uint32_t)(size - API_BODY_ROOM);
    return b;
}

static void take(struct api_parts *p, struct bytes *part)
{
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? 2 * p->capacity : 8;
        p->items = mem_realloc(p->items, p->capacity * sizeof(struct bytes *));
    }
    p->items[p->count++] = part;
    p->size += part->size;
}

int api_parts_add(struct api_parts *p, struct buf *body)
{
    size_t size = body->size - API_BODY_ROOM;
    if (size > APPLY_BODY_BYTES_MAX - p->size) {
        return ERR_TOO_LARGE;
    }
    if (size > API_SMALL_BODY) {
        take(p, api_body_detach(body));
    } else if (size) {
        take(p, bytes_copy(slice_from(buf_slice(body), API_BODY_ROOM)));
    }
    api_body_begin(body);
    return 0;
}

int api_parts_step(struct api *a, struct api_parts *p,
                   struct apply_range_job *job, struct buf *body)
{
    size_t made = 0;
    for (;;) {
        size_t before = body->size;
        int err = apply_range_step(a->config.apply, job, body);
        size_t more = body->size - before;
        made += more;
        /* A step that ended for another reason has had its time. */
        bool again = more >= APPLY_STEP_BYTES && made < API_SLICE_BYTES;
        if (err || job->done || job->paused || body->size < APPLY_STEP_BYTES) {
            return err;
        }
        size_t whole = p->size;
        err = api_parts_add(p, body);
        if (err) {
            return err;
        }
        if (job->pause_bytes) { /* of the body, which begins anew */
            size_t part = p->size - whole;
            job->pause_bytes =
                job->pause_bytes > part ? job->pause_bytes - part : 1;
        }
        buf_reserve(body, PART_BYTES);
        if (!again) {
            return 0;
        }
    }
}

void api_parts_send(struct api_parts *p, struct grpc_call *call,
                    struct slice head)
{
    grpc_send_parts(call, head, p->items, p->count);
    api_parts_release(p);
}

void api_parts_release(struct api_parts *p)
{
    for (size_t i = 0; i < p->count; i++) {
        bytes_unref(p->items[i]);
    }
    free(p->items);
    *p = (struct api_parts){0};
}
