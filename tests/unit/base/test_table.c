#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/table.h"

struct item {
    struct table_link link;
    uint64_t key;
    bool in;
};

static struct item *find(const struct table *t, uint64_t key, uint64_t hash)
{
    struct table_link *l = table_find(t, hash);
    for (; l; l = table_next(l)) {
        struct item *i = container_of(l, struct item, link);
        assert_true(i->link.hash == hash);
        if (i->key == key) {
            return i;
        }
    }
    return NULL;
}

/* Few hashes, so that chains of equal ones are common. */
static void model(void **state)
{
    enum { ITEMS = 3000 };
    static struct item items[ITEMS];
    struct table t = {0};
    struct rng rng = {11};
    size_t count = 0;
    assert_null(table_find(&t, 5));
    for (int step = 0; step < 60000; step++) {
        /* fill, then drain */
        bool filling = step / 10000 % 2 == 0;
        uint64_t key = rng_below(&rng, ITEMS);
        uint64_t hash = table_hash_u64(key / 3, 0) % 4096;
        struct item *i = &items[key];
        assert_true(find(&t, key, hash) == (i->in ? i : NULL));
        if (i->in && !filling) {
            table_remove(&t, &i->link);
            i->in = false;
            count--;
        } else if (!i->in && filling) {
            i->key = key;
            i->in = true;
            table_add(&t, &i->link, hash);
            count++;
        }
        assert_int_equal(t.count, count);
    }
    assert_true(t.slot_count < 8 * (count + 16));
    table_release(&t);
}

static void hashes_differ(void **state)
{
    uint8_t zeros[20] = {0};
    for (size_t i = 0; i < sizeof zeros; i++) {
        for (size_t k = 0; k < i; k++) {
            assert_true(table_hash(slice_of(zeros, i)) !=
                        table_hash(slice_of(zeros, k)));
        }
    }
    assert_true(table_hash_u64(1, 2) != table_hash_u64(2, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model),
        cmocka_unit_test(hashes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
