/*
 * A store image from the leader. The old state stays usable until the new
 * one is proven: the image is read into a fresh store beside the old one
 * before Raft hears of it, the log notes that from here on the new one
 * counts, then the files change places. A crash in between is finished at
 * the next start.
 *
 *   arrived (file) -> store.new.mdb filled (bulk) -> named after its
 *   index: store.new.<index>.mdb -> Raft takes it -> install record durable
 *   in the WAL -> renamed to store.mdb -> reopen -> go on
 *
 * The name tells a store that is whole, and of which record, from what else
 * a crash may leave there. The sender has its answer when Raft has taken the
 * image; one that cannot be read is refused, and nothing has changed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/log.h"
#include "boot.h"
#include "node.h"

#define WHOLE_PREFIX "store.new."

struct node_install {
    struct node *node;
    struct raft_message message;  /* until Raft has it */
    struct peer_request *request; /* until it is answered */
    char *image;                  /* file, ours, until it was read */
    uint64_t image_index;         /* of the message */
    struct raft_snapshot_meta meta;
    int err;
    uint64_t index; /* of the store that was made of it */
    uint64_t term;
};

static char *whole_path(const struct node *n, uint64_t index)
{
    return mem_printf("%s/" WHOLE_PREFIX "%llu.mdb", n->paths.member,
                      (unsigned long long)index);
}

static int sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = fd < 0 || fsync(fd) != 0 ? ERR_IO : 0;
    if (fd >= 0) {
        close(fd);
    }
    return err;
}

/* Both names are durable when it returns 0. */
static int move(const struct node *n, const char *from, const char *to)
{
    return rename(from, to) == 0 ? sync_folder(n->paths.member) : ERR_IO;
}

static int name_whole(const struct node *n, uint64_t index)
{
    char *whole = whole_path(n, index);
    int err = move(n, n->paths.incoming, whole);
    free(whole);
    return err;
}

static int take_place(const struct node *n, uint64_t index)
{
    char *whole = whole_path(n, index);
    int err = move(n, whole, n->paths.store);
    free(whole);
    return err;
}

static void remove_whole(const struct node *n, uint64_t index)
{
    char *whole = whole_path(n, index);
    unlink(whole);
    free(whole);
}

/* ---- before Raft has it ---- */

/* On a bulk thread. */
static void fill(void *ctx)
{
    struct node_install *in = ctx;
    const struct node *n = in->node;
    unlink(n->paths.incoming);
    in->err = mvcc_install(in->image, n->paths.incoming, in->image_index,
                           &in->index, &in->term);
    unlink(in->image);
    if (in->err == 0) {
        in->err = name_whole(n, in->index);
    }
}

static void answer(struct peer_request *rq, int status, const char *text)
{
    peer_answer(rq, status, text ? "text/plain; charset=utf-8" : NULL,
                text ? slice_str(text) : slice_of(NULL, 0));
}

static void install_end(struct node_install *in)
{
    in->node->install = NULL;
    raft_message_release(&in->message);
    free(in->image);
    free(in);
}

/* Gives the message to Raft; true when it will install the image. */
static bool raft_takes(struct replica *r, struct raft_message *m)
{
    struct raft *raft = replica_raft(r);
    uint64_t before = raft_incoming(raft);
    replica_step(r, m);
    return raft_incoming(raft) != before;
}

static void filled(void *ctx)
{
    struct node_install *in = ctx;
    struct node *n = in->node;
    if (in->err) {
        log_error("a store image from a peer cannot be installed",
                  LOG_ERR(in->err), LOG_ID("from", in->message.from),
                  LOG_STR("path", in->image),
                  LOG_UINT("index", in->image_index));
        answer(in->request, 500, "the image cannot be installed\n");
        install_end(in);
        return;
    }
    if (n->stopping) {
        answer(in->request, 500, "this member is stopping\n");
        install_end(in);
        return;
    }
    bool is_taken = raft_takes(n->replica, &in->message);
    in->message = (struct raft_message){0};
    answer(in->request, 204, NULL);
    if (!is_taken) {
        remove_whole(n, in->index); /* it took so long that none is needed */
        install_end(in);
    }
}

void node_image_arrived(void *ctx, struct raft_message *m, const char *path,
                        uint64_t bytes, struct peer_request *rq)
{
    struct node *n = ctx;
    if (n->stopping || n->install) {
        unlink(path);
        raft_message_release(m);
        answer(rq, 500,
               n->stopping ? "this member is stopping\n"
                           : "an image is being installed\n");
        return;
    }
    if (!raft_wants_snapshot(replica_raft(n->replica), m)) {
        replica_step(n->replica, m); /* the sender hears why */
        unlink(path);
        answer(rq, 204, NULL);
        return;
    }
    struct node_install *in = mem_zalloc(sizeof *in);
    *in = (struct node_install){
        .node = n,
        .message = *m,
        .request = rq,
        .image = mem_strdup(path),
        .image_index = m->snapshot->index,
    };
    n->install = in;
    loop_offload_bulk(n->loop, fill, filled, in);
}

/* ---- when Raft has it ---- */

static void write_install_record(struct node *n, const struct node_install *in)
{
    const uint8_t mark = BOOT_MARK_INSTALL;
    wal_snapshot(n->wal, in->index, in->term, slice_of(&mark, 1));
    const struct raft_status *now = replica_status(n->replica);
    wal_hard_state(n->wal, now->term, now->vote, in->index);
    boot_sync_log(n->wal);
}

static void put_in_place(void *ctx)
{
    struct node_install *in = ctx;
    struct node *n = in->node;
    if (n->stopping) {
        install_end(in);
        return;
    }
    if (!HAS_BUG(INSTALL_UNRECORDED)) {
        write_install_record(n, in);
    }
    node_store_close(n);
    int err = take_place(n, in->index);
    if (err == 0) {
        err = node_store_open(n);
    }
    if (err) {
        log_fatal("cannot open the installed store", LOG_ERR(err),
                  LOG_STR("path", n->paths.store));
    }
    watch_set_store(n->watch, n->mvcc);
    api_set_store(n->api, n->mvcc, n->db);
    node_put_peers(n, &n->members);
    log_info("applied snapshot",
             LOG_UINT("incoming-leader-snapshot-index", in->meta.index),
             LOG_UINT("incoming-leader-snapshot-term", in->meta.term));
    replica_installed(n->replica, &in->meta);
    node_offer_image(n); /* it may lead before anything else is applied */
    install_end(in);
}

static void nothing(void *ctx)
{
}

void node_image_install(struct node *n, const struct raft_snapshot_meta *meta)
{
    struct node_install *in = n->install;
    if (in == NULL || in->image_index != meta->index) {
        log_fatal("Raft took a snapshot whose image is not here",
                  LOG_UINT("index", meta->index));
        return;
    }
    log_info("applying snapshot",
             LOG_UINT("current-applied-index", mvcc_applied_index(n->mvcc)),
             LOG_UINT("incoming-leader-snapshot-index", meta->index),
             LOG_UINT("incoming-leader-snapshot-term", meta->term));
    in->meta = *meta;
    loop_offload(n->loop, nothing, put_in_place, in); /* after this pass */
}

/* ---- at start ---- */

/* Installs that were cut off leave files as large as stores. */
static void remove_leftovers(const struct node *n)
{
    DIR *folder = opendir(n->paths.member);
    struct dirent *it;
    while (folder && (it = readdir(folder)) != NULL) {
        if (strncmp(it->d_name, WHOLE_PREFIX, strlen(WHOLE_PREFIX)) == 0) {
            char *path = mem_printf("%s/%s", n->paths.member, it->d_name);
            unlink(path);
            free(path);
        }
    }
    if (folder) {
        closedir(folder);
    }
}

/* The log says that an image was installed; the rename may be missing. */
int node_image_finish(struct node *n, uint64_t snapshot_index)
{
    char *whole = whole_path(n, snapshot_index);
    int err = 0;
    if (snapshot_index != 0 && access(whole, F_OK) == 0) {
        log_info("finishing the install of a store image",
                 LOG_STR("path", whole), LOG_UINT("index", snapshot_index));
        err = take_place(n, snapshot_index);
    }
    free(whole);
    if (err == 0) {
        remove_leftovers(n);
    }
    return err;
}
