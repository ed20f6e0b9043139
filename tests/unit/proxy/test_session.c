#include "../test.h"

#include "proxy/session.h"

static struct session s;

static int setup(void **state)
{
    s = (struct session){0};
    return 0;
}

/* A lease of 9 s, asked for at `now`, the key put. */
static void hold(uint64_t now)
{
    assert_int_equal(session_next(&s, now), SESSION_GRANT);
    session_granted(&s, 7, 9, now);
    assert_int_equal(session_next(&s, now), SESSION_PUT);
    session_put_done(&s);
    assert_int_equal(s.state, SESSION_HELD);
}

static void test_kept_alive_at_a_third(void **state)
{
    hold(100000);
    assert_int_equal(s.lease, 7);
    assert_int_equal(session_next(&s, 100000), SESSION_WAIT);
    assert_int_equal(session_due_ms(&s), 103000);
    assert_int_equal(session_next(&s, 102999), SESSION_WAIT);
    assert_int_equal(session_next(&s, 103000), SESSION_RENEW);
    session_renewed(&s, 12, 103000);
    assert_int_equal(session_next(&s, 106999), SESSION_WAIT);
    assert_int_equal(session_next(&s, 107000), SESSION_RENEW);
    session_renewed(&s, 12, 107000);
    assert_int_equal(s.state, SESSION_HELD);
}

/* A renewal that fails is tried until the lease is over, then all anew. */
static void test_no_answer_until_it_is_over(void **state)
{
    hold(100000);
    uint64_t now = 103000;
    int tries = 0;
    while (now < 109000) {
        assert_int_equal(session_next(&s, now), SESSION_RENEW);
        session_failed(&s, false, now);
        assert_int_equal(session_next(&s, now), SESSION_WAIT);
        now = session_due_ms(&s);
        tries++;
    }
    assert_int_equal(tries, 12);
    assert_int_equal(session_next(&s, now), SESSION_LOST);
    assert_int_equal(s.lease, 0);
    hold(now); /* told once, and at once a new one */
}

static void test_member_knows_it_no_more(void **state)
{
    hold(100000);
    assert_int_equal(session_next(&s, 103000), SESSION_RENEW);
    session_renewed(&s, 0, 103000);
    assert_int_equal(session_next(&s, 103000), SESSION_LOST);
    hold(103000);
    /* Twice within a second: not so fast. */
    s.due_ms = 103100;
    assert_int_equal(session_next(&s, 103100), SESSION_RENEW);
    session_renewed(&s, -1, 103100);
    assert_int_equal(session_next(&s, 103100), SESSION_LOST);
    assert_int_equal(session_next(&s, 103100), SESSION_WAIT);
    assert_int_equal(session_due_ms(&s), 104000);
    hold(104000);
}

static void test_renewal_says_it_is_gone(void **state)
{
    hold(100000);
    assert_int_equal(session_next(&s, 103000), SESSION_RENEW);
    session_failed(&s, true, 103000);
    assert_int_equal(session_next(&s, 103000), SESSION_LOST);
    assert_int_equal(session_next(&s, 103000), SESSION_WAIT);
    hold(session_due_ms(&s));
}

static void test_pauses_grow(void **state)
{
    static const uint64_t pauses[] = {1000, 2000, 4000, 8000, 10000, 10000};
    uint64_t now = 50000;
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        assert_int_equal(session_next(&s, now), SESSION_GRANT);
        session_failed(&s, false, now);
        assert_int_equal(session_next(&s, now), SESSION_WAIT);
        assert_int_equal(session_due_ms(&s), now + pauses[i]);
        now = session_due_ms(&s);
    }
    hold(now);
    session_next(&s, now + 9000); /* lost: from the beginning */
    assert_int_equal(session_next(&s, now + 9000), SESSION_GRANT);
    session_failed(&s, false, now + 9000);
    assert_int_equal(session_due_ms(&s), now + 10000);
}

/* A put that fails is tried under the same lease while that lasts. */
static void test_put_fails(void **state)
{
    assert_int_equal(session_next(&s, 100000), SESSION_GRANT);
    session_granted(&s, 7, 4, 100000);
    assert_int_equal(session_next(&s, 100000), SESSION_PUT);
    session_failed(&s, false, 100000);
    assert_int_equal(session_due_ms(&s), 101000);
    assert_int_equal(session_next(&s, 101000), SESSION_PUT);
    session_failed(&s, false, 101000);
    assert_int_equal(session_next(&s, 103000), SESSION_PUT);
    session_failed(&s, false, 103000);
    assert_int_equal(session_due_ms(&s), 104000); /* its end is first */
    /* No key was there, so nothing is lost. */
    assert_int_equal(session_next(&s, 104000), SESSION_GRANT);
    session_granted(&s, 8, 4, 104000);
    assert_int_equal(session_next(&s, 104000), SESSION_PUT);
    session_failed(&s, true, 104000);
    assert_int_equal(s.state, SESSION_NONE);
    assert_true(session_due_ms(&s) >= 105000);
}

/* A late put: the renewal is due at once. */
static void test_put_takes_long(void **state)
{
    session_next(&s, 100000);
    session_granted(&s, 7, 9, 100000);
    assert_int_equal(session_next(&s, 106000), SESSION_PUT);
    session_put_done(&s);
    assert_int_equal(session_next(&s, 106000), SESSION_RENEW);
}

static void test_no_lease(void **state)
{
    session_next(&s, 100000);
    session_granted(&s, 0, 9, 100000);
    assert_int_equal(s.state, SESSION_NONE);
    assert_int_equal(session_due_ms(&s), 101000);
    session_next(&s, 101000);
    session_granted(&s, 7, 0, 101000);
    assert_int_equal(s.state, SESSION_NONE);
    assert_int_equal(session_due_ms(&s), 103000);
}

static void test_ask_time_has_bounds(void **state)
{
    assert_int_equal(session_ask_ms(&s), SESSION_ASK_MS_MAX);
    session_next(&s, 0);
    session_granted(&s, 7, 1, 0);
    assert_int_equal(session_ask_ms(&s), SESSION_ASK_MS_MIN);
    session_put_done(&s);
    session_renewed(&s, INT64_MAX, 0);
    assert_int_equal(session_ask_ms(&s), SESSION_ASK_MS_MAX);
    assert_int_equal(session_next(&s, 1), SESSION_WAIT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(test_kept_alive_at_a_third),
        TEST(test_no_answer_until_it_is_over),
        TEST(test_member_knows_it_no_more),
        TEST(test_renewal_says_it_is_gone),
        TEST(test_pauses_grow),
        TEST(test_put_fails),
        TEST(test_put_takes_long),
        TEST(test_no_lease),
        TEST(test_ask_time_has_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
