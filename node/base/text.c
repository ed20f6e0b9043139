#include "text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "err.h"

size_t text_utf8_size(struct slice s)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *p = s.data;
    size_t n = p[0] < 0x80             ? 1
               : (p[0] & 0xe0) == 0xc0 ? 2
               : (p[0] & 0xf0) == 0xe0 ? 3
               : (p[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    if (n <= 1) {
        return n;
    }
    if (n > s.size) {
        return 0;
    }
    uint32_t c = p[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | (p[i] & 0x3f);
    }
    bool bad = c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000);
    return bad ? 0 : n;
}

bool text_is_utf8(struct slice s)
{
    while (s.size) {
        size_t n = text_utf8_size(s);
        if (n == 0) {
            return false;
        }
        s = slice_from(s, n);
    }
    return true;
}

void text_json_string(struct buf *b, struct slice s)
{
    buf_append_byte(b, '"');
    for (size_t i = 0; i < s.size;) {
        uint8_t c = s.data[i];
        size_t n = text_utf8_size(slice_from(s, i));
        if (n == 0) {
            buf_append_str(b, "\\ufffd");
            n = 1;
        } else if (c == '"' || c == '\\') {
            buf_printf(b, "\\%c", c);
        } else if (c == '\n') {
            buf_append_str(b, "\\n");
        } else if (c == '\r') {
            buf_append_str(b, "\\r");
        } else if (c == '\t') {
            buf_append_str(b, "\\t");
        } else if (c < 0x20) {
            buf_printf(b, "\\u%04x", c);
        } else {
            buf_append(b, s.data + i, n);
        }
        i += n;
    }
    buf_append_byte(b, '"');
}

/* `value` of `unit` with up to `digits` decimals, trailing zeros cut. */
static void put_fraction(struct buf *b, uint64_t value, uint64_t unit,
                         int digits, const char *suffix)
{
    buf_printf(b, "%" PRIu64, value / unit);
    char tail[24];
    snprintf(tail, sizeof tail, "%0*" PRIu64, digits, value % unit);
    size_t n = strlen(tail);
    while (n > 0 && tail[n - 1] == '0') {
        n--;
    }
    if (digits && n > 0) {
        buf_append_byte(b, '.');
        buf_append(b, tail, n);
    }
    buf_append_str(b, suffix);
}

void text_duration(struct buf *b, int64_t ns)
{
    uint64_t left = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    if (ns < 0) {
        buf_append_byte(b, '-');
    }
    const uint64_t us = 1000, ms = 1000 * us, s = 1000 * ms;
    if (left == 0) {
        buf_append_str(b, "0s");
    } else if (left < us) {
        buf_printf(b, "%" PRIu64 "ns", left);
    } else if (left < ms) {
        put_fraction(b, left, us, 3, "\u00b5s");
    } else if (left < s) {
        put_fraction(b, left, ms, 6, "ms");
    } else {
        uint64_t hours = left / (3600 * s), minutes = left / (60 * s) % 60;
        if (hours) {
            buf_printf(b, "%" PRIu64 "h", hours);
        }
        if (hours || minutes) {
            buf_printf(b, "%" PRIu64 "m", minutes);
        }
        put_fraction(b, left % (60 * s), s, 9, "s");
    }
}

static int64_t unit_of(const char **p)
{
    static const struct {
        const char *word;
        int64_t ns;
    } units[] = {{"ns", 1},          {"us", 1000},        {"\u00b5s", 1000},
                 {"\u03bcs", 1000},  {"ms", 1000000},     {"s", 1000000000},
                 {"m", 60000000000}, {"h", 3600000000000}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t n = strlen(units[i].word);
        if (strncmp(*p, units[i].word, n) == 0) {
            *p += n;
            return units[i].ns;
        }
    }
    return 0;
}

int text_parse_duration(const char *text, int64_t *ret_ns)
{
    const char *p = text;
    bool negative = *p == '-';
    if (*p == '-' || *p == '+') {
        p++;
    }
    if (strcmp(p, "0") == 0) {
        *ret_ns = 0;
        return 0;
    }
    double total = 0;
    if (*p == '\0') {
        return ERR_INVALID;
    }
    while (*p) {
        if (!isdigit((unsigned char)*p) && *p != '.') {
            return ERR_INVALID;
        }
        double value = 0, scale = 1;
        const char *start = p;
        for (; isdigit((unsigned char)*p); p++) {
            value = value * 10 + (*p - '0');
        }
        if (*p == '.') {
            p++;
            for (; isdigit((unsigned char)*p); p++) {
                value += (*p - '0') * (scale /= 10);
            }
        }
        if (p == start || (p == start + 1 && *start == '.')) {
            return ERR_INVALID;
        }
        int64_t unit = unit_of(&p);
        if (unit == 0) {
            return ERR_INVALID;
        }
        total += value * (double)unit;
    }
    if (total > 9.2e18) {
        return ERR_INVALID;
    }
    int64_t ns = (int64_t)(total + 0.5);
    *ret_ns = negative ? -ns : ns;
    return 0;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

int text_parse_u64(const char *text, int base, uint64_t *ret_value)
{
    const char *p = text;
    bool separators = base == 0;
    if (base == 0) {
        base = 10;
        if (p[0] == '0' && p[1]) {
            char c = (char)tolower((unsigned char)p[1]);
            base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
            p += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
        }
    }
    if (*p == '\0') {
        return ERR_INVALID;
    }
    uint64_t value = 0;
    for (; *p; p++) {
        if (*p == '_' && separators) {
            continue;
        }
        int d = digit_of(*p);
        if (d >= base) {
            return ERR_INVALID;
        }
        if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)d, &value)) {
            return ERR_TOO_LARGE;
        }
    }
    *ret_value = value;
    return 0;
}

int text_parse_i64(const char *text, int base, int64_t *ret_value)
{
    bool negative = *text == '-';
    uint64_t value;
    int err =
        text_parse_u64(text + (*text == '-' || *text == '+'), base, &value);
    if (err) {
        return err;
    }
    if (value > (uint64_t)INT64_MAX + negative) {
        return ERR_TOO_LARGE;
    }
    *ret_value = negative ? (int64_t)-value : (int64_t)value;
    return 0;
}

static const char base64_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void text_base64(struct buf *b, struct slice s)
{
    for (size_t i = 0; i < s.size; i += 3) {
        size_t n = s.size - i < 3 ? s.size - i : 3;
        uint32_t v = (uint32_t)s.data[i] << 16 |
                     (n > 1 ? (uint32_t)s.data[i + 1] << 8 : 0) |
                     (n > 2 ? s.data[i + 2] : 0);
        char out[4] = {base64_letters[v >> 18], base64_letters[v >> 12 & 63],
                       n > 1 ? base64_letters[v >> 6 & 63] : '=',
                       n > 2 ? base64_letters[v & 63] : '='};
        buf_append(b, out, 4);
    }
}

static int base64_value(uint8_t c)
{
    c = c == '-' ? '+' : c == '_' ? '/' : c;
    const char *at = c ? strchr(base64_letters, c) : NULL;
    return at ? (int)(at - base64_letters) : -1;
}

int text_parse_base64(struct slice text, struct buf *out)
{
    size_t n = text.size;
    while (n > 0 && text.size - n < 2 && text.data[n - 1] == '=') {
        n--;
    }
    if (n % 4 == 1 || (n != text.size && text.size % 4 != 0)) {
        return ERR_INVALID;
    }
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++) {
        int d = base64_value(text.data[i]);
        if (d < 0) {
            return ERR_INVALID;
        }
        v = v << 6 | (uint32_t)d;
        if (i % 4 != 0) {
            int err = buf_append_byte(out, (uint8_t)(v >> (6 - 2 * (i % 4))));
            if (err) {
                return err;
            }
        }
    }
    return 0;
}
