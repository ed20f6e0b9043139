#include <string.h>

#include "proxy/proxy.h"
#include "server.h"
#include "tcpproxy/tcpproxy.h"

int main(int argc, char **argv)
{
    struct config c;
    int status = 1;
    if (argc > 1 && strcmp(argv[1], "grpc-proxy") == 0) {
        return proxy_main(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "gateway") == 0) {
        return tcpproxy_main(argc - 1, argv + 1);
    }
    if (config_load(argc, argv, &c, &status) == CONFIG_RUN) {
        status = server_run(&c);
    }
    config_release(&c);
    return status;
}
