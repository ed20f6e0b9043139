/*
 * make-mirror: what is under a prefix, as of one revision, and then every
 * change, revision by revision, into another cluster. Two handles: the
 * source's runs the watch, the destination's is called from its callback,
 * so that a slow destination slows the reading down.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli.h"

enum {
    PAGE_KEYS = 1000,
    BATCH_BYTES_MAX = 512 << 10,
    TELL_S = 30,
    RETRY_US = 250000,
};

struct mirror {
    struct cli *x;
    struct cofre *to;
    const char *prefix;
    const char *to_prefix;
    int64_t ops_max;
    struct cofre_txn *batch; /* NULL: nothing in it */
    int64_t batch_ops;
    size_t batch_bytes;
    int64_t batch_revision;
    const char *error;
    _Atomic int64_t total;
};

static void *tell_total(void *ctx)
{
    struct mirror *m = ctx;
    for (;;) {
        sleep(TELL_S);
        printf("%" PRId64 "\n", atomic_load(&m->total));
        fflush(stdout);
    }
    return NULL;
}

/* Whether the same batch may be tried again: no server took it, or it is
 * not known, and then a second time changes nothing. */
static bool is_passing(int code)
{
    return code == COFRE_UNAVAILABLE || code == COFRE_DEADLINE_EXCEEDED;
}

static void send_batch(struct mirror *m)
{
    if (!m->batch) {
        return;
    }
    bool succeeded;
    int code;
    while ((code = cofre_txn_commit(m->to, m->batch, &succeeded, NULL)) !=
           COFRE_OK) {
        if (!is_passing(code)) {
            cli_exit(CLI_EXIT_ERROR, "%s",
                     cli_error_text(m->to, &m->x->flags.arena));
        }
        usleep(RETRY_US);
    }
    cofre_txn_free(m->batch);
    m->batch = NULL;
    atomic_fetch_add(&m->total, m->batch_ops);
    m->batch_ops = 0;
    m->batch_bytes = 0;
}

/* The key as it is called there; to be freed. */
static struct cofre_bytes there(const struct mirror *m, struct cofre_bytes key)
{
    size_t cut = strlen(m->prefix), put = strlen(m->to_prefix);
    uint8_t *name = mem_alloc(put + key.size - cut + 1);
    memcpy(name, m->to_prefix, put);
    memcpy(name + put, (const uint8_t *)key.data + cut, key.size - cut);
    return (struct cofre_bytes){name, put + key.size - cut};
}

static void add_to_batch(struct mirror *m, const struct cofre_kv *kv,
                         bool is_delete)
{
    struct cofre_bytes key = there(m, kv->key);
    if (m->batch_ops >= m->ops_max || m->batch_bytes >= BATCH_BYTES_MAX) {
        send_batch(m);
    }
    if (!m->batch) {
        m->batch = cofre_txn_new();
    }
    if (is_delete) {
        cofre_txn_delete(m->batch, true, key, (struct cofre_bytes){0});
    } else {
        cofre_txn_put(m->batch, true, key, kv->value, 0);
    }
    m->batch_ops++;
    m->batch_bytes += key.size + kv->value.size;
    m->batch_revision = kv->mod_revision;
    free((void *)(uintptr_t)key.data);
}

/* ---- what is there ---- */

_Noreturn static void source_failed(struct mirror *m)
{
    cli_exit(CLI_EXIT_ERROR, "%s",
             cli_error_text(m->x->client, &m->x->flags.arena));
}

static struct cofre_reply *read_page(struct mirror *m, struct cofre_bytes from,
                                     struct cofre_bytes end, int64_t revision)
{
    struct cofre_reply *reply = NULL;
    struct cofre_get_options options = {
        .range_end = end, .limit = PAGE_KEYS, .revision = revision};
    int code;
    while ((code = cofre_get(m->x->client, from, &options, &reply)) !=
           COFRE_OK) {
        if (!is_passing(code)) {
            source_failed(m);
        }
        usleep(RETRY_US);
    }
    return reply;
}

/* Page by page at the revision of the first one, which is returned. */
static int64_t copy_all(struct mirror *m)
{
    struct arena *a = &m->x->flags.arena;
    struct cofre_bytes prefix = COFRE_STR(m->prefix);
    uint8_t *end_bytes = arena_alloc(a, prefix.size + 1);
    struct cofre_bytes end = {end_bytes, cofre_prefix_end(prefix, end_bytes)};
    struct buf from = BUF_INIT(SIZE_MAX);
    int64_t revision = 0;
    size_t count;
    buf_append(&from, prefix.data, prefix.size);
    if (from.size == 0) {
        buf_append_byte(&from, 0);
    }
    do {
        struct cofre_reply *page = read_page(
            m, (struct cofre_bytes){from.data, from.size}, end, revision);
        if (revision == 0) {
            revision = cofre_reply_header(page).revision;
        }
        count = cofre_reply_kv_count(page);
        for (size_t i = 0; i < count; i++) {
            struct cofre_kv kv = cofre_reply_kv(page, i);
            add_to_batch(m, &kv, false);
            if (i + 1 == count) {
                from.size = 0;
                buf_append(&from, kv.key.data, kv.key.size);
                buf_append_byte(&from, 0);
            }
        }
        send_batch(m);
        cofre_reply_free(page);
    } while (count == PAGE_KEYS);
    buf_release(&from);
    return revision;
}

/* ---- what changes ---- */

static void on_news(void *ctx, const struct cofre_watch_news *n)
{
    struct mirror *m = ctx;
    if (n->canceled) {
        m->error = arena_strdup(
            &m->x->flags.arena,
            n->compact_revision
                ? "etcdserver: mvcc: required revision has been compacted"
                : n->cancel_reason);
        cofre_stop(m->x->client);
        return;
    }
    for (size_t i = 0; i < n->event_count; i++) {
        struct cofre_event e = cofre_watch_event(n, i);
        if (m->batch && e.kv.mod_revision > m->batch_revision) {
            send_batch(m);
        }
        add_to_batch(m, &e.kv, e.is_delete);
    }
    send_batch(m);
}

static void follow(struct mirror *m, int64_t from)
{
    struct cofre *c = m->x->client;
    struct cofre_watch_options options = {.prefix = true,
                                          .start_revision = from};
    struct cofre_watcher *w = cofre_watcher_new(c, on_news, m);
    int code = cofre_watch_add(w, COFRE_STR(m->prefix), &options);
    if (code == COFRE_OK) {
        code = cofre_run(c);
    }
    cofre_watcher_free(w);
    if (code != COFRE_OK) {
        source_failed(m);
    }
}

static struct cofre *open_destination(struct cli *x, const char *endpoints)
{
    struct pflag_set *f = &x->flags;
    static const char *const tls[] = {"dest-cert", "dest-key", "dest-cacert"};
    for (size_t i = 0; i < sizeof tls / sizeof *tls; i++) {
        if (*pflag_text(f, tls[i])) {
            cli_exit(CLI_EXIT_BAD_FEATURE,
                     "--%s: TLS is not supported by this version", tls[i]);
        }
    }
    if (!pflag_bool(f, "dest-insecure-transport")) {
        cli_exit(CLI_EXIT_BAD_FEATURE, "--dest-insecure-transport=false: TLS "
                                       "is not supported by this version");
    }
    struct cofre_config config = {
        .endpoints = endpoints,
        .dial_timeout_ms = (uint64_t)pflag_int(f, "dial-timeout") / 1000000,
    };
    const char *user = pflag_text(f, "dest-user");
    const char *colon = strchr(user, ':');
    if (*user) {
        config.user = user;
        config.password = pflag_text(f, "dest-password");
        if (!*config.password && colon) {
            config.user =
                arena_printf(&f->arena, "%.*s", (int)(colon - user), user);
            config.password = colon + 1;
        } else if (!*config.password) {
            config.password = cli_read_secret(x, "Destination Password: ");
        }
    }
    struct cofre *c = NULL;
    if (cofre_open(&config, &c) != COFRE_OK) {
        cli_exit(CLI_EXIT_BAD_ARGS, "%s", cofre_open_error());
    }
    return c;
}

static void run_make_mirror(struct cli *x, int argc, char **argv)
{
    static struct mirror m;
    struct pflag_set *f = &x->flags;
    bool no_prefix = pflag_bool(f, "no-dest-prefix");
    pthread_t teller;
    if (argc != 1) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "make-mirror takes one destination argument");
    }
    if (no_prefix && *pflag_text(f, "dest-prefix")) {
        cli_exit(CLI_EXIT_BAD_ARGS, "`--dest-prefix` and `--no-dest-prefix` "
                                    "cannot be set at the same time, choose "
                                    "one");
    }
    m.x = x;
    m.prefix = pflag_text(f, "prefix");
    m.to_prefix = no_prefix                       ? ""
                  : *pflag_text(f, "dest-prefix") ? pflag_text(f, "dest-prefix")
                                                  : m.prefix;
    m.ops_max = pflag_int(f, "max-txn-ops");
    if (m.ops_max < 1) {
        cli_exit(CLI_EXIT_BAD_ARGS, "--max-txn-ops must be at least 1");
    }
    cli_begin(x, CLI_TEXT_ONLY);
    m.to = open_destination(x, argv[0]);
    cli_connect(x, false);
    pthread_create(&teller, NULL, tell_total, &m);
    int64_t from = pflag_int(f, "rev");
    follow(&m, from > 0 ? from : copy_all(&m) + 1);
    cli_exit(CLI_EXIT_ERROR, "%s", m.error);
}

static const struct pflag mirror_flags[] = {
    {"dest-cacert", PFLAG_STRING, "", "as --cacert, for the destination"},
    {"dest-cert", PFLAG_STRING, "", "as --cert, for the destination"},
    {"dest-insecure-transport", PFLAG_BOOL, "true",
     "connect to the destination without TLS"},
    {"dest-key", PFLAG_STRING, "", "as --key, for the destination"},
    {"dest-password", PFLAG_STRING, "",
     "password for the destination; --dest-user then holds the name alone"},
    {"dest-prefix", PFLAG_STRING, "", "prefix there instead of the one here"},
    {"dest-user", PFLAG_STRING, "", "name[:password] for the destination"},
    {"max-txn-ops", PFLAG_INT, "128", "changes in one transaction at most"},
    {"no-dest-prefix", PFLAG_BOOL, "false",
     "keys there are without the prefix"},
    {"prefix", PFLAG_STRING, "", "only keys that begin with it"},
    {"rev", PFLAG_INT, "0",
     "begin with the changes of this revision (0: copy everything first)"},
    {NULL}};

const struct cli_command cli_make_mirror = {
    .name = "make-mirror",
    .arguments = "[options] <destination>",
    .summary = "Copies a cluster's keys into another, and goes on with it",
    .group = "Utility commands",
    .flags = mirror_flags,
    .parent = &cli_root,
    .run = run_make_mirror,
};
