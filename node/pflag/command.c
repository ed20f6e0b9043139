#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "pflag.h"

enum { HELP_BYTES_MAX = 64 << 10 };

static void print(FILE *to, struct buf *text)
{
    fprintf(to, "%.*s", (int)text->size, (const char *)text->data);
    buf_release(text);
}

static void usage(const struct pflag_command *c, struct buf *out)
{
    buf_printf(out, "Usage:\n  %s %s [flags]\n\nFlags:\n", c->path, c->word);
    pflag_help(c->flags, true, c->word, out);
}

void pflag_command_fail(const struct pflag_command *c, const char *why)
{
    struct buf text = BUF_INIT(HELP_BYTES_MAX);
    fprintf(stderr, "Error: %s\n", why);
    usage(c, &text);
    buf_append_byte(&text, '\n');
    print(stderr, &text);
    fputs(why, stderr);
}

static void print_group(const struct pflag_command *c)
{
    printf("%s\n\nUsage:\n  %s [command]\n\nAvailable Commands:\n"
           "  %-11s %s\n\nUse \"%s [command] --help\" for more information "
           "about a command.\n",
           c->group, c->path, c->word, c->summary, c->path);
}

static bool is_changed(const struct pflag_value *v)
{
    return v->given && strcmp(v->text, v->flag->initial) != 0;
}

/* NULL: none that is not built. */
static const char *refused(struct pflag_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct pflag_value *v = &set->values[i];
        if (v->flag->use == PFLAG_REFUSED && is_changed(v)) {
            return arena_printf(&set->arena,
                                "--%s is not built into this version of "
                                "cofre yet; remove it",
                                v->flag->name);
        }
    }
    return NULL;
}

static void warn_ignored(struct pflag_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct pflag_value *v = &set->values[i];
        if (v->flag->use == PFLAG_WARNS && v->given) {
            log_warn(arena_printf(&set->arena, "--%s has no effect in cofre",
                                  v->flag->name));
        }
    }
}

bool pflag_command_parse(const struct pflag_command *c, int argc, char **argv,
                         struct pflag_set *set, int *ret_status)
{
    static const struct pflag help_flag[] = {
        {"help", PFLAG_BOOL, "false", "", 'h'}, {NULL}};
    *ret_status = 0;
    if (argc < 2 || strcmp(argv[1], c->word) != 0) {
        print_group(c);
        return false;
    }
    argc -= 2;
    pflag_add(set, c->flags);
    pflag_add(set, help_flag);
    const char *why = pflag_parse(set, &argc, argv + 2);
    if (why == NULL && pflag_bool(set, "help")) {
        struct buf text = BUF_INIT(HELP_BYTES_MAX);
        buf_printf(&text, "%s\n\n", c->summary);
        usage(c, &text);
        print(stdout, &text);
        return false;
    }
    if (why == NULL) {
        why = refused(set);
    }
    if (why) {
        pflag_command_fail(c, why);
        *ret_status = 1;
        return false;
    }
    warn_ignored(set);
    return true;
}
