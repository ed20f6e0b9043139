/* Watches that share: join, move together, drop, go on after a loss. */
#include "watchers.h"

/* ---- joining and moving together ---- */

static void test_pending_create_is_shared(void **state)
{
    watch(&a, "k", 0);
    watch(&b, "k", 0);
    sent(0, "+1 k@0");
    created(1, 10);
    told(&a, "0+");
    told(&b, "0+");
    event(1, "k", 11);
    told(&a, "0,k@11");
    told(&b, "0,k@11");
    assert_int_equal(stats().coalesced, 1);
    assert_int_equal(stats().events_coalesced, 1);
}

static void test_second_from_now_moves_in(void **state)
{
    watch(&a, "k", 0);
    created(1, 10);
    watch(&b, "k", 0);
    sent(0, "+1 k@0 +2 k@0");
    created(2, 12);
    told(&b, "0+");
    sent(0, "-2");
    assert_int_equal(stats().broadcasts, 1);
    event(2, "k", 13); /* was on its way: of one that is gone */
    event(1, "k", 12); /* the second began after it */
    event(1, "k", 13);
    told(&a, "0+ 0,k@12 0,k@13");
    told(&b, "0,k@13");
}

/* From where the first one is, or later: no watch upstream at all. */
static void test_joins_at_or_after_its_next(void **state)
{
    watch(&a, "k", 0);
    created(1, 10);
    sent(0, "+1 k@0");
    watch(&b, "k", 11);
    watch(&b, "k", 15);
    sent(0, "");
    told(&b, "0+ 1+");
    event(1, "k", 14);
    told(&b, "0,k@14");
    event(1, "k", 15);
    told(&b, "0,k@15 1,k@15");
}

static void test_past_catches_up_alone_then_moves_in(void **state)
{
    watch(&a, "k", 0);
    created(1, 10);
    told(&a, "0+");
    watch(&b, "k", 5);
    sent(0, "+1 k@0 +2 k@5");
    created(2, 10);
    events(2, "k", 5, 2, 10); /* history, not yet at its end */
    sent(0, "");
    told(&b, "0+ 0,k@5,k@6");
    assert_int_equal(stats().broadcasts, 2);
    event(1, "k", 11);
    event(2, "k", 11);
    sent(0, "-2");
    told(&a, "0,k@11");
    told(&b, "0,k@11");
    assert_int_equal(stats().broadcasts, 1);
}

static void test_other_ranges_do_not_share(void **state)
{
    Pb__WatchCreateRequest create = PB__WATCH_CREATE_REQUEST__INIT;
    create.range_end = (ProtobufCBinaryData){1, (uint8_t *)(uintptr_t) "l"};
    watch(&a, "k", 0);
    watch_as(&b, &create, "k", 0);
    watch(&b, "j", 0);
    sent(0, "+1 k@0 +2 k@0 +3 j@0");
}

static void test_each_gets_what_it_asked(void **state)
{
    Pb__WatchCreateRequest filtered = PB__WATCH_CREATE_REQUEST__INIT;
    Pb__WatchCreateRequest__FilterType no_put[] = {
        PB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT};
    filtered.filters = no_put;
    filtered.n_filters = 1;
    filtered.prev_kv = true;
    filtered.progress_notify = true;
    watch(&a, "k", 0);
    watch_as(&b, &filtered, "k", 0);
    created(1, 10);
    event(1, "k", 11);
    event(1, "-k", 12);
    progress(1, 20);
    told(&a, "0+ 0,k@11 0,-k@12");
    told(&b, "0+ 0,-k@12p 0");
    Pb__WatchCreateRequest no_delete = PB__WATCH_CREATE_REQUEST__INIT;
    no_put[0] = PB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
    no_delete.filters = no_put;
    no_delete.n_filters = 1;
    watch_as(&b, &no_delete, "k", 21);
    event(1, "-k", 21);
    event(1, "k", 22);
    told(&b, "1+ 0,-k@21p 1,k@22");
}

static void test_fragments(void **state)
{
    Pb__WatchCreateRequest create = PB__WATCH_CREATE_REQUEST__INIT;
    create.fragment = true;
    watch(&a, "a-long-key-of-some-bytes", 0);
    watch_as(&b, &create, "a-long-key-of-some-bytes", 0);
    created(1, 10);
    events(1, "a-long-key-of-some-bytes", 11, 3, 13);
    told(&a, "0+ 0,a-long-key-of-some-bytes@11,a-long-key-of-some-bytes@12,"
             "a-long-key-of-some-bytes@13");
    told(&b, "0+ 0,a-long-key-of-some-bytes@11,more "
             "0,a-long-key-of-some-bytes@12,more "
             "0,a-long-key-of-some-bytes@13");
}

/* ---- who asks ---- */

static void test_tokens_do_not_share(void **state)
{
    open_client(&c, "root", false);
    assert_int_equal(link_count, 2);
    member_up(1);
    watch(&a, "k", 0);
    watch(&c, "k", 0);
    sent(0, "+1 k@0");
    sent(1, "+1 k@0");
    event(1, "k", 11);
    told(&c, "");
    hub_stream_free(c.stream);
    assert_false(links[1].is_open);
}

/* With a token each watcher is judged by a member before it moves in. */
static void test_token_is_judged(void **state)
{
    hub_stream_free(a.stream);
    open_client(&a, "user", false);
    open_client(&c, "user", false);
    assert_int_equal(link_count, 2);
    member_up(1);
    watch(&a, "k", 0);
    Pb__WatchResponse r = PB__WATCH_RESPONSE__INIT;
    r.watch_id = 1;
    r.created = true;
    answer(1, &r, 10);
    watch(&c, "k", 11);
    sent(1, "+1 k@0 +2 k@11");
    told(&c, "");
    r.watch_id = -1;
    r.canceled = true;
    r.cancel_reason = (char *)(uintptr_t) "permission denied";
    answer(1, &r, 10);
    told(&c, "-1+x,permission denied");
    told(&a, "0+");
    assert_int_equal(stats().watchers, 1);
    hub_stream_free(c.stream);
}

static void test_refused(void **state)
{
    Pb__WatchResponse r = PB__WATCH_RESPONSE__INIT;
    watch(&a, "k", -1);
    watch(&b, "j", 0);
    r.watch_id = -1;
    r.created = r.canceled = true;
    r.cancel_reason = (char *)(uintptr_t) "compacted";
    answer(0, &r, 10);
    told(&a, "-1+x,compacted");
    created(2, 10);
    told(&b, "0+");
}

static void test_ids(void **state)
{
    Pb__WatchCreateRequest create = PB__WATCH_CREATE_REQUEST__INIT;
    create.watch_id = 1;
    watch_as(&a, &create, "k", 5);
    watch(&a, "k", 5);
    watch(&a, "k", 5);                    /* 1 is taken */
    for (int64_t id = 1; id <= 3; id++) { /* answered in order, one each */
        created(id, 10);
    }
    told(&a, "1+ 0+ 2+");
    watch_as(&a, &create, "k", 5);
    told(&a, "-1+x,mvcc: duplicate watch ID provided on the WatchStream");
    create.range_end = (ProtobufCBinaryData){1, (uint8_t *)(uintptr_t) "a"};
    watch_as(&a, &create, "k", 5); /* nothing is between k and a */
    told(&a, "");                  /* a member has the word */
    cancel(&a, 1);
    told(&a, "1x");
    cancel(&a, 1);
    told(&a, "");
}

/* A refused create takes no id; clients are answered in their order, though
 * the second could have been answered at once. */
static void test_order_of_answers(void **state)
{
    Pb__WatchResponse r = PB__WATCH_RESPONSE__INIT;
    watch(&b, "k", 0);
    created(1, 10);
    watch(&a, "j", -1);
    watch(&a, "k", 11);
    sent(0, "+1 k@0 +2 j@-1 +3 k@11");
    told(&a, "");
    r.watch_id = -1;
    r.created = r.canceled = true;
    answer(0, &r, 10);
    created(3, 10);
    told(&a, "-1+x 0+");
    sent(0, "-3");
}

/* ---- dropping ---- */

static void test_last_one_cancels_upstream(void **state)
{
    watch(&a, "k", 0);
    watch(&b, "k", 0);
    created(1, 10);
    sent(0, "+1 k@0");
    cancel(&a, 0);
    sent(0, "");
    cancel(&b, 0);
    sent(0, "-1");
    assert_int_equal(stats().broadcasts, 0);
    event(1, "k", 11);
    told(&a, "0+ 0x");
    told(&b, "0+ 0x");
}

static void test_left_before_it_is_created(void **state)
{
    Pb__WatchCreateRequest create = PB__WATCH_CREATE_REQUEST__INIT;
    create.watch_id = 7;
    watch_as(&a, &create, "k", 0);
    cancel(&a, 7);
    sent(0, "+1 k@0"); /* answers come in order, so it is awaited */
    created(1, 10);
    sent(0, "-1");
    told(&a, "7x");
}

/* All are told; the next one asks upstream anew, and is told the same. */
static void test_compacted(void **state)
{
    Pb__WatchResponse r = PB__WATCH_RESPONSE__INIT;
    for (int64_t id = 1; id <= 2; id++) {
        watch(&a, "k", 3);
        watch(&b, "k", 3);
        created(id, 10);
        r.watch_id = id;
        r.canceled = true;
        r.compact_revision = 7;
        answer(0, &r, 0);
    }
    told(&a, "0+ 0x,compact=7 1+ 1x,compact=7");
    told(&b, "0+ 0x,compact=7 1+ 1x,compact=7");
    sent(0, "+1 k@3 +2 k@3");
    assert_int_equal(stats().watchers, 0);
}

/* ---- loss ---- */

static void test_lost_link_goes_on(void **state)
{
    watch(&a, "k", 0);
    created(1, 10);
    event(1, "k", 12);
    watch(&b, "j", 0);
    told(&a, "0+ 0,k@12");
    assert_true(member_down(0, GRPC_UNAVAILABLE, "lost"));
    watch(&b, "i", 4);
    sent(0, "");
    member_up(0);
    sent(0, "+3 k@13 +4 j@0 +5 i@4");
    created(3, 20);
    created(4, 20);
    created(5, 20);
    event(3, "k", 15);
    told(&a, "0,k@15"); /* no second "created" */
    told(&b, "0+ 1+");
}

/* Created, but nothing seen: it goes on from where it was created. */
static void test_lost_before_an_event(void **state)
{
    watch(&a, "k", 0);
    created(1, 10);
    member_down(0, GRPC_INTERNAL, "lost");
    member_up(0);
    sent(0, "+2 k@11");
}

static void test_no_leader(void **state)
{
    open_client(&c, "", true);
    member_up(1);
    watch(&a, "k", 0);
    watch(&c, "k", 0);
    assert_false(member_down(1, GRPC_UNAVAILABLE, "etcdserver: no leader"));
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.code, GRPC_UNAVAILABLE);
    watch(&c, "k", 0); /* after its end: nothing */
    assert_int_equal(a.ended, 0);
    hub_stream_free(c.stream);
    assert_false(member_down(0, GRPC_UNAUTHENTICATED, "invalid auth token"));
    assert_int_equal(a.code, GRPC_UNAUTHENTICATED);
    assert_int_equal(b.ended, 1);
}

/* ---- slow readers ---- */

static void test_slow_reader_comes_back(void **state)
{
    watch(&a, "k", 0);
    watch(&b, "k", 0);
    created(1, 10);
    b.is_slow = true;
    event(1, "k", 11);
    event(1, "k", 12);
    told(&a, "0+ 0,k@11 0,k@12");
    told(&b, "0+ 0,k@11"); /* and no more until it has read */
    b.is_slow = false;
    sent(0, "+1 k@0");
    hub_stream_resume(b.stream);
    sent(0, "+2 k@12");
    created(2, 12);
    event(2, "k", 12);
    sent(0, "-2");
    event(1, "k", 13);
    told(&a, "0,k@13");
    told(&b, "0,k@12 0,k@13");
}

static void test_slow_reader_alone(void **state)
{
    watch(&a, "k", 0);
    created(1, 10);
    sent(0, "+1 k@0");
    a.is_slow = true;
    event(1, "k", 11);
    sent(0, "-1");
    watch(&a, "j", 0); /* waits too */
    sent(0, "");
    a.is_slow = false;
    hub_stream_resume(a.stream);
    sent(0, "+2 k@12 +3 j@0");
}

/* ---- progress ---- */

static void test_progress_on_demand(void **state)
{
    ask_progress(&a); /* no watcher: silence */
    watch(&a, "k", 0);
    sent(0, "+1 k@0");
    ask_progress(&a);
    sent(0, "?");
    progress(-1, 9); /* it is not even created */
    told(&a, "");
    created(1, 10);
    progress(-1, 10);
    told(&a, "0+ -1");
    progress(-1, 10); /* answered already */
    told(&a, "");
    told(&b, "");
    watch(&a, "k", 30); /* begins later: not to be promised anything */
    told(&a, "1+");
    ask_progress(&a);
    progress(-1, 11);
    told(&a, "");
}

/* One that begins in the future would keep a member from promising anything
 * to the others on the link: it waits in a watch from the present on. */
static void test_future_is_in_nobodys_way(void **state)
{
    watch(&a, "k", 100);
    created(1, 10);
    sent(0, "+1 k@100 +2 k@0");
    assert_int_equal(stats().coalesced, 0);
    watch(&b, "k", 0); /* shares the one that is on its way */
    created(2, 12);
    sent(0, "-1");
    told(&a, "0+");
    told(&b, "0+");
    event(2, "k", 99);
    event(2, "k", 100);
    told(&a, "0,k@100");
    told(&b, "0,k@99 0,k@100");
    /* Too late: the future has come meanwhile. */
    watch(&a, "j", 101);
    created(3, 100);
    event(3, "j", 101);
    created(4, 101);
    sent(0, "+3 j@101 +4 j@0 -4");
    told(&a, "1+ 1,j@101");
}

/* ---- the namespace, bad input ---- */

static void test_name_space(void **state)
{
    begin("ns/");
    member_up(0);
    watch(&a, "k", 0);
    sent(0, "+1 ns/k@0");
    created(1, 10);
    event(1, "ns/k", 11);
    told(&a, "0+ 0,k@11");
    finish();
}

static void test_malformed(void **state)
{
    assert_int_equal(hub_stream_message(a.stream, slice_str("\x0a\x05")),
                     ERR_INVALID);
    assert_int_equal(
        hub_stream_message(a.stream, slice_str("\x0a\x03\x2a\x01\x80")),
        ERR_INVALID);
    assert_int_equal(hub_stream_message(a.stream, slice_of(NULL, 0)), 0);
    links[0].handler.message(links[0].ctx, slice_str("\xff"));
    told(&a, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_pending_create_is_shared),
        TEST(test_second_from_now_moves_in),
        TEST(test_joins_at_or_after_its_next),
        TEST(test_past_catches_up_alone_then_moves_in),
        TEST(test_other_ranges_do_not_share),
        TEST(test_each_gets_what_it_asked),
        TEST(test_fragments),
        TEST(test_tokens_do_not_share),
        TEST(test_token_is_judged),
        TEST(test_refused),
        TEST(test_ids),
        TEST(test_order_of_answers),
        TEST(test_last_one_cancels_upstream),
        TEST(test_left_before_it_is_created),
        TEST(test_compacted),
        TEST(test_lost_link_goes_on),
        TEST(test_lost_before_an_event),
        TEST(test_no_leader),
        TEST(test_slow_reader_comes_back),
        TEST(test_slow_reader_alone),
        TEST(test_progress_on_demand),
        TEST(test_future_is_in_nobodys_way),
        cmocka_unit_test(test_name_space),
        TEST(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
