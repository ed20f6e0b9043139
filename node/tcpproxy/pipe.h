/*
 * Two connections, each the other's continuation, until either ends. A side
 * that does not read is waited for: no more than PIPE_BYTES_HIGH and what
 * one read brings lie between the two.
 */
#ifndef TCPPROXY_PIPE_H
#define TCPPROXY_PIPE_H

#include "net/net.h"

enum { PIPE_BYTES_HIGH = 256 << 10 };

/* Takes both; frees itself. */
void pipe_new(struct conn *a, struct conn *b);

#endif
