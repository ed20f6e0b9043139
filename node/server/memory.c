/*
 * What was freed goes back to the system when work has ceased, on the pool;
 * the heap keeps it meanwhile, since memory that is given back and taken
 * again for each answer costs more than making the answer. Who allocates
 * waits while it is done (4 ms for 50 MiB, measured), so where work goes on
 * it is done seldom.
 */
#include "node.h"

enum {
    CALM_MAX = 1000,    /* work in an interval that counts as none */
    BUSY_TICKS_MAX = 5, /* intervals until it is done all the same */
};

/* A sum that grows with everything that leaves free memory behind. */
static uint64_t work_done(const struct node *n)
{
    struct grpc_server_stats calls;
    struct kvdb_stats store;
    grpc_server_get_stats(n->grpc, &calls);
    kvdb_get_stats(n->db, &store);
    return calls.messages_received + calls.messages_sent + store.commit_count +
           mvcc_applied_index(n->mvcc);
}

static void work(void *ctx)
{
    mem_trim();
}

static void done(void *ctx)
{
    struct node *n = ctx;
    n->trim.is_busy = false;
}

void node_trim_memory(struct node *n)
{
    struct node_trim *t = &n->trim;
    uint64_t now = work_done(n);
    bool is_calm = now - t->seen <= CALM_MAX;
    t->seen = now;
    if (t->is_busy || now == t->trimmed) {
        return;
    }
    if (!is_calm && ++t->busy_ticks < BUSY_TICKS_MAX) {
        return;
    }
    t->busy_ticks = 0;
    t->trimmed = now;
    t->is_busy = true;
    loop_offload(n->loop, work, done, n);
}
