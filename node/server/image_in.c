/*
 * A store image from the leader. The old state stays usable until the new
 * one is proven: the image is read into a fresh store beside the old one,
 * the log notes that from here on it counts, then the files change places.
 * A crash in between is finished at the next start.
 *
 *   arrived (file) -> Raft takes it -> store.new.mdb filled on the pool
 *   -> named after its index: store.new.<index>.mdb -> install record durable
 *   in the WAL -> renamed to store.mdb -> reopen -> go on
 *
 * The name tells a store that is whole, and of which record, from what else
 * a crash may leave there.
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
    char *image;          /* file, ours */
    uint64_t image_index; /* of the message that came with it */
    struct raft_snapshot_meta meta;
    bool running;
    int err;
    uint64_t index;
    uint64_t term;
};

static void install_free(struct node_install *in)
{
    if (in) {
        unlink(in->image);
        free(in->image);
        free(in);
    }
}

void node_image_arrived(void *ctx, struct raft_message *m, const char *path,
                        uint64_t bytes, struct peer_request *rq)
{
    struct node *n = ctx;
    if (n->stopping || (n->install && n->install->running)) {
        unlink(path);
        raft_message_release(m);
        peer_answer(rq, 500, "text/plain; charset=utf-8",
                    slice_str("an image is being installed\n"));
        return;
    }
    struct raft *raft = replica_raft(n->replica);
    uint64_t before = raft_incoming(raft);
    replica_step(n->replica, m);
    if (raft_incoming(raft) != before) {
        install_free(n->install);
        n->install = mem_zalloc(sizeof *n->install);
        n->install->node = n;
        n->install->image = mem_strdup(path);
        n->install->image_index = raft_incoming(raft);
    } else {
        unlink(path); /* not wanted: what it brings is here, or on its way */
    }
    peer_answer(rq, 204, NULL, (struct slice){NULL, 0});
}

/* On the pool. */
static void fill(void *ctx)
{
    struct node_install *in = ctx;
    unlink(in->node->paths.incoming);
    in->err = mvcc_install(in->image, in->node->paths.incoming, in->meta.index,
                           &in->index, &in->term);
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

static char *whole_path(const struct node *n, uint64_t index)
{
    return mem_printf("%s/" WHOLE_PREFIX "%llu.mdb", n->paths.member,
                      (unsigned long long)index);
}

/* Both names are durable when it returns 0. */
static int move(struct node *n, const char *from, const char *to)
{
    return rename(from, to) == 0 ? sync_folder(n->paths.member) : ERR_IO;
}

static int name_whole(struct node *n, uint64_t index)
{
    char *whole = whole_path(n, index);
    int err = move(n, n->paths.incoming, whole);
    free(whole);
    return err;
}

static int take_place(struct node *n, uint64_t index)
{
    char *whole = whole_path(n, index);
    int err = move(n, whole, n->paths.store);
    free(whole);
    return err;
}

static void write_install_record(struct node *n, const struct node_install *in)
{
    const uint8_t mark = BOOT_MARK_INSTALL;
    wal_snapshot(n->wal, in->index, in->term, slice_of(&mark, 1));
    const struct raft_status *now = replica_status(n->replica);
    wal_hard_state(n->wal, now->term, now->vote, in->index);
    boot_sync_log(n->wal);
}

static void filled(void *ctx)
{
    struct node_install *in = ctx;
    struct node *n = in->node;
    n->install = NULL;
    if (in->err || n->stopping) {
        if (in->err) {
            log_fatal("a store image from the leader could not be installed",
                      LOG_ERR(in->err), LOG_STR("path", in->image),
                      LOG_UINT("index", in->meta.index));
        }
        install_free(in);
        return;
    }
    int err = name_whole(n, in->index);
    if (err == 0) {
        if (!HAS_BUG(INSTALL_UNRECORDED)) {
            write_install_record(n, in);
        }
        node_store_close(n);
        err = take_place(n, in->index);
    }
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
    install_free(in);
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
    in->running = true;
    loop_offload(n->loop, fill, filled, in);
}

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
