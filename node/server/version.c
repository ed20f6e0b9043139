#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "server.h"

void server_print_version(void)
{
    struct utsname host;
    uname(&host);
    printf("etcd Version: " SERVER_API_VERSION "\n"
           "Git SHA: cofre " COFRE_VERSION "\n"
           "Go Version: none, C11\n"
           "Go OS/Arch: linux/%s\n",
           strcmp(host.machine, "x86_64") == 0 ? "amd64" : host.machine);
}
