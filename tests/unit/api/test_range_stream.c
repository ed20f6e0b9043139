/* RangeStream, also where it is more than one slice. */
#include "fakes.h"

enum { VALUE_BYTES = 100 };

static void fill(int count)
{
    static char value[VALUE_BYTES];
    for (int i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%05d", i);
        mvcc_begin(fake.store.mvcc);
        assert_int_equal(mvcc_put(fake.store.mvcc, slice_str(key),
                                  slice_of(value, sizeof value), 0, NULL),
                         0);
        mvcc_end(fake.store.mvcc, ++fake.index, 1);
    }
}

static void put_one(const char *key)
{
    mvcc_begin(fake.store.mvcc);
    assert_int_equal(
        mvcc_put(fake.store.mvcc, slice_str(key), slice_str("x"), 0, NULL), 0);
    mvcc_end(fake.store.mvcc, ++fake.index, 1);
}

static void compact_all(void)
{
    int64_t revision = mvcc_revision(fake.store.mvcc);
    mvcc_begin(fake.store.mvcc);
    assert_int_equal(mvcc_compact(fake.store.mvcc, revision, NULL, NULL), 0);
    mvcc_end(fake.store.mvcc, ++fake.index, 1);
}

static Pb__RangeRequest all(void)
{
    Pb__RangeRequest q = PB__RANGE_REQUEST__INIT;
    q.key = data_of("k");
    q.range_end = data_of("l");
    q.serializable = true;
    return q;
}

static void run_slices(struct grpc_call *c)
{
    while (!list_empty(&fake.api->slices)) {
        assert_false(c->finished);
        api_later_fire(fake.api);
    }
}

static void begin(struct grpc_call *c, const Pb__RangeRequest *q)
{
    call_init(c, "/etcdserverpb.KV/RangeStream");
    assert_true(api_intercept(fake.api, c));
    call_pb(c, q);
}

static size_t kv_count(const struct grpc_call *c, uint32_t n)
{
    Pb__RangeStreamResponse *r =
        call_answer(c, n, &pb__range_stream_response__descriptor);
    const Pb__RangeResponse *rr = r->range_response;
    size_t count = rr->n_kvs;
    bool last = n + 1 == c->count && c->finished;
    assert_int_equal(rr->header != NULL, last);
    if (!last) {
        assert_false(rr->more);
        assert_int_equal(rr->count, 0);
    }
    FREE(r);
    return count;
}

static void check_last(const struct grpc_call *c, int64_t revision,
                       int64_t count, bool more)
{
    assert_true(c->finished);
    assert_int_equal(c->code, GRPC_OK);
    Pb__RangeStreamResponse *r =
        call_answer(c, c->count - 1, &pb__range_stream_response__descriptor);
    check_header(r->range_response->header, revision);
    assert_int_equal(r->range_response->count, count);
    assert_int_equal(r->range_response->more, more);
    FREE(r);
}

static void refused(const Pb__RangeRequest *q, enum grpc_code code,
                    const char *text)
{
    struct grpc_call c;
    begin(&c, q);
    if (!q->serializable) {
        confirm_reads(0);
    }
    assert_true(c.finished);
    assert_string_equal(c.text, text);
    assert_int_equal(c.code, code);
    assert_int_equal(c.count, 0);
    call_end(&c);
}

static void stream_checks(void **state)
{
    Pb__RangeRequest q = all();
    q.key.len = 0;
    q.sort_order = (Pb__RangeRequest__SortOrder)9;
    refused(&q, 3, "etcdserver: key is not provided");
    q.key = data_of("k");
    q.min_mod_revision = 1;
    refused(&q, 3, "etcdserver: invalid sort option");
    q.sort_order = PB__RANGE_REQUEST__SORT_ORDER__DESCEND;
    static const char sort[] = "RangeStream does not support custom sort "
                               "orders";
    refused(&q, 12, sort);
    q.sort_order = PB__RANGE_REQUEST__SORT_ORDER__ASCEND;
    q.sort_target = PB__RANGE_REQUEST__SORT_TARGET__MOD;
    refused(&q, 12, sort);
    q.sort_target = 0;
    for (int i = 0; i < 4; i++) {
        q.min_mod_revision = i == 0 ? -1 : 0;
        q.max_mod_revision = i == 1;
        q.min_create_revision = i == 2;
        q.max_create_revision = i == 3;
        refused(&q, 12, "RangeStream does not support revision filters");
    }
    q = all();
    q.revision = 2;
    q.serializable = false;
    refused(&q, 11, "etcdserver: mvcc: required revision is a future revision");
    fill(3);
    compact_all();
    refused(&q, 11, "etcdserver: mvcc: required revision has been compacted");
}

/* Ten, twenty, forty ...: each is small beside the request limit. */
static void stream_pieces(void **state)
{
    fill(40);
    struct grpc_call c;
    Pb__RangeRequest q = all();
    q.keys_only = true;
    q.serializable = false;
    begin(&c, &q);
    assert_int_equal(c.count, 0);
    confirm_reads(0);
    put_one("kk");
    run_slices(&c);
    assert_int_equal(c.count, 3);
    assert_int_equal(kv_count(&c, 0), 10);
    assert_int_equal(kv_count(&c, 1), 20);
    assert_int_equal(kv_count(&c, 2), 10);
    check_last(&c, 41, 40, false);
    call_end(&c);
    /* a limit, and what is behind it */
    q.limit = 30;
    begin(&c, &q);
    confirm_reads(0);
    run_slices(&c);
    assert_int_equal(c.count, 2);
    assert_int_equal(kv_count(&c, 0), 10);
    assert_int_equal(kv_count(&c, 1), 20);
    check_last(&c, 42, 41, true);
    call_end(&c);
    q.limit = 4;
    begin(&c, &q);
    confirm_reads(0);
    run_slices(&c);
    assert_int_equal(c.count, 1);
    assert_int_equal(kv_count(&c, 0), 4);
    check_last(&c, 42, 41, true);
    call_end(&c);
}

/* The limit of requests here is 2000 bytes: 100-byte values shrink it. */
static void stream_pieces_shrink(void **state)
{
    fill(100);
    struct grpc_call c;
    Pb__RangeRequest q = all();
    begin(&c, &q);
    run_slices(&c);
    size_t sum = 0;
    for (uint32_t i = 0; i < c.count; i++) {
        sum += kv_count(&c, i);
        assert_true(c.sizes[i] < 2 * 2000 + 300);
    }
    assert_int_equal(sum, 100);
    check_last(&c, 101, 100, false);
    call_end(&c);
}

static void stream_of_little(void **state)
{
    fill(25);
    struct grpc_call c;
    Pb__RangeRequest q = all();
    q.limit = -1; /* one message with everything */
    begin(&c, &q);
    run_slices(&c);
    assert_int_equal(c.count, 1);
    assert_int_equal(kv_count(&c, 0), 25);
    check_last(&c, 26, 25, false);
    call_end(&c);
    q.count_only = true;
    begin(&c, &q);
    assert_int_equal(kv_count(&c, 0), 0);
    check_last(&c, 26, 25, false);
    call_end(&c);
    q = all();
    q.key = data_of("zzz");
    q.range_end = data_of("zzzz");
    begin(&c, &q);
    assert_int_equal(c.count, 1);
    assert_int_equal(kv_count(&c, 0), 0);
    check_last(&c, 26, 0, false);
    call_end(&c);
    q.key = data_of("k00003");
    q.range_end.len = 0;
    begin(&c, &q);
    assert_int_equal(kv_count(&c, 0), 1);
    check_last(&c, 26, 1, false);
    call_end(&c);
    /* exactly what the first message takes */
    q = all();
    q.limit = 10;
    begin(&c, &q);
    run_slices(&c);
    assert_int_equal(c.count, 1);
    check_last(&c, 26, 25, true);
    call_end(&c);
}

static void stream_waits_for_its_reader(void **state)
{
    fill(100);
    struct grpc_call c;
    Pb__RangeRequest q = all();
    call_init(&c, "/etcdserverpb.KV/RangeStream");
    assert_true(api_intercept(fake.api, &c));
    c.queued = API_STREAM_QUEUE_BYTES + 1;
    call_pb(&c, &q);
    assert_int_equal(c.count, 1);
    assert_true(list_empty(&fake.api->slices));
    assert_non_null(c.resume);
    put_one("kk");
    c.resume(&c);
    api_later_fire(fake.api);
    assert_int_equal(c.count, 2);
    assert_true(list_empty(&fake.api->slices));
    /* compacted while the client took its time: after data was sent */
    compact_all();
    c.resume(&c);
    api_later_fire(fake.api);
    assert_true(c.finished);
    assert_int_equal(c.code, 11);
    assert_int_equal(c.count, 2);
    call_end(&c);
    /* gone while it waits */
    call_init(&c, "/etcdserverpb.KV/RangeStream");
    assert_true(api_intercept(fake.api, &c));
    q.serializable = false;
    call_pb(&c, &q);
    call_end(&c);
    assert_true(list_empty(&fake.reads));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stream_checks, world_new, world_free),
        cmocka_unit_test_setup_teardown(stream_pieces, world_new, world_free),
        cmocka_unit_test_setup_teardown(stream_pieces_shrink, world_new,
                                        world_free),
        cmocka_unit_test_setup_teardown(stream_of_little, world_new,
                                        world_free),
        cmocka_unit_test_setup_teardown(stream_waits_for_its_reader, world_new,
                                        world_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
