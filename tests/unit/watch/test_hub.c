/* Requests and their answers, one rule at a time. */
#include "../store.h"
#include "base/rng.h"
#include "proto/rpc.pb-c.h"
#include "watch/watch.h"

enum { SAID_MAX = 4000 };

static struct {
    struct store store;
    struct watch_hub *hub;
    struct watch_stream *stream;
    uint64_t index;
    char said[SAID_MAX][128];
    int count;
    bool full;
    struct bytes *last;
    int distinct; /* encodings in a row that were not the same */
} f;

/* "id@revision[ created][ canceled][ fragment] compact reason events" */
static bool emit(void *ctx, const struct watch_response *r)
{
    assert_true(f.count < SAID_MAX);
    snprintf(f.said[f.count++], sizeof f.said[0], "%lld@%lld%s%s%s %lld %u%s%s",
             (long long)r->watch_id, (long long)r->revision,
             r->created ? " created" : "", r->canceled ? " canceled" : "",
             r->fragment ? " fragment" : "", (long long)r->compact_revision,
             r->event_count, r->cancel_reason ? " " : "",
             r->cancel_reason ? r->cancel_reason : "");
    f.distinct += r->events && r->events != f.last;
    bytes_ref(r->events);
    bytes_unref(f.last);
    f.last = r->events;
    return !f.full;
}

static int begin(void **state)
{
    memset(&f, 0, sizeof f);
    store_new(&f.store);
    struct watch_config config = {
        .mvcc = f.store.mvcc,
        .response_bytes_max = 400,
        .progress_interval_ms = 1000,
    };
    f.hub = watch_new(&config);
    f.stream = watch_stream_new(f.hub, 0, emit, NULL);
    return 0;
}

static int end(void **state)
{
    bytes_unref(f.last);
    watch_stream_free(f.stream);
    watch_free(f.hub);
    store_close(&f.store);
    return 0;
}

static void put(const char *key, const char *value)
{
    struct mvcc_stat stat;
    mvcc_begin(f.store.mvcc);
    int err = mvcc_stat(f.store.mvcc, slice_str(key), &stat);
    assert_int_equal(mvcc_put(f.store.mvcc, slice_str(key), slice_str(value), 0,
                              err ? NULL : &stat),
                     0);
    mvcc_end(f.store.mvcc, ++f.index, 1);
    watch_notify(f.hub);
}

static void create(struct watch_create c)
{
    watch_create(f.stream, &c);
}

static void expect(const char *want)
{
    assert_true(f.count > 0);
    assert_string_equal(f.said[0], want);
    memmove(f.said[0], f.said[1], sizeof f.said[0] * (size_t)(--f.count));
}

static bool catch_up(void)
{
    int err;
    bool more = watch_catch_up(f.hub, &err);
    assert_int_equal(err, 0);
    return more;
}

#define S(text)                                   \
    {                                             \
        (const uint8_t *)(text), sizeof(text) - 1 \
    }

static void ids(void **state)
{
    create((struct watch_create){.key = S("a")});
    expect("0@1 created 0 0");
    create((struct watch_create){.key = S("a")});
    expect("1@1 created 0 0");
    create((struct watch_create){.key = S("a"), .watch_id = 3});
    expect("3@1 created 0 0");
    create((struct watch_create){.key = S("a"), .watch_id = -1});
    expect("-1@1 created 0 0");
    create((struct watch_create){.key = S("a"), .watch_id = 3});
    expect("-1@1 created canceled 0 0 mvcc: duplicate watch ID provided on "
           "the WatchStream");
    create((struct watch_create){.key = S("a")});
    expect("2@1 created 0 0");
    create((struct watch_create){.key = S("a")}); /* 3 is taken */
    expect("4@1 created 0 0");
    watch_cancel(f.stream, 2);
    expect("2@1 canceled 0 0");
    watch_cancel(f.stream, 2);
    watch_cancel(f.stream, 99);
    assert_int_equal(f.count, 0);
    create((struct watch_create){.key = S("a")}); /* not 2 again */
    expect("5@1 created 0 0");
    create((struct watch_create){.key = S("a"), .watch_id = 2});
    expect("2@1 created 0 0");
}

static void refusals(void **state)
{
    static const char empty[] =
        "-1@1 created canceled 0 0 mvcc: watcher range is empty";
    create((struct watch_create){.key = S("b"), .end = S("a")});
    expect(empty);
    create((struct watch_create){.key = S("b"), .end = S("b")});
    expect(empty);
    create((struct watch_create){.key = S("b"), .end = S("b\0")});
    expect("0@1 created 0 0");
    create((struct watch_create){.key = S("b"), .end = S("\0")});
    expect("1@1 created 0 0");
    /* the revision is looked at first */
    create((struct watch_create){
        .key = S("b"), .end = S("a"), .start_revision = -1});
    expect("-1@1 created canceled 0 0 etcdserver: mvcc: required revision "
           "has been compacted");
    struct watch_stats stats;
    watch_get_stats(f.hub, &stats);
    assert_int_equal(stats.watcher_count, 2);
}

static void empty_key(void **state)
{
    create((struct watch_create){.end = S("\0")});
    expect("0@1 created 0 0");
    put("\x01", "all");
    expect("0@2 0 1");
    create((struct watch_create){.watch_id = 5}); /* the key "\0" alone */
    expect("5@2 created 0 0");
    put("\x01", "again");
    expect("0@3 0 1");
    assert_int_equal(f.count, 0);
}

static void start_revisions(void **state)
{
    put("a", "1");
    put("a", "2");
    create((struct watch_create){.key = S("a"), .start_revision = 3});
    expect("0@3 created 0 0");
    create((struct watch_create){.key = S("a"), .start_revision = 4});
    expect("1@3 created 0 0");
    create((struct watch_create){.key = S("a"), .start_revision = 5});
    expect("2@3 created 0 0");
    create((struct watch_create){.key = S("a"), .start_revision = 1});
    expect("3@3 created 0 0");
    /* a pass begins where the first in the queue stands */
    assert_true(catch_up());
    assert_false(catch_up());
    /* one response for the whole history, at the revision of the reading */
    expect("0@3 0 1");
    expect("3@3 0 2");
    assert_int_equal(f.count, 0);
    put("a", "3");
    assert_int_equal(f.count, 3);
    f.count = 0;
    put("a", "4");
    assert_int_equal(f.count, 4);
}

static void compacted(void **state)
{
    put("a", "1");
    put("a", "2");
    put("a", "3");
    mvcc_begin(f.store.mvcc);
    assert_int_equal(mvcc_compact(f.store.mvcc, 3, NULL, NULL), 0);
    mvcc_end(f.store.mvcc, ++f.index, 1);
    create((struct watch_create){.key = S("a"), .start_revision = 2});
    expect("0@4 created 0 0");
    create((struct watch_create){.key = S("a"), .start_revision = 3});
    expect("1@4 created 0 0");
    catch_up();
    expect("0@0 canceled 3 0");
    expect("1@4 0 2");
    /* it is gone: no id held, progress goes on */
    watch_progress(f.stream);
    expect("-1@4 0 0");
    watch_cancel(f.stream, 0);
    assert_int_equal(f.count, 0);
}

static void manual_progress(void **state)
{
    watch_progress(f.stream); /* no watcher: silence */
    assert_int_equal(f.count, 0);
    put("a", "1");
    create((struct watch_create){.key = S("a"), .start_revision = 1});
    expect("0@2 created 0 0");
    watch_progress(f.stream); /* not synced */
    assert_int_equal(f.count, 0);
    catch_up();
    expect("0@2 0 1");
    watch_progress(f.stream);
    expect("-1@2 0 0");
    create((struct watch_create){.key = S("z"), .start_revision = 3});
    expect("1@2 created 0 0");
    watch_progress(f.stream); /* its start is still to come */
    assert_int_equal(f.count, 0);
    put("q", "");
    watch_progress(f.stream);
    expect("-1@3 0 0");
}

static void periodic_progress(void **state)
{
    create((struct watch_create){.key = S("a"), .progress_notify = true});
    create((struct watch_create){.key = S("b"), .progress_notify = true});
    create((struct watch_create){.key = S("c")});
    create((struct watch_create){
        .key = S("d"), .progress_notify = true, .start_revision = 9});
    f.count = 0;
    watch_tick(f.hub, 999);
    assert_int_equal(f.count, 0);
    watch_tick(f.hub, 1101); /* interval and all of the jitter */
    expect("0@1 0 0");
    expect("1@1 0 0");
    assert_int_equal(f.count, 0);
    put("a", "1"); /* events since: no notification */
    expect("0@2 0 1");
    watch_tick(f.hub, 2300);
    expect("1@2 0 0");
    assert_int_equal(f.count, 0);
    watch_tick(f.hub, 3500);
    expect("0@2 0 0");
    expect("1@2 0 0");
    /* a full stream gets none */
    f.full = true;
    put("a", "2");
    f.count = 0;
    watch_tick(f.hub, 4700);
    watch_tick(f.hub, 5900);
    assert_int_equal(f.count, 0);
}

static void one_encoding_for_all(void **state)
{
    create((struct watch_create){.key = S("a")});
    create((struct watch_create){.key = S("a"), .end = S("c")});
    create(
        (struct watch_create){.key = S("a"), .end = S("c"), .prev_kv = true});
    f.count = 0;
    put("a", "1"); /* a creation: prev_kv has nothing to add */
    assert_int_equal(f.count, 3);
    assert_int_equal(f.distinct, 1);
    f.distinct = 0;
    put("a", "2");
    assert_int_equal(f.count, 6);
    assert_int_equal(f.distinct, 2);
}

/* A pass ends after so many revisions; who is nearly there does not wait
 * for who is far behind. */
static void catch_up_in_slices(void **state)
{
    for (int i = 0; i < 2500; i++) {
        put(i % 2 ? "a" : "b", "v");
    }
    create((struct watch_create){.key = S("a"), .start_revision = 1});
    create((struct watch_create){.key = S("b"), .start_revision = 2500});
    create((struct watch_create){.key = S("nothing"), .start_revision = 1});
    f.count = 0;
    assert_true(catch_up());
    expect("0@2501 0 1000");
    assert_int_equal(f.count, 0);
    assert_true(catch_up());
    expect("1@2501 0 1");
    int passes = 2;
    while (catch_up()) {
        passes++;
    }
    expect("0@2501 0 250");
    assert_int_equal(f.count, 0);
    assert_true(passes < 10);
}

static void fragments(void **state)
{
    static char value[100];
    memset(value, 'x', sizeof value - 1);
    create(
        (struct watch_create){.key = S("a"), .end = S("\0"), .fragment = true});
    create((struct watch_create){.key = S("a"), .end = S("\0")});
    f.count = 0;
    mvcc_begin(f.store.mvcc);
    for (int i = 0; i < 5; i++) {
        mvcc_put(f.store.mvcc, slice_str((char[]){(char)('a' + i), 0}),
                 slice_str(value), 0, NULL);
    }
    mvcc_end(f.store.mvcc, ++f.index, 1);
    f.full = true; /* what was begun is ended all the same */
    watch_notify(f.hub);
    expect("0@2 fragment 0 2");
    expect("0@2 fragment 0 2");
    expect("0@2 0 1");
    assert_int_equal(f.count, 0);
    f.full = false;
    watch_stream_resume(f.stream);
    catch_up();
    expect("1@2 0 5");
}

static void store_replaced(void **state)
{
    put("a", "1");
    create((struct watch_create){.key = S("a")});
    create((struct watch_create){.key = S("a"), .start_revision = 6});
    f.count = 0;
    /* an image of the same history that is further on */
    struct store old = f.store;
    store_new(&f.store);
    for (int i = 0; i < 3; i++) {
        struct mvcc_stat stat;
        mvcc_begin(f.store.mvcc);
        int err = mvcc_stat(f.store.mvcc, slice_str("a"), &stat);
        mvcc_put(f.store.mvcc, slice_str("a"), slice_str("x"), 0,
                 err ? NULL : &stat);
        mvcc_end(f.store.mvcc, ++f.index, 1);
    }
    store_close(&old);
    watch_set_store(f.hub, f.store.mvcc);
    assert_true(watch_wants_catch_up(f.hub));
    while (catch_up()) {
    }
    expect("0@4 0 2");
    put("a", "5");
    expect("0@5 0 1");
    put("a", "6");
    expect("0@6 0 1");
    expect("1@6 0 1");
    assert_int_equal(f.count, 0);
}

/* Many ranges that overlap in every way, against asking each of them. */
static void many_ranges(void **state)
{
    enum { RANGES = 400 };
    struct rng rng = {5};
    static struct {
        uint8_t from, to; /* to 0: no end; to == from: the key alone */
        bool gone;
    } ranges[RANGES];
    for (int i = 0; i < RANGES; i++) {
        uint8_t from = (uint8_t)(1 + rng_below(&rng, 200));
        uint8_t to = (uint8_t)(from + rng_below(&rng, 50));
        ranges[i].from = from;
        ranges[i].to = rng_below(&rng, 10) ? to : 0;
        uint8_t none = 0;
        create((struct watch_create){
            .key = {&from, 1},
            .end = {ranges[i].to ? &to : &none, to != from},
            .watch_id = i + 1});
        if (to == from) {
            ranges[i].to = from;
        }
        f.count = 0;
    }
    for (int round = 0; round < 600; round++) {
        int i = (int)rng_below(&rng, RANGES);
        if (round % 3 == 0 && !ranges[i].gone) {
            ranges[i].gone = true;
            watch_cancel(f.stream, i + 1);
        }
        f.count = 0;
        uint8_t key = (uint8_t)(1 + rng_below(&rng, 255));
        put((char[]){(char)key, 0}, "");
        int want = 0;
        for (int k = 0; k < RANGES; k++) {
            bool one = ranges[k].to == ranges[k].from;
            want += !ranges[k].gone && key >= ranges[k].from &&
                    (one ? key == ranges[k].from
                         : ranges[k].to == 0 || key < ranges[k].to);
        }
        assert_int_equal(f.count, want);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(ids),
        TEST(refusals),
        TEST(empty_key),
        TEST(start_revisions),
        TEST(compacted),
        TEST(manual_progress),
        TEST(periodic_progress),
        TEST(one_encoding_for_all),
        TEST(catch_up_in_slices),
        TEST(fragments),
        TEST(store_replaced),
        TEST(many_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
