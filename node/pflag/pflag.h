/*
 * Flags as the programs that ours stand in for take them (cobra's pflag):
 * --name=value, --name value, -n value, -nvalue, bundles of one-letter
 * switches, flags and other words in any order, -- to end the flags. Error
 * texts are pflag's. Used by the command line and by the proxies; the node
 * itself reads its flags as Go's flag package does (server/).
 */
#ifndef PFLAG_PFLAG_H
#define PFLAG_PFLAG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"

enum pflag_kind {
    PFLAG_BOOL,
    PFLAG_STRING,
    PFLAG_INT,
    PFLAG_DURATION,
    PFLAG_LIST,
};

enum pflag_use {
    PFLAG_WORKS,
    PFLAG_WARNS,   /* taken without effect, one warning */
    PFLAG_REFUSED, /* not built yet: any other value than the initial one is
                      refused, so that nobody believes it works */
};

struct pflag {
    const char *name; /* NULL ends a table */
    enum pflag_kind kind;
    const char *initial; /* value when not given, as text */
    const char *help;
    char shorthand; /* 0: none */
    enum pflag_use use;
};

enum { PFLAG_COUNT_MAX = 64 };

struct pflag_value {
    const struct pflag *flag;
    char *text;     /* in the set's arena */
    int64_t number; /* bool, int, duration in ns */
    bool given;     /* on the command line */
};

/* The flags of a command with those that every command takes. */
struct pflag_set {
    struct arena arena;
    struct pflag_value values[PFLAG_COUNT_MAX];
    size_t count;
    int dash; /* words in front of "--"; -1: there was none */
};

void pflag_init(struct pflag_set *f);
void pflag_release(struct pflag_set *f);
/* Adds a table of flags, at their initial values; NULL is fine. */
void pflag_add(struct pflag_set *f, const struct pflag *table);
struct pflag_value *pflag_find(struct pflag_set *f, const char *name);
struct pflag_value *pflag_find_short(struct pflag_set *f, char shorthand);
/* Sets one from text; NULL, or why not (in the set's arena). */
const char *pflag_set(struct pflag_set *f, struct pflag_value *v,
                      const char *text);
/* Takes flags out of argv, which then holds only the other words; *argc is
 * their count. NULL, or the text of the error (in the set's arena). */
const char *pflag_parse(struct pflag_set *f, int *argc, char **argv);
bool pflag_bool(struct pflag_set *f, const char *name);
int64_t pflag_int(struct pflag_set *f, const char *name);
const char *pflag_text(struct pflag_set *f, const char *name);
bool pflag_given(struct pflag_set *f, const char *name);

/* Go's words for a number that does not parse, or NULL where it does. */
const char *pflag_parse_number(struct arena *a, const char *text, int base,
                               bool is_signed, int64_t *ret_value);

/* Appends the list of flags, sorted by name; `with_help`: with --help, which
 * is of the command `name`. */
void pflag_help(const struct pflag *flags, bool with_help, const char *name,
                struct buf *out);

/* ---- command.c: a program that is one word behind another, as
 * "cofre gateway start" ---- */
struct pflag_command {
    const char *path;    /* "cofre gateway" */
    const char *word;    /* "start" */
    const char *group;   /* what `path` does, a line */
    const char *summary; /* what the whole does, a line */
    const struct pflag *flags;
};

/* argv[0] is the last word of `path`. True: `set` (which the caller has
 * initialized) holds the flags, go on; what has no effect is logged, what is
 * not built yet is refused. False: all was printed, *ret_status is the exit
 * status (facts of the reference: help ends with 0, a bad flag with 1). */
bool pflag_command_parse(const struct pflag_command *c, int argc, char **argv,
                         struct pflag_set *set, int *ret_status);
/* "Error: why", the usage, why again; on standard error. */
void pflag_command_fail(const struct pflag_command *c, const char *why);

#endif
