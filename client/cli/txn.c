/* txn: three blocks of standard input, one answer. */
#include <ctype.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli.h"

enum { LINE_COUNT_MAX = 1 << 16 };

struct txn_input {
    struct arena arena;
    size_t counts[3]; /* compares, success, failure */
    Pb__Compare **compares;
    Pb__RequestOp **ops[2];
    struct cli_txn_op **details[2];
};

/* One line without the blanks around it, or the end of everything. */
static char *read_trimmed(struct arena *a)
{
    char *line = cli_read_line(stdin);
    if (!line || feof(stdin)) {
        cli_exit(CLI_EXIT_INVALID_INPUT, "EOF");
    }
    char *start = line;
    while (isspace((unsigned char)*start)) {
        start++;
    }
    size_t size = strlen(start);
    while (size > 0 && isspace((unsigned char)start[size - 1])) {
        size--;
    }
    char *kept = arena_printf(a, "%.*s", (int)size, start);
    free(line);
    return kept;
}

static void *grown(void *items, size_t count)
{
    if (count >= LINE_COUNT_MAX) {
        cli_exit(CLI_EXIT_INVALID_INPUT, "too many lines in one block");
    }
    return mem_realloc(items, (count + 1) * sizeof(void *));
}

static void read_compares(struct txn_input *in)
{
    for (;;) {
        char *line = read_trimmed(&in->arena);
        if (*line == 0) {
            return;
        }
        Pb__Compare *m = arena_alloc(&in->arena, sizeof *m);
        const char *error = cli_txn_compare(&in->arena, line, m);
        if (error) {
            cli_exit(CLI_EXIT_INVALID_INPUT, "%s", error);
        }
        in->compares = grown(in->compares, in->counts[0]);
        in->compares[in->counts[0]++] = m;
    }
}

static void read_ops(struct txn_input *in, size_t branch)
{
    size_t *count = &in->counts[1 + branch];
    for (;;) {
        char *line = read_trimmed(&in->arena);
        if (*line == 0) {
            return;
        }
        struct cli_txn_op *op = arena_zalloc(&in->arena, sizeof *op);
        const char *error = cli_txn_op(&in->arena, line, op);
        if (error) {
            cli_exit(CLI_EXIT_INVALID_INPUT, "%s", error);
        }
        in->ops[branch] = grown(in->ops[branch], *count);
        in->details[branch] = grown(in->details[branch], *count);
        in->ops[branch][*count] = &op->op;
        in->details[branch][*count] = op;
        (*count)++;
    }
}

static void release(struct txn_input *in)
{
    for (size_t b = 0; b < 2; b++) {
        for (size_t i = 0; i < in->counts[1 + b]; i++) {
            pflag_release(in->details[b][i]->flags);
        }
        free(in->ops[b]);
        free(in->details[b]);
    }
    free(in->compares);
    arena_release(&in->arena);
}

static void prompt(bool interactive, const char *text)
{
    if (interactive) {
        puts(text);
        fflush(stdout);
    }
}

static void print_one(struct cli *x, const Pb__ResponseOp *op, bool values_only)
{
    switch (op->response_case) {
    case PB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE:
        cli_print_range(x, op->response_range, values_only);
        break;
    case PB__RESPONSE_OP__RESPONSE_RESPONSE_PUT:
        cli_print_put(x, op->response_put);
        break;
    case PB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE:
        cli_print_delete(x, op->response_delete_range);
        break;
    default:
        cli_exit(CLI_EXIT_ERROR, "an answer of an unknown kind");
    }
}

static void print_answer(struct cli *x, const struct txn_input *in,
                         const Pb__TxnResponse *m)
{
    size_t branch = m->succeeded ? 0 : 1;
    if (x->format == CLI_SIMPLE) {
        puts(m->succeeded ? "SUCCESS" : "FAILURE");
    } else {
        cli_fields_header(x, m->header);
        cli_field_bool("Succeeded", m->succeeded);
    }
    for (size_t i = 0; i < m->n_responses; i++) {
        bool values_only =
            i < in->counts[1 + branch] && in->details[branch][i]->values_only;
        if (x->format == CLI_SIMPLE) {
            putchar('\n');
        }
        print_one(x, m->responses[i], values_only);
    }
}

void cli_run_txn(struct cli *x, int argc, char **argv)
{
    struct txn_input in = {0};
    bool interactive = pflag_bool(&x->flags, "interactive");
    if (argc > 0) {
        cli_exit(CLI_EXIT_BAD_ARGS, "txn command does not accept argument");
    }
    arena_init(&in.arena);
    cli_begin(x, CLI_SIMPLE | CLI_FIELDS | CLI_JSON | CLI_PROTOBUF);
    prompt(interactive, "compares:");
    read_compares(&in);
    prompt(interactive, "success requests (get, put, del):");
    read_ops(&in, 0);
    prompt(interactive, "failure requests (get, put, del):");
    read_ops(&in, 1);

    Pb__TxnRequest request;
    pb__txn_request__init(&request);
    request.n_compare = in.counts[0];
    request.compare = in.compares;
    request.n_success = in.counts[1];
    request.success = in.ops[0];
    request.n_failure = in.counts[2];
    request.failure = in.ops[1];
    cli_connect(x, false);
    struct cofre_reply *reply =
        cli_call(x, "/etcdserverpb.KV/Txn", &request.base,
                 &pb__txn_response__descriptor, NULL);
    const ProtobufCMessage *m = cofre_reply_message(reply);
    if (!cli_print_raw(x, m)) {
        print_answer(x, &in, (const Pb__TxnResponse *)(const void *)m);
    }
    cofre_reply_free(reply);
    release(&in);
}
