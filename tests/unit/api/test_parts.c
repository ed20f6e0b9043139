/* Answers of several parts: whole, in order, one after the other. */
#include "fakes.h"

enum { LARGE_KEYS = 700, LARGE_BYTES = 2000 };

static void fill(void)
{
    static char value[LARGE_BYTES];
    mvcc_begin(fake.store.mvcc);
    for (int i = 0; i < LARGE_KEYS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%06d", i);
        memset(value, 'a' + i % 26, sizeof value);
        assert_int_equal(mvcc_put(fake.store.mvcc, slice_str(key),
                                  slice_of(value, sizeof value), 0, NULL),
                         0);
    }
    mvcc_end(fake.store.mvcc, ++fake.index, 1);
}

static void begin(struct grpc_call *c)
{
    call_init(c, "/etcdserverpb.KV/Range");
    Pb__RangeRequest q = PB__RANGE_REQUEST__INIT;
    q.key = data_of("k");
    q.range_end = data_of("l");
    q.serializable = true;
    call_pb(c, &q);
    assert_false(c->finished);
}

static void finish(struct grpc_call *c)
{
    while (!c->finished) {
        assert_false(list_empty(&fake.api->slices));
        api_later_fire(fake.api);
    }
}

static void check(struct grpc_call *c, int64_t revision)
{
    assert_true(c->finished);
    assert_int_equal(c->code, GRPC_OK);
    assert_int_equal(c->count, 1);
    Pb__RangeResponse *r = call_answer(c, 0, &pb__range_response__descriptor);
    check_header(r->header, revision);
    assert_int_equal(r->count, LARGE_KEYS);
    assert_int_equal(r->n_kvs, LARGE_KEYS);
    for (int i = 0; i < LARGE_KEYS; i++) {
        const Pb__KeyValue *kv = r->kvs[i];
        assert_int_equal(kv->value.len, LARGE_BYTES);
        assert_int_equal(kv->value.data[0], 'a' + i % 26);
        assert_int_equal(kv->value.data[LARGE_BYTES - 1], 'a' + i % 26);
    }
    FREE(r);
}

_Static_assert((size_t)LARGE_KEYS *LARGE_BYTES > 2 * API_SLICE_BYTES + 4096,
               "more than two slices");

static void one_after_the_other(void **state)
{
    fill();
    struct grpc_call first, second;
    begin(&first);
    begin(&second);
    while (!first.finished) {
        assert_false(second.finished);
        api_later_fire(fake.api);
    }
    assert_false(second.finished);
    check(&first, 2);
    finish(&second);
    check(&second, 2);
    call_end(&first);
    call_end(&second);
}

static void a_client_that_leaves(void **state)
{
    fill();
    struct grpc_call c;
    begin(&c);
    call_end(&c);
    assert_true(list_empty(&fake.api->slices));
}

/* What was made of a revision that is gone is not in the answer. */
static void begins_anew(void **state)
{
    fill();
    struct grpc_call c;
    begin(&c);
    mvcc_begin(fake.store.mvcc);
    assert_int_equal(
        mvcc_put(fake.store.mvcc, slice_str("other"), slice_str("v"), 0, NULL),
        0);
    mvcc_end(fake.store.mvcc, ++fake.index, 1);
    mvcc_begin(fake.store.mvcc);
    assert_int_equal(mvcc_compact(fake.store.mvcc, 3, NULL, NULL), 0);
    mvcc_end(fake.store.mvcc, ++fake.index, 1);
    finish(&c);
    check(&c, 3);
    call_end(&c);
}

/* Together no more than an answer may have. */
static void too_large_together(void **state)
{
    struct api_parts parts = {.size = APPLY_BODY_BYTES_MAX - 10};
    struct buf body = BUF_INIT(APPLY_BODY_BYTES_MAX);
    api_body_begin(&body);
    assert_int_equal(buf_append_str(&body, "0123456789"), 0);
    assert_int_equal(api_parts_add(&parts, &body), 0);
    api_parts_release(&parts);
    parts.size = APPLY_BODY_BYTES_MAX - 10;
    assert_int_equal(buf_append_str(&body, "0123456789a"), 0);
    assert_int_equal(api_parts_add(&parts, &body), ERR_TOO_LARGE);
    api_parts_release(&parts);
    buf_release(&body);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_new, world_free)
    const struct CMUnitTest tests[] = {
        TEST(one_after_the_other),
        TEST(a_client_that_leaves),
        TEST(begins_anew),
        TEST(too_large_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
