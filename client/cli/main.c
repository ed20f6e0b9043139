/* Alone in its file, so that tests can bring a main of their own. */
#include "cli.h"

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0] ? argv[0] : "", '/');
    const char *name = slash ? slash + 1 : argv[0];
    struct cli x = {
        .program =
            name && strcmp(name, "etcdctl") == 0 ? "etcdctl" : "cofrectl",
        .format = CLI_SIMPLE,
    };
    cli_flags_init(&x.flags);
    if (argc > 0) {
        cli_root_run(&x, argc - 1, argv + 1);
    }
    cofre_close(x.client);
    cli_flags_release(&x.flags);
    cli_quit(0);
}
