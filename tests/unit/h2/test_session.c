#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/rng.h"
#include "h2/h2.h"

struct end {
    struct h2_session *s;
    struct buf wire; /* what it wants to send */
    struct list streams;
    int outputs, pings, goaways;
    bool refuse;
};

struct stream {
    struct h2_stream h2;
    struct list link;
    struct end *end;
    struct buf data;
    int headers, heads, trailers, ends, closes, drains;
    uint32_t code;
};

static struct stream *stream_new(struct end *e)
{
    struct stream *st = calloc(1, sizeof *st);
    h2_stream_init(&st->h2);
    buf_init(&st->data, 64 << 20);
    st->end = e;
    list_append(&e->streams, &st->link);
    return st;
}

static struct h2_stream *on_begin(void *ctx, int32_t id)
{
    struct end *e = ctx;
    return e->refuse ? NULL : &stream_new(e)->h2;
}

static struct stream *of(struct h2_stream *st)
{
    return container_of(st, struct stream, h2);
}

static void on_header(struct h2_stream *st, struct slice n, struct slice v)
{
    of(st)->headers++;
}

static void on_head(struct h2_stream *st, bool is_trailers)
{
    of(st)->heads++;
    of(st)->trailers += is_trailers;
}

static void on_data(struct h2_stream *st, struct slice data)
{
    buf_append_slice(&of(st)->data, data);
}

static void on_end(struct h2_stream *st)
{
    of(st)->ends++;
}

static void on_close(struct h2_stream *st, uint32_t code)
{
    of(st)->closes++;
    of(st)->code = code;
}

static void on_drain(struct h2_stream *st)
{
    of(st)->drains++;
}

static void on_output(void *ctx)
{
    ((struct end *)ctx)->outputs++;
}

static void on_ping(void *ctx, bool is_ack)
{
    ((struct end *)ctx)->pings += is_ack ? 100 : 1;
}

static void on_goaway(void *ctx, uint32_t code, struct slice debug)
{
    ((struct end *)ctx)->goaways++;
}

static const struct h2_events events = {
    on_begin, on_header, on_head,   on_data, on_end,
    on_close, on_drain,  on_output, on_ping, on_goaway,
};

static void end_open(struct end *e, bool is_client)
{
    struct h2_config config = {.is_client = is_client,
                               .concurrent_streams_max = UINT32_MAX,
                               .events = &events,
                               .ctx = e};
    *e = (struct end){.wire = BUF_INIT(256 << 20)};
    list_init(&e->streams);
    e->s = h2_session_new(&config);
    assert_true(e->outputs > 0); /* SETTINGS wait to be sent */
}

static void end_close(struct end *e)
{
    h2_session_free(e->s);
    list_each(it, safe, &e->streams)
    {
        struct stream *st = container_of(it, struct stream, link);
        assert_int_equal(st->closes, 1);
        buf_release(&st->data);
        free(st);
    }
    buf_release(&e->wire);
}

/* Both ways in pieces of `piece` bytes until nothing moves. */
static void pump(struct end *a, struct end *b, size_t piece)
{
    for (bool moved = true; moved;) {
        moved = false;
        struct end *from = a, *to = b;
        for (int i = 0; i < 2; i++) {
            while (h2_session_send(from->s, &from->wire, 64 << 10)) {
            }
            struct slice s = buf_slice(&from->wire);
            moved |= s.size > 0;
            while (s.size) {
                size_t n = s.size < piece ? s.size : piece;
                assert_int_equal(h2_session_recv(to->s, slice_of(s.data, n)),
                                 0);
                s = slice_from(s, n);
            }
            from->wire.size = 0;
            from = b;
            to = a;
        }
    }
}

#define NV(n, v)                                                            \
    {                                                                       \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof n - 1, \
            sizeof v - 1, 0                                                 \
    }
static const nghttp2_nv request[] = {NV(":method", "POST"), NV(":path", "/x"),
                                     NV("a", "b")};
static const nghttp2_nv response[] = {NV(":status", "200")};
static const nghttp2_nv trailer[] = {NV("grpc-status", "0")};

static struct stream *ask(struct end *c, size_t body, bool end)
{
    struct stream *st = stream_new(c);
    if (body) {
        struct h2_chunk *k = h2_chunk_new(NULL, body);
        memset(k->data, 'q', body);
        h2_stream_write(&st->h2, k);
    }
    if (end) {
        h2_stream_end(&st->h2, NULL, 0);
    }
    assert_int_equal(h2_stream_request(&st->h2, c->s, request, 3), 0);
    return st;
}

static struct stream *last(struct end *e)
{
    return container_of(e->streams.prev, struct stream, link);
}

static void answer(struct stream *st, size_t head, struct bytes *tail, bool end)
{
    struct h2_chunk *k = h2_chunk_new(NULL, head);
    memset(k->data, 'h', head);
    k->tail = bytes_ref(tail);
    if (!st->h2.is_responded) {
        h2_stream_respond(&st->h2, response, 1, false);
    }
    h2_stream_write(&st->h2, k);
    if (end) {
        h2_stream_end(&st->h2, trailer, 1);
    }
}

static void exchange(size_t piece)
{
    struct end c, s;
    end_open(&c, true);
    end_open(&s, false);
    struct stream *q = ask(&c, 100, true);
    pump(&c, &s, piece);
    struct stream *a = last(&s);
    assert_int_equal(a->headers, 3);
    assert_int_equal(a->heads, 1);
    assert_int_equal(a->data.size, 100);
    assert_int_equal(a->ends, 1);
    struct bytes *tail = bytes_copy(slice_of("tail", 4));
    answer(a, 7, tail, true);
    pump(&s, &c, piece);
    assert_int_equal(q->data.size, 11);
    assert_memory_equal(q->data.data, "hhhhhhhtail", 11);
    assert_int_equal(q->trailers, 1);
    assert_int_equal(q->closes, 1);
    assert_int_equal(a->closes, 1);
    assert_int_equal(a->code, NGHTTP2_NO_ERROR);
    assert_int_equal(atomic_load(&tail->refs), 1);
    bytes_unref(tail);
    end_close(&c);
    end_close(&s);
}

static void frames_may_be_cut_anywhere(void **state)
{
    for (size_t piece = 1; piece < 40; piece++) {
        exchange(piece);
    }
    exchange(1 << 20);
}

/* A client that never ended hears that nobody reads it. */
static void early_end_is_followed_by_reset(void **state)
{
    struct end c, s;
    end_open(&c, true);
    end_open(&s, false);
    struct stream *q = ask(&c, 10, false);
    pump(&c, &s, 1000);
    answer(last(&s), 5, NULL, true);
    pump(&s, &c, 1000);
    assert_int_equal(q->trailers, 1);
    assert_int_equal(q->closes, 1);
    assert_int_equal(q->code, NGHTTP2_NO_ERROR);
    assert_int_equal(last(&s)->closes, 1);
    /* The same with one header block only. */
    q = ask(&c, 10, false);
    pump(&c, &s, 1000);
    h2_stream_respond(&last(&s)->h2, response, 1, true);
    pump(&s, &c, 1000);
    assert_int_equal(q->heads, 1);
    assert_int_equal(q->closes, 1);
    assert_int_equal(q->code, NGHTTP2_NO_ERROR);
    end_close(&c);
    end_close(&s);
}

/* The window of a client that takes only 1 MiB a stream holds one stream
 * back, the other goes on; a drained queue is told once. */
static void stalled_stream_blocks_no_other(void **state)
{
    struct end c, s;
    end_open(&c, true);
    end_open(&s, false);
    struct stream *slow = ask(&c, 1, false);
    pump(&c, &s, 1 << 20);
    struct stream *slow_s = last(&s);
    struct stream *fast = ask(&c, 1, false);
    pump(&c, &s, 1 << 20);
    struct stream *fast_s = last(&s);
    /* All is sent before the client's WINDOW_UPDATEs come back: the stream
     * stops at its window. */
    h2_stream_watch_drain(&slow_s->h2, 100);
    answer(slow_s, 3 << 20, NULL, false);
    answer(fast_s, 1000, NULL, false);
    while (h2_session_send(s.s, &s.wire, 1 << 20)) {
    }
    assert_int_equal(slow_s->h2.queued, (3 << 20) - H2_STREAM_WINDOW_BYTES);
    assert_int_equal(fast_s->h2.queued, 0);
    assert_int_equal(slow_s->drains, 0);
    pump(&s, &c, 1 << 20);
    assert_int_equal(slow->data.size, 3 << 20);
    assert_int_equal(fast->data.size, 1000);
    assert_int_equal(slow_s->drains, 1);
    answer(slow_s, 1000, NULL, false);
    pump(&s, &c, 1 << 20);
    assert_int_equal(slow_s->drains, 1); /* once, until asked again */
    end_close(&c);
    end_close(&s);
}

/* Two long answers take turns frame by frame. */
static void long_answers_interleave(void **state)
{
    struct end c, s;
    end_open(&c, true);
    end_open(&s, false);
    struct stream *q1 = ask(&c, 1, true), *q2 = ask(&c, 1, true);
    pump(&c, &s, 1 << 20);
    struct stream *a2 = last(&s);
    struct stream *a1 = container_of(a2->link.prev, struct stream, link);
    answer(a1, 600000, NULL, true);
    answer(a2, 600000, NULL, true);
    h2_session_send(s.s, &s.wire, 300000);
    assert_int_equal(h2_session_recv(c.s, buf_slice(&s.wire)), 0);
    s.wire.size = 0;
    assert_in_range(q1->data.size, 120000, 200000);
    assert_in_range(q2->data.size, 120000, 200000);
    pump(&s, &c, 1 << 20);
    assert_int_equal(q1->data.size, 600000);
    assert_int_equal(q2->data.size, 600000);
    end_close(&c);
    end_close(&s);
}

static void many_streams(void **state)
{
    struct end c, s;
    end_open(&c, true);
    end_open(&s, false);
    pump(&c, &s, 1 << 20);
    for (int i = 0; i < 2000; i++) {
        ask(&c, 20, false);
    }
    pump(&c, &s, 1 << 20);
    assert_int_equal(h2_session_stream_count(s.s), 2000);
    list_each(it, safe, &s.streams)
    {
        answer(container_of(it, struct stream, link), 10, NULL, true);
    }
    pump(&s, &c, 1 << 20);
    assert_int_equal(h2_session_stream_count(s.s), 0);
    assert_int_equal(h2_session_stream_count(c.s), 0);
    end_close(&c);
    end_close(&s);
}

/* Clients reset every call; no limit may end the connection. */
static void resets_are_no_crime(void **state)
{
    struct end c, s;
    end_open(&c, true);
    end_open(&s, false);
    for (int i = 0; i < 5000; i++) {
        struct stream *q = ask(&c, 5, false);
        pump(&c, &s, 1 << 20);
        answer(last(&s), 50, NULL, false);
        h2_stream_reset(&q->h2, NGHTTP2_CANCEL);
        assert_int_equal(q->closes, 0); /* not from inside */
        pump(&c, &s, 1 << 20);
        assert_int_equal(q->closes, 1);
        assert_int_equal(last(&s)->code, NGHTTP2_CANCEL);
        assert_null(last(&s)->h2.first);
    }
    assert_false(h2_session_is_over(s.s));
    end_close(&c);
    end_close(&s);
}

static void refusing_and_going(void **state)
{
    struct end c, s;
    end_open(&c, true);
    end_open(&s, false);
    s.refuse = true;
    struct stream *q = ask(&c, 1, true);
    pump(&c, &s, 1 << 20);
    assert_int_equal(q->code, NGHTTP2_REFUSED_STREAM);
    s.refuse = false;
    q = ask(&c, 1, true);
    pump(&c, &s, 1 << 20);
    h2_session_ping(c.s);
    h2_session_goaway(s.s, NGHTTP2_NO_ERROR, "bye");
    pump(&s, &c, 1 << 20);
    assert_int_equal(c.pings, 100);
    assert_int_equal(s.pings, 1);
    assert_int_equal(c.goaways, 1);
    assert_int_equal(q->closes, 0);
    struct stream late;
    h2_stream_init(&late.h2);
    assert_int_equal(h2_stream_request(&late.h2, c.s, request, 3),
                     ERR_UNAVAILABLE);
    answer(last(&s), 1, NULL, true);
    pump(&s, &c, 1 << 20);
    assert_int_equal(q->trailers, 1);
    assert_true(h2_session_is_over(s.s));
    end_close(&c);
    end_close(&s);
}

/* One header, indexed and repeated: little to send, much to hold. */
static void heads_have_a_limit(void **state)
{
    enum { VALUE = 3900, EACH = VALUE + 1 + 32 };
    static char fill[VALUE];
    static nghttp2_nv nv[300];
    memset(fill, 'v', sizeof fill);
    for (size_t i = 0; i < 300; i++) {
        nv[i] = (nghttp2_nv){(uint8_t *)(uintptr_t) "x",
                             (uint8_t *)(uintptr_t)fill, 1, VALUE, 0};
    }
    struct end c, s;
    end_open(&c, true);
    end_open(&s, false);
    size_t most = H2_HEAD_BYTES_MAX / EACH;
    struct stream *q = stream_new(&c);
    assert_int_equal(h2_stream_request(&q->h2, c.s, nv, most), 0);
    pump(&c, &s, 1 << 20);
    assert_int_equal(last(&s)->headers, most);
    assert_int_equal(q->closes, 0);
    q = stream_new(&c);
    assert_int_equal(h2_stream_request(&q->h2, c.s, nv, most + 1), 0);
    pump(&c, &s, 1 << 20);
    assert_int_equal(last(&s)->headers, most);
    assert_int_equal(q->closes, 1);
    assert_int_equal(q->code, NGHTTP2_FRAME_SIZE_ERROR);
    end_close(&c);
    end_close(&s);
}

/* Random damage ends in an error or in silence, never in more. */
static void garbage_is_survived(void **state)
{
    struct rng r = {42};
    for (int round = 0; round < 500; round++) {
        struct end c, s;
        end_open(&c, true);
        end_open(&s, false);
        for (int i = 0; i < 5; i++) {
            ask(&c, rng_below(&r, 300), rng_below(&r, 2));
        }
        while (h2_session_send(c.s, &c.wire, 1 << 20)) {
        }
        size_t from = rng_below(&r, 4) ? 24 + 9 : 0;
        for (uint64_t i = rng_below(&r, 20); i > 0; i--) {
            c.wire.data[from + rng_below(&r, c.wire.size - from)] =
                (uint8_t)rng_next(&r);
        }
        int err = h2_session_recv(s.s, buf_slice(&c.wire));
        assert_true(err == 0 || err == ERR_PROTOCOL);
        while (h2_session_send(s.s, &s.wire, 1 << 20)) {
        }
        c.wire.size = 0;
        end_close(&c);
        end_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_may_be_cut_anywhere),
        cmocka_unit_test(early_end_is_followed_by_reset),
        cmocka_unit_test(stalled_stream_blocks_no_other),
        cmocka_unit_test(long_answers_interleave),
        cmocka_unit_test(many_streams),
        cmocka_unit_test(resets_are_no_crime),
        cmocka_unit_test(refusing_and_going),
        cmocka_unit_test(heads_have_a_limit),
        cmocka_unit_test(garbage_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
