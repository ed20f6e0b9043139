#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "grpc/wheel.h"

struct entry {
    struct wheel_node node;
    uint64_t want_ms;
    int state; /* 0 out, 1 in, 2 expired */
};

/* Random adding, removing and leaping, held against a plain list. */
static void expires_what_is_due(void **state)
{
    enum { N = 500 };
    struct rng r = {7};
    for (int round = 0; round < 20; round++) {
        struct wheel w;
        static struct entry e[N];
        uint64_t now = rng_below(&r, 100000);
        wheel_init(&w, now);
        for (int i = 0; i < N; i++) {
            wheel_node_init(&e[i].node);
            e[i].state = 0;
        }
        for (int step = 0; step < 3000; step++) {
            struct entry *x = &e[rng_below(&r, N)];
            if (x->state == 1 && rng_below(&r, 2)) {
                wheel_remove(&w, &x->node);
                x->state = 0;
            } else if (x->state != 1) {
                x->want_ms = now + rng_below(&r, 20000);
                wheel_add(&w, &x->node, x->want_ms);
                x->state = 1;
            }
            now += rng_below(&r, 10) ? rng_below(&r, 30) : rng_below(&r, 9000);
            struct wheel_node *n;
            while ((n = wheel_expire(&w, now))) {
                struct entry *d = container_of(n, struct entry, node);
                assert_int_equal(d->state, 1);
                assert_true(d->want_ms <= now);
                d->state = 2;
            }
            uint32_t in = 0;
            for (int i = 0; i < N; i++) {
                in += e[i].state == 1;
                assert_false(e[i].state == 1 &&
                             e[i].want_ms + 2 * WHEEL_TICK_MS < now);
            }
            assert_int_equal(in, w.count);
            assert_true((wheel_next_ms(&w) == UINT64_MAX) == (in == 0));
        }
    }
}

static void next_is_never_too_late(void **state)
{
    struct wheel w;
    struct wheel_node n;
    for (uint64_t ms = 0; ms < 10000; ms += 37) {
        wheel_init(&w, 1000);
        wheel_node_init(&n);
        wheel_add(&w, &n, 1000 + ms);
        uint64_t now = 1000;
        int looks = 0;
        while (!wheel_expire(&w, now)) {
            now = wheel_next_ms(&w);
            looks++;
        }
        assert_true(now >= 1000 + ms);
        assert_true(now <= 1000 + ms + 2 * WHEEL_TICK_MS);
        assert_true(looks <= 4); /* one a turn */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expires_what_is_due),
        cmocka_unit_test(next_is_never_too_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
