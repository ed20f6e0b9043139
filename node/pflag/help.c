/* The list of flags in a help text: name column, three blanks, meaning. */
#include <stdio.h>
#include <stdlib.h>

#include "pflag.h"

static const char *kind_word(enum pflag_kind kind)
{
    switch (kind) {
    case PFLAG_STRING:
        return " string";
    case PFLAG_INT:
        return " int";
    case PFLAG_DURATION:
        return " duration";
    case PFLAG_LIST:
        return " strings";
    case PFLAG_BOOL:
        break;
    }
    return "";
}

static size_t name_column(const struct pflag *f, struct buf *out)
{
    size_t before = out->size;
    if (f->shorthand) {
        buf_printf(out, "  -%c, --%s%s", f->shorthand, f->name,
                   kind_word(f->kind));
    } else {
        buf_printf(out, "      --%s%s", f->name, kind_word(f->kind));
    }
    return out->size - before;
}

static void initial_value(const struct pflag *f, struct buf *out)
{
    const char *v = f->initial ? f->initial : "";
    switch (f->kind) {
    case PFLAG_STRING:
        if (*v) {
            buf_printf(out, " (default \"%s\")", v);
        }
        break;
    case PFLAG_LIST:
        if (*v) {
            buf_printf(out, " (default [%s])", v);
        }
        break;
    case PFLAG_BOOL:
        if (strcmp(v, "true") == 0) {
            buf_append_str(out, " (default true)");
        }
        break;
    case PFLAG_INT:
    case PFLAG_DURATION:
        if (*v && strcmp(v, "0") != 0) {
            buf_printf(out, " (default %s)", v);
        }
        break;
    }
}

static int by_name(const void *a, const void *b)
{
    const struct pflag *const *x = a;
    const struct pflag *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

void pflag_help(const struct pflag *flags, bool with_help, const char *name,
                struct buf *out)
{
    static const char *const notes[] = {
        [PFLAG_WORKS] = "",
        [PFLAG_WARNS] = " (no effect in cofre)",
        [PFLAG_REFUSED] = " (not built yet, refused)",
    };
    const struct pflag *all[PFLAG_COUNT_MAX];
    char help_text[128];
    struct pflag help = {.name = "help", .shorthand = 'h'};
    size_t count = 0;
    size_t widest = 0;
    snprintf(help_text, sizeof help_text, "help for %s", name);
    help.help = help_text;
    if (with_help) {
        all[count++] = &help;
    }
    for (; flags && flags->name && count < PFLAG_COUNT_MAX; flags++) {
        all[count++] = flags;
    }
    qsort(all, count, sizeof *all, by_name);
    struct buf scratch = BUF_INIT(4096);
    for (size_t i = 0; i < count; i++) {
        size_t width = name_column(all[i], &scratch);
        buf_reset(&scratch, SIZE_MAX);
        widest = width > widest ? width : widest;
    }
    buf_release(&scratch);
    for (size_t i = 0; i < count; i++) {
        size_t width = name_column(all[i], out);
        buf_printf(out, "%*s%s", (int)(widest - width + 3), "", all[i]->help);
        initial_value(all[i], out);
        buf_append_str(out, notes[all[i]->use]);
        buf_append_byte(out, '\n');
    }
}
