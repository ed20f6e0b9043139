/* Tokens of text that is known to be JSON, and their places in it. */
#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"
#include "internal.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_delimiter(uint8_t c)
{
    return is_blank(c) || c == ',' || c == '}' || c == ']' || c == ':';
}

static const uint8_t *string_end(const uint8_t *p, const uint8_t *end)
{
    for (p++; p < end; p++) {
        if (*p == '\\') {
            p++;
        } else if (*p == '"') {
            return p + 1;
        }
    }
    return end;
}

static enum pbjson_kind kind_of(uint8_t c)
{
    switch (c) {
    case '{':
        return PBJSON_OBJECT;
    case '[':
        return PBJSON_ARRAY;
    case '}':
    case ']':
        return PBJSON_CLOSE;
    case ',':
        return PBJSON_COMMA;
    case ':':
        return PBJSON_COLON;
    case '"':
        return PBJSON_STRING;
    case 't':
        return PBJSON_TRUE;
    case 'f':
        return PBJSON_FALSE;
    case 'n':
        return PBJSON_NULL;
    default:
        return PBJSON_NUMBER;
    }
}

struct pbjson_token pbjson_next(struct pbjson_reader *r)
{
    while (r->at < r->end && is_blank(*r->at)) {
        r->at++;
    }
    if (r->at == r->end) { /* not of text that pbjson_scan() passed */
        return (struct pbjson_token){PBJSON_CLOSE, slice_of(r->at, 0)};
    }
    struct pbjson_token t = {.kind = kind_of(*r->at)};
    const uint8_t *start = r->at;
    if (t.kind == PBJSON_STRING) {
        r->at = string_end(start, r->end);
    } else {
        r->at++;
        while (t.kind >= PBJSON_NUMBER && t.kind <= PBJSON_NULL &&
               r->at < r->end && !is_delimiter(*r->at)) {
            r->at++;
        }
    }
    t.raw = slice_of(start, (size_t)(r->at - start));
    return t;
}

struct pbjson_token pbjson_peek(const struct pbjson_reader *r)
{
    struct pbjson_reader copy = *r;
    return pbjson_next(&copy);
}

void pbjson_skip(struct pbjson_reader *r)
{
    size_t depth = 0;
    do {
        struct pbjson_token t = pbjson_next(r);
        if (t.raw.size == 0) {
            return;
        }
        if (t.kind == PBJSON_OBJECT || t.kind == PBJSON_ARRAY) {
            depth++;
        } else if (t.kind == PBJSON_CLOSE) {
            depth--;
        }
    } while (depth);
}

static int tell(struct pbjson_reader *r, struct pbjson_token t,
                const char *what, const char *format, va_list args)
{
    unsigned line = 1, column = 1;
    for (const uint8_t *p = r->begin; p < t.raw.data; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if ((*p & 0xc0) != 0x80) {
            column++; /* characters, not bytes */
        }
    }
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    buf_printf(r->why, "proto: %s(line %u:%u): %s", what, line, column, text);
    return ERR_INVALID;
}

int pbjson_fail(struct pbjson_reader *r, struct pbjson_token t,
                const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int err = tell(r, t, "", format, args);
    va_end(args);
    return err;
}

int pbjson_fail_syntax(struct pbjson_reader *r, struct pbjson_token t,
                       const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int err = tell(r, t, "syntax error ", format, args);
    va_end(args);
    return err;
}

/* ---- strings ---- */

static uint32_t hex4(const uint8_t *p)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = p[i];
        v = v << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return v;
}

static int put_utf8(struct buf *b, uint32_t c)
{
    uint8_t s[4];
    size_t n = 0;
    if (c < 0x80) {
        s[n++] = (uint8_t)c;
    } else if (c < 0x800) {
        s[n++] = (uint8_t)(0xc0 | c >> 6);
    } else if (c < 0x10000) {
        s[n++] = (uint8_t)(0xe0 | c >> 12);
        s[n++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    } else {
        s[n++] = (uint8_t)(0xf0 | c >> 18);
        s[n++] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        s[n++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    }
    if (c >= 0x80) {
        s[n++] = (uint8_t)(0x80 | (c & 0x3f));
    }
    return buf_append(b, s, n);
}

/* The other half of a surrogate pair stands at `p`, and what both make. */
static bool take_pair(const uint8_t **p, const uint8_t *end, uint32_t high,
                      uint32_t *ret)
{
    if (high >= 0xdc00 || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u') {
        return false;
    }
    uint32_t low = hex4(*p + 2);
    if (low < 0xdc00 || low >= 0xe000) {
        return false;
    }
    *p += 6;
    *ret = 0x10000 + ((high - 0xd800) << 10 | (low - 0xdc00));
    return true;
}

/* `p` is behind the backslash; moves it. ERR_INVALID: half a pair. */
static int put_escape(struct buf *to, const uint8_t **p, const uint8_t *end)
{
    static const char letters[] = "bfnrt";
    static const char plain[] = "\b\f\n\r\t";
    uint8_t c = *(*p)++;
    const char *at = strchr(letters, c);
    if (c != 'u') {
        return buf_append_byte(to, at ? (uint8_t)plain[at - letters] : c);
    }
    uint32_t v = hex4(*p);
    *p += 4;
    bool is_half = v >= 0xd800 && v < 0xe000;
    if (is_half && !take_pair(p, end, v, &v)) {
        return ERR_INVALID;
    }
    return put_utf8(to, v);
}

/* `rest`: what follows the first half. */
static int fail_pair(struct pbjson_reader *r, struct pbjson_token t,
                     const uint8_t *rest)
{
    if (r->end - rest < 6) {
        buf_append_str(r->why, "proto: unexpected EOF");
        return ERR_INVALID;
    }
    struct buf quoted = BUF_INIT(64);
    text_json_string(&quoted, slice_of(rest, 6));
    int err = pbjson_fail_syntax(r, t, "invalid escape code %.*s in string",
                                 (int)quoted.size, (const char *)quoted.data);
    buf_release(&quoted);
    return err;
}

int pbjson_string(struct pbjson_reader *r, struct pbjson_token t,
                  struct buf *to)
{
    const uint8_t *p = t.raw.data + 1, *end = t.raw.data + t.raw.size - 1;
    while (p < end) {
        const uint8_t *run = p;
        while (p < end && *p < 0x80 && *p != '\\') {
            p++;
        }
        int err = buf_append(to, run, (size_t)(p - run));
        if (err || p == end) {
            return err;
        }
        if (*p == '\\') {
            p++;
            err = put_escape(to, &p, end);
            if (err == ERR_INVALID) {
                return fail_pair(r, t, p);
            }
        } else {
            size_t n = text_utf8_size(slice_of(p, (size_t)(end - p)));
            if (n == 0) {
                return pbjson_fail_syntax(r, t, "invalid UTF-8 in string");
            }
            err = buf_append(to, p, n);
            p += n;
        }
        if (err) {
            return err;
        }
    }
    return 0;
}
