#include "crc32c.h"

#include <string.h>

/* RFC 3720, 12.1: the reflected polynomial. */
#define POLYNOMIAL 0x82f63b78u

static uint32_t table[256];

__attribute__((constructor)) static void fill_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) {
            c = c & 1 ? (c >> 1) ^ POLYNOMIAL : c >> 1;
        }
        table[i] = c;
    }
}

static uint32_t by_table(uint32_t crc, const uint8_t *p, size_t size)
{
    while (size--) {
        crc = table[(crc ^ *p++) & 0xff] ^ (crc >> 8);
    }
    return crc;
}

#ifdef __x86_64__
/*
 * The instruction gives a result every third cycle but can begin one every
 * cycle, so three lanes run side by side:
 *
 *   | lane a | lane b | lane c |   crc(abc) = over(over(a) ^ b) ^ c
 *
 * where over() is what LANE zero bytes would make of a sum, from a table for
 * each of its four bytes.
 */
enum { LANE_LONG = 1024, LANE_SHORT = 128 };

typedef uint32_t over_table[4][256];
static over_table over_long, over_short;

/* A sum is linear in its bits: 32 of them are made, the rest are mixed. */
static void fill_over(over_table over, size_t lane)
{
    static const uint8_t zero[LANE_LONG];
    for (int byte = 0; byte < 4; byte++) {
        over[byte][0] = 0;
        for (uint32_t i = 1; i < 256; i++) {
            uint32_t low = i & -i;
            over[byte][i] = i == low ? by_table(i << 8 * byte, zero, lane)
                                     : over[byte][low] ^ over[byte][i ^ low];
        }
    }
}

__attribute__((constructor)) static void fill_overs(void)
{
    fill_table(); /* constructors have no order */
    fill_over(over_long, LANE_LONG);
    fill_over(over_short, LANE_SHORT);
}

static inline uint64_t step_over(const over_table over, uint64_t crc)
{
    return over[0][crc & 0xff] ^ over[1][crc >> 8 & 0xff] ^
           over[2][crc >> 16 & 0xff] ^ over[3][crc >> 24 & 0xff];
}

static inline uint64_t get_word(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* As many rows of three lanes as there are. */
__attribute__((target("sse4.2"))) static inline uint64_t
by_lanes(uint64_t a, const uint8_t **bytes, size_t *size, size_t lane,
         const over_table over)
{
    const uint8_t *p = *bytes;
    for (; *size >= 3 * lane; *size -= 3 * lane) {
        uint64_t b = 0, c = 0;
        for (const uint8_t *end = p + lane; p < end; p += 8) {
            a = __builtin_ia32_crc32di(a, get_word(p));
            b = __builtin_ia32_crc32di(b, get_word(p + lane));
            c = __builtin_ia32_crc32di(c, get_word(p + 2 * lane));
        }
        a = step_over(over, a) ^ b;
        a = step_over(over, a) ^ c;
        p += 2 * lane;
    }
    *bytes = p;
    return a;
}

__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const uint8_t *p, size_t size)
{
    uint64_t wide = by_lanes(crc, &p, &size, LANE_LONG, over_long);
    wide = by_lanes(wide, &p, &size, LANE_SHORT, over_short);
    for (; size >= 8; size -= 8, p += 8) {
        wide = __builtin_ia32_crc32di(wide, get_word(p));
    }
    crc = (uint32_t)wide;
    while (size--) {
        crc = __builtin_ia32_crc32qi(crc, *p++);
    }
    return crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    crc = ~crc;
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2")) {
        return ~by_instruction(crc, data, size);
    }
#endif
    return ~by_table(crc, data, size);
}
