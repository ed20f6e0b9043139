#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/rng.h"
#include "grpc/internal.h"

static void encodes_messages(void **state)
{
    static const char *const pairs[][2] = {
        {"etcdserver: no leader", "etcdserver: no leader"},
        {"100%", "100%25"},
        {"a\nb\x7f", "a%0Ab%7F"},
        {"gr\xc3\xbc\xc3\x9f", "gr%C3%BC%C3%9F"},
        {"\xff", "%EF%BF%BD"},
        {"x\xc3", "x%EF%BF%BD"},
        {"\xed\xa0\x80", "%EF%BF%BD%EF%BF%BD%EF%BF%BD"},
        {"", ""},
    };
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct slice got = grpc_status_encode(&a, pairs[i][0]);
        assert_true(slice_eq_str(got, pairs[i][1]));
    }
    char text[] = "a%0Ab%7f%zz%4";
    size_t size = grpc_status_decode(text, sizeof text - 1);
    assert_int_equal(size, strlen("a\nb\x7f%zz%4"));
    assert_memory_equal(text, "a\nb\x7f%zz%4", size);
    arena_release(&a);
}

static void names_codes(void **state)
{
    assert_string_equal(grpc_code_name(GRPC_OK), "OK");
    assert_string_equal(grpc_code_name(GRPC_CANCELED), "Canceled");
    assert_string_equal(grpc_code_name(GRPC_UNAUTHENTICATED),
                        "Unauthenticated");
    assert_string_equal(grpc_code_name((enum grpc_code)99), "Unknown");
}

static void gzip_there_and_back(void **state)
{
    struct rng r = {3};
    for (size_t size = 0; size < 300000; size = size * 3 + 1) {
        struct buf in = BUF_INIT(1 << 20), z = BUF_INIT(1 << 20);
        buf_reserve(&in, size);
        for (size_t i = 0; i < size; i++) {
            in.data[i] = (uint8_t)rng_below(&r, 5);
        }
        in.size = size;
        struct slice parts[] = {slice_of(in.data, size / 2),
                                slice_of(in.data + size / 2, size - size / 2)};
        assert_int_equal(grpc_gzip_pack(parts, 2, &z), 0);
        for (size_t max = size ? size - 1 : 0; max <= size + 1; max++) {
            struct buf out = BUF_INIT(max);
            const char *why = NULL;
            int err = grpc_gzip_unpack(buf_slice(&z), &out, &why);
            assert_int_equal(err, max < size ? ERR_TOO_LARGE : 0);
            if (err == 0) {
                assert_true(slice_eq(buf_slice(&out), buf_slice(&in)));
            }
            buf_release(&out);
        }
        /* Cut short anywhere it is an error and says so. */
        for (size_t cut = 0; cut < z.size; cut += 1 + z.size / 50) {
            struct buf out = BUF_INIT(1 << 20);
            const char *why = NULL;
            assert_int_equal(
                grpc_gzip_unpack(slice_of(z.data, cut), &out, &why),
                ERR_CORRUPT);
            assert_string_equal(why, cut ? "unexpected EOF" : "EOF");
            buf_release(&out);
        }
        buf_release(&in);
        buf_release(&z);
    }
}

static void gzip_bombs_are_cut_off(void **state)
{
    struct buf zeros = BUF_INIT(64 << 20), z = BUF_INIT(128 << 20);
    buf_reserve(&zeros, 64 << 20);
    memset(zeros.data, 0, 64 << 20);
    struct slice part = slice_of(zeros.data, 64 << 20);
    assert_int_equal(grpc_gzip_pack(&part, 1, &z), 0);
    struct buf out = BUF_INIT(2 << 20);
    const char *why = NULL;
    assert_int_equal(grpc_gzip_unpack(buf_slice(&z), &out, &why),
                     ERR_TOO_LARGE);
    assert_true(out.capacity <= (2 << 20) + 1);
    buf_release(&out);
    buf_release(&z);
    buf_release(&zeros);
}

static void gzip_garbage_is_refused(void **state)
{
    struct buf out = BUF_INIT(1000);
    const char *why = NULL;
    assert_int_equal(
        grpc_gzip_unpack(slice_str("this is not gzip"), &out, &why),
        ERR_CORRUPT);
    assert_string_equal(why, "gzip: invalid header");
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_messages),
        cmocka_unit_test(names_codes),
        cmocka_unit_test(gzip_there_and_back),
        cmocka_unit_test(gzip_bombs_are_cut_off),
        cmocka_unit_test(gzip_garbage_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
