/* Runs a row: its calls in order, each answer compared. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "table.h"

enum { EXPANDED_MAX = 64 << 20, UNTIL_MS = 20000, PAUSE_MS = 30 };

struct running {
    struct side *side;
    const struct row *row;
    const struct row_step *step;
    int member; /* of the row's role */
    const struct method *every;
    struct open_call open[OPEN_MAX];
    struct buf same; /* "name=text" of `same` steps, each ended by a 0 */
    bool failed;
};

static bool fail(struct running *r, const char *wanted, const char *actual)
{
    if (!r->failed) {
        printf("not ok %s:%d %s%s%s, member %d\n", r->row->file,
               r->step ? r->step->line : 0, r->row->rule, r->every ? " " : "",
               r->every ? r->every->name : "", r->member);
        printf("  expected: %s\n  actual:   %s\n", wanted, actual);
    }
    r->failed = true;
    return false;
}

/* ---- lines of answers ---- */

static bool is_status(const char *line)
{
    for (int code = 1; code <= 16; code++) {
        const char *name = grpc_code_name((enum grpc_code)code);
        size_t size = strlen(name);
        if (strncmp(line, name, size) == 0 && line[size] == ':') {
            return true;
        }
    }
    return false;
}

/* Texts of errors count to the letter; of the rest, what they mean. */
static bool is_equal(const char *wanted, const char *actual)
{
    if (is_status(wanted) || is_status(actual)) {
        return strcmp(wanted, actual) == 0;
    }
    struct buf a = BUF_INIT(EXPANDED_MAX), b = BUF_INIT(EXPANDED_MAX);
    struct buf text = BUF_INIT(EXPANDED_MAX);
    text_expand(strcmp(wanted, "{}") == 0 ? "" : wanted, &text);
    text_canonical((char *)text.data, &a);
    text_canonical(actual, &b);
    bool equal = slice_cmp(buf_slice(&a), buf_slice(&b)) == 0;
    buf_release(&text);
    buf_release(&a);
    buf_release(&b);
    return equal;
}

/* `lines`: one after the other, each ended by a newline. */
static bool is_as_wanted(const struct row_step *step, struct buf *lines)
{
    buf_append_byte(lines, 0);
    char *copy = mem_strdup((char *)lines->data), *at = copy;
    bool equal = true;
    int i = 0;
    for (; *at; i++) {
        char *end = strchr(at, '\n');
        *end = 0;
        equal &= i < step->wanted_count && is_equal(step->wanted[i], at);
        at = end + 1;
    }
    /* A call that only has to succeed. */
    bool any = step->wanted_count == 0 && (i == 0 || !is_status(copy));
    free(copy);
    return any || (equal && i == step->wanted_count);
}

static bool check(struct running *r, struct buf *lines)
{
    bool holds = is_as_wanted(r->step, lines);
    if (!holds) {
        struct buf wanted = BUF_INIT(EXPANDED_MAX);
        for (int i = 0; i < r->step->wanted_count; i++) {
            buf_printf(&wanted, "%s\n  = ", r->step->wanted[i]);
        }
        buf_append_byte(&wanted, 0);
        fail(r, (char *)wanted.data, (char *)lines->data);
        buf_release(&wanted);
    }
    return holds;
}

/* ---- calls ---- */

static int target(struct running *r, const char *name)
{
    const char *at = name + strcspn(name, " @");
    if (strncmp(at, "@leader", 7) == 0) {
        return r->side->roles[0];
    }
    if (strncmp(at, "@follower", 9) == 0) {
        return r->side->roles[1 % r->side->member_count];
    }
    if (strncmp(at, "@added", 6) == 0) {
        return GUEST;
    }
    return r->member;
}

/* Sends the messages of `text`, which " ; " divides. */
static bool send_all(struct running *r, struct grpc_client_call *c, int member,
                     const struct method *m, const char *text)
{
    struct buf all = BUF_INIT(EXPANDED_MAX);
    text_expand(text, &all);
    char *at = (char *)all.data, *next;
    const char *wrong = NULL;
    for (; at && !wrong; at = next) {
        struct buf bytes = BUF_INIT(EXPANDED_MAX);
        next = strstr(at, " ; ");
        if (next) {
            *next = 0;
            next += 3;
        }
        wrong = text_encode(r->side, member, at, m->request, &bytes);
        if (wrong) {
            fail(r, "a request that can be read", wrong);
        } else {
            grpc_client_send_bytes(c, buf_slice(&bytes));
        }
        buf_release(&bytes);
    }
    buf_release(&all);
    return !wrong;
}

static void note_drawn(struct side *s, ProtobufCMessage *m)
{
    const void *added = m;
    if (message_is(m, "MemberAddResponse")) {
        text_note_added(((const Pb__MemberAddResponse *)added)->member->id);
    }
    const void *p = m;
    const Pb__LeaseGrantResponse *r = p;
    if (message_is(m, "LeaseGrantResponse") && s->drawn_count < DRAWN_MAX &&
        r->id > INT32_MAX) {
        s->drawn[s->drawn_count++] = r->id;
    }
}

static void print_answers(struct running *r, int member, const struct method *m,
                          struct answer *a, struct buf *lines)
{
    bool is_image = strcmp(m->name, "Snapshot") == 0;
    if (is_image && a->code == GRPC_OK) {
        snapshot_summary(r->side, a, lines);
    }
    for (int i = 0; i < a->count && !is_image; i++) {
        ProtobufCMessage *message = side_message(r->side, a, i, m->answer);
        if (message) {
            note_drawn(r->side, message);
            text_answer(r->side, member, message, lines);
            buf_append_byte(lines, '\n');
        } else {
            buf_append_str(lines, "UNREADABLE\n");
        }
    }
    if (a->code != GRPC_OK) {
        buf_printf(lines, "%s: %s\n", grpc_code_name(a->code), a->text);
    }
}

static bool call(struct running *r, const struct method *m, int member,
                 const char *text, struct answer *ret)
{
    side_meet(r->side, member, m->path);
    struct grpc_client_call *c =
        side_begin(r->side, member, m->path, NULL, ret);
    if (!send_all(r, c, member, m, text)) {
        grpc_client_cancel(c);
        return false;
    }
    grpc_client_half_close(c);
    side_wait(r->side, ret);
    return true;
}

static void do_call(struct running *r, const struct method *m, int member,
                    const char *text)
{
    struct answer a;
    struct buf lines = BUF_INIT(EXPANDED_MAX);
    if (call(r, m, member, text, &a)) {
        print_answers(r, member, m, &a, &lines);
        check(r, &lines);
    }
    buf_release(&lines);
    buf_release(&a.bytes);
}

static void pause_ms(struct side *s, uint64_t ms)
{
    uint64_t end = loop_now_ms(s->loop) + ms;
    while (loop_now_ms(s->loop) < end) {
        side_spin(s, ms);
    }
}

static void do_until(struct running *r, const struct method *m, int member,
                     const char *text)
{
    uint64_t end = loop_now_ms(r->side->loop) + UNTIL_MS;
    struct buf lines = BUF_INIT(EXPANDED_MAX);
    bool holds = false;
    while (!holds && !r->failed) {
        struct answer a;
        buf_reset(&lines, 4096);
        if (call(r, m, member, text, &a)) {
            print_answers(r, member, m, &a, &lines);
            holds = is_as_wanted(r->step, &lines);
        }
        buf_release(&a.bytes);
        r->side->is_lost = false; /* it may be on its way up */
        if (!holds && loop_now_ms(r->side->loop) > end) {
            check(r, &lines);
        } else if (!holds) {
            pause_ms(r->side, PAUSE_MS);
        }
    }
    buf_release(&lines);
}

/* The answer without its header, as it came. */
static void raw_text(struct running *r, const struct method *m,
                     struct answer *a, struct buf *out)
{
    for (int i = 0; i < a->count; i++) {
        ProtobufCMessage *message = side_message(r->side, a, i, m->answer);
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field_by_name(m->answer,
                                                            "header");
        if (message && f) {
            void *at = (char *)message + f->offset;
            *(ProtobufCMessage **)at = NULL;
        }
        if (message) {
            message_print(out, message);
        }
    }
    buf_append_str(out, grpc_code_name(a->code));
}

static void do_same(struct running *r, const char *name, size_t size,
                    const struct method *m, int member, const char *text)
{
    struct answer a;
    struct buf mine = BUF_INIT(EXPANDED_MAX);
    buf_append(&mine, name, size);
    buf_append_byte(&mine, '=');
    if (call(r, m, member, text, &a)) {
        raw_text(r, m, &a, &mine);
        buf_append_byte(&mine, 0);
        const char *at = (char *)r->same.data;
        const char *end = at + r->same.size;
        for (; at && at < end; at += strlen(at) + 1) {
            if (strncmp(at, name, size) == 0 && at[size] == '=' &&
                strcmp(at, (char *)mine.data) != 0) {
                fail(r, at, (char *)mine.data);
            }
        }
        buf_append_slice(&r->same, buf_slice(&mine));
    }
    buf_release(&mine);
    buf_release(&a.bytes);
}

/* ---- calls that stay open ---- */

static struct open_call *find_open(struct running *r, const char *name,
                                   size_t size)
{
    for (int i = 0; i < OPEN_MAX; i++) {
        if (strlen(r->open[i].name) == size &&
            memcmp(r->open[i].name, name, size) == 0) {
            return &r->open[i];
        }
    }
    return NULL;
}

static void hear(struct running *r, struct open_call *o)
{
    for (int i = 0; i < r->step->wanted_count && !r->failed; i++) {
        const char *wanted = r->step->wanted[i];
        char *line = open_call_next(o, wanted);
        if (!line || !is_equal(wanted, line)) {
            fail(r, wanted, line ? line : "nothing came");
        }
        free(line);
    }
}

static void do_open(struct running *r, const char *text)
{
    char name[16];
    size_t size = strcspn(text, " ");
    snprintf(name, sizeof name, "%.*s", (int)size, text);
    const char *what = text + size + strspn(text + size, " ");
    const struct method *m = method_find(what);
    struct open_call *o = find_open(r, "", 0);
    if (!m || !o) {
        fail(r, "an RPC", what);
        return;
    }
    int member = target(r, what);
    side_meet(r->side, member, m->path);
    what += strcspn(what, " ");
    what += strspn(what, " ");
    bool has_leader = strncmp(what, "hasleader", 9) == 0;
    what += has_leader ? 9 : 0;
    open_call_begin(o, r->side, member, m, name, has_leader);
    if (send_all(r, o->call, member, m, what) && m->kind != BIDI) {
        grpc_client_half_close(o->call);
    }
    hear(r, o);
}

/* What comes before the end is not looked at. */
static void hear_end(struct running *r, struct open_call *o)
{
    char *line, *last = NULL;
    while ((line = open_call_next(o, ""))) {
        free(last);
        last = line;
    }
    if (o->call || r->step->wanted_count != 1 ||
        !is_equal(r->step->wanted[0], last ? last : "")) {
        fail(r, r->step->wanted[0], last ? last : "nothing came");
    }
    free(last);
}

/* send, heard, last, end and cut. */
static void on_open(struct running *r, const char *verb, const char *text)
{
    size_t size = strcspn(text, " ");
    struct open_call *o = size ? find_open(r, text, size) : NULL;
    bool hears = strcmp(verb, "heard") == 0 || strcmp(verb, "last") == 0;
    if (!o || (!hears && !o->call)) {
        fail(r, "an open call", text);
        return;
    }
    if (strcmp(verb, "send") == 0) {
        side_meet(r->side, o->member, o->method->path);
        send_all(r, o->call, o->member, o->method, text + size);
    } else if (strcmp(verb, "end") == 0) {
        grpc_client_half_close(o->call);
    } else if (strcmp(verb, "cut") == 0) {
        open_call_close(o);
        return;
    } else if (strcmp(verb, "last") == 0) {
        hear_end(r, o);
        return;
    }
    hear(r, o);
}

static void close_open(struct running *r)
{
    for (int i = 0; i < OPEN_MAX; i++) {
        struct open_call *o = &r->open[i];
        if (o->name[0]) {
            side_spin(r->side, 1);
            if (o->count) {
                fail(r, "nothing more", o->lines[0]);
            }
            open_call_close(o);
        }
    }
}

/* ---- steps ---- */

static void do_wire(struct running *r, const char *text)
{
    struct buf lines = BUF_INIT(EXPANDED_MAX);
    size_t size = strcspn(text, " ");
    char *path = arena_printf(&r->side->scratch, "%.*s", (int)size, text);
    const struct method *m = *text == '*' ? r->every : method_find(path);
    const char *wrong = wire_call(r->side, r->member, m, m ? m->path : path,
                                  text + size, &lines);
    if (wrong) {
        fail(r, "a request that can be read", wrong);
    } else {
        check(r, &lines);
    }
    buf_release(&lines);
}

/* many N METHOD ..: %d counts the calls. */
static void do_many(struct running *r, const char *text)
{
    char *what;
    long n = strtol(text, &what, 10);
    what += strspn(what, " ");
    const struct method *m = method_find(what);
    const char *request = what + strcspn(what, " ");
    if (!m) {
        fail(r, "an RPC", what);
        return;
    }
    for (long i = 0; i < n && !r->failed; i++) {
        const char *mark = strstr(request, "%d");
        const char *one =
            mark ? arena_printf(&r->side->scratch, "%.*s%ld%s",
                                (int)(mark - request), request, i, mark + 2)
                 : request;
        do_call(r, m, target(r, what), one);
    }
}

/* "NAME METHOD.." or "METHOD..", behind until and same. */
static void do_named(struct running *r, const char *verb, const char *text)
{
    bool same = strcmp(verb, "same") == 0;
    size_t size = same ? strcspn(text, " ") : 0;
    const char *what = text + size + strspn(text + size, " ");
    const struct method *m = method_find(what);
    const char *request = what + strcspn(what, " ");
    if (!m) {
        fail(r, "an RPC", what);
    } else if (same) {
        do_same(r, text, size, m, target(r, what), request);
    } else {
        do_until(r, m, target(r, what), request);
    }
}

static void do_settle(struct running *r)
{
    r->side->is_apart = false;
    r->side->is_lost = false;
    r->side->is_lost = !side_settle(r->side);
    if (r->side->is_lost) {
        fail(r, "a leader", "none");
    }
}

static void do_pause(struct running *r, bool paused)
{
    grpc_channel_pause(r->side->members[r->member].channel, paused);
    r->side->is_apart = paused;
}

static void do_mark(struct running *r)
{
    side_barrier(r->side, r->member);
    r->side->base = r->side->revision;
}

static void do_servers(struct running *r, const char *verb, const char *text)
{
    const char *wrong = servers_step(r->side, r->member, verb, text);
    if (wrong) {
        fail(r, text, wrong);
    }
}

static void do_step(struct running *r, const struct row_step *step)
{
    const char *verb = step->verb;
    const struct method *m = *verb == '*' ? r->every : method_find(verb);
    r->step = step;
    if (m) {
        do_call(r, m, target(r, verb), step->text);
    } else if (strcmp(verb, "until") == 0 || strcmp(verb, "same") == 0) {
        do_named(r, verb, step->text);
    } else if (strcmp(verb, "many") == 0) {
        do_many(r, step->text);
    } else if (strcmp(verb, "pause") == 0 || strcmp(verb, "resume") == 0) {
        do_pause(r, *verb == 'p');
    } else if (strcmp(verb, "open") == 0) {
        do_open(r, step->text);
    } else if (strcmp(verb, "wire") == 0) {
        do_wire(r, step->text);
    } else if (servers_has(verb)) {
        do_servers(r, verb, step->text);
    } else if (strcmp(verb, "settle") == 0) {
        do_settle(r);
    } else if (strcmp(verb, "mark") == 0) {
        do_mark(r);
    } else {
        on_open(r, verb, step->text);
    }
}

/* ---- nothing is changed ---- */

static void state_text(struct running *r, struct buf *out)
{
    static const char *const asked[] = {"Range", "HashKV", "LeaseLeases",
                                        "Alarm", "MemberList"};
    for (int i = 0; i < 5; i++) {
        const struct method *m = method_find(asked[i]);
        struct answer a;
        if (call(r, m, r->side->roles[0], i == 0 ? "key none" : "", &a)) {
            raw_text(r, m, &a, out);
        }
        buf_release(&a.bytes);
    }
    side_barrier(r->side, r->side->roles[0]);
    buf_printf(out, " at %lld", (long long)r->side->revision);
    buf_append_byte(out, 0);
}

static void run_steps(struct running *r, struct count *count)
{
    r->failed = false;
    for (int i = 0; i < r->row->count && !r->failed && !r->side->is_lost; i++) {
        do_step(r, &r->row->steps[i]);
    }
    close_open(r);
    if (r->side->is_lost) {
        fail(r, "a server", "lost");
    }
    count->passed += !r->failed;
    count->failed += r->failed;
}

static void run_all(struct running *r, bool with_auth, struct count *count)
{
    if (!r->row->every) {
        run_steps(r, count);
    }
    for (int i = 0; i < method_count; i++) {
        r->every = &methods[i];
        if ((r->row->every & methods[i].kind) &&
            (with_auth || !method_is_auth(&methods[i])) &&
            !proxy_exempt_path(methods[i].path)) {
            run_steps(r, count);
        }
    }
}

void run_row(struct side *s, const struct row *row, int role, bool with_auth,
             struct count *count)
{
    struct running r = {.side = s, .row = row};
    struct buf before = BUF_INIT(EXPANDED_MAX), after = BUF_INIT(EXPANDED_MAX);
    buf_init(&r.same, EXPANDED_MAX);
    side_clean(s);
    r.member = s->roles[role % s->member_count];
    side_barrier(s, r.member);
    s->base = s->revision;
    if (row->unchanged) {
        state_text(&r, &before);
    }
    run_all(&r, with_auth, count);
    if (row->unchanged && !r.failed) {
        state_text(&r, &after);
        if (strcmp((char *)before.data, (char *)after.data) != 0) {
            fail(&r, (char *)before.data, (char *)after.data);
            count->failed++;
        }
    }
    buf_release(&before);
    buf_release(&after);
    buf_release(&r.same);
}
