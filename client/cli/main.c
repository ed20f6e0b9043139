/* Alone in its file, so that tests can bring a main of their own. */
#include <unistd.h>

#include "base/log.h"
#include "cli.h"

/* The name that it is called by says whose manner is wanted. */
static void choose_manner(struct cli *x, const char *name)
{
    static const char *const names[] = {"etcdctl", "etcdutl"};
    x->program = "cofrectl";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (name && strcmp(name, names[i]) == 0) {
            x->program = names[i];
        }
    }
    bool offline = strcmp(x->program, "etcdutl") == 0;
    x->root = offline ? &cli_utl_root : &cli_root;
    x->global = offline ? cli_utl_flags : cli_global_flags;
    if (offline) {
        log_setup(LOG_LEVEL_INFO, true, STDERR_FILENO);
    }
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0] ? argv[0] : "", '/');
    struct cli x = {.format = CLI_SIMPLE};
    choose_manner(&x, slash ? slash + 1 : argv[0]);
    pflag_init(&x.flags);
    if (argc > 0) {
        cli_root_run(&x, argc - 1, argv + 1);
    }
    cofre_close(x.client);
    pflag_release(&x.flags);
    cli_quit(0);
}
