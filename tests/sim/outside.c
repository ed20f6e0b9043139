/* What server/ asks of its rim: the loop, the peers, the clients' side. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "sim.h"

/* ---- loop ---- */

uint64_t loop_now_ms(const struct loop *l)
{
    return sim_world()->now;
}

void loop_offload(struct loop *l, void (*work)(void *ctx),
                  void (*done)(void *ctx), void *ctx)
{
    struct sim *s = sim_world();
    struct sim_task *t = mem_zalloc(sizeof *t);
    *t = (struct sim_task){
        .due = s->now + 1 + sim_pick(&s->disk, s->is_calm ? 5 : 60),
        .member = l->member,
        .life = l->member->life,
        .work = work,
        .done = done,
        .ctx = ctx,
    };
    struct sim_task **end = &s->tasks;
    while (*end) {
        end = &(*end)->next;
    }
    *end = t;
}

void loop_offload_bulk(struct loop *l, void (*work)(void *ctx),
                       void (*done)(void *ctx), void *ctx)
{
    loop_offload(l, work, done, ctx);
}

static struct sim_task *take_task(struct sim *s, struct sim_task **at)
{
    struct sim_task *t = *at;
    *at = t->next;
    return t;
}

void sim_tasks_run(struct sim *s)
{
    struct sim_task **at = &s->tasks;
    while (*at && !s->failure[0]) {
        if ((*at)->due > s->now || (*at)->member->frozen_until > s->now) {
            at = &(*at)->next;
            continue;
        }
        struct sim_task *t = take_task(s, at);
        s->running = t->member;
        if (setjmp(s->process) == 0) {
            if (t->work) {
                t->work(t->ctx);
            }
            t->done(t->ctx);
            s->running = NULL;
        } else {
            sim_member_crash(s, s->running);
        }
        free(t);
        at = &s->tasks; /* it may have added some */
    }
}

/* The process ends: what ran on its pool may be done in part. */
void sim_tasks_drop(struct sim *s, struct sim_member *m)
{
    struct sim_task **at = &s->tasks;
    while (*at) {
        if ((*at)->member != m) {
            at = &(*at)->next;
            continue;
        }
        struct sim_task *t = take_task(s, at);
        if (t->work && sim_chance(&s->disk, 500)) {
            t->work(t->ctx);
        }
        t->done(t->ctx);
        free(t);
        at = &s->tasks;
    }
}

/* ---- peers ---- */

bool peer_is_active(struct peer_hub *h, uint64_t id)
{
    struct sim *s = sim_world();
    struct sim_member *to = sim_member_of_id(s, id);
    return to && to->alive && sim_net_is_up(s, h->member->place, to->place);
}

void peer_send(struct peer_hub *h, struct raft_message *messages,
               uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        sim_net_send(sim_world(), h->member, &messages[i], NULL, 0);
        raft_message_release(&messages[i]);
    }
}

static int write_chunk(void *ctx, struct slice bytes)
{
    const int *fd = ctx;
    return write(*fd, bytes.data, bytes.size) == (ssize_t)bytes.size ? 0 : -1;
}

void peer_send_snapshot(struct peer_hub *h, struct raft_message *m,
                        const struct image_source *source, uint64_t image_bytes,
                        void (*closed)(void *ctx), void *ctx)
{
    struct sim *s = sim_world();
    char *path =
        mem_printf("%s/image.%lu", s->dir, (unsigned long)++s->image_count);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct image_sink sink = {.write = write_chunk, .ctx = &fd};
    if (fd < 0 || image_write(source, image_bytes, &sink) != 0) {
        sim_fail(s, "m%u: an image cannot be written", h->member->place);
    }
    close(fd);
    sim_net_send(s, h->member, m, path, image_bytes);
    raft_message_release(m);
    loop_offload(&h->member->loop, NULL, closed, ctx);
}

void peer_answer(struct peer_request *rq, int status, const char *content_type,
                 struct slice body)
{
    sim_net_answer(sim_world(), rq, status == 204);
}

void peer_hub_put(struct peer_hub *h, uint64_t id, char *const *urls,
                  uint32_t url_count)
{
}

void peer_hub_remove(struct peer_hub *h, uint64_t id)
{
}

/* ---- the clients' side ---- */

void api_applied(struct api *a)
{
}

void api_set_store(struct api *a, struct mvcc *mvcc, struct kvdb *db)
{
    struct sim *s = sim_world();
    s->installs++;
    sim_trace(s, "m%u installed", a->member->place);
}

/* ---- the rest of server/ ---- */

void node_image_begins(struct node *n, uint64_t id)
{
}

void node_image_sent(struct node *n, uint64_t id, bool ok)
{
    raft_report_snapshot(replica_raft(n->replica), id, ok);
}

static void storage_failed(void *ctx, int err, const char *text)
{
    struct sim *s = sim_world();
    struct sim_member *m = container_of(ctx, struct sim_member, node);
    if (m->alive) {
        sim_trace(s, "m%u storage failed", m->place);
        longjmp(s->process, 1);
    }
}

struct kvdb_config boot_kvdb_config(struct node *n)
{
    return (struct kvdb_config){
        .path = n->paths.store,
        .no_fsync = true,
        .no_thread = true,
        .fatal = storage_failed,
        .ctx = n,
    };
}

void boot_sync_log(struct wal *w)
{
    wal_submit(w, true);
    wal_run(w);
}

void node_version_leader(struct node *n)
{
}

void node_set_cluster_version(struct node *n, const char *version)
{
}

void node_removed_soon(struct node *n)
{
    struct sim_member *m = container_of(n, struct sim_member, node);
    if (!m->is_leaving) {
        m->is_leaving = true;
        m->leave_at = sim_world()->now + 100;
    }
}
