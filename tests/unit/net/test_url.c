#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/net.h"

static void takes_member_urls(void **state)
{
    struct url u;
    assert_int_equal(url_parse("http://10.0.0.1:2379", &u), 0);
    assert_false(u.tls);
    assert_string_equal(u.address.host, "10.0.0.1");
    assert_int_equal(u.address.port, 2379);
    assert_string_equal(u.text, "http://10.0.0.1:2379");
    assert_int_equal(url_parse("  https://[::1]:1 ", &u), 0);
    assert_true(u.tls);
    assert_string_equal(u.address.host, "::1");
    assert_string_equal(u.text, "https://[::1]:1");
    assert_int_equal(url_parse("http://:0", &u), 0);
    assert_string_equal(u.address.host, "");
    assert_int_equal(url_parse("unixs://etcd:2379", &u), 0);
    assert_true(u.tls && u.is_unix);
    assert_string_equal(u.address.path, "etcd:2379");
    assert_int_equal(url_parse("unix:///run/x.sock", &u), 0);
    assert_string_equal(u.address.path, "/run/x.sock");
}

static void refuses_others(void **state)
{
    static const char *const bad[] = {
        "",
        "http://",
        "http://a",
        "http://a:b",
        "http://a:",
        "http://a:65536",
        "http://a:1/x",
        "http://a:1/",
        "ftp://a:1",
        "http://::1:1",
        "http://[::1:1",
        "http://a b:1",
        "a:1",
        "http://u@h:1",
        "http://a:-1",
        "http://a:1?x",
        "unix://",
        "http://[::1]x:1",
        "http://a:1 b",
        "HTTP//a:1",
        "http://a:123456789012345678901",
    };
    struct url u = {.text = "kept"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (url_parse(bad[i], &u) != ERR_INVALID) {
            fail_msg("took \"%s\"", bad[i]);
        }
    }
    assert_string_equal(u.text, "kept");
}

static void knows_its_limits(void **state)
{
    char text[700];
    struct url u;
    for (size_t n = 250; n < 260; n++) {
        memset(text, 'h', sizeof text);
        memcpy(text, "http://", 7);
        strcpy(text + 7 + n, ":1");
        assert_int_equal(url_parse(text, &u), n < 256 ? 0 : ERR_INVALID);
    }
    for (size_t n = 104; n < 112; n++) {
        memset(text, 'p', sizeof text);
        memcpy(text, "unix://", 7);
        text[7 + n] = 0;
        assert_int_equal(url_parse(text, &u), n < 108 ? 0 : ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_member_urls),
        cmocka_unit_test(refuses_others),
        cmocka_unit_test(knows_its_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
