#include <stdio.h>
#include <unistd.h>

#include "config.h"

void flag_print_usage(int fd)
{
    dprintf(fd, "Usage:\n"
                "\n"
                "  cofre [flags]\n"
                "    Start a member.\n"
                "\n"
                "  cofre --version\n"
                "    Show the version.\n"
                "\n"
                "  cofre -h | --help\n"
                "    Show every flag.\n"
                "\n"
                "  cofre gateway start\n"
                "    Forward TCP connections to a cluster.\n"
                "\n"
                "  cofre grpc-proxy start\n"
                "    Run the gRPC proxy in front of a cluster.\n"
                "\n"
                "  cofre --config-file\n"
                "    Path to a YAML configuration file; other flags and ETCD_* "
                "variables are ignored then.\n");
}

void flag_print_help(int fd)
{
    static const char *const notes[] = {
        [FLAG_WORKS] = "",
        [FLAG_WARNS] = " (no effect in cofre)",
        [FLAG_REFUSED] = " (not built yet, refused)",
    };
    dprintf(fd, "\nFlags (each also as an environment variable: --name is "
                "ETCD_NAME):\n\n");
    for (size_t i = 0; i < flag_count; i++) {
        dprintf(fd, "  --%s '%s'\n    %s%s\n", flag_table[i].name,
                flag_table[i].fallback, flag_table[i].help,
                notes[flag_table[i].use]);
    }
}
