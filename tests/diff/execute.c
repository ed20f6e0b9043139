/* A side does the steps of a run, and says in a text a step what came. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "diff.h"

enum {
    TEXT_BYTES_MAX = 128 << 20,
    POLL_MS = 50,
    POLLS_MAX = 600, /* half a minute */
    SLOW_MS = 5000,
    SHORT_TTL_MAX = 2, /* seconds; the least that is granted */
    LATE_MS = 1000,
};

static int member_of(const struct side *s, const struct step *step)
{
    return s->roles[step->role % s->member_count];
}

/* Are the bytes those that an encoder of the specification writes? */
static bool is_canonical(const ProtobufCMessage *m, size_t size)
{
    return protobuf_c_message_get_packed_size(m) == size;
}

static void note_drawn(struct side *s, const ProtobufCMessage *request,
                       const ProtobufCMessage *answer)
{
    const void *asked = request, *got = answer;
    if (message_is(request, "LeaseGrantRequest") &&
        ((const Pb__LeaseGrantRequest *)asked)->id == 0 &&
        s->drawn_count < DRAWN_MAX) {
        s->drawn[s->drawn_count++] = ((const Pb__LeaseGrantResponse *)got)->id;
    }
}

/* A snapshot is another in bytes by nature: that it comes, and from what. */
static bool is_opaque(const struct step *step)
{
    return strstr(step->path, "/Snapshot") != NULL;
}

static void print_answer(struct side *s, const struct step *step,
                         const struct answer *a, struct buf *out)
{
    for (int i = 0; i < a->count && !is_opaque(step); i++) {
        ProtobufCMessage *m = side_message(s, a, i, step->answer);
        if (!m) {
            buf_append_str(out, "  UNREADABLE\n");
            continue;
        }
        size_t size = a->count == 1 ? a->bytes.size - sizeof(uint64_t) : 0;
        bool canonical = size == 0 || is_canonical(m, size);
        if (step->request) {
            note_drawn(s, step->request, m);
        }
        rules_apply(s, step, m);
        proxy_apply(step, m);
        buf_append_str(out, "  ");
        message_print(out, m);
        buf_append_str(out, canonical ? "\n" : "(odd encoding)\n");
    }
    buf_printf(out, "  %s", grpc_code_name(a->code));
    buf_printf(out, a->text[0] ? " \"%s\"\n" : "\n", a->text);
}

static void do_call(struct side *s, const struct step *step, struct buf *out)
{
    struct answer a;
    int member = member_of(s, step);
    side_meet(s, member, step->path);
    ProtobufCMessage *request =
        step->request ? side_request(s, step->request) : NULL;
    struct grpc_client_call *c = side_begin(s, member, step->path, request, &a);
    for (int i = 1; step->kind == STEP_KEEP_ALIVE && i < step->repeat; i++) {
        grpc_client_send(c, request);
    }
    grpc_client_half_close(c);
    side_wait(s, &a);
    print_answer(s, step, &a, out);
    buf_release(&a.bytes);
}

/* ---- waiting ---- */

static void pause_ms(struct side *s, uint64_t ms)
{
    s->ticked = false;
    timer_start(s->tick, ms, 0);
    while (!s->ticked) {
        uv_run(loop_uv(s->loop), UV_RUN_ONCE);
    }
}

static bool is_gone(struct side *s, const ProtobufCMessage *request)
{
    struct answer a;
    bool gone = false;
    side_call(s, s->roles[0], "/etcdserverpb.Lease/LeaseTimeToLive", request,
              &a);
    if (a.code == GRPC_OK && a.count == 1) {
        void *m = side_message(s, &a, 0,
                               &pb__lease_time_to_live_response__descriptor);
        gone = m && ((Pb__LeaseTimeToLiveResponse *)m)->grantedttl == 0;
    }
    buf_release(&a.bytes);
    return gone;
}

static void do_expired(struct side *s, const struct step *step, struct buf *out)
{
    ProtobufCMessage *request = side_request(s, step->request);
    for (int i = 0; i < POLLS_MAX; i++) {
        if (is_gone(s, request)) {
            buf_append_str(out, "  gone\n");
            s->last_member = s->roles[0];
            return;
        }
        pause_ms(s, POLL_MS);
    }
    buf_append_str(out, "  STILL THERE\n");
}

static void do_appeared(struct side *s, const struct step *step,
                        struct buf *out)
{
    for (int i = 0; i < POLLS_MAX; i++) {
        struct answer a;
        int64_t count = -1;
        side_call(s, member_of(s, step), "/etcdserverpb.KV/Range",
                  side_request(s, step->request), &a);
        if (a.code == GRPC_OK && a.count == 1) {
            void *m = side_message(s, &a, 0, &pb__range_response__descriptor);
            count = m ? ((Pb__RangeResponse *)m)->count : -1;
        }
        buf_release(&a.bytes);
        if (count == step->repeat) {
            buf_append_str(out, "  there\n");
            return;
        }
        pause_ms(s, 2);
    }
    buf_append_str(out, "  NOT THERE\n");
}

static void do_begin(struct side *s, const struct step *step)
{
    struct waiting *w = &s->waiting[step->stream];
    if (w->call) {
        return;
    }
    int member = member_of(s, step);
    side_meet(s, member, step->path);
    w->step = step;
    w->call = side_begin(s, member, step->path, side_request(s, step->request),
                         &w->answer);
    grpc_client_half_close(w->call);
}

static void do_await(struct side *s, const struct step *step, struct buf *out)
{
    struct waiting *w = &s->waiting[step->stream];
    if (w->call) {
        side_wait(s, &w->answer);
        print_answer(s, w->step, &w->answer, out);
        buf_release(&w->answer.bytes);
        w->call = NULL;
    }
}

static void do_heard(struct side *s, const struct step *step, struct buf *out)
{
    struct waiting *w = &s->waiting[step->stream];
    for (int i = 0; i < POLLS_MAX && w->call; i++) {
        if (w->answer.count >= step->repeat || w->answer.done) {
            break;
        }
        side_spin(s, POLL_MS);
    }
    if (w->call && step->kind == STEP_CUT) {
        if (!w->answer.done) {
            grpc_client_cancel(w->call);
        }
        print_answer(s, w->step, &w->answer, out);
        buf_release(&w->answer.bytes);
        w->call = NULL;
    }
}

static void drop_streams(struct side *s)
{
    for (int i = 0; i < STREAMS_MAX; i++) {
        watch_close(s, i);
    }
    for (int i = 0; i < ASYNC_MAX; i++) {
        struct waiting *w = &s->waiting[i];
        if (w->call) {
            if (!w->answer.done) {
                grpc_client_cancel(w->call);
            }
            buf_release(&w->answer.bytes);
            w->call = NULL;
        }
    }
}

/* The servers' clocks run on while this machine is busy: what comes of a short
 * lease can be compared only where its keys were put soon. */
static void note_short_lease(struct side *s, const struct step *step)
{
    uint64_t now = loop_now_ns(s->loop);
    if (step->kind == STEP_EXPIRED) {
        s->is_late |= s->short_ns && now - s->short_ns > LATE_MS * 1000000ull;
    } else if (step->kind == STEP_CALL &&
               message_is(step->request, "LeaseGrantRequest") &&
               ((const Pb__LeaseGrantRequest *)step->request)->ttl <=
                   SHORT_TTL_MAX) {
        s->short_ns = now;
    }
}

static void do_step(struct side *s, const struct step *step, struct buf *out)
{
    note_short_lease(s, step);
    switch (step->kind) {
    case STEP_CALL:
    case STEP_KEEP_ALIVE:
        do_call(s, step, out);
        break;
    case STEP_WATCH:
        watch_request(s, step, out);
        break;
    case STEP_SYNC:
        watch_sync(s, step, out);
        break;
    case STEP_CLOSE:
        watch_close(s, step->stream);
        break;
    case STEP_EXPIRED:
        do_expired(s, step, out);
        break;
    case STEP_BEGIN:
        do_begin(s, step);
        break;
    case STEP_AWAIT:
        do_await(s, step, out);
        break;
    case STEP_HEARD:
    case STEP_CUT:
        do_heard(s, step, out);
        break;
    case STEP_APPEARED:
        do_appeared(s, step, out);
        break;
    case STEP_SETTLE:
        buf_append_str(out, side_settle(s) ? "" : "  NO LEADER\n");
        s->last_member = -1;
        break;
    }
}

/* A step that waits in vain on both sides is no difference, but should not
 * have been drawn. */
static void note_slow(const struct side *s, int i, uint64_t took_ms)
{
    const struct step *step = &s->run->steps[i];
    if (took_ms > SLOW_MS) {
        fprintf(stderr, "%s: step %d (kind %d, %s) took %" PRIu64 " ms\n",
                s->name, i, (int)step->kind, step->path ? step->path : "",
                took_ms);
    }
}

void execute(struct side *s)
{
    for (int i = 0; i < s->run->count; i++) {
        const struct step *step = &s->run->steps[i];
        struct buf out = BUF_INIT(TEXT_BYTES_MAX);
        uint64_t start = loop_now_ns(s->loop);
        if (!s->is_lost) {
            do_step(s, step, &out);
        }
        note_slow(s, i, (loop_now_ns(s->loop) - start) / 1000000);
        bool spoil = s->spoil && step->path && strstr(step->path, s->spoil);
        buf_append_str(&out, spoil ? "  SPOILED" : "");
        buf_append_byte(&out, 0);
        s->results[i] = (char *)buf_detach(&out, &(size_t){0});
        if (i % 32 == 31 && !s->waiting[0].call) {
            arena_reset(&s->scratch);
        }
    }
    drop_streams(s);
}
