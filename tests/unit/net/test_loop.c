#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/net.h"

struct fixture {
    struct loop *loop;
    struct pass_hook hook;
    struct timer *timer;
    struct waker *waker;
    int fired, hooked, queued, served;
};

static void stop(void *ctx)
{
    loop_stop(((struct fixture *)ctx)->loop);
}

/* The hook serves what timers queued; if it ran only after the next poll,
 * the loop would sleep for the guard's ten seconds. */
static void serve(struct pass_hook *h)
{
    struct fixture *f = container_of(h, struct fixture, hook);
    f->hooked++;
    f->served += f->queued;
    f->queued = 0;
    if (f->served == 3) {
        loop_stop(f->loop);
    }
}

static void queue(void *ctx)
{
    struct fixture *f = ctx;
    f->fired++;
    f->queued++;
    if (f->fired == 3) {
        timer_free(f->timer);
        f->timer = NULL;
    }
}

static void hooks_see_what_timers_queue(void **state)
{
    struct fixture f = {.hook.run = serve};
    assert_int_equal(loop_new(&f.loop), 0);
    loop_add_hook(f.loop, &f.hook);
    f.timer = timer_new(f.loop, queue, &f);
    timer_start(f.timer, 1, 1);
    struct timer *guard = timer_new(f.loop, stop, &f);
    timer_start(guard, 10000, 0);
    uint64_t start = loop_now_ns(f.loop);
    loop_run(f.loop);
    assert_int_equal(f.served, 3);
    assert_true(loop_now_ns(f.loop) - start < 5000000000u);
    timer_free(guard);
    loop_free(f.loop);
}

static void woken(void *ctx)
{
    struct fixture *f = ctx;
    f->fired++;
    loop_stop(f->loop);
}

static void *wake_often(void *ctx)
{
    struct fixture *f = ctx;
    for (int i = 0; i < 1000; i++) {
        waker_wake(f->waker);
    }
    return NULL;
}

static void wakes_from_another_thread(void **state)
{
    struct fixture f = {0};
    assert_int_equal(loop_new(&f.loop), 0);
    f.waker = waker_new(f.loop, woken, &f);
    pthread_t t;
    pthread_create(&t, NULL, wake_often, &f);
    loop_run(f.loop);
    pthread_join(t, NULL);
    assert_true(f.fired >= 1 && f.fired <= 1000);
    waker_free(f.waker);
    loop_free(f.loop);
}

static void work(void *ctx)
{
    ((struct fixture *)ctx)->queued = 42;
}

static void worked(void *ctx)
{
    struct fixture *f = ctx;
    f->served = f->queued;
    loop_stop(f->loop);
}

static void offloads(void **state)
{
    struct fixture f = {0};
    assert_int_equal(loop_new(&f.loop), 0);
    loop_offload(f.loop, work, worked, &f);
    loop_run(f.loop);
    assert_int_equal(f.served, 42);
    loop_free(f.loop);
}

static void offloads_bulk(void **state)
{
    struct fixture f = {0};
    assert_int_equal(loop_new(&f.loop), 0);
    loop_offload_bulk(f.loop, work, worked, &f);
    loop_run(f.loop);
    assert_int_equal(f.served, 42);
    loop_free(f.loop);
}

static void hold(void *ctx)
{
    pthread_mutex_t *gate = ctx;
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
}

static int held_done;

static void count_held(void *ctx)
{
    held_done++;
}

/* A job that takes its time holds up nobody, and none is lost at the end. */
static void bulk_goes_on_beside_a_long_job(void **state)
{
    struct fixture f = {0};
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    assert_int_equal(loop_new(&f.loop), 0);
    pthread_mutex_lock(&gate);
    loop_offload_bulk(f.loop, hold, count_held, &gate);
    loop_offload_bulk(f.loop, work, worked, &f);
    loop_run(f.loop);
    assert_int_equal(f.served, 42);
    assert_int_equal(held_done, 0);
    pthread_mutex_unlock(&gate);
    loop_free(f.loop);
    assert_int_equal(held_done, 1);
}

static int niceness;

static void see_niceness(void *ctx)
{
    niceness = getpriority(PRIO_PROCESS, (id_t)gettid());
}

static void bulk_gives_way(void **state)
{
    struct fixture f = {0};
    int own = getpriority(PRIO_PROCESS, 0);
    assert_int_equal(loop_new(&f.loop), 0);
    loop_offload_bulk(f.loop, see_niceness, worked, &f);
    loop_run(f.loop);
    loop_free(f.loop);
    assert_true(niceness > own || own >= 5);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hooks_see_what_timers_queue),
        cmocka_unit_test(wakes_from_another_thread),
        cmocka_unit_test(offloads),
        cmocka_unit_test(offloads_bulk),
        cmocka_unit_test(bulk_goes_on_beside_a_long_job),
        cmocka_unit_test(bulk_gives_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
