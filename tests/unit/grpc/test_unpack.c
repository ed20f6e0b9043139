/* grpc_unpack() on a message type that contains itself. */
#include "harness.h"

struct node {
    ProtobufCMessage base;
    struct node *child;
    char *text;
};

static const ProtobufCMessageDescriptor node_type;

static const ProtobufCFieldDescriptor fields[] = {
    {.name = "child",
     .id = 1,
     .label = PROTOBUF_C_LABEL_OPTIONAL,
     .type = PROTOBUF_C_TYPE_MESSAGE,
     .offset = offsetof(struct node, child),
     .descriptor = &node_type},
    {.name = "text",
     .id = 2,
     .label = PROTOBUF_C_LABEL_NONE,
     .type = PROTOBUF_C_TYPE_STRING,
     .offset = offsetof(struct node, text),
     .default_value = &protobuf_c_empty_string},
};
static const unsigned by_name[] = {0, 1};
static const ProtobufCIntRange ranges[] = {{1, 0}, {0, 2}};

static void node_init(ProtobufCMessage *m)
{
    struct node *n = (struct node *)m;
    *n = (struct node){.base = PROTOBUF_C_MESSAGE_INIT(&node_type),
                       .text = (char *)(uintptr_t)protobuf_c_empty_string};
}

static const ProtobufCMessageDescriptor node_type = {
    .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
    .name = "t.Node",
    .short_name = "Node",
    .c_name = "Node",
    .package_name = "t",
    .sizeof_message = sizeof(struct node),
    .n_fields = 2,
    .fields = fields,
    .fields_sorted_by_name = by_name,
    .n_field_ranges = 1,
    .field_ranges = ranges,
    .message_init = node_init,
};

static int depth;

static void unpack(struct grpc_call *c, struct slice m)
{
    struct node *n = grpc_unpack(c, &node_type, m);
    depth = -1;
    if (n) {
        depth = 0;
        for (struct node *it = n->child; it; it = it->child) {
            depth++;
        }
        grpc_reply(c, &n->base);
    }
    assert_int_equal(grpc_call_alive(c), false);
}

static size_t varint(uint8_t *to, size_t n)
{
    size_t i = 0;
    for (; n >= 0x80; n >>= 7) {
        to[i++] = (uint8_t)(n | 0x80);
    }
    to[i++] = (uint8_t)n;
    return i;
}

/* `levels` messages in one another, the innermost empty. */
static struct buf nested(int levels)
{
    struct buf b = BUF_INIT(4 << 20);
    for (int i = 0; i < levels; i++) {
        uint8_t head[8] = {1 << 3 | 2};
        size_t size = 1 + varint(head + 1, b.size);
        buf_reserve(&b, size);
        memmove(b.data + size, b.data, b.size);
        memcpy(b.data, head, size);
        b.size += size;
    }
    return b;
}

static void send_nested(struct fixture *f, struct exchange *x, int levels)
{
    struct buf b = nested(levels);
    custom = unpack;
    begin(f, x, "/t.T/Custom");
    message(x, 0, b.data, b.size);
    done(x);
    run(f);
    buf_release(&b);
}

static const char bad_wire[] =
    "grpc: error unmarshalling request: proto:%C2%A0cannot parse invalid "
    "wire-format data";

static void nesting_has_a_limit(void **state)
{
    struct fixture *f = *state;
    for (int levels = 298; levels <= 302; levels++) {
        struct exchange x;
        send_nested(f, &x, levels);
        if (levels <= 300) {
            assert_int_equal(depth, levels);
            expect(&x, 200, 0, "");
        } else {
            assert_int_equal(depth, -1);
            expect(&x, 200, 13, bad_wire);
        }
    }
    struct exchange x; /* deep enough to end any stack */
    send_nested(f, &x, 20000);
    expect(&x, 200, 13, bad_wire);
}

static void bad_bytes_are_refused(void **state)
{
    static const char *const cases[][2] = {
        {"\x0a\x05\x01", bad_wire},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", bad_wire},
        {"\x12\x02\xc3\x28", "grpc: error unmarshalling request: string field "
                             "contains invalid UTF-8"},
        {"\x0a\x04\x12\x02\xc3\x28",
         "grpc: error unmarshalling request: string field "
         "contains invalid UTF-8"},
    };
    struct fixture *f = *state;
    struct exchange x;
    custom = unpack;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(f, &x, "/t.T/Custom");
        message(&x, 0, cases[i][0], strlen(cases[i][0]));
        done(&x);
        run(f);
        expect(&x, 200, 13, cases[i][1]);
    }
    begin(f, &x, "/t.T/Custom");
    message(&x, 0, "\x12\x02\xc3\xbc\x18\x01", 6); /* and a field unknown */
    done(&x);
    run(f);
    assert_memory_equal(x.body.data + 5, "\x12\x02\xc3\xbc", 4);
    expect(&x, 200, 0, "");
    begin(f, &x, "/t.T/CustomStream");
    message(&x, 0, "\x0a\x05\x01", 3);
    run(f);
    expect(&x, 200, 13,
           "grpc: failed to unmarshal the received message: proto:%C2%A0"
           "cannot parse invalid wire-format data");
}

static struct arena *scratch_of;
static int stream_messages;

static void unpack_many(struct grpc_call *c, struct slice m)
{
    assert_non_null(grpc_unpack(c, &node_type, m));
    scratch_of = grpc_call_arena(c);
    stream_messages++;
}

/* A stream that lives for months must not grow with its messages. */
static void streams_do_not_grow(void **state)
{
    struct fixture *f = *state;
    struct exchange x;
    custom = unpack_many;
    begin(f, &x, "/t.T/CustomStream");
    for (int i = 0; i < 5000; i++) {
        message(&x, 0, "\x12\x08testtest", 10);
    }
    WAIT_FOR(f, stream_messages == 5000);
    assert_true(scratch_of->used < 4096);
    done(&x);
    run(f);
    expect(&x, 200, 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nesting_has_a_limit),
        TEST(bad_bytes_are_refused),
        TEST(streams_do_not_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
