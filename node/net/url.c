#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "net/internal.h"

static struct slice trim(struct slice s)
{
    while (s.size && strchr(" \t\r\n", s.data[0])) {
        s = slice_from(s, 1);
    }
    while (s.size && strchr(" \t\r\n", s.data[s.size - 1])) {
        s.size--;
    }
    return s;
}

static int copy(struct slice s, char *ret_text, size_t room)
{
    if (s.size == 0 || s.size >= room || memchr(s.data, 0, s.size)) {
        return ERR_INVALID;
    }
    memcpy(ret_text, s.data, s.size);
    ret_text[s.size] = 0;
    return 0;
}

static int parse_port(struct slice s, uint16_t *ret_port)
{
    char text[8];
    uint64_t port = 0;
    if (copy(s, text, sizeof text) || text_parse_u64(text, 10, &port) ||
        port > UINT16_MAX) {
        return ERR_INVALID;
    }
    *ret_port = (uint16_t)port;
    return 0;
}

/* host:port or [host]:port; an empty host means every address. */
static int parse_host_port(struct slice s, struct net_address *ret)
{
    const uint8_t *colon = s.size ? memrchr(s.data, ':', s.size) : NULL;
    if (!colon) {
        return ERR_INVALID;
    }
    struct slice host = slice_of(s.data, (size_t)(colon - s.data));
    struct slice port = slice_from(s, host.size + 1);
    bool is_bracketed = host.size >= 2 && host.data[0] == '[';
    if (is_bracketed) {
        if (host.data[host.size - 1] != ']') {
            return ERR_INVALID;
        }
        host = slice_of(host.data + 1, host.size - 2);
    }
    for (size_t i = 0; i < host.size; i++) {
        uint8_t b = host.data[i];
        if (b <= ' ' || b == 0x7f || strchr("/?#@[]\\\"<>", b) ||
            (b == ':' && !is_bracketed)) {
            return ERR_INVALID;
        }
    }
    if (host.size && copy(host, ret->host, sizeof ret->host)) {
        return ERR_INVALID;
    }
    return parse_port(port, &ret->port);
}

int url_parse(const char *text, struct url *ret_url)
{
    static const struct {
        const char *scheme;
        bool tls, is_unix;
    } schemes[] = {{"http://", false, false},
                   {"https://", true, false},
                   {"unix://", false, true},
                   {"unixs://", true, true}};
    struct slice s = trim(slice_str(text));
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct slice scheme = slice_str(schemes[i].scheme);
        if (!slice_starts(s, scheme)) {
            continue;
        }
        struct url u = {.tls = schemes[i].tls, .is_unix = schemes[i].is_unix};
        struct slice rest = slice_from(s, scheme.size);
        int err = copy(s, u.text, sizeof u.text);
        if (err == 0 && u.is_unix) {
            err = copy(rest, u.address.path, sizeof u.address.path);
        } else if (err == 0) {
            err = parse_host_port(rest, &u.address);
        }
        if (err == 0) {
            *ret_url = u;
        }
        return err;
    }
    return ERR_INVALID;
}
