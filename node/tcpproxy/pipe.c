#include "pipe.h"

#include <stdlib.h>

struct side {
    struct side *other;
    struct conn *conn; /* NULL: gone */
    struct buf out;    /* for it */
    bool is_paused;
};

struct pipe {
    struct side sides[2];
};

static void on_data(void *ctx, struct slice data)
{
    struct side *s = ctx, *to = s->other;
    if (to->conn == NULL) {
        return;
    }
    buf_append_slice(&to->out, data);
    conn_want_flush(to->conn);
    if (to->out.size + conn_backlog(to->conn) > PIPE_BYTES_HIGH) {
        s->is_paused = true;
        conn_pause(s->conn, true);
    }
}

/* The socket takes bytes: what lies here goes, the other side is read on. */
static bool on_flush(void *ctx, struct buf *out)
{
    struct side *s = ctx, *from = s->other;
    buf_append_slice(out, buf_slice(&s->out));
    buf_reset(&s->out, 0);
    if (from->is_paused && from->conn) {
        from->is_paused = false;
        conn_pause(from->conn, false);
    }
    return false;
}

/* The other one is closed too, when it has what was on its way. */
static void on_closed(void *ctx, int err)
{
    struct side *s = ctx, *other = s->other;
    s->conn = NULL;
    buf_release(&s->out);
    if (other->conn) {
        conn_close(other->conn, true);
    } else {
        struct side *first = s < other ? s : other;
        free(container_of(first, struct pipe, sides[0]));
    }
}

void pipe_new(struct conn *a, struct conn *b)
{
    static const struct conn_handler handler = {
        .on_data = on_data, .on_flush = on_flush, .on_closed = on_closed};
    struct pipe *p = mem_zalloc(sizeof *p);
    struct conn *conns[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        p->sides[i].other = &p->sides[1 - i];
        p->sides[i].conn = conns[i];
        buf_init(&p->sides[i].out, SIZE_MAX);
    }
    conn_set_handler(a, &handler, &p->sides[0]);
    conn_set_handler(b, &handler, &p->sides[1]);
}
