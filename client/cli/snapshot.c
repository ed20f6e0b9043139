/* snapshot save: into FILE.part first, which becomes FILE when its checksum
 * fits and it is on the disk. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli.h"

static void log_opened(void *ctx)
{
    LOG_AT(LOG_LEVEL_INFO, "client", "opened snapshot stream; downloading");
    log_info("fetching snapshot", LOG_STR("endpoint", (const char *)ctx));
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The new name is on the disk only when its folder is. */
static int sync_folder(struct arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = !slash ? arena_strdup(a, ".")
                   : slash == path
                       ? arena_strdup(a, "/")
                       : arena_printf(a, "%.*s", (int)(slash - path), path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    int rc = fsync(fd);
    close(fd);
    return rc;
}

_Noreturn static void fail(const char *part, const char *why)
{
    unlink(part);
    cli_exit(CLI_EXIT_INTERRUPTED, "%s", why);
}

static void fetch(struct cli *x, int fd, const char *part, const char *endpoint,
                  struct cofre_snapshot *ret)
{
    struct buf size = BUF_INIT(64);
    int64_t start = now_ns();
    int code = cofre_snapshot(x->client, fd, log_opened,
                              (void *)(uintptr_t)endpoint, ret);
    if (code != COFRE_OK) {
        bool is_local = code == COFRE_DATA_LOSS || code == COFRE_UNKNOWN;
        fail(part, is_local ? cofre_error_text(x->client)
                            : cli_error_text(x->client, &x->flags.arena));
    }
    LOG_AT(LOG_LEVEL_INFO, "client", "completed snapshot read; closing");
    if (fsync(fd) != 0 || close(fd) != 0) {
        fail(part, strerror(errno));
    }
    cli_human_bytes(&size, ret->size);
    log_info("fetched snapshot", LOG_STR("endpoint", endpoint),
             LOG_SLICE("size", buf_slice(&size)),
             LOG_DURATION("took", now_ns() - start),
             LOG_STR("etcd-version", ret->version));
    buf_release(&size);
}

static void run_save(struct cli *x, int argc, char **argv)
{
    struct cofre_snapshot snapshot;
    size_t count = 0;
    if (argc != 1) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "snapshot save expects one argument <filename>");
    }
    cli_begin(x, CLI_TEXT_ONLY);
    const char *path = argv[0];
    char *part = arena_printf(&x->flags.arena, "%s.part", path);
    char **endpoints = cli_endpoints(x, &count);
    if (count != 1) {
        cli_exit(CLI_EXIT_INTERRUPTED,
                 "snapshot must be requested to one selected node, not "
                 "multiple [%s]",
                 pflag_text(&x->flags, "endpoints"));
    }
    cli_connect(x, pflag_given(&x->flags, "command-timeout"));
    int fd = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || fchmod(fd, 0600) != 0) {
        cli_exit(
            CLI_EXIT_INTERRUPTED, "could not open %s (open %s: %s)", part, part,
            errno == ENOENT ? "no such file or directory" : strerror(errno));
    }
    log_info("created temporary db file", LOG_STR("path", part));
    fetch(x, fd, part, endpoints[0], &snapshot);
    if (rename(part, path) != 0) {
        int error = errno;
        char *why =
            arena_printf(&x->flags.arena, "could not rename %s to %s (%s)",
                         part, path, strerror(error));
        fail(part, why);
    }
    if (sync_folder(&x->flags.arena, path) != 0) {
        cli_exit(CLI_EXIT_INTERRUPTED,
                 "%s is written, but its folder could "
                 "not be synchronised (%s)",
                 path, strerror(errno));
    }
    log_info("saved", LOG_STR("path", path));
    printf("Snapshot saved at %s\n", path);
    if (*snapshot.version) {
        printf("Server version %s\n", snapshot.version);
    }
}

static const struct cli_command save = {
    .name = "save",
    .arguments = "<filename>",
    .summary = "Saves the store of one node as a file",
    .parent = &cli_snapshot,
    .run = run_save,
};
const struct cli_command cli_snapshot = {
    .name = "snapshot",
    .summary = "Commands for snapshots",
    .group = "Cluster maintenance commands",
    .parent = &cli_root,
    .children = (const struct cli_command *const[]){
        &save, &cli_snapshot_status, &cli_snapshot_restore,
        &cli_snapshot_hashkv, NULL}};
