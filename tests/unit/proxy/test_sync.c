#include "../test.h"

#include <stdio.h>

#include "base/err.h"
#include "proto/proto.h"
#include "proxy/sync.h"

static struct buf message = BUF_INIT(1 << 20);
static struct sync_list list;

/* `urls`: NULL ends them. */
static void add(const char *name, bool is_learner, const char *const *urls)
{
    size_t mark;
    proto_begin(&message, 2, &mark);
    proto_add_u64(&message, 1, 77);
    proto_add_bytes(&message, 2, slice_str(name));
    proto_add_bytes(&message, 3, slice_str("http://peer:2380"));
    for (; *urls; urls++) {
        proto_add_message(&message, 4, slice_str(*urls));
    }
    proto_add_u64(&message, 5, is_learner);
    proto_end(&message, mark);
}

#define URLS(...) ((const char *const[]){__VA_ARGS__, NULL})

static int read_all(void)
{
    int err = sync_read(buf_slice(&message), &list);
    buf_release(&message);
    return err;
}

static void expect(const char *text)
{
    char all[512] = "";
    size_t size = 0;
    for (uint32_t i = 0; i < list.count; i++) {
        size += (size_t)snprintf(all + size, sizeof all - size, "%s%s:%u ",
                                 list.addresses[i].path, list.addresses[i].host,
                                 list.addresses[i].port);
    }
    assert_string_equal(all, text);
}

static void test_who_counts(void **state)
{
    add("m1", false, URLS("http://a:1", "http://b:2"));
    add("", false, URLS("http://not-started:1"));
    add("m3", true, URLS("http://learner:1"));
    add("m4", false, URLS("http://[::1]:4"));
    add("m5", false, URLS("unix://sock"));
    assert_int_equal(read_all(), 0);
    expect("a:1 b:2 ::1:4 sock:0 ");
    assert_int_equal(list.tls_count + list.left_count, 0);
}

static void test_what_is_left_out(void **state)
{
    add("m1", false, URLS("https://a:1", "http://b:2", "unixs://c"));
    add("m2", false, URLS("", "http://", "nonsense", "ftp://x:1", "http://:9"));
    assert_int_equal(read_all(), 0);
    expect("b:2 localhost:9 ");
    assert_int_equal(list.tls_count, 2);
    assert_int_equal(list.left_count, 4);
    assert_int_equal(read_all(), 0); /* of nothing */
    assert_int_equal(list.count + list.tls_count + list.left_count, 0);
}

static void test_limits(void **state)
{
    for (int i = 0; i < UPSTREAM_ENDPOINTS_MAX + 3; i++) {
        char url[32];
        snprintf(url, sizeof url, "http://h:%d", i + 1);
        add("m", false, URLS(url));
    }
    assert_int_equal(read_all(), 0);
    assert_int_equal(list.count, UPSTREAM_ENDPOINTS_MAX);
    assert_int_equal(list.left_count, 3);
    buf_append_byte(&message, 0xff);
    assert_int_equal(read_all(), ERR_INVALID);
    proto_add_message(&message, 2, slice_str("\xff"));
    assert_int_equal(read_all(), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_counts),
        cmocka_unit_test(test_what_is_left_out),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
