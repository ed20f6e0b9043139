/*
 * A member that was removed from its cluster stops by itself and says why,
 * so that it does not go on asking the others for votes, nor serving what
 * grows old.
 */
#include "base/log.h"
#include "node.h"

enum { REMOVED_WAIT_MS = 1000 };

/* Also when a peer answers that we are out. */
void node_removed(void *ctx)
{
    struct node *n = ctx;
    if (n->stopping) {
        return;
    }
    log_warn("server error",
             LOG_STR("error", "the member has been permanently removed from "
                              "the cluster"));
    log_warn("data-dir used by this member must be removed",
             LOG_STR("data-dir", n->config->data_dir));
    n->exit_status = 0;
    node_stop_clients(n);
}

void node_removed_soon(struct node *n)
{
    if (n->removal == NULL) {
        n->removal = timer_new(n->loop, node_removed, n);
        timer_start(n->removal, REMOVED_WAIT_MS, 0);
    }
}
