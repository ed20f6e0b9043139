/*
 * Rules of the API, a row each:
 *   table KIND URL,... FILE...     KIND: etcd, cofre or proxy (cofre's, in
 *                                  front of cofre: diff/proxy.c)
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
    struct count count;
} t;

static bool is_meant(const struct row *row, int role)
{
    if (proxy_exempt_row(row->rule)) {
        return false;
    }
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

static void run(const struct row *row, int role)
{
    /* users and roles are not built yet */
    run_row(&t.side, row, role, t.is_etcd, &t.count);
    fflush(stdout);
    if (t.side.is_lost) {
        printf("%d passed, %d failed\n", t.count.passed, t.count.failed);
        exit(1);
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
    if (strcmp(argv[1], "proxy") == 0) {
        proxy_begin(t.side.member_count);
    }
    for (int role = 0; role < t.side.member_count && role < 2; role++) {
        for (int i = 0; i < rows.count; i++) {
            const struct row *row = rows.rows[i];
            if (is_meant(row, role)) {
                run(row, role);
            }
        }
    }
    printf("%d rows in %d files\n%d passed, %d failed\n", rows.count, argc - 3,
           t.count.passed, t.count.failed);
    side_close(&t.side);
    return t.count.failed != 0;
}
