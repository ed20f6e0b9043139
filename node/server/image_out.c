/*
 * A store image for a follower that is behind the log: the store as it is
 * now, which may be a little newer than what Raft asked for.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "base/err.h"
#include "node.h"

struct sending {
    struct node *node;
    struct raft_message message;
    struct mvcc_image *image;
    uint64_t bytes;
    int err;
};

static void give_up(struct sending *s)
{
    node_image_sent(s->node, s->message.to, false);
    raft_message_release(&s->message);
    if (s->image) {
        mvcc_image_close(s->image);
    }
    free(s);
}

static void source_closed(void *ctx)
{
    struct sending *s = ctx;
    mvcc_image_close(s->image);
    free(s);
}

static void measure(void *ctx)
{
    struct sending *s = ctx;
    s->err = image_measure(mvcc_image_source(s->image), &s->bytes);
}

static void measured(void *ctx)
{
    struct sending *s = ctx;
    if (s->err || s->node->stopping) {
        give_up(s);
        return;
    }
    peer_send_snapshot(s->node->peers, &s->message, mvcc_image_source(s->image),
                       s->bytes, source_closed, s);
}

static void image_ready(void *ctx, struct mvcc_image *image, int err)
{
    struct sending *s = ctx;
    s->image = err ? NULL : image;
    if (err || s->node->stopping) {
        give_up(s);
        return;
    }
    if (mvcc_image_index(image) < s->node->conf_index &&
        !HAS_BUG(IMAGE_OLD_CONF)) {
        /* The members changed meanwhile: the configuration that goes along
         * must be the image's own, so a newer image. */
        mvcc_image_close(image);
        s->image = NULL;
        mvcc_image_open(s->node->mvcc, image_ready, s);
        return;
    }
    struct raft_snapshot_meta *meta = s->message.snapshot;
    meta->index = mvcc_image_index(image);
    meta->term = mvcc_image_term(image);
    if (!HAS_BUG(IMAGE_OLD_CONF)) {
        meta->conf = *raft_conf(replica_raft(s->node->replica));
    }
    loop_offload_bulk(s->node->loop, measure, measured, s);
}

void node_image_send(struct node *n, struct raft_message *m)
{
    struct sending *s = mem_zalloc(sizeof *s);
    node_image_begins(n, m->to);
    s->node = n;
    s->message = *m;
    *m = (struct raft_message){0};
    mvcc_image_open(n->mvcc, image_ready, s);
}
