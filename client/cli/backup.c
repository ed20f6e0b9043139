/* What can be done with a snapshot's file, without a server: tell what is in
 * it, hash it, begin a new cluster with it. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli.h"
#include "net/net.h"
#include "restore/restore.h"

enum { LOCAL_FORMATS = CLI_SIMPLE | CLI_FIELDS | CLI_JSON | CLI_TABLE };

static const struct pflag restore_flags[] = {
    {"bump-revision", PFLAG_INT, "0",
     "raise the revision by as much (with --mark-compacted), so that what "
     "clients have seen of the old cluster is behind"},
    {"data-dir", PFLAG_STRING, "",
     "data directory to make (<name>.etcd where it is not given)"},
    {"initial-advertise-peer-urls", PFLAG_STRING, "http://localhost:2380",
     "this member's peer URLs"},
    {"initial-cluster", PFLAG_STRING, "default=http://localhost:2380",
     "the members of the new cluster: name=url, separated by commas"},
    {"initial-cluster-token", PFLAG_STRING, "etcd-cluster",
     "word that tells this cluster from others"},
    {"initial-memory-map-size", PFLAG_INT, "0", "without meaning here"},
    {"mark-compacted", PFLAG_BOOL, "false",
     "with --bump-revision: all history counts as compacted"},
    {"name", PFLAG_STRING, "default", "this member's name"},
    {"skip-hash-check", PFLAG_BOOL, "false",
     "take a file without a checksum, as one copied out of a data directory"},
    {"wal-dir", PFLAG_STRING, "",
     "folder for the log, where it is not to be in the data directory"},
    {NULL}};

static const struct pflag hashkv_flags[] = {
    {"rev", PFLAG_INT, "0", "revision to hash up to (0: the newest)"}, {NULL}};

/* For a store that lives as long as a question. */
static const char *scratch_folder(struct cli *x, const char *file)
{
    const char *temporary = getenv("TMPDIR");
    const char *slash = strrchr(file, '/');
    if (temporary && *temporary) {
        return temporary;
    }
    return !slash          ? "."
           : slash == file ? "/"
                           : arena_printf(&x->flags.arena, "%.*s",
                                          (int)(slash - file), file);
}

static void print_table(const char *const *cells, size_t columns)
{
    struct buf out = BUF_INIT(1 << 20);
    cli_table(&out, cells, columns, 2);
    cli_print_buf(&out);
}

/* ---- status ---- */

static void print_status(struct cli *x, const struct restore_status *st)
{
    if (x->format == CLI_JSON) {
        printf("{\"hash\":%" PRIu32 ",\"revision\":%" PRId64
               ",\"totalKey\":%" PRId64 ",\"totalSize\":%" PRIu64
               ",\"version\":\"%s\"}\n",
               st->hash, st->revision, st->key_count, st->bytes, st->version);
        return;
    }
    if (x->format == CLI_FIELDS) {
        cli_field_u64("Hash", st->hash);
        cli_field_i64("Revision", st->revision);
        cli_field_i64("Keys", st->key_count);
        cli_field_u64("Size", st->bytes);
        printf("\"Version\" : %s\n", st->version);
        return;
    }
    struct arena *a = &x->flags.arena;
    struct buf size = BUF_INIT(64);
    cli_human_bytes(&size, st->bytes);
    const char *cells[] = {
        "HASH",
        "REVISION",
        "TOTAL KEYS",
        "TOTAL SIZE",
        "VERSION",
        arena_printf(a, "%" PRIx32, st->hash),
        arena_printf(a, "%" PRId64, st->revision),
        arena_printf(a, "%" PRId64, st->key_count),
        arena_printf(a, "%.*s", (int)size.size, (char *)size.data),
        st->version,
    };
    buf_release(&size);
    if (x->format == CLI_TABLE) {
        print_table(cells, 5);
    } else {
        printf("%s, %s, %s, %s, %s\n", cells[5], cells[6], cells[7], cells[8],
               cells[9]);
    }
}

static void run_status(struct cli *x, int argc, char **argv)
{
    struct restore_status st;
    if (argc != 1) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "snapshot status requires exactly one argument");
    }
    cli_begin_local(x, LOCAL_FORMATS);
    if (restore_status_read(argv[0], scratch_folder(x, argv[0]), &st) != 0) {
        cli_exit(CLI_EXIT_ERROR, "%s", restore_error_text());
    }
    print_status(x, &st);
}

/* ---- hashkv ---- */

static void run_hashkv(struct cli *x, int argc, char **argv)
{
    struct restore_hash h;
    if (argc != 1) {
        cli_exit(CLI_EXIT_BAD_ARGS, "hashkv requires exactly one argument");
    }
    cli_begin_local(x, LOCAL_FORMATS);
    int64_t revision = pflag_int(&x->flags, "rev");
    if (restore_hash_kv(argv[0], scratch_folder(x, argv[0]), revision, &h) !=
        0) {
        cli_exit(CLI_EXIT_ERROR, "%s", restore_error_text());
    }
    if (x->format == CLI_JSON) {
        printf("{\"hash\":%" PRIu32 ",\"hashRevision\":%" PRId64
               ",\"compactRevision\":%" PRId64 "}\n",
               h.hash, h.revision, h.compact_revision);
    } else if (x->format == CLI_FIELDS) {
        cli_field_u64("Hash", h.hash);
        cli_field_i64("Hash revision", h.revision);
        cli_field_i64("Compact revision", h.compact_revision);
    } else if (x->format == CLI_TABLE) {
        struct arena *a = &x->flags.arena;
        const char *cells[] = {
            "HASH",
            "HASH REVISION",
            "COMPACT REVISION",
            arena_printf(a, "%" PRIu32, h.hash),
            arena_printf(a, "%" PRId64, h.revision),
            arena_printf(a, "%" PRId64, h.compact_revision),
        };
        print_table(cells, 3);
    } else {
        printf("%" PRIu32 ", %" PRId64 ", %" PRId64 "\n", h.hash, h.revision,
               h.compact_revision);
    }
}

/* ---- restore ---- */

static void added_member(void *ctx, uint64_t cluster_id, uint64_t id,
                         const char *peer_urls)
{
    struct buf json = BUF_INIT(1 << 20);
    buf_append_byte(&json, '[');
    for (const char *p = peer_urls; *p;) {
        size_t size = strcspn(p, ",");
        if (json.size > 1) {
            buf_append_byte(&json, ',');
        }
        cli_json_string(&json, slice_of(p, size));
        p += size + (p[size] == ',');
    }
    buf_append_str(&json, "]");
    buf_append_byte(&json, 0);
    log_info("added member", LOG_ID("cluster-id", cluster_id),
             LOG_ID("local-member-id", 0), LOG_ID("added-peer-id", id),
             LOG_RAW("added-peer-peer-urls", (char *)json.data));
    buf_release(&json);
}

static void check_urls(struct cli *x, const char *list)
{
    char *text = arena_strdup(&x->flags.arena, list), *rest = NULL;
    struct url url;
    for (char *u = strtok_r(text, ",", &rest); u;
         u = strtok_r(NULL, ",", &rest)) {
        if (url_parse(u, &url) != 0) {
            cli_exit(CLI_EXIT_ERROR,
                     "--initial-advertise-peer-urls: \"%s\" is "
                     "not a URL with scheme, host and port",
                     u);
        }
    }
}

static void read_options(struct cli *x, const char *file,
                         struct restore_options *o)
{
    struct pflag_set *f = &x->flags;
    int64_t bump = pflag_int(f, "bump-revision");
    if (bump < 0) {
        cli_exit(CLI_EXIT_ERROR, "--bump-revision must not be negative");
    }
    if ((bump > 0) != pflag_bool(f, "mark-compacted")) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "--mark-compacted required if --revision-bump > 0");
    }
    *o = (struct restore_options){
        .image = file,
        .data_dir = pflag_text(f, "data-dir"),
        .wal_dir = pflag_text(f, "wal-dir"),
        .name = pflag_text(f, "name"),
        .initial_cluster = pflag_text(f, "initial-cluster"),
        .token = pflag_text(f, "initial-cluster-token"),
        .advertise_peer_urls = pflag_text(f, "initial-advertise-peer-urls"),
        .skip_hash_check = pflag_bool(f, "skip-hash-check"),
        .bump_revision = bump,
        .on_member = added_member,
    };
    if (*o->data_dir == 0) {
        o->data_dir = arena_printf(&f->arena, "%s.etcd", o->name);
    }
    check_urls(x, o->advertise_peer_urls);
}

static void run_restore(struct cli *x, int argc, char **argv)
{
    struct restore_options o;
    if (argc != 1) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "snapshot restore requires exactly one argument");
    }
    cli_begin_local(x, CLI_TEXT_ONLY);
    read_options(x, argv[0], &o);
    const char *wal_dir =
        *o.wal_dir ? o.wal_dir
                   : arena_printf(&x->flags.arena, "%s/member/wal", o.data_dir);
    log_info("restoring snapshot", LOG_STR("path", o.image),
             LOG_STR("wal-dir", wal_dir), LOG_STR("data-dir", o.data_dir));
    if (o.bump_revision > 0) {
        log_info("bumping latest revision",
                 LOG_INT("bump-amount", o.bump_revision));
    }
    if (restore_run(&o) != 0) {
        cli_exit(CLI_EXIT_ERROR, "%s", restore_error_text());
    }
    log_info("restored snapshot", LOG_STR("path", o.image),
             LOG_STR("wal-dir", wal_dir), LOG_STR("data-dir", o.data_dir));
}

#define STATUS_COMMAND(above)                                               \
    {                                                                       \
        .name = "status", .arguments = "<filename>",                        \
        .summary = "Tells what is in a snapshot's file", .parent = (above), \
        .run = run_status,                                                  \
    }
#define RESTORE_COMMAND(above)                                            \
    {                                                                     \
        .name = "restore", .arguments = "<filename> [options]",           \
        .summary = "Makes a member of a new cluster out of a snapshot's " \
                   "file",                                                \
        .flags = restore_flags, .parent = (above), .run = run_restore,    \
    }
#define HASHKV_COMMAND(above)                                            \
    {                                                                    \
        .name = "hashkv", .arguments = "<filename>",                     \
        .summary = "Prints the hash of the key-value history in a file", \
        .group = "Cluster maintenance commands", .flags = hashkv_flags,  \
        .parent = (above), .run = run_hashkv,                            \
    }

const struct cli_command cli_snapshot_status = STATUS_COMMAND(&cli_snapshot);
const struct cli_command cli_snapshot_restore = RESTORE_COMMAND(&cli_snapshot);
const struct cli_command cli_snapshot_hashkv = HASHKV_COMMAND(&cli_snapshot);

/* ---- called as etcdutl ---- */

const struct pflag cli_utl_flags[] = {
    {"timeout", PFLAG_DURATION, "10s", "time to wait for a file's lock"},
    {"write-out", PFLAG_STRING, "simple",
     "output format (fields, json, simple, table)", 'w'},
    {NULL}};

static const struct cli_command utl_snapshot;
static const struct cli_command utl_status = STATUS_COMMAND(&utl_snapshot);
static const struct cli_command utl_restore = RESTORE_COMMAND(&utl_snapshot);
static const struct cli_command utl_snapshot = {
    .name = "snapshot",
    .summary = "Commands for snapshots' files",
    .group = "Cluster maintenance commands",
    .parent = &cli_utl_root,
    .children =
        (const struct cli_command *const[]){&utl_status, &utl_restore, NULL},
};
static const struct cli_command utl_hashkv = HASHKV_COMMAND(&cli_utl_root);
static const struct cli_command utl_version = {
    .name = "version",
    .summary = "Prints the version",
    .group = "Utility commands",
    .parent = &cli_utl_root,
    .run = cli_run_version,
};
static const struct cli_command utl_completion = {
    .name = "completion",
    .arguments = "[bash|zsh]",
    .summary = "Prints a script that completes commands in a shell",
    .group = "Utility commands",
    .parent = &cli_utl_root,
    .run = cli_run_completion,
};
static const struct cli_command utl_options = {
    .name = "options",
    .summary = "Shows the global flags",
    .group = "Utility commands",
    .parent = &cli_utl_root,
    .run = cli_run_options,
};
static const struct cli_command utl_help = {
    .name = "help",
    .arguments = "[command]",
    .summary = "Help about a command",
    .group = "Utility commands",
    .parent = &cli_utl_root,
    .run = cli_run_help,
};
const struct cli_command cli_utl_root = {
    .name = "",
    .summary = "What can be done with the files of an etcd or cofre, without "
               "a server.",
    .children =
        (const struct cli_command *const[]){&utl_snapshot, &utl_hashkv,
                                            &utl_version, &utl_completion,
                                            &utl_options, &utl_help, NULL},
};
