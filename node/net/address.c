/* Addresses as text and as the kernel wants them. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/err.h"
#include "net/internal.h"

int net_error(int number)
{
    switch (number) {
    case EAGAIN:
        return ERR_AGAIN;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case ECONNREFUSED:
        return ERR_REFUSED;
    default:
        return ERR_IO;
    }
}

static void unix_text(const struct sockaddr_un *un, socklen_t size,
                      char *ret_text, size_t room)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    if (size <= head || un->sun_path[0] == 0) {
        snprintf(ret_text, room, "@");
    } else {
        snprintf(ret_text, room, "%.*s", (int)(size - head), un->sun_path);
    }
}

void net_address_text(const struct sockaddr_storage *ss, socklen_t size,
                      char *ret_text, size_t room)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (ss->ss_family == AF_UNIX) {
        unix_text((const struct sockaddr_un *)ss, size, ret_text, room);
    } else if (ss->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(ret_text, room, "%s:%u", host, ntohs(in->sin_port));
    } else if (ss->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)ss;
        const uint8_t *b = in->sin6_addr.s6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr)) {
            snprintf(ret_text, room, "%u.%u.%u.%u:%u", b[12], b[13], b[14],
                     b[15], ntohs(in->sin6_port));
        } else {
            inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
            snprintf(ret_text, room, "[%s]:%u", host, ntohs(in->sin6_port));
        }
    } else {
        snprintf(ret_text, room, "?");
    }
}

bool net_address_numeric(const struct net_address *a,
                         struct sockaddr_storage *ret_ss, socklen_t *ret_size)
{
    struct sockaddr_storage ss = {0};
    struct sockaddr_un *un = (struct sockaddr_un *)&ss;
    struct sockaddr_in *in = (struct sockaddr_in *)&ss;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
    if (a->path[0]) {
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, a->path, sizeof a->path - 1);
        *ret_size = sizeof *un;
    } else if (uv_inet_pton(AF_INET, a->host, &in->sin_addr) == 0) {
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        *ret_size = sizeof *in;
    } else if (uv_ip6_addr(a->host, a->port, in6) == 0) {
        *ret_size = sizeof *in6;
    } else {
        return false;
    }
    *ret_ss = ss;
    return true;
}
