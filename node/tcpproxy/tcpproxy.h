/*
 * `cofre gateway start`: a TCP forwarder in front of a cluster. Each client
 * is given a connection to one endpoint, in turn, and bytes pass both ways
 * unread. An endpoint that cannot be dialled is left out until it can. A
 * program of its own, one loop thread.
 */
#ifndef TCPPROXY_TCPPROXY_H
#define TCPPROXY_TCPPROXY_H

/* argv[0] is "gateway". Runs until it is told to stop; the exit status. */
int tcpproxy_main(int argc, char **argv);

#endif
