#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "proto/proto.h"
#include "proto/rpc.pb-c.h"

static void varints(void **state)
{
    static const uint64_t values[] = {
        1, 127, 128, 16383, 16384, UINT32_MAX, 1ull << 56, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint8_t bytes[1 + PROTO_VARINT_MAX];
        uint8_t *end = proto_u64(bytes, 1, values[i]);
        assert_int_equal(end - bytes, 1 + proto_varint_size(values[i]));
        struct slice rest = slice_of(bytes, (size_t)(end - bytes));
        struct proto_field f;
        assert_int_equal(proto_next(&rest, &f), 1);
        assert_true(f.value == values[i]);
        assert_int_equal(proto_next(&rest, &f), 0);
        /* cut anywhere: malformed */
        for (size_t cut = 1; cut < (size_t)(end - bytes); cut++) {
            rest = slice_of(bytes, cut);
            assert_int_equal(proto_next(&rest, &f), ERR_INVALID);
        }
    }
    uint8_t none;
    assert_ptr_equal(proto_u64(&none, 1, 0), &none);
}

static void malformed(void **state)
{
    static const struct {
        uint8_t bytes[14];
        size_t size;
    } rows[] = {
        {{0x00, 1}, 2}, /* field 0 */
        {{0x0b}, 1},    /* group */
        {{0x0c}, 1},
        {{0x0e}, 1}, /* wire types 6 and 7 */
        {{0x0f}, 1},
        {{0x0a, 2, 1}, 3}, /* shorter than it says */
        {{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 11},
        {{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2},
         11}, /* more than 64 bits */
        {{0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0},
         12}, /* more than 10 bytes */
        {{0x09, 1, 2, 3}, 4},
        {{0x0d, 1, 2}, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice rest = slice_of(rows[i].bytes, rows[i].size);
        struct proto_field f;
        assert_int_equal(proto_next(&rest, &f), ERR_INVALID);
        struct proto_put put = {.lease = 77};
        assert_int_equal(
            proto_decode_put(slice_of(rows[i].bytes, rows[i].size), &put),
            ERR_INVALID);
        assert_int_equal(put.lease, 77);
    }
}

/* Lengths that take one, two and three bytes, nested. */
static void begin_end(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 128, 300, 20000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct buf b = BUF_INIT(1 << 20);
        uint8_t *content = mem_zalloc(sizes[i] + 1);
        size_t outer, inner;
        proto_add_u64(&b, 9, 5);
        assert_int_equal(proto_begin(&b, 200, &outer), 0);
        assert_int_equal(proto_begin(&b, 2, &inner), 0);
        assert_int_equal(buf_append(&b, content, sizes[i]), 0);
        assert_int_equal(proto_end(&b, inner), 0);
        assert_int_equal(proto_end(&b, outer), 0);
        proto_add_bytes(&b, 3, slice_str("z"));
        proto_add_bytes(&b, 3, (struct slice){NULL, 0});
        struct slice rest = buf_slice(&b);
        struct proto_field f, g;
        assert_int_equal(proto_next(&rest, &f), 1);
        assert_int_equal(proto_next(&rest, &f), 1);
        assert_int_equal(f.number, 200);
        assert_int_equal(proto_next(&f.bytes, &g), 1);
        assert_int_equal(g.number, 2);
        assert_int_equal(g.bytes.size, sizes[i]);
        assert_int_equal(f.bytes.size, 0);
        assert_int_equal(proto_next(&rest, &f), 1);
        assert_true(slice_eq_str(f.bytes, "z"));
        assert_int_equal(rest.size, 0);
        free(content);
        buf_release(&b);
    }
    struct buf full = BUF_INIT(25);
    size_t mark;
    assert_int_equal(proto_begin(&full, 1, &mark), 0);
    assert_int_equal(proto_begin(&full, 1, &mark), 0);
    assert_int_equal(proto_begin(&full, 1, &mark), 0);
    assert_int_equal(proto_begin(&full, 1, &mark), ERR_TOO_LARGE);
    assert_int_equal(proto_add_message(&full, 1,
                                       slice_str("0123456789"
                                                 "01234567")),
                     ERR_TOO_LARGE);
    buf_release(&full);
}

/* The generated code and the hand-written one read the same. */
static void range_agrees(void **state)
{
    struct rng rng = {3};
    for (int i = 0; i < 2000; i++) {
        Pb__RangeRequest q = PB__RANGE_REQUEST__INIT;
        uint8_t key[4] = {1, 2, 3, 4};
        q.key = (ProtobufCBinaryData){rng_below(&rng, 5), key};
        q.range_end = (ProtobufCBinaryData){rng_below(&rng, 5), key};
        int64_t *numbers[] = {&q.limit,
                              &q.revision,
                              &q.min_mod_revision,
                              &q.max_mod_revision,
                              &q.min_create_revision,
                              &q.max_create_revision};
        for (size_t k = 0; k < 6; k++) {
            *numbers[k] = rng_below(&rng, 2) ? (int64_t)rng_next(&rng) : 0;
        }
        q.sort_order = (Pb__RangeRequest__SortOrder)rng_below(&rng, 4);
        q.sort_target = (Pb__RangeRequest__SortTarget)rng_below(&rng, 6);
        q.serializable = rng_below(&rng, 2);
        q.keys_only = rng_below(&rng, 2);
        q.count_only = rng_below(&rng, 2);
        uint8_t bytes[256];
        size_t size = pb__range_request__pack(&q, bytes);
        struct proto_range r;
        assert_int_equal(proto_decode_range(slice_of(bytes, size), &r), 0);
        assert_int_equal(r.key.size, q.key.len);
        assert_int_equal(r.end.size, q.range_end.len);
        assert_true(r.limit == q.limit && r.revision == q.revision);
        assert_true(r.min_mod_revision == q.min_mod_revision &&
                    r.max_mod_revision == q.max_mod_revision);
        assert_true(r.min_create_revision == q.min_create_revision &&
                    r.max_create_revision == q.max_create_revision);
        assert_int_equal(r.sort_order, q.sort_order);
        assert_int_equal(r.sort_target, q.sort_target);
        assert_true(r.serializable == (bool)q.serializable &&
                    r.keys_only == (bool)q.keys_only &&
                    r.count_only == (bool)q.count_only);
    }
}

/* The last of a scalar wins; unknown fields and other wire types do not
 * matter. */
static void lenient(void **state)
{
    static const uint8_t put_bytes[] = {
        0x0a, 1,    'a',  0x0a, 1, 'b', /* key twice */
        0x10, 5,                        /* value as a varint */
        0x18, 3,    0x18, 4,            /* lease twice */
        0x9a, 0x06, 2,    1,    2,      /* field 99 */
        0x3d, 1,    2,    3,    4,      /* field 7, fixed32 */
        0x28, 2};                       /* a bool that is 2 */
    struct proto_put put;
    assert_int_equal(
        proto_decode_put(slice_of(put_bytes, sizeof put_bytes), &put), 0);
    assert_true(slice_eq_str(put.key, "b"));
    assert_int_equal(put.value.size, 0);
    assert_int_equal(put.lease, 4);
    assert_true(put.ignore_value);
    assert_false(put.ignore_lease || put.prev_kv);
    static const uint8_t del_bytes[] = {0x12, 1, 'z', 0x18, 1, 0x0a, 1, 'a'};
    struct proto_delete del;
    assert_int_equal(
        proto_decode_delete(slice_of(del_bytes, sizeof del_bytes), &del), 0);
    assert_true(slice_eq_str(del.key, "a") && slice_eq_str(del.end, "z"));
    assert_true(del.prev_kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varints),   cmocka_unit_test(malformed),
        cmocka_unit_test(begin_end), cmocka_unit_test(range_agrees),
        cmocka_unit_test(lenient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
