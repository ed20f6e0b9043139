/*
 * What was freed goes back to the system now and then, on the pool, and only
 * after work: the heap keeps it meanwhile, since memory that is given back
 * and taken again for each answer costs more than making the answer.
 */
#include "node.h"

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
    n->trimming = false;
}

void node_trim_memory(struct node *n)
{
    uint64_t now = work_done(n);
    if (n->trimming || now == n->trimmed_at) {
        return;
    }
    n->trimmed_at = now;
    n->trimming = true;
    loop_offload(n->loop, work, done, n);
}
