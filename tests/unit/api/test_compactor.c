/* Automatic compaction on a made-up clock, where a revision is a minute. */
#include "fakes.h"

#define MINUTE_MS UINT64_C(60000)

struct run {
    struct api_compactor c;
    uint64_t minute;
    bool leader;
    bool fails;
    char text[512]; /* "minute:revision " of each compaction */
};

static void begin(struct run *r, enum api_compaction_mode mode, int64_t keep)
{
    *r = (struct run){.leader = true};
    api_compactor_init(&r->c, mode, keep);
}

static void until(struct run *r, uint64_t minute)
{
    for (; r->minute <= minute; r->minute++) {
        uint64_t now = r->minute * MINUTE_MS;
        int64_t rev =
            api_compactor_due(&r->c, now, r->leader, 1 + (int64_t)r->minute);
        if (rev) {
            size_t at = strlen(r->text);
            snprintf(r->text + at, sizeof r->text - at, "%llu:%lld%s ",
                     (unsigned long long)r->minute, (long long)rev,
                     r->fails ? "!" : "");
            /* Nothing else begins while it runs. */
            assert_int_equal(api_compactor_due(&r->c, now + 3600000, true, 999),
                             0);
            api_compactor_done(&r->c, now, !r->fails);
        }
    }
}

static void end(struct run *r, const char *want)
{
    assert_string_equal(r->text, want);
    api_compactor_release(&r->c);
}

/* The revision at minute m is m + 1: after 60 minutes what was at 0. */
static void periodic_one_hour(void **state)
{
    struct run r;
    begin(&r, API_COMPACT_PERIODIC, 60 * MINUTE_MS);
    until(&r, 59);
    assert_string_equal(r.text, "");
    until(&r, 200);
    end(&r, "60:1 120:55 180:115 ");
}

/* First after the whole period, then every hour. */
static void periodic_five_hours(void **state)
{
    struct run r;
    begin(&r, API_COMPACT_PERIODIC, 300 * MINUTE_MS);
    until(&r, 430);
    end(&r, "300:1 360:55 420:115 ");
}

static void periodic_ten_minutes(void **state)
{
    struct run r;
    begin(&r, API_COMPACT_PERIODIC, 10 * MINUTE_MS);
    until(&r, 35);
    end(&r, "10:1 20:10 30:20 ");
}

static void a_follower_samples_and_waits(void **state)
{
    struct run r;
    begin(&r, API_COMPACT_PERIODIC, 60 * MINUTE_MS);
    r.leader = false;
    until(&r, 100);
    assert_string_equal(r.text, "");
    r.leader = true; /* from minute 101 on; the next sample is at 102 */
    until(&r, 110);
    end(&r, "102:37 ");
}

static void a_failure_is_tried_again(void **state)
{
    struct run r;
    begin(&r, API_COMPACT_PERIODIC, 60 * MINUTE_MS);
    r.fails = true;
    until(&r, 70);
    r.fails = false;
    until(&r, 80);
    end(&r, "60:1! 66:1! 72:7 ");
}

static void no_change_no_compaction(void **state)
{
    struct api_compactor c;
    api_compactor_init(&c, API_COMPACT_PERIODIC, 10 * MINUTE_MS);
    int count = 0;
    for (uint64_t m = 0; m < 100; m++) {
        if (api_compactor_due(&c, m * MINUTE_MS, true, 5)) {
            count++;
            api_compactor_done(&c, m * MINUTE_MS, true);
        }
    }
    assert_int_equal(count, 1);
    api_compactor_release(&c);
}

static void by_revision(void **state)
{
    struct run r;
    begin(&r, API_COMPACT_REVISION, 7);
    until(&r, 17);
    r.leader = false;
    until(&r, 22);
    r.leader = true;
    r.fails = true;
    until(&r, 26);
    r.fails = false;
    until(&r, 30);
    /* at 5 there are but six revisions */
    end(&r, "10:4 15:9 25:19! 30:24 ");
}

static void by_revision_unchanged(void **state)
{
    struct api_compactor c;
    api_compactor_init(&c, API_COMPACT_REVISION, 10);
    int count = 0;
    for (uint64_t m = 0; m < 100; m++) {
        if (api_compactor_due(&c, m * MINUTE_MS, true, 30) == 20) {
            count++;
            api_compactor_done(&c, m * MINUTE_MS, true);
        }
    }
    assert_int_equal(count, 1);
    /* a number of revisions that nobody will ever have */
    api_compactor_init(&c, API_COMPACT_REVISION, INT64_MAX);
    for (uint64_t m = 0; m < 20; m++) {
        assert_int_equal(api_compactor_due(&c, m * MINUTE_MS, true, 30), 0);
    }
}

static void never(void **state)
{
    struct run r;
    begin(&r, API_COMPACT_PERIODIC, 0);
    until(&r, 1000);
    end(&r, "");
    begin(&r, API_COMPACT_REVISION, 0);
    until(&r, 1000);
    end(&r, "");
}

/* ---- through the log ---- */
static void put_some(int count)
{
    for (int i = 0; i < count; i++) {
        mvcc_begin(fake.store.mvcc);
        mvcc_put(fake.store.mvcc, slice_str("k"), slice_str("v"), 0,
                 i ? &(struct mvcc_stat){2, 1 + i, 0, i, 0} : NULL);
        mvcc_end(fake.store.mvcc, ++fake.index, 1);
    }
}

static void the_leader_proposes(void **state)
{
    api_compactor_init(&fake.api->compactor, API_COMPACT_REVISION, 3);
    put_some(9); /* revision 10 */
    tick(0);
    tick(API_COMPACT_REVISION_MS);
    assert_int_equal(count_of(&fake.proposals), 1);
    tick(API_COMPACT_REVISION_MS); /* one at a time */
    assert_int_equal(count_of(&fake.proposals), 1);
    commit();
    assert_int_equal(mvcc_compact_revision(fake.store.mvcc), 7);
    tick(API_COMPACT_REVISION_MS);
    assert_int_equal(count_of(&fake.proposals), 0);
    /* one that fails comes again; one that somebody else did is done */
    mvcc_begin(fake.store.mvcc);
    mvcc_put(fake.store.mvcc, slice_str("x"), slice_str("v"), 0, NULL);
    mvcc_end(fake.store.mvcc, ++fake.index, 1);
    tick(API_COMPACT_REVISION_MS);
    fail_proposals(ERR_TIMEOUT);
    tick(API_COMPACT_REVISION_MS);
    assert_int_equal(count_of(&fake.proposals), 1);
    mvcc_begin(fake.store.mvcc);
    assert_int_equal(mvcc_compact(fake.store.mvcc, 9, NULL, NULL), 0);
    mvcc_end(fake.store.mvcc, ++fake.index, 1);
    commit();
    tick(API_COMPACT_REVISION_MS);
    assert_int_equal(count_of(&fake.proposals), 0);
    fake.status.role = RAFT_FOLLOWER;
    put_some(1);
    tick(API_COMPACT_REVISION_MS);
    assert_int_equal(count_of(&fake.proposals), 0);
    fake.status.role = RAFT_LEADER;
    tick(API_COMPACT_REVISION_MS);
    assert_int_equal(count_of(&fake.proposals), 1); /* and the end comes */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(periodic_one_hour),
        cmocka_unit_test(periodic_five_hours),
        cmocka_unit_test(periodic_ten_minutes),
        cmocka_unit_test(a_follower_samples_and_waits),
        cmocka_unit_test(a_failure_is_tried_again),
        cmocka_unit_test(no_change_no_compaction),
        cmocka_unit_test(by_revision),
        cmocka_unit_test(by_revision_unchanged),
        cmocka_unit_test(never),
        cmocka_unit_test_setup_teardown(the_leader_proposes, world_new,
                                        world_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
