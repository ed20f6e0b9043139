/*
 * Backups, without a server: what is in an image, and a new member that
 * begins with one. The image may be an etcd's (3.4 to 3.7) or our own; it is
 * read as a stream, so memory does not grow with it.
 *
 * Stands beside the way of a Put: the command line calls it, node_boot()
 * opens what it leaves behind. The calling thread waits. Nothing is logged
 * here; restore_error_text() tells what a failure was.
 */
#ifndef RESTORE_RESTORE_H
#define RESTORE_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

struct restore_options {
    const char *image;
    const char *data_dir;
    const char *wal_dir; /* "" or NULL: inside the data directory */
    const char *name;
    const char *initial_cluster;
    const char *token;
    const char *advertise_peer_urls; /* separated by commas */
    bool skip_hash_check;
    int64_t bump_revision; /* > 0: the revision goes up by as much, and all
                              history so far counts as compacted */
    /* Each member of the new cluster, in order of their ids; may be NULL. */
    void (*on_member)(void *ctx, uint64_t cluster_id, uint64_t id,
                      const char *peer_urls);
    void *ctx;
};

/* Makes the data directory of member `name` of a new cluster. It is written
 * aside and renamed: what fails leaves nothing, what is cut off leaves
 * nothing that a node would take for a member, and can be begun again. Every
 * member of the cluster is restored from the same image.
 * ERR_INVALID (what was asked for), ERR_EXISTS (a folder is not empty),
 * ERR_NOT_FOUND (no such image), ERR_CORRUPT, ERR_UNSUPPORTED,
 * ERR_TOO_LARGE (revision), ERR_NO_SPACE, ERR_IO. */
int restore_run(const struct restore_options *options);

struct restore_status {
    uint32_t hash; /* CRC-32C over all buckets */
    int64_t revision;
    int64_t key_count; /* that live now */
    uint64_t bytes;    /* without the checksum behind */
    char version[32];  /* of the storage; "" before 3.6 */
};
/* Reads the whole image, and with that checks its structure. `scratch`: a
 * folder for a temporary store, which is needed only where a compaction was
 * interrupted. ERR_NOT_FOUND, ERR_TOO_LARGE (the file is too small to be an
 * image), ERR_CORRUPT, ERR_IO, ERR_NO_SPACE. */
int restore_status_read(const char *image, const char *scratch,
                        struct restore_status *ret_status);

struct restore_hash {
    uint32_t hash;
    int64_t revision;
    int64_t compact_revision; /* -1: never */
};
/* HashKV as a member that holds the image would answer it; 0: the newest
 * revision. The image stays as it is; a temporary store is made in
 * `scratch`. ERR_COMPACTED, ERR_FUTURE and as above. */
int restore_hash_kv(const char *image, const char *scratch, int64_t revision,
                    struct restore_hash *ret_hash);

/* Of this thread's last failure; never NULL. */
const char *restore_error_text(void);

#endif
