#include "peer/frame.h"

#include <assert.h>
#include <stdlib.h>

#include "base/endian.h"
#include "base/err.h"
#include "peer/peer.h"

enum peer_frame_type { TYPE_HEARTBEAT, TYPE_CONTINUED, TYPE_MESSAGE };

enum { HELD_BYTES_KEPT = 16 << 10 };

/* ---- writing ---- */

static bool is_continued(const struct peer_frame_writer *w,
                         const struct raft_message *m)
{
    return w->kind == PEER_MSGAPP && m->type == RAFT_MSG_APP && !m->reject &&
           m->index == w->index && m->log_term == w->term &&
           m->term == w->term && !m->context;
}

size_t peer_frame_size_max(const struct raft_message *m)
{
    return peer_message_size(m) + 8 * (size_t)m->entry_count + 32;
}

static uint8_t *put_u64(uint8_t *at, uint64_t v)
{
    put_be64(at, v);
    return at + 8;
}

static uint8_t *write_continued(struct peer_frame_writer *w,
                                const struct raft_message *m, uint8_t *at)
{
    *at++ = TYPE_CONTINUED;
    at = put_u64(at, m->entry_count);
    for (uint32_t i = 0; i < m->entry_count; i++) {
        at = put_u64(at, peer_entry_size(&m->entries[i]));
        at = peer_put_entry(&m->entries[i], at);
    }
    w->index += m->entry_count;
    return put_u64(at, m->commit);
}

static uint8_t *write_whole(struct peer_frame_writer *w,
                            const struct raft_message *m, uint8_t *at)
{
    if (w->kind == PEER_MSGAPP) {
        *at++ = TYPE_MESSAGE;
        w->term = m->term;
        w->index =
            m->entry_count ? m->entries[m->entry_count - 1].index : m->index;
    }
    at = put_u64(at, peer_message_size(m));
    return peer_put_message(m, at);
}

void peer_frame_write(struct peer_frame_writer *w, const struct raft_message *m,
                      struct buf *out)
{
    if (buf_reserve(out, peer_frame_size_max(m)) != 0) {
        assert(!"the stream's queue is wider than its output");
        abort();
    }
    uint8_t *at = out->data + out->size;
    at = is_continued(w, m) ? write_continued(w, m, at) : write_whole(w, m, at);
    out->size = (size_t)(at - out->data);
}

void peer_frame_write_heartbeat(const struct peer_frame_writer *w,
                                struct buf *out)
{
    static const uint8_t beat[] = {0, 0, 0, 0, 0, 0, 0, 2, 8, 8};
    if (w->kind == PEER_MSGAPP) {
        buf_append_byte(out, TYPE_HEARTBEAT);
    } else {
        buf_append(out, beat, sizeof beat);
    }
}

/* ---- reading ---- */

static void expect(struct peer_frame_reader *r, enum peer_frame_state state,
                   size_t need)
{
    r->state = state;
    r->need = need;
}

static void expect_frame(struct peer_frame_reader *r)
{
    if (r->kind == PEER_MSGAPP) {
        expect(r, FRAME_TYPE, 1);
    } else {
        expect(r, FRAME_LENGTH, 8);
    }
}

void peer_frame_reader_init(struct peer_frame_reader *r, enum peer_kind kind,
                            uint64_t from, uint64_t self,
                            int (*message)(void *ctx, struct raft_message *m),
                            void *ctx)
{
    *r = (struct peer_frame_reader){
        .kind = kind,
        .self = self,
        .from = from,
        .message = message,
        .ctx = ctx,
    };
    buf_init(&r->held, PEER_MESSAGE_BYTES_MAX);
    expect_frame(r);
}

void peer_frame_reader_release(struct peer_frame_reader *r)
{
    raft_message_release(&r->app);
    r->app = (struct raft_message){0};
    buf_release(&r->held);
}

bool peer_frame_reader_at_rest(const struct peer_frame_reader *r)
{
    return r->held.size == 0 &&
           r->state == (r->kind == PEER_MSGAPP ? FRAME_TYPE : FRAME_LENGTH);
}

static int on_type(struct peer_frame_reader *r, uint8_t type)
{
    switch (type) {
    case TYPE_HEARTBEAT:
        return 0;
    case TYPE_CONTINUED:
        expect(r, FRAME_COUNT, 8);
        return 0;
    case TYPE_MESSAGE:
        expect(r, FRAME_LENGTH, 8);
        return 0;
    default:
        return ERR_PROTOCOL;
    }
}

static bool is_link_heartbeat(const struct raft_message *m)
{
    return m->type == RAFT_MSG_HEARTBEAT && m->from == 0 && m->to == 0;
}

static int on_message(struct peer_frame_reader *r, struct slice bytes)
{
    struct raft_message m;
    int err = peer_decode_message(bytes, &m);
    if (err != 0) {
        return err;
    }
    expect_frame(r);
    if (r->kind == PEER_MSGAPP) {
        r->term = m.term;
        r->index = m.entry_count ? m.entries[m.entry_count - 1].index : m.index;
    } else if (is_link_heartbeat(&m)) {
        raft_message_release(&m);
        return 0;
    }
    return r->message(r->ctx, &m);
}

static int on_length(struct peer_frame_reader *r, uint64_t length)
{
    if (length > PEER_MESSAGE_BYTES_MAX) {
        return ERR_TOO_LARGE;
    }
    if (length == 0) { /* a message of zeros only: valid, of no use */
        return on_message(r, slice_of(NULL, 0));
    }
    expect(r, FRAME_MESSAGE, (size_t)length);
    return 0;
}

static void expect_entry(struct peer_frame_reader *r)
{
    expect(r, r->app_left ? FRAME_ENTRY_LENGTH : FRAME_COMMIT, 8);
}

static int on_count(struct peer_frame_reader *r, uint64_t count)
{
    if (count > PEER_ENTRIES_MAX) {
        return ERR_TOO_LARGE;
    }
    r->app = (struct raft_message){
        .type = RAFT_MSG_APP,
        .to = r->self,
        .from = r->from,
        .term = r->term,
        .log_term = r->term,
        .index = r->index,
    };
    r->app_capacity = 0;
    r->app_left = count;
    r->app_bytes = 0;
    expect_entry(r);
    return 0;
}

static int on_entry(struct peer_frame_reader *r, struct slice bytes)
{
    struct raft_entry e;
    int err = peer_decode_entry(bytes, &e);
    if (err == 0) {
        err = peer_add_entry(&r->app, &r->app_capacity, &e);
    }
    r->app_left--;
    expect_entry(r);
    return err;
}

static int on_entry_length(struct peer_frame_reader *r, uint64_t length)
{
    if (length > PEER_MESSAGE_BYTES_MAX - r->app_bytes) {
        return ERR_TOO_LARGE;
    }
    r->app_bytes += length;
    if (length == 0) {
        return on_entry(r, slice_of(NULL, 0));
    }
    expect(r, FRAME_ENTRY, (size_t)length);
    return 0;
}

static int on_commit(struct peer_frame_reader *r, uint64_t commit)
{
    struct raft_message m = r->app;
    r->app = (struct raft_message){0};
    m.commit = commit;
    r->index += m.entry_count;
    expect_frame(r);
    return r->message(r->ctx, &m);
}

static int on_item(struct peer_frame_reader *r, struct slice item)
{
    switch (r->state) {
    case FRAME_TYPE:
        return on_type(r, item.data[0]);
    case FRAME_LENGTH:
        return on_length(r, get_be64(item.data));
    case FRAME_MESSAGE:
        return on_message(r, item);
    case FRAME_COUNT:
        return on_count(r, get_be64(item.data));
    case FRAME_ENTRY_LENGTH:
        return on_entry_length(r, get_be64(item.data));
    case FRAME_ENTRY:
        return on_entry(r, item);
    case FRAME_COMMIT:
        return on_commit(r, get_be64(item.data));
    }
    return ERR_PROTOCOL;
}

/* An item in pieces is gathered; memory grows with what came, not with what
 * was announced. */
static int gather(struct peer_frame_reader *r, struct slice *bytes)
{
    size_t want = r->need - r->held.size;
    size_t n = bytes->size < want ? bytes->size : want;
    int err = buf_append(&r->held, bytes->data, n);
    *bytes = slice_from(*bytes, n);
    if (err != 0 || r->held.size < r->need) {
        return err;
    }
    err = on_item(r, buf_slice(&r->held));
    buf_reset(&r->held, HELD_BYTES_KEPT);
    return err;
}

int peer_frame_read(struct peer_frame_reader *r, struct slice bytes)
{
    int err = 0;
    while (bytes.size && err == 0) {
        if (r->held.size || bytes.size < r->need) {
            err = gather(r, &bytes);
        } else {
            struct slice item = slice_of(bytes.data, r->need);
            bytes = slice_from(bytes, r->need);
            err = on_item(r, item);
        }
    }
    return err;
}
