/* Text as Go reads and writes it: %q, encoding/json, strconv's errors. */
#include <stdlib.h>

#include "base/err.h"
#include "base/text.h"
#include "cli.h"

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void append_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_append_byte(out, (uint8_t)c);
    } else if (c < 0x800) {
        buf_append_byte(out, (uint8_t)(0xc0 | c >> 6));
        buf_append_byte(out, (uint8_t)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buf_append_byte(out, (uint8_t)(0xe0 | c >> 12));
        buf_append_byte(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        buf_append_byte(out, (uint8_t)(0x80 | (c & 0x3f)));
    } else {
        buf_append_byte(out, (uint8_t)(0xf0 | c >> 18));
        buf_append_byte(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        buf_append_byte(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        buf_append_byte(out, (uint8_t)(0x80 | (c & 0x3f)));
    }
}

/* \x41 and \101 are bytes, \u and \U code points. */
static int numeric_escape(struct slice *s, uint8_t letter, struct buf *out)
{
    size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : 8;
    int base = 16;
    if (letter >= '0' && letter <= '7') {
        digits = 3;
        base = 8;
        *s = slice_of(s->data - 1, s->size + 1);
    }
    uint32_t c = 0;
    if (s->size < digits) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < digits; i++) {
        int v = hex_value(s->data[i]);
        if (v < 0 || v >= base) {
            return ERR_INVALID;
        }
        c = c * (uint32_t)base + (uint32_t)v;
    }
    *s = slice_from(*s, digits);
    if (letter == 'u' || letter == 'U') {
        if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
            return ERR_INVALID;
        }
        append_utf8(out, c);
        return 0;
    }
    if (c > 0xff) {
        return ERR_INVALID;
    }
    buf_append_byte(out, (uint8_t)c);
    return 0;
}

static int escape(struct slice *s, struct buf *out)
{
    static const char letters[] = "abfnrtv\\\"";
    static const char bytes[] = "\a\b\f\n\r\t\v\\\"";
    if (s->size == 0) {
        return ERR_INVALID;
    }
    uint8_t letter = s->data[0];
    const char *at = letter ? strchr(letters, letter) : NULL;
    *s = slice_from(*s, 1);
    if (at) {
        return buf_append_byte(out, (uint8_t)bytes[at - letters]);
    }
    if (letter == 'x' || letter == 'u' || letter == 'U' ||
        (letter >= '0' && letter <= '7')) {
        return numeric_escape(s, letter, out);
    }
    return ERR_INVALID;
}

int cli_unquote(struct slice quoted, struct buf *out)
{
    if (quoted.size < 2 || quoted.data[0] != '"' ||
        quoted.data[quoted.size - 1] != '"') {
        return ERR_INVALID;
    }
    struct slice s = slice_of(quoted.data + 1, quoted.size - 2);
    while (s.size > 0) {
        uint8_t c = s.data[0];
        s = slice_from(s, 1);
        if (c == '"' || c == '\n') {
            return ERR_INVALID;
        }
        int err = c == '\\' ? escape(&s, out) : buf_append_byte(out, c);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

void cli_hex(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.size; i++) {
        buf_printf(out, "\\x%02x", s.data[i]);
    }
}

static void json_escape(struct buf *out, uint32_t c)
{
    static const char plain[] = "\"\\\n\r\t\b\f";
    static const char letters[] = "\"\\nrtbf";
    const char *at = c && c < 0x80 ? strchr(plain, (int)c) : NULL;
    if (at) {
        buf_printf(out, "\\%c", letters[at - plain]);
    } else {
        buf_printf(out, "\\u%04x", c);
    }
}

void cli_json_string(struct buf *out, struct slice s)
{
    buf_append_byte(out, '"');
    while (s.size > 0) {
        size_t size;
        int32_t c = text_utf8_decode(s, &size);
        if (c < 0) {
            buf_append_str(out, "\\ufffd");
        } else if (c < 0x20 || c == '"' || c == '\\' || c == '<' || c == '>' ||
                   c == '&' || c == 0x2028 || c == 0x2029) {
            json_escape(out, (uint32_t)c);
        } else {
            buf_append(out, s.data, size);
        }
        s = slice_from(s, size);
    }
    buf_append_byte(out, '"');
}

/* One word at *line, which moves behind it; NULL at the end of the line or
 * at a quote that does not close. */
static char *word(struct arena *a, const char **line)
{
    const char *p = *line + strspn(*line, " \t");
    const char *end = p;
    if (*p == 0) {
        *line = p;
        return NULL;
    }
    if (*p == '"') {
        for (end++; *end && *end != '"'; end++) {
            end += *end == '\\' && end[1];
        }
        end += *end == '"';
    } else if (*p == '\'') {
        end = strchr(p + 1, '\'');
        end = end ? end + 1 : p + strlen(p);
    } else {
        end += strcspn(p, " \t");
    }
    *line = end;
    size_t size = (size_t)(end - p);
    if (*p == '\'' && size >= 2 && end[-1] == '\'') {
        return arena_printf(a, "%.*s", (int)size - 2, p + 1);
    }
    struct buf plain = BUF_INIT(CLI_LINE_SIZE_MAX);
    char *result = NULL;
    if (*p == '"' && cli_unquote(slice_of(p, size), &plain) == 0) {
        buf_append_byte(&plain, 0);
        result = arena_dup(a, plain.data, plain.size);
    } else {
        result = arena_printf(a, "%.*s", (int)size, p);
    }
    buf_release(&plain);
    return result;
}

char **cli_split(struct arena *a, const char *line, int *ret_count)
{
    char **words = arena_alloc(a, (strlen(line) + 1) * sizeof *words);
    int count = 0;
    for (char *w = word(a, &line); w; w = word(a, &line)) {
        words[count++] = w;
    }
    words[count] = NULL;
    *ret_count = count;
    return words;
}

void cli_human_bytes(struct buf *out, uint64_t size)
{
    static const char *const units[] = {"B",  "kB", "MB", "GB",
                                        "TB", "PB", "EB"};
    double value = (double)size;
    size_t unit = 0;
    if (size < 10) {
        buf_printf(out, "%u B", (unsigned)size);
        return;
    }
    while (value >= 1000 && unit < 6) {
        value /= 1000;
        unit++;
    }
    value = (double)(uint64_t)(value * 10 + 0.5) / 10;
    buf_printf(out, value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}
