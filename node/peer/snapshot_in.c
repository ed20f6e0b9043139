/*
 * A store image coming in, after the message it belongs to and before its
 * hash (a cofre sends one), into a file in the snapshot directory. The disk is
 * the pool's: while a job writes, what comes in is gathered, up to a limit;
 * then reading pauses.
 *
 *   head -> body (open, write, write ...) -> hash -> given to the rim
 *
 * A failure, or the end of the connection, removes the file.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/endian.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "peer/hub.h"

#define TMP_PREFIX "tmp-snapshot-"

struct peer_snapshot_in {
    struct peer_hub *hub;       /* NULL: gone, or dropped */
    struct peer_server *server; /* likewise */
    struct conn *conn;          /* likewise */
    struct loop *loop;
    uint64_t sender;
    struct buf head;
    struct raft_message message;
    bool has_message;
    struct buf gathered;
    bool is_paused;
    bool is_ended;  /* the body is whole */
    bool is_failed; /* answered with an error */
    bool is_job_running;
    uint64_t image_bytes; /* with the hash */
    uint64_t started_ns;
    /* The pool's, while a job runs: */
    struct buf writing;
    char *path;
    int fd; /* -1: not open */
    bool is_last;
    bool is_whole;
    int job_errno;
    struct image_hash *hash; /* NULL: the sender has none to hold against */
    uint8_t tail[IMAGE_HASH_SIZE]; /* the last bytes so far: the hash, or not */
    size_t tail_size;
};

/* ---- the pool's side ---- */

static int write_all(int fd, struct slice bytes)
{
    while (bytes.size) {
        ssize_t n = write(fd, bytes.data, bytes.size);
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        bytes = slice_from(bytes, n > 0 ? (size_t)n : 0);
    }
    return 0;
}

static int write_image(struct peer_snapshot_in *s, struct slice bytes)
{
    if (s->hash) {
        image_hash_add(s->hash, bytes);
    }
    return write_all(s->fd, bytes);
}

/* What may be the hash stays back. */
static int write_all_but_tail(struct peer_snapshot_in *s, struct slice bytes)
{
    size_t all = s->tail_size + bytes.size;
    size_t surplus = all > IMAGE_HASH_SIZE ? all - IMAGE_HASH_SIZE : 0;
    size_t old = surplus < s->tail_size ? surplus : s->tail_size;
    int err = write_image(s, slice_of(s->tail, old));
    if (err == 0) {
        err = write_image(s, slice_of(bytes.data, surplus - old));
    }
    memmove(s->tail, s->tail + old, s->tail_size - old);
    s->tail_size -= old;
    for (size_t i = surplus - old; i < bytes.size; i++) {
        s->tail[s->tail_size++] = bytes.data[i];
    }
    return err;
}

static int check_hash(struct peer_snapshot_in *s)
{
    uint8_t hash[IMAGE_HASH_SIZE];
    image_hash_end(s->hash, hash);
    return s->tail_size == sizeof hash &&
                   memcmp(hash, s->tail, sizeof hash) == 0
               ? 0
               : EBADMSG;
}

static int write_gathered(struct peer_snapshot_in *s)
{
    int err = s->hash ? write_all_but_tail(s, buf_slice(&s->writing))
                      : write_image(s, buf_slice(&s->writing));
    return err == 0 && s->is_last && s->hash ? check_hash(s) : err;
}

static void write_job(void *ctx)
{
    struct peer_snapshot_in *s = ctx;
    if (s->fd < 0) {
        s->fd = mkostemp(s->path, O_CLOEXEC);
    }
    s->job_errno = s->fd < 0 ? errno : write_gathered(s);
    if (s->job_errno == 0 && s->is_last) {
        s->is_whole = true; /* what is made of it will be synced, not it */
    }
    s->writing.size = 0;
}

static void remove_job(void *ctx)
{
    struct peer_snapshot_in *s = ctx;
    if (s->fd >= 0) {
        close(s->fd);
        unlink(s->path);
    }
}

static void on_removed(void *ctx)
{
    struct peer_snapshot_in *s = ctx;
    raft_message_release(&s->message);
    buf_release(&s->head);
    buf_release(&s->gathered);
    buf_release(&s->writing);
    image_hash_free(s->hash);
    free(s->path);
    free(s);
}

/* Only when no job runs. */
static void dispose(struct peer_snapshot_in *s)
{
    if (s->fd >= 0) {
        loop_offload_bulk(s->loop, remove_job, on_removed, s);
    } else {
        on_removed(s);
    }
}

/* ---- answers ---- */

static void refuse(struct peer_snapshot_in *s, int status, const char *what,
                   const char *why)
{
    if (s->is_failed) {
        return;
    }
    s->is_failed = true;
    log_warn("refused database snapshot",
             LOG_ID("local-member-id", s->hub->config.self),
             LOG_ID("remote-snapshot-sender-id", s->sender),
             LOG_STR("error", why ? why : what));
    char text[256];
    if (why) {
        snprintf(text, sizeof text, "%s (%s)", what, why);
    } else {
        snprintf(text, sizeof text, "%s", what);
    }
    peer_server_text(s->server, status, text, true);
}

/* The file is whole: it is the rim's now. */
static void give(struct peer_snapshot_in *s)
{
    struct peer_hub *h = s->hub;
    uint64_t bytes = s->image_bytes - s->tail_size;
    close(s->fd);
    s->fd = -1;
    log_info(
        "received and saved database snapshot",
        LOG_ID("local-member-id", h->config.self),
        LOG_ID("remote-snapshot-sender-id", s->sender),
        LOG_UINT("incoming-snapshot-index", s->message.snapshot->index),
        LOG_UINT("incoming-snapshot-size-bytes", bytes),
        LOG_STR("incoming-snapshot-size", peer_size_text(bytes).text),
        LOG_DURATION("download-took", loop_now_ns(s->loop) - s->started_ns));
    struct raft_message m = s->message;
    s->message = (struct raft_message){0};
    char *path = s->path;
    s->path = NULL;
    struct peer_request *rq = peer_server_wait(s->server);
    peer_server_forget_snapshot(s->server);
    peer_snapshot_in_drop(s);
    h->config.rim.snapshot(h->config.rim.ctx, &m, path, bytes, rq);
    free(path);
}

/* ---- the loop's side ---- */

static void on_written(void *ctx);

static void start_job(struct peer_snapshot_in *s)
{
    struct buf gathered = s->gathered;
    s->gathered = s->writing;
    s->writing = gathered;
    s->is_last = s->is_ended;
    s->is_job_running = true;
    loop_offload_bulk(s->loop, write_job, on_written, s);
}

static void pause_reading(struct peer_snapshot_in *s, bool is_paused)
{
    if (s->is_paused != is_paused) {
        s->is_paused = is_paused;
        conn_pause(s->conn, is_paused);
    }
}

static void on_written(void *ctx)
{
    struct peer_snapshot_in *s = ctx;
    s->is_job_running = false;
    if (!s->hub) {
        dispose(s);
        return;
    }
    if (s->is_failed) {
        return; /* waits for the connection to end */
    }
    if (s->job_errno != 0) {
        refuse(s, 500, "failed to save KV snapshot",
               s->job_errno == EBADMSG ? "it does not fit its hash"
                                       : strerror(s->job_errno));
        return;
    }
    if (s->is_whole) {
        give(s);
        return;
    }
    pause_reading(s, false);
    if (s->gathered.size || s->is_ended) {
        start_job(s);
    }
}

static bool is_sound(struct peer_snapshot_in *s)
{
    const struct raft_message *m = &s->message;
    if (m->type != RAFT_MSG_SNAP) {
        refuse(s, 400, "wrong raft message type", NULL);
        return false;
    }
    if (!m->snapshot || !m->snapshot->index) {
        refuse(s, 400, "failed to decode raft message", "no snapshot in it");
        return false;
    }
    const struct peer_rim *rim = &s->hub->config.rim;
    if (m->to != s->hub->config.self || rim->is_removed(rim->ctx, m->from)) {
        refuse(s, 500, "failed to process raft message",
               "wrong receiver or removed sender");
        return false;
    }
    return true;
}

/* Takes bytes for the head until it has `want`. */
static bool fill_head(struct peer_snapshot_in *s, size_t want,
                      struct slice *bytes)
{
    size_t missing = want > s->head.size ? want - s->head.size : 0;
    size_t n = bytes->size < missing ? bytes->size : missing;
    buf_append(&s->head, bytes->data, n);
    *bytes = slice_from(*bytes, n);
    return s->head.size >= want;
}

/* False: not whole yet, or refused. */
static bool read_head(struct peer_snapshot_in *s, struct slice *bytes)
{
    if (!fill_head(s, 8, bytes)) {
        return false;
    }
    uint64_t size = get_be64(s->head.data);
    if (size > PEER_SNAPSHOT_HEAD_BYTES_MAX) {
        refuse(s, 400, "failed to decode raft message",
               "larger than its limit");
        return false;
    }
    if (!fill_head(s, 8 + (size_t)size, bytes)) {
        return false;
    }
    int err =
        peer_decode_message(slice_from(buf_slice(&s->head), 8), &s->message);
    if (err != 0) {
        refuse(s, 400, "failed to decode raft message", err_text(err));
        return false;
    }
    s->has_message = true;
    buf_release(&s->head);
    if (!is_sound(s)) {
        return false;
    }
    log_info("receiving database snapshot",
             LOG_ID("local-member-id", s->hub->config.self),
             LOG_ID("remote-snapshot-sender-id", s->sender),
             LOG_UINT("incoming-snapshot-index", s->message.snapshot->index));
    return true;
}

void peer_snapshot_in_body(struct peer_snapshot_in *s, struct slice bytes)
{
    if (s->is_failed || (!s->has_message && !read_head(s, &bytes)) ||
        !bytes.size) {
        return;
    }
    struct peer *p = peer_hub_find(s->hub, s->sender);
    if (p) {
        p->received_bytes += bytes.size;
    }
    s->image_bytes += bytes.size;
    buf_append_slice(&s->gathered, bytes);
    if (!s->is_job_running && s->gathered.size >= PEER_SNAPSHOT_SLICE_BYTES) {
        start_job(s);
    } else if (s->gathered.size >= PEER_SNAPSHOT_HELD_BYTES_MAX) {
        pause_reading(s, true);
    }
}

void peer_snapshot_in_end(struct peer_snapshot_in *s)
{
    if (s->is_failed) {
        return;
    }
    if (!s->has_message) {
        refuse(s, 400, "failed to decode raft message", "unexpected EOF");
        return;
    }
    if (s->image_bytes <= (s->hash ? IMAGE_HASH_SIZE : 0)) {
        refuse(s, 500, "failed to save KV snapshot", "it is empty");
        return;
    }
    s->is_ended = true;
    if (!s->is_job_running) {
        start_job(s);
    }
}

bool peer_snapshot_in_is_full(const struct peer_snapshot_in *s)
{
    return s->is_paused;
}

void peer_snapshot_in_drop(struct peer_snapshot_in *s)
{
    s->hub->snapshots_in--;
    s->hub = NULL;
    s->server = NULL;
    s->conn = NULL;
    if (!s->is_job_running) {
        dispose(s);
    }
}

struct peer_snapshot_in *peer_snapshot_in_new(struct peer_hub *h,
                                              struct peer_server *server,
                                              struct conn *conn,
                                              uint64_t sender, bool has_hash)
{
    struct peer_snapshot_in *s = mem_zalloc(sizeof *s);
    s->hub = h;
    s->server = server;
    s->conn = conn;
    s->loop = h->loop;
    s->sender = sender;
    s->fd = -1;
    s->path = mem_printf("%s/" TMP_PREFIX "XXXXXX", h->config.snapshot_dir);
    s->started_ns = loop_now_ns(h->loop);
    s->hash = has_hash ? image_hash_new() : NULL;
    buf_init(&s->head, 8 + PEER_SNAPSHOT_HEAD_BYTES_MAX);
    buf_init(&s->gathered, SIZE_MAX);
    buf_init(&s->writing, SIZE_MAX);
    h->snapshots_in++;
    return s;
}

void peer_snapshot_in_sweep(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d) {
        return; /* then nothing was left there */
    }
    for (const struct dirent *e; (e = readdir(d));) {
        if (strncmp(e->d_name, TMP_PREFIX, strlen(TMP_PREFIX)) == 0 &&
            unlinkat(dirfd(d), e->d_name, 0) != 0) {
            log_warn("cannot remove an unfinished snapshot",
                     LOG_STR("file", e->d_name),
                     LOG_STR("error", strerror(errno)));
        }
    }
    closedir(d);
}
