#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "../test.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/idmap.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "base/rng.h"

static void buf_keeps_its_maximum(void **state)
{
    struct buf b = BUF_INIT(10);
    assert_int_equal(buf_append(&b, "123456789", 9), 0);
    assert_int_equal(buf_append(&b, "ab", 2), ERR_TOO_LARGE);
    assert_int_equal(b.size, 9);
    assert_int_equal(buf_append_byte(&b, 'a'), 0);
    assert_int_equal(buf_append_byte(&b, 'b'), ERR_TOO_LARGE);
    buf_consume(&b, 8);
    assert_memory_equal(b.data, "9a", 2);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), ERR_TOO_LARGE);
    buf_release(&b);
}

static void arena_hands_out_aligned_memory_that_stays(void **state)
{
    struct arena a;
    arena_init(&a);
    for (int round = 0; round < 3; round++) {
        char *texts[500];
        for (int i = 0; i < 500; i++) {
            texts[i] = arena_printf(&a, "text %d of round %d", i, round);
            assert_int_equal((uintptr_t)texts[i] % 16, 0);
        }
        memset(arena_alloc(&a, 100000), 0xff, 100000);
        for (int i = 0; i < 500; i++) {
            char want[64];
            snprintf(want, sizeof want, "text %d of round %d", i, round);
            assert_string_equal(texts[i], want);
        }
        arena_reset(&a);
        assert_int_equal(a.used, 0);
    }
    arena_release(&a);
}

static void idmap_agrees_with_a_plain_array(void **state)
{
    enum { IDS = 300 };
    struct idmap m = {0};
    struct rng r = {7};
    bool here[IDS] = {0};
    static char marks[IDS];
    size_t count = 0;
    for (int step = 0; step < 20000; step++) {
        uint64_t i = rng_below(&r, IDS);
        uint64_t id = (i + 1) << 20; /* ids that would collide */
        if (rng_below(&r, 2)) {
            count += !here[i];
            here[i] = true;
            idmap_put(&m, id, &marks[i]);
        } else {
            assert_ptr_equal(idmap_take(&m, id), here[i] ? &marks[i] : NULL);
            count -= here[i];
            here[i] = false;
        }
        uint64_t probe = rng_below(&r, IDS);
        assert_ptr_equal(idmap_get(&m, (probe + 1) << 20),
                         here[probe] ? &marks[probe] : NULL);
        assert_int_equal(m.count, count);
    }
    idmap_release(&m);
}

static void crc32c_of_known_bytes(void **state)
{
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283); /* RFC 3720 */
    assert_int_equal(crc32c(0, "", 0), 0);
    uint32_t parts = crc32c(crc32c(0, "1234", 4), "56789", 5);
    assert_int_equal(parts, 0xe3069283);
}

static uint32_t by_bits(uint32_t crc, const uint8_t *p, size_t size)
{
    crc = ~crc;
    for (; size; size--) {
        crc ^= *p++;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
        }
    }
    return ~crc;
}

/* Around every length at which it changes its way of working. */
static void crc32c_of_any_length(void **state)
{
    static uint8_t bytes[8192];
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof bytes; i++) {
        seed = seed * 1103515245u + 12345u;
        bytes[i] = (uint8_t)(seed >> 16);
    }
    for (size_t size = 0; size < sizeof bytes - 8;
         size += size < 800 ? 1 : 61) {
        const uint8_t *p = bytes + size % 8;
        assert_int_equal(crc32c(seed, p, size), by_bits(seed, p, size));
    }
    for (size_t size = 3 * 1024 - 1; size <= 3 * 1024 + 1; size++) {
        assert_int_equal(crc32c(7, bytes, size), by_bits(7, bytes, size));
    }
}

struct note {
    struct letter letter;
    int number;
};

enum { LETTERS = 2000, POSTERS = 3 };

static void *post_all(void *ctx)
{
    for (int i = 0; i < LETTERS; i++) {
        struct note *n = mem_zalloc(sizeof *n);
        n->number = i;
        mailbox_post(ctx, &n->letter);
    }
    return NULL;
}

static void mailbox_loses_and_reorders_nothing(void **state)
{
    struct mailbox m;
    pthread_t posters[POSTERS];
    mailbox_init(&m, NULL, NULL);
    for (int i = 0; i < POSTERS; i++) {
        pthread_create(&posters[i], NULL, post_all, &m);
    }
    long sum = 0;
    for (int seen = 0; seen < LETTERS * POSTERS;) {
        struct letter *l = mailbox_wait(&m);
        assert_non_null(l);
        while (l) {
            struct note *n = container_of(l, struct note, letter);
            l = l->next;
            sum += n->number;
            free(n);
            seen++;
        }
    }
    assert_int_equal(sum, (long)POSTERS * LETTERS * (LETTERS - 1) / 2);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(posters[i], NULL);
    }
    mailbox_close(&m);
    assert_null(mailbox_wait(&m));
    mailbox_release(&m);
}

static void bytes_count_their_references(void **state)
{
    struct bytes *b = bytes_copy(slice_str("shared"));
    assert_ptr_equal(bytes_ref(b), b);
    bytes_unref(b);
    assert_true(slice_eq_str(bytes_slice(b), "shared"));
    bytes_unref(b);
    bytes_unref(NULL);
    assert_int_equal(bytes_slice(NULL).size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_keeps_its_maximum),
        cmocka_unit_test(arena_hands_out_aligned_memory_that_stays),
        cmocka_unit_test(idmap_agrees_with_a_plain_array),
        cmocka_unit_test(crc32c_of_known_bytes),
        cmocka_unit_test(crc32c_of_any_length),
        cmocka_unit_test(mailbox_loses_and_reorders_nothing),
        cmocka_unit_test(bytes_count_their_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
