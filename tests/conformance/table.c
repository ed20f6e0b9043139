/*
 * Rules of the API, a row each:
 *   table KIND URL,... FILE...     KIND: etcd or cofre
 *   table --coverage README FILE...
 * runs the rows of the files on the leader and on a follower. With ROWS set,
 * those only that have its text in their rule. Closes with "N passed, M
 * failed".
 */
#include <stdio.h>
#include <stdlib.h>

#include "table.h"

static struct {
    struct side side;
    bool is_etcd;
    const char *wanted; /* NULL: all rows */
    int passed, failed;
} t;

static bool is_meant(const struct row *row, int role)
{
    unsigned here = t.side.member_count == 1 ? ONLY_ONE : ONLY_THREE;
    here |= role == 0 ? ONLY_LEADER : ONLY_FOLLOWER;
    here |= t.is_etcd ? ONLY_ETCD : ONLY_COFRE;
    static const unsigned pairs[] = {ONLY_ONE | ONLY_THREE,
                                     ONLY_LEADER | ONLY_FOLLOWER,
                                     ONLY_ETCD | ONLY_COFRE};
    for (int i = 0; i < 3; i++) {
        unsigned asked = row->only & pairs[i];
        if (asked && !(asked & here)) {
            return false;
        }
    }
    return !t.wanted || strstr(row->rule, t.wanted);
}

static void run(const struct row *row, int role, const struct method *m)
{
    bool holds = run_row(&t.side, row, role, m);
    t.passed += holds;
    t.failed += !holds;
    fflush(stdout);
    if (t.side.is_lost) {
        printf("%d passed, %d failed\n", t.passed, t.failed + 1);
        exit(1);
    }
}

static void run_every(const struct row *row, int role)
{
    for (int i = 0; i < method_count; i++) {
        /* users and roles are not built yet */
        bool is_built = t.is_etcd || !method_is_auth(&methods[i]);
        if ((row->every & methods[i].kind) && is_built) {
            run(row, role, &methods[i]);
        }
    }
}

int main(int argc, char **argv)
{
    struct rows rows = {0};
    if (argc < 4) {
        fputs("usage: table KIND URL,... FILE...\n", stderr);
        return 2;
    }
    arena_init(&rows.arena);
    for (int i = 3; i < argc; i++) {
        rows_load(&rows, argv[i]);
    }
    if (strcmp(argv[1], "--coverage") == 0) {
        int missing = coverage(&rows, argv[2]);
        printf("%d passed, %d failed\n", missing == 0, missing);
        return missing != 0;
    }
    t.is_etcd = strcmp(argv[1], "etcd") == 0;
    t.wanted = getenv("ROWS");
    side_open(&t.side, argv[1], argv[2]);
    for (int role = 0; role < t.side.member_count && role < 2; role++) {
        for (int i = 0; i < rows.count; i++) {
            const struct row *row = rows.rows[i];
            if (!is_meant(row, role)) {
                continue;
            }
            if (row->every) {
                run_every(row, role);
            } else {
                run(row, role, NULL);
            }
        }
    }
    printf("%d rows in %d files\n%d passed, %d failed\n", rows.count, argc - 3,
           t.passed, t.failed);
    side_close(&t.side);
    return t.failed != 0;
}
