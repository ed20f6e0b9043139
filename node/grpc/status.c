/* Codes and texts as they travel. */
#include <stdio.h>

#include "base/text.h"
#include "grpc/internal.h"

const char *grpc_code_name(enum grpc_code code)
{
    static const char *const names[] = {
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    };
    return (unsigned)code <= GRPC_UNAUTHENTICATED ? names[code] : "Unknown";
}

static char *put_percent(char *at, const char *bytes, size_t size)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < size; i++) {
        uint8_t b = (uint8_t)bytes[i];
        *at++ = '%';
        *at++ = hex[b >> 4];
        *at++ = hex[b & 15];
    }
    return at;
}

struct slice grpc_status_encode(struct arena *a, const char *text)
{
    struct slice s = slice_str(text);
    char *start = arena_alloc(a, 9 * s.size + 1), *at = start;
    while (s.size) {
        size_t n = text_utf8_size(s);
        if (n == 1 && s.data[0] >= 0x20 && s.data[0] <= 0x7e &&
            s.data[0] != '%') {
            *at++ = (char)s.data[0];
        } else if (n) {
            at = put_percent(at, (const char *)s.data, n);
        } else {
            at = put_percent(at, "\xef\xbf\xbd", 3); /* U+FFFD */
            n = 1;
        }
        s = slice_from(s, n);
    }
    return slice_of(start, (size_t)(at - start));
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t grpc_status_decode(char *text, size_t size)
{
    size_t to = 0;
    for (size_t i = 0; i < size; i++) {
        int high = i + 2 < size ? hex_digit(text[i + 1]) : -1;
        int low = i + 2 < size ? hex_digit(text[i + 2]) : -1;
        if (text[i] == '%' && high >= 0 && low >= 0) {
            text[to++] = (char)(high << 4 | low);
            i += 2;
        } else {
            text[to++] = text[i];
        }
    }
    return to;
}

const char *grpc_status_quote(struct arena *a, struct slice s)
{
    struct buf text = BUF_INIT(UINT32_MAX);
    text_quote(&text, s);
    buf_append_byte(&text, 0);
    const char *copy = arena_dup(a, text.data, text.size);
    buf_release(&text);
    return copy;
}
