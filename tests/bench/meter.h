/*
 * What the load programs measure by: the time of each request, and of the
 * server its CPU time and the most anonymous memory it had meanwhile.
 */
#ifndef BENCH_METER_H
#define BENCH_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "grpc/grpc.h"

struct meter;

/* `server_pid` is looked at from meter_begin() to meter_end(). */
struct meter *meter_new(struct loop *l, int server_pid);
void meter_free(struct meter *m);
void meter_begin(struct meter *m);
/* One request, or one event, that took this long. */
void meter_add(struct meter *m, uint64_t took_ns);
/* Prints the row: how many a second, server CPU for each, p50, p99, and the
 * server's memory. `weight`: how many things were got with each request. */
void meter_end(struct meter *m, const char *label, uint64_t weight);

/* "HOST:PORT"; ends the program when it is not. */
struct net_address bench_address(const char *text);
/* Ends the program, in the manner of printf: a benchmark that counts errors
 * is worth nothing. */
void bench_fail(const char *format, ...)
    __attribute__((format(printf, 1, 2), noreturn));
/* A number of at least `least`, or the end of the program. */
uint64_t bench_number(const char *text, uint64_t least);

#endif
