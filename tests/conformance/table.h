/*
 * The table of the API's rules, a row each, as text (rows/): what is
 * called, and what has to come back. A file of rows:
 *
 *   # a comment
 *   row semantics-kv.md 2: the rule, headed by where it is written down
 *   Put key a value 1                 an RPC and its request
 *   = @1                              what it answers, a line a message
 *   Put
 *   = InvalidArgument: etcdserver: key is not provided
 *
 * A line that begins with a blank goes on with the line before it. A call
 * without a line of answers has to succeed. Requests and answers are in
 * protobuf's text form, colons and quotes left out where they do not matter:
 *   @N         a revision, counted from the store's before the row; alone:
 *              a full header of the member that was asked (@none: the same
 *              without a revision)
 *   [k=v C M N lease L]  a KeyValue: created, modified, version
 *   PUT[..] DELETE[..] was[..]  events, with what was there before
 *   {}         an answer without any field
 *   member0 member1 ...  ids: the leader, the followers; me: who is asked;
 *              member100: who was added last
 *   lease0 ...           ids that the server drew in this row
 *   "x"*1000             bytes a thousand times
 *   $peer                the peer URL of a server that joins
 *   (..)*10              text ten times, %d in it being 0, 1, ...
 *   raw ".."             bytes in place of fields
 * METHOD@leader, METHOD@follower and METHOD@added ask that member instead of
 * the one that the row is run on. `A ; B` are messages of one call. Other
 * steps: until METHOD ..      asked again until the answer is the one given
 *   open NAME METHOD ..  a call that stays open (METHOD hasleader ..: with that
 *              metadata); send NAME .., end NAME (half
 *                        close), cut NAME (cancel); lines of answers are what
 *                        it hears next, in order for each watcher
 *   heard NAME           that, without sending anything
 *   last NAME            the last that it hears; what was before is not told
 *   pause, resume        nothing is read from the member asked, until ..
 *   many N METHOD ..     N calls, %d in them being 0, 1, ...
 *   wire METHOD|PATH ..  HTTP/2 by hand, see wire.c
 *   settle               until the members agree who leads
 *   mark                 from here on revisions are counted from now
 *   kill, freeze, thaw, stop, start, ended, join ..  see servers.c
 *   same NAME METHOD ..  the answer's text must be that of all others NAMEd
 *                        so in this row
 * and between the row's head and its steps:
 *   only WORD..          one three leader follower etcd cofre
 *   every KIND           once for each unary, server, bidi RPC; * is its name
 * Before the first row of a file, `unchanged`: no row of it changes anything;
 * `servers N FLAG..`: the servers that conformance.sh starts for it (rows/own).
 */
#ifndef TESTS_CONFORMANCE_TABLE_H
#define TESTS_CONFORMANCE_TABLE_H

#include "tests/diff/diff.h"

/* ---- methods.c ---- */
enum method_kind { UNARY = 1, SERVER = 2, BIDI = 4 };
struct method {
    const char *name; /* as in rows */
    const char *path;
    const ProtobufCMessageDescriptor *request, *answer;
    enum method_kind kind;
};
extern const struct method methods[];
extern const int method_count;
/* NULL: none of that name, which ends at a blank, an @ or the end. */
const struct method *method_find(const char *name);
bool method_is_auth(const struct method *m);

/* ---- rows.c: files of rows ---- */
enum only {
    ONLY_ONE = 1,
    ONLY_THREE = 2,
    ONLY_LEADER = 4,
    ONLY_FOLLOWER = 8,
    ONLY_ETCD = 16,
    ONLY_COFRE = 32,
};

enum { ROW_STEPS_MAX = 64, WANTED_MAX = 48 };

struct row_step {
    int line;
    char *verb; /* of the arena */
    char *text;
    char *wanted[WANTED_MAX];
    int wanted_count;
};

struct row {
    const char *file;
    char *rule;
    unsigned only;  /* bits of enum only */
    unsigned every; /* bits of enum method_kind; 0: an ordinary row */
    bool unchanged;
    struct row_step steps[ROW_STEPS_MAX];
    int count;
};

struct rows {
    struct arena arena;
    struct row **rows;
    int count;
};
/* Ends the program with file and line where one cannot be read. */
void rows_load(struct rows *r, const char *file);

/* ---- text.c: messages from text and to text ---- */
/* The message's bytes on the wire; NULL, or what cannot be understood. */
const char *text_encode(struct side *s, int member, const char *text,
                        const ProtobufCMessageDescriptor *d, struct buf *out);
/* Text with (..)*N written out. */
void text_expand(const char *text, struct buf *out);
/* What `member` has answered; changes the message. */
void text_answer(struct side *s, int member, ProtobufCMessage *m,
                 struct buf *out);
/* One spelling for what means the same. */
void text_canonical(const char *text, struct buf *out);
/* A literal as requests have it: "a\001"*3, abc. Appends its bytes and
 * returns what follows; NULL: none. */
const char *text_literal(const char *at, struct buf *out);
/* Likewise a number: 5, -1, @2, member1, me, lease0. */
const char *text_number(struct side *s, int member, const char *at,
                        uint64_t *ret);
/* Events, each the way that a KeyValue is printed. */
void text_event(struct side *s, Pb__Event *e, struct buf *out);

/* ---- snapshot.c ---- */
/* A line: pieces small, counted down, named by a version, and whole. */
void snapshot_summary(struct side *s, const struct answer *a, struct buf *out);

/* The member that was added last is member100. */
enum { MEMBER_ADDED = 100 };
void text_note_added(uint64_t id);
uint64_t text_added(void);

/* ---- stream.c: calls that stay open ---- */
enum { OPEN_MAX = 24, LINES_MAX = 4096, LINE_BYTES_MAX = 1 << 20 };
struct open_call {
    char name[16]; /* "": free */
    struct side *side;
    const struct method *method;
    int member;
    struct grpc_client_call *call; /* NULL: it is over */
    char **lines;                  /* heard, each freed with free() */
    int count;
    struct buf parts; /* fragments of a response that goes on */
};
void open_call_begin(struct open_call *o, struct side *s, int member,
                     const struct method *m, const char *name, bool has_leader);
/* Waits until a line is there that is for the same watcher as `wanted`, and
 * takes it; NULL: nothing came. The caller frees it. */
char *open_call_next(struct open_call *o, const char *wanted);
void open_call_close(struct open_call *o);

/* ---- wire.c ---- */
/* One request as `text` has it; appends a line for each answer. */
const char *wire_call(struct side *s, int member, const struct method *m,
                      const char *path, const char *text, struct buf *out);

/* ---- servers.c: the members' processes ---- */
/* Whether it is a step of theirs. */
bool servers_has(const char *verb);
/* NULL, or what is wrong. */
const char *servers_step(struct side *s, int member, const char *verb,
                         const char *text);
/* SIGTERM for one of them. */
const char *servers_stop(int member);

/* ---- run.c ---- */
struct count {
    int passed, failed;
};
/* Runs a row on the member of `role`, an `every` row for each RPC, those for
 * users and roles only `with_auth`. What does not hold is printed. */
void run_row(struct side *s, const struct row *row, int role, bool with_auth,
             struct count *count);

/* ---- coverage.c ---- */
/* Has each RPC a row, those of README's table above all? Prints those that
 * have none; returns how many. */
int coverage(const struct rows *r, const char *readme);

#endif
