/*
 * A histogram with exponential buckets, start * 2^i, as the metrics page
 * prints it. Observed by one thread, read by any.
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#include "buf.h"

enum { HISTOGRAM_BUCKETS_MAX = 20 };

struct histogram {
    uint64_t start_ns; /* upper bound of the first bucket */
    uint32_t bucket_count;
    atomic_uint_fast64_t buckets[HISTOGRAM_BUCKETS_MAX + 1];
    atomic_uint_fast64_t sum_ns;
};

void histogram_init(struct histogram *h, uint64_t start_ns,
                    uint32_t bucket_count);
void histogram_observe(struct histogram *h, uint64_t ns);

/* The Prometheus text of it, in seconds: # HELP, # TYPE and the series. */
void histogram_print(struct histogram *h, const char *name, const char *help,
                     struct buf *out);

/* The series alone, of a metric with labels: `labels` as between the braces,
 * "" for none. */
void histogram_print_series(struct histogram *h, const char *name,
                            const char *labels, struct buf *out);

#endif
