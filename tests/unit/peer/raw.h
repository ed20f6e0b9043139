/* A connection to b by hand: bytes out, bytes looked for. */
#ifndef TEST_RAW_H
#define TEST_RAW_H

#include "pair.h"

static struct conn *raw;
static struct buf to_send, answer;
static bool raw_is_closed;
static int dial_err;
static const char *wanted_text;

static inline void raw_data(void *ctx, struct slice data)
{
    buf_append_slice(&answer, data);
}

static inline bool raw_flush(void *ctx, struct buf *out)
{
    buf_append_slice(out, buf_slice(&to_send));
    to_send.size = 0;
    return false;
}

static inline void raw_closed(void *ctx, int err)
{
    raw = NULL;
    raw_is_closed = true;
}

static const struct conn_handler raw_handler = {
    .on_data = raw_data, .on_flush = raw_flush, .on_closed = raw_closed};

static inline void raw_dialled(void *ctx, struct conn *c, int err)
{
    dial_err = err;
    raw = c;
    if (c) {
        conn_set_handler(c, &raw_handler, NULL);
    }
}

static inline bool is_connected(void)
{
    return raw || dial_err;
}

static inline bool is_closed(void)
{
    return raw_is_closed;
}

static inline bool has_text(void)
{
    return answer.size &&
           memmem(answer.data, answer.size, wanted_text, strlen(wanted_text));
}

static inline void raw_open(void)
{
    struct net_address to = {.host = "127.0.0.1", .port = b.port};
    buf_init(&to_send, SIZE_MAX);
    buf_init(&answer, SIZE_MAX);
    raw_is_closed = false;
    dial_err = 0;
    net_dial(loop, &to, 1000, raw_dialled, NULL);
    wait_for(is_connected);
    assert_int_equal(dial_err, 0);
}

static inline void raw_send(const void *data, size_t size)
{
    if (raw) {
        buf_append(&to_send, data, size);
        conn_want_flush(raw);
    }
}

static inline void raw_end(void)
{
    if (raw) {
        conn_close(raw, false);
        wait_for(is_closed);
    }
    buf_release(&to_send);
    buf_release(&answer);
}

static inline void expect_text(const char *text)
{
    wanted_text = text;
    if (!came_within(has_text, 3000)) {
        print_error("wanted: %s\ngot: %.*s\n", text, (int)answer.size,
                    (const char *)answer.data);
        fail();
    }
}

static inline void refute_text(const char *text)
{
    wanted_text = text;
    if (has_text()) {
        print_error("not wanted: %s\ngot: %.*s\n", text, (int)answer.size,
                    (const char *)answer.data);
        fail();
    }
}

/* One request on a connection of its own, and what the answer says; `text`
 * may be NULL. */
static inline void ask(const char *request, const char *line, const char *text)
{
    raw_open();
    raw_send(request, strlen(request));
    expect_text(line);
    if (text) {
        expect_text(text);
    }
}

#endif
