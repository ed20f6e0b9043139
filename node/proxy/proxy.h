/*
 * `cofre grpc-proxy start`: a gRPC proxy in front of a cluster. Calls go on
 * to the endpoints in turn, as bytes where nothing is to be looked at;
 * watches of the same keys share one upstream, serializable ranges are kept,
 * lease keep-alives of the same lease are sent once, and with a namespace
 * the clients see only the keys below it. A program of its own: no part of
 * a member's life, one loop thread (and libmicrohttpd's for HTTP/1.1).
 *
 * On the way of a Put through it: grpc/ -> kv.c (namespace, cache) ->
 * upstream.c -> grpc/ as client -> a member -> back the same way.
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

/* argv[0] is "grpc-proxy". Runs until it is told to stop; the exit status. */
int proxy_main(int argc, char **argv);

#endif
