/*
 * Where a JSON value ends, and what is wrong with it: RFC 8259 as a machine
 * of one state a byte, so that a value may come in pieces and no input
 * decides about our stack. The words are those that Go's encoding/json has
 * for it, since clients show them to people.
 */
#include <stdio.h>

#include "base/err.h"
#include "pbjson.h"

enum state {
    BEGIN_VALUE,
    BEGIN_VALUE_OR_CLOSE, /* behind [ */
    BEGIN_KEY_OR_CLOSE,   /* behind { */
    BEGIN_KEY,            /* behind a comma in an object */
    AFTER_KEY,
    AFTER_VALUE,
    IN_STRING,
    IN_ESCAPE,
    IN_HEX, /* 4 digits, counted in `hex` */
    IN_LITERAL,
    MINUS,
    ZERO,
    DIGITS,
    DOT,
    FRACTION,
    EXPONENT,
    EXPONENT_SIGN,
    EXPONENT_DIGITS,
};

struct scanner {
    enum state state;
    uint32_t depth;
    uint32_t hex;
    bool is_key; /* the string being read is an object's key */
    bool is_over;
    const char *literal; /* what is left of it */
    const char *literal_name;
    struct buf *why;
    uint8_t is_object[PBJSON_NESTING_MAX / 8 + 1]; /* a bit a level */
};

static bool in_object(const struct scanner *s)
{
    return s->depth && (s->is_object[s->depth / 8] >> (s->depth % 8) & 1);
}

/* A byte as Go quotes a character. */
static void put_quoted(struct buf *b, uint8_t c)
{
    static const char plain[] = "\a\b\f\n\r\t\v\\'";
    static const char letters[] = "abfnrtv\\'";
    const char *at = c ? strchr(plain, c) : NULL;
    if (at) {
        buf_printf(b, "'\\%c'", letters[at - plain]);
    } else if (c < 0x20 || c == 0x7f) {
        buf_printf(b, "'\\x%02x'", c);
    } else if (c < 0x80) {
        buf_printf(b, "'%c'", c);
    } else if (c <= 0xa0 || c == 0xad) {
        buf_printf(b, "'\\u%04x'", c);
    } else { /* as a Latin-1 character */
        buf_printf(b, "'%c%c'", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
    }
}

static int wrong(struct scanner *s, uint8_t c, const char *where)
{
    buf_append_str(s->why, "invalid character ");
    put_quoted(s->why, c);
    buf_printf(s->why, " %s", where);
    return ERR_INVALID;
}

static int open_level(struct scanner *s, bool is_object)
{
    if (s->depth == PBJSON_NESTING_MAX) {
        buf_append_str(s->why, "exceeded max depth");
        return ERR_INVALID;
    }
    s->depth++;
    uint8_t bit = (uint8_t)(1u << (s->depth % 8));
    uint8_t *at = &s->is_object[s->depth / 8];
    *at = (uint8_t)(is_object ? *at | bit : *at & ~bit);
    s->state = is_object ? BEGIN_KEY_OR_CLOSE : BEGIN_VALUE_OR_CLOSE;
    return 0;
}

static void end_value(struct scanner *s)
{
    s->state = AFTER_VALUE;
    s->is_over = s->depth == 0;
}

static void close_level(struct scanner *s)
{
    s->depth--;
    end_value(s);
}

static int begin_literal(struct scanner *s, const char *name)
{
    s->literal_name = name;
    s->literal = name + 1;
    s->state = IN_LITERAL;
    return 0;
}

static int begin_value(struct scanner *s, uint8_t c)
{
    switch (c) {
    case '{':
        return open_level(s, true);
    case '[':
        return open_level(s, false);
    case '"':
        s->is_key = false;
        s->state = IN_STRING;
        return 0;
    case '-':
        s->state = MINUS;
        return 0;
    case '0':
        s->state = ZERO;
        return 0;
    case 't':
        return begin_literal(s, "true");
    case 'f':
        return begin_literal(s, "false");
    case 'n':
        return begin_literal(s, "null");
    default:
        if (c >= '1' && c <= '9') {
            s->state = DIGITS;
            return 0;
        }
        return wrong(s, c, "looking for beginning of value");
    }
}

static int begin_key(struct scanner *s, uint8_t c, bool may_close)
{
    if (c == '}' && may_close) {
        close_level(s);
        return 0;
    }
    if (c != '"') {
        return wrong(s, c, "looking for beginning of object key string");
    }
    s->is_key = true;
    s->state = IN_STRING;
    return 0;
}

static int after_value(struct scanner *s, uint8_t c)
{
    bool is_object = in_object(s);
    if (c == ',') {
        s->state = is_object ? BEGIN_KEY : BEGIN_VALUE;
    } else if (c == (is_object ? '}' : ']')) {
        close_level(s);
    } else {
        return wrong(s, c,
                     is_object ? "after object key:value pair"
                               : "after array element");
    }
    return 0;
}

static int in_string(struct scanner *s, uint8_t c)
{
    if (c == '"') {
        if (s->is_key) {
            s->state = AFTER_KEY;
        } else {
            end_value(s);
        }
    } else if (c == '\\') {
        s->state = IN_ESCAPE;
    } else if (c < 0x20) {
        return wrong(s, c, "in string literal");
    }
    return 0;
}

static int in_escape(struct scanner *s, uint8_t c)
{
    if (c == 'u') {
        s->hex = 0;
        s->state = IN_HEX;
    } else if (c && strchr("\"\\/bfnrt", c)) {
        s->state = IN_STRING;
    } else {
        return wrong(s, c, "in string escape code");
    }
    return 0;
}

static int in_hex(struct scanner *s, uint8_t c)
{
    bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
                  (c >= 'A' && c <= 'F');
    if (!is_hex) {
        return wrong(s, c, "in \\u hexadecimal character escape");
    }
    if (++s->hex == 4) {
        s->state = IN_STRING;
    }
    return 0;
}

static int in_literal(struct scanner *s, uint8_t c)
{
    if (c != (uint8_t)*s->literal) {
        char where[64];
        snprintf(where, sizeof where, "in literal %s (expecting '%c')",
                 s->literal_name, *s->literal);
        return wrong(s, c, where);
    }
    if (*++s->literal == '\0') {
        end_value(s);
    }
    return 0;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* 1: the byte is no more of the number, which is complete. */
static int in_number(struct scanner *s, uint8_t c)
{
    switch (s->state) {
    case MINUS:
        if (!is_digit(c)) {
            return wrong(s, c, "in numeric literal");
        }
        s->state = c == '0' ? ZERO : DIGITS;
        return 0;
    case DOT:
        if (!is_digit(c)) {
            return wrong(s, c, "after decimal point in numeric literal");
        }
        s->state = FRACTION;
        return 0;
    case EXPONENT:
        if (c == '+' || c == '-') {
            s->state = EXPONENT_SIGN;
            return 0;
        }
        /* fall through */
    case EXPONENT_SIGN:
        if (!is_digit(c)) {
            return wrong(s, c, "in exponent of numeric literal");
        }
        s->state = EXPONENT_DIGITS;
        return 0;
    default:
        break;
    }
    if (is_digit(c) && s->state != ZERO) {
        return 0;
    }
    if (c == '.' && (s->state == ZERO || s->state == DIGITS)) {
        s->state = DOT;
        return 0;
    }
    if ((c == 'e' || c == 'E') && s->state != EXPONENT_DIGITS) {
        s->state = EXPONENT;
        return 0;
    }
    return 1;
}

/* 0: taken; 1: the value ended before this byte. */
static int step(struct scanner *s, uint8_t c)
{
    if (s->state >= MINUS) {
        int rc = in_number(s, c);
        if (rc != 1) {
            return rc;
        }
        end_value(s);
        if (s->is_over) {
            return 1;
        }
    }
    if (s->state < IN_STRING && is_blank(c)) {
        return 0;
    }
    switch (s->state) {
    case BEGIN_VALUE_OR_CLOSE:
        if (c == ']') {
            close_level(s);
            return 0;
        }
        return begin_value(s, c);
    case BEGIN_VALUE:
        return begin_value(s, c);
    case BEGIN_KEY_OR_CLOSE:
    case BEGIN_KEY:
        return begin_key(s, c, s->state == BEGIN_KEY_OR_CLOSE);
    case AFTER_KEY:
        if (c != ':') {
            return wrong(s, c, "after object key");
        }
        s->state = BEGIN_VALUE;
        return 0;
    case AFTER_VALUE:
        return after_value(s, c);
    case IN_STRING:
        return in_string(s, c);
    case IN_ESCAPE:
        return in_escape(s, c);
    case IN_HEX:
        return in_hex(s, c);
    default:
        return in_literal(s, c);
    }
}

static bool is_whole_number(const struct scanner *s)
{
    return s->depth == 0 &&
           (s->state == ZERO || s->state == DIGITS || s->state == FRACTION ||
            s->state == EXPONENT_DIGITS);
}

int pbjson_scan(struct slice text, bool is_end, struct slice *ret_value,
                size_t *ret_next, struct buf *why)
{
    struct scanner s = {.state = BEGIN_VALUE, .why = why};
    size_t start = 0, at;
    while (start < text.size && is_blank(text.data[start])) {
        start++;
    }
    for (at = start; at < text.size && !s.is_over; at++) {
        int rc = step(&s, text.data[at]);
        if (rc < 0) {
            return rc;
        }
        if (rc == 1) {
            break;
        }
    }
    if (s.is_over || (is_end && at > start && is_whole_number(&s))) {
        *ret_value = slice_of(text.data + start, at - start);
        *ret_next = at;
        return 1;
    }
    if (is_end && at > start) {
        buf_append_str(why, "unexpected EOF");
        return ERR_INVALID;
    }
    return 0;
}
