/* Finding a command by its words, or by a beginning that only one has. */
#include <strings.h>

#include "cli.h"

/* A flag that is not a global one is taken to have a value. */
int cli_tree_word(const struct pflag *global, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--") == 0) {
            return -1;
        }
        if (arg[0] != '-' || arg[1] == 0) {
            return i;
        }
        bool takes_value = true;
        bool is_long = arg[1] == '-';
        for (const struct pflag *f = global; f->name; f++) {
            bool same = is_long ? strcmp(arg + 2, f->name) == 0
                                : arg[1] == f->shorthand;
            if (same && f->kind == PFLAG_BOOL) {
                takes_value = false;
            }
        }
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0 ||
            strchr(arg, '=') || (!is_long && arg[2])) {
            takes_value = false;
        }
        i += takes_value;
    }
    return -1;
}

static const struct cli_command *child(const struct cli_command *c,
                                       const char *word)
{
    const struct cli_command *match = NULL;
    size_t matches = 0;
    size_t size = strlen(word);
    if (!c->children) {
        return NULL;
    }
    for (size_t i = 0; c->children[i]; i++) {
        if (strcmp(c->children[i]->name, word) == 0) {
            return c->children[i];
        }
        if (size > 0 && strncmp(c->children[i]->name, word, size) == 0) {
            match = c->children[i];
            matches++;
        }
    }
    return matches == 1 ? match : NULL;
}

const struct cli_command *cli_tree_find(const struct cli_command *root,
                                        const struct pflag *global, int *argc,
                                        char **argv)
{
    const struct cli_command *c = root;
    for (;;) {
        int at = cli_tree_word(global, *argc, argv);
        const struct cli_command *next = at >= 0 ? child(c, argv[at]) : NULL;
        if (!next) {
            return c;
        }
        memmove(argv + at, argv + at + 1,
                (size_t)(*argc - at - 1) * sizeof *argv);
        (*argc)--;
        c = next;
    }
}

enum { WORD_SIZE_MAX = 64, DISTANCE_MAX = 2 };

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c;
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Edits from one word to the other (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_SIZE_MAX + 1];
    size_t size = strlen(b);
    if (size > WORD_SIZE_MAX || strlen(a) > WORD_SIZE_MAX) {
        return WORD_SIZE_MAX;
    }
    for (size_t j = 0; j <= size; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < size; j++) {
            size_t above = row[j + 1];
            row[j + 1] = min3(above + 1, row[j] + 1,
                              diagonal + (lower(a[i]) != lower(b[j])));
            diagonal = above;
        }
    }
    return row[size];
}

void cli_tree_suggest(const struct cli_command *root, const char *word,
                      struct buf *out)
{
    bool any = false;
    for (size_t i = 0; root->children[i]; i++) {
        const char *name = root->children[i]->name;
        if (distance(word, name) > DISTANCE_MAX &&
            strncasecmp(name, word, strlen(word)) != 0) {
            continue;
        }
        if (!any) {
            buf_append_str(out, "\nDid you mean this?\n");
            any = true;
        }
        buf_printf(out, "\t%s\n", name);
    }
    if (any) {
        buf_append_byte(out, '\n');
    }
}
