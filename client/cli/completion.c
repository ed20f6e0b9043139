/* completion: a script for the shell, made from the tree of commands. */
#include "cli.h"

static void add_words(const struct cli *x, const struct cli_command *c,
                      struct buf *out)
{
    for (size_t i = 0; c->children && c->children[i]; i++) {
        buf_printf(out, "%s ", c->children[i]->name);
    }
    for (const struct pflag *f = c->flags; f && f->name; f++) {
        buf_printf(out, "--%s ", f->name);
    }
    for (const struct pflag *f = x->global; f->name; f++) {
        buf_printf(out, "--%s ", f->name);
    }
    buf_append_str(out, "--help");
}

/* One case for each command: the words that can follow it. */
static void add_cases(const struct cli *x, const struct cli_command *c,
                      const char *path, struct buf *out)
{
    buf_printf(out, "    '%s') words='", path);
    add_words(x, c, out);
    buf_append_str(out, "' ;;\n");
    for (size_t i = 0; c->children && c->children[i]; i++) {
        struct buf below = BUF_INIT(4096);
        buf_printf(&below, "%s %s", path, c->children[i]->name);
        buf_append_byte(&below, 0);
        add_cases(x, c->children[i], (char *)below.data, out);
        buf_release(&below);
    }
}

static void add_paths(const struct cli_command *c, const char *path,
                      struct buf *out)
{
    for (size_t i = 0; c->children && c->children[i]; i++) {
        struct buf below = BUF_INIT(4096);
        buf_printf(&below, "%s %s", path, c->children[i]->name);
        buf_append_byte(&below, 0);
        buf_printf(out, "%s'%s'", out->size ? "|" : "", (char *)below.data);
        add_paths(c->children[i], (char *)below.data, out);
        buf_release(&below);
    }
}

static void print_script(struct cli *x, bool zsh)
{
    struct buf out = BUF_INIT(1 << 20);
    struct buf paths = BUF_INIT(1 << 20);
    add_paths(x->root, "", &paths);
    if (zsh) {
        buf_printf(&out,
                   "#compdef %s\n"
                   "autoload -U +X bashcompinit && bashcompinit\n",
                   x->program);
    }
    buf_printf(&out,
               "_%s() {\n"
               "    local cur=${COMP_WORDS[COMP_CWORD]} path= words= i\n"
               "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
               "        case \"$path ${COMP_WORDS[i]}\" in\n"
               "        %.*s)\n"
               "            path=\"$path ${COMP_WORDS[i]}\" ;;\n"
               "        esac\n"
               "    done\n"
               "    case \"$path\" in\n",
               x->program, (int)paths.size, (char *)paths.data);
    add_cases(x, x->root, "", &out);
    buf_printf(&out,
               "    esac\n"
               "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
               "}\n"
               "complete -o default -F _%s %s\n",
               x->program, x->program);
    buf_release(&paths);
    cli_print_buf(&out);
}

void cli_run_completion(struct cli *x, int argc, char **argv)
{
    if (argc != 1) {
        cli_exit(CLI_EXIT_ERROR, "accepts 1 arg(s), received %d", argc);
    }
    bool zsh = strcmp(argv[0], "zsh") == 0;
    if (!zsh && strcmp(argv[0], "bash") != 0) {
        bool known =
            strcmp(argv[0], "fish") == 0 || strcmp(argv[0], "powershell") == 0;
        cli_exit(CLI_EXIT_ERROR,
                 known ? "%s is not supported, only bash and zsh"
                       : "invalid argument \"%s\" for \"completion\"",
                 argv[0]);
    }
    print_script(x, zsh);
}

const struct cli_command cli_completion = {
    .name = "completion",
    .arguments = "[bash|zsh]",
    .summary = "Prints a script that completes commands in a shell",
    .details = "Prints a script that completes commands in a shell.\n\n"
               "  source <(cofrectl completion bash)\n",
    .group = "Utility commands",
    .parent = &cli_root,
    .run = cli_run_completion,
};
