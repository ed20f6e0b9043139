/* get, put, del, compaction. */
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli.h"
#include "grpc/grpc.h"

const struct pflag cli_get_flags[] = {
    {"consistency", PFLAG_STRING, "l", "linearizable (l) or serializable (s)"},
    {"count-only", PFLAG_BOOL, "false", "get the count alone"},
    {"from-key", PFLAG_BOOL, "false",
     "get the key and all behind it, in byte order"},
    {"keys-only", PFLAG_BOOL, "false", "get the keys alone"},
    {"limit", PFLAG_INT, "0", "most results to get"},
    {"max-create-rev", PFLAG_INT, "0", "highest create revision"},
    {"max-mod-rev", PFLAG_INT, "0", "highest modification revision"},
    {"min-create-rev", PFLAG_INT, "0", "lowest create revision"},
    {"min-mod-rev", PFLAG_INT, "0", "lowest modification revision"},
    {"order", PFLAG_STRING, "", "ASCEND or DESCEND"},
    {"prefix", PFLAG_BOOL, "false", "get the keys with this beginning"},
    {"print-value-only", PFLAG_BOOL, "false",
     "print values alone, in the simple format"},
    {"rev", PFLAG_INT, "0", "revision to read at"},
    {"sort-by", PFLAG_STRING, "", "CREATE, KEY, MODIFY, VALUE or VERSION"},
    {"stream", PFLAG_BOOL, "false", "get the answer as a stream"},
    {NULL}};

const struct pflag cli_put_flags[] = {
    {"ignore-lease", PFLAG_BOOL, "false", "keep the key's lease"},
    {"ignore-value", PFLAG_BOOL, "false", "keep the key's value"},
    {"lease", PFLAG_STRING, "0", "lease (in hexadecimal) of the key"},
    {"prev-kv", PFLAG_BOOL, "false", "print the pair that was there"},
    {NULL}};

const struct pflag cli_del_flags[] = {
    {"from-key", PFLAG_BOOL, "false",
     "delete the key and all behind it, in byte order"},
    {"prefix", PFLAG_BOOL, "false", "delete the keys with this beginning"},
    {"prev-kv", PFLAG_BOOL, "false", "print the deleted pairs"},
    {"range", PFLAG_BOOL, "false", "delete a range without the delay"},
    {NULL}};

static ProtobufCBinaryData binary(const void *data, size_t size)
{
    return (ProtobufCBinaryData){size, (uint8_t *)(uintptr_t)data};
}

void cli_set_range(struct pflag_set *f, const char *key, const char *end,
                   ProtobufCBinaryData *ret_key, ProtobufCBinaryData *ret_end)
{
    bool prefix = pflag_bool(f, "prefix");
    size_t size = strlen(key);
    *ret_key = binary(key, size);
    if (end) {
        *ret_end = binary(end, strlen(end));
    }
    if (!prefix && !pflag_bool(f, "from-key")) {
        return;
    }
    *ret_end = binary(arena_zalloc(&f->arena, 1), 1);
    if (size == 0) {
        *ret_key = binary(arena_zalloc(&f->arena, 1), 1);
    } else if (prefix) {
        void *room = arena_alloc(&f->arena, size);
        *ret_end = binary(room, cofre_prefix_end(COFRE_STR(key), room));
    }
}

static void check_range_words(struct pflag_set *f, int argc)
{
    bool prefix = pflag_bool(f, "prefix");
    bool from_key = pflag_bool(f, "from-key");
    if (prefix && from_key) {
        cli_exit(CLI_EXIT_BAD_ARGS, "`--prefix` and `--from-key` cannot be "
                                    "set at the same time, choose one");
    }
    if ((prefix || from_key) && argc > 1) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "too many arguments, only accept one argument when "
                 "`--prefix` or `--from-key` is set");
    }
}

struct choice {
    const char *word;
    int value;
};

static int choose(const struct choice *choices, const char *word,
                  const char *complaint)
{
    for (; choices->word; choices++) {
        if (strcasecmp(choices->word, word) == 0) {
            return choices->value;
        }
    }
    cli_exit(CLI_EXIT_BAD_FEATURE, "%s %s", complaint, word);
}

static bool is_serializable(const char *consistency)
{
    if (strcmp(consistency, "s") != 0 && strcmp(consistency, "l") != 0) {
        cli_exit(CLI_EXIT_BAD_FEATURE, "unknown consistency flag \"%s\"",
                 consistency);
    }
    return *consistency == 's';
}

void cli_get_request(struct pflag_set *f, int argc, char **argv,
                     Pb__RangeRequest *ret)
{
    static const struct choice orders[] = {
        {"", PB__RANGE_REQUEST__SORT_ORDER__NONE},
        {"ASCEND", PB__RANGE_REQUEST__SORT_ORDER__ASCEND},
        {"DESCEND", PB__RANGE_REQUEST__SORT_ORDER__DESCEND},
        {NULL, 0}};
    static const struct choice targets[] = {
        {"", PB__RANGE_REQUEST__SORT_TARGET__KEY},
        {"CREATE", PB__RANGE_REQUEST__SORT_TARGET__CREATE},
        {"KEY", PB__RANGE_REQUEST__SORT_TARGET__KEY},
        {"MODIFY", PB__RANGE_REQUEST__SORT_TARGET__MOD},
        {"VALUE", PB__RANGE_REQUEST__SORT_TARGET__VALUE},
        {"VERSION", PB__RANGE_REQUEST__SORT_TARGET__VERSION},
        {NULL, 0}};
    if (argc == 0) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "get command needs one argument as key and an optional "
                 "argument as range_end");
    }
    pb__range_request__init(ret);
    ret->keys_only = pflag_bool(f, "keys-only");
    ret->count_only = pflag_bool(f, "count-only");
    if (ret->keys_only && ret->count_only) {
        cli_exit(CLI_EXIT_BAD_ARGS, "`--keys-only` and `--count-only` cannot "
                                    "be set at the same time, choose one");
    }
    ret->serializable = is_serializable(pflag_text(f, "consistency"));
    check_range_words(f, argc);
    cli_set_range(f, argv[0], argc > 1 ? argv[1] : NULL, &ret->key,
                  &ret->range_end);
    ret->limit = pflag_int(f, "limit");
    ret->revision = pflag_int(f, "rev") > 0 ? pflag_int(f, "rev") : 0;
    ret->sort_order = (Pb__RangeRequest__SortOrder)choose(
        orders, pflag_text(f, "order"), "bad sort order");
    ret->sort_target = (Pb__RangeRequest__SortTarget)choose(
        targets, pflag_text(f, "sort-by"), "bad sort target");
    if (ret->sort_target == PB__RANGE_REQUEST__SORT_TARGET__KEY &&
        ret->sort_order == PB__RANGE_REQUEST__SORT_ORDER__ASCEND) {
        /* The server's own order: spares it the sorting. */
        ret->sort_order = PB__RANGE_REQUEST__SORT_ORDER__NONE;
    }
    ret->min_mod_revision = pflag_int(f, "min-mod-rev");
    ret->max_mod_revision = pflag_int(f, "max-mod-rev");
    ret->min_create_revision = pflag_int(f, "min-create-rev");
    ret->max_create_revision = pflag_int(f, "max-create-rev");
}

/* The parts of a streamed range, put together in an arena. */
struct streamed {
    struct arena arena;
    Pb__RangeResponse whole;
    size_t capacity;
};

static bool take_part(void *ctx, const ProtobufCMessage *message)
{
    struct streamed *s = ctx;
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = arena_alloc(&s->arena, size + 1);
    ProtobufCAllocator allocator = grpc_arena_allocator(&s->arena);
    protobuf_c_message_pack(message, packed);
    Pb__RangeStreamResponse *copy =
        pb__range_stream_response__unpack(&allocator, size, packed);
    Pb__RangeResponse *part = copy ? copy->range_response : NULL;
    if (!part) {
        return true;
    }
    if (part->header) {
        s->whole.header = part->header;
    }
    if (s->whole.n_kvs + part->n_kvs > s->capacity) {
        s->capacity = (s->whole.n_kvs + part->n_kvs) * 2;
        s->whole.kvs =
            mem_realloc(s->whole.kvs, s->capacity * sizeof *s->whole.kvs);
    }
    for (size_t i = 0; i < part->n_kvs; i++) {
        s->whole.kvs[s->whole.n_kvs++] = part->kvs[i];
    }
    s->whole.more = part->more;
    s->whole.count = part->count ? part->count : s->whole.count;
    return true;
}

static void print_get(struct cli *x, const Pb__RangeResponse *m)
{
    if (!cli_print_raw(x, &m->base)) {
        cli_print_range(x, m, pflag_bool(&x->flags, "print-value-only"));
    }
}

static void get_streamed(struct cli *x, const Pb__RangeRequest *request)
{
    struct streamed s = {0};
    arena_init(&s.arena);
    pb__range_response__init(&s.whole);
    int code = cofre_stream(
        x->client, "/etcdserverpb.KV/RangeStream", &request->base, true, true,
        &pb__range_stream_response__descriptor, take_part, &s);
    if (code != COFRE_OK) {
        cli_exit(CLI_EXIT_ERROR, "%s", cli_error_text(x->client, &s.arena));
    }
    print_get(x, &s.whole);
    free(s.whole.kvs);
    arena_release(&s.arena);
}

void cli_run_get(struct cli *x, int argc, char **argv)
{
    Pb__RangeRequest request;
    cli_get_request(&x->flags, argc, argv, &request);
    cli_begin(x, CLI_SIMPLE | CLI_FIELDS | CLI_JSON | CLI_PROTOBUF);
    if (request.count_only && x->format != CLI_FIELDS) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "--count-only is only for `--write-out=fields`");
    }
    if (pflag_bool(&x->flags, "print-value-only") && x->format != CLI_SIMPLE) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "print-value-only is only for `--write-out=simple`");
    }
    cli_connect(x, true);
    if (pflag_bool(&x->flags, "stream")) {
        get_streamed(x, &request);
        return;
    }
    struct cofre_reply *reply =
        cli_call(x, "/etcdserverpb.KV/Range", &request.base,
                 &pb__range_response__descriptor, NULL);
    print_get(
        x, (const Pb__RangeResponse *)(const void *)cofre_reply_message(reply));
    cofre_reply_free(reply);
}

enum { VALUE_SIZE_MAX = 1 << 30 };

/* All of standard input, unless that is a terminal or nothing at all. */
static ProtobufCBinaryData read_value(struct pflag_set *f)
{
    struct stat st;
    struct buf all = BUF_INIT(VALUE_SIZE_MAX);
    if (fstat(STDIN_FILENO, &st) < 0 || S_ISCHR(st.st_mode)) {
        cli_exit(CLI_EXIT_BAD_ARGS, "put command needs 1 argument and input "
                                    "from stdin or 2 arguments");
    }
    for (;;) {
        if (buf_reserve(&all, 64 << 10) < 0) {
            cli_exit(CLI_EXIT_INVALID_INPUT, "value is too large");
        }
        ssize_t n = read(STDIN_FILENO, all.data + all.size, 64 << 10);
        if (n < 0) {
            cli_exit(CLI_EXIT_BAD_ARGS, "put command needs 1 argument and "
                                        "input from stdin or 2 arguments");
        }
        if (n == 0) {
            break;
        }
        all.size += (size_t)n;
    }
    ProtobufCBinaryData value = binary(
        all.size ? arena_dup(&f->arena, all.data, all.size) : NULL, all.size);
    buf_release(&all);
    return value;
}

void cli_put_request(struct pflag_set *f, int argc, char **argv,
                     bool with_input, Pb__PutRequest *ret)
{
    pb__put_request__init(ret);
    ret->ignore_value = pflag_bool(f, "ignore-value");
    ret->ignore_lease = pflag_bool(f, "ignore-lease");
    ret->prev_kv = pflag_bool(f, "prev-kv");
    if (argc == 0) {
        cli_exit(CLI_EXIT_BAD_ARGS, "put command needs 1 argument and input "
                                    "from stdin or 2 arguments");
    }
    if (ret->ignore_value && argc > 1) {
        cli_exit(CLI_EXIT_BAD_ARGS, "put command needs only 1 argument when "
                                    "'ignore-value' is set");
    }
    const char *error = pflag_parse_number(&f->arena, pflag_text(f, "lease"),
                                           16, true, &ret->lease);
    ret->key = binary(argv[0], strlen(argv[0]));
    if (argc > 1) {
        ret->value = binary(argv[1], strlen(argv[1]));
    } else if (!ret->ignore_value && with_input) {
        ret->value = read_value(f);
    } else if (!ret->ignore_value) {
        cli_exit(CLI_EXIT_BAD_ARGS, "put command needs 1 argument and input "
                                    "from stdin or 2 arguments");
    }
    if (error) {
        cli_exit(CLI_EXIT_BAD_ARGS, "bad lease ID (%s), expecting ID in Hex",
                 error);
    }
}

void cli_run_put(struct cli *x, int argc, char **argv)
{
    Pb__PutRequest request;
    cli_put_request(&x->flags, argc, argv, true, &request);
    cli_begin(x, CLI_SIMPLE | CLI_FIELDS | CLI_JSON | CLI_PROTOBUF);
    cli_connect(x, true);
    struct cofre_reply *reply =
        cli_call(x, "/etcdserverpb.KV/Put", &request.base,
                 &pb__put_response__descriptor, NULL);
    const ProtobufCMessage *m = cofre_reply_message(reply);
    if (!cli_print_raw(x, m)) {
        cli_print_put(x, (const Pb__PutResponse *)(const void *)m);
    }
    cofre_reply_free(reply);
}

void cli_del_request(struct pflag_set *f, int argc, char **argv,
                     Pb__DeleteRangeRequest *ret)
{
    if (argc == 0 || argc > 2) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "del command needs one argument as key and an optional "
                 "argument as range_end");
    }
    pb__delete_range_request__init(ret);
    check_range_words(f, argc);
    cli_set_range(f, argv[0], argc > 1 ? argv[1] : NULL, &ret->key,
                  &ret->range_end);
    ret->prev_kv = pflag_bool(f, "prev-kv");
}

enum { SECOND_THOUGHTS_S = 2 };

static void warn_of_range(const char *key, const char *end)
{
    struct buf text = BUF_INIT(CLI_LINE_SIZE_MAX);
    buf_append_str(&text, "Warning: Keys between ");
    text_quote(&text, slice_str(key));
    buf_append_str(&text, " and ");
    text_quote(&text, slice_str(end));
    fprintf(stderr,
            "%.*s will be deleted. Please interrupt the command within next "
            "%d seconds to cancel. You can provide `--range` flag to avoid "
            "the delay.\n",
            (int)text.size, (char *)text.data, SECOND_THOUGHTS_S);
    buf_release(&text);
    sleep(SECOND_THOUGHTS_S);
}

void cli_run_del(struct cli *x, int argc, char **argv)
{
    Pb__DeleteRangeRequest request;
    cli_del_request(&x->flags, argc, argv, &request);
    cli_begin(x, CLI_SIMPLE | CLI_FIELDS | CLI_JSON | CLI_PROTOBUF);
    if (argc > 1 && !pflag_bool(&x->flags, "range")) {
        warn_of_range(argv[0], argv[1]);
    }
    cli_connect(x, true);
    struct cofre_reply *reply =
        cli_call(x, "/etcdserverpb.KV/DeleteRange", &request.base,
                 &pb__delete_range_response__descriptor, NULL);
    const ProtobufCMessage *m = cofre_reply_message(reply);
    if (!cli_print_raw(x, m)) {
        cli_print_delete(x, (const Pb__DeleteRangeResponse *)(const void *)m);
    }
    cofre_reply_free(reply);
}

void cli_run_compaction(struct cli *x, int argc, char **argv)
{
    Pb__CompactionRequest request;
    if (argc != 1) {
        cli_exit(CLI_EXIT_BAD_ARGS, "compaction command needs 1 argument");
    }
    pb__compaction_request__init(&request);
    const char *error = pflag_parse_number(&x->flags.arena, argv[0], 10, true,
                                           &request.revision);
    if (error) {
        cli_exit(CLI_EXIT_ERROR, "%s", error);
    }
    request.physical = pflag_bool(&x->flags, "physical");
    cli_begin(x, CLI_TEXT_ONLY);
    cli_connect(x, !request.physical);
    cofre_reply_free(cli_call(x, "/etcdserverpb.KV/Compact", &request.base,
                              &pb__compaction_response__descriptor, NULL));
    printf("compacted revision %lld\n", (long long)request.revision);
}
