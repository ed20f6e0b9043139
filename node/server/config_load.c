#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "config.h"
#include "server.h"

extern char **environ;

enum { WHY_MAX = 16 << 10 };

/* Where each flag's value came from, by place in the table. */
enum origin { FROM_DEFAULT, FROM_FLAG, FROM_ENV };

/* Old flags that are still taken and mean nothing. */
static const char *const silent_flags[] = {
    "cluster-active-size",
    "cluster-remove-delay",
    "cluster-sync-interval",
    "config",
    "force",
    "max-result-buffer",
    "max-retry-attempts",
    "peer-heartbeat-interval",
    "peer-election-timeout",
    "retry-interval",
    "snapshot",
    "v",
    "vv",
    "test.coverprofile",
    "test.outputdir",
};

static void set_defaults(struct config *c)
{
    struct buf why = BUF_INIT(WHY_MAX);
    for (size_t i = 0; i < flag_count; i++) {
        flag_set(c, &flag_table[i], flag_table[i].fallback, &why);
    }
    c->refused = NULL;
    buf_release(&why);
}

void config_release(struct config *c)
{
    for (size_t i = 0; i < flag_count; i++) {
        void *field = (char *)c + flag_table[i].offset;
        if (flag_table[i].type == FLAG_URLS) {
            url_list_release(field);
        } else if (flag_table[i].type == FLAG_STRING ||
                   flag_table[i].type == FLAG_STATE) {
            free(*(char **)field);
            *(char **)field = NULL;
        }
    }
}

/* Takes over `text`. */
static int usage_error(int *ret_status, char *text)
{
    fprintf(stderr, "%s\n", text);
    free(text);
    flag_print_usage(STDERR_FILENO);
    *ret_status = 2;
    return ERR_INVALID;
}

static bool is_silent(const char *name, size_t size)
{
    for (size_t i = 0; i < sizeof silent_flags / sizeof *silent_flags; i++) {
        if (strlen(silent_flags[i]) == size &&
            memcmp(silent_flags[i], name, size) == 0) {
            return true;
        }
    }
    return false;
}

/* One argument, -x or --x, with its value behind '=' or in the next one. */
static int parse_flag(struct config *c, char **argv, int argc, int *at,
                      enum origin *origins, int *ret_status)
{
    const char *arg = argv[*at] + (argv[*at][1] == '-' ? 2 : 1);
    const char *eq = strchr(arg, '=');
    size_t size = eq ? (size_t)(eq - arg) : strlen(arg);
    char *name = mem_printf("%.*s", (int)size, arg);
    const struct flag *f = flag_find(arg, size);
    int err = 0;
    if (f == NULL && (strcmp(name, "h") == 0 || strcmp(name, "help") == 0)) {
        flag_print_usage(STDERR_FILENO);
        flag_print_help(STDOUT_FILENO);
        *ret_status = 0;
        err = ERR_CANCELED;
    } else if (f == NULL && is_silent(arg, size)) {
        err = 0;
    } else if (f == NULL) {
        err = usage_error(
            ret_status, mem_printf("flag provided but not defined: -%s", name));
    } else {
        const char *value = eq ? eq + 1 : NULL;
        if (value == NULL && f->type == FLAG_BOOL) {
            value = "true";
        } else if (value == NULL && *at + 1 < argc) {
            value = argv[++*at];
        }
        struct buf why = BUF_INIT(WHY_MAX);
        if (value == NULL) {
            err = usage_error(ret_status,
                              mem_printf("flag needs an argument: -%s", name));
        } else if (flag_set(c, f, value, &why) != 0) {
            const char *what = f->type == FLAG_BOOL ? "boolean value" : "value";
            const char *where = f->type == FLAG_BOOL ? "" : "flag ";
            err = usage_error(
                ret_status,
                mem_printf("invalid %s \"%s\" for %s-%s: %.*s", what, value,
                           where, name, (int)why.size, (const char *)why.data));
        } else {
            origins[f - flag_table] = FROM_FLAG;
        }
        buf_release(&why);
    }
    free(name);
    return err;
}

/* 0, or an error with everything printed; *ret_word is the first argument
 * that is no flag. */
static int parse_arguments(struct config *c, int argc, char **argv,
                           enum origin *origins, const char **ret_word,
                           int *ret_status)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            *ret_word = i + 1 < argc ? argv[i + 1] : NULL;
            return 0;
        }
        if (argv[i][0] != '-' || argv[i][1] == '\0') {
            *ret_word = argv[i];
            return 0;
        }
        int err = parse_flag(c, argv, argc, &i, origins, ret_status);
        if (err) {
            return err;
        }
    }
    return 0;
}

static const struct flag *flag_of_variable(const char *variable, size_t size)
{
    char name[128];
    if (size >= sizeof name) {
        return NULL;
    }
    for (size_t i = 0; i < size; i++) {
        name[i] = variable[i] == '_'
                      ? '-'
                      : (char)tolower((unsigned char)variable[i]);
        if (islower((unsigned char)variable[i])) {
            return NULL;
        }
    }
    return flag_find(name, size);
}

static int read_variable(struct config *c, const char *entry,
                         enum origin *origins, struct buf *why)
{
    const char *eq = strchr(entry, '=');
    if (eq == NULL) {
        return 0;
    }
    size_t prefix = strlen("ETCD_"), size = (size_t)(eq - entry);
    const struct flag *f = flag_of_variable(entry + prefix, size - prefix);
    char *name = mem_printf("%.*s", (int)size, entry);
    int err = 0;
    if (strcmp(name, "ETCD_VERSION") == 0) {
        log_warn("cannot set special environment variable",
                 LOG_STR("key", name), LOG_STR("value", eq + 1));
    } else if (f == NULL || eq[1] == '\0') {
        if (strcmp(name, "ETCD_UNSUPPORTED_ARCH") != 0) {
            log_warn("unrecognized environment variable",
                     LOG_STR("environment-variable", entry));
        }
    } else if (origins[f - flag_table] == FROM_FLAG) {
        log_fatal("conflicting environment variable is shadowed by "
                  "corresponding command-line flag (either unset "
                  "environment variable or disable flag))",
                  LOG_STR("environment-variable", name));
    } else {
        struct buf reason = BUF_INIT(WHY_MAX);
        err = flag_set(c, f, eq + 1, &reason);
        if (err) {
            buf_printf(why, "invalid value \"%s\" for %s: %.*s", eq + 1, name,
                       (int)reason.size, (const char *)reason.data);
        } else {
            origins[f - flag_table] = FROM_ENV;
            log_info("recognized and used environment variable",
                     LOG_STR("variable-name", name),
                     LOG_STR("variable-value", eq + 1));
        }
        buf_release(&reason);
    }
    free(name);
    return err;
}

static int read_environment(struct config *c, enum origin *origins,
                            struct buf *why)
{
    for (char **e = environ; *e; e++) {
        if (strncmp(*e, "ETCD_", strlen("ETCD_")) == 0) {
            int err = read_variable(c, *e, origins, why);
            if (err) {
                return err;
            }
        }
    }
    return 0;
}

static void warn_ignored(const enum origin *origins)
{
    for (size_t i = 0; i < flag_count; i++) {
        if (flag_table[i].use == FLAG_WARNS && origins[i] != FROM_DEFAULT) {
            char *text =
                mem_printf("--%s has no effect in cofre", flag_table[i].name);
            log_warn(text);
            free(text);
        }
    }
}

static int open_log(const struct config *c, struct buf *why)
{
    enum log_level level = LOG_LEVEL_INFO;
    if (c->log_level[0] && log_level_parse(c->log_level, &level) != 0) {
        buf_printf(why, "unrecognized level: \"%s\"", c->log_level);
        return ERR_INVALID;
    }
    int fd = STDERR_FILENO;
    const char *out = c->log_outputs;
    if (strcmp(out, "stdout") == 0) {
        fd = STDOUT_FILENO;
    } else if (strchr(out, ',')) {
        buf_printf(why,
                   "more than one log output is not built into this version "
                   "of cofre yet: %s",
                   out);
        return ERR_UNSUPPORTED;
    } else if (strcmp(out, "default") != 0 && strcmp(out, "stderr") != 0) {
        fd = open(out, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0) {
            buf_printf(why, "open sink \"%s\": open %s: %s", out, out,
                       strerror(errno));
            return ERR_IO;
        }
    }
    log_setup(level, strcmp(c->log_format, "console") == 0, fd);
    return 0;
}

static void log_arguments(int argc, char **argv)
{
    struct buf b = BUF_INIT(WHY_MAX);
    buf_append_byte(&b, '[');
    for (int i = 0; i < argc; i++) {
        if (i) {
            buf_append_byte(&b, ',');
        }
        text_json_string(&b, slice_str(argv[i]));
    }
    buf_append_str(&b, "]");
    buf_append_byte(&b, '\0');
    log_info("Running: ", LOG_RAW("args", (const char *)b.data));
    buf_release(&b);
}

static void note_given(struct config *c, const enum origin *origins)
{
    c->listen_client_given =
        origins[flag_find("listen-client-urls", 18) - flag_table];
    c->advertise_client_given =
        origins[flag_find("advertise-client-urls", 21) - flag_table];
    c->initial_cluster_given =
        origins[flag_find("initial-cluster", 15) - flag_table];
}

/* What stands for an unset name or folder. */
static void fill_in(struct config *c)
{
    if (c->data_dir[0] == '\0') {
        free(c->data_dir);
        c->data_dir = mem_printf("%s.etcd", c->name);
        log_warn("'data-dir' was empty; using default",
                 LOG_STR("data-dir", c->data_dir));
    }
    if (c->initial_cluster[0] == '\0') {
        struct buf b = BUF_INIT(WHY_MAX);
        const struct url_list *l = &c->initial_advertise_peer_urls;
        for (uint32_t i = 0; i < l->count; i++) {
            buf_printf(&b, "%s%s=%s", i ? "," : "", c->name, l->urls[i]);
        }
        buf_append_byte(&b, '\0');
        free(c->initial_cluster);
        size_t size;
        c->initial_cluster = (char *)buf_detach(&b, &size);
    }
}

enum config_action config_load(int argc, char **argv, struct config *c,
                               int *ret_status)
{
    *c = (struct config){0};
    set_defaults(c);
    enum origin *origins = mem_zalloc(flag_count * sizeof *origins);
    struct buf why = BUF_INIT(WHY_MAX);
    const char *word = NULL;
    int err = parse_arguments(c, argc, argv, origins, &word, ret_status);
    if (err == 0 && c->version) {
        server_print_version();
        *ret_status = 0;
        err = ERR_CANCELED;
    }
    if (err) {
        free(origins);
        return CONFIG_EXIT;
    }
    if (word) {
        buf_printf(&why, "\"%s\" is not a valid flag", word);
        err = ERR_INVALID;
    } else if (c->config_file[0]) {
        err = config_read_file(c, c->config_file, &why);
    } else {
        err = read_environment(c, origins, &why);
        if (err == 0 && c->config_file[0]) {
            err = config_read_file(c, c->config_file, &why);
        }
    }
    note_given(c, origins);
    if (err == 0) {
        err = open_log(c, &why);
    }
    log_arguments(argc, argv);
    if (err == 0) {
        err = config_verify(c, &why);
    }
    if (err == 0) {
        warn_ignored(origins);
        fill_in(c);
    } else {
        log_warn("failed to verify flags", LOG_SLICE("error", buf_slice(&why)));
        *ret_status = 1;
    }
    buf_release(&why);
    free(origins);
    return err ? CONFIG_EXIT : CONFIG_RUN;
}
