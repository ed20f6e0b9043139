/* Frames of a websocket, in every way a client can cut or break them. */
#include "../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/frame.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"

enum { MESSAGE_MAX = 100000, FIN = 0x80, MASKED = 0x80, ROUNDS = 20000 };

/* A masked frame, as clients send them. */
static void put_frame(struct buf *to, uint8_t first, struct slice payload)
{
    static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
    uint8_t head[10] = {first, MASKED};
    size_t size = 2;
    if (payload.size < 126) {
        head[1] |= (uint8_t)payload.size;
    } else if (payload.size < 65536) {
        head[1] |= 126;
        put_be16(head + 2, (uint16_t)payload.size);
        size = 4;
    } else {
        head[1] |= 127;
        put_be64(head + 2, payload.size);
        size = 10;
    }
    buf_append(to, head, size);
    buf_append(to, mask, sizeof mask);
    for (size_t i = 0; i < payload.size; i++) {
        buf_append_byte(to, payload.data[i] ^ mask[i % 4]);
    }
}

static const char *const kinds[] = {"-", "M", "C", "PI", "PO"};

/* Decodes in pieces of at most `piece` bytes: "M5 PI2 ..." into `text`; what
 * the decoder said last. */
static int decode(struct slice bytes, size_t piece, char *text, size_t room)
{
    struct frame_decoder d;
    int err = 0;
    size_t at = 0;
    frame_decoder_init(&d, MESSAGE_MAX);
    text[0] = 0;
    while (err == 0 && bytes.size) {
        size_t n = bytes.size < piece ? bytes.size : piece;
        uint8_t *copy = mem_dup(bytes.data, n); /* its end is guarded */
        struct slice part = slice_of(copy, n);
        enum frame_kind kind = FRAME_MESSAGE;
        while (err == 0 && kind != FRAME_NONE) {
            struct slice payload;
            err = frame_decode(&d, &part, &kind, &payload);
            if (err == 0 && kind != FRAME_NONE && at < room) {
                unsigned sum = 0;
                for (size_t i = 0; i < payload.size; i++) {
                    sum = sum * 31 + payload.data[i];
                }
                at += (size_t)snprintf(text + at, room - at, "%s%zu:%x ",
                                       kinds[kind], payload.size, sum % 4096);
            }
        }
        free(copy);
        bytes = slice_from(bytes, n);
    }
    frame_decoder_release(&d);
    return err;
}

static void test_sizes(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 99999};
    static const size_t pieces[] = {1, 3, 1000, 1 << 20};
    char whole[4096], cut[4096];
    uint8_t *payload = mem_zalloc(MESSAGE_MAX);
    struct buf frames = BUF_INIT(1 << 20);
    for (size_t i = 0; i < 8; i++) {
        put_frame(&frames, FIN | 1, slice_of(payload, sizes[i]));
        put_frame(&frames, FIN | 2, slice_of(payload, sizes[i]));
    }
    assert_int_equal(decode(buf_slice(&frames), SIZE_MAX, whole, sizeof whole),
                     0);
    assert_string_equal(whole, "M0:0 M0:0 M1:0 M1:0 M125:0 M125:0 M126:0 "
                               "M126:0 M127:0 M127:0 M65535:0 M65535:0 "
                               "M65536:0 M65536:0 M99999:0 M99999:0 ");
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(decode(buf_slice(&frames), pieces[i], cut, sizeof cut),
                         0);
        assert_string_equal(cut, whole);
    }
    buf_release(&frames);
    free(payload);
}

static void test_fragments_and_what_comes_between(void **state)
{
    char text[256];
    struct buf frames = BUF_INIT(1 << 20);
    put_frame(&frames, 1, slice_str("ab"));
    put_frame(&frames, FIN | 9, slice_str("hi"));
    put_frame(&frames, 0, slice_str(""));
    put_frame(&frames, FIN | 10, slice_str(""));
    put_frame(&frames, FIN | 0, slice_str("cd"));
    put_frame(&frames, FIN | 1, slice_str("abcd"));
    put_frame(&frames, FIN | 8, slice_str("\x03\xe8"));
    for (size_t piece = 1; piece < 20; piece++) {
        assert_int_equal(decode(buf_slice(&frames), piece, text, sizeof text),
                         0);
        assert_string_equal(text, "PI2:d01 PO0:0 M4:442 M4:442 C2:145 ");
    }
    buf_release(&frames);
}

static void expect_refused(const char *bytes, size_t size, int want)
{
    char text[256];
    assert_int_equal(
        decode(slice_of((const uint8_t *)bytes, size), 1, text, sizeof text),
        want);
}

#define refused(bytes, want) expect_refused(bytes, sizeof bytes - 1, want)

static void test_refused(void **state)
{
    refused("\x81\x01", ERR_PROTOCOL); /* not masked */
    refused("\xc1\x80", ERR_PROTOCOL); /* a reserved bit */
    refused("\x83\x80", ERR_PROTOCOL); /* no such opcode */
    refused("\x8b\x80", ERR_PROTOCOL);
    refused("\x80\x80", ERR_PROTOCOL); /* goes on with nothing */
    refused("\x09\x80", ERR_PROTOCOL); /* a ping in fragments */
    refused("\x89\xfe", ERR_PROTOCOL); /* a long one */
    refused("\x01\x80\1\2\3\4\x81\x80", ERR_PROTOCOL); /* one in another */
    refused("\x81\xff\0\0\0\0\0\1\x86\xa1\1\2\3\4", ERR_TOO_LARGE);
    refused("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\2\3\4", ERR_TOO_LARGE);
    refused("\x81\xff\0\0\0\0\0\1\x86\xa0\1\2\3\4", 0);
}

static void test_fragments_together_too_large(void **state)
{
    char text[256];
    uint8_t *payload = mem_zalloc(MESSAGE_MAX);
    struct buf frames = BUF_INIT(1 << 20);
    put_frame(&frames, 1, slice_of(payload, MESSAGE_MAX));
    assert_int_equal(decode(buf_slice(&frames), SIZE_MAX, text, sizeof text),
                     0);
    put_frame(&frames, FIN | 0, slice_of(payload, 1));
    assert_int_equal(decode(buf_slice(&frames), SIZE_MAX, text, sizeof text),
                     ERR_TOO_LARGE);
    buf_release(&frames);
    free(payload);
}

/* Whatever comes: the same in one piece and in many. */
static void test_random(void **state)
{
    static const uint8_t firsts[] = {0x81, 0x82, 0x80, 0x01, 0x00, 0x88, 0x89};
    struct rng rng = {1};
    char whole[2048], cut[2048];
    struct buf frames = BUF_INIT(1 << 20);
    for (int round = 0; round < ROUNDS; round++) {
        frames.size = 0;
        for (uint64_t n = rng_below(&rng, 6); n > 0; n--) {
            uint8_t payload[300];
            for (size_t i = 0; i < sizeof payload; i++) {
                payload[i] = (uint8_t)rng_next(&rng);
            }
            put_frame(&frames, firsts[rng_below(&rng, sizeof firsts)],
                      slice_of(payload, rng_below(&rng, sizeof payload)));
        }
        for (uint64_t n = rng_below(&rng, 3); n > 0 && frames.size; n--) {
            frames.data[rng_below(&rng, frames.size)] ^=
                (uint8_t)(1u << rng_below(&rng, 8));
        }
        int want = decode(buf_slice(&frames), SIZE_MAX, whole, sizeof whole);
        assert_int_equal(decode(buf_slice(&frames), 1 + rng_below(&rng, 50),
                                cut, sizeof cut),
                         want);
        assert_string_equal(cut, whole);
    }
    buf_release(&frames);
}

static void test_encode(void **state)
{
    static const struct {
        size_t size;
        const char *head;
        size_t head_size;
    } cases[] = {{0, "\x81\0", 2},
                 {125, "\x81\x7d", 2},
                 {126, "\x81\x7e\0\x7e", 4},
                 {65535, "\x81\x7e\xff\xff", 4},
                 {65536, "\x81\x7f\0\0\0\0\0\1\0\0", 10}};
    uint8_t *payload = mem_zalloc(65536);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = BUF_INIT(1 << 20);
        frame_encode(&out, FRAME_OPCODE_TEXT, slice_of(payload, cases[i].size));
        assert_int_equal(out.size, cases[i].head_size + cases[i].size);
        assert_memory_equal(out.data, cases[i].head, cases[i].head_size);
        buf_release(&out);
    }
    free(payload);
}

/* The example of RFC 6455, section 1.3. */
static void test_accept(void **state)
{
    char accept[FRAME_ACCEPT_SIZE];
    assert_int_equal(frame_accept("dGhlIHNhbXBsZSBub25jZQ==", accept), 0);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_int_equal(frame_accept("", accept), ERR_INVALID);
    assert_int_equal(frame_accept("short", accept), ERR_INVALID);
    assert_int_equal(frame_accept("dGhlIHNhbXBsZSBub25jZQE=", accept),
                     ERR_INVALID);
    assert_int_equal(frame_accept("dGhlIHNhbXBsZSBub25j!Q==", accept),
                     ERR_INVALID);
    assert_int_equal(frame_accept("dGhlIHNhbXBsZSBub25jZQ==x", accept),
                     ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_fragments_and_what_comes_between),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_fragments_together_too_large),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_accept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
