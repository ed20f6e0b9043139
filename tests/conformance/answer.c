/* To text: answers, in one spelling that rows can be compared with. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>

#include "table.h"

enum { BARE_MAX = 32, RUN_MIN = 9, BEHIND_MAX = 100 };

static struct {
    struct side *side;
    int member;     /* that has answered */
    uint64_t added; /* id of the member that was added last */
} now;

void text_note_added(uint64_t id)
{
    now.added = id;
}

uint64_t text_added(void)
{
    return now.added;
}

static bool is_plain(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!isalnum(data[i]) && (data[i] == 0 || !strchr("_-./", data[i]))) {
            return false;
        }
    }
    return size > 0 && size <= BARE_MAX;
}

static void print_literal(struct buf *out, ProtobufCBinaryData b)
{
    size_t run = 1;
    while (run < b.len && b.data[run] == b.data[0]) {
        run++;
    }
    if (is_plain(b.data, b.len)) {
        buf_append(out, b.data, b.len);
        return;
    }
    bool is_run = run == b.len && run >= RUN_MIN;
    buf_append_byte(out, '"');
    for (size_t i = 0; i < (is_run ? 1 : b.len); i++) {
        bool shown = b.data[i] >= ' ' && b.data[i] <= '~' && b.data[i] != '"' &&
                     b.data[i] != '\\';
        buf_printf(out, shown ? "%c" : "\\%03o", b.data[i]);
    }
    buf_append_byte(out, '"');
    if (is_run) {
        buf_printf(out, "*%zu", b.len);
    }
}

/* A marked revision as @N, a marked lease as leaseN. */
static void print_number(struct buf *out, int64_t v)
{
    if (v > MARK_REVISION - MARK_SPAN && v < MARK_REVISION + MARK_SPAN) {
        buf_printf(out, " @%" PRId64, v - MARK_REVISION);
    } else if (v >= MARK_LEASE && v < MARK_LEASE + MARK_SPAN) {
        buf_printf(out, " lease%" PRId64, v - MARK_LEASE);
    } else {
        buf_printf(out, " %" PRId64, v);
    }
}

static void print_pair(struct buf *out, const Pb__KeyValue *kv)
{
    buf_append_byte(out, '[');
    print_literal(out, kv->key);
    buf_append_byte(out, '=');
    if (kv->value.len) {
        print_literal(out, kv->value);
    }
    print_number(out, kv->create_revision);
    print_number(out, kv->mod_revision);
    buf_printf(out, " %" PRId64, kv->version);
    if (kv->lease) {
        buf_append_str(out, " lease");
        print_number(out, kv->lease);
    }
    buf_append_str(out, "] ");
}

static bool print_header(struct buf *out, const Pb__ResponseHeader *h)
{
    int64_t role = (int64_t)h->member_id - MARK_MEMBER;
    bool is_his = now.member == GUEST
                      ? h->member_id == now.added
                      : role >= 0 && role < now.side->member_count &&
                            now.side->roles[role] == now.member;
    if (h->cluster_id != 1 || h->raft_term != 1 || !is_his) {
        return false;
    }
    if (h->revision == 0) {
        buf_append_str(out, "@none ");
    } else {
        print_number(out, h->revision);
        buf_append_byte(out, ' ');
    }
    return true;
}

static bool print_short(struct buf *out, const char *name,
                        const ProtobufCMessage *m)
{
    const void *p = m;
    if (message_is(m, "ResponseHeader")) {
        return print_header(out, p);
    }
    if (message_is(m, "KeyValue")) {
        buf_append_str(out, name);
        print_pair(out, p);
        return true;
    }
    return false;
}

/* Revisions are counted from the row's first; what a hash is, no row says. */
static void count_from_first(void *ctx, const struct field *f)
{
    const char *name = f->desc->name;
    if (strcmp(name, "hash") == 0) {
        *(uint32_t *)f->value = 1;
    }
    if (strcmp(name, "ID") == 0 && message_is(f->message, "Member") &&
        *(uint64_t *)f->value == now.added) {
        *(uint64_t *)f->value = MARK_MEMBER + MEMBER_ADDED;
    }
    if ((strstr(name, "revision") || strcmp(name, "rev") == 0) &&
        f->desc->type == PROTOBUF_C_TYPE_INT64) {
        int64_t *v = f->value;
        if (*v > 0 && *v > now.side->base - BEHIND_MAX) {
            *v += MARK_REVISION - now.side->base;
        }
    }
}

/* ---- lists of members, in the order of their ids ---- */

static int by_id(const void *a, const void *b)
{
    uint64_t x = (*(Pb__Member *const *)a)->id;
    uint64_t y = (*(Pb__Member *const *)b)->id;
    return x < y ? -1 : x > y;
}

/* Its list of members; 0: it has none. */
static size_t members_of(ProtobufCMessage *m, Pb__Member ***ret)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(m->descriptor,
                                                        "members");
    if (!f || f->label != PROTOBUF_C_LABEL_REPEATED) {
        return 0;
    }
    *ret = *(Pb__Member ***)((char *)m + f->offset);
    return *(size_t *)((char *)m + f->quantifier_offset);
}

static bool is_ordered(ProtobufCMessage *m)
{
    Pb__Member **list = NULL;
    size_t n = members_of(m, &list);
    for (size_t i = 1; i < n; i++) {
        if (list[i]->id <= list[i - 1]->id) {
            return false;
        }
    }
    return true;
}

/* By role, since ids differ from run to run. */
static void sort_members(ProtobufCMessage *m)
{
    Pb__Member **list = NULL;
    size_t n = members_of(m, &list);
    if (n > 1) {
        qsort(list, n, sizeof *list, by_id);
    }
}

/* In texts of alarms: memberID:14619796026133269748 */
static void name_members(const char *at, struct buf *out)
{
    static const char mark[] = "memberID:";
    const size_t size = sizeof mark - 1;
    for (const char *next; (next = strstr(at, mark));) {
        char *end;
        uint64_t id = strtoull(next + size, &end, 10);
        buf_append(out, at, (size_t)(next - at) + size);
        at = next + size;
        for (int i = 0; i < now.side->member_count; i++) {
            if (id && now.side->members[now.side->roles[i]].id == id) {
                buf_printf(out, "member%d", i);
                at = end;
            }
        }
    }
    buf_append_str(out, at);
}

void text_answer(struct side *s, int member, ProtobufCMessage *m,
                 struct buf *out)
{
    struct buf text = BUF_INIT(ANSWER_BYTES_MAX);
    struct buf named = BUF_INIT(ANSWER_BYTES_MAX);
    now.side = s;
    now.member = member;
    if (!is_ordered(m)) {
        buf_append_str(out, "UNORDERED ");
    }
    rules_apply(s, NULL, m);
    message_walk(m, count_from_first, NULL);
    sort_members(m);
    message_print_with(&text, m, print_short);
    buf_append_byte(&text, 0);
    name_members((char *)text.data, &named);
    buf_append_byte(&named, 0);
    text_canonical((char *)named.data, out);
    buf_release(&text);
    buf_release(&named);
}

void text_event(struct side *s, Pb__Event *e, struct buf *out)
{
    now.side = s;
    rules_apply(s, NULL, &e->base);
    message_walk(&e->base, count_from_first, NULL);
    if (e->type > 1) {
        buf_printf(out, "TYPE%d", (int)e->type);
    }
    buf_append_str(out, e->type ? "DELETE" : "PUT");
    print_pair(out, e->kv);
    if (e->prev_kv) {
        buf_append_str(out, "was");
        print_pair(out, e->prev_kv);
    }
}

/* ---- one spelling ---- */

/* "<first+2>", "<lease 1>", "<member 0>" of message_print(). */
static const char *take_mark(const char *at, struct buf *out)
{
    static const char *const from[] = {"<first", "<lease ", "<member "};
    static const char *const to[] = {"@", "lease", "member"};
    for (int i = 0; i < 3; i++) {
        size_t size = strlen(from[i]);
        if (strncmp(at, from[i], size) == 0) {
            at += size + (at[size] == '+');
            size = strcspn(at, ">");
            buf_append_str(out, to[i]);
            buf_append(out, at, size);
            return at + size + 1;
        }
    }
    buf_append_byte(out, (uint8_t)*at);
    return at + 1;
}

/* A quoted text; without the quotes where it is a plain word. */
static const char *take_quoted(const char *at, struct buf *out)
{
    size_t size = 1;
    while (at[size] && at[size] != '"') {
        size += at[size] == '\\' && at[size + 1] ? 2 : 1;
    }
    bool bare = is_plain((const uint8_t *)at + 1, size - 1);
    for (size_t i = bare; i < size + 1 - bare; i++) {
        /* one blank or two: protobuf's text form draws that for each build */
        if (at[i] != ' ' || at[i + 1] != ' ') {
            buf_append_byte(out, (uint8_t)at[i]);
        }
    }
    return at + size + (at[size] == '"');
}

void text_canonical(const char *at, struct buf *out)
{
    bool gap = false;
    while (*at) {
        if (*at == ' ' || (*at == ':' && (at[1] == ' ' || at[1] == '{'))) {
            gap = true;
            at++;
            continue;
        }
        char last = out->size ? (char)out->data[out->size - 1] : '{';
        if (gap && last != '{' && !strchr("{}", *at)) {
            buf_append_byte(out, ' ');
        }
        gap = *at == '}';
        if (*at == '"') {
            at = take_quoted(at, out);
        } else if (*at == '<') {
            at = take_mark(at, out);
        } else {
            buf_append_byte(out, (uint8_t)*at++);
        }
    }
}
