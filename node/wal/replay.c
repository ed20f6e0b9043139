/*
 * Reading the log back. The rule that tells a crash from damage: a frame is
 * written only when the one before it is durable. So a bad frame is a torn
 * tail only when it is the last, and when it shows that bytes never arrived:
 * the file ends in it, or sectors of it are still zero as preallocated.
 * Anything else was durable once and is damaged: refused, never skipped.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/endian.h"
#include "base/err.h"
#include "wal/cursor.h"
#include "wal/io.h"
#include "wal/state.h"

#define WHAT_TO_DO                                                          \
    "Check the disk; then remove this member from the cluster, delete its " \
    "data directory and let it join again, or restore from a snapshot"

struct replayer {
    struct wal *w;
    const struct wal_replay *to;
    struct wal_cursor cursor;
    uint64_t sequence; /* of the segment being read */
    char name[WAL_SEGMENT_NAME_SIZE];
    uint64_t frame_number; /* of the next frame */
    struct wal_tail tail;
};

/* A frame as found. */
struct found {
    struct wal_frame frame;
    bool whole_head;      /* `frame` is known */
    const uint8_t *bytes; /* head, records, trailer */
    uint64_t bad_at;      /* when bad: where, and why */
    const char *why;
};

enum verdict { GOOD, NONE, BAD };

static int io_error(const struct replayer *r)
{
    return wal_fail(ERR_IO, "cannot read %s/%s: %s", r->w->dir, r->name,
                    strerror(errno));
}

static int corrupt(const struct replayer *r, uint64_t offset, const char *why,
                   const char *where)
{
    return wal_fail(ERR_CORRUPT,
                    "%s/%s is damaged at offset %" PRIu64 ": %s%s. " WHAT_TO_DO,
                    r->w->dir, r->name, offset, why, where);
}

static int bad(struct found *f, uint64_t at, const char *why)
{
    f->bad_at = at;
    f->why = why;
    return BAD;
}

/* Everything in the frame at `at` but its head. */
static int check_records(const struct replayer *r, uint64_t at, struct found *f)
{
    uint32_t chain = r->tail.chain;
    size_t done = WAL_FRAME_SIZE;
    size_t end = done + f->frame.size;
    while (done < end) {
        struct wal_record record;
        size_t size;
        if (wal_record_decode(slice_of(f->bytes + done, end - done),
                              HAS_BUG(TORN_TAKEN) ? NULL : &chain, &record,
                              &size) < 0) {
            return bad(f, at + done, "a record does not fit its checksum");
        }
        done += size;
    }
    if (memcmp(f->bytes + end, wal_trailer, WAL_TRAILER_SIZE) != 0) {
        return bad(f, at + end, "a frame does not end as it should");
    }
    return GOOD;
}

/* A verdict, or ERR_IO. */
static int read_frame(struct replayer *r, uint64_t at, struct found *f)
{
    *f = (struct found){0};
    uint64_t rest = r->cursor.file_bytes - at;
    if (rest < WAL_FRAME_SIZE) {
        return NONE;
    }
    if (wal_cursor_need(&r->cursor, at, WAL_FRAME_SIZE, &f->bytes) < 0) {
        return io_error(r);
    }
    const struct wal_place place = {r->w->identity.member_id, r->sequence, at};
    if (wal_frame_decode(f->bytes, &place, &f->frame) < 0) {
        return wal_is_zero(slice_of(f->bytes, WAL_FRAME_SIZE))
                   ? NONE
                   : bad(f, at, "a frame's head does not fit its checksum");
    }
    f->whole_head = true;
    if (f->frame.number != r->frame_number || f->frame.chain != r->tail.chain) {
        return bad(f, at, "a frame does not follow the one before it");
    }
    uint64_t size = (uint64_t)WAL_FRAME_SIZE + f->frame.size + WAL_TRAILER_SIZE;
    if (size > rest) {
        return bad(f, at, "the file ends inside a frame");
    }
    if (wal_cursor_need(&r->cursor, at, (size_t)size, &f->bytes) < 0) {
        return io_error(r);
    }
    return check_records(r, at, f);
}

static int deliver(const struct replayer *r, const struct wal_record *record)
{
    const struct wal_replay *to = r->to;
    switch (record->type) {
    case WAL_ENTRY:
        return to->entry(to->ctx, record->term, record->index,
                         record->entry_type, record->data);
    case WAL_HARD_STATE:
        return to->hard_state(to->ctx, record->term, record->vote,
                              record->commit);
    case WAL_SNAPSHOT:
        return to->snapshot(to->ctx, record->index, record->term, record->data);
    }
    return ERR_CORRUPT;
}

/* The records of a good frame; checked before, so that nobody sees half a
 * frame. */
static int deliver_frame(struct replayer *r, uint64_t at, const struct found *f)
{
    size_t done = WAL_FRAME_SIZE;
    size_t end = done + f->frame.size;
    while (done < end) {
        struct wal_record record;
        size_t size;
        int err = wal_record_decode(slice_of(f->bytes + done, end - done), NULL,
                                    &record, &size);
        if (err == 0) {
            r->tail.chain = get_le32(f->bytes + done);
            wal_tail_step(&r->tail, &record);
            err = deliver(r, &record);
        }
        if (err < 0) {
            return wal_fail(err,
                            "the record at offset %" PRIu64 " of %s/%s was "
                            "refused: %s",
                            at + done, r->w->dir, r->name, err_text(err));
        }
        if (record.type == WAL_SNAPSHOT) {
            buf_reset(&r->w->writer.conf, 0);
            err = buf_append_slice(&r->w->writer.conf, record.data);
            if (err < 0) {
                return corrupt(r, at + done, "a snapshot record", "");
            }
        }
        done += size;
    }
    r->frame_number++;
    return 0;
}

/* A whole frame behind `at` that came after the one expected there: 1 when
 * there is one, 0, or ERR_IO. */
static int later_frame(struct replayer *r, uint64_t at)
{
    struct wal_cursor *c = &r->cursor;
    at += 8;
    while (c->file_bytes > WAL_FRAME_SIZE &&
           (at = wal_cursor_skip_hole(c, at) & ~(uint64_t)7) <=
               c->file_bytes - WAL_FRAME_SIZE) {
        uint64_t rest = c->file_bytes - at;
        size_t size = rest < WAL_WINDOW_SIZE ? (size_t)rest : WAL_WINDOW_SIZE;
        const uint8_t *p;
        if (wal_cursor_need(c, at, size, &p) < 0) {
            return io_error(r);
        }
        size_t i = 0;
        for (; i + WAL_FRAME_SIZE <= size; i += 8) {
            struct wal_frame frame;
            const struct wal_place place = {r->w->identity.member_id,
                                            r->sequence, at + i};
            if (wal_frame_decode(p + i, &place, &frame) == 0 &&
                frame.number > r->frame_number) {
                return 1;
            }
        }
        at += i;
    }
    return 0;
}

/* Did bytes of the last frame never arrive? `used` is where what is not
 * zero ends. */
static int never_arrived(struct replayer *r, uint64_t at, const struct found *f,
                         uint64_t used)
{
    uint64_t rest = r->cursor.file_bytes - at;
    uint64_t size = WAL_FRAME_SIZE;
    if (f->whole_head) {
        size += (uint64_t)f->frame.size + WAL_TRAILER_SIZE;
        if (f->frame.number != r->frame_number ||
            f->frame.chain != r->tail.chain) {
            return false; /* intact, and in the wrong place */
        }
    }
    if (size > rest) {
        return true;
    }
    const uint8_t *p;
    if (wal_cursor_need(&r->cursor, at, (size_t)size, &p) < 0) {
        return io_error(r);
    }
    uint32_t zeros = wal_zero_sectors(slice_of(p, (size_t)size), at, true);
    if (f->whole_head) {
        return p[size - 1] == 0 || zeros > f->frame.zero_sectors;
    }
    return used <= at + size || zeros > 0;
}

/* Makes the segment end at `at`, and has zeros behind it again. */
static int cut(struct replayer *r, uint64_t at, uint64_t bytes)
{
    struct wal_cursor *c = &r->cursor;
    if (ftruncate(c->fd, (off_t)at) < 0 ||
        (!r->w->config.no_fsync && wal_io_sync(c->fd) < 0)) {
        return wal_fail(wal_io_error(errno),
                        "cannot cut the torn end of "
                        "%s/%s: %s",
                        r->w->dir, r->name, strerror(errno));
    }
    /* No room is no harm: the writer goes on in a new segment, or says so
     * when it can not make one. */
    uint64_t size = c->file_bytes;
    c->file_bytes = wal_io_reserve(c->fd, size) == 0 ? size : at;
    r->w->torn_bytes_cut += bytes;
    return 0;
}

/* The last segment has something at `at` that is no good frame. */
static int end_of_log(struct replayer *r, uint64_t at, const struct found *f)
{
    uint64_t used;
    if (wal_cursor_used(&r->cursor, at, &used) < 0) {
        return io_error(r);
    }
    if (used == at && !f->whole_head) {
        return 0;
    }
    int later = later_frame(r, at);
    if (later < 0) {
        return later;
    }
    uint64_t bad_at = f->why ? f->bad_at : at;
    const char *why = f->why ? f->why : "a frame is missing";
    if (later) {
        return corrupt(r, bad_at, why, ", and there are good ones behind it");
    }
    int torn = never_arrived(r, at, f, used);
    if (torn < 0) {
        return torn;
    }
    if (!torn) {
        return corrupt(r, bad_at, why, ", and it was written whole");
    }
    return cut(r, at, used - at);
}

static int open_segment(struct replayer *r, bool last)
{
    int fd =
        openat(r->w->dir_fd, r->name, (last ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        int err = io_error(r);
        if (fd >= 0) {
            close(fd);
        }
        return err;
    }
    wal_cursor_set(&r->cursor, fd, (uint64_t)st.st_size);
    return 0;
}

static int read_header(struct replayer *r, struct wal_header *ret_header,
                       size_t *ret_size)
{
    struct wal_cursor *c = &r->cursor;
    size_t size = wal_header_size(WAL_CONF_SIZE_MAX);
    if (c->file_bytes < size) {
        size = (size_t)c->file_bytes;
    }
    const uint8_t *p = NULL;
    if (size && wal_cursor_need(c, 0, size, &p) < 0) {
        return io_error(r);
    }
    int err = wal_header_decode(slice_of(p, size), ret_header, ret_size);
    if (err == ERR_UNSUPPORTED) {
        return wal_fail(err,
                        "%s/%s was written by a newer version; start "
                        "that one",
                        r->w->dir, r->name);
    }
    if (err < 0) {
        return corrupt(r, 0, "this is no header of a log of ours", "");
    }
    return 0;
}

/* The first segment says what the ones before it came to. */
static int begin_log(struct replayer *r, const struct wal_header *h)
{
    struct wal *w = r->w;
    w->identity = h->identity;
    r->tail = h->tail;
    r->frame_number = h->frame_number;
    int err = buf_append_slice(&w->writer.conf, h->conf);
    if (err == 0 && (h->tail.term || h->tail.vote || h->tail.commit)) {
        err = r->to->hard_state(r->to->ctx, h->tail.term, h->tail.vote,
                                h->tail.commit);
    }
    /* One from before the first entry here has been replaced since. */
    if (err == 0 && h->tail.snapshot_index &&
        h->tail.snapshot_index >= h->tail.last_index) {
        err = r->to->snapshot(r->to->ctx, h->tail.snapshot_index,
                              h->tail.snapshot_term, h->conf);
    }
    return err < 0 ? wal_fail(err, "the header of %s/%s was refused: %s",
                              w->dir, r->name, err_text(err))
                   : 0;
}

static int check_header(struct replayer *r, const struct wal_header *h,
                        const struct wal_segment *segment, bool first)
{
    const struct wal_identity *mine = &r->w->identity;
    if (h->sequence != segment->sequence ||
        h->tail.last_index + 1 != segment->first_index) {
        return corrupt(r, 0, "the header belongs to a file of another name",
                       "");
    }
    if (first) {
        return begin_log(r, h);
    }
    if (h->identity.member_id != mine->member_id ||
        h->identity.cluster_id != mine->cluster_id) {
        return corrupt(r, 0, "the header belongs to another member", "");
    }
    if (h->frame_number != r->frame_number || h->tail.chain != r->tail.chain) {
        return corrupt(r, 0,
                       "records are missing at the end of the segment "
                       "before this one",
                       "");
    }
    return 0;
}

static int read_frames(struct replayer *r, size_t start, bool last,
                       uint64_t *ret_end)
{
    uint64_t at = start;
    for (;;) {
        struct found f;
        int verdict = read_frame(r, at, &f);
        if (verdict < 0) {
            return verdict;
        }
        if (verdict != GOOD) {
            /* That nothing is missing here, the next header tells. */
            int err = last             ? end_of_log(r, at, &f)
                      : verdict == BAD ? corrupt(r, f.bad_at, f.why, "")
                                       : 0;
            if (err == 0) {
                *ret_end = at;
            }
            return err;
        }
        int err = deliver_frame(r, at, &f);
        if (err < 0) {
            return err;
        }
        at += (uint64_t)WAL_FRAME_SIZE + f.frame.size + WAL_TRAILER_SIZE;
    }
}

static int replay_segment(struct replayer *r, size_t i)
{
    struct wal_writer *wr = &r->w->writer;
    const struct wal_segment *segment = &wr->segments.items[i];
    bool last = i + 1 == wr->segments.count;
    wal_segment_name(r->name, segment);
    if (i && segment->sequence != r->sequence + 1) {
        return wal_fail(ERR_CORRUPT,
                        "the segment before %s/%s is missing. " WHAT_TO_DO,
                        r->w->dir, r->name);
    }
    r->sequence = segment->sequence;
    int err = open_segment(r, last);
    if (err < 0) {
        return err;
    }
    struct wal_header header;
    size_t size;
    err = read_header(r, &header, &size);
    if (err == 0) {
        err = check_header(r, &header, segment, i == 0);
    }
    if (err == 0) {
        err = read_frames(r, size, last, &wr->end);
    }
    if (err == 0 && last) {
        wr->fd = r->cursor.fd;
        wr->file_bytes = r->cursor.file_bytes;
    } else {
        close(r->cursor.fd);
    }
    return err;
}

/* Segments go from the front only when a later snapshot stands for them. */
static int check_front(const struct replayer *r)
{
    const struct wal_segment *first = &r->w->writer.segments.items[0];
    if (first->first_index > r->tail.snapshot_index + 1) {
        return wal_fail(ERR_CORRUPT,
                        "segments before %016" PRIx64 " are "
                        "missing in %s. " WHAT_TO_DO,
                        first->sequence, r->w->dir);
    }
    return 0;
}

int wal_replay_segments(struct wal *w, const struct wal_replay *replay)
{
    struct replayer r = {.w = w, .to = replay, .cursor.fd = -1};
    int err = 0;
    for (size_t i = 0; err == 0 && i < w->writer.segments.count; i++) {
        err = replay_segment(&r, i);
    }
    if (err == 0) {
        err = check_front(&r);
    }
    wal_cursor_release(&r.cursor);
    w->writer.tail = r.tail;
    w->writer.frame_number = r.frame_number;
    return err;
}
