/* What a request may look like, and the answers to what it must not. */
#include "harness.h"

static void unknown_names(void **state)
{
    struct fixture *f = *state;
    static const char *const cases[][2] = {
        {"/foo.Bar/Baz", "unknown service foo.Bar"},
        {"/t.T/Nope", "unknown method Nope for service t.T"},
        {"/t.T/", "unknown method  for service t.T"},
        {"/t.T/Echo?x=1", "unknown method Echo?x=1 for service t.T"},
        {"/a/b/c", "unknown service a/b"},
        {"/t.T", "malformed method name: \"/t.T\""},
        {"t.T/Echo", "malformed method name: \"t.T/Echo\""},
        {"", "malformed method name: \"\""},
        {"/", "malformed method name: \"/\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct exchange x;
        begin(f, &x, cases[i][0]);
        message(&x, 0, "hello", 5);
        done(&x);
        run(f);
        assert_true(x.was_trailers_only);
        expect(&x, 200, 12, cases[i][1]);
    }
}

struct head_case {
    const char *headers[14];
    int http, status;
    const char *text;
};

static void header_checks(void **state)
{
    struct fixture *f = *state;
    static const struct head_case cases[] = {
        {{BASE}, 415, 3, "invalid gRPC request content-type \"\""},
        {{BASE, "content-type", "text/plain"},
         415,
         3,
         "invalid gRPC request content-type \"text/plain\""},
        {{BASE, "content-type", "application/grpcx"},
         415,
         3,
         "invalid gRPC request content-type \"application/grpcx\""},
        {{BASE, "content-type", "Application/grpc"},
         415,
         3,
         "invalid gRPC request content-type \"Application/grpc\""},
        {{BASE, "content-type", "a\tb\xff\"\xe2\x80\x8b\xc3\xa9"},
         415,
         3,
         "invalid gRPC request content-type \"a\\tb\\xff\\\"\\u200b%C3%A9\""},
        {{":method", "GET", ":path", "/t.T/Echo", TYPE},
         405,
         13,
         "Received a HEADERS frame with :method \"GET\" which should be "
         "POST"},
        {{":path", "/t.T/Echo", TYPE},
         405,
         13,
         "Received a HEADERS frame with :method \"\" which should be POST"},
        {{":method", "POST", TYPE}, 200, 12, "malformed method name: \"\""},
        {{BASE, TYPE, ":authority", "a", ":authority", "b"},
         400,
         13,
         "num values of :authority: 2, num values of host: 0, both must "
         "only have 1 value as per HTTP/2 spec"},
        {{BASE, TYPE, "grpc-timeout", "5x"},
         400,
         13,
         "malformed grpc-timeout: transport: timeout unit is not "
         "recognized: \"5x\""},
        {{BASE, TYPE, "grpc-timeout", "5"},
         400,
         13,
         "malformed grpc-timeout: transport: timeout string is too short: "
         "\"5\""},
        {{BASE, TYPE, "grpc-timeout", "123456789S"},
         400,
         13,
         "malformed grpc-timeout: transport: timeout string is too long: "
         "\"123456789S\""},
        {{BASE, TYPE, "grpc-timeout", "-1S"},
         400,
         13,
         "malformed grpc-timeout: strconv.ParseUint: parsing \"-1\": invalid "
         "syntax"},
        {{BASE, TYPE, "grpc-timeout", "0S"},
         200,
         4,
         "context deadline exceeded"},
        {{BASE, TYPE, "grpc-timeout", "1n"},
         200,
         4,
         "context deadline exceeded"},
        {{BASE, TYPE, "x-bin", "!!!!"},
         400,
         13,
         "malformed binary metadata \"!!!!\" in header \"x-bin\": illegal "
         "base64 data at input byte 0"},
        {{BASE, TYPE, "grpc-encoding", "snappy"},
         200,
         12,
         "grpc: Decompressor is not installed for grpc-encoding \"snappy\""},
        /* and what must pass */
        {{BASE, TYPE, ":authority", "a/b@c", "host", "d"}, 200, 0, ""},
        {{BASE, TYPE, "te", "gzip", "keep-alive", "1"}, 200, 0, ""},
        {{BASE, TYPE, "grpc-timeout", "99999999H"}, 200, 0, ""},
        {{BASE, TYPE, "x-bin", "YQ=="}, 200, 0, ""},
        {{BASE, TYPE, "x-bin", "YQ"}, 200, 0, ""},
        {{BASE, TYPE, "grpc-encoding", "identity"}, 200, 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct exchange x;
        begin_with(f, &x, cases[i].headers);
        message(&x, 0, "hello", 5);
        done(&x);
        run(f);
        assert_string_equal(x.type, "application/grpc");
        expect(&x, cases[i].http, cases[i].status, cases[i].text);
    }
}

static void malformed_heads_are_reset(void **state)
{
    struct fixture *f = *state;
    static const char *const cases[][12] = {
        {BASE, TYPE, "connection", "close"},
        {BASE, TYPE, "Upper", "x"},
        {BASE, TYPE, ":what", "x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct exchange x;
        begin_with(f, &x, cases[i]);
        message(&x, 0, "hello", 5);
        done(&x);
        run(f);
        assert_int_equal(x.code, NGHTTP2_PROTOCOL_ERROR);
        assert_int_equal(x.heads, 0);
    }
    assert_int_equal(f->messages, 0);
}

static void subtypes_are_echoed(void **state)
{
    struct fixture *f = *state;
    static const char *const cases[][2] = {
        {"application/grpc+proto", "application/grpc+proto"},
        {"application/grpc;x", "application/grpc+x"},
        {"application/grpc+", "application/grpc"},
    };
    for (size_t i = 0; i < 3; i++) {
        struct exchange x;
        const char *const headers[] = {BASE, "content-type", cases[i][0], NULL};
        begin_with(f, &x, headers);
        message(&x, 0, "hello", 5);
        done(&x);
        run(f);
        assert_string_equal(x.type, cases[i][1]);
        expect(&x, 200, 0, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unknown_names),
        TEST(header_checks),
        TEST(malformed_heads_are_reset),
        TEST(subtypes_are_echoed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
