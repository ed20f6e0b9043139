/*
 *   raftsim --seed N            one run, told in one line
 *   raftsim --seed N --verbose  the same with every event
 *   raftsim --runs N [--from S] seeds S..S+N-1 (S is 1)
 *   --bug NAME              with a mistake put in on purpose (raftsim.bug)
 * Exit status 1 when a run failed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "base/text.h"
#include "sim.h"

static int run_one(uint64_t seed, bool verbose, bool quiet)
{
    static struct sim s;
    int failed = sim_run(&s, seed, verbose);
    if (!quiet || failed || s.stranded) {
        printf("seed %" PRIu64 " %s hash %016" PRIx64 " steps %" PRIu64
               " elections %" PRIu64 " acked %" PRIu64 " reads %" PRIu64
               " confs %" PRIu64 " installs %" PRIu64 " crashes %" PRIu64
               "%s\n",
               seed, failed ? "FAILED" : "ok", s.hash, s.now, s.elections,
               s.acked, s.reads_done, s.confs_done, s.installs, s.crashes,
               s.stranded ? " stranded" : "");
    }
    if (failed) {
        printf("seed %" PRIu64 ": %s\n", seed, s.failure);
    }
    fflush(stdout);
    return failed;
}

static int usage(void)
{
    fprintf(stderr, "usage: raftsim --seed N [--verbose] | --runs N [--from S] "
                    "[--until-failure]\n");
    return 2;
}

int main(int argc, char **argv)
{
    uint64_t first = 1;
    uint64_t runs = 0;
    bool verbose = false;
    bool until_failure = false;
    bool one = false;
    for (int i = 1; i < argc; i++) {
        uint64_t *value = NULL;
        if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
            continue;
        }
        if (strcmp(argv[i], "--until-failure") == 0) {
            until_failure = true;
            continue;
        }
        if (strcmp(argv[i], "--bug") == 0 && i + 1 < argc) {
            if (!bug_set(argv[++i])) {
                fprintf(stderr, "sim: no such bug in this build\n");
                return 2;
            }
            continue;
        }
        if (strcmp(argv[i], "--runs") == 0) {
            value = &runs;
        } else if (strcmp(argv[i], "--from") == 0) {
            value = &first;
        } else if (strcmp(argv[i], "--seed") == 0) {
            value = &first;
            runs = 1;
            one = true;
        }
        if (value == NULL || ++i == argc ||
            text_parse_u64(argv[i], 10, value) != 0) {
            return usage();
        }
    }
    if (runs == 0) {
        return usage();
    }
    uint64_t failed = 0;
    uint64_t done = 0;
    while (done < runs && !(until_failure && failed)) {
        failed += (uint64_t)run_one(first + done, verbose, !one);
        done++;
    }
    printf("sim: %" PRIu64 " passed, %" PRIu64 " failed\n", done - failed,
           failed);
    return failed ? 1 : 0;
}
