/*
 * From folders and flags to an open log, store and replica. Nothing is ever
 * deleted here; what does not fit together is refused with its path and
 * what to do.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "boot.h"
#include "node.h"

enum {
    LOCK_WAIT_MS = 5000,
    LOCK_POLL_MS = 50,
    LOG_POLL_US = 200,
    DISK_FULL_BYTES = 1 << 20, /* less free than this: full */
};

static int make_folder(const char *path)
{
    struct stat st;
    if (mkdir(path, 0700) == 0) {
        return 0;
    }
    if (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        if (access(path, R_OK | W_OK | X_OK) != 0) {
            return boot_refuse("cannot access data directory", path,
                               "give this user read and write access to it");
        }
        return 0;
    }
    if (errno == ENOENT) {
        char *parent = mem_strdup(path), *slash = strrchr(parent, '/');
        int err = ERR_NOT_FOUND;
        if (slash && slash != parent) {
            *slash = '\0';
            err = make_folder(parent);
        }
        free(parent);
        return err || mkdir(path, 0700) != 0
                   ? boot_refuse("cannot access data directory", path,
                                 strerror(ENOENT))
                   : 0;
    }
    return boot_refuse("cannot access data directory", path, strerror(errno));
}

static int make_folders(struct node *n)
{
    const struct config *c = n->config;
    struct node_paths *p = &n->paths;
    p->member = mem_printf("%s/member", c->data_dir);
    p->wal = c->wal_dir[0] ? mem_strdup(c->wal_dir)
                           : mem_printf("%s/wal", p->member);
    p->store = mem_printf("%s/store.mdb", p->member);
    p->incoming = mem_printf("%s/store.new.mdb", p->member);
    p->snap = mem_printf("%s/snap", p->member);
    int err = make_folder(c->data_dir);
    if (err == 0) {
        err = make_folder(p->member);
    }
    if (err == 0) {
        err = make_folder(p->snap);
    }
    return err;
}

/* A folder of an etcd is not ours to open, nor to overwrite. */
static int check_foreign(struct node *n)
{
    char *db = mem_printf("%s/snap/db", n->paths.member);
    int err = 0;
    if (access(db, F_OK) == 0) {
        err = boot_refuse("this data directory belongs to an etcd", db,
                          "join with an empty directory, or restore a snapshot "
                          "taken with etcdctl snapshot save");
    }
    free(db);
    return err;
}

/* ---- WAL callbacks ---- */

static void wal_notified(void *ctx)
{
    struct node *n = ctx;
    waker_wake(n->wal_waker);
}

static void storage_failed(void *ctx, int err, const char *text)
{
    /* Nothing that depends on the failed write has left this process, and
     * nothing may: so it ends here, without a clean-up that would write. */
    const struct node *n = ctx;
    struct statvfs disk;
    uint64_t free_bytes = 0;
    if (statvfs(n->paths.member, &disk) == 0) {
        free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    }
    log_error(
        "storage failed; this member ends before it could "
        "acknowledge what is not on disk",
        LOG_ERR(free_bytes < DISK_FULL_BYTES ? ERR_NO_SPACE : err),
        LOG_STR("cause", text), LOG_UINT("disk-free-bytes", free_bytes),
        LOG_STR("what-to-do", free_bytes < DISK_FULL_BYTES
                                  ? "make room on the disk, then start again"
                                  : "look after the disk, then start again"));
    _exit(1);
}

static void db_notified(void *ctx)
{
    struct node *n = ctx;
    waker_wake(n->db_waker);
}

struct kvdb_config boot_kvdb_config(struct node *n)
{
    return (struct kvdb_config){
        .path = n->paths.store,
        .no_fsync = n->config->unsafe_no_fsync,
        .notify = db_notified,
        .fatal = storage_failed,
        .ctx = n,
    };
}

static struct wal_config wal_config_of(struct node *n)
{
    return (struct wal_config){
        .dir = n->paths.wal,
        .no_fsync = n->config->unsafe_no_fsync,
        .notify = wal_notified,
        .fatal = storage_failed,
        .ctx = n,
    };
}

/* ---- a new member ---- */

static const struct member *find_self(const struct node *n,
                                      const struct members *ms)
{
    for (uint32_t i = 0; i < ms->count; i++) {
        if (strcmp(ms->list[i].name, n->config->name) == 0) {
            return &ms->list[i];
        }
    }
    return NULL;
}

static int check_self(const struct node *n, const struct members *ms,
                      const struct member *self)
{
    const struct url_list *own = &n->config->initial_advertise_peer_urls;
    if (self == NULL) {
        char *text = mem_printf("couldn't find local name \"%s\" in the "
                                "initial cluster configuration",
                                n->config->name);
        log_error("bootstrap failed", LOG_STR("error", text),
                  LOG_STR("initial-cluster", n->config->initial_cluster),
                  LOG_STR("what-to-do", "include this member's --name in "
                                        "--initial-cluster"));
        free(text);
        return ERR_INVALID;
    }
    bool same = own->count == self->peer_url_count;
    for (uint32_t i = 0; same && i < own->count; i++) {
        same = strcmp(own->urls[i], self->peer_urls[i]) == 0;
    }
    if (!same) {
        log_error("bootstrap failed",
                  LOG_STR("error", "--initial-cluster has other URLs for this "
                                   "member than --initial-advertise-peer-urls"),
                  LOG_STR("name", self->name),
                  LOG_STR("initial-cluster", n->config->initial_cluster),
                  LOG_STR("initial-advertise-peer-urls", own->text),
                  LOG_STR("what-to-do", "make the two agree"));
        return ERR_INVALID;
    }
    return 0;
}

void boot_sync_log(struct wal *w)
{
    uint64_t sequence = wal_submit(w, true);
    while (wal_durable(w) < sequence) {
        usleep(LOG_POLL_US);
    }
}

static bool is_joining(const struct node *n)
{
    return strcmp(n->config->initial_cluster_state, "existing") == 0;
}

static int create(struct node *n, struct boot_log *log)
{
    const struct config *c = n->config;
    struct members ms;
    const char *why = NULL;
    if (access(n->paths.store, F_OK) == 0) {
        return boot_refuse("the store is here but its log is not", n->paths.wal,
                           "put the log back (is --wal-dir right?), or start "
                           "with an empty data directory");
    }
    if (members_parse(c->initial_cluster, c->initial_cluster_token, &ms,
                      &why) != 0) {
        char *text = mem_printf("error setting up initial cluster: initial "
                                "cluster %s %s",
                                c->initial_cluster, why);
        log_error("bootstrap failed", LOG_STR("error", text));
        free(text);
        return ERR_INVALID;
    }
    const struct member *self = find_self(n, &ms);
    bool joins = is_joining(n);
    int err = check_self(n, &ms, self);
    if (err == 0 && joins) {
        err = boot_join(n, &ms, self);
    } else if (err == 0) {
        err = boot_check_learners(n, 0);
    }
    if (err == 0 && !joins) {
        n->id = self->id;
        n->cluster_id = ms.cluster_id;
        err = boot_check_lost(n, &ms);
    }
    if (err == 0) {
        struct wal_config wc = wal_config_of(n);
        struct wal_identity who = {n->id, n->cluster_id};
        err = wal_create(&wc, &who, &n->wal);
        if (err) {
            boot_refuse("cannot create the log", n->paths.wal,
                        wal_error_text());
        }
    }
    if (err == 0 && !joins) {
        boot_first_entries(n->wal, &ms, log);
    }
    members_release(&ms);
    return err;
}

/* ---- a member with a past ---- */

/* The first start of a new cluster was cut off after it had made the log. */
static int write_again(struct node *n, struct boot_log *log)
{
    const struct config *c = n->config;
    struct members ms;
    const char *why = NULL;
    int err =
        members_parse(c->initial_cluster, c->initial_cluster_token, &ms, &why);
    if (err == 0) {
        const struct member *self = members_find(&ms, n->id);
        err = self && ms.cluster_id == n->cluster_id ? 0 : ERR_MISMATCH;
        if (err == 0) {
            boot_first_entries(n->wal, &ms, log);
        }
        members_release(&ms);
    }
    return err == 0 ? 0
                    : boot_refuse("the first start of this member was cut off",
                                  n->paths.wal,
                                  "start it with the flags of that start, or "
                                  "with an empty data directory");
}

static int reopen(struct node *n, struct boot_log *log)
{
    struct wal_config wc = wal_config_of(n);
    struct wal_replay replay;
    struct wal_identity who;
    boot_log_replay(log, &replay);
    int err = wal_open(&wc, &replay, &who, &n->wal);
    /* A process that was killed a moment ago may still be on its way out. */
    for (int i = 0; err == ERR_BUSY && i < LOCK_WAIT_MS; i += LOCK_POLL_MS) {
        if (i == 0) {
            log_warn("the log is in use by another process; waiting",
                     LOG_STR("path", n->paths.wal));
        }
        usleep(LOCK_POLL_MS * 1000);
        err = wal_open(&wc, &replay, &who, &n->wal);
    }
    if (err) {
        return boot_refuse("cannot open the log", n->paths.wal,
                           wal_error_text());
    }
    n->id = who.member_id;
    n->cluster_id = who.cluster_id;
    return is_joining(n) || !boot_log_is_empty(log) ? 0 : write_again(n, log);
}

static int start_replica(struct node *n, struct boot_log *log)
{
    struct replica_config rc;
    struct replica_rim rim;
    boot_replica_config(n, loop_now_ns(n->loop) ^ n->id, &rc);
    node_replica_rim(n, &rim);
    return boot_replica(n, log, &rc, &rim);
}

int node_boot(struct node *n)
{
    struct boot_log log;
    int err = make_folders(n);
    if (err == 0) {
        err = check_foreign(n);
    }
    if (err) {
        return err;
    }
    bool has_log = wal_exists(n->paths.wal);
    if (has_log) {
        log_info("server has already been initialized",
                 LOG_STR("data-dir", n->config->data_dir),
                 LOG_STR("dir-type", "member"));
    } else {
        log_info("Initialize and start etcd server",
                 LOG_STR("data-dir", n->config->data_dir),
                 LOG_STR("dir-type", "empty"));
    }
    boot_log_init(&log, n->config->snapshot_catchup_entries,
                  NODE_LOG_BYTES_MAX);
    err = has_log ? reopen(n, &log) : create(n, &log);
    if (err == 0) {
        err = node_image_finish(n, log.installed);
    }
    if (err == 0) {
        err = node_store_open(n);
    }
    if (err == 0 && n->config->force_new_cluster) {
        err = boot_force_new(n, &log);
    }
    if (err == 0) {
        err = start_replica(n, &log);
    }
    boot_log_release(&log);
    return err;
}
