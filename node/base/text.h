/* Numbers, durations and strings as text, in and out. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdint.h>

#include "buf.h"

/* Bytes of the UTF-8 character at the front of `s`, which is not empty; 0: it
 * is none (RFC 3629, section 4). */
size_t text_utf8_size(struct slice s);
bool text_is_utf8(struct slice s);
/* The code point at the front of `s`, which is not empty, its size in
 * *ret_size; -1, and size 1, for a byte that begins no valid one. */
int32_t text_utf8_decode(struct slice s, size_t *ret_size);

/* Appends `s` in double quotes as Go prints it by %q. */
void text_quote(struct buf *b, struct slice s);

/* Appends `s` as a JSON string with its quotes; bytes that are not UTF-8
 * come out as U+FFFD. */
void text_json_string(struct buf *b, struct slice s);

/* Appends nanoseconds as Go prints a duration: 0s, 1.5ms, 2m0.25s. */
void text_duration(struct buf *b, int64_t ns);

/* Go's duration syntax ("1h2m3.5s", "100ms", "-2us", "0"). ERR_INVALID. */
int text_parse_duration(const char *text, int64_t *ret_ns);

/* Whole text as a number; base 10 for base 0 without 0x/0o/0b prefix
 * (underscores allowed then, as Go's flags take them). ERR_INVALID for
 * trailing bytes or no digits, ERR_TOO_LARGE when out of range. */
int text_parse_u64(const char *text, int base, uint64_t *ret_value);
int text_parse_i64(const char *text, int base, int64_t *ret_value);

/* Standard base64 with padding. Decoding takes both alphabets, padding
 * optional; ERR_INVALID. */
void text_base64(struct buf *b, struct slice s);
int text_parse_base64(struct slice text, struct buf *out);

#endif
