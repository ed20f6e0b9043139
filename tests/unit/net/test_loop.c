#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hooks_see_what_timers_queue),
        cmocka_unit_test(wakes_from_another_thread),
        cmocka_unit_test(offloads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
