/*
 * The composition root: the only place that knows both the pure cores and
 * the rim. Reads the configuration, wires everything, starts and stops.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "config.h"

/* Version of the API this member speaks, as /version and Status tell it. */
#define SERVER_API_VERSION "3.7.1"

/* The four lines of --version. */
void server_print_version(void);

/* Runs a member until it is told to stop. The exit status. */
int server_run(struct config *c);

#endif
