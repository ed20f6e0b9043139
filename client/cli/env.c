/* The environment: COFRECTL_<FLAG> and ETCDCTL_<FLAG> for global flags. */
#include <ctype.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli.h"

extern char **environ;

const struct pflag cli_global_flags[] = {
    {"auth-jwt-token", PFLAG_STRING, "",
     "token to send as it is, instead of --user"},
    {"cacert", PFLAG_STRING, "",
     "file with the CAs that servers are "
     "checked against"},
    {"cert", PFLAG_STRING, "", "file with the client's TLS certificate"},
    {"command-timeout", PFLAG_DURATION, "5s",
     "time for a short command, without the dialing"},
    {"debug", PFLAG_BOOL, "false", "tell on standard error what is done"},
    {"dial-timeout", PFLAG_DURATION, "2s", "time for making a connection"},
    {"discovery-srv", PFLAG_STRING, "",
     "domain whose SRV records name the endpoints", 'd'},
    {"discovery-srv-name", PFLAG_STRING, "",
     "suffix of the service's name in those SRV records"},
    {"endpoints", PFLAG_LIST, "127.0.0.1:2379",
     "servers to ask, host:port, separated by commas"},
    {"hex", PFLAG_BOOL, "false", "print byte strings in hexadecimal"},
    {"insecure-discovery", PFLAG_BOOL, "true", "take SRV records without TLS"},
    {"insecure-skip-tls-verify", PFLAG_BOOL, "false",
     "do not check the server's certificate (for tests only)"},
    {"insecure-transport", PFLAG_BOOL, "true", "connect without TLS"},
    {"keepalive-time", PFLAG_DURATION, "2s",
     "quiet time after which a connection is probed"},
    {"keepalive-timeout", PFLAG_DURATION, "6s", "time for a probe's answer"},
    {"key", PFLAG_STRING, "", "file with the client's TLS key"},
    {"max-recv-bytes", PFLAG_INT, "0",
     "limit of an answer in bytes (0: 2 GiB)"},
    {"max-request-bytes", PFLAG_INT, "0",
     "limit of a request in bytes (0: 2 MiB)"},
    {"password", PFLAG_STRING, "",
     "password; --user then holds the name alone"},
    {"user", PFLAG_STRING, "",
     "name[:password]; asks for a password that is missing"},
    {"write-out", PFLAG_STRING, "simple",
     "output format (fields, json, protobuf, simple, table)", 'w'},
    {NULL}};

enum { NAME_SIZE_MAX = 128 };
static const char *const prefixes[] = {"COFRECTL_", "ETCDCTL_"};

static void variable(const char *prefix, const char *flag,
                     char ret_name[NAME_SIZE_MAX])
{
    size_t n = strlen(prefix);
    memcpy(ret_name, prefix, n);
    for (; *flag && n + 1 < NAME_SIZE_MAX; flag++) {
        ret_name[n++] =
            *flag == '-' ? '_' : (char)toupper((unsigned char)*flag);
    }
    ret_name[n] = 0;
}

const char *cli_env_get(const char *name)
{
    char full[NAME_SIZE_MAX];
    for (size_t i = 0; i < 2; i++) {
        variable(prefixes[i], name, full);
        if (getenv(full)) {
            return getenv(full);
        }
    }
    return NULL;
}

static void apply_one(struct cli *x, const struct pflag *flag)
{
    struct pflag_value *v = pflag_find(&x->flags, flag->name);
    bool set = false;
    for (size_t i = 0; i < 2; i++) {
        char full[NAME_SIZE_MAX];
        variable(prefixes[i], flag->name, full);
        const char *text = getenv(full);
        if (!text) {
            continue;
        }
        if (v->given) {
            log_fatal("conflicting environment variable is shadowed by "
                      "corresponding command-line flag (either unset "
                      "environment variable or disable flag))",
                      LOG_STR("environment-variable", full));
        }
        if (set || *text == 0) {
            continue;
        }
        const char *error = pflag_set(&x->flags, v, text);
        v->given = false;
        if (error) {
            log_warn("environment variable has a bad value and is ignored",
                     LOG_STR("environment-variable", full),
                     LOG_STR("error", error));
        }
        set = true;
    }
}

static bool is_known(const char *variable_text, const char *prefix)
{
    static const char *const more[] = {"watch-key", "watch-range-end"};
    char full[NAME_SIZE_MAX];
    size_t size = strcspn(variable_text, "=");
    for (const struct pflag *f = cli_global_flags; f->name; f++) {
        variable(prefix, f->name, full);
        if (strlen(full) == size && strncmp(full, variable_text, size) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        variable(prefix, more[i], full);
        if (strlen(full) == size && strncmp(full, variable_text, size) == 0) {
            return true;
        }
    }
    return false;
}

void cli_env_apply(struct cli *x)
{
    for (const struct pflag *f = cli_global_flags; f->name; f++) {
        apply_one(x, f);
    }
    for (char **e = environ; *e; e++) {
        for (size_t i = 0; i < 2; i++) {
            if (strncmp(*e, prefixes[i], strlen(prefixes[i])) == 0 &&
                !is_known(*e, prefixes[i])) {
                log_warn("unrecognized environment variable",
                         LOG_STR("environment-variable", *e));
            }
        }
    }
}
