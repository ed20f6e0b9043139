#include "../test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/proto.h"
#include "proxy/registry.h"

static struct registry *registry;
static struct buf message;

static int setup(void **state)
{
    registry = registry_new();
    buf_init(&message, 16 << 20);
    return 0;
}

static int teardown(void **state)
{
    registry_free(registry);
    buf_release(&message);
    return 0;
}

/* ---- messages ---- */

static void add_kv(uint32_t field, struct slice key, struct slice value,
                   int64_t revision)
{
    size_t mark;
    proto_begin(&message, field, &mark);
    proto_add_bytes(&message, 1, key);
    proto_add_u64(&message, 3, (uint64_t)revision);
    proto_add_bytes(&message, 5, value);
    proto_end(&message, mark);
}

static void add_header(int64_t revision)
{
    size_t mark;
    proto_begin(&message, 1, &mark);
    proto_add_u64(&message, 3, (uint64_t)revision);
    proto_end(&message, mark);
}

static struct slice value_of(const char *address, const char *name)
{
    static struct buf value = BUF_INIT(8192);
    value.size = 0;
    assert_int_equal(registry_value(address, name, &value), 0);
    return buf_slice(&value);
}

/* A registration in a range. */
static void add(const char *key, const char *address, const char *name)
{
    add_kv(2, slice_str(key), value_of(address, name), 1);
}

static void add_event(const char *key, const char *value, int64_t revision)
{
    size_t mark;
    proto_begin(&message, 11, &mark);
    proto_add_u64(&message, 1, value == NULL);
    add_kv(2, slice_str(key), slice_str(value ? value : ""), revision);
    proto_end(&message, mark);
}

static int load(int64_t revision)
{
    add_header(revision);
    int err = registry_load(registry, buf_slice(&message));
    message.size = 0;
    return err;
}

static int watch(void)
{
    int err = registry_watch(registry, buf_slice(&message));
    message.size = 0;
    return err;
}

static void expect(const char *text)
{
    struct buf all = BUF_INIT(1 << 20);
    for (uint32_t i = 0; i < registry_count(registry); i++) {
        struct registry_entry e = registry_get(registry, i);
        buf_printf(&all, "%s=%s ", e.name, e.address);
    }
    buf_append_byte(&all, 0);
    assert_string_equal((const char *)all.data, text);
    buf_release(&all);
}

/* ---- tests ---- */

static void test_value(void **state)
{
    assert_true(slice_eq_str(value_of("127.0.0.1:23790", "host"),
                             "{\"Op\":0,\"Addr\":\"127.0.0.1:23790\","
                             "\"Metadata\":\"{\\\"name\\\":\\\"host\\\"}\"}"));
    struct buf small = BUF_INIT(10);
    assert_int_equal(registry_value("a:1", "host", &small), ERR_TOO_LARGE);
    assert_int_equal(small.size, 0);
}

static void test_load_sorts_and_replaces(void **state)
{
    add("p/b:1", "b:1", "hb");
    add("p/a:1", "a:1", "ha");
    assert_int_equal(load(7), 0);
    expect("ha=a:1 hb=b:1 ");
    assert_int_equal(registry_next(registry), 8);
    add("p/c:1", "c:1", "hc");
    assert_int_equal(load(9), 0);
    expect("hc=c:1 ");
    assert_int_equal(load(9), 0);
    expect("");
}

static void test_events(void **state)
{
    add("p/b:1", "b:1", "hb");
    assert_int_equal(load(7), 0);
    add_event("p/c:1", "{\"Op\":0,\"Addr\":\"c:1\"}", 8);
    add_event("p/a:1", "{\"Addr\":\"a:1\",\"Metadata\":null}", 9);
    assert_int_equal(watch(), 0);
    expect("=a:1 hb=b:1 =c:1 ");
    assert_int_equal(registry_next(registry), 10);
    add_event("p/b:1", NULL, 10);
    add_event("p/c:1", "{\"Addr\":\"c:2\"}", 11);
    assert_int_equal(watch(), 0);
    expect("=a:1 =c:2 ");
    /* What was told already, by another member. */
    add_event("p/a:1", NULL, 9);
    assert_int_equal(watch(), 0);
    expect("=a:1 =c:2 ");
    assert_int_equal(registry_next(registry), 12);
    add_event("p/none", NULL, 12);
    assert_int_equal(watch(), 0);
    expect("=a:1 =c:2 ");
    /* Several of one transaction. */
    add_event("p/a:1", NULL, 13);
    add_event("p/c:1", NULL, 13);
    assert_int_equal(watch(), 0);
    expect("");
}

static void test_strange_values(void **state)
{
    static const char *const left_out[] = {"",
                                           "x",
                                           "{}",
                                           "[]",
                                           "{\"Addr\":\"\"}",
                                           "{\"Addr\":5}",
                                           "{\"Addr\":\"a:1\"} more",
                                           "\"a:1\"",
                                           "{\"Addr\":\"a\\u0000\"}"};
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
        add_kv(2, slice_str("k"), slice_str(left_out[i]), 1);
        assert_int_equal(load(1), 0);
        expect("");
    }
    static const char *const nameless[] = {
        "{\"Addr\":\"a:1\",\"Metadata\":{\"name\":\"h\"}}",
        "{\"Addr\":\"a:1\",\"Metadata\":\"no json\"}",
        "{\"Addr\":\"a:1\",\"Metadata\":\"{\\\"name\\\":1}\"}",
        "{\"Addr\":\"a:1\",\"Metadata\":\"[]\"}"};
    for (size_t i = 0; i < sizeof nameless / sizeof *nameless; i++) {
        add_kv(2, slice_str("k"), slice_str(nameless[i]), 1);
        assert_int_equal(load(1), 0);
        expect("=a:1 ");
    }
    /* One that is overwritten with nonsense is not there any more. */
    add_event("k", "nonsense", 2);
    assert_int_equal(watch(), 0);
    expect("");
}

static void test_end_of_the_watch(void **state)
{
    add("p/b:1", "b:1", "hb");
    load(7);
    proto_add_u64(&message, 3, true);
    assert_int_equal(watch(), 0); /* created */
    proto_add_u64(&message, 4, true);
    proto_add_u64(&message, 5, 100);
    assert_int_equal(watch(), ERR_CANCELED);
    expect("hb=b:1 "); /* until it is loaded anew */
}

static void test_no_protobuf(void **state)
{
    add("p/b:1", "b:1", "hb");
    load(7);
    add("p/c:1", "c:1", "hc");
    buf_append_byte(&message, 0xff);
    assert_int_equal(registry_load(registry, buf_slice(&message)), ERR_INVALID);
    expect("hb=b:1 ");
    message.size = 0;
    proto_add_message(&message, 11, slice_str("\xff"));
    assert_int_equal(watch(), ERR_INVALID);
    proto_add_message(&message, 1, slice_str("\xff"));
    assert_int_equal(registry_load(registry, buf_slice(&message)), ERR_INVALID);
    expect("hb=b:1 ");
}

static void test_limits(void **state)
{
    char key[32];
    for (int i = 0; i < REGISTRY_COUNT_MAX + 10; i++) {
        snprintf(key, sizeof key, "p/%05d", (i * 7919) % 100000);
        add(key, key, "h");
    }
    assert_int_equal(load(1), 0);
    assert_int_equal(registry_count(registry), REGISTRY_COUNT_MAX);
    for (uint32_t i = 1; i < REGISTRY_COUNT_MAX; i++) {
        char before[32];
        snprintf(before, sizeof before, "%s",
                 registry_get(registry, i - 1).address);
        assert_true(strcmp(before, registry_get(registry, i).address) < 0);
    }
    /* One that is there may still change, and makes room when it goes. */
    add_event("p/00000", "{\"Addr\":\"other\"}", 2);
    assert_int_equal(watch(), 0);
    assert_string_equal(registry_get(registry, 0).address, "other");
    add_event("p/00000", NULL, 3);
    add_event("a", "{\"Addr\":\"new\"}", 4);
    assert_int_equal(watch(), 0);
    assert_int_equal(registry_count(registry), REGISTRY_COUNT_MAX);
    assert_string_equal(registry_get(registry, 0).address, "new");

    char *large = mem_alloc(REGISTRY_VALUE_BYTES_MAX + 1);
    memset(large, ' ', REGISTRY_VALUE_BYTES_MAX + 1);
    memcpy(large, "{\"Addr\":\"a:1\"}", 14);
    add_kv(2, slice_str("k"), slice_of(large, REGISTRY_VALUE_BYTES_MAX), 1);
    load(1);
    expect("=a:1 ");
    add_kv(2, slice_str("k"), slice_of(large, REGISTRY_VALUE_BYTES_MAX + 1), 1);
    load(1);
    expect("");
    add_kv(2, slice_of(large, REGISTRY_KEY_BYTES_MAX + 1),
           slice_str("{\"Addr\":\"a:1\"}"), 1);
    load(1);
    expect("");
    free(large);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_value),
        TEST(test_load_sorts_and_replaces),
        TEST(test_events),
        TEST(test_strange_values),
        TEST(test_end_of_the_watch),
        TEST(test_no_protobuf),
        TEST(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
