/* SIGTERM and SIGINT. */
#include <signal.h>
#include <unistd.h>

#include "net/internal.h"

static void on_signal(uv_signal_t *h, int number)
{
    struct loop_signals *s = h->data;
    s->number = number;
    loop_stop(s->loop);
}

void loop_stop_on_signals(struct loop *l, struct loop_signals *s)
{
    s->loop = l;
    s->number = 0;
    s->on_term.data = s->on_int.data = s;
    uv_signal_init(&l->uv, &s->on_term);
    uv_signal_init(&l->uv, &s->on_int);
    uv_signal_start(&s->on_term, on_signal, SIGTERM);
    uv_signal_start(&s->on_int, on_signal, SIGINT);
}

int loop_exit_by_signal(int number)
{
    signal(number, SIG_DFL);
    if (getpid() != 1) {
        raise(number);
    }
    return 0;
}
