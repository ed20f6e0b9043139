/* What a watch watches, from its words. */
#include "cli.h"

const struct pflag cli_watch_flags[] = {
    {"interactive", PFLAG_BOOL, "false",
     "read watches from standard "
     "input",
     'i'},
    {"prefix", PFLAG_BOOL, "false", "watch the keys with this beginning"},
    {"prev-kv", PFLAG_BOOL, "false", "print the pair from before"},
    {"progress-notify", PFLAG_BOOL, "false",
     "get a sign of life with the revision from time to time"},
    {"rev", PFLAG_INT, "0", "revision to begin at"},
    {NULL}};

const char *cli_watch_parse(struct pflag_set *f, int argc, char **argv,
                            const char *env_key, const char *env_end,
                            struct cli_watch *ret)
{
    struct cli_watch w = {0};
    int words = f->dash >= 0 ? f->dash : argc;
    if (f->dash >= 0) {
        if (argc == words) {
            return "bad number of arguments (found separator --, but no "
                   "commands)";
        }
        w.command = arena_zalloc(&f->arena, (size_t)(argc - words + 1) *
                                                sizeof *w.command);
        memcpy(w.command, argv + words,
               (size_t)(argc - words) * sizeof *w.command);
    }
    if (words == 0 && env_key) {
        w.key = env_key;
        w.range_end = env_end;
    } else if (env_key) {
        return "bad number of arguments (found conflicting environment key)";
    } else if (words == 0) {
        return "bad number of arguments";
    } else {
        w.key = argv[0];
        w.range_end = words > 1 ? argv[1] : NULL;
    }
    w.prefix = pflag_bool(f, "prefix");
    w.previous = pflag_bool(f, "prev-kv");
    w.progress_notify = pflag_bool(f, "progress-notify");
    w.revision = pflag_int(f, "rev");
    if (w.range_end && w.prefix) {
        return "`range_end` and `--prefix` are mutually exclusive";
    }
    *ret = w;
    return NULL;
}
