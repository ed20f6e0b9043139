#include <stdio.h>
#include <string.h>

#include "server.h"

int main(int argc, char **argv)
{
    struct config c;
    int status = 1;
    if (argc > 1 && (strcmp(argv[1], "grpc-proxy") == 0 ||
                     strcmp(argv[1], "gateway") == 0)) {
        fprintf(stderr, "cofre: %s is not built into this version yet\n",
                argv[1]);
        return 1;
    }
    if (config_load(argc, argv, &c, &status) == CONFIG_RUN) {
        status = server_run(&c);
    }
    config_release(&c);
    return status;
}
