/* Help and usage texts, in the layout that the flags of section 2 have
 * everywhere: name column, three blanks, meaning. */
#include <stdlib.h>

#include "base/mem.h"
#include "cli.h"

void cli_help_path(const char *program, const struct cli_command *c,
                   struct buf *out)
{
    buf_append_str(out, program);
    if (c->parent && c->parent->parent) {
        buf_printf(out, " %s", c->parent->name);
    }
    if (c->parent) {
        buf_printf(out, " %s", c->name);
    }
}

static int by_command(const void *a, const void *b)
{
    const struct cli_command *const *x = a;
    const struct cli_command *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

enum { COMMAND_COUNT_MAX = 48, COMMAND_WIDTH = 11 };

/* The children of one group, or all for NULL, sorted. */
static void children(const struct cli_command *c, const char *group,
                     struct buf *out)
{
    const struct cli_command *all[COMMAND_COUNT_MAX];
    size_t count = 0;
    for (size_t i = 0; c->children[i] && count < COMMAND_COUNT_MAX; i++) {
        if (!group || strcmp(c->children[i]->group, group) == 0) {
            all[count++] = c->children[i];
        }
    }
    qsort(all, count, sizeof *all, by_command);
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "  %-*s %s\n", COMMAND_WIDTH, all[i]->name,
                   all[i]->summary);
    }
}

static bool has_group(const struct cli_command *c, const char *group)
{
    for (size_t i = 0; c->children[i]; i++) {
        if (strcmp(c->children[i]->group, group) == 0) {
            return true;
        }
    }
    return false;
}

static void root_groups(const struct cli_command *c, struct buf *out)
{
    static const char *const groups[] = {
        "Key-value commands", "Cluster maintenance commands",
        "Concurrency commands", "Authentication commands", "Utility commands"};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        if (has_group(c, groups[i])) {
            buf_printf(out, "\n%s\n", groups[i]);
            children(c, groups[i], out);
        }
    }
}

void cli_help_usage(const char *program, const struct cli_command *c,
                    struct buf *out)
{
    struct buf path = BUF_INIT(4096);
    cli_help_path(program, c, &path);
    buf_append_byte(&path, 0);
    const char *words = (const char *)path.data;
    buf_append_str(out, "Usage:\n");
    if (c->run) {
        buf_printf(out, "  %s%s%s [flags]\n", words, c->arguments ? " " : "",
                   c->arguments ? c->arguments : "");
    }
    if (c->children) {
        buf_printf(out, "  %s [command]\n", words);
    }
    if (c->children && !c->parent) {
        root_groups(c, out);
    } else if (c->children) {
        buf_append_str(out, "\nAvailable Commands:\n");
        children(c, NULL, out);
    }
    if (c->parent) {
        buf_append_str(out, "\nFlags:\n");
        pflag_help(c->flags, true, c->name, out);
    }
    if (c->children) {
        buf_printf(out,
                   "\nUse \"%s [command] --help\" for more information about "
                   "a command.\n",
                   words);
    }
    buf_release(&path);
}

void cli_help_full(const char *program, const struct cli_command *c,
                   struct buf *out)
{
    buf_printf(out, "%s\n\n", c->details ? c->details : c->summary);
    cli_help_usage(program, c, out);
    buf_printf(out,
               "Use \"%s options\" for a list of global command-line options "
               "(applies to all commands).\n",
               program);
}
