/*
 * The lines of a transaction.
 *   compare:  target("key") op "value"
 *   request:  get|put|del with the flags and words of that command
 */
#include "base/err.h"
#include "base/text.h"
#include "cli.h"

/* A quoted text at *p, which moves behind it. */
static bool take_quoted(struct arena *a, const char **p, struct slice *ret)
{
    const char *start = *p;
    const char *end = start + 1;
    struct buf plain = BUF_INIT(CLI_LINE_SIZE_MAX);
    if (*start != '"') {
        return false;
    }
    for (; *end && *end != '"'; end++) {
        end += *end == '\\' && end[1];
    }
    if (*end == 0 ||
        cli_unquote(slice_of(start, (size_t)(end + 1 - start)), &plain) < 0) {
        buf_release(&plain);
        return false;
    }
    *ret = arena_slice(a, buf_slice(&plain));
    buf_release(&plain);
    *p = end + 1;
    return true;
}

struct comparison {
    char *target;
    struct slice key;
    char *op;
    struct slice value;
};

static const char *malformed(struct arena *a, const char *line,
                             const struct comparison *c)
{
    struct buf text = BUF_INIT(CLI_LINE_SIZE_MAX);
    buf_printf(&text, "malformed comparison: %s; got %s(", line, c->target);
    text_quote(&text, c->key);
    buf_printf(&text, ") %s ", c->op);
    text_quote(&text, c->value);
    buf_append_byte(&text, 0);
    const char *error = arena_strdup(a, (const char *)text.data);
    buf_release(&text);
    return error;
}

/* Cuts the line into its parts. */
static const char *cut(struct arena *a, const char *line,
                       struct comparison *ret)
{
    const char *open = strchr(line, '(');
    if (!open) {
        return arena_printf(a, "malformed comparison: %s", line);
    }
    ret->target = arena_printf(a, "%.*s", (int)(open - line), line);
    ret->op = arena_strdup(a, "");
    const char *p = open + 1 + strspn(open + 1, " \t");
    if (!take_quoted(a, &p, &ret->key) || *p != ')') {
        return malformed(a, line, ret);
    }
    p++;
    if (*p != ' ' && *p != '\t') {
        return malformed(a, line, ret);
    }
    p += strspn(p, " \t");
    size_t size = strcspn(p, " \t");
    ret->op = arena_printf(a, "%.*s", (int)size, p);
    p += size + strspn(p + size, " \t");
    return take_quoted(a, &p, &ret->value) ? NULL : malformed(a, line, ret);
}

static bool read_operator(const char *op, Pb__Compare *ret)
{
    static const struct {
        const char *text;
        Pb__Compare__CompareResult result;
    } all[] = {
        {"=", PB__COMPARE__COMPARE_RESULT__EQUAL},
        {"!=", PB__COMPARE__COMPARE_RESULT__NOT_EQUAL},
        {">", PB__COMPARE__COMPARE_RESULT__GREATER},
        {"<", PB__COMPARE__COMPARE_RESULT__LESS},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(op, all[i].text) == 0) {
            ret->result = all[i].result;
            return true;
        }
    }
    return false;
}

static bool read_target(const char *word, Pb__Compare *ret)
{
    static const struct {
        const char *word;
        Pb__Compare__CompareTarget target;
        Pb__Compare__TargetUnionCase which;
    } all[] = {
        {"ver", PB__COMPARE__COMPARE_TARGET__VERSION,
         PB__COMPARE__TARGET_UNION_VERSION},
        {"version", PB__COMPARE__COMPARE_TARGET__VERSION,
         PB__COMPARE__TARGET_UNION_VERSION},
        {"c", PB__COMPARE__COMPARE_TARGET__CREATE,
         PB__COMPARE__TARGET_UNION_CREATE_REVISION},
        {"create", PB__COMPARE__COMPARE_TARGET__CREATE,
         PB__COMPARE__TARGET_UNION_CREATE_REVISION},
        {"m", PB__COMPARE__COMPARE_TARGET__MOD,
         PB__COMPARE__TARGET_UNION_MOD_REVISION},
        {"mod", PB__COMPARE__COMPARE_TARGET__MOD,
         PB__COMPARE__TARGET_UNION_MOD_REVISION},
        {"val", PB__COMPARE__COMPARE_TARGET__VALUE,
         PB__COMPARE__TARGET_UNION_VALUE},
        {"value", PB__COMPARE__COMPARE_TARGET__VALUE,
         PB__COMPARE__TARGET_UNION_VALUE},
        {"lease", PB__COMPARE__COMPARE_TARGET__LEASE,
         PB__COMPARE__TARGET_UNION_LEASE},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(word, all[i].word) == 0) {
            ret->target = all[i].target;
            ret->target_union_case = all[i].which;
            return true;
        }
    }
    return false;
}

static ProtobufCBinaryData binary(struct slice s)
{
    return (ProtobufCBinaryData){s.size, (uint8_t *)(uintptr_t)s.data};
}

static bool read_value(struct arena *a, struct slice value, Pb__Compare *ret)
{
    int64_t number = 0;
    if (ret->target_union_case == PB__COMPARE__TARGET_UNION_VALUE) {
        ret->value = binary(value);
        return true;
    }
    char *text =
        arena_printf(a, "%.*s", (int)value.size, (const char *)value.data);
    if (pflag_parse_number(a, text, 10, true, &number)) {
        return false;
    }
    ret->version = number; /* one union: all its numbers lie here */
    return true;
}

const char *cli_txn_compare(struct arena *a, const char *line, Pb__Compare *ret)
{
    struct comparison c = {0};
    const char *error = cut(a, line, &c);
    if (error) {
        return error;
    }
    pb__compare__init(ret);
    ret->key = binary(c.key);
    if (!read_target(c.target, ret)) {
        return arena_printf(a, "malformed comparison: %s (unknown target %s)",
                            line, c.target);
    }
    if (!read_value(a, c.value, ret)) {
        return arena_printf(a, "invalid txn compare request: %s", line);
    }
    if (!read_operator(c.op, ret)) {
        return arena_printf(
            a, "invalid txn compare request: %s (unknown operator %s)", line,
            c.op);
    }
    return NULL;
}

static const struct pflag *flags_of(const char *command)
{
    return strcmp(command, "get") == 0   ? cli_get_flags
           : strcmp(command, "put") == 0 ? cli_put_flags
           : strcmp(command, "del") == 0 ? cli_del_flags
                                         : NULL;
}

/* The usage part that goes with a bad flag. */
static void tell_usage(const char *command)
{
    for (size_t i = 0; cli_root.children[i]; i++) {
        if (strcmp(cli_root.children[i]->name, command) == 0) {
            struct buf out = BUF_INIT(1 << 20);
            cli_help_usage("", cli_root.children[i], &out);
            fprintf(stderr, "%.*s\n", (int)out.size, (char *)out.data);
            buf_release(&out);
        }
    }
}

static void build(struct arena *a, struct pflag_set *f, int argc, char **argv,
                  const char *command, struct cli_txn_op *ret)
{
    pb__request_op__init(&ret->op);
    ret->values_only = false;
    if (*command == 'g') {
        ret->op.request_case = PB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        ret->op.request_range = arena_alloc(a, sizeof *ret->op.request_range);
        cli_get_request(f, argc, argv, ret->op.request_range);
        ret->values_only = pflag_bool(f, "print-value-only");
    } else if (*command == 'p') {
        ret->op.request_case = PB__REQUEST_OP__REQUEST_REQUEST_PUT;
        ret->op.request_put = arena_alloc(a, sizeof *ret->op.request_put);
        cli_put_request(f, argc, argv, false, ret->op.request_put);
    } else {
        ret->op.request_case = PB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        ret->op.request_delete_range =
            arena_alloc(a, sizeof *ret->op.request_delete_range);
        cli_del_request(f, argc, argv, ret->op.request_delete_range);
    }
}

const char *cli_txn_op(struct arena *a, const char *line,
                       struct cli_txn_op *ret)
{
    int argc = 0;
    char **argv = cli_split(a, line, &argc);
    if (argc < 2) {
        return arena_printf(a, "invalid txn compare request: %s", line);
    }
    const char *command = argv[0];
    const struct pflag *table = flags_of(command);
    if (!table) {
        return arena_printf(a, "invalid txn request: %s", line);
    }
    /* The requests point into the flags' arena: it lives as long as `a`. */
    struct pflag_set *f = arena_zalloc(a, sizeof *f);
    pflag_init(f);
    pflag_add(f, table);
    argc--;
    if (pflag_parse(f, &argc, argv + 1)) {
        tell_usage(command);
        pflag_release(f);
        return arena_printf(a, "invalid txn request: %s", line);
    }
    build(a, f, argc, argv + 1, command, ret);
    ret->flags = f;
    return NULL;
}
