#include "../test.h"

#include "base/err.h"
#include "proto/proto.h"
#include "proto/rpc.pb-c.h"
#include "proxy/namespace.h"

static struct name_space ns;
static struct buf out;

static int setup(void **state)
{
    name_space_init(&ns, slice_str("ns/"));
    buf_init(&out, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    name_space_release(&ns);
    buf_release(&out);
    return 0;
}

#define BINARY(text)                                   \
    (ProtobufCBinaryData)                              \
    {                                                  \
        sizeof(text) - 1, (uint8_t *)(uintptr_t)(text) \
    }

static struct slice packed(const ProtobufCMessage *m)
{
    static uint8_t room[4096];
    return slice_of(room, protobuf_c_message_pack(m, room));
}

static int rewrite(enum name_space_message what, struct slice message)
{
    out.size = 0;
    return name_space_rewrite(&ns, what, message, &out);
}

static void assert_bytes(ProtobufCBinaryData b, const char *text, size_t size)
{
    assert_int_equal(b.len, size);
    assert_memory_equal(b.data, text, size);
}
#define ASSERT_IS(b, text) assert_bytes(b, text, sizeof(text) - 1)

/* What becomes of key and range_end of a Range. */
static void check_range(ProtobufCBinaryData key, ProtobufCBinaryData end,
                        const char *end_expected, size_t end_size)
{
    Pb__RangeRequest r = PB__RANGE_REQUEST__INIT;
    r.key = key;
    r.range_end = end;
    r.limit = 7;
    r.serializable = true;
    assert_int_equal(rewrite(NAME_SPACE_RANGE, packed(&r.base)), 0);
    Pb__RangeRequest *got = pb__range_request__unpack(NULL, out.size, out.data);
    assert_non_null(got);
    assert_memory_equal(got->key.data, ns.prefix.data, ns.prefix.size);
    assert_int_equal(got->key.len, ns.prefix.size + key.len);
    assert_bytes(got->range_end, end_expected, end_size);
    assert_int_equal(got->limit, 7);
    assert_true(got->serializable);
    pb__range_request__free_unpacked(got, NULL);
}

static void test_range(void **state)
{
    check_range(BINARY("k"), BINARY(""), "", 0);
    check_range(BINARY("k"), BINARY("m"), "ns/m", 4);
    check_range(BINARY("k"), BINARY("\0"), "ns0", 3);
    check_range(BINARY("\0"), BINARY("\0"), "ns0", 3);
}

/* The end of a prefix's keys: the last byte grows, with carry. */
static void check_end(struct slice prefix, const char *end, size_t size)
{
    struct name_space one;
    struct buf got = BUF_INIT(64);
    name_space_init(&one, prefix);
    assert_int_equal(name_space_range_end(&one, slice_of("", 1), &got), 0);
    assert_int_equal(got.size, size);
    assert_memory_equal(got.data, end, size);
    buf_release(&got);
    name_space_release(&one);
}

static void test_open_end(void **state)
{
    check_end(slice_str("a"), "b", 1);
    check_end(slice_str("a\xff"), "b", 1);
    check_end(slice_str("a\xfe\xff\xff"), "a\xff", 2);
    check_end(slice_str("\xff\xff"), "\0", 1);
}

static void test_no_key(void **state)
{
    Pb__RangeRequest r = PB__RANGE_REQUEST__INIT;
    Pb__PutRequest p = PB__PUT_REQUEST__INIT;
    p.value = BINARY("v");
    assert_int_equal(rewrite(NAME_SPACE_RANGE, packed(&r.base)),
                     ERR_KEY_NOT_FOUND);
    assert_int_equal(rewrite(NAME_SPACE_PUT, packed(&p.base)),
                     ERR_KEY_NOT_FOUND);
    assert_int_equal(rewrite(NAME_SPACE_DELETE, slice_of(NULL, 0)),
                     ERR_KEY_NOT_FOUND);
}

static void test_txn(void **state)
{
    Pb__Compare compare = PB__COMPARE__INIT, *compares = &compare;
    compare.key = BINARY("c");
    compare.range_end = BINARY("\0");
    compare.target_union_case = PB__COMPARE__TARGET_UNION_VALUE;
    compare.value = BINARY("v");
    Pb__PutRequest put = PB__PUT_REQUEST__INIT;
    put.key = BINARY("p");
    put.value = BINARY("pv");
    Pb__RequestOp op = PB__REQUEST_OP__INIT, *ops = &op;
    op.request_case = PB__REQUEST_OP__REQUEST_REQUEST_PUT;
    op.request_put = &put;
    Pb__TxnRequest inner = PB__TXN_REQUEST__INIT;
    inner.success = &ops;
    inner.n_success = 1;
    Pb__RequestOp outer_op = PB__REQUEST_OP__INIT, *outer_ops = &outer_op;
    outer_op.request_case = PB__REQUEST_OP__REQUEST_REQUEST_TXN;
    outer_op.request_txn = &inner;
    Pb__TxnRequest txn = PB__TXN_REQUEST__INIT;
    txn.compare = &compares;
    txn.n_compare = 1;
    txn.failure = &outer_ops;
    txn.n_failure = 1;
    assert_int_equal(rewrite(NAME_SPACE_TXN, packed(&txn.base)), 0);
    Pb__TxnRequest *got = pb__txn_request__unpack(NULL, out.size, out.data);
    assert_non_null(got);
    ASSERT_IS(got->compare[0]->key, "ns/c");
    ASSERT_IS(got->compare[0]->range_end, "ns0");
    ASSERT_IS(got->compare[0]->value, "v");
    Pb__PutRequest *got_put =
        got->failure[0]->request_txn->success[0]->request_put;
    ASSERT_IS(got_put->key, "ns/p");
    ASSERT_IS(got_put->value, "pv");
    pb__txn_request__free_unpacked(got, NULL);
}

/* An operation that says nothing is left for a member to judge. */
static void test_unset_op(void **state)
{
    static const uint8_t txn[] = {2 << 3 | 2, 0};
    assert_int_equal(rewrite(NAME_SPACE_TXN, slice_of(txn, sizeof txn)), 0);
    assert_int_equal(out.size, sizeof txn);
    assert_memory_equal(out.data, txn, sizeof txn);
}

static void test_deep_txn(void **state)
{
    struct buf a = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20);
    for (int i = 0; i <= NAME_SPACE_DEPTH_MAX + 1; i++) {
        b.size = 0;
        proto_add_message(&b, i % 2 ? 2 : 4, buf_slice(&a));
        struct buf t = a;
        a = b;
        b = t;
    }
    assert_int_equal(rewrite(NAME_SPACE_TXN, buf_slice(&a)), ERR_INVALID);
    buf_release(&a);
    buf_release(&b);
}

static void test_answers(void **state)
{
    Pb__KeyValue kv = PB__KEY_VALUE__INIT, *kvs = &kv;
    kv.key = BINARY("ns/k");
    kv.value = BINARY("v");
    kv.mod_revision = 5;
    Pb__ResponseHeader header = PB__RESPONSE_HEADER__INIT;
    header.revision = 9;
    Pb__DeleteRangeResponse d = PB__DELETE_RANGE_RESPONSE__INIT;
    d.header = &header;
    d.deleted = 1;
    d.prev_kvs = &kvs;
    d.n_prev_kvs = 1;
    assert_int_equal(rewrite(NAME_SPACE_DELETE_ANSWER, packed(&d.base)), 0);
    Pb__DeleteRangeResponse *got =
        pb__delete_range_response__unpack(NULL, out.size, out.data);
    ASSERT_IS(got->prev_kvs[0]->key, "k");
    ASSERT_IS(got->prev_kvs[0]->value, "v");
    assert_int_equal(got->prev_kvs[0]->mod_revision, 5);
    assert_int_equal(got->header->revision, 9);
    pb__delete_range_response__free_unpacked(got, NULL);
}

/* Keys of a lease that others hold below other prefixes are not shown. */
static void test_lease_keys(void **state)
{
    ProtobufCBinaryData keys[] = {BINARY("ns/a"), BINARY("other"),
                                  BINARY("ns/b")};
    Pb__LeaseTimeToLiveResponse r = PB__LEASE_TIME_TO_LIVE_RESPONSE__INIT;
    r.ttl = 3;
    r.keys = keys;
    r.n_keys = 3;
    assert_int_equal(rewrite(NAME_SPACE_TTL_ANSWER, packed(&r.base)), 0);
    Pb__LeaseTimeToLiveResponse *got =
        pb__lease_time_to_live_response__unpack(NULL, out.size, out.data);
    assert_int_equal(got->n_keys, 2);
    ASSERT_IS(got->keys[0], "a");
    ASSERT_IS(got->keys[1], "b");
    assert_int_equal(got->ttl, 3);
    pb__lease_time_to_live_response__free_unpacked(got, NULL);
}

static void test_malformed(void **state)
{
    static const char *const bad[] = {"\x0a\x05k", "\xff", "\x0b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(rewrite(NAME_SPACE_RANGE, slice_str(bad[i])),
                         ERR_INVALID);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_range),   TEST(test_open_end),   TEST(test_no_key),
        TEST(test_txn),     TEST(test_unset_op),   TEST(test_deep_txn),
        TEST(test_answers), TEST(test_lease_keys), TEST(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
