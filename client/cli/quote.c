/* Text as Go reads and writes it: %q, encoding/json, strconv's errors. */
#include <stdlib.h>

#include "base/err.h"
#include "base/text.h"
#include "cli.h"

/* The code point at s, its size in *ret_size; -1 for a byte that begins no
 * valid one. */
static int32_t decode(struct slice s, size_t *ret_size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = s.data[0];
    size_t size = first < 0x80   ? 1
                  : first < 0xc2 ? 0
                  : first < 0xe0 ? 2
                  : first < 0xf0 ? 3
                  : first < 0xf5 ? 4
                                 : 0;
    *ret_size = 1;
    if (size == 0 || size > s.size) {
        return -1;
    }
    uint32_t c = size == 1 ? first : first & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((s.data[i] & 0xc0) != 0x80) {
            return -1;
        }
        c = c << 6 | (s.data[i] & 0x3f);
    }
    if (c < least[size] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff) {
        return -1;
    }
    *ret_size = size;
    return (int32_t)c;
}

/* Whether %q shows it as it is: no controls, no blanks but the ASCII one,
 * no format characters, nothing for private use. */
static bool is_printable(uint32_t c)
{
    static const uint32_t hidden[][2] = {
        {0, 0x1f},          {0x7f, 0xa0},       {0xad, 0xad},
        {0x600, 0x605},     {0x61c, 0x61c},     {0x6dd, 0x6dd},
        {0x70f, 0x70f},     {0x1680, 0x1680},   {0x180e, 0x180e},
        {0x2000, 0x200f},   {0x2028, 0x202f},   {0x205f, 0x206f},
        {0x3000, 0x3000},   {0xd800, 0xf8ff},   {0xfdd0, 0xfdef},
        {0xfeff, 0xfeff},   {0xfff0, 0xfffb},   {0xfffe, 0xffff},
        {0x1fffe, 0x1ffff}, {0xe0000, 0xe00ff}, {0xe01f0, 0x10ffff},
    };
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        if (c >= hidden[i][0] && c <= hidden[i][1]) {
            return false;
        }
    }
    return true;
}

static const char *short_escape(int32_t c)
{
    switch (c) {
    case '\a':
        return "\\a";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    case '\v':
        return "\\v";
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    default:
        return NULL;
    }
}

void cli_quote(struct buf *out, struct slice s)
{
    buf_append_byte(out, '"');
    while (s.size > 0) {
        size_t size;
        int32_t c = decode(s, &size);
        if (c < 0) {
            buf_printf(out, "\\x%02x", s.data[0]);
        } else if (short_escape(c)) {
            buf_append_str(out, short_escape(c));
        } else if (is_printable((uint32_t)c)) {
            buf_append(out, s.data, size);
        } else if (c < 0x80) {
            buf_printf(out, "\\x%02x", (unsigned)c);
        } else {
            buf_printf(out, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
        }
        s = slice_from(s, size);
    }
    buf_append_byte(out, '"');
}

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
    switch (c) {
    case '"':
    case '\\':
    case '\n':
    case '\r':
    case '\t':
    case '\b':
    case '\f':
        buf_append_str(out, short_escape((int32_t)c));
        break;
    default:
        buf_printf(out, "\\u%04x", c);
    }
}

void cli_json_string(struct buf *out, struct slice s)
{
    buf_append_byte(out, '"');
    while (s.size > 0) {
        size_t size;
        int32_t c = decode(s, &size);
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

const char *cli_parse_number(struct arena *a, const char *text, int base,
                             bool is_signed, int64_t *ret_value)
{
    uint64_t u = 0;
    int64_t i = 0;
    int err = is_signed ? text_parse_i64(text, base, &i)
                        : text_parse_u64(text, base, &u);
    if (err == 0) {
        *ret_value = is_signed ? i : (int64_t)u;
        return NULL;
    }
    struct buf quoted = BUF_INIT(CLI_LINE_SIZE_MAX);
    cli_quote(&quoted, slice_str(text));
    const char *error = arena_printf(
        a, "strconv.Parse%s: parsing %.*s: %s", is_signed ? "Int" : "Uint",
        (int)quoted.size, (char *)quoted.data,
        err == ERR_TOO_LARGE ? "value out of range" : "invalid syntax");
    buf_release(&quoted);
    return error;
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
