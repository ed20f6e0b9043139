/* Integers as JSON may write them. */
#include "internal.h"

enum { EXPONENT_MAX = 400, DIGITS_MAX = 400 };

struct parts {
    bool negative;
    const uint8_t *digits; /* with the point among them */
    const uint8_t *digits_end;
    int32_t exponent;
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* 12.5e-3 into its parts; false: not a JSON number. Huge exponents are cut:
 * what they make is no integer of ours anyway, but for zero. */
static bool split(struct slice s, struct parts *ret)
{
    const uint8_t *p = s.data, *end = s.data + s.size;
    *ret = (struct parts){.negative = p < end && *p == '-'};
    p += ret->negative;
    ret->digits = p;
    while (p < end && is_digit(*p)) {
        p++;
    }
    size_t whole = (size_t)(p - ret->digits);
    if (whole == 0 || (whole > 1 && ret->digits[0] == '0')) {
        return false;
    }
    if (p < end && *p == '.') {
        const uint8_t *dot = p++;
        while (p < end && is_digit(*p)) {
            p++;
        }
        if (p == dot + 1) {
            return false;
        }
    }
    ret->digits_end = p;
    if (p == end) {
        return true;
    }
    if (*p != 'e' && *p != 'E') {
        return false;
    }
    p++;
    bool minus = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    if (p == end) {
        return false;
    }
    for (; p < end && is_digit(*p); p++) {
        if (ret->exponent < EXPONENT_MAX) {
            ret->exponent = ret->exponent * 10 + (*p - '0');
        }
    }
    ret->exponent = minus ? -ret->exponent : ret->exponent;
    return p == end;
}

bool pbjson_integer(struct slice number, bool *ret_negative, uint64_t *ret)
{
    struct parts n;
    if (!split(number, &n) || (size_t)(n.digits_end - n.digits) > DIGITS_MAX) {
        return false;
    }
    /* `scale`: places that the point moves right of the last digit read. */
    int32_t scale = n.exponent;
    bool past_point = false;
    uint64_t v = 0;
    int32_t zeros = 0; /* seen, not yet multiplied in */
    for (const uint8_t *p = n.digits; p < n.digits_end; p++) {
        if (*p == '.') {
            past_point = true;
            continue;
        }
        scale -= past_point;
        zeros++;
        if (*p == '0') {
            continue;
        }
        for (; zeros; zeros--) {
            if (__builtin_mul_overflow(v, UINT64_C(10), &v)) {
                return false;
            }
        }
        if (__builtin_add_overflow(v, (uint64_t)(*p - '0'), &v)) {
            return false;
        }
    }
    scale += zeros;
    if (v && scale < 0) {
        return false; /* 1.5 */
    }
    for (; v && scale > 0; scale--) {
        if (__builtin_mul_overflow(v, UINT64_C(10), &v)) {
            return false;
        }
    }
    *ret_negative = n.negative;
    *ret = v;
    return true;
}
