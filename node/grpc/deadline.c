#include "grpc/internal.h"

static void arm(struct grpc_server *s)
{
    uint64_t next = wheel_next_ms(&s->wheel);
    uint64_t now = loop_now_ms(s->loop);
    s->wheel_armed_ms = 0;
    if (next != UINT64_MAX) {
        s->wheel_armed_ms = next;
        timer_start(s->wheel_timer, next > now ? next - now : 0, 0);
    }
}

void grpc_deadline_set(struct grpc_call *c, uint64_t timeout_ns)
{
    struct grpc_server *s = c->server;
    uint64_t now_ns = loop_now_ns(s->loop);
    uint64_t timeout_ms = (timeout_ns + 999999) / 1000000;
    c->deadline_ns = now_ns + timeout_ns;
    wheel_add(&s->wheel, &c->deadline, loop_now_ms(s->loop) + timeout_ms);
    if (!s->wheel_armed_ms || c->deadline.at_ms < s->wheel_armed_ms) {
        arm(s);
    }
}

/* As grpc-go does: no trailers, the client's own deadline has told it. */
static void expire(struct grpc_call *c)
{
    grpc_call_ref(c);
    grpc_call_settle(c, GRPC_DEADLINE_EXCEEDED);
    h2_stream_reset(&c->stream, NGHTTP2_CANCEL);
    grpc_call_end(c);
    grpc_call_unref(c);
}

void grpc_deadline_fire(void *ctx)
{
    struct grpc_server *s = ctx;
    uint64_t now = loop_now_ms(s->loop);
    struct wheel_node *n;
    while ((n = wheel_expire(&s->wheel, now))) {
        expire(container_of(n, struct grpc_call, deadline));
    }
    arm(s);
}
