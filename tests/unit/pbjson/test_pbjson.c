/* JSON to protobuf and back; the texts are those of etcd 3.7.1's gateway. */
#include "../test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "pbjson/pbjson.h"
#include "proto/rpc.pb-c.h"

static struct slice range_of(const char *text, struct buf *out)
{
    struct buf why = BUF_INIT(4096);
    int err = pbjson_to_proto(&pb__range_request__descriptor, slice_str(text),
                              out, &why);
    if (err) {
        print_error("%s: %.*s\n", text, (int)why.size, (char *)why.data);
    }
    assert_int_equal(err, 0);
    buf_release(&why);
    return buf_slice(out);
}

static Pb__RangeRequest *range(const char *text)
{
    struct buf out = BUF_INIT(4096);
    struct slice s = range_of(text, &out);
    Pb__RangeRequest *r = pb__range_request__unpack(NULL, s.size, s.data);
    assert_non_null(r);
    buf_release(&out);
    return r;
}

static void fields_in(void **state)
{
    Pb__RangeRequest *r =
        range("{\"key\":\"Zm9v\",\"range_end\":\"Zm9w\",\"limit\":\"7\","
              "\"revision\":1e1,\"sort_order\":\"DESCEND\","
              "\"sortTarget\":3,\"keysOnly\":true,\"nobody\":{\"a\":[1,{}]},"
              "\"count_only\":null,\"minModRevision\":\"-5\"}");
    assert_int_equal(r->key.len, 3);
    assert_memory_equal(r->key.data, "foo", 3);
    assert_memory_equal(r->range_end.data, "fop", 3);
    assert_int_equal(r->limit, 7);
    assert_int_equal(r->revision, 10);
    assert_int_equal(r->sort_order, PB__RANGE_REQUEST__SORT_ORDER__DESCEND);
    assert_int_equal(r->sort_target, 3);
    assert_true(r->keys_only);
    assert_false(r->count_only);
    assert_int_equal(r->min_mod_revision, -5);
    pb__range_request__free_unpacked(r, NULL);
}

static void spellings(void **state)
{
    static const struct {
        const char *text;
        int64_t limit;
    } rows[] = {
        {"{\"limit\":1.0}", 1},
        {"{\"limit\":1e3}", 1000},
        {"{\"limit\":\"1e1\"}", 10},
        {"{\"limit\":12.5E1}", 125},
        {"{\"limit\":1000e-3}", 1},
        {"{\"limit\":0e999999}", 0},
        {"{\"limit\":-0}", 0},
        {"{\"limit\":\"-1\"}", -1},
        {"{\"limit\":9223372036854775807}", INT64_MAX},
        {"{\"limit\":\"-9223372036854775808\"}", INT64_MIN},
        {"{\"limit\":null}", 0},
        {"{\"\\u006cimit\":3}", 3},
        {" \n{ \"limit\" : 4 } garbage", 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Pb__RangeRequest *r = range(rows[i].text);
        assert_true(r->limit == rows[i].limit);
        pb__range_request__free_unpacked(r, NULL);
    }
    static const struct {
        const char *text;
        const char *key;
    } keys[] = {
        {"{\"key\":\"_-8\"}", "\xff\xef"},   {"{\"key\":\"/+8=\"}", "\xff\xef"},
        {"{\"key\":\"Zm9v\\n\"}", "foo"},    {"{\"key\":\"Zm8\"}", "fo"},
        {"{\"key\":\"\\u005am9v\"}", "foo"}, {"{\"key\":\"\"}", ""},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        Pb__RangeRequest *r = range(keys[i].text);
        assert_int_equal(r->key.len, strlen(keys[i].key));
        assert_true(r->key.len == 0 ||
                    memcmp(r->key.data, keys[i].key, r->key.len) == 0);
        pb__range_request__free_unpacked(r, NULL);
    }
}

static void enums(void **state)
{
    Pb__RangeRequest *r = range("{\"sort_order\":\"NOPE\",\"sort_target\":7}");
    assert_int_equal(r->sort_order, 0);
    assert_int_equal(r->sort_target, 7);
    pb__range_request__free_unpacked(r, NULL);
}

/* Zero fields are not written, those of a oneof are. */
static void canonical(void **state)
{
    struct buf out = BUF_INIT(4096);
    range_of("{\"limit\":0,\"key\":\"\",\"keys_only\":false,"
             "\"sort_order\":0}",
             &out);
    assert_int_equal(out.size, 0);
    struct buf why = BUF_INIT(4096);
    assert_int_equal(
        pbjson_to_proto(
            &pb__txn_request__descriptor,
            slice_str("{\"compare\":[{\"version\":\"0\","
                      "\"key\":\"YQ==\"}],\"success\":["
                      "{\"request_range\":{}},{\"requestTxn\":{}}]}"),
            &out, &why),
        0);
    Pb__TxnRequest *t = pb__txn_request__unpack(NULL, out.size, out.data);
    assert_int_equal(t->n_compare, 1);
    assert_int_equal(t->compare[0]->target_union_case,
                     PB__COMPARE__TARGET_UNION_VERSION);
    assert_int_equal(t->n_success, 2);
    assert_int_equal(t->success[0]->request_case,
                     PB__REQUEST_OP__REQUEST_REQUEST_RANGE);
    assert_int_equal(t->success[1]->request_case,
                     PB__REQUEST_OP__REQUEST_REQUEST_TXN);
    pb__txn_request__free_unpacked(t, NULL);
    buf_release(&out);
    buf_release(&why);
}

static void refuses(const ProtobufCMessageDescriptor *d, const char *text,
                    const char *words)
{
    struct buf out = BUF_INIT(1 << 20), why = BUF_INIT(4096);
    int err = pbjson_to_proto(d, slice_str(text), &out, &why);
    buf_append_byte(&why, 0);
    assert_string_equal((char *)why.data, words);
    assert_int_equal(err, ERR_INVALID);
    buf_release(&out);
    buf_release(&why);
}

static void errors(void **state)
{
    static const char *const rows[][2] = {
        {"[]", "proto: syntax error (line 1:1): unexpected token ["},
        {"null", "proto: syntax error (line 1:1): unexpected token null"},
        {"\"x\"", "proto: syntax error (line 1:1): unexpected token \"x\""},
        {"5", "proto: syntax error (line 1:1): unexpected token 5"},
        {"{", "unexpected EOF"},
        {"{\"key\"", "unexpected EOF"},
        {"tru", "unexpected EOF"},
        {"{\"key\":}", "invalid character '}' looking for beginning of value"},
        {"{\"key\":\"Zm9v\",}", "invalid character '}' looking for beginning "
                                "of object key string"},
        {"{x}", "invalid character 'x' looking for beginning of object key "
                "string"},
        {"{'a'}", "invalid character '\\'' looking for beginning of object "
                  "key string"},
        {"{\"a\":01}", "invalid character '1' after object key:value pair"},
        {"{\"a\":-}", "invalid character '}' in numeric literal"},
        {"{\"a\":1.}",
         "invalid character '}' after decimal point in numeric literal"},
        {"{\"a\":1e}", "invalid character '}' in exponent of numeric literal"},
        {"{\"a\":\"\\q\"}", "invalid character 'q' in string escape code"},
        {"{\"a\":\"\n\"}", "invalid character '\\n' in string literal"},
        {"{\"a\":nul}",
         "invalid character '}' in literal null (expecting 'l')"},
        {"{\"a\":\xc3}",
         "invalid character '\u00c3' looking for beginning of value"},
        {"{\"a\" 1}", "invalid character '1' after object key"},
        {"{\"a\":1 2}", "invalid character '2' after object key:value pair"},
        {"[1 2]", "invalid character '2' after array element"},
        {"{\"a\":\"\\u12g4\"}",
         "invalid character 'g' in \\u hexadecimal character escape"},
        {"{\"limit\":\"x\"}",
         "proto: (line 1:10): invalid value for int64 field limit: \"x\""},
        {"{\"limit\":1.5}",
         "proto: (line 1:10): invalid value for int64 field limit: 1.5"},
        {"{\"limit\":\" 1\"}",
         "proto: (line 1:10): invalid value for int64 field limit: \" 1\""},
        {"{\"limit\":true}",
         "proto: (line 1:10): invalid value for int64 field limit: true"},
        {"{\"limit\":[1]}",
         "proto: (line 1:10): invalid value for int64 field limit: ["},
        {"{\"limit\":\"\"}",
         "proto: (line 1:10): invalid value for int64 field limit: \"\""},
        {"{\"limit\":9223372036854775808}",
         "proto: (line 1:10): invalid value for int64 field limit: "
         "9223372036854775808"},
        {"{\"limit\":1e999}",
         "proto: (line 1:10): invalid value for int64 field limit: 1e999"},
        {"{\"range_end\":5}",
         "proto: (line 1:14): invalid value for bytes field rangeEnd: 5"},
        {"{\"key\":\"Zm9v\",\"key\":\"Zm9v\"}",
         "proto: (line 1:15): duplicate field \"key\""},
        {"{\"key\":null,\"key\":null}",
         "proto: (line 1:13): duplicate field \"key\""},
        {"{\"key\":\"!!\"}",
         "proto: (line 1:8): invalid value for bytes field key: \"!!\""},
        {"{\"key\":\"Zm8=\\n\"}",
         "proto: (line 1:8): invalid value for bytes field key: \"Zm8=\\n\""},
        {"{\"key\":\"Zm8==\"}",
         "proto: (line 1:8): invalid value for bytes field key: \"Zm8==\""},
        {"{\"key\":\"\\ud800\"}", "proto: unexpected EOF"},
        {"{\"key\":\"\xff\"}",
         "proto: syntax error (line 1:8): invalid UTF-8 in string"},
        {"{\"sort_order\":true}",
         "proto: (line 1:15): invalid value for enum field sortOrder: true"},
        {"{\"keys_only\":\"true\"}",
         "proto: (line 1:14): invalid value for bool field keysOnly: "
         "\"true\""},
        {"\n\n {\"limit\":\n \"x\"}",
         "proto: (line 2:2): invalid value for int64 field limit: \"x\""},
        {"{\"\u00e9\":1,\"limit\":\"x\"}",
         "proto: (line 1:16): invalid value for int64 field limit: \"x\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        refuses(&pb__range_request__descriptor, rows[i][0], rows[i][1]);
    }
    const ProtobufCMessageDescriptor *txn = &pb__txn_request__descriptor;
    refuses(txn, "{\"compare\":[{\"version\":\"1\",\"value\":\"eA==\"}]}",
            "proto: (line 1:28): error parsing \"value\", oneof "
            "etcdserverpb.Compare.target_union is already set");
    refuses(txn, "{\"compare\":{}}",
            "proto: syntax error (line 1:12): unexpected token {");
    refuses(txn, "{\"compare\":[null]}",
            "proto: syntax error (line 1:13): unexpected token null");
    refuses(&pb__member_add_request__descriptor, "{\"peerURLs\":[null]}",
            "proto: (line 1:14): invalid value for string field peerURLs: "
            "null");
}

static void strings(void **state)
{
    struct buf out = BUF_INIT(4096), why = BUF_INIT(4096);
    assert_int_equal(
        pbjson_to_proto(
            &pb__member_add_request__descriptor,
            slice_str("{\"peerURLs\":[\"a\\u00e9\\ud83d\\ude00\\n\","
                      "\"\"]}"),
            &out, &why),
        0);
    Pb__MemberAddRequest *r =
        pb__member_add_request__unpack(NULL, out.size, out.data);
    assert_int_equal(r->n_peerurls, 2);
    assert_string_equal(r->peerurls[0], "a\u00e9\U0001F600\n");
    assert_string_equal(r->peerurls[1], "");
    pb__member_add_request__free_unpacked(r, NULL);
    struct buf json = BUF_INIT(4096);
    assert_int_equal(pbjson_from_proto(&pb__member_add_request__descriptor,
                                       buf_slice(&out), &json),
                     0);
    assert_true(slice_eq_str(buf_slice(&json),
                             "{\"peerURLs\":[\"a\u00e9\U0001F600\\n\",\"\"]}"));
    buf_release(&out);
    buf_release(&why);
    buf_release(&json);
}

static void limits(void **state)
{
    /* messages in messages: two levels a pair */
    struct buf text = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20),
               why = BUF_INIT(4096);
    for (int levels = PBJSON_MESSAGES_MAX / 2; levels > 0; levels--) {
        buf_append_str(&text, "{\"success\":[{\"request_txn\":");
    }
    struct slice head = buf_slice(&text);
    assert_int_equal(
        pbjson_to_proto(&pb__txn_request__descriptor, head, &out, &why),
        ERR_INVALID); /* cut off */
    why.size = out.size = 0;
    buf_append_str(&text, "{}");
    for (int levels = PBJSON_MESSAGES_MAX / 2; levels > 0; levels--) {
        buf_append_str(&text, "}]}");
    }
    assert_int_equal(pbjson_to_proto(&pb__txn_request__descriptor,
                                     buf_slice(&text), &out, &why),
                     ERR_INVALID);
    assert_true(
        slice_eq_str(buf_slice(&why), "proto: exceeded max recursion depth"));
    /* brackets of what nobody knows */
    text.size = why.size = out.size = 0;
    buf_append_str(&text, "{\"x\":");
    for (int i = 0; i < PBJSON_NESTING_MAX - 1; i++) {
        buf_append_byte(&text, '[');
    }
    size_t open = text.size;
    for (int i = 0; i < PBJSON_NESTING_MAX - 1; i++) {
        buf_append_byte(&text, ']');
    }
    buf_append_byte(&text, '}');
    assert_int_equal(pbjson_to_proto(&pb__txn_request__descriptor,
                                     buf_slice(&text), &out, &why),
                     0);
    text.data[open] = '[';
    assert_int_equal(pbjson_to_proto(&pb__txn_request__descriptor,
                                     buf_slice(&text), &out, &why),
                     ERR_INVALID);
    assert_true(slice_eq_str(buf_slice(&why), "exceeded max depth"));
    /* room for one byte less than needed */
    struct buf small = BUF_INIT(4);
    assert_int_equal(pbjson_to_proto(&pb__range_request__descriptor,
                                     slice_str("{\"key\":\"Zm9v\"}"), &small,
                                     &why),
                     ERR_TOO_LARGE);
    buf_release(&small);
    buf_release(&text);
    buf_release(&out);
    buf_release(&why);
}

static void values_of_a_stream(void **state)
{
    static const char text[] = "\n{\"a\":\"}\"} {}[1] 12 \"s\"";
    static const char *const values[] = {"{\"a\":\"}\"}", "{}", "[1]", "12",
                                         "\"s\""};
    struct slice rest = slice_str(text), value;
    struct buf why = BUF_INIT(4096);
    size_t next = 0;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(pbjson_scan(rest, true, &value, &next, &why), 1);
        assert_true(slice_eq_str(value, values[i]));
        rest = slice_from(rest, next);
    }
    assert_int_equal(pbjson_scan(rest, true, &value, &next, &why), 0);
    assert_int_equal(why.size, 0);
    /* a value in pieces is complete with its last byte, not before */
    static const char object[] = "{\"k\":[1.5e3,true,null,\"\\u00e9\\\"\"]}";
    for (size_t n = 0; n < sizeof object - 1; n++) {
        assert_int_equal(
            pbjson_scan(slice_of(object, n), false, &value, &next, &why), 0);
    }
    assert_int_equal(pbjson_scan(slice_str(object), false, &value, &next, &why),
                     1);
    assert_int_equal(value.size, sizeof object - 1);
    /* a number alone ends with the stream only */
    assert_int_equal(pbjson_scan(slice_str("12"), false, &value, &next, &why),
                     0);
    assert_int_equal(pbjson_scan(slice_str("1e"), true, &value, &next, &why),
                     ERR_INVALID);
    assert_true(slice_eq_str(buf_slice(&why), "unexpected EOF"));
    buf_release(&why);
}

static void shows(const ProtobufCMessage *m, const char *text)
{
    size_t size = protobuf_c_message_get_packed_size(m);
    uint8_t *wire = mem_alloc(size + 1);
    protobuf_c_message_pack(m, wire);
    struct buf json = BUF_INIT(1 << 20);
    assert_int_equal(
        pbjson_from_proto(m->descriptor, slice_of(wire, size), &json), 0);
    buf_append_byte(&json, 0);
    assert_string_equal((char *)json.data, text);
    buf_release(&json);
    free(wire);
}

static void out(void **state)
{
    Pb__ResponseHeader header = PB__RESPONSE_HEADER__INIT;
    header.cluster_id = UINT64_MAX;
    header.revision = 5;
    Pb__KeyValue kv = PB__KEY_VALUE__INIT;
    kv.key = (ProtobufCBinaryData){3, (uint8_t *)(uintptr_t) "foo"};
    kv.mod_revision = 4;
    Pb__KeyValue *kvs[] = {&kv, &kv};
    Pb__RangeResponse r = PB__RANGE_RESPONSE__INIT;
    r.header = &header;
    r.n_kvs = 2;
    r.kvs = kvs;
    r.more = true;
    r.count = 9;
    shows(&r.base,
          "{\"header\":{\"cluster_id\":\"18446744073709551615\","
          "\"revision\":\"5\"},\"kvs\":[{\"key\":\"Zm9v\",\"mod_revision\":"
          "\"4\"},{\"key\":\"Zm9v\",\"mod_revision\":\"4\"}],\"more\":true,"
          "\"count\":\"9\"}");
    Pb__RangeResponse none = PB__RANGE_RESPONSE__INIT;
    Pb__ResponseHeader empty = PB__RESPONSE_HEADER__INIT;
    none.header = &empty;
    Pb__ResponseOp op = PB__RESPONSE_OP__INIT;
    op.response_case = PB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE;
    op.response_range = &none;
    Pb__ResponseOp *ops[] = {&op};
    Pb__TxnResponse t = PB__TXN_RESPONSE__INIT;
    t.n_responses = 1;
    t.responses = ops;
    shows(&t.base, "{\"responses\":[{\"response_range\":{\"header\":{}}}]}");
    Pb__AlarmMember alarm = PB__ALARM_MEMBER__INIT;
    alarm.memberid = 1;
    alarm.alarm = PB__ALARM_TYPE__NOSPACE;
    shows(&alarm.base, "{\"memberID\":\"1\",\"alarm\":\"NOSPACE\"}");
    alarm.alarm = (Pb__AlarmType)9;
    shows(&alarm.base, "{\"memberID\":\"1\",\"alarm\":9}");
    Pb__WatchCreateRequest__FilterType filters[] = {0, 1};
    Pb__WatchCreateRequest w = PB__WATCH_CREATE_REQUEST__INIT;
    w.n_filters = 2;
    w.filters = filters;
    shows(&w.base, "{\"filters\":[\"NOPUT\",\"NODELETE\"]}");
    Pb__HashKVResponse h = PB__HASH_KVRESPONSE__INIT;
    h.hash = UINT32_MAX;
    h.compact_revision = -1;
    shows(&h.base, "{\"hash\":4294967295,\"compact_revision\":\"-1\"}");
}

static void bad_wire(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } rows[] = {
        {"\x0a\x05", 2}, {"\x10\x01\x08\x01", 4}, {"\x08\x01\x08\x02", 4}};
    for (size_t i = 0; i < 3; i++) {
        struct buf json = BUF_INIT(4096);
        assert_int_equal(
            pbjson_from_proto(&pb__response_header__descriptor,
                              slice_of(rows[i].bytes, rows[i].size), &json),
            ERR_INVALID);
        buf_release(&json);
    }
    struct buf small = BUF_INIT(10);
    assert_int_equal(pbjson_from_proto(&pb__response_header__descriptor,
                                       slice_of("\x08\x01", 2), &small),
                     ERR_TOO_LARGE);
    buf_release(&small);
}

/* Whatever comes: no crash, and what is taken comes out and in again the
 * same. */
static void mutate(struct rng *rng, char *text, size_t size)
{
    static const char letters[] = "{}[]:,\"\\u0129eE.-+ntf \n\xff\xed\xa0_=/";
    for (uint64_t n = 1 + rng_below(rng, 4); n; n--) {
        text[rng_below(rng, size)] =
            letters[rng_below(rng, sizeof letters - 1)];
    }
}

static void check_round_trip(const ProtobufCMessageDescriptor *d,
                             struct slice wire)
{
    struct buf json = BUF_INIT(1 << 16), again = BUF_INIT(1 << 16),
               why = BUF_INIT(4096), twice = BUF_INIT(1 << 16);
    ProtobufCMessage *m =
        protobuf_c_message_unpack(d, NULL, wire.size, wire.data);
    assert_non_null(m); /* what we write is protobuf */
    size_t size = protobuf_c_message_get_packed_size(m);
    uint8_t *packed = mem_alloc(size + 1);
    protobuf_c_message_pack(m, packed);
    assert_int_equal(pbjson_from_proto(d, slice_of(packed, size), &json), 0);
    assert_int_equal(pbjson_to_proto(d, buf_slice(&json), &again, &why), 0);
    assert_int_equal(pbjson_from_proto(d, buf_slice(&again), &twice), 0);
    assert_true(slice_eq(buf_slice(&json), buf_slice(&twice)));
    protobuf_c_message_free_unpacked(m, NULL);
    free(packed);
    buf_release(&json);
    buf_release(&again);
    buf_release(&twice);
    buf_release(&why);
}

static void mutations(void **state)
{
    static const struct {
        const ProtobufCMessageDescriptor *d;
        const char *text;
    } seeds[] = {
        {&pb__range_request__descriptor,
         "{\"key\":\"Zm9v\",\"range_end\":\"Zm9w\",\"limit\":\"7\","
         "\"revision\":10,\"sort_order\":\"DESCEND\",\"keys_only\":true}"},
        {&pb__txn_request__descriptor,
         "{\"compare\":[{\"result\":\"EQUAL\",\"target\":\"MOD\",\"key\":"
         "\"YQ==\",\"mod_revision\":\"5\"}],\"success\":[{\"request_put\":"
         "{\"key\":\"YQ==\",\"value\":\"Yg==\"}},{\"request_txn\":{}}],"
         "\"failure\":[]}"},
        {&pb__member_update_request__descriptor,
         "{\"ID\":18446744073709551615,\"peerURLs\":[\"http://\\u00e9\","
         "\"\\ud83d\\ude00\"]}"},
        {&pb__watch_request__descriptor,
         "{\"create_request\":{\"key\":\"YQ\",\"filters\":[\"NOPUT\",1],"
         "\"watch_id\":-1e0}}"},
    };
    struct rng rng = {.state = 7};
    int taken = 0;
    for (int i = 0; i < 40000; i++) {
        size_t s = rng_below(&rng, sizeof seeds / sizeof *seeds);
        char text[512];
        size_t size = strlen(seeds[s].text);
        memcpy(text, seeds[s].text, size);
        mutate(&rng, text, size);
        size -= rng_below(&rng, 8) == 0 ? rng_below(&rng, size) : 0;
        char *exact = mem_dup(text, size); /* so that ASan sees its end */
        struct buf wire = BUF_INIT(1 << 16), why = BUF_INIT(4096);
        int err =
            pbjson_to_proto(seeds[s].d, slice_of(exact, size), &wire, &why);
        assert_true(err == 0 || err == ERR_INVALID);
        assert_true((err == 0) == (why.size == 0));
        if (err == 0) {
            taken++;
            check_round_trip(seeds[s].d, buf_slice(&wire));
        }
        buf_release(&wire);
        buf_release(&why);
        free(exact);
    }
    assert_in_range(taken, 1000, 39000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_in), cmocka_unit_test(spellings),
        cmocka_unit_test(enums),     cmocka_unit_test(canonical),
        cmocka_unit_test(errors),    cmocka_unit_test(strings),
        cmocka_unit_test(limits),    cmocka_unit_test(values_of_a_stream),
        cmocka_unit_test(out),       cmocka_unit_test(bad_wire),
        cmocka_unit_test(mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
