#ifndef CLIENT_CLI_CHECK_H
#define CLIENT_CLI_CHECK_H

#include "cli.h"

/* check.c */
void cli_run_check_perf(struct cli *x, int argc, char **argv);
void cli_run_check_datascale(struct cli *x, int argc, char **argv);

/* check_server.c */
/* Bytes of memory that the server behind an endpoint has, by its metrics;
 * ends the process where they cannot be read. */
double cli_check_memory(struct cli *x, const char *endpoint);
void cli_check_defrag(struct cli *x, const char *endpoint);

#endif
