/*
 * check perf and check datascale: puts from many clients at a steady rate,
 * and whether the cluster keeps up. A client is a thread with a handle of
 * its own, so with a connection of its own.
 */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bar.h"
#include "base/mem.h"
#include "check.h"
#include "cli.h"

enum {
    VALUE_SIZE = 1024,
    KEY_RANDOM_SIZE = 16,
    THREAD_STACK_SIZE = 256 << 10,
    DRAW_MS = 200,
    LEAD_US = 20000,
    ERRORS_MAX = 16,
    FILES_PER_CLIENT = 12,
    DATASCALE_KEYS_S = 10000,
};

#define SLOWEST_MAX_S 0.5
#define STDDEV_MAX_S 0.1
#define RATE_PART_LEAST 0.9

static const struct load {
    const char *words[2];
    uint64_t rate; /* puts a second */
    uint64_t keys; /* of datascale */
    unsigned clients;
    unsigned seconds;
} loads[] = {
    {{"s", "small"}, 150, DATASCALE_KEYS_S, 50, 60},
    {{"m", "medium"}, 1000, 100000, 200, 60},
    {{"l", "large"}, 8000, 1000000, 500, 60},
    {{"xl", "xLarge"}, 15000, 3000000, 1000, 60},
};

struct run {
    struct cli *x;
    const char *prefix;
    const struct load *load;
    uint64_t rate;             /* 0: as fast as it goes */
    uint64_t count_max;        /* 0: no end but the time's */
    uint64_t start_ns, end_ns; /* end 0: none */
    _Atomic uint64_t next;
    _Atomic uint64_t done;
    pthread_mutex_t mutex;
    struct {
        char *text;
        uint64_t count;
    } errors[ERRORS_MAX];
    size_t error_count;
    /* of all clients, each adds its own at its end */
    uint64_t puts;
    double sum_s, squares_s, slowest_s;
};

static atomic_bool told_to_stop;

static void on_interrupt(int number)
{
    atomic_store(&told_to_stop, true);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void note_error(struct run *r, const char *text)
{
    pthread_mutex_lock(&r->mutex);
    size_t i = 0;
    while (i < r->error_count && strcmp(r->errors[i].text, text) != 0) {
        i++;
    }
    if (i == r->error_count && i < ERRORS_MAX) {
        r->errors[i].text = mem_strdup(text);
        r->error_count++;
    }
    if (i < r->error_count) {
        r->errors[i].count++;
    }
    pthread_mutex_unlock(&r->mutex);
}

/* When the n-th put is due; false: there is none any more. */
static bool wait_turn(struct run *r)
{
    uint64_t n = atomic_fetch_add(&r->next, 1);
    uint64_t due =
        r->rate ? r->start_ns + (uint64_t)((double)n * 1e9 / (double)r->rate)
                : 0;
    if (r->count_max && n >= r->count_max) {
        return false;
    }
    for (;;) {
        uint64_t now = now_ns();
        if (atomic_load(&told_to_stop) || (r->end_ns && now >= r->end_ns)) {
            return false;
        }
        if (now >= due) {
            return true;
        }
        uint64_t us = (due - now) / 1000;
        usleep((useconds_t)(us > LEAD_US ? LEAD_US : us + 1));
    }
}

static void put_all(struct run *r, struct cofre *c)
{
    char value[VALUE_SIZE] = {0};
    size_t prefix_size = strlen(r->prefix);
    uint8_t *key = mem_alloc(prefix_size + KEY_RANDOM_SIZE);
    double sum_s = 0, squares_s = 0, slowest_s = 0;
    uint64_t puts = 0;
    memcpy(key, r->prefix, prefix_size);
    while (wait_turn(r)) {
        if (getrandom(key + prefix_size, KEY_RANDOM_SIZE, 0) < 0) {
            note_error(r, "no random bytes");
            break;
        }
        uint64_t before = now_ns();
        int code = cofre_put(
            c, (struct cofre_bytes){key, prefix_size + KEY_RANDOM_SIZE},
            (struct cofre_bytes){value, sizeof value}, NULL, NULL);
        double took_s = (double)(now_ns() - before) / 1e9;
        atomic_fetch_add(&r->done, 1);
        if (code != COFRE_OK) {
            note_error(r, cofre_error_text(c));
            continue;
        }
        puts++;
        sum_s += took_s;
        squares_s += took_s * took_s;
        slowest_s = took_s > slowest_s ? took_s : slowest_s;
    }
    free(key);
    pthread_mutex_lock(&r->mutex);
    r->puts += puts;
    r->sum_s += sum_s;
    r->squares_s += squares_s;
    r->slowest_s = slowest_s > r->slowest_s ? slowest_s : r->slowest_s;
    pthread_mutex_unlock(&r->mutex);
}

struct client {
    struct run *run;
    struct cofre *handle;
    pthread_t thread;
};

static void *client_main(void *ctx)
{
    struct client *c = ctx;
    put_all(c->run, c->handle);
    return NULL;
}

static void raise_file_limit(unsigned clients)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)clients * FILES_PER_CLIENT + 64;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void draw(struct run *r)
{
    double s = (double)(now_ns() - r->start_ns) / 1e9;
    if (r->count_max) {
        uint64_t done = atomic_load(&r->done);
        cli_bar_draw(done < r->count_max ? done : r->count_max, r->count_max,
                     s);
    } else {
        unsigned past = (unsigned)s;
        cli_bar_draw(past < r->load->seconds ? past : r->load->seconds,
                     r->load->seconds, s);
    }
}

static bool is_over(struct run *r)
{
    return atomic_load(&told_to_stop) || (r->end_ns && now_ns() >= r->end_ns) ||
           (r->count_max && atomic_load(&r->done) >= r->count_max);
}

/* All clients at work until time or keys are at their end. */
static double put_load(struct run *r)
{
    unsigned count = r->load->clients;
    struct client *clients = mem_zalloc(count * sizeof *clients);
    pthread_attr_t small;
    raise_file_limit(count);
    for (unsigned i = 0; i < count; i++) {
        clients[i] = (struct client){
            .run = r,
            .handle = cli_open_one(r->x, pflag_text(&r->x->flags, "endpoints")),
        };
        cofre_set_failed(clients[i].handle, NULL, NULL);
    }
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, THREAD_STACK_SIZE);
    r->start_ns = now_ns();
    r->end_ns = r->count_max
                    ? 0
                    : r->start_ns + (uint64_t)r->load->seconds * 1000000000;
    for (unsigned i = 0; i < count; i++) {
        if (pthread_create(&clients[i].thread, &small, client_main,
                           &clients[i]) != 0) {
            cli_exit(CLI_EXIT_ERROR, "cannot start %u threads", count);
        }
    }
    while (!is_over(r)) {
        draw(r);
        usleep(DRAW_MS * 1000);
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(clients[i].thread, NULL);
    }
    double took_s = (double)(now_ns() - r->start_ns) / 1e9;
    draw(r);
    for (unsigned i = 0; i < count; i++) {
        cofre_close(clients[i].handle);
    }
    free(clients);
    pthread_attr_destroy(&small);
    return took_s;
}

static const struct load *find_load(const char *word)
{
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
        if (strcmp(word, loads[i].words[0]) == 0 ||
            strcmp(word, loads[i].words[1]) == 0) {
            return &loads[i];
        }
    }
    cli_exit(CLI_EXIT_BAD_FEATURE, "unknown load option %s", word);
}

/* What others have put under the prefix would go with ours. */
static void check_empty(struct run *r)
{
    struct cofre_reply *reply = NULL;
    struct cofre_get_options one = {.prefix = true, .limit = 1};
    if (cofre_get(r->x->client, COFRE_STR(r->prefix), &one, &reply) !=
        COFRE_OK) {
        cli_exit(CLI_EXIT_ERROR, "%s",
                 cli_error_text(r->x->client, &r->x->flags.arena));
    }
    if (cofre_reply_kv_count(reply) > 0) {
        cli_exit(CLI_EXIT_INVALID_INPUT,
                 "prefix \"%s\" has keys. Delete with 'etcdctl del --prefix "
                 "%s' first",
                 r->prefix, r->prefix);
    }
    cofre_reply_free(reply);
}

static void clean_up(struct run *r)
{
    struct cli *x = r->x;
    struct cofre_reply *reply = NULL;
    struct cofre_delete_options all = {.prefix = true};
    cofre_set_call_timeout(x->client, 0);
    int code =
        cofre_delete(x->client, COFRE_STR(r->prefix), &all, NULL, &reply);
    if (code == COFRE_OK && pflag_bool(&x->flags, "auto-compact")) {
        int64_t revision = cofre_reply_header(reply).revision;
        printf("Compacting with revision %" PRId64 "\n", revision);
        code = cofre_compact(x->client, revision, true);
        if (code == COFRE_OK) {
            printf("Compacted with revision %" PRId64 "\n", revision);
        }
    }
    if (code != COFRE_OK) {
        cli_exit(CLI_EXIT_ERROR, "%s",
                 cli_error_text(x->client, &x->flags.arena));
    }
    cofre_reply_free(reply);
    size_t count;
    char **endpoints = cli_endpoints(x, &count);
    for (size_t i = 0; i < count && pflag_bool(&x->flags, "auto-defrag"); i++) {
        cli_check_defrag(x, endpoints[i]);
    }
}

static bool tell_errors(const struct run *r)
{
    if (r->error_count) {
        puts("FAIL: too many errors");
    }
    for (size_t i = 0; i < r->error_count; i++) {
        printf("FAIL: ERROR(%s) -> %" PRIu64 "\n", r->errors[i].text,
               r->errors[i].count);
    }
    return r->error_count == 0;
}

static void begin(struct cli *x, struct run *r)
{
    r->x = x;
    r->load = find_load(pflag_text(&x->flags, "load"));
    r->prefix = pflag_text(&x->flags, "prefix");
    pthread_mutex_init(&r->mutex, NULL);
    cli_begin(x, CLI_TEXT_ONLY);
    cli_connect(x, true);
    check_empty(r);
}

void cli_run_check_perf(struct cli *x, int argc, char **argv)
{
    static struct run r;
    begin(x, &r);
    r.rate = r.load->rate;
    double took_s = put_load(&r);
    clean_up(&r);
    bool ok = tell_errors(&r);
    double puts_s = (double)r.puts / took_s;
    double n = r.puts ? (double)r.puts : 1;
    double mean_s = r.sum_s / n;
    double variance = r.squares_s / n - mean_s * mean_s;
    double stddev_s = sqrt(variance > 0 ? variance : 0);
    bool fast = puts_s > RATE_PART_LEAST * (double)r.rate;
    bool even = r.slowest_s <= SLOWEST_MAX_S, steady = stddev_s <= STDDEV_MAX_S;
    printf(fast ? "PASS: Throughput is %d writes/s\n"
                : "FAIL: Throughput too low: %d writes/s\n",
           (int)puts_s + 1);
    printf(even ? "PASS: Slowest request took %fs\n"
                : "Slowest request took too long: %fs\n",
           r.slowest_s);
    printf(steady ? "PASS: Stddev is %fs\n" : "Stddev too high: %fs\n",
           stddev_s);
    ok = ok && fast && even && steady;
    puts(ok ? "PASS" : "FAIL");
    cli_quit(ok ? 0 : CLI_EXIT_ERROR);
}

void cli_run_check_datascale(struct cli *x, int argc, char **argv)
{
    static struct run r;
    size_t count;
    begin(x, &r);
    r.count_max = r.load->keys;
    const char *endpoint = cli_endpoints(x, &count)[0];
    double before = cli_check_memory(x, endpoint);
    printf("Start data scale check for work load [%" PRIu64
           " key-value pairs, %d bytes per key-value, %u concurrent "
           "clients].\n",
           r.load->keys, VALUE_SIZE, r.load->clients);
    fflush(stdout);
    put_load(&r);
    double after = cli_check_memory(x, endpoint);
    clean_up(&r);
    if (!tell_errors(&r)) {
        cli_quit(CLI_EXIT_ERROR);
    }
    printf("PASS: Approximate system memory used : %.2f MB.\n",
           (after - before) / (1024 * 1024));
    cli_quit(0);
}
