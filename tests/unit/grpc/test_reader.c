#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/endian.h"
#include "base/err.h"
#include "grpc/reader.h"

static size_t put(uint8_t *to, uint8_t flag, size_t size)
{
    to[0] = flag;
    put_be32(to + 1, (uint32_t)size);
    memset(to + 5, (int)('a' + size % 26), size);
    return 5 + size;
}

/* Messages of 0, 1, 30 and 100 bytes, cut into pieces of every size. */
static void cuts_anywhere(void **state)
{
    static const size_t sizes[] = {0, 1, 30, 100, 0};
    uint8_t wire[256];
    size_t total = 0;
    for (int i = 0; i < 5; i++) {
        total += put(wire + total, i == 2, sizes[i]);
    }
    for (size_t piece = 1; piece <= total; piece++) {
        struct grpc_reader r = {0};
        int got = 0;
        for (size_t at = 0; at < total; at += piece) {
            size_t n = total - at < piece ? total - at : piece;
            struct slice in = slice_of(wire + at, n), m;
            uint8_t flag = 9;
            while (in.size && grpc_reader_next(&r, &in, 100, &flag, &m) == 1) {
                assert_int_equal(m.size, sizes[got]);
                assert_int_equal(flag, got == 2);
                for (size_t i = 0; i < m.size; i++) {
                    assert_int_equal(m.data[i], 'a' + m.size % 26);
                }
                got++;
            }
        }
        assert_int_equal(got, 5);
        assert_false(grpc_reader_is_cut(&r));
        buf_release(&r.body);
    }
}

static void whole_messages_are_not_copied(void **state)
{
    uint8_t wire[40];
    struct slice in = slice_of(wire, put(wire, 0, 20)), m;
    struct grpc_reader r = {0};
    uint8_t flag;
    assert_int_equal(grpc_reader_next(&r, &in, 100, &flag, &m), 1);
    assert_ptr_equal(m.data, wire + 5);
    assert_null(r.body.data);
}

static void the_limit_is_exact(void **state)
{
    uint8_t wire[200];
    for (uint32_t size = 99; size <= 101; size++) {
        struct grpc_reader r = {0};
        put(wire, 0, size);
        struct slice in = slice_of(wire, 5), m;
        uint8_t flag;
        /* Judged as soon as the prefix is there. */
        assert_int_equal(grpc_reader_next(&r, &in, 100, &flag, &m),
                         size <= 100 ? 0 : ERR_TOO_LARGE);
        assert_int_equal(r.length, size);
        buf_release(&r.body);
    }
}

/* A promise of much takes no memory before it is kept. */
static void promises_cost_nothing(void **state)
{
    uint8_t wire[8] = {0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3};
    struct grpc_reader r = {0};
    struct slice in = slice_of(wire, 8), m;
    uint8_t flag;
    assert_int_equal(grpc_reader_next(&r, &in, INT32_MAX, &flag, &m), 0);
    assert_true(r.body.capacity <= 64 << 10);
    assert_true(grpc_reader_is_cut(&r));
    buf_release(&r.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_anywhere),
        cmocka_unit_test(whole_messages_are_not_copied),
        cmocka_unit_test(the_limit_is_exact),
        cmocka_unit_test(promises_cost_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
