/* Files of rows; table.h has what may stand in them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "table.h"

struct reading {
    struct rows *rows;
    const char *file;
    int line;
    bool unchanged;
    struct row *row;
    char **last; /* what a line that begins with a blank goes on with */
};

static void bad_row(const struct reading *r, const char *why)
{
    fprintf(stderr, "%s:%d: %s\n", r->file, r->line, why);
    exit(2);
}

static const struct word {
    const char *word;
    unsigned bit;
} only_words[] =
    {
        {"one", ONLY_ONE},
        {"three", ONLY_THREE},
        {"leader", ONLY_LEADER},
        {"follower", ONLY_FOLLOWER},
        {"etcd", ONLY_ETCD},
        {"cofre", ONLY_COFRE},
        {NULL, 0},
},
  every_words[] = {
      {"unary", UNARY}, {"server", SERVER}, {"bidi", BIDI}, {NULL, 0}};

static unsigned read_words(const struct reading *r, char *text,
                           const struct word *words)
{
    unsigned bits = 0;
    char *rest = text, *word;
    while ((word = strtok_r(rest, " ", &rest))) {
        const struct word *w = words;
        while (w->word && strcmp(w->word, word) != 0) {
            w++;
        }
        if (!w->word) {
            bad_row(r, "unknown word");
        }
        bits |= w->bit;
    }
    return bits;
}

static void begin_row(struct reading *r, const char *rule)
{
    struct rows *rows = r->rows;
    struct row *row = arena_zalloc(&rows->arena, sizeof *row);
    row->file = r->file;
    row->rule = arena_strdup(&rows->arena, rule);
    row->unchanged = r->unchanged;
    rows->rows =
        mem_realloc(rows->rows, (size_t)(rows->count + 1) * sizeof row);
    rows->rows[rows->count++] = row;
    r->row = row;
    r->last = &row->rule;
}

static void take_wanted(struct reading *r, const char *text)
{
    if (r->row->count == 0) {
        bad_row(r, "an answer to nothing");
    }
    struct row_step *step = &r->row->steps[r->row->count - 1];
    if (step->wanted_count == WANTED_MAX) {
        bad_row(r, "too many answers");
    }
    step->wanted[step->wanted_count] = arena_strdup(&r->rows->arena, text);
    r->last = &step->wanted[step->wanted_count++];
}

static void take_step(struct reading *r, const char *line)
{
    if (r->row->count == ROW_STEPS_MAX) {
        bad_row(r, "too many steps");
    }
    struct row_step *step = &r->row->steps[r->row->count++];
    size_t size = strcspn(line, " ");
    step->line = r->line;
    step->verb = arena_printf(&r->rows->arena, "%.*s", (int)size, line);
    line += size;
    step->text = arena_strdup(&r->rows->arena, line + strspn(line, " "));
    r->last = &step->text;
}

static void take_line(struct reading *r, char *line)
{
    if (line[0] == ' ') {
        if (!r->last) {
            bad_row(r, "goes on with nothing");
        }
        line += strspn(line, " ");
        *r->last = arena_printf(&r->rows->arena, "%s %s", *r->last, line);
    } else if (strcmp(line, "unchanged") == 0) {
        r->unchanged = true;
    } else if (strncmp(line, "servers ", 8) == 0 && !r->row) {
        r->last = NULL; /* conformance.sh's */
    } else if (strncmp(line, "row ", 4) == 0) {
        begin_row(r, line + 4);
    } else if (!r->row) {
        bad_row(r, "before the first row");
    } else if (strncmp(line, "only ", 5) == 0) {
        r->row->only |= read_words(r, line + 5, only_words);
    } else if (strncmp(line, "every ", 6) == 0) {
        r->row->every |= read_words(r, line + 6, every_words);
    } else if (line[0] == '=') {
        take_wanted(r, line + 1 + strspn(line + 1, " "));
    } else {
        take_step(r, line);
    }
}

void rows_load(struct rows *rows, const char *file)
{
    struct reading r = {.rows = rows, .file = file};
    char *line = NULL;
    size_t capacity = 0;
    FILE *f = fopen(file, "r");
    if (!f) {
        perror(file);
        exit(2);
    }
    while (getline(&line, &capacity, f) >= 0) {
        r.line++;
        line[strcspn(line, "\n")] = 0;
        if (line[0] && line[0] != '#') {
            take_line(&r, line);
        }
    }
    free(line);
    fclose(f);
}
