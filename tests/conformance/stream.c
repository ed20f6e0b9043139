/* Calls that stay open. What they hear becomes lines; events become a line
 * a revision, since all of one revision come in one response. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "table.h"

enum { HEAR_MS = 15000 };

static void take_line(struct open_call *o, struct buf *text)
{
    while (text->size && text->data[text->size - 1] == ' ') {
        text->size--;
    }
    buf_append_byte(text, 0);
    if (o->count == LINES_MAX) {
        abort();
    }
    o->lines[o->count++] = (char *)buf_detach(text, &(size_t){0});
}

static void take_events(struct open_call *o, Pb__WatchResponse *r)
{
    struct buf *line = &o->parts;
    int64_t before = 0, header = r->header ? r->header->revision : 0;
    for (size_t i = 0; i < r->n_events; i++) {
        int64_t revision = r->events[i]->kv->mod_revision;
        if (i > 0 && revision != before) {
            take_line(o, line);
        }
        if (line->size == 0) {
            buf_printf(line, "%" PRId64 ": ", r->watch_id);
        }
        text_event(o->side, r->events[i], line);
        if (header < revision) {
            buf_append_str(line, "HEADER BEHIND ");
        }
        before = revision;
    }
    if (r->fragment) {
        buf_append_str(line, "| ");
    } else {
        take_line(o, line);
    }
}

static void take_watch(struct open_call *o, Pb__WatchResponse *r)
{
    if (r->n_events) {
        take_events(o, r);
        return;
    }
    struct buf line = BUF_INIT(LINE_BYTES_MAX);
    buf_printf(&line, "%" PRId64 ": ", r->watch_id);
    r->watch_id = 0;
    struct buf rest = BUF_INIT(LINE_BYTES_MAX);
    text_answer(o->side, o->member, &r->base, &rest);
    buf_append_slice(&line, buf_slice(&rest));
    buf_release(&rest);
    take_line(o, &line);
}

static void on_message(void *ctx, struct slice message)
{
    struct open_call *o = ctx;
    ProtobufCAllocator allocator = grpc_arena_allocator(&o->side->scratch);
    ProtobufCMessage *m = protobuf_c_message_unpack(
        o->method->answer, &allocator, message.size, message.data);
    void *p = m;
    if (m && message_is(m, "WatchResponse")) {
        take_watch(o, p);
        return;
    }
    struct buf line = BUF_INIT(LINE_BYTES_MAX);
    if (m) {
        text_answer(o->side, o->member, m, &line);
    } else {
        buf_append_str(&line, "UNREADABLE");
    }
    take_line(o, &line);
}

static void on_status(void *ctx, enum grpc_code code, const char *text)
{
    struct open_call *o = ctx;
    struct buf line = BUF_INIT(LINE_BYTES_MAX);
    if (code == GRPC_OK) {
        buf_append_str(&line, "OK");
    } else {
        buf_printf(&line, "%s: %s", grpc_code_name(code), text ? text : "");
    }
    take_line(o, &line);
    o->call = NULL;
}

void open_call_begin(struct open_call *o, struct side *s, int member,
                     const struct method *m, const char *name, bool has_leader)
{
    static const char *const metadata[] = {"hasleader", "true", NULL};
    static const struct grpc_client_handler handler = {on_message, on_status};
    *o = (struct open_call){.side = s,
                            .method = m,
                            .member = member,
                            .parts = BUF_INIT(ANSWER_BYTES_MAX)};
    buf_init(&o->parts, ANSWER_BYTES_MAX);
    strncpy(o->name, name, sizeof o->name - 1);
    o->lines = mem_zalloc(LINES_MAX * sizeof *o->lines);
    o->call = grpc_client_start(s->members[member].channel, m->path,
                                has_leader ? metadata : NULL, 0, &handler, o);
}

/* Watchers do not wait for each other: their lines begin with their id. */
static bool is_for(const struct open_call *o, const char *line,
                   const char *wanted)
{
    size_t size = strcspn(wanted, ":");
    return o->method->kind != BIDI || !wanted[size] ||
           strncmp(line, wanted, size + 1) == 0 ||
           !strchr("-0123456789", *line);
}

char *open_call_next(struct open_call *o, const char *wanted)
{
    uint64_t end = loop_now_ms(o->side->loop) + HEAR_MS;
    for (int i = 0;; i++) {
        while (i == o->count) {
            if (!o->call || loop_now_ms(o->side->loop) > end) {
                return NULL;
            }
            side_spin(o->side, 100);
        }
        char *line = o->lines[i];
        if (is_for(o, line, wanted)) {
            memmove(&o->lines[i], &o->lines[i + 1],
                    (size_t)(--o->count - i) * sizeof line);
            return line;
        }
    }
}

void open_call_close(struct open_call *o)
{
    if (o->call) {
        grpc_client_cancel(o->call);
    }
    for (int i = 0; i < o->count; i++) {
        free(o->lines[i]);
    }
    free(o->lines);
    buf_release(&o->parts);
    *o = (struct open_call){0};
}
