/* What is printed, byte for byte. */
#include "../test.h"

#include "cli/cli.h"

static void assert_text(struct buf *out, const char *expected)
{
    buf_append_byte(out, 0);
    assert_string_equal((char *)out->data, expected);
    buf_release(out);
}

static void test_table(void **state)
{
    struct buf out = BUF_INIT(65536);
    const char *const cells[] = {"ENDPOINT",
                                 "HEALTH",
                                 "TOOK",
                                 "ERROR",
                                 "127.0.0.1:33300",
                                 "true",
                                 "5.782707ms",
                                 "",
                                 "127.0.0.1:33399",
                                 "false",
                                 "1.000433124s",
                                 "context deadline "
                                 "exceeded"};
    cli_table(&out, cells, 4, 3);
    assert_text(
        &out,
        "┌─────────────────┬────────┬──────────────┬─────────────────────────"
        "──┐\n"
        "│    ENDPOINT     │ HEALTH │     TOOK     │           ERROR         "
        "  │\n"
        "├─────────────────┼────────┼──────────────┼─────────────────────────"
        "──┤\n"
        "│ 127.0.0.1:33300 │   true │   5.782707ms │                         "
        "  │\n"
        "│ 127.0.0.1:33399 │  false │ 1.000433124s │ context deadline "
        "exceeded │\n"
        "└─────────────────┴────────┴──────────────┴─────────────────────────"
        "──┘\n");
}

static ProtobufCBinaryData binary(char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
}

static void test_range_json(void **state)
{
    struct buf out = BUF_INIT(65536);
    Pb__ResponseHeader h;
    Pb__KeyValue kv;
    Pb__RangeResponse m;
    Pb__KeyValue *kvs[] = {&kv};
    char key[] = "foo";
    char value[] = "bar";
    pb__response_header__init(&h);
    pb__key_value__init(&kv);
    pb__range_response__init(&m);
    h.cluster_id = 1;
    h.member_id = UINT64_MAX;
    h.revision = 3;
    h.raft_term = 4;
    kv.key = binary(key);
    kv.value = binary(value);
    kv.create_revision = kv.mod_revision = 2;
    kv.version = 1;
    kv.lease = 7;
    m.header = &h;
    m.kvs = kvs;
    m.n_kvs = 1;
    m.more = true;
    m.count = 1;
    cli_json_message(&out, &m.base, false);
    assert_text(&out, "{\"header\":{\"cluster_id\":1,\"member_id\":"
                      "18446744073709551615,\"revision\":3,\"raft_term\":4},"
                      "\"kvs\":[{\"key\":\"Zm9v\",\"create_revision\":2,"
                      "\"mod_revision\":2,\"version\":1,\"value\":\"YmFy\","
                      "\"lease\":7}],\"more\":true,\"count\":1}");
}

static void test_txn_json(void **state)
{
    struct buf out = BUF_INIT(65536);
    Pb__ResponseHeader h;
    Pb__PutResponse put;
    Pb__ResponseOp op;
    Pb__TxnResponse m;
    Pb__ResponseOp *ops[] = {&op};
    pb__response_header__init(&h);
    pb__put_response__init(&put);
    pb__response_op__init(&op);
    pb__txn_response__init(&m);
    h.revision = 3;
    put.header = &h;
    op.response_case = PB__RESPONSE_OP__RESPONSE_RESPONSE_PUT;
    op.response_put = &put;
    m.succeeded = true;
    m.responses = ops;
    m.n_responses = 1;
    cli_json_message(&out, &m.base, false);
    assert_text(&out, "{\"succeeded\":true,\"responses\":[{\"Response\":{"
                      "\"response_put\":{\"header\":{\"revision\":3}}}}]}");
}

static void test_member_json_hex(void **state)
{
    struct buf out = BUF_INIT(65536);
    Pb__Member member;
    Pb__MemberListResponse m;
    Pb__Member *members[] = {&member};
    char *urls[] = {(char[]){"http://a:1"}, (char[]){"http://b:2"}};
    pb__member__init(&member);
    pb__member_list_response__init(&m);
    member.id = 0x8e9e05c52164694d;
    member.peerurls = urls;
    member.n_peerurls = 2;
    member.islearner = true;
    m.members = members;
    m.n_members = 1;
    cli_json_message(&out, &m.base, true);
    assert_text(&out, "{\"members\":[{\"ID\":\"8e9e05c52164694d\","
                      "\"peerURLs\":[\"http://a:1\",\"http://b:2\"],"
                      "\"isLearner\":true}]}");
    out = (struct buf)BUF_INIT(65536);
    cli_json_message(&out, &m.base, false);
    assert_text(&out, "{\"members\":[{\"ID\":10276657743932975437,"
                      "\"peerURLs\":[\"http://a:1\",\"http://b:2\"],"
                      "\"isLearner\":true}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_range_json),
        cmocka_unit_test(test_txn_json),
        cmocka_unit_test(test_member_json_hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
