/* Strings as Go prints them by %q. */
#include "text.h"

int32_t text_utf8_decode(struct slice s, size_t *ret_size)
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

void text_quote(struct buf *out, struct slice s)
{
    buf_append_byte(out, '"');
    while (s.size > 0) {
        size_t size;
        int32_t c = text_utf8_decode(s, &size);
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
