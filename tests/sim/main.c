/*
 *   sim --seed N                  one run, told in one line
 *   sim --seed N --verbose        the same with every event
 *   sim --runs N [--from S]       seeds S..S+N-1 (S is 1)
 *   --jobs J        so many at a time
 *   --until-failure the first finding ends it
 *   --storm MS --without BITS     what shrinking has found
 *   --no-shrinking
 *   --bug NAME, --list-bugs   mistakes put in on purpose (sim.bug alone)
 * A finding is shrunk: kinds of faults are left out and the storm made
 * shorter as long as it fails, then the end of its trace is shown.
 * Exit status 1 when a run failed.
 */
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/text.h"
#include "sim.h"

enum {
    STORM_MS = 5000,
    STORM_MS_MIN = 100,
    JOBS_MAX = 64,
    TAIL_LINES = 40,
};

struct options {
    uint64_t first, runs, jobs, storm_ms, without;
    bool verbose, until_failure, one, no_shrinking;
};

struct job {
    pid_t pid;
    uint64_t seed;
};

static char *base_dir;

/* ---- one run, in a process of its own ---- */

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *at)
{
    return remove(path);
}

static void remove_dir(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static char *dir_of(uint64_t seed)
{
    return mem_printf("%s/%" PRIu64, base_dir, seed);
}

static int run_here(const struct options *o, uint64_t seed)
{
    static struct sim s;
    log_setup(o->verbose ? LOG_LEVEL_WARN : LOG_LEVEL_FATAL, true, 2);
    s.seed = seed;
    s.verbose = o->verbose;
    s.storm_ms = o->storm_ms;
    s.no_faults = (uint32_t)o->without;
    s.dir = dir_of(seed);
    mkdir(s.dir, 0700);
    int failed = sim_run(&s);
    char line[1024];
    snprintf(line, sizeof line,
             "seed %" PRIu64 " %s hash %016" PRIx64 " ms %" PRIu64
             " entries %" PRIu64 " elections %" PRIu64 " acked %" PRIu64
             " reads %" PRIu64 " events %" PRIu64 " confs %" PRIu64
             " installs %" PRIu64 " crashes %" PRIu64 " syncs failed %" PRIu64
             " expired %" PRIu64 "%s%s%s\n",
             seed, failed ? "FAILED" : "ok", s.hash, s.now, s.model.applied,
             s.elections, s.acked, s.reads, s.events, s.confs, s.installs,
             s.crashes, s.sync_failures, s.expiries,
             s.is_stranded ? " stranded" : "", failed ? ": " : "", s.failure);
    if (o->one || o->verbose || failed || s.is_stranded) {
        fflush(stdout);
        if (write(STDOUT_FILENO, line, strlen(line)) < 0) {
            return 1;
        }
    }
    return failed;
}

static pid_t start_run(const struct options *o, uint64_t seed, int out)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    if (out >= 0) {
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
    }
    int status = run_here(o, seed);
    fflush(stdout);
    _exit(status);
}

/* ---- shrinking ---- */

static bool fails(const struct options *o, uint64_t seed, int out)
{
    int status;
    pid_t pid = start_run(o, seed, out);
    bool failed = pid > 0 && waitpid(pid, &status, 0) == pid && status != 0;
    char *dir = dir_of(seed);
    remove_dir(dir);
    free(dir);
    return failed;
}

static struct options shrink(const struct options *from, uint64_t seed)
{
    struct options best = *from;
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    best.verbose = false;
    for (uint32_t i = 0; i < SIM_NO_FAULTS_COUNT; i++) {
        struct options try = best;
        try.without |= 1u << i;
        if (fails(&try, seed, nowhere)) {
            best = try;
        }
    }
    for (uint64_t ms = best.storm_ms; ms > STORM_MS_MIN; ms = ms * 3 / 4) {
        struct options try = best;
        try.storm_ms = ms;
        if (fails(&try, seed, nowhere)) {
            best = try;
        }
    }
    close(nowhere);
    return best;
}

static void show_tail(const char *path)
{
    char command[512];
    snprintf(command, sizeof command, "tail -n %d '%s'", TAIL_LINES, path);
    fflush(stdout);
    if (system(command) != 0) {
        printf("(no trace)\n");
    }
}

static void tell_failure(const struct options *o, uint64_t seed)
{
    struct options least = shrink(o, seed);
    char *path = mem_printf("%s/trace", base_dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    least.verbose = true;
    bool again = fails(&least, seed, fd);
    close(fd);
    printf("seed %" PRIu64 ": shrunk to --seed %" PRIu64 " --storm %" PRIu64
           " --without %" PRIu64 "%s; the end of its trace:\n",
           seed, seed, least.storm_ms, least.without,
           again ? "" : " (which does not fail again)");
    show_tail(path);
    unlink(path);
    free(path);
}

/* ---- many ---- */

static bool reap(struct job *jobs, uint64_t count, uint64_t *ret_seed)
{
    int status;
    pid_t pid = wait(&status);
    for (uint64_t i = 0; i < count; i++) {
        if (jobs[i].pid != pid) {
            continue;
        }
        jobs[i].pid = 0;
        *ret_seed = jobs[i].seed;
        char *dir = dir_of(jobs[i].seed);
        remove_dir(dir);
        free(dir);
        if (WIFSIGNALED(status)) {
            printf("seed %" PRIu64 ": ended by signal %d\n", jobs[i].seed,
                   WTERMSIG(status));
        }
        return status == 0;
    }
    return true;
}

static struct job *free_job(struct job *jobs, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (jobs[i].pid == 0) {
            return &jobs[i];
        }
    }
    return NULL;
}

static int run_all(const struct options *o)
{
    struct job jobs[JOBS_MAX] = {{0}};
    uint64_t started = 0, ended = 0, failed = 0, first_failure = 0;
    while (ended < started ||
           (started < o->runs && !(failed && o->until_failure))) {
        struct job *j = free_job(jobs, o->jobs);
        if (j && started < o->runs && !(failed && o->until_failure)) {
            j->seed = o->first + started++;
            j->pid = start_run(o, j->seed, -1);
            continue;
        }
        uint64_t seed = 0;
        if (!reap(jobs, o->jobs, &seed)) {
            first_failure =
                failed++ && first_failure < seed ? first_failure : seed;
        }
        ended++;
    }
    if (failed && !o->verbose && !o->no_shrinking) {
        tell_failure(o, first_failure);
    }
    printf("sim: %" PRIu64 " passed, %" PRIu64 " failed\n", ended - failed,
           failed);
    return failed ? 1 : 0;
}

/* ---- arguments ---- */

static int usage(void)
{
    fprintf(stderr,
            "usage: sim --seed N [--verbose] | --runs N [--from S]\n"
            "       [--jobs J] [--until-failure] [--storm MS] [--without BITS] "
            "[--bug NAME]\n");
    return 2;
}

static uint64_t *number_option(struct options *o, const char *name)
{
    const struct {
        const char *name;
        uint64_t *value;
    } table[] = {{"--runs", &o->runs},      {"--from", &o->first},
                 {"--seed", &o->first},     {"--jobs", &o->jobs},
                 {"--storm", &o->storm_ms}, {"--without", &o->without}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(name, table[i].name) == 0) {
            return table[i].value;
        }
    }
    return NULL;
}

static bool parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        uint64_t *value = number_option(o, argv[i]);
        bool is_bug = strcmp(argv[i], "--bug") == 0;
        if (strcmp(argv[i], "--verbose") == 0) {
            o->verbose = true;
        } else if (strcmp(argv[i], "--until-failure") == 0) {
            o->until_failure = true;
        } else if (strcmp(argv[i], "--no-shrinking") == 0) {
            o->no_shrinking = true;
        } else if ((value == NULL && !is_bug) || i + 1 == argc) {
            return false;
        } else if (is_bug) {
            if (!bug_set(argv[++i])) {
                fprintf(stderr, "sim: no such bug in this build: %s\n",
                        argv[i]);
                return false;
            }
        } else {
            o->one |= strcmp(argv[i], "--seed") == 0;
            if (text_parse_u64(argv[++i], 10, value) != 0) {
                return false;
            }
        }
    }
    o->runs = o->one ? 1 : o->runs;
    return o->runs > 0 && o->jobs > 0 && o->jobs <= JOBS_MAX;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list-bugs") == 0) {
        for (int i = 1; bug_name(i); i++) {
            printf("%s\n", bug_name(i));
        }
        return 0;
    }
    struct options o = {.first = 1, .jobs = 1, .storm_ms = STORM_MS};
    if (!parse(argc, argv, &o)) {
        return usage();
    }
    /* LMDB asks for 2 MiB of zeros with each file: as fresh pages that are
     * never touched they cost nothing. */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    const char *root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    base_dir = mem_printf("%s/cofre-sim.%ld", root, (long)getpid());
    mkdir(base_dir, 0700);
    int status = run_all(&o);
    remove_dir(base_dir);
    return status;
}
