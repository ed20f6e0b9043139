/* That no RPC is without a row. */
#include <stdio.h>
#include <stdlib.h>

#include "table.h"

static bool step_asks(const struct row_step *step, const struct method *m)
{
    static const char *const verbs[] = {"until", "open", "same", "wire"};
    if (method_find(step->verb)) {
        return method_find(step->verb) == m;
    }
    for (int i = 0; i < 4; i++) {
        if (strcmp(step->verb, verbs[i]) == 0) {
            const char *at = step->text;
            if (i == 1 || i == 2) { /* behind a name */
                at += strcspn(at, " ");
                at += strspn(at, " ");
            }
            return method_find(at) == m;
        }
    }
    return false;
}

static bool has_row(const struct rows *r, const struct method *m)
{
    for (int i = 0; i < r->count; i++) {
        for (int k = 0; k < r->rows[i]->count; k++) {
            if (step_asks(&r->rows[i]->steps[k], m)) {
                return true;
            }
        }
    }
    return false;
}

/* README's words for the RPC of a line "| service | RPC, RPC: .. | |". */
static bool names(const char *line, const struct method *m)
{
    const char *slash = strrchr(m->path, '/');
    const char *dot = strrchr(m->path, '.');
    const char *start = dot && dot > m->path ? dot + 1 : m->path;
    char service[32], rpc[64];
    snprintf(service, sizeof service, "%.*s", (int)(slash - start), start);
    snprintf(rpc, sizeof rpc, "%s", slash + 1);
    if (strncmp(line, "| ", 2) != 0) {
        return false;
    }
    size_t size = strcspn(line + 2, " ");
    const char *at = line + 2 + size;
    bool is_health = strcmp(service, "Health") == 0;
    if (is_health ? strncmp(line + 2, "grpc.health.v1", size) != 0
                  : strlen(service) != size ||
                        strncmp(line + 2, service, size) != 0) {
        return false;
    }
    if (strstr(at, "| all |")) {
        return true;
    }
    for (size = strlen(rpc); (at = strstr(at, rpc)); at += size) {
        if (at[-1] == ' ' && strchr(",:| ", at[size])) {
            return true;
        }
    }
    return false;
}

static bool readme_has(const char *readme, const struct method *m)
{
    char *line = NULL;
    size_t capacity = 0;
    bool found = false;
    FILE *f = fopen(readme, "r");
    if (!f) {
        perror(readme);
        exit(2);
    }
    while (getline(&line, &capacity, f) >= 0) {
        found |= names(line, m);
    }
    free(line);
    fclose(f);
    return found;
}

int coverage(const struct rows *r, const char *readme)
{
    int missing = 0;
    for (int i = 0; i < method_count; i++) {
        const struct method *m = &methods[i];
        if (!has_row(r, m)) {
            printf("not ok %s has no row\n", m->path);
            missing++;
        }
        if (!readme_has(readme, m)) {
            printf("not ok %s is not in README's table\n", m->path);
            missing++;
        }
    }
    return missing;
}
