/*
 * A connection that has gone silent under open calls: the other machine may
 * be gone without a word, and a watch would wait for ever. After a time
 * without a byte it is asked by PING; what is then silent for the timeout as
 * well is cut, and its calls are told.
 */
#include "grpc/client.h"

static void on_probe(void *ctx)
{
    struct grpc_link *k = ctx;
    uint64_t silent_ms = loop_now_ms(conn_loop(k->conn)) - k->heard_ms;
    if (k->is_probing) {
        grpc_link_cut(k);
    } else if (silent_ms < k->keepalive_ms) {
        timer_start(k->probe, k->keepalive_ms - silent_ms, 0);
    } else if (h2_session_stream_count(k->h2) == 0) {
        /* Nobody waits, and servers do not like to be asked for nothing. */
        timer_start(k->probe, k->keepalive_ms, 0);
    } else {
        k->is_probing = true;
        h2_session_ping(k->h2);
        timer_start(k->probe, k->keepalive_timeout_ms, 0);
    }
}

void grpc_keepalive_begin(struct grpc_link *k, const struct grpc_channel *ch)
{
    if (ch->keepalive_ms == 0) {
        return;
    }
    k->keepalive_ms = ch->keepalive_ms;
    k->keepalive_timeout_ms = ch->keepalive_timeout_ms;
    k->heard_ms = loop_now_ms(ch->loop);
    k->probe = timer_new(ch->loop, on_probe, k);
    timer_start(k->probe, k->keepalive_ms, 0);
}

void grpc_keepalive_heard(struct grpc_link *k)
{
    if (!k->probe) {
        return;
    }
    k->heard_ms = loop_now_ms(conn_loop(k->conn));
    if (k->is_probing) {
        k->is_probing = false;
        timer_start(k->probe, k->keepalive_ms, 0);
    }
}
