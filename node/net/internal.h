/* What the files of net/ share: the loop's parts and the connection. */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H

#include <sys/types.h>

#include "net/net.h"

enum {
    NET_READ_BYTES = 256 << 10,
    NET_OUT_BYTES_MAX = 256 << 20, /* what one on_flush may append */
    NET_ACCEPT_BATCH = 64,
    NET_LINGER_MS = 1000,
};

struct loop {
    uv_loop_t uv;
    uv_check_t check;     /* after the poll: the pass's hooks and flush */
    uv_prepare_t prepare; /* before it: the same for what timers queued */
    uv_idle_t idle;       /* active: the next poll does not block */
    struct timer *reaper; /* ends connections that drain too long */
    struct list hooks;
    struct list conns;     /* all */
    struct list dirty;     /* want a flush */
    struct list closed;    /* on_closed to be called, or to be freed */
    struct list leaving;   /* draining or lingering, in order of `leave_ms` */
    uint8_t *read_buf;     /* one for all connections */
    struct buf out;        /* likewise */
    struct net_bulk *bulk; /* NULL until there is a job for it */
};

void net_bulk_free(struct net_bulk *b);

/* open -> draining -> lingering -> closed; closed from each. Lingering: our
 * side is shut, what still comes in is thrown away, so that the kernel does
 * not answer it with a reset that would overtake our last bytes. */
enum conn_state {
    CONN_OPEN,
    CONN_DRAINING,
    CONN_LINGERING,
    CONN_CLOSED,
};

/* The bytes' way to the wire. Returns a count, 0 for the orderly end
 * (recv), ERR_AGAIN, ERR_IO, ERR_TIMEOUT. */
struct conn_ops {
    ssize_t (*recv)(struct conn *c, void *data, size_t size, bool peek);
    ssize_t (*send)(struct conn *c, const void *data, size_t size);
    void (*shut)(struct conn *c); /* no more output */
    void (*free)(struct conn *c); /* may be NULL */
};

struct conn {
    struct loop *loop;
    const struct conn_ops *ops;
    void *ops_ctx; /* the TLS session, later */
    const struct conn_handler *handler;
    void *ctx;
    uv_poll_t *poll; /* outlives the conn until its close callback */
    int fd;          /* -1 once closed */
    int events;      /* what `poll` waits for */
    enum conn_state state;
    int err; /* for on_closed */
    bool wants_flush;
    bool is_paused;
    bool was_told;
    size_t sent;        /* of `backlog` */
    struct buf backlog; /* empty, without memory, while all goes well */
    struct list link;
    struct list dirty_link;
    struct list closed_link;
    struct list leave_link;
    uint64_t leave_ms;
    char *local;
    char remote[72];
};

/* Takes a connected, non-blocking descriptor. */
struct conn *net_conn_new(struct loop *l, int fd);
/* Flushes what is dirty, tells what is closed; true if a callback ran. */
bool net_conn_pass(struct loop *l);
void net_conn_reap(struct loop *l);
void net_conn_free_all(struct loop *l);

int net_error(int number); /* errno -> ERR_* */
/* "1.2.3.4:5", "[::1]:5", "@" or a path. */
void net_address_text(const struct sockaddr_storage *ss, socklen_t size,
                      char *ret_text, size_t room);
/* Of an address in digits, or of a unix path; false for a name. */
bool net_address_numeric(const struct net_address *a,
                         struct sockaddr_storage *ret_ss, socklen_t *ret_size);

#endif
