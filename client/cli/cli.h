/*
 * The command line: what its files share.
 *
 * A run goes: main.c finds the command in the tree (tree.c), parses its
 * flags (pflag/) and calls it; the command checks its arguments, calls
 * cli_begin() (environment, output format: anything that can be refused is
 * refused here, before a byte is sent) and cli_connect(), asks, and prints
 * in the chosen format. A failure ends the process in cli_exit().
 */
#ifndef CLIENT_CLI_CLI_H
#define CLIENT_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "cofre.h"
#include "pflag/pflag.h"
#include "proto/rpc.pb-c.h"

enum {
    CLI_EXIT_ERROR = 1,
    CLI_EXIT_BAD_CONNECTION = 2,
    CLI_EXIT_INVALID_INPUT = 3,
    CLI_EXIT_BAD_FEATURE = 4,
    CLI_EXIT_INTERRUPTED = 5,
    CLI_EXIT_IO = 6,
    CLI_EXIT_BAD_ARGS = 128,
};

enum { CLI_LINE_SIZE_MAX = 16 << 20 }; /* a line of txn or watch input */

/* ---- tree.c ---- */
struct cli;

struct cli_command {
    const char *name;
    const char *arguments; /* "<key> [range_end]", NULL: none */
    const char *summary;   /* one line */
    const char *details;   /* NULL: the summary serves */
    const char *group;     /* heading in the root's help */
    const struct pflag *flags;
    const struct cli_command *const *children; /* ended by NULL */
    const struct cli_command *parent;          /* NULL: the root */
    void (*run)(struct cli *x, int argc, char **argv);
};

extern const struct cli_command cli_root;
/* The commands that need no server, where the program is called etcdutl. */
extern const struct cli_command cli_utl_root;

/* The command that the words name; those words are taken out of argv. A
 * word that no child of a group answers to stays. */
const struct cli_command *cli_tree_find(const struct cli_command *root,
                                        const struct pflag *global, int *argc,
                                        char **argv);
/* The index of the first word that is no flag nor a flag's value; -1: none
 * in front of "--". */
int cli_tree_word(const struct pflag *global, int argc, char **argv);
/* Appends the "Did you mean this?" lines for an unknown word. */
void cli_tree_suggest(const struct cli_command *root, const char *word,
                      struct buf *out);

/* ---- help.c ---- */
/* "etcdctl member add" */
void cli_help_path(const char *program, const struct cli_command *c,
                   struct buf *out);
void cli_help_usage(const char *program, const struct cli_command *c,
                    struct buf *out);
void cli_help_full(const char *program, const struct cli_command *c,
                   struct buf *out);

/* ---- root.c ---- */
enum cli_format {
    CLI_SIMPLE = 1,
    CLI_FIELDS = 2,
    CLI_JSON = 4,
    CLI_PROTOBUF = 8,
    CLI_TABLE = 16,
};

struct cli {
    const char *program; /* cofrectl, or the name it is called by */
    const struct cli_command *root;
    const struct pflag *global; /* flags that every command takes */
    const struct cli_command *command;
    struct pflag_set flags;
    enum cli_format format;
    bool hex;
    struct cofre *client; /* NULL until cli_connect() */
};

/* "Error: text" on standard error, and out. */
_Noreturn void cli_exit(int code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Flushes standard output first, and says so when that fails. */
_Noreturn void cli_quit(int code);
/* Finds the command that argv (without the program) names, and runs it. */
void cli_root_run(struct cli *x, int argc, char **argv);
void cli_run_help(struct cli *x, int argc, char **argv);
void cli_run_options(struct cli *x, int argc, char **argv);
void cli_run_version(struct cli *x, int argc, char **argv);

/* ---- env.c ---- */
extern const struct pflag cli_global_flags[];
extern const struct pflag cli_utl_flags[]; /* of etcdutl */
/* Reads the environment into the global flags; ends the process where a
 * flag says the same thing. */
void cli_env_apply(struct cli *x);
/* COFRECTL_<NAME>, else ETCDCTL_<NAME>, else NULL. */
const char *cli_env_get(const char *name);

/* ---- connect.c ---- */
/* `formats`: CLI_* bits that the command can print; CLI_TEXT_ONLY: it
 * ignores --write-out. */
enum { CLI_TEXT_ONLY = 0 };
void cli_begin(struct cli *x, unsigned formats);
/* For a command that asks no server. */
void cli_begin_local(struct cli *x, unsigned formats);
/* Opens and logs in; ends the process where that fails. `timed`: calls end
 * after --command-timeout. */
struct cofre *cli_connect(struct cli *x, bool timed);
/* A client of one endpoint; logs in at its first call. Ends the process
 * where the endpoint cannot be read. */
struct cofre *cli_open_one(struct cli *x, const char *endpoint);
/* Calls, and ends the process when the call fails. `prefix` may be NULL:
 * else the text becomes "prefix (text)". */
struct cofre_reply *cli_call(struct cli *x, const char *path,
                             const ProtobufCMessage *request,
                             const ProtobufCMessageDescriptor *answer,
                             const char *prefix);
/* Connects, calls and prints what is the same for all: JSON, protobuf, the
 * header's fields. The reply; its simple text is left to the caller where
 * x->format is CLI_SIMPLE, further fields where it is CLI_FIELDS. */
struct cofre_reply *cli_ask(struct cli *x, const char *path,
                            const ProtobufCMessage *request,
                            const ProtobufCMessageDescriptor *answer);
/* The header, which is every answer's first field; NULL: none. */
const Pb__ResponseHeader *cli_header(const ProtobufCMessage *m);
/* The endpoints as a NULL-ended list, in the flags' arena. */
char **cli_endpoints(struct cli *x, size_t *ret_count);
/* The client URLs of all members, asked for; in the flags' arena. */
char **cli_cluster_endpoints(struct cli *x, size_t *ret_count);
/* A line from the user without showing it; in the flags' arena. */
char *cli_read_secret(struct cli *x, const char *prompt);
/* Whole lines of standard input; NULL at the end. Freed by the caller. */
char *cli_read_line(FILE *from);

/* ---- quote.c ---- */
/* Undoes text_quote() for a whole "..." text; ERR_INVALID. */
int cli_unquote(struct slice quoted, struct buf *out);
/* \x66\x6f */
void cli_hex(struct buf *out, struct slice s);
/* As Go's encoding/json writes a string. */
void cli_json_string(struct buf *out, struct slice s);
/* Splits a line at blanks; "..." is unquoted as Go does, '...' is taken as
 * it is. In the arena; the list ends with NULL. */
char **cli_split(struct arena *a, const char *line, int *ret_count);
/* Bytes in decimal units with two digits: "20 kB", "2.1 GB". */
void cli_human_bytes(struct buf *out, uint64_t size);
static inline struct slice cli_bytes(ProtobufCBinaryData b)
{
    return slice_of(b.data, b.len);
}

/* ---- json.c ---- */
/* A message as Go's encoding/json prints the generated struct: zero fields
 * left out, 64-bit numbers as numbers, bytes in base64. `hex_ids`: the ids
 * of headers and members as hex strings. */
void cli_json_message(struct buf *out, const ProtobufCMessage *m, bool hex_ids);
/* Its fields without the braces. */
void cli_json_body(struct buf *out, const ProtobufCMessage *m, bool hex_ids);
#define CLI_MESSAGE(type, reply) \
    ((const type *)(const void *)cofre_reply_message(reply))

/* ---- fields.c ---- */
void cli_fields_header(struct cli *x, const Pb__ResponseHeader *h);
void cli_field_i64(const char *name, int64_t v);
void cli_field_u64(const char *name, uint64_t v);
void cli_field_id(struct cli *x, const char *name, uint64_t id);
void cli_field_bool(const char *name, bool v);
void cli_field_quoted(const char *name, struct slice v);
void cli_field_kv(struct cli *x, const char *prefix, const Pb__KeyValue *kv);

/* ---- print.c ---- */
/* JSON and protobuf for any message; true when that was the format. */
/* As the last failure is told: texts of the API as they are, others with
 * their code. In the arena, or the client's. */
const char *cli_error_text(const struct cofre *c, struct arena *a);
bool cli_print_raw(struct cli *x, const ProtobufCMessage *m);
void cli_print_buf(struct buf *b); /* and releases it */
void cli_print_simple_kv(struct cli *x, const Pb__KeyValue *kv, bool keys,
                         bool values);
void cli_print_range(struct cli *x, const Pb__RangeResponse *m,
                     bool values_only);
void cli_print_put(struct cli *x, const Pb__PutResponse *m);
void cli_print_delete(struct cli *x, const Pb__DeleteRangeResponse *m);
/* The header's message alone, as protobuf. */
void cli_print_header_protobuf(const Pb__ResponseHeader *h);
/* Go's flattened header and what follows: {"cluster_id":1,...<rest>} */
void cli_print_flat_json(const Pb__ResponseHeader *h, const char *rest);

/* ---- role.c ---- */
void cli_print_role(const char *name, const Pb__AuthRoleGetResponse *m);

/* ---- table.c ---- */
/* `cells` row by row, `columns` wide; the first row is the heading. */
void cli_table(struct buf *out, const char *const *cells, size_t columns,
               size_t rows);

/* ---- kv.c ---- */
extern const struct pflag cli_get_flags[];
extern const struct pflag cli_put_flags[];
extern const struct pflag cli_del_flags[];
/* Requests from flags and words; bad ones end the process. */
void cli_get_request(struct pflag_set *f, int argc, char **argv,
                     Pb__RangeRequest *ret);
void cli_put_request(struct pflag_set *f, int argc, char **argv,
                     bool with_input, Pb__PutRequest *ret);
void cli_del_request(struct pflag_set *f, int argc, char **argv,
                     Pb__DeleteRangeRequest *ret);
/* --prefix and --from-key, and an empty key where they stand. */
void cli_set_range(struct pflag_set *f, const char *key, const char *end,
                   ProtobufCBinaryData *ret_key, ProtobufCBinaryData *ret_end);
void cli_run_get(struct cli *x, int argc, char **argv);
void cli_run_put(struct cli *x, int argc, char **argv);
void cli_run_del(struct cli *x, int argc, char **argv);
void cli_run_compaction(struct cli *x, int argc, char **argv);

/* ---- txn_parse.c ---- */
/* One line of the compares; NULL, or the error (in the arena). */
const char *cli_txn_compare(struct arena *a, const char *line,
                            Pb__Compare *ret);
struct cli_txn_op {
    Pb__RequestOp op;
    bool values_only;        /* get --print-value-only */
    struct pflag_set *flags; /* own what the request points to */
};
/* One line of requests; NULL, or the error (in the arena). */
const char *cli_txn_op(struct arena *a, const char *line,
                       struct cli_txn_op *ret);

/* ---- watch_parse.c ---- */
struct cli_watch {
    const char *key;
    const char *range_end; /* NULL: none */
    char **command;        /* words after --, ended by NULL; NULL: none */
    bool prefix;
    bool previous;
    bool progress_notify;
    int64_t revision;
};
extern const struct pflag cli_watch_flags[];
/* From a parsed command line; `env_key` and `env_end` (NULL: none) serve
 * where it names no key. NULL, or the error. */
const char *cli_watch_parse(struct pflag_set *f, int argc, char **argv,
                            const char *env_key, const char *env_end,
                            struct cli_watch *ret);

/* ---- commands, one file a group ---- */
void cli_run_txn(struct cli *x, int argc, char **argv);
void cli_run_watch(struct cli *x, int argc, char **argv);
extern const struct cli_command cli_lease;
extern const struct cli_command cli_member;
extern const struct cli_command cli_endpoint;
extern const struct cli_command cli_alarm;
extern const struct cli_command cli_snapshot;
extern const struct cli_command cli_snapshot_status;
extern const struct cli_command cli_snapshot_restore;
extern const struct cli_command cli_snapshot_hashkv;
extern const struct cli_command cli_auth;
extern const struct cli_command cli_user;
extern const struct cli_command cli_role;
extern const struct cli_command cli_downgrade;
extern const struct cli_command cli_lock;
extern const struct cli_command cli_elect;
extern const struct cli_command cli_make_mirror;
extern const struct cli_command cli_check;
extern const struct cli_command cli_completion;
void cli_run_completion(struct cli *x, int argc, char **argv);
void cli_run_defrag(struct cli *x, int argc, char **argv);
void cli_run_move_leader(struct cli *x, int argc, char **argv);
extern const struct pflag cli_cluster_flag[];

#endif
