#include "pflag.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"

void pflag_init(struct pflag_set *f)
{
    arena_init(&f->arena);
    f->count = 0;
}

void pflag_release(struct pflag_set *f)
{
    arena_release(&f->arena);
}

void pflag_add(struct pflag_set *f, const struct pflag *table)
{
    for (; table && table->name && f->count < PFLAG_COUNT_MAX; table++) {
        struct pflag_value *v = &f->values[f->count++];
        *v = (struct pflag_value){.flag = table};
        pflag_set(f, v, table->initial ? table->initial : "");
        v->given = false;
    }
}

struct pflag_value *pflag_find(struct pflag_set *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++) {
        if (strcmp(f->values[i].flag->name, name) == 0) {
            return &f->values[i];
        }
    }
    return NULL;
}

struct pflag_value *pflag_find_short(struct pflag_set *f, char shorthand)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->values[i].flag->shorthand == shorthand) {
            return &f->values[i];
        }
    }
    return NULL;
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

static const char *parse_bool(struct arena *a, const char *text, int64_t *ret)
{
    static const char *const yes[] = {"1",    "t",    "T", "true",
                                      "TRUE", "True", NULL};
    static const char *const no[] = {"0",     "f",     "F", "false",
                                     "FALSE", "False", NULL};
    if (is_one_of(text, yes)) {
        *ret = 1;
        return NULL;
    }
    if (is_one_of(text, no)) {
        *ret = 0;
        return NULL;
    }
    return arena_printf(a, "strconv.ParseBool: parsing \"%s\": invalid syntax",
                        text);
}

static const char *parse_duration(struct arena *a, const char *text,
                                  int64_t *ret)
{
    if (text_parse_duration(text, ret) == 0) {
        return NULL;
    }
    size_t digits = strspn(text, "+-0123456789.");
    if (*text && digits == strlen(text) && isdigit((unsigned char)text[0])) {
        return arena_printf(a, "time: missing unit in duration \"%s\"", text);
    }
    size_t unit = strcspn(text + digits, ".0123456789");
    if (isdigit((unsigned char)text[0]) && text[digits]) {
        return arena_printf(a,
                            "time: unknown unit \"%.*s\" in duration "
                            "\"%s\"",
                            (int)unit, text + digits, text);
    }
    return arena_printf(a, "time: invalid duration \"%s\"", text);
}

static const char *set_number(struct pflag_set *f, struct pflag_value *v,
                              const char *text)
{
    switch (v->flag->kind) {
    case PFLAG_BOOL:
        return parse_bool(&f->arena, *text ? text : "false", &v->number);
    case PFLAG_INT:
        if (*text == 0 && !v->text) {
            v->number = 0; /* a table's empty initial value */
            return NULL;
        }
        return pflag_parse_number(&f->arena, text, 0, true, &v->number);
    case PFLAG_DURATION:
        return parse_duration(&f->arena, text, &v->number);
    default:
        return NULL;
    }
}

const char *pflag_set(struct pflag_set *f, struct pflag_value *v,
                      const char *text)
{
    const char *error = set_number(f, v, text);
    if (error) {
        return error;
    }
    if (v->flag->kind == PFLAG_LIST && v->given) {
        v->text = arena_printf(&f->arena, "%s,%s", v->text, text);
    } else {
        v->text = arena_strdup(&f->arena, text);
    }
    v->given = true;
    return NULL;
}

static const char *set_or_explain(struct pflag_set *f, struct pflag_value *v,
                                  const char *text)
{
    const char *error = pflag_set(f, v, text);
    if (!error) {
        return NULL;
    }
    struct buf quoted = BUF_INIT(4 * strlen(text) + 3);
    text_quote(&quoted, slice_str(text));
    buf_append_byte(&quoted, 0);
    char shorthand[8] = "";
    if (v->flag->shorthand) {
        snprintf(shorthand, sizeof shorthand, "-%c, ", v->flag->shorthand);
    }
    const char *full =
        arena_printf(&f->arena, "invalid argument %s for \"%s--%s\" flag: %s",
                     (char *)quoted.data, shorthand, v->flag->name, error);
    buf_release(&quoted);
    return full;
}

/* What is left of argv while it is parsed. */
struct words {
    char **in;
    int left;
};

static const char *parse_long(struct pflag_set *f, char *arg, struct words *w)
{
    const char *name = arg + 2;
    if (*name == '-' || *name == '=') {
        return arena_printf(&f->arena, "bad flag syntax: %s", arg);
    }
    size_t size = strcspn(name, "=");
    char *bare = arena_printf(&f->arena, "%.*s", (int)size, name);
    struct pflag_value *v = pflag_find(f, bare);
    if (!v) {
        return arena_printf(&f->arena, "unknown flag: --%s", bare);
    }
    if (name[size] == '=') {
        return set_or_explain(f, v, name + size + 1);
    }
    if (v->flag->kind == PFLAG_BOOL) {
        return set_or_explain(f, v, "true");
    }
    if (w->left == 0) {
        return arena_printf(&f->arena, "flag needs an argument: --%s", bare);
    }
    w->left--;
    return set_or_explain(f, v, *w->in++);
}

static const char *parse_short(struct pflag_set *f, char *arg, struct words *w)
{
    for (char *p = arg + 1; *p; p++) {
        struct pflag_value *v = pflag_find_short(f, *p);
        if (!v) {
            return arena_printf(
                &f->arena, "unknown shorthand flag: '%c' in %s%s", *p,
                p == arg + 1 ? "" : "-", p == arg + 1 ? arg : p);
        }
        if (p[1] == '=') {
            return set_or_explain(f, v, p + 2);
        }
        if (v->flag->kind != PFLAG_BOOL) {
            if (p[1]) {
                return set_or_explain(f, v, p + 1);
            }
            if (w->left == 0) {
                return arena_printf(
                    &f->arena, "flag needs an argument: '%c' in -%s", *p, p);
            }
            w->left--;
            return set_or_explain(f, v, *w->in++);
        }
        const char *error = set_or_explain(f, v, "true");
        if (error) {
            return error;
        }
    }
    return NULL;
}

const char *pflag_parse(struct pflag_set *f, int *argc, char **argv)
{
    struct words w = {.in = argv, .left = *argc};
    int out = 0;
    f->dash = -1;
    while (w.left > 0) {
        char *arg = *w.in++;
        const char *error = NULL;
        w.left--;
        if (strcmp(arg, "--") == 0) {
            f->dash = out;
            while (w.left > 0) {
                argv[out++] = *w.in++;
                w.left--;
            }
        } else if (arg[0] == '-' && arg[1] == '-') {
            error = parse_long(f, arg, &w);
        } else if (arg[0] == '-' && arg[1]) {
            error = parse_short(f, arg, &w);
        } else {
            argv[out++] = arg;
        }
        if (error) {
            return error;
        }
    }
    *argc = out;
    return NULL;
}

bool pflag_bool(struct pflag_set *f, const char *name)
{
    return pflag_find(f, name)->number != 0;
}

int64_t pflag_int(struct pflag_set *f, const char *name)
{
    return pflag_find(f, name)->number;
}

const char *pflag_text(struct pflag_set *f, const char *name)
{
    return pflag_find(f, name)->text;
}

bool pflag_given(struct pflag_set *f, const char *name)
{
    return pflag_find(f, name)->given;
}

const char *pflag_parse_number(struct arena *a, const char *text, int base,
                               bool is_signed, int64_t *ret_value)
{
    uint64_t u = 0;
    int64_t i = 0;
    int err = is_signed ? text_parse_i64(text, base, &i)
                        : text_parse_u64(text, base, &u);
    if (err == 0) {
        *ret_value = is_signed ? i : (int64_t)u;
        return NULL;
    }
    struct buf quoted = BUF_INIT(4 * strlen(text) + 3);
    text_quote(&quoted, slice_str(text));
    const char *error = arena_printf(
        a, "strconv.Parse%s: parsing %.*s: %s", is_signed ? "Int" : "Uint",
        (int)quoted.size, (char *)quoted.data,
        err == ERR_TOO_LARGE ? "value out of range" : "invalid syntax");
    buf_release(&quoted);
    return error;
}
