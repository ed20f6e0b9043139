/* Two ends of one connection inside the process. */
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net/internal.h"

int conn_pair(struct loop *l, struct conn **ret_a, struct conn **ret_b)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                   fds) != 0) {
        return ERR_IO;
    }
    struct conn *a = net_conn_new(l, fds[0]);
    struct conn *b = a ? net_conn_new(l, fds[1]) : NULL;
    if (b == NULL) {
        close(fds[1]);
        if (a) {
            conn_close(a, false);
        } else {
            close(fds[0]);
        }
        return ERR_IO;
    }
    *ret_a = a;
    *ret_b = b;
    return 0;
}
