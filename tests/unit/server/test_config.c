#include <stdlib.h>
#include <unistd.h>

#include "../test.h"
#include "base/err.h"
#include "base/log.h"
#include "server/config.h"

static struct config c;
static struct buf why;

static int setup(void **state)
{
    c = (struct config){0};
    buf_init(&why, 64 << 10);
    for (size_t i = 0; i < flag_count; i++) {
        assert_int_equal(
            flag_set(&c, &flag_table[i], flag_table[i].fallback, &why), 0);
    }
    assert_null(c.refused); /* no default is one that is refused */
    log_setup(LOG_LEVEL_FATAL, false, STDERR_FILENO);
    return 0;
}

static int teardown(void **state)
{
    config_release(&c);
    buf_release(&why);
    return 0;
}

static void set(const char *name, const char *value)
{
    const struct flag *f = flag_find(name, strlen(name));
    assert_non_null(f);
    assert_int_equal(flag_set(&c, f, value, &why), 0);
}

static void check_refused(const char *name, const char *value, const char *text)
{
    const struct flag *f = flag_find(name, strlen(name));
    assert_non_null(f);
    why.size = 0;
    assert_int_equal(flag_set(&c, f, value, &why), ERR_INVALID);
    buf_append_byte(&why, '\0');
    assert_string_equal((const char *)why.data, text);
}

static void check_verify(const char *text)
{
    why.size = 0;
    int err = config_verify(&c, &why);
    buf_append_byte(&why, '\0');
    assert_string_equal((const char *)why.data, text);
    assert_int_equal(err == 0, text[0] == '\0');
}

static void defaults_are_etcds(void **state)
{
    assert_string_equal(c.name, "default");
    assert_int_equal(c.heartbeat_interval_ms, 100);
    assert_int_equal(c.election_timeout_ms, 1000);
    assert_int_equal(c.max_request_bytes, 1572864);
    assert_int_equal(c.quota_backend_bytes, 2147483648);
    assert_int_equal(c.max_concurrent_streams, UINT32_MAX);
    assert_string_equal(c.listen_client_urls.urls[0], "http://localhost:2379");
    check_verify("");
}

static void zero_means_the_default(void **state)
{
    set("snapshot-count", "0");
    assert_int_equal(c.snapshot_count, 10000);
    set("quota-backend-bytes", "0");
    assert_int_equal(c.quota_backend_bytes, 2147483648);
    set("quota-backend-bytes", "-1");
    assert_int_equal(c.quota_backend_bytes, -1);
}

static void bad_values_say_why(void **state)
{
    check_refused("pre-vote", "yes", "parse error");
    check_refused("heartbeat-interval", "-1", "parse error");
    check_refused("heartbeat-interval", "", "parse error");
    check_refused("grpc-keepalive-interval", "5", "parse error");
    check_refused("max-concurrent-streams", "5000000000",
                  "strconv.ParseUint: parsing \"5000000000\": value out of "
                  "range");
    check_refused("initial-cluster-state", "old", "invalid value");
    check_refused("listen-client-urls", "127.0.0.1:2379",
                  "parse \"127.0.0.1:2379\": first path segment in URL "
                  "cannot contain colon");
    check_refused("listen-client-urls", "ftp://a:1",
                  "URL scheme must be http, https, unix, or unixs: ftp://a:1");
    check_refused("listen-client-urls", "http://a",
                  "URL address does not have the form \"host:port\": "
                  "http://a");
    check_refused("listen-client-urls", "http://a:1/x",
                  "URL must not contain a path: http://a:1/x");
}

static void urls_are_sorted_and_told_apart(void **state)
{
    set("initial-advertise-peer-urls",
        "http://b:2380, http://a:2380,http://b:2380");
    assert_int_equal(c.initial_advertise_peer_urls.count, 2);
    assert_string_equal(c.initial_advertise_peer_urls.urls[0], "http://a:2380");
    set("initial-advertise-peer-urls", "");
    assert_int_equal(c.initial_advertise_peer_urls.count, 2);
}

static void the_whole_is_checked_in_order(void **state)
{
    set("election-timeout", "400");
    check_verify("--election-timeout[400ms] should be at least as 5 times as "
                 "--heartbeat-interval[100ms]");
    set("election-timeout", "50001");
    check_verify("--election-timeout[50001ms] is too long, and should be set "
                 "less than 50000ms");
    set("heartbeat-interval", "0");
    check_verify("--heartbeat-interval must be >0 (set to 0ms)");
    set("listen-client-urls", "http://example.com:2379");
    check_verify("expected IP in URL for binding (http://example.com:2379)");
    set("log-format", "xml");
    check_verify("unknown log format: xml, supported values json, console");
}

static void a_listener_needs_its_address_told(void **state)
{
    set("listen-client-urls", "http://0.0.0.0:2379");
    c.listen_client_given = true;
    check_verify("--advertise-client-urls is required when "
                 "--listen-client-urls is set explicitly");
    c.advertise_client_given = true;
    check_verify("");
    set("advertise-client-urls", "http://:2379");
    check_verify("--advertise-client-urls \"http://:2379\" must be in the "
                 "format \"host:port\", \"unix:/path/to/socket\" or "
                 "\"unixs:/path/to/socket\" (unexpected empty host "
                 "(http://:2379))");
}

static void what_is_not_built_is_refused_by_name(void **state)
{
    set("cert-file", "");
    check_verify("");
    set("cert-file", "/a.pem");
    check_verify("--cert-file is not built into this version of cofre yet; "
                 "remove it");
}

static void check_file(const char *yaml, int want, const char *text)
{
    char name[] = "config.XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, yaml, strlen(yaml)), (ssize_t)strlen(yaml));
    close(fd);
    why.size = 0;
    assert_int_equal(config_read_file(&c, name, &why), want);
    unlink(name);
    buf_append_byte(&why, '\0');
    assert_non_null(strstr((const char *)why.data, text));
}

static void a_file_sets_flags(void **state)
{
    check_file("name: n7\n"
               "heartbeat-interval: 50\n"
               "grpc-keepalive-min-time: 3000000000\n"
               "listen-client-urls: http://127.0.0.1:1,http://127.0.0.1:2\n"
               "log-outputs: [stdout]\n"
               "unknown-key: 5\n"
               "peer-transport-security:\n  client-cert-auth: true\n",
               0, "");
    assert_string_equal(c.name, "n7");
    assert_int_equal(c.heartbeat_interval_ms, 50);
    assert_int_equal(c.grpc_keepalive_min_time_ns, 3000000000);
    assert_int_equal(c.listen_client_urls.count, 2);
    assert_string_equal(c.log_outputs, "stdout");
    assert_non_null(c.refused);
    assert_string_equal(c.refused->name, "peer-client-cert-auth");
}

static void a_bad_file_says_where(void **state)
{
    check_file("a: [1,\n", ERR_INVALID,
               "error converting YAML to JSON: yaml: line ");
    check_file("- a\n", ERR_INVALID, "not a map");
    check_file("heartbeat-interval: fast\n", ERR_INVALID, "heartbeat-interval");
    check_file("listen-peer-urls: nowhere\n", ERR_INVALID,
               "unexpected error setting up listen-peer-urls: URL scheme");
    why.size = 0;
    assert_int_equal(config_read_file(&c, "/nowhere/at/all", &why), ERR_IO);
}

static void gates_by_name_and_by_stage(void **state)
{
    set("feature-gates", "");
    assert_int_equal(c.gates, 0);
    set("feature-gates", "LeaseCheckpoint=true, CompactHashCheck=1,");
    assert_int_equal(c.gates, GATE_LEASE_CHECKPOINT | GATE_COMPACT_HASH_CHECK);
    check_verify("");
    set("feature-gates", "CompactHashCheck=true,CompactHashCheck=false");
    assert_int_equal(c.gates, 0);
    /* A gate by its name goes before its stage, in any order. */
    set("feature-gates", "InitialCorruptCheck=false,AllAlpha=true");
    assert_true(c.gates & GATE_COMPACT_HASH_CHECK);
    assert_false(c.gates & GATE_INITIAL_CORRUPT_CHECK);
    check_verify("the feature gate SetMemberLocalAddr is not built into this "
                 "version of cofre yet; remove it");
    set("feature-gates", "AllAlpha=true,SetMemberLocalAddr=false");
    check_verify("");
    set("feature-gates", "LeaseCheckpointPersist=true");
    check_verify("enabling feature gate LeaseCheckpointPersist requires "
                 "enabling feature gate LeaseCheckpoint");
    check_refused("feature-gates", "A=true", "unrecognized feature gate: A");
    check_refused("feature-gates", "LeaseCheckpoint",
                  "missing bool value for LeaseCheckpoint");
    check_refused("feature-gates", "LeaseCheckpoint=on",
                  "invalid value of LeaseCheckpoint=on, err: "
                  "strconv.ParseBool: parsing \"on\": invalid syntax");
    set("feature-gates", "");
    set("compact-hash-check-time", "0s");
    check_verify("--compact-hash-check-time must be >0 (set to 0s)");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(defaults_are_etcds),
        TEST(zero_means_the_default),
        TEST(bad_values_say_why),
        TEST(urls_are_sorted_and_told_apart),
        TEST(the_whole_is_checked_in_order),
        TEST(a_listener_needs_its_address_told),
        TEST(what_is_not_built_is_refused_by_name),
        TEST(a_file_sets_flags),
        TEST(a_bad_file_says_where),
        TEST(gates_by_name_and_by_stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
