/* From flags to a client, and what goes wrong on that way. */
#include <stdarg.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli.h"
#include "srv/srv.h"

void cli_quit(int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "Error: standard output cannot be written\n");
        code = code ? code : CLI_EXIT_IO;
    }
    exit(code);
}

void cli_exit(int code, const char *format, ...)
{
    va_list args;
    fflush(stdout);
    fputs("Error: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    cli_quit(code);
}

static enum cli_format read_format(struct cli *x)
{
    static const struct {
        const char *word;
        enum cli_format format;
    } formats[] = {
        {"simple", CLI_SIMPLE}, {"fields", CLI_FIELDS},     {"json", CLI_JSON},
        {"table", CLI_TABLE},   {"protobuf", CLI_PROTOBUF},
    };
    const char *word = pflag_text(&x->flags, "write-out");
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(word, formats[i].word) == 0) {
            return formats[i].format;
        }
    }
    cli_exit(CLI_EXIT_BAD_FEATURE, "unsupported output format");
}

static void tell_flags(struct cli *x)
{
    for (const struct pflag *f = cli_global_flags; f->name; f++) {
        fputs("ETCDCTL_", stderr);
        for (const char *p = f->name; *p; p++) {
            fputc(*p == '-' ? '_' : *p & ~0x20, stderr);
        }
        fprintf(stderr, "=%s\n", pflag_text(&x->flags, f->name));
    }
}

/* TLS is asked for: say no, never connect without. */
static void check_transport(struct cli *x)
{
    static const char *const files[] = {"cert", "key", "cacert"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *text = pflag_text(&x->flags, files[i]);
        if (pflag_given(&x->flags, files[i]) && *text == 0) {
            cli_exit(CLI_EXIT_BAD_ARGS, "empty string is passed to --%s option",
                     files[i]);
        }
        if (*text) {
            cli_exit(CLI_EXIT_BAD_FEATURE,
                     "--%s: TLS is not supported by this version", files[i]);
        }
    }
    if (!pflag_bool(&x->flags, "insecure-transport")) {
        cli_exit(CLI_EXIT_BAD_FEATURE,
                 "--insecure-transport=false: TLS is not supported by this "
                 "version");
    }
}

/* Appends the endpoint of a record, or says why not: one with TLS ends the
 * process, one without is passed over where such are not wanted. */
static void add_discovered(struct cli *x, const struct srv_record *r,
                           struct buf *list)
{
    struct buf text = BUF_INIT(SRV_ENDPOINT_SIZE_MAX);
    srv_endpoint_text(r, &text);
    int size = (int)text.size;
    const char *endpoint = (const char *)text.data;
    if (r->tls) {
        cli_exit(CLI_EXIT_BAD_FEATURE,
                 "--discovery-srv: endpoint %.*s: TLS is not supported by "
                 "this version",
                 size, endpoint);
    } else if (!pflag_bool(&x->flags, "insecure-discovery")) {
        fprintf(stderr, "ignoring discovered insecure endpoint \"%.*s\"\n",
                size, endpoint);
    } else {
        buf_append_str(list, list->size ? "," : "");
        buf_append_slice(list, buf_slice(&text));
    }
    buf_release(&text);
}

/* --discovery-srv: what is found stands in for --endpoints. Without
 * --insecure-discovery even those would be asked with TLS, by the
 * domain's name, when nothing else is left. */
static void discover(struct cli *x)
{
    struct srv_domain d = {
        .domain = pflag_text(&x->flags, "discovery-srv"),
        .name = pflag_text(&x->flags, "discovery-srv-name"),
    };
    struct srv_list found;
    struct buf text = BUF_INIT(SRV_RECORDS_MAX * SRV_ENDPOINT_SIZE_MAX);
    if (*d.domain == 0) {
        return;
    }
    if (srv_find(&d, &found, &text) != 0) {
        cli_exit(CLI_EXIT_ERROR, "%.*s", (int)text.size,
                 (const char *)text.data);
    }
    for (uint32_t i = 0; i < found.count; i++) {
        add_discovered(x, &found.list[i], &text);
    }
    if (!pflag_bool(&x->flags, "insecure-discovery")) {
        cli_exit(CLI_EXIT_BAD_FEATURE,
                 "--insecure-discovery=false: TLS is not supported by this "
                 "version");
    }
    pflag_find(&x->flags, "endpoints")->text = arena_printf(
        &x->flags.arena, "%.*s", (int)text.size, (const char *)text.data);
    buf_release(&text);
}

static void choose_format(struct cli *x, unsigned formats)
{
    x->format = read_format(x);
    if (formats == CLI_TEXT_ONLY) {
        x->format = CLI_SIMPLE;
    } else if (!(x->format & formats)) {
        cli_exit(CLI_EXIT_BAD_FEATURE, "%s not supported as output format",
                 pflag_text(&x->flags, "write-out"));
    }
}

void cli_begin(struct cli *x, unsigned formats)
{
    cli_env_apply(x);
    if (pflag_bool(&x->flags, "debug")) {
        tell_flags(x);
    }
    discover(x);
    choose_format(x, formats);
    x->hex = pflag_bool(&x->flags, "hex");
    check_transport(x);
}

void cli_begin_local(struct cli *x, unsigned formats)
{
    if (x->global == cli_global_flags) {
        cli_env_apply(x);
    }
    choose_format(x, formats);
}

static void log_failure(void *ctx, const struct cofre_failure *f)
{
    char *error = mem_printf("rpc error: code = %s desc = %s",
                             cofre_code_name(f->code), f->text);
    LOG_AT(LOG_LEVEL_WARN, "client", "retrying of unary invoker failed",
           LOG_STR("target", f->target), LOG_BOOL("connected", f->connected),
           LOG_STR("method", f->method), LOG_INT("attempt", f->attempt),
           LOG_STR("error", error));
    free(error);
}

char *cli_read_line(FILE *from)
{
    struct buf line = BUF_INIT(CLI_LINE_SIZE_MAX);
    int c = getc(from);
    if (c == EOF) {
        return NULL;
    }
    for (; c != EOF && c != '\n'; c = getc(from)) {
        if (buf_append_byte(&line, (uint8_t)c) < 0) {
            buf_release(&line);
            cli_exit(CLI_EXIT_INVALID_INPUT, "input line is too long");
        }
    }
    size_t size;
    buf_append_byte(&line, 0);
    return (char *)buf_detach(&line, &size);
}

char *cli_read_secret(struct cli *x, const char *prompt)
{
    struct termios before;
    bool is_terminal = tcgetattr(STDIN_FILENO, &before) == 0;
    fputs(prompt, stdout);
    fflush(stdout);
    if (is_terminal) {
        struct termios quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
    }
    char *line = cli_read_line(stdin);
    if (is_terminal) {
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    }
    putchar('\n');
    char *kept = arena_strdup(&x->flags.arena, line ? line : "");
    free(line);
    return kept;
}

/* The user and password of a configuration; the first call asks for what
 * is missing, later ones find it among the flags. */
static void read_user(struct cli *x, struct cofre_config *config)
{
    const char *user = pflag_text(&x->flags, "user");
    struct pflag_value *password = pflag_find(&x->flags, "password");
    if (*user == 0) {
        return;
    }
    const char *colon = strchr(user, ':');
    config->user = user;
    if (*password->text) {
        config->password = password->text;
    } else if (colon) {
        config->user =
            arena_printf(&x->flags.arena, "%.*s", (int)(colon - user), user);
        config->password = colon + 1;
    } else {
        password->text = cli_read_secret(x, "Password: ");
        config->password = password->text;
    }
}

static uint64_t to_ms(int64_t ns)
{
    return ns <= 0 ? 1 : (uint64_t)(ns + 999999) / 1000000;
}

static struct cofre_config configuration(struct cli *x, const char *endpoints)
{
    struct cofre_config config = {
        .endpoints = endpoints,
        .on_failed = log_failure,
        .ctx = x,
    };
    int64_t request_max = pflag_int(&x->flags, "max-request-bytes");
    config.request_bytes_max = request_max > 0 ? (size_t)request_max : 0;
    config.dial_timeout_ms = to_ms(pflag_int(&x->flags, "dial-timeout"));
    config.keepalive_time_ms = to_ms(pflag_int(&x->flags, "keepalive-time"));
    config.keepalive_timeout_ms =
        to_ms(pflag_int(&x->flags, "keepalive-timeout"));
    config.call_timeout_ms = to_ms(pflag_int(&x->flags, "command-timeout"));
    if (*pflag_text(&x->flags, "auth-jwt-token")) {
        config.token = pflag_text(&x->flags, "auth-jwt-token");
    }
    read_user(x, &config);
    return config;
}

struct cofre *cli_connect(struct cli *x, bool timed)
{
    struct cofre_config config =
        configuration(x, pflag_text(&x->flags, "endpoints"));
    if (cofre_open(&config, &x->client) != COFRE_OK) {
        cli_exit(CLI_EXIT_BAD_ARGS, "%s", cofre_open_error());
    }
    if (cofre_login(x->client) != COFRE_OK) {
        cli_exit(CLI_EXIT_BAD_CONNECTION, "%s",
                 cli_error_text(x->client, &x->flags.arena));
    }
    if (!timed) {
        cofre_set_call_timeout(x->client, 0);
    }
    return x->client;
}

struct cofre *cli_open_one(struct cli *x, const char *endpoint)
{
    struct cofre *c = NULL;
    struct cofre_config config = configuration(x, endpoint);
    if (cofre_open(&config, &c) != COFRE_OK) {
        cli_exit(CLI_EXIT_BAD_ARGS, "%s", cofre_open_error());
    }
    return c;
}

const char *cli_error_text(const struct cofre *c, struct arena *a)
{
    const char *text = cofre_error_text(c);
    if (strncmp(text, "etcdserver: ", 12) == 0 ||
        strcmp(text, "context deadline exceeded") == 0) {
        return text;
    }
    return arena_printf(a, "rpc error: code = %s desc = %s",
                        cofre_code_name(cofre_error_code(c)), text);
}

struct cofre_reply *cli_call(struct cli *x, const char *path,
                             const ProtobufCMessage *request,
                             const ProtobufCMessageDescriptor *answer,
                             const char *prefix)
{
    struct cofre_reply *reply = NULL;
    int code = cofre_call(x->client, path, request, answer, &reply);
    if (code != COFRE_OK) {
        const char *text = cli_error_text(x->client, &x->flags.arena);
        if (prefix) {
            cli_exit(CLI_EXIT_ERROR, "%s (%s)", prefix, text);
        }
        cli_exit(CLI_EXIT_ERROR, "%s", text);
    }
    return reply;
}

const Pb__ResponseHeader *cli_header(const ProtobufCMessage *m)
{
    const ProtobufCFieldDescriptor *f = &m->descriptor->fields[0];
    if (f->descriptor != &pb__response_header__descriptor) {
        return NULL;
    }
    return *(Pb__ResponseHeader *const *)(const void *)((const char *)m +
                                                        f->offset);
}

struct cofre_reply *cli_ask(struct cli *x, const char *path,
                            const ProtobufCMessage *request,
                            const ProtobufCMessageDescriptor *answer)
{
    cli_connect(x, true);
    struct cofre_reply *reply = cli_call(x, path, request, answer, NULL);
    const ProtobufCMessage *m = cofre_reply_message(reply);
    if (!cli_print_raw(x, m) && x->format == CLI_FIELDS) {
        cli_fields_header(x, cli_header(m));
    }
    return reply;
}

char **cli_endpoints(struct cli *x, size_t *ret_count)
{
    char *list =
        arena_strdup(&x->flags.arena, pflag_text(&x->flags, "endpoints"));
    char **all = arena_alloc(&x->flags.arena, (strlen(list) + 2) * sizeof *all);
    size_t count = 0;
    char *rest = NULL;
    for (char *e = strtok_r(list, ",", &rest); e;
         e = strtok_r(NULL, ",", &rest)) {
        all[count++] = e;
    }
    all[count] = NULL;
    *ret_count = count;
    return all;
}

char **cli_cluster_endpoints(struct cli *x, size_t *ret_count)
{
    struct cofre_reply *reply = NULL;
    struct arena *a = &x->flags.arena;
    cli_connect(x, true);
    if (cofre_member_list(x->client, &reply) != COFRE_OK) {
        cli_exit(CLI_EXIT_ERROR,
                 "failed to fetch endpoints from etcd cluster member list: "
                 "%s",
                 cofre_error_text(x->client));
    }
    size_t count = 0;
    for (size_t i = 0; i < cofre_reply_member_count(reply); i++) {
        count += cofre_reply_member(reply, i).client_url_count;
    }
    char **all = arena_alloc(a, (count + 1) * sizeof *all);
    count = 0;
    for (size_t i = 0; i < cofre_reply_member_count(reply); i++) {
        struct cofre_member m = cofre_reply_member(reply, i);
        for (size_t k = 0; k < m.client_url_count; k++) {
            all[count++] = arena_strdup(a, m.client_urls[k]);
        }
    }
    all[count] = NULL;
    *ret_count = count;
    cofre_reply_free(reply);
    cofre_close(x->client);
    x->client = NULL;
    return all;
}
