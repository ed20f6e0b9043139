#include "pair.h"

static int fetched_err, fetched_status;
static char fetched_body[256], fetched_cluster[64];
static uint32_t fetched;
static uint64_t timeout_ms; /* of the next fetches */

static void on_fetched(void *ctx, int err, int status, const char *cluster_id,
                       struct slice body)
{
    fetched++;
    fetched_err = err;
    fetched_status = status;
    snprintf(fetched_body, sizeof fetched_body, "%.*s", (int)body.size,
             (const char *)body.data);
    snprintf(fetched_cluster, sizeof fetched_cluster, "%s", cluster_id);
}

static bool has_fetched(void)
{
    return fetched > 0;
}

static void fetch(const char *text, const char *method, const char *path,
                  const char *body)
{
    struct url url;
    assert_int_equal(url_parse(text, &url), 0);
    fetched = 0;
    peer_fetch(loop, &url, method, path, body ? "text/x" : NULL,
               slice_str(body ? body : ""), timeout_ms, on_fetched, NULL);
    assert_int_equal(fetched, 0);
    wait_for(has_fetched);
}

static void test_fetch(void **state)
{
    timeout_ms = 4000;
    fetch(b.url, "GET", "/members", NULL);
    assert_int_equal(fetched_status, 200);
    assert_string_equal(fetched_body, "[]\n");
    assert_string_equal(fetched_cluster, "c1");
    fetch(b.url, "POST", "/leases", "abc");
    assert_string_equal(fetched_body, "POST /leases  abc");
    fetch(b.url, "GET", "/raft/nothing", NULL);
    assert_int_equal(fetched_status, 404);
    fetch("http://127.0.0.1:1", "GET", "/members", NULL);
    assert_int_equal(fetched_status, 0);
    assert_int_equal(fetched_err, ERR_REFUSED);
    fetch("https://127.0.0.1:1", "GET", "/members", NULL);
    assert_int_equal(fetched_err, ERR_UNSUPPORTED);
    b.holds_answers = true;
    timeout_ms = 300; /* in vain */
    fetch(b.url, "POST", "/leases", "abc");
    assert_int_equal(fetched_err, ERR_TIMEOUT);
    came_within(never, 20);
    peer_answer(b.held, 200, NULL, slice_str("too late"));
}

static void answer_held(void *ctx)
{
    if (b.held) {
        uint8_t *body = mem_zalloc(*(size_t *)ctx);
        peer_answer(b.held, 200, NULL, slice_of(body, *(size_t *)ctx));
        b.held = NULL;
        free(body);
    }
}

static void test_fetch_limit(void **state)
{
    timeout_ms = 30000; /* 16 MiB on a busy machine */
    b.holds_answers = true;
    for (int more = -1; more <= 1; more++) {
        size_t size = (size_t)(PEER_FETCH_BYTES_MAX + more);
        struct timer *t = timer_new(loop, answer_held, &size);
        timer_start(t, 1, 1);
        fetch(b.url, "POST", "/leases", "abc");
        timer_free(t);
        assert_int_equal(fetched_err, more <= 0 ? 0 : ERR_TOO_LARGE);
    }
}

static void test_fetch_field(void **state)
{
    struct url url;
    assert_int_equal(url_parse(b.url, &url), 0);
    fetched = 0;
    struct peer_exchange *x =
        peer_fetch(loop, &url, "POST", "/members/promote/5", NULL,
                   slice_str(""), 500, on_fetched, NULL);
    assert_int_equal(peer_fetch_field(x, "Authorization", "a\r\nX: y"),
                     ERR_INVALID);
    assert_int_equal(peer_fetch_field(x, "A:b", "x"), ERR_INVALID);
    assert_int_equal(peer_fetch_field(x, "Authorization", "tok.1"), 0);
    wait_for(has_fetched);
    assert_string_equal(fetched_body, "POST /members/promote/5 tok.1 ");
}

static void test_fetch_cancel(void **state)
{
    struct url url;
    assert_int_equal(url_parse(b.url, &url), 0);
    fetched = 0;
    b.holds_answers = true;
    struct peer_exchange *x = peer_fetch(loop, &url, "POST", "/leases", NULL,
                                         slice_str(""), 500, on_fetched, NULL);
    came_within(never, 50);
    peer_fetch_cancel(x);
    x = peer_fetch(loop, &url, "POST", "/leases", NULL, slice_str(""), 500,
                   on_fetched, NULL);
    peer_fetch_cancel(x);
    came_within(never, 50);
    assert_int_equal(fetched, 0);
    peer_answer(b.held, 200, NULL, slice_str("too late"));
}

#define pair_test(f) \
    cmocka_unit_test_setup_teardown(f, pair_setup, pair_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        pair_test(test_fetch),
        pair_test(test_fetch_limit),
        pair_test(test_fetch_field),
        pair_test(test_fetch_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
